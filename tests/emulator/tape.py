"""What a monitor could see of a cluster, written down as a trace.

A source that is blind shows nothing. When it can be read again objects are listed anew; of the rest
what was missed is lost, or comes late.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.emulator.kubelet import identity
from tests.emulator.lines import Line, cri_entry, written
from tests.emulator.world import Object

TOLD_SECONDS = 0.004
HEALTH = "health/daemons"
FEEDS = {"alerts": "alert", "logs": "log", "messages": "message"}

Record = dict[str, Any]


class Tape:
    """Records with the instants at which a monitor would have received them."""

    def __init__(self, *, cluster: str, started: float) -> None:
        self.blind: set[str] = set()
        self._header = {"trace": 1, "cluster": cluster, "started": started}
        self._records: list[Record] = []
        self._missed: dict[str, list[Record]] = {}

    def write(self, path: Path) -> None:
        """Write the trace, in the order of receipt."""
        self._records.sort(key=lambda record: float(record["at"]))
        lines = [json.dumps(record) for record in (self._header, *self._records)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def source(self, name: str, state: str, reason: str, *, at: float) -> None:
        self._add("", at, kind="source", name=name, state=state, reason=reason)
        if state == "up":
            self.blind.discard(name)
        else:
            self.blind.add(name)

    def catch_up(self, source: str, *, at: float) -> None:
        """Show what a source had to show while it was blind."""
        for record in self._missed.pop(source, ()):
            self._records.append(record | {"at": at + TOLD_SECONDS})

    def list(self, resource: str, items: Sequence[Object], *, at: float) -> None:
        known = [dict(item) for item in items]
        self._add(f"kubernetes/{resource}", at, kind="list", resource=resource, items=known)

    def watch(self, resource: str, event: str, item: Object, *, at: float) -> None:
        told = {"type": event, "object": item}
        self._add(f"kubernetes/{resource}", at, kind="watch", resource=resource, event=told)

    def line(self, line: Line, *, node: str, pod: Object, restart: int, stamp: int) -> int:
        """Write one line of a daemon's output; return the kubelet's last stamp in microseconds."""
        for text in written(line):
            stamp = max(round(line.at * 1e6) + 100, stamp + 1)
            entry = cri_entry(text, microseconds=stamp).replace(" stderr F ", " ").rstrip("\n")
            self._add(
                f"text/{node}",
                stamp / 1e6,
                kind="text",
                node=node,
                pod=identity(pod),
                podUid=pod["metadata"]["uid"],
                restart=restart,
                container="kubearmor",
                line=entry,
            )
        return stamp

    def health(self, *, node: str, pod: Object, restart: int, serving: bool, at: float) -> None:
        """Write what a daemon's health service answered."""
        self._add(
            HEALTH,
            at,
            kind="health",
            node=node,
            podUid=pod["metadata"]["uid"],
            restart=restart,
            serving=serving,
        )

    def report(self, feed: str, fields: Mapping[str, Any], *, at: float) -> None:
        """Write an alert, a log or a message that the relay passed on."""
        self._add(f"{feed}/relay", at, kind=FEEDS[feed], via="relay", data=dict(fields))

    def _add(self, source: str, at: float, **record: Any) -> None:
        place = self._missed.setdefault(source, []) if source in self.blind else self._records
        place.append({"at": at + TOLD_SECONDS, **record})
