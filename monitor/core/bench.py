"""Judging containers: from their pairs to a verdict, from what was to what is announced.

A container is judged whole: each expected policy gets its verdict, the worst one is the
container's. What is remembered between two judgements is only what later facts cannot tell: which
pairs were covered, and by which incarnation of the daemon; to what a covered pair was lost; which
gaps are open.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from monitor.core.causes import CAUSES
from monitor.core.circumstances import Limits, NodeView
from monitor.core.containers import NEVER, ContainerRecord, Uncovered
from monitor.core.deadlines import Deadlines
from monitor.core.effect_first import corrected, note_effects
from monitor.core.evidence import PolicyKey
from monitor.core.exposure import Exposure, ended_windows, exposure_of, open_since
from monitor.core.gaps import Exposed, Ledger
from monitor.core.instants import difference
from monitor.core.joining import Joining
from monitor.core.judge import Judge
from monitor.core.judgement import exemption
from monitor.core.letting_go import let_go_at, stopped_at
from monitor.core.model import (
    Announcement,
    ContainerGone,
    CoverageState,
    Interval,
    PolicySetState,
)
from monitor.core.nodes import NodeState
from monitor.core.pairs import SPARED, answers, pair_state, worst
from monitor.core.propagation import Propagation
from monitor.core.timing import container_timing, delay_of, note_delays, proof_timing
from monitor.core.verdict import Judged
from monitor.core.views import Instant, Views, as_of
from monitor.core.world import World

OVER: Final = "over/"
"""Before a container's id: the deadline by which it is told that it ended unprotected."""


class Bench:
    """Judges what is marked in the world, and keeps the ledger of gaps in step."""

    def __init__(
        self,
        *,
        world: World,
        ledger: Ledger,
        deadlines: Deadlines,
        propagation: Propagation,
        views: Views,
        joining: Joining,
        judge: Judge,
        limits: Limits,
    ) -> None:
        self._judge = judge
        self._over: dict[str, tuple[ContainerRecord, Interval]] = {}
        self._joining = joining
        self._propagation = propagation
        self._world = world
        self._ledger = ledger
        self._deadlines = deadlines
        self._views = views
        self._limits = limits
        self.exposed_seconds = 0.0
        self.termination_seconds = 0.0

    # --- settling -------------------------------------------------------------------------------

    def settle(self, *, now: float) -> Iterator[Announcement]:
        """Judge everything that is marked; yield what differs from before."""
        nodes = self._views.at(now)
        self._judge.convene()
        dirty, self._world.dirty = self._world.dirty, {}
        for identity in dirty:
            container = self._world.containers.get(identity)
            if container is not None:
                yield from self._settle(container, nodes[container.node], now=now)
        ended, self._world.ended = self._world.ended, []
        for container, instant in ended:
            yield from self._finish(container, instant, nodes, now=now)
        yield from self._ledger.settle(now=now)

    # --- one container --------------------------------------------------------------------------

    def _settle(
        self, container: ContainerRecord, view: NodeView, *, now: float
    ) -> Iterator[Announcement]:
        since = container.pod.deleting_since
        if container.frozen is not None and since is not None and self._world.marked_at >= since:
            yield from self._drop_deleted(container, container.frozen, view, now=now)
            return
        container.frozen = None
        then = now
        if since is not None:
            view, then = as_of(since, view, now=now)
        spared = exemption(container, view)
        if spared is not None:
            standing, judged = NEVER, dict.fromkeys(container.expected.keys, spared)
        else:
            if container.effects is not None and not container.proven:
                yield from self._first_proof(container, view, now=now)
            standing = NEVER
            if not container.effect_first:
                standing = self._judge.standing(container, view)
            if self._is_settled(container, standing):
                if since is not None and not view.blind:
                    container.frozen = self._as_reported(container, view, {}, standing=standing)
                return
            judged = self._judge.pairs(container, view, standing=standing, now=then)
        judged = self._judge.of_before_its_end(container, judged)
        told = answers(judged)
        if container.effect_first:
            yield from self._correct(container, view, judged)
        self._expose(container, view, judged, now=now)
        self._remember(container, view, judged, told, standing=standing)
        yield from self._announce(container, view, judged, told, standing=standing, now=now)
        self._plan(container, told, now=now)
        if since is not None and not view.blind:
            container.frozen = self._as_reported(container, view, judged, standing=standing)

    def _as_reported(
        self,
        container: ContainerRecord,
        view: NodeView,
        judged: dict[PolicyKey, Judged],
        *,
        standing: frozenset[PolicyKey],
    ) -> dict[PolicyKey, Judged]:
        """What was so when its Pod's deletion began, each pair as a report shows it."""
        since = container.pod.deleting_since
        if container.effects is not None and since is not None:
            return self._judge.whole(container, view, now=since)
        return self._judge.stood(container, view, standing) | judged

    def _drop_deleted(
        self,
        container: ContainerRecord,
        frozen: Mapping[PolicyKey, Judged],
        view: NodeView,
        *,
        now: float,
    ) -> Iterator[Announcement]:
        """Of what was when its Pod's deletion began, let go of revisions that are no more."""
        policies = self._world.policies
        left = {key: judged for key, judged in frozen.items() if key in policies}
        left = self._judge.of_before_its_end(container, left)
        if len(left) < len(frozen):
            container.frozen = left
            yield from self._announce(container, view, left, answers(left), standing=NEVER, now=now)

    @staticmethod
    def _is_settled(container: ContainerRecord, standing: frozenset[PolicyKey]) -> bool:
        """Whether all is covered, was so before, and was said so of these policies."""
        return (
            standing is container.expected.members
            and container.verdict == "covered"
            and container.announced is container.expected
        )

    def _plan(self, container: ContainerRecord, told: tuple[Judged, ...], *, now: float) -> None:
        recheck = min((j.recheck for j in told if j.recheck is not None), default=None)
        if recheck is None:
            self._deadlines.drop(container.id)
        else:
            later_on = recheck if recheck > now else now + self._limits.grace
            self._deadlines.put(container.id, later_on)

    def _remember(
        self,
        container: ContainerRecord,
        view: NodeView,
        judged: dict[PolicyKey, Judged],
        told: tuple[Judged, ...],
        *,
        standing: frozenset[PolicyKey],
    ) -> None:
        fresh = [key for key, verdict in judged.items() if verdict.verdict == "covered"]
        timed = container.delay is not None or container.delays
        known = fresh
        if len(fresh) < len(judged):
            known = [key for key, verdict in judged.items() if verdict.written is not None]
        untimed = [key for key in known if delay_of(container, key) is None] if timed else known
        if untimed:
            note_delays(container, view, judged, untimed, expectation=self._world.expectation)
        covered = standing if not fresh else standing.union(fresh)
        container.covered = self._world.expectation.common(container.expected.members, covered)
        if any(v.verdict == "lost" and v.opening.startswith("daemon:") for v in told):
            container.timed, container.recovering = False, True
        if container.covered and view.incarnation is not None:
            container.covered_by = view.identity
        sure = view.incarnation is None or (view.phase == "ready" and view.followed)
        if sure and any(verdict.verdict in {"gap", "lost"} for verdict in told):
            container.gap_under = view.identity
        if container.since_relabel:
            waiting = {k: at for k, at in container.since_relabel.items() if k not in covered}
            container.since_relabel = waiting or None
        if container.residual:
            self._drop_residual(container, view)

    def _drop_residual(self, container: ContainerRecord, view: NodeView) -> None:
        """A write after the change of labels took the rules away that are no longer expected."""
        evidence = view.incarnation.container(container.id) if view.incarnation else None
        if evidence is None:
            container.residual = None
            return
        kept = {key: at for key, at in (container.residual or {}).items() if evidence.write_at < at}
        container.residual = kept or None

    # --- announcing -----------------------------------------------------------------------------

    def _announce(
        self,
        container: ContainerRecord,
        view: NodeView,
        judged: dict[PolicyKey, Judged],
        told: tuple[Judged, ...],
        *,
        standing: frozenset[PolicyKey],
        now: float,
    ) -> Iterator[Announcement]:
        healed = _written(judged)
        exposed = [
            self._exposed(container, view, key, verdict, now=now)
            for key, verdict in judged.items()
            if verdict.verdict in {"gap", "lost"} or verdict.held
        ]
        yield from self._ledger.update(
            container,
            exposed,
            healed=healed,
            unsure=container.effect_first or (),
            let_go=lambda gap: let_go_at(gap, container, judged, world=self._world, now=now),
            now=now,
        )
        yield from self._arrivals(container, judged)
        before = (container.verdict, container.cause, container.uncovered)
        container.verdict, container.cause = worst(judged, told, standing=standing)
        container.uncovered = _uncovered(judged)
        after = (container.verdict, container.cause, container.uncovered)
        if after != before or container.announced is not container.expected:
            container.announced = container.expected
            yield from self._state(container, judged)
        if container.verdict == "covered" and not container.timed and healed:
            container.timed = True
            yield container_timing(container, view, max(healed.values()))

    def _first_proof(
        self, container: ContainerRecord, view: NodeView, *, now: float
    ) -> Iterator[Announcement]:
        """What the first effect that was reported of a container proves, told once."""
        for key in container.expected.keys:
            policy = self._world.policies[key]
            if container.effects is None or not container.effects.happened(policy.name):
                continue
            judged = self._judge.pair(container, policy, view, now=now)
            if judged.grade == "proven" and judged.since is not None:
                container.proven = True
                yield proof_timing(container, view, policy.reference, judged.since)
                return

    def _arrivals(
        self, container: ContainerRecord, judged: dict[PolicyKey, Judged]
    ) -> Iterator[Announcement]:
        """The revisions that have now reached the last container of the node."""
        if not self._propagation.awaits(container.node):
            return
        for key, verdict in judged.items():
            if verdict.verdict == "covered" and verdict.written is not None:
                policy = self._world.policies[key]
                yield from self._propagation.written(
                    policy, container.node, container.id, verdict.written
                )

    def _state(
        self, container: ContainerRecord, judged: dict[PolicyKey, Judged]
    ) -> Iterator[Announcement]:
        expected = container.expected
        if not expected.announced:
            expected.announced = True
            yield PolicySetState(id=expected.id, policies=expected.references)
        yield CoverageState(
            node=container.node,
            namespace=container.pod.namespace,
            pod=container.pod.name,
            pod_uid=container.pod.uid,
            container=container.name,
            container_id=container.id,
            kind=container.kind,
            verdict=container.verdict,
            cause=container.cause,
            policy_set=expected.id,
            not_covered=tuple(
                pair_state(container, self._world.policies[key], verdict)
                for key, verdict in judged.items()
                if verdict.verdict not in SPARED
            ),
            exposure_seconds=exposure_of(container),
        )

    def _exposed(
        self,
        container: ContainerRecord,
        view: NodeView,
        key: PolicyKey,
        judged: Judged,
        *,
        now: float,
    ) -> Exposed:
        policy = self._world.policies[key]
        told = None
        if judged.held:
            told = self._ledger.open_with(container.id, policy.reference, opening=judged.opening)
            assert told is not None
        cause = told.gap.cause if told else judged.cause or "unexplained"
        belonging = self._joining.belonging(
            container, policy, view, cause=cause, opening=judged.opening, now=now
        )
        if told is not None and CAUSES[cause].scope == "release":
            # What a release misses stays that release's while another is about to heal it.
            belonging = told.belonging
        return Exposed(
            policy=policy.reference,
            verdict=told.gap.verdict if told else judged.verdict,
            cause=cause,
            since=judged.since or container.started,
            opening=judged.opening,
            belonging=belonging,
            reasons=judged.reasons,
        )

    def _expose(
        self,
        container: ContainerRecord,
        view: NodeView,
        judged: dict[PolicyKey, Judged],
        *,
        now: float,
    ) -> None:
        """Note which exposures this judgement ends."""
        if container.effects is not None:
            note_effects(container, judged, view, policies=self._world.policies)
        windows = list(
            ended_windows(
                container,
                judged,
                view,
                policies=self._world.policies,
                let_go=lambda key: stopped_at(key, container, judged.get(key), world=self._world),
                now=now,
            )
        )
        if windows:
            container.exposure = container.exposure or Exposure()
            self.exposed_seconds += container.exposure.add(windows)

    def _correct(
        self, container: ContainerRecord, view: NodeView, judged: dict[PolicyKey, Judged]
    ) -> Iterator[Announcement]:
        """Take what was written before its effect was seen for what it is."""
        policies = self._world.policies
        written = dict(corrected(container, judged, view, policies=policies))
        if written:
            yield from self._ledger.correct(container.id, written, healed=_written(judged))

    # --- ends -----------------------------------------------------------------------------------

    def _finish(
        self, container: ContainerRecord, instant: Interval, nodes: Instant, *, now: float
    ) -> Iterator[Announcement]:
        self._deadlines.drop(container.id)
        view = nodes[container.node]
        if container.pod.deleting:
            self.termination_seconds += self._unprotected_end(container, view.node, instant)
        elif container.verdict == "pending" and not (container.timed or container.recovering):
            self._await_lines(container, view, instant, now=now)
        exposure = container.exposure or Exposure()
        self.exposed_seconds += exposure.add((since, instant) for since in open_since(container))
        self._propagation.forget(container.id, container.node, container.expected.keys)
        yield from self._ledger.update(container, (), healed={}, ended=instant, now=now)
        yield ContainerGone(
            pod_uid=container.pod.uid, container=container.name, container_id=container.id
        )

    def _await_lines(
        self, container: ContainerRecord, view: NodeView, instant: Interval, *, now: float
    ) -> None:
        """A container ended by itself while it waited: what its daemon printed may yet come."""
        if view.phase == "ready" and view.followed:
            self._over[container.id] = (container, instant)
            self._deadlines.put(OVER + container.id, now + self._limits.grace)

    def miss(self, identity: str, *, now: float) -> Iterator[Announcement]:
        """Tell of a container that ended so if it was unprotected throughout."""
        container, instant = self._over.pop(identity)
        if container.node not in self._world.nodes:
            return
        view = self._views.at(now)[container.node]
        if view.phase != "ready" or not view.followed:
            return
        waiting = [
            self._exposed(
                container,
                view,
                pair.policy,
                Judged("gap", cause="startup-window", since=pair.since, opening="start"),
                now=now,
            )
            for pair in container.uncovered
            if pair.policy in self._world.policies
            and _was_needed(pair, instant)
            and not self._judge.reached(container, pair.policy, view)
        ]
        if waiting:
            yield from self._ledger.missed(container, waiting, until=instant, now=now)

    @staticmethod
    def _unprotected_end(container: ContainerRecord, node: NodeState, instant: Interval) -> float:
        """Seconds between the daemon's letting go of a terminating container and its end (F29)."""
        incarnation = node.current()
        evidence = incarnation.container(container.id) if incarnation else None
        if evidence is None or not evidence.removed or not container.covered:
            return 0.0
        return sum(difference(instant, node.clock.instant(evidence.removed))) / 2


def _written(judged: Mapping[PolicyKey, Judged]) -> dict[PolicyKey, Interval]:
    """When the rules of each pair were written, of those where that is known."""
    return {key: pair.written for key, pair in judged.items() if pair.written is not None}


def _uncovered(judged: Mapping[PolicyKey, Judged]) -> tuple[Uncovered, ...]:
    """What is kept of the pairs that are not covered: equal times are kept once, they are many."""
    pairs = []
    since: Interval | None = None
    for key, pair in judged.items():
        if pair.verdict not in SPARED:
            since = since if since == pair.since else pair.since
            pairs.append(Uncovered(policy=key, verdict=pair.verdict, cause=pair.cause, since=since))
    return tuple(pairs)


def _was_needed(pair: Uncovered, end: Interval) -> bool:
    """Whether the pair needed protection before its container ended, whatever was heard first."""
    return pair.since is not None and pair.since[1] < end[1]
