"""Gaps: what was announced, when it opened, how it ended, to which incident it belongs.

A gap is one (container, opening); what opened it is the container's start, a policy's revision, the
end of a daemon's incarnation, a removal of rules or a change of labels, so the same facts give the
same id in any process.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from monitor.core.causes import rank
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.identity import digest
from monitor.core.incidents import Incidents, pages
from monitor.core.joining import Belonging
from monitor.core.model import Gap, Incident, Interval, PolicyReference, Reason

CLOSED_KEPT: Final = 100_000


class Exposed(Struct, frozen=True, gc=False):
    """A pair that is not in force: what the ledger needs to know of it."""

    policy: PolicyReference
    verdict: str
    cause: str
    since: Interval
    opening: str
    belonging: Belonging
    reasons: tuple[Reason, ...] = ()


class OpenGap:
    """A gap, what opened it, and the incident that it belongs to.

    `announced`: when it was; a gap announced at its deadline can turn out never to have been.
    """

    __slots__ = ("announced", "belonging", "gap", "opening")

    def __init__(self, gap: Gap, *, opening: str, announced: float, belonging: Belonging) -> None:
        self.gap = gap
        self.opening = opening
        self.announced = announced
        self.belonging = belonging


class Ledger:
    """All gaps and incidents, open and ended."""

    def __init__(self, *, cluster: str, grace: float, hold: float) -> None:
        self._cluster = cluster
        self._grace = grace
        self._open: dict[str, dict[str, OpenGap]] = {}
        self._ended: dict[str, Gap] = {}
        self._unsure: dict[str, dict[str, OpenGap]] = {}
        self._incidents = Incidents(cluster=cluster, hold=hold)
        self.total: dict[str, int] = {}
        self.withdrawn = 0

    # --- gaps -----------------------------------------------------------------------------------

    def holds(self, container_id: str) -> bool:
        """Whether a gap of that container is open."""
        return container_id in self._open

    def open_with(
        self, container_id: str, policy: PolicyReference, *, opening: str
    ) -> OpenGap | None:
        """The open gap of a pair: preferably of that opening, else any."""
        entries = [
            entry
            for entry in self._open.get(container_id, {}).values()
            if policy in entry.gap.policies
        ]
        return min(entries, key=lambda entry: entry.opening != opening, default=None)

    def identity(self, container_id: str, opening: str) -> str:
        """The id of the gap of that container and opening."""
        return digest("gap", self._cluster, container_id, opening)

    def update(
        self,
        container: ContainerRecord,
        exposed: Iterable[Exposed],
        *,
        healed: Mapping[PolicyKey, Interval],
        now: float,
        ended: Interval | None = None,
        unsure: Collection[PolicyKey] = (),
        let_go: Callable[[Gap], Interval] | None = None,
    ) -> list[Gap]:
        """Make the container's open gaps equal to what is exposed; return what changed.

        `healed`: when the rules of each policy were written; `unsure`: of which of them that may
        have been sooner; `ended`: when the container ended; `let_go`: when a gap ended otherwise.
        """
        groups: dict[str, list[Exposed]] = {}
        for pair in exposed:
            groups.setdefault(self.identity(container.id, pair.opening), []).append(pair)
        known = self._open.get(container.id)
        if ended is not None:
            self._incidents.forget(container.id)
            self._unsure.pop(container.id, None)
        if not groups and not known:
            return []
        changed = [
            self._close(
                container.id, identity, healed=healed, until=ended, unsure=unsure, let_go=let_go
            )
            for identity in [identity for identity in known or {} if identity not in groups]
        ]
        for identity, pairs in groups.items():
            gap = self._put(container, identity, pairs, now=now)
            if gap is not None:
                changed.append(gap)
        return changed

    def _put(
        self, container: ContainerRecord, identity: str, pairs: list[Exposed], *, now: float
    ) -> Gap | None:
        worst = min(
            pairs, key=lambda pair: (rank(pair.cause), pair.policy.name, pair.policy.namespace)
        )
        incident = self._incidents.join(
            worst.belonging, gap=identity, container_id=container.id, since=worst.since
        )
        known = self._open.setdefault(container.id, {}).get(identity)
        gap = Gap(
            id=identity,
            state="open",
            verdict="lost" if worst.verdict == "lost" else "gap",
            cause=worst.cause,
            incident=incident,
            node=container.node,
            namespace=container.pod.namespace,
            pod=container.pod.name,
            container=container.name,
            container_id=container.id,
            policies=tuple(
                sorted((p.policy for p in pairs), key=lambda p: (p.kind, p.namespace, p.name))
            ),
            since=min(pair.since for pair in pairs),
            until=None,
            reasons=worst.reasons,
        )
        if known is None:
            before = self._ended.pop(identity, None)
            if before is not None:
                gap = replace(gap, reopened=before.reopened + 1)
            self.total[worst.cause] = self.total.get(worst.cause, 0) + 1
            self._open[container.id][identity] = OpenGap(
                gap, opening=worst.opening, announced=now, belonging=worst.belonging
            )
            return gap
        if known.belonging.key != worst.belonging.key:
            self._incidents.leave(known.belonging.key, identity)
        known.belonging = worst.belonging
        gap = replace(gap, reopened=known.gap.reopened)
        if known.gap == gap:
            return None
        known.gap = gap
        return gap

    def _close(
        self,
        container_id: str,
        identity: str,
        *,
        healed: Mapping[PolicyKey, Interval],
        until: Interval | None,
        unsure: Collection[PolicyKey],
        let_go: Callable[[Gap], Interval] | None,
    ) -> Gap:
        entry = self._open[container_id].pop(identity)
        if not self._open[container_id]:
            del self._open[container_id]
        written = max((healed[key] for key in _keys(entry.gap) if key in healed), default=None)
        until = until or written
        if until is None:
            assert let_go is not None
            until = let_go(entry.gap)
        ended = self._over(entry, until=until, written=written)
        self.withdrawn += ended.state == "withdrawn"
        self._ended[identity] = ended
        if unsure and not set(_keys(ended)).isdisjoint(unsure):
            self._unsure.setdefault(container_id, {})[identity] = entry
        if len(self._ended) > CLOSED_KEPT:
            self._ended.pop(next(iter(self._ended)))
        self._incidents.leave(entry.belonging.key, identity)
        return ended

    def _over(self, entry: OpenGap, *, until: Interval, written: Interval | None) -> Gap:
        """A gap as it is when it has ended, by rules that were written if they were.

        It never was if they were in time, or if the pair was over before anything befell it.
        """
        gap = entry.gap
        if written is None:
            never = until[1] < gap.since[1]
        else:
            by_silence = gap.verdict == "gap" and entry.announced >= gap.since[1] + self._grace
            never = by_silence and written[1] <= gap.since[1] + self._grace
        until = (max(until[0], gap.since[0]), max(until[1], gap.since[1]))
        healing = written is not None and gap.cause == "unexplained"
        cause = "startup-window" if healing else gap.cause
        return replace(gap, state="withdrawn" if never else "closed", cause=cause, until=until)

    def correct(
        self,
        container_id: str,
        written: Collection[PolicyKey],
        *,
        healed: Mapping[PolicyKey, Interval],
    ) -> Iterator[Gap]:
        """Gaps of these policies were over sooner than it seemed; yield those that differ."""
        for identity, entry in self._unsure.get(container_id, {}).items():
            keys = set(_keys(entry.gap))
            known = self._ended.get(identity)
            if known is None or known.until is None or keys.isdisjoint(written):
                continue
            until = max((healed[key] for key in keys if key in healed), default=known.until)
            ended = self._over(entry, until=until, written=until)
            if ended.until is None or ended.until >= known.until:
                continue
            self.withdrawn += ended.state != known.state
            self._ended[identity] = ended
            yield ended

    def missed(
        self, container: ContainerRecord, pairs: list[Exposed], *, until: Interval, now: float
    ) -> list[Gap]:
        """A container ended before its rules were written: its gap is announced when it is over."""
        opened = self.update(container, pairs, healed={}, now=now)
        return [*opened, *self.update(container, (), healed={}, now=now, ended=until)]

    def settle(self, *, now: float) -> Iterator[Incident]:
        """Bring the incidents that were touched up to date; yield those that changed."""
        return self._incidents.settle(now=now)

    # --- what stands ----------------------------------------------------------------------------

    def gaps(self) -> tuple[Gap, ...]:
        """All gaps, by start, container and id."""
        standing = [entry.gap for gaps in self._open.values() for entry in gaps.values()]
        return tuple(
            sorted(
                [*self._ended.values(), *standing], key=lambda g: (g.since, g.container_id, g.id)
            )
        )

    def gaps_of(self, container_id: str) -> tuple[Gap, ...]:
        """The gaps of one container, by start and id."""
        standing = [entry.gap for entry in self._open.get(container_id, {}).values()]
        ended = [gap for gap in self._ended.values() if gap.container_id == container_id]
        return tuple(sorted([*ended, *standing], key=lambda g: (g.since, g.id)))

    def incidents(self) -> tuple[Incident, ...]:
        """All incidents, by start and id."""
        return self._incidents.all()

    def incidents_open(self) -> dict[str, int]:
        """How many incidents of each cause are open."""
        return self._incidents.open_by_cause()

    def gaps_open(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many gaps of each cause are open; and how many of them belong to what pages."""
        gaps: dict[str, int] = {}
        paging: dict[str, int] = {}
        for entries in self._open.values():
            for entry in entries.values():
                cause = entry.gap.cause
                gaps[cause] = gaps.get(cause, 0) + 1
                if pages(entry.belonging.cause):
                    paging[cause] = paging.get(cause, 0) + 1
        return gaps, paging


def _keys(gap: Gap) -> Iterator[PolicyKey]:
    """The policies of a gap, whatever their revision."""
    return ((policy.kind, policy.namespace, policy.name) for policy in gap.policies)
