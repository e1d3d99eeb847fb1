"""How a policy's revision travels: known by a daemon, written on its node, known by all."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from monitor.core.evidence import PolicyKey
from monitor.core.instants import difference
from monitor.core.model import Interval, PolicyTiming
from monitor.core.nodes import NodeState
from monitor.core.policies import PolicyState

Revision = tuple[PolicyKey, int]
REVISIONS_KEPT: Final = 10_000


class _Journey:
    """Which nodes have known a revision, and whether it was said that all do."""

    __slots__ = ("complete", "known_by")

    def __init__(self) -> None:
        self.known_by: set[str] = set()
        self.complete = False


class Propagation:
    """Which revisions are on their way, and where they still have to be written."""

    def __init__(self) -> None:
        self._journeys: dict[Revision, _Journey] = {}
        self._waiting: dict[str, dict[Revision, tuple[PolicyTiming, set[str]]]] = {}

    def awaits(self, node: str) -> bool:
        """Whether a revision that the node's daemon knows is still to be written there."""
        return node in self._waiting

    def learned(
        self, policy: PolicyState, node: NodeState, known: Interval, *, waiting: Iterable[str]
    ) -> PolicyTiming | None:
        """A node's daemon knows a revision; it has to be written on the containers `waiting`.

        None if an earlier daemon of that node knew it: to learn it again is part of a recovery.
        """
        revision = (policy.key, policy.generation)
        journey = self._journeys.setdefault(revision, _Journey())
        if node.name in journey.known_by:
            return None
        journey.known_by.add(node.name)
        if len(self._journeys) > REVISIONS_KEPT:
            del self._journeys[next(iter(self._journeys))]
        timing = PolicyTiming(
            policy=policy.reference,
            node=node.name,
            changed=policy.changed,
            known=known,
            propagation_seconds=difference(known, policy.changed),
            written=None,
        )
        containers = set(waiting)
        if containers:
            self._waiting.setdefault(node.name, {})[revision] = (timing, containers)
        return timing

    def written(
        self, policy: PolicyState, node: str, container: str, written: Interval
    ) -> Iterator[PolicyTiming]:
        """A container has the revision; yields the node's timing when it was the last one."""
        revision = (policy.key, policy.generation)
        found = self._waiting.get(node, {}).get(revision)
        if found is None:
            return
        timing, containers = found
        containers.discard(container)
        if containers:
            return
        self._arrived(node, revision)
        yield PolicyTiming(
            policy=timing.policy,
            node=node,
            changed=timing.changed,
            known=timing.known,
            propagation_seconds=timing.propagation_seconds,
            written=written,
        )

    def forget(self, container: str, node: str, policies: Iterable[PolicyKey]) -> None:
        """A container ended or expects those policies no longer."""
        waiting = self._waiting.get(node)
        if waiting is None:
            return
        gone = set(policies)
        for revision in [revision for revision in waiting if revision[0] in gone]:
            containers = waiting[revision][1]
            containers.discard(container)
            if not containers:
                self._arrived(node, revision)

    def _arrived(self, node: str, revision: Revision) -> None:
        waiting = self._waiting[node]
        del waiting[revision]
        if not waiting:
            del self._waiting[node]

    def everywhere(
        self, policy: PolicyState, nodes: Mapping[str, NodeState]
    ) -> PolicyTiming | None:
        """The timing of a revision that every running daemon knows; None while one does not.

        It is told once: that a node joins later does not make the revision slower.
        """
        journey = self._journeys.get((policy.key, policy.generation))
        daemons = [node for node in nodes.values() if node.incarnations]
        if journey is None or journey.complete or len(journey.known_by) < len(daemons):
            return None
        latest: Interval | None = None
        for node in daemons:
            incarnation = node.current()
            if incarnation is None:
                continue
            learned = policy.learned(incarnation, node.clock)
            if learned is None or not learned.certain:
                return None
            known = node.clock.instant(learned.position, at=learned.at)
            latest = known if latest is None else max(latest, known)
        if latest is None:
            return None
        journey.complete = True
        return PolicyTiming(
            policy=policy.reference,
            node="",
            changed=policy.changed,
            known=latest,
            propagation_seconds=difference(latest, policy.changed),
            written=None,
        )
