"""Variants of a recording: the same run as a monitor would see it that is blind in some way.

Made from the trace's own lines, so that each is a trace too: nothing is invented, only hidden or
moved. What is hidden may stay undecided; nothing may be decided wrongly.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
import zstandard

Line: TypeAlias = dict[str, Any]

FEEDS: Final = ("alerts", "logs", "messages")
FEED_KINDS: Final = frozenset({"alert", "log", "message"})


class Recording:
    """A trace's header and lines."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        if path.suffix == ".zst":
            raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
        lines = [orjson.loads(line) for line in raw.splitlines() if line.strip()]
        self.header: Line = lines[0]
        self.lines: list[Line] = lines[1:]

    @property
    def started(self) -> float:
        return float(self.header["started"])

    @property
    def ended(self) -> float:
        return float(self.lines[-1]["at"])

    def instant(self, share: float) -> float:
        """The instant at which that share of the recording has passed."""
        return self.started + share * (self.ended - self.started)


Variant: TypeAlias = tuple[Line, list[Line]]


def without_text(recording: Recording) -> Variant:
    """The daemons' output is never read."""
    return recording.header, [
        line for line in recording.lines if line["kind"] != "text" and not is_source(line, "text/")
    ]


def without_relay(recording: Recording) -> Variant:
    """No alerts, logs and messages."""
    return recording.header, [
        line
        for line in recording.lines
        if line["kind"] not in FEED_KINDS and not is_source(line, *(f"{f}/" for f in FEEDS))
    ]


def text_lost(
    recording: Recording, *, share: float, seconds: float, node: str = "", resent: bool = False
) -> Variant:
    """The daemons' output (of a node) of an interval is lost, for good or until it comes again."""
    begin = recording.instant(share)
    return recording.header, list(
        losing(
            recording.lines,
            begin=begin,
            end=begin + seconds,
            prefix=f"text/{node}",
            resent=resent,
        )
    )


def losing(
    lines: Iterable[Line], *, begin: float, end: float, prefix: str, resent: bool
) -> Iterator[Line]:
    """Leave text out; after it, if `resent`, each node has its incarnation sent as a whole."""
    up: set[str] = set()
    sent: list[Line] = []
    edges = [(begin, "down", "connection reset"), (end, "up", "reconnected")]
    for line in lines:
        while edges and line["at"] >= edges[0][0]:
            at, state, reason = edges.pop(0)
            yield from (source(at, name, state, reason) for name in sorted(up))
            if state == "up" and resent:
                yield from ({**one, "at": at} for one in latest_incarnations(sent))
        concerned = is_source(line, prefix)
        if line["kind"] == "text" and f"text/{line['node']}".startswith(prefix):
            concerned = True
            sent.append(line)
        elif concerned:
            (up.add if line["state"] == "up" else up.discard)(line["name"])
        if not (begin <= line["at"] < end and concerned):
            yield line


def latest_incarnations(text: Sequence[Line]) -> Iterator[Line]:
    latest = {line["node"]: incarnation_of(line) for line in text}
    return (line for line in text if incarnation_of(line) == latest[line["node"]])


def delayed(recording: Recording, *, kind: str, seconds: float) -> Variant:
    """One kind of line is heard later, each in its own order."""
    sources = {"text": ("text/",), "alert": ("alerts/",)}[kind]
    lines = [
        {**line, "at": line["at"] + seconds}
        if line["kind"] == kind or is_source(line, *sources)
        else line
        for line in recording.lines
    ]
    return recording.header, sorted(lines, key=lambda line: float(line["at"]))


def started_late(recording: Recording, *, share: float) -> Variant:
    """The monitor starts in the middle: lists and the log so far at once, then what follows."""
    begin = recording.instant(share)
    so_far = [line for line in recording.lines if line["at"] <= begin]
    live = [line for line in recording.lines if line["at"] > begin]
    states = {line["name"]: line for line in so_far if line["kind"] == "source"}
    up = {name for name, line in states.items() if line["state"] == "up"}
    opening: list[Line] = []
    for resource, objects in objects_after(so_far).items():
        if f"kubernetes/{resource}" in up:
            opening.append(source(begin, f"kubernetes/{resource}", "up", "listed"))
            opening.append(
                {"at": begin, "kind": "list", "resource": resource, "items": [*objects.values()]}
            )
    opening.extend(
        source(begin, name, "up", states[name]["reason"])
        for name in sorted(up)
        if not name.startswith("kubernetes/")
    )
    text = [line for line in so_far if line["kind"] == "text" and f"text/{line['node']}" in up]
    opening.extend({**line, "at": begin} for line in latest_incarnations(text))
    return {**recording.header, "started": begin}, [*opening, *live]


def incarnation_of(line: Line) -> tuple[str, int]:
    return (line["podUid"], line["restart"])


def objects_after(lines: Iterable[Line]) -> dict[str, dict[str, Line]]:
    """The objects of each resource as they are after those lines."""
    known: dict[str, dict[str, Line]] = {}
    for line in lines:
        if line["kind"] == "list":
            known[line["resource"]] = {item["metadata"]["uid"]: item for item in line["items"]}
        elif line["kind"] == "watch":
            item, objects = line["event"]["object"], known.setdefault(line["resource"], {})
            if line["event"]["type"] in {"ADDED", "MODIFIED"}:
                objects[item["metadata"]["uid"]] = item
            elif line["event"]["type"] == "DELETED":
                objects.pop(item["metadata"]["uid"], None)
    return known


def source(at: float, name: str, state: str, reason: str) -> Line:
    return {"at": at, "kind": "source", "name": name, "state": state, "reason": reason}


def is_source(line: Line, *prefixes: str) -> bool:
    return line["kind"] == "source" and str(line["name"]).startswith(prefixes)


SHARES: Final = tuple(hundredths / 100 for hundredths in range(15, 100, 11))

BLIND: Final[dict[str, Callable[[Recording], Variant]]] = {
    "without text": without_text,
    "without relay": without_relay,
    **{
        f"text of {node or 'all nodes'} lost for {seconds} s at {share}": partial(
            text_lost, share=share, seconds=seconds, node=node
        )
        for node in ("", "node-a", "node-b")
        for seconds in (2, 6)
        for share in SHARES
    },
    **{f"started at {share}": partial(started_late, share=share) for share in SHARES},
}
COMPLETE: Final[dict[str, Callable[[Recording], Variant]]] = {
    **{
        f"text sent again after {seconds} s at {share}": partial(
            text_lost, share=share, seconds=seconds, resent=True
        )
        for seconds in (1, 5)
        for share in SHARES
    },
    **{
        f"{kind} delayed by {seconds} s": partial(delayed, kind=kind, seconds=seconds)
        for kind in ("text", "alert")
        for seconds in (0.2, 1.5)
    },
}


def write(variant: Variant, path: Path) -> None:
    header, lines = variant
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (header, *lines)))
