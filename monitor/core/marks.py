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
        self._kept = _bounded((*self._kept, Marks(changed, identities, mode(node))))

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

    def during(self, instant: Interval) -> tuple[Marks, ...]:
        """All marks that the node may have borne at that instant."""
        following = (*self._kept[1:], None)
        return tuple(
            marks
            for marks, after in zip(self._kept, following, strict=True)
            if marks.since[0] <= instant[1] and (after is None or instant[0] <= after.since[1])
        )


def _bounded(kept: tuple[Marks, ...]) -> tuple[Marks, ...]:
    """So many at most: of two neighbours that differ least is kept what both say.

    So what changes all the time, and selects nothing, is forgotten first. To know less of a time is
    safe: a node is taken for selected then only where it surely was.
    """
    if len(kept) <= KEPT:
        return kept
    place = min(range(len(kept) - 2), key=lambda one: (_distance(*kept[one : one + 2]), -one))
    first, second = kept[place : place + 2]
    mode = first.mode if first.mode != "enabled" else second.mode
    both = Marks(first.since, first.identities & second.identities, mode)
    return (*kept[:place], both, *kept[place + 2 :])


def _distance(one: Marks, other: Marks) -> tuple[bool, int]:
    return one.mode != other.mode, len(one.identities ^ other.identities)
