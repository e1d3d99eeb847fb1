"""Incidents: the open gaps of one cause in one scope, which a person is told of once.

An incident is closed as soon as none of its gaps is open, and opened again under the same id if
one opens within the hold. While it is open it counts the containers it holds; once closed, the
most it held at once.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from monitor.core.causes import CAUSES
from monitor.core.identity import digest
from monitor.core.joining import ROLLOUT, Belonging
from monitor.core.model import Incident, Interval

INFORMATIONAL: Final = frozenset({ROLLOUT, "startup-window"})
Key = tuple[str, str]


def pages(cause: str) -> bool:
    """Whether a person is to be paged for incidents of that cause."""
    return cause not in INFORMATIONAL


class _Group:
    """All incidents of one cause and scope, of which the last may be open.

    `gaps`: the open ones, and whose; `held`: how many of them each container has; `most`: of how
    many containers there were at once in the last incident; `affected`: of how many in all; `told`:
    the last incident as it was announced.
    """

    __slots__ = ("affected", "gaps", "held", "history", "most", "told")

    def __init__(self) -> None:
        self.gaps: dict[str, str] = {}
        self.held: dict[str, int] = {}
        self.history: list[Incident] = []
        self.most = 0
        self.affected = 0
        self.told: Incident | None = None

    def take(self, gap: str, container_id: str) -> bool:
        """Note an open gap; whether it was not known."""
        if gap in self.gaps:
            return False
        self.gaps[gap] = container_id
        self.held[container_id] = self.held.get(container_id, 0) + 1
        return True

    def drop(self, gap: str) -> None:
        """A gap is closed, or belongs to another incident."""
        container_id = self.gaps.pop(gap)
        self.held[container_id] -= 1
        if not self.held[container_id]:
            del self.held[container_id]

    def begin(self, incident: Incident) -> None:
        self.history.append(incident)
        self.most = self.affected = 0


class Incidents:
    """All incidents, open and closed."""

    def __init__(self, *, cluster: str, hold: float) -> None:
        self._cluster = cluster
        self._hold = hold
        self._groups: dict[Key, _Group] = {}
        self._touched: set[Key] = set()
        self._affected: dict[str, set[str]] = {}

    def join(self, belonging: Belonging, *, gap: str, container_id: str, since: Interval) -> str:
        """Let an open gap belong to its incident; return the incident's id."""
        key = belonging.key
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        if group.take(gap, container_id):
            self._touched.add(key)
        latest = group.history[-1] if group.history else None
        if latest is None or self._is_over(latest, belonging, since):
            group.begin(self._first(belonging, since, number=len(group.history) + 1))
        elif latest.state == "closed":
            group.history[-1] = replace(
                latest, state="open", until=None, reopened=latest.reopened + 1
            )
        elif since < latest.since:
            group.history[-1] = replace(latest, since=since)
            self._touched.add(key)
        identity = group.history[-1].id
        ever = self._affected.setdefault(container_id, set())
        if identity not in ever:
            ever.add(identity)
            group.affected += 1
        return identity

    def _is_over(self, latest: Incident, belonging: Belonging, since: Interval) -> bool:
        """Whether a gap of then is no longer one of an incident that was closed."""
        if latest.until is None or belonging.lasting:
            return False
        return since[1] - latest.until[1] > self._hold

    def _first(self, belonging: Belonging, since: Interval, *, number: int) -> Incident:
        cause, scope = belonging.key
        return Incident(
            id=digest("incident", self._cluster, cause, scope, str(number)),
            state="open",
            severity="page" if pages(cause) else "info",
            cause=cause,
            scope=scope,
            release=belonging.release,
            containers=0,
            affected=0,
            since=since,
            until=None,
            remedy=CAUSES[cause].remedy_on(belonging.release),
        )

    def leave(self, key: Key, gap: str) -> None:
        """A gap is closed, or belongs to another incident from now on."""
        self._groups[key].drop(gap)
        self._touched.add(key)

    def forget(self, container_id: str) -> None:
        """A container has ended: no gap of it will open any more."""
        self._affected.pop(container_id, None)

    def settle(self, *, now: float) -> Iterator[Incident]:
        """Bring the incidents that were touched up to date; yield those that changed."""
        touched, self._touched = self._touched, set()
        for key in sorted(touched):
            group = self._groups[key]
            before = group.history[-1]
            held = len(group.held)
            group.most = max(group.most, held, 1)
            if held:
                after = replace(before, containers=held, affected=group.affected)
            elif before.state == "open":
                after = replace(
                    before,
                    state="closed",
                    until=(now, now),
                    containers=group.most,
                    affected=group.affected,
                )
            else:
                after = before
            group.history[-1] = after
            if after != group.told:
                group.told = after
                yield after

    def all(self) -> tuple[Incident, ...]:
        """All incidents, by start and id."""
        every = [incident for group in self._groups.values() for incident in group.history]
        return tuple(sorted(every, key=lambda i: (i.since, i.id)))

    def open_by_cause(self) -> dict[str, int]:
        """How many incidents of each cause are open."""
        counts: dict[str, int] = {}
        for (cause, _scope), group in self._groups.items():
            if group.history[-1].state == "open":
                counts[cause] = counts.get(cause, 0) + 1
        return counts
