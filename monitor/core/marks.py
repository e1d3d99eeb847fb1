"""What a Node object says to KubeArmor: its labels, and the annotation for host policies.

A daemon looks at them when it evaluates its host policies, which it does on policy events only
(dossier 5.4). So it matters what they were at an earlier time.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from monitor.core.containers import mode
from monitor.core.instants import second_of
from monitor.core.kubernetes import Node
from monitor.core.model import Interval
from monitor.core.node_selector import identities_of

KEPT: Final = 16


class Marks(Struct, frozen=True):
    """The marks of a node from one change to the next; `mode` concerns host policies (6.6)."""

    since: Interval
    identities: frozenset[str]
    mode: str


class MarksOfNode:
    """The present marks of a node and those before, the latest last; empty where it is unknown."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[Marks, ...] = ()

    def take(self, node: Node | None, *, since: float, at: float) -> None:
        """The object is so at `at`, and was as before until `since`; None: it is deleted."""
        if node is None:
            self._kept = ()
            return
        identities = identities_of(node.metadata.labels)
        latest = self.latest
        if latest is not None and (latest.identities, latest.mode) == (identities, mode(node)):
            return
        changed = (since, at)
        if latest is None:
            changed = second_of(node.metadata.creation_timestamp) or (at, at)
        self._kept = (*self._kept, Marks(changed, identities, mode(node)))[-KEPT:]

    @property
    def latest(self) -> Marks | None:
        return self._kept[-1] if self._kept else None

    def since(self, holds: Callable[[Marks], bool]) -> Interval | None:
        """Since when something has held that holds now; None if it does not."""
        found: Interval | None = None
        for marks in reversed(self._kept):
            if not holds(marks):
                break
            found = marks.since
        return found

    def at(self, instant: float) -> Marks | None:
        """The marks at an instant; those that may have come just before it count as there."""
        before = [marks for marks in self._kept if marks.since[0] <= instant]
        return before[-1] if before else None
