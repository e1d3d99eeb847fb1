"""More variants of a recording: what goes wrong around a monitor rather than in its view alone.

Clocks of nodes that are far off, a text that breaks just where a daemon starts or twice in a row,
a log whose beginning was rotated away or that is sent twice, alerts that come a minute late, and an
API server that is away, alone or together with the daemons' text. Nothing may be decided wrongly.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from tests.traces.variants import (
    FEED_KINDS,
    SHARES,
    Line,
    Recording,
    Variant,
    delayed,
    incarnation_of,
    is_source,
    latest_incarnations,
    losing,
    objects_after,
    source,
    started_late,
)

_RFC3339 = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_STAMP = re.compile(r"(?<=Z )(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?=\.\d+\t)")


def skewed(recording: Recording, *, node: str, seconds: int) -> Variant:
    """The clock of a node is that much ahead, in its text and in its alerts and logs."""
    return recording.header, [
        _skewed_line(line, node=node, seconds=seconds) for line in recording.lines
    ]


def _skewed_line(line: Line, *, node: str, seconds: int) -> Line:
    if line["kind"] == "text" and line["node"] == node:
        kubelets = _moved(_RFC3339, "%Y-%m-%dT%H:%M:%S", line["line"], seconds)
        return {**line, "line": _moved(_STAMP, "%Y-%m-%d %H:%M:%S", kubelets, seconds)}
    if line["kind"] in FEED_KINDS and line["data"].get("HostName") == node:
        told = line["data"]
        moment = _moved(_RFC3339, "%Y-%m-%dT%H:%M:%S", told["UpdatedTime"], seconds)
        stamp = type(told["Timestamp"])(int(told["Timestamp"]) + seconds)
        return {**line, "data": {**told, "Timestamp": stamp, "UpdatedTime": moment}}
    return line


def _moved(pattern: re.Pattern[str], form: str, text: str, seconds: int) -> str:
    def later(found: re.Match[str]) -> str:
        moment = datetime.strptime(found[1], form).replace(tzinfo=UTC)
        return (moment + timedelta(seconds=seconds)).strftime(form)

    return pattern.sub(later, text, count=1)


def text_lost_twice(recording: Recording, *, share: float, seconds: float) -> Variant:
    """The daemons' output is lost twice, the second time as soon as it is back."""
    begin, lines = recording.instant(share), recording.lines
    for start in (begin, begin + seconds):
        lines = list(losing(lines, begin=start, end=start + seconds, prefix="text/", resent=False))
    return recording.header, lines


def start_lost(recording: Recording, *, nth: int, before: float, after: float) -> Variant:
    """The output around the first line of the nth daemon is lost for good."""
    firsts: dict[tuple[str, int], Line] = {}
    for line in recording.lines:
        if line["kind"] == "text":
            firsts.setdefault(incarnation_of(line), line)
    first = list(firsts.values())[nth % len(firsts)]
    return recording.header, list(
        losing(
            recording.lines,
            begin=first["at"] - before,
            end=first["at"] + after,
            prefix=f"text/{first['node']}",
            resent=False,
        )
    )


def rotated(recording: Recording, *, share: float, dropped: float) -> Variant:
    """The monitor starts in the middle and a share of every log's beginning is gone."""
    header, lines = started_late(recording, share=share)
    backlog: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if line["kind"] == "text" and line["at"] == header["started"]:
            backlog.setdefault(line["node"], []).append(index)
    gone = {index for log in backlog.values() for index in log[: int(len(log) * dropped)]}
    return header, [line for index, line in enumerate(lines) if index not in gone]


def sent_twice(recording: Recording, *, share: float) -> Variant:
    """The text so far of the daemons that run is sent again although nothing broke."""
    at = recording.instant(share)
    so_far = [line for line in recording.lines if line["at"] <= at]
    text = [line for line in so_far if line["kind"] == "text"]
    again = ({**line, "at": at} for line in latest_incarnations(text))
    return recording.header, [*so_far, *again, *recording.lines[len(so_far) :]]


def api_lost(
    recording: Recording, *, share: float, seconds: float, resource: str = "", text: bool = False
) -> Variant:
    """The API server (for a resource) is away for a while, then everything is listed."""
    begin = recording.instant(share)
    end, prefix = begin + seconds, f"kubernetes/{resource}"
    lines = list(_api_lost(recording.lines, begin=begin, end=end, prefix=prefix))
    if text:
        lines = list(losing(lines, begin=begin, end=end, prefix="text/", resent=True))
    return recording.header, lines


def _api_lost(lines: list[Line], *, begin: float, end: float, prefix: str) -> Iterator[Line]:
    before = [line for line in lines if line["at"] < begin]
    during = [line for line in lines if begin <= line["at"] < end]
    states = {line["name"]: line["state"] for line in before if is_source(line, prefix)}
    up = sorted(name for name, state in states.items() if state == "up")
    objects = objects_after([*before, *during])
    yield from before
    yield from (source(begin, name, "down", "connection reset") for name in up)
    for line in during:
        name = line["name"] if line["kind"] == "source" else f"kubernetes/{line.get('resource')}"
        if name not in up:
            yield line
    for name in up:
        _, _, resource = name.partition("/")
        items = [*objects.get(resource, {}).values()]
        yield source(end, name, "up", "listed")
        yield {"at": end, "kind": "list", "resource": resource, "items": items}
    yield from lines[len(before) + len(during) :]


HARD: Final[dict[str, Callable[[Recording], Variant]]] = {
    **{
        f"clock of {node} {seconds:+} s": partial(skewed, node=node, seconds=seconds)
        for node in ("node-a", "node-b")
        for seconds in (-180, 180)
    },
    **{
        f"text lost twice for 3 s at {share}": partial(text_lost_twice, share=share, seconds=3)
        for share in SHARES
    },
    **{
        f"text lost around the start of daemon {nth} until {after} s after it": partial(
            start_lost, nth=nth, before=1, after=after
        )
        for nth in range(4)
        for after in (1, 8)
    },
    **{
        f"started at {share}, most of the log rotated away": partial(
            rotated, share=share, dropped=0.6
        )
        for share in SHARES
    },
    **{f"text sent twice at {share}": partial(sent_twice, share=share) for share in SHARES},
    "alert delayed by 60 s": partial(delayed, kind="alert", seconds=60),
    **{
        f"API server{' and text' if text else ''} away for 6 s at {share}": partial(
            api_lost, share=share, seconds=6, text=text
        )
        for text in (False, True)
        for share in SHARES
    },
}
