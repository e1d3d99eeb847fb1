"""What a KubeArmor v1.7.4 daemon prints, line for line as in the recordings.

`Proportions` counts the recording: how many containers started and ended, and how many were pushed
again without need, for each change of a policy that a daemon learned. A change of a policy makes a
daemon push every container of its node again, hence that number is the size of the node.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from string import Template

import zstandard
from msgspec import Struct, structs

from tests.bench.pods import Pod

RECORDING = Path(__file__).parents[1] / "traces/churn-v1.7.4/trace.jsonl.zst"
OPENING_NODE = "node-a"
SYNCED = "informer caches synced"
OWN_CONTAINER = re.compile(r"[0-9a-f]{64}|Detected a container|PidNS:4026")
WRITER_DELAY_NS = 120_000
ESCAPE = "\x1b"
INFO = f"{ESCAPE}[34mINFO{ESCAPE}[0m\t"


class Proportions(Struct, frozen=True):
    """How often what happens while a daemon learns `policies` changed policies."""

    policies: int
    pushed: float
    started: float
    ended: float

    @property
    def lines(self) -> float:
        of_containers = (
            self.pushed * len(PUSHED) + self.started * len(STARTED) + self.ended * len(ENDED)
        )
        return self.policies + of_containers


def _info(*texts: str) -> tuple[Template, ...]:
    return tuple(Template(f"{INFO}{text}" if text else "") for text in texts)


PUSHED = _info(
    "Updating container rules for $id",
    "Updating container preset rules for $id",
    "[ProtectProc] deleting container with id to protectProc_map exec map: $id",
    "",
)
STARTED = (
    *_info(
        "Detected a Pod (added/$namespace/$name)",
        "Successfully added visibility map with key={PidNS:$pid MntNS:$mount} to the kernel",
        "[ProtectProc] Registered container with id: $id",
        "",
        "Detected a container (added/$short/pidns=$pid/mntns=$mount)",
        "Detected a Pod (modified/$namespace/$name)",
    ),
    PUSHED[0],
    *_info("Creating inner map for $id"),
    *PUSHED[1:],
)
ENDED = (
    *_info(
        'failed to fetch Pod: %!w(*errors.StatusError=&{{{ } {   <nil> <nil>} Failure pods "$name"'
        " not found NotFound 0x3db55a94acc0 404}})",
        "",
        "Successfully deleted visibility map with key={PidNS:$pid MntNS:$mount} from the kernel",
    ),
    *PUSHED[2:],
    *_info(
        "[ProtectProc] Unregistered container with id: $id",
        "",
        "Detected a container (removed/$short/pidns=$pid/mntns=$mount)",
    ),
)


def of_pod(templates: Sequence[Template], pod: Pod) -> list[str]:
    """Return the lines that a daemon prints on one occasion about the container of a Pod."""
    values = {
        "id": pod.container_id,
        "short": pod.container_id[:12],
        "namespace": pod.namespace,
        "name": pod.name,
        "pid": 4_026_540_000 + 2 * pod.number,
        "mount": 4_026_540_001 + 2 * pod.number,
    }
    return [template.substitute(values) for template in templates]


def of_policy(name: str, *, namespace: str = "", action: str = "added") -> str:
    scope, path = ("", f"{namespace}/{name}") if namespace else ("Cluster ", name)
    return f"{INFO}Detected a {scope}Security Policy ({action}/{path})"


def opening(node: str, policies: Sequence[str]) -> list[str]:
    """Return what a daemon says from its first line until it watches Pods.

    `policies` are its lines about the policies that it finds.
    """
    texts = [text.replace(OPENING_NODE, node) for text in _opening()]
    place = next(place for place, text in enumerate(texts) if SYNCED in text)
    return [*texts[:place], *policies, *texts[place:]]


class Journal:
    """The output of one daemon, as pods/log gives it with timestamps."""

    def __init__(self) -> None:
        self._last = 0

    def line(self, text: str, *, at: float) -> bytes:
        """Return a line that the kubelet read at that instant, or just after the one before."""
        read = max(int(at * 1e9), self._last + 1000)
        self._last = read
        if not text:
            return f"{_stamp(read, 'T')}{read % 1_000_000_000:09d}Z ".encode()
        said = read - WRITER_DELAY_NS
        own = f"{_stamp(said, ' ')}{said // 1000 % 1_000_000:06d}\t" if text[0] == ESCAPE else ""
        return f"{_stamp(read, 'T')}{read % 1_000_000_000:09d}Z {own}{text}".encode()


def _stamp(nanoseconds: int, between: str) -> str:
    return _second(nanoseconds // 1_000_000_000, between)


@lru_cache(maxsize=256)
def _second(seconds: int, between: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(f"%Y-%m-%d{between}%H:%M:%S.")


def recorded() -> Proportions:
    """Return the proportions of the recording."""
    lines = [text for _, text in _recording()]
    changes = _count(lines, "Security Policy (")
    written = _count(lines, "Creating inner map")
    return Proportions(
        policies=1,
        pushed=(_count(lines, "Updating container rules") - written) / changes,
        started=_count(lines, "Detected a container (added") / changes,
        ended=_count(lines, "Detected a container (removed") / changes,
    )


def on_nodes_of(containers: int) -> Proportions:
    """Return the recording's proportions on nodes with so many containers."""
    seen = recorded()
    return structs.replace(seen, pushed=containers)


def _count(lines: list[str], words: str) -> int:
    return sum(words in line for line in lines)


@cache
def _opening() -> tuple[str, ...]:
    texts = []
    for node, text in _recording():
        if "Detected a Pod" in text:
            break
        if node == OPENING_NODE and not OWN_CONTAINER.search(text):
            texts.append(text.partition("\t")[2] if text[:2] == "20" else text)
    return tuple(texts)


def _recording() -> Iterator[tuple[str, str]]:
    """Yield node and text of each recorded line, without the kubelet's stamp."""
    with RECORDING.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as plain:
        for line in io.TextIOWrapper(plain, encoding="utf-8"):
            item = json.loads(line)
            if item.get("kind") == "text":
                yield item["node"], item["line"].partition(" ")[2]
