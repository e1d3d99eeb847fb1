"""Reads a recording: its cluster's events, its daemons' text, and the truth beside it."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zstandard

from tests.emulator.world import RuntimeContainer, World

Record = dict[str, Any]

_STAMPED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})\t\x1b\[\d+m(\w+)\x1b\[0m\t(.*)")
_VERSION = re.compile(r"BUILD-INFO: version: (v[\d.]+)|Created plugin \d+-kubearmor-(v[\d.]+) ")
_CONTAINER = re.compile(
    r"Detected a container \((added|removed)/([0-9a-f]{12})/pidns=(\d+)/mntns=(\d+)\)"
)
_VISIBLE = re.compile(
    r"Successfully (added|deleted) visibility map with key={PidNS:(\d+) MntNS:(\d+)}"
)
_POLICY = re.compile(r"Detected a (?:Cluster )?Security Policy \(.*\)")
_RULES = re.compile(r"(Updating container rules|Creating inner map|Deleting inner map) for (\w+)")
_UPDATING = re.compile(r"Updating container rules for (\w+)")
_ACT = re.compile(r"act ([^/]+)/([^/]+)/(\S+) (\S+): denied=(True|False)")
_POD = re.compile(r"Detected a Pod \((\w+)/([^/]+)/([^)]+)\)")


WAY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """A start or a stop, at the instant at which the daemon was told."""

    at: float
    stopped: bool
    id_prefix: str
    pid_namespace: int
    mount_namespace: int


@dataclass(slots=True)
class Incarnation:
    """One run of a daemon as its text shows it."""

    node: str
    pod: str
    version: str = ""
    address: str = ""
    debug: bool = False
    enforcing: bool = True
    lines: list[tuple[float, str]] = field(default_factory=list)
    terminated: float | None = None
    ended: float = float("inf")

    @property
    def started(self) -> float:
        return self.lines[0][0]


@dataclass(frozen=True, slots=True)
class Act:
    """An action of a container's process, and what was reported of it."""

    at: float
    namespace: str
    pod: str
    container: str
    path: str
    denied: bool
    alerts: tuple[Record, ...]
    logs: tuple[Record, ...]


@dataclass(slots=True)
class Recording:
    records: list[Record]
    truths: list[Record]
    incarnations: list[Incarnation]
    containers: dict[str, RuntimeContainer]
    acts: list[Act]


def read(folder: Path) -> Recording:
    """Read the folder of a recording."""
    with (folder / "trace.jsonl.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        records = [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]
    with (folder / "truth.jsonl").open(encoding="utf-8") as file:
        truths = [json.loads(line) for line in file]
    return Recording(
        records=records[1:],
        truths=truths,
        incarnations=_incarnations(records[1:]),
        containers=_containers(records[1:]),
        acts=list(_acts(records[1:])),
    )


def changes(records: list[Record]) -> Iterator[tuple[float, str, str, Record]]:
    """Yield what happened to the cluster's objects: instant, resource, event, object.

    A deletion that only a later list shows is a TOMBSTONE: nobody watching saw it happen.
    """
    listed = World()
    for record in records:
        at, resource = record["at"], record.get("resource", "")
        if record["kind"] == "list":
            for event, item in listed.replace(resource, record["items"]):
                yield at, resource, event.replace("DELETED", "TOMBSTONE"), item
        elif record["kind"] == "watch" and record["event"]["type"] in _CHANGES:
            event, item = record["event"]["type"], record["event"]["object"]
            listed.apply(resource, event, item)
            yield at, resource, event, item


_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


def runtime_events(incarnation: Incarnation) -> Iterator[RuntimeEvent]:
    """Yield what the runtime told this daemon; the visibility line is the first it leads to."""
    seen: dict[tuple[str, str, str], float] = {}
    for at, text in incarnation.lines:
        if visible := _VISIBLE.match(text):
            verb = {"added": "added", "deleted": "removed"}[visible[1]]
            seen[verb, visible[2], visible[3]] = at
        elif found := _CONTAINER.match(text):
            verb, prefix, pid_namespace, mount_namespace = found.groups()
            yield RuntimeEvent(
                at=seen.get((verb, pid_namespace, mount_namespace), at),
                stopped=verb == "removed",
                id_prefix=prefix,
                pid_namespace=int(pid_namespace),
                mount_namespace=int(mount_namespace),
            )


def rule_lines(texts: Iterator[str]) -> dict[str, list[str]]:
    """Return, for each container named, the order of the policy lines and of its own."""
    policies: list[str] = []
    found: dict[str, list[str]] = {}
    for text in texts:
        if _POLICY.match(text):
            policies.append(text)
            for lines in found.values():
                lines.append(text)
        elif rules := _RULES.match(text):
            found.setdefault(rules[2], list(policies)).append(rules[1])
    return found


def updated_by_pod_events(incarnation: Incarnation) -> Iterator[tuple[str, str, list[str]]]:
    """Yield, for each line of a Pod that updated something, its Pod and what, in order."""
    current: tuple[str, str, list[str]] | None = None
    for _, text in incarnation.lines:
        if pod := _POD.match(text):
            if current is not None and current[2]:
                yield current
            current = (pod[2], pod[3], [])
        elif current is not None and (rules := _UPDATING.match(text)):
            current[2].append(rules[1])
    if current is not None and current[2]:
        yield current


def _acts(records: list[Record]) -> Iterator[Act]:
    """Yield the marked actions; their reports come between the mark before and their own."""
    alerts: list[Record] = []
    logs: list[Record] = []
    for record in records:
        if record["kind"] == "alert":
            alerts.append(record["data"])
        elif record["kind"] == "log":
            logs.append(record["data"])
        elif record["kind"] == "mark":
            if act := _ACT.match(record["text"]):
                namespace, pod, container, path, denied = act.groups()
                yield Act(
                    at=record["at"],
                    namespace=namespace,
                    pod=pod,
                    container=container,
                    path=path,
                    denied=denied == "True",
                    alerts=tuple(alerts),
                    logs=tuple(logs),
                )
            alerts, logs = [], []


def _offsets(records: list[Record]) -> dict[str, float]:
    """Return by how much the clock of each node is behind that of whoever recorded.

    No line is read before it is printed; a difference that a line's way may take is none.
    """
    shortest: dict[str, float] = {}
    for record in records:
        if record["kind"] == "text" and (stamped := _STAMPED.search(record["line"])):
            behind = record["at"] - _moment(stamped[1])
            shortest[record["node"]] = min(behind, shortest.get(record["node"], behind))
    return {node: behind if abs(behind) > WAY_SECONDS else 0.0 for node, behind in shortest.items()}


def _moment(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _incarnations(records: list[Record]) -> list[Incarnation]:
    found: dict[tuple[str, int], Incarnation] = {}
    last: dict[tuple[str, int], str] = {}
    offsets = _offsets(records)
    for record in records:
        if record["kind"] != "text":
            continue
        key = (record["podUid"], record["restart"])
        stamp, _, line = record["line"].partition(" ")
        if stamp > last.get(key, ""):
            last[key] = stamp
            held = found.setdefault(key, Incarnation(record["node"], record["pod"]))
            _note(held, line, offset=offsets.get(record["node"], 0.0))
    _note_ends(records, found)
    return list(found.values())


def _note(incarnation: Incarnation, line: str, *, offset: float) -> None:
    at, text = incarnation.lines[-1][0] if incarnation.lines else 0.0, line
    if stamped := _STAMPED.match(line):
        at, text = _moment(stamped[1]) + offset, stamped[3]
    incarnation.lines.append((at, text))
    if version := _VERSION.search(text):
        incarnation.version = version[1] or version[2]
    if text.startswith("Node IP: "):
        incarnation.address = text.removeprefix("Node IP: ")
    incarnation.debug |= text.startswith("Final Configuration") and "Debug:true" in text
    incarnation.enforcing &= not text.startswith("Disabled KubeArmor Enforcer")
    if text == "Got a signal to terminate KubeArmor":
        incarnation.terminated = at


def _note_ends(records: list[Record], found: dict[tuple[str, int], Incarnation]) -> None:
    for at, resource, event, item in changes(records):
        if resource != "pods":
            continue
        uid = item["metadata"]["uid"]
        if event in {"DELETED", "TOMBSTONE"}:
            for (pod_uid, _), incarnation in found.items():
                if pod_uid == uid:
                    last = incarnation.lines[-1][0]
                    incarnation.ended = min(incarnation.ended, max(at, last))
        for status in (item.get("status") or {}).get("containerStatuses") or []:
            held = found.get((uid, status.get("restartCount", 0)))
            if held is not None and "terminated" in (status.get("state") or {}):
                held.ended = min(held.ended, at)


def _containers(records: list[Record]) -> dict[str, RuntimeContainer]:
    """Return every container that some Pod's status names, by the start of its id."""
    found: dict[str, RuntimeContainer] = {}
    for _, resource, _, item in changes(records):
        if resource != "pods":
            continue
        status = item.get("status") or {}
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for container in status.get(kind) or []:
                identity = container.get("containerID", "").partition("://")[2]
                if identity:
                    found[identity[:12]] = RuntimeContainer(
                        id=identity,
                        name=container["name"],
                        namespace=item["metadata"]["namespace"],
                        pod=item["metadata"]["name"],
                        pid_namespace=0,
                        mount_namespace=0,
                    )
    return found
