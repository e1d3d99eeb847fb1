"""Judging containers: from their pairs to a verdict, from what was to what is announced.

A container is judged whole: each expected policy gets its verdict, the worst one is the
container's. What is remembered between two judgements is only what later facts cannot tell: which
pairs were covered, and by which incarnation of the daemon; to what a covered pair was lost; which
gaps are open.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from monitor.core.causes import CAUSES
from monitor.core.circumstances import Limits, NodeView
from monitor.core.containers import ContainerRecord, Uncovered
from monitor.core.deadlines import Deadlines
from monitor.core.effect_first import corrected, note_effects
from monitor.core.evidence import PolicyKey
from monitor.core.exposure import EXPOSED, Exposure, ended_windows, exposure_of, open_since
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
from monitor.core.pairs import pair_state
from monitor.core.propagation import Propagation
from monitor.core.timing import container_timing, delay_of, note_delays, proof_timing
from monitor.core.verdict import SPARED, Judged
from monitor.core.verdicts import Verdicts
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
        self._joining.convene()
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
        if spared is None and container.effects is not None and not container.proven:
            yield from self._first_proof(container, view, now=now)
        verdicts = self._judge.verdicts(container, view, spared=spared, now=then)
        if self._is_settled(container, verdicts):
            self._freeze(container, view, verdicts)
            return
        if container.effect_first:
            yield from self._correct(container, view, verdicts)
        self._expose(container, view, verdicts, now=now)
        self._remember(container, view, verdicts)
        yield from self._announce(container, view, verdicts, now=now)
        self._plan(container, verdicts, now=now)
        self._freeze(container, view, verdicts)

    def _freeze(self, container: ContainerRecord, view: NodeView, verdicts: Verdicts) -> None:
        """Keep what is so when its Pod's deletion has begun, each pair as a report shows it."""
        since = container.pod.deleting_since
        if since is None or view.blind:
            return
        if container.effects is not None:
            container.frozen = self._judge.whole(container, view, now=since)
        else:
            stood = self._judge.stood(container, view, verdicts.standing)
            container.frozen = {**stood, **verdicts.by_policy}

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
            yield from self._announce(container, view, Verdicts(left), now=now)

    @staticmethod
    def _is_settled(container: ContainerRecord, verdicts: Verdicts) -> bool:
        """Whether all is covered, was so before, and was said so of these policies."""
        return (
            verdicts.standing is container.expected.members
            and container.verdict == "covered"
            and container.announced is container.expected
            and not container.residual
        )

    def _plan(self, container: ContainerRecord, verdicts: Verdicts, *, now: float) -> None:
        rechecks = (one.recheck for one in verdicts.distinct if one.recheck is not None)
        recheck = min(rechecks, default=None)
        if recheck is None:
            self._deadlines.drop(container.id)
        else:
            later_on = recheck if recheck > now else now + self._limits.grace
            self._deadlines.put(container.id, later_on)

    def _remember(self, container: ContainerRecord, view: NodeView, verdicts: Verdicts) -> None:
        told = verdicts.distinct
        fresh = verdicts.where(_is_covered)
        known = fresh
        if len(fresh) < len(verdicts.by_policy):
            known = verdicts.where(_is_written)
        if known:
            self._note_delays(container, view, verdicts, known)
        covered = verdicts.standing if not fresh else verdicts.standing.union(fresh)
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

    def _note_delays(
        self,
        container: ContainerRecord,
        view: NodeView,
        verdicts: Verdicts,
        known: Collection[PolicyKey],
    ) -> None:
        untimed = known
        if container.delay is not None or container.delays:
            untimed = [key for key in known if delay_of(container, key) is None]
        if untimed:
            expectation = self._world.expectation
            note_delays(container, view, verdicts.by_policy, untimed, expectation=expectation)

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
        verdicts: Verdicts,
        *,
        now: float,
    ) -> Iterator[Announcement]:
        judged = verdicts.by_policy
        healed = verdicts.written()
        exposed = [
            self._exposed(container, view, key, judged[key], now=now)
            for key in verdicts.where(_is_exposed)
        ]
        if exposed or self._ledger.holds(container.id):
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
        container.verdict, container.cause = verdicts.worst()
        container.uncovered = verdicts.uncovered(container.expected)
        after = (container.verdict, container.cause, container.uncovered)
        if after != before or container.announced is not container.expected:
            container.announced = container.expected
            yield from self._state(container, verdicts)
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
        self, container: ContainerRecord, judged: Mapping[PolicyKey, Judged]
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

    def _state(self, container: ContainerRecord, verdicts: Verdicts) -> Iterator[Announcement]:
        expected, policies, judged = container.expected, self._world.policies, verdicts.by_policy
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
                [
                    pair_state(container, policies[key], judged[key])
                    for key in verdicts.where(_asks_for_something)
                ]
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
        verdicts: Verdicts,
        *,
        now: float,
    ) -> None:
        """Note which exposures this judgement ends."""
        if not container.uncovered and not verdicts.tell_of_writes:
            return
        judged = verdicts.by_policy
        if container.effects is not None:
            note_effects(container, judged, view, policies=self._world.policies)
        windows = list(
            ended_windows(
                container,
                verdicts,
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
        self, container: ContainerRecord, view: NodeView, verdicts: Verdicts
    ) -> Iterator[Announcement]:
        """Take what was written before its effect was seen for what it is."""
        policies = self._world.policies
        written = dict(corrected(container, verdicts.by_policy, view, policies=policies))
        if written:
            yield from self._ledger.correct(container.id, written, healed=verdicts.written())

    # --- ends -----------------------------------------------------------------------------------

    def _finish(
        self, container: ContainerRecord, instant: Interval, nodes: Instant, *, now: float
    ) -> Iterator[Announcement]:
        self._deadlines.drop(container.id)
        if container.pod.deleting:
            self.termination_seconds += self._unprotected_end(container, instant)
        elif container.verdict == "pending" and not (container.timed or container.recovering):
            self._await_lines(container, nodes[container.node], instant, now=now)
        exposed = open_since(container)
        if exposed:
            exposure = container.exposure or Exposure()
            self.exposed_seconds += exposure.add((since, instant) for since in exposed)
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
        self._joining.convene()
        view = self._views.of(container.node, now=now)
        if view.phase != "ready" or not view.followed:
            return
        waiting = [
            self._exposed(
                container,
                view,
                key,
                Judged("gap", cause="startup-window", since=group.since, opening="start"),
                now=now,
            )
            for group in container.uncovered
            if _was_needed(group, instant)
            for key in group.policies
            if key in self._world.policies and not self._judge.reached(container, key, view)
        ]
        if waiting:
            yield from self._ledger.missed(container, waiting, until=instant, now=now)

    def _unprotected_end(self, container: ContainerRecord, instant: Interval) -> float:
        """Seconds between the daemon's letting go of a terminating container and its end (F29)."""
        if not container.covered:
            return 0.0
        node = self._world.node(container.node)
        incarnation = node.current()
        evidence = incarnation.container(container.id) if incarnation else None
        if evidence is None or not evidence.removed:
            return 0.0
        return sum(difference(instant, node.clock.instant(evidence.removed))) / 2


def _is_covered(judged: Judged) -> bool:
    return judged.verdict == "covered"


def _is_written(judged: Judged) -> bool:
    return judged.written is not None


def _is_exposed(judged: Judged) -> bool:
    return judged.verdict in EXPOSED or judged.held


def _asks_for_something(judged: Judged) -> bool:
    return judged.verdict not in SPARED


def _was_needed(group: Uncovered, end: Interval) -> bool:
    """Whether pairs needed protection before their container ended, whatever was heard first."""
    return group.since is not None and group.since[1] < end[1]
