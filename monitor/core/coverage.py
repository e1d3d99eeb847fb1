"""The judgement over time: what is observed goes in, what is decided comes out.

`Coverage` hands each observation to the world it keeps, lets the containers that it may concern be
judged anew from the facts alone, and announces what differs from before. Nothing here reads a
clock: time comes in, and `next_deadline` says when time alone can change a verdict.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from monitor.core import facts
from monitor.core.bench import OVER, Bench
from monitor.core.circumstances import Limits
from monitor.core.containers import ContainerRecord, exempt, unsupported
from monitor.core.deadlines import Deadlines
from monitor.core.effects import effect_of, host_effect_of
from monitor.core.evidence import SHORT_ID, Incarnation, PolicyKey
from monitor.core.explanation import (
    ContainerExplanation,
    Explainer,
    NodeExplainer,
    NodeExplanation,
)
from monitor.core.findings import Findings
from monitor.core.gaps import Ledger
from monitor.core.health import HEALTH
from monitor.core.hosts import SUBJECT, Hosts
from monitor.core.joining import LIMIT_OF, Joining
from monitor.core.judge import Judge
from monitor.core.model import (
    Alert,
    Announcement,
    Changed,
    ContainerCoverage,
    DaemonLine,
    HealthAnswered,
    Listed,
    Log,
    Message,
    Observation,
    Outline,
    Report,
    SourceDown,
    SourceState,
    SourceUp,
    Statistics,
)
from monitor.core.nodes import NodeState
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.propagation import Propagation
from monitor.core.reporting import Counted, Reporter
from monitor.core.views import Views
from monitor.core.world import World

EVERYTHING: Final = "*"
UNDECIDED: Final = (facts.ContainerRegistered, facts.RulesUpdating)
UNTELLING: Final = (facts.Irrelevant, facts.Unrecognised, facts.PodSeen)
FINDINGS: Final = "?findings"
FINDINGS_EVERY: Final = 30.0
"""Seconds between two looks for findings: they say nothing that cannot wait."""
ROUNDS: Final = 2
DECISIVE: Final = (facts.LifecycleReported, facts.EnforcerReported)


class Settings(Struct, frozen=True):
    """How the judgement is tuned; durations in seconds."""

    cluster: str = "default"
    grace: float = 10.0
    grace_limit: float = 120.0
    start_assumed: float = 60.0
    incident_hold: float = 60.0
    rollout_limit: float = 120.0


class Coverage:
    """`started` is when observation began: every source is blind from then to its first `up`."""

    def __init__(self, *, settings: Settings, started: float) -> None:
        self._settings = settings
        self._now = started
        self._world = World(started=started)
        self._deadlines = Deadlines()
        self._ledger = Ledger(
            cluster=settings.cluster, grace=settings.grace, hold=settings.incident_hold
        )
        self._propagation = Propagation()
        limits = Limits(
            grace=settings.grace,
            grace_limit=settings.grace_limit,
            start_assumed=settings.start_assumed,
        )
        views = Views(world=self._world, deadlines=self._deadlines, limits=limits, began=started)
        judge = Judge(world=self._world, ledger=self._ledger, limits=limits)
        self._bench = Bench(
            world=self._world,
            ledger=self._ledger,
            deadlines=self._deadlines,
            propagation=self._propagation,
            views=views,
            joining=Joining(
                world=self._world, deadlines=self._deadlines, limit=settings.rollout_limit
            ),
            judge=judge,
            limits=limits,
        )
        self._hosts = Hosts(
            world=self._world, views=views, deadlines=self._deadlines, limits=limits
        )
        self._findings = Findings(cluster=settings.cluster, world=self._world)
        self._rounds = 0
        self._reporter = Reporter(
            world=self._world,
            views=views,
            judge=judge,
            bench=self._bench,
            ledger=self._ledger,
            hosts=self._hosts,
            findings=self._findings,
        )
        self._explainer = Explainer(
            world=self._world,
            views=views,
            judge=judge,
            ledger=self._ledger,
            reporter=self._reporter,
            limits=limits,
        )
        self._node_explainer = NodeExplainer(
            world=self._world, views=views, hosts=self._hosts, reporter=self._reporter
        )
        self._observed: defaultdict[type[Observation], int] = defaultdict(int)
        self._unrecognised: dict[str, int] = {}
        self._announced: list[Announcement] = []

    # --- in -------------------------------------------------------------------------------------

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]:
        """Take one observation; return what it decides, in the order to be published."""
        if now > self._now:  # noqa: PLR1730  # on every line; a call of max() takes thrice as long
            self._now = now
        self._world.marked_at = now
        self._observed[type(observation)] += 1
        if self._rounds < ROUNDS:
            self._look_later(now)
        if isinstance(observation, DaemonLine):
            self._line(observation, at=now)
        elif isinstance(observation, Changed):
            self._world.sources.of(observation.resource).hear(now)
            self._world.change(observation.resource, observation.type, observation.object, at=now)
        else:
            self._take(observation, at=now)
        return self._decide()

    def _take(self, observation: Observation, *, at: float) -> None:
        """Take what is neither a line nor an object's change: the rarer kinds."""
        if isinstance(observation, Listed):
            source = self._world.sources.of(observation.resource)
            if source.hear(at):
                self._world.mark_all()
            self._world.list(observation.resource, observation.items, at=at)
        elif isinstance(observation, Message):
            self._message(observation, at=at)
        elif isinstance(observation, Alert | Log):
            self._report(observation, at=at)
        elif isinstance(observation, HealthAnswered):
            self._health(observation, at=at)
        elif isinstance(observation, SourceUp | SourceDown):
            self._source(observation, at=at)

    def tick(self, now: float) -> Sequence[Announcement]:
        """Let time pass; afterwards `next_deadline()` is later than `now`."""
        self._now = max(self._now, now)
        self._world.marked_at = self._now
        for subject in self._deadlines.due(self._now):
            if subject == FINDINGS:
                self._look_for_findings()
            elif subject.startswith(OVER):
                missed = self._bench.miss(subject.removeprefix(OVER), now=self._now)
                self._announced.extend(missed)
            else:
                self._mark(subject)
        return self._decide()

    def next_deadline(self) -> float | None:
        """When time alone may change a verdict; None for never."""
        return self._deadlines.next()

    # --- findings -------------------------------------------------------------------------------

    def _look_later(self, now: float) -> None:
        """Look for findings in rounds: one for what came in, one for what time makes of it."""
        if self._rounds == 0:
            self._deadlines.put(FINDINGS, max(now, self._now) + FINDINGS_EVERY)
        self._rounds = ROUNDS

    def _look_for_findings(self) -> None:
        self._announced.extend(self._findings.settle(now=self._now))
        self._rounds -= 1
        if self._rounds:
            self._deadlines.put(FINDINGS, self._now + FINDINGS_EVERY)

    # --- sources --------------------------------------------------------------------------------

    def _source(self, observation: SourceUp | SourceDown, *, at: float) -> None:
        name, reason = observation.name, observation.reason
        kind, _, subject = name.partition("/")
        source = self._world.sources.get(name)
        before = source.up
        if kind == "text":
            node = self._world.node(subject)
            if isinstance(observation, SourceUp):
                node.text_up(at=at, reason=reason)
            else:
                node.text_down(at=at, reason=reason)
            self._world.mark_node(node)
        elif isinstance(observation, SourceUp):
            source.rise(at=at, reason=reason)
        else:
            source.fall(at=at, reason=reason)
        if kind == "kubernetes" and source.up != before:
            self._world.mark_all()
            if not source.up:
                self._deadlines.put(EVERYTHING + name, at + self._settings.grace)
        if source.up != before:
            self._announced.append(source.state())

    # --- the daemons' output --------------------------------------------------------------------

    def _line(self, line: DaemonLine, *, at: float) -> None:
        node = self._world.nodes.get(line.node) or self._world.node(line.node)
        node.text.last_event = at
        was_unresolved = node.unresolved is not None
        read = node.read(line, at=at)
        if read is None:
            if was_unresolved:
                self._world.mark_node(node)
            return
        incarnation, subject = read
        fact = line.fact
        if was_unresolved or incarnation.lines == 1:
            self._world.mark_node(node)
        elif subject is not None:
            self._mark_container(subject, node, incarnation, fact)
            return
        elif isinstance(fact, facts.Irrelevant):
            return
        else:
            self._mark_by(fact, node, incarnation)
        if isinstance(fact, facts.PolicyLearned):
            self._policy_learned(node, incarnation, line, at=at)

    def _mark_by(self, fact: facts.Fact, node: NodeState, incarnation: Incarnation) -> None:
        """Mark what a line that names no container can have changed."""
        if isinstance(fact, facts.Unrecognised):
            self._unknown_line(node, incarnation)
            return
        if isinstance(fact, facts.EventsLost):
            self._mark_unknown(node)
            return
        self._mark_host_by(fact, node, incarnation)
        if isinstance(fact, DECISIVE) or incarnation.handles_its_first_pod:
            self._world.mark_node(node)
        elif isinstance(fact, facts.PodSeen):
            self._mark_pod(fact, incarnation)
        elif not self._is_judged_by_lines(node, incarnation):
            return
        elif isinstance(fact, facts.PolicyLearned):
            self._mark_policy(node, (fact.kind, fact.namespace, fact.name))
        else:
            self._world.mark_node(node)

    def _mark_host_by(self, fact: facts.Fact, node: NodeState, incarnation: Incarnation) -> None:
        if isinstance(fact, facts.NodeNamed):
            self._world.host_names[fact.name] = node.name
        if not self._is_judged_by_lines(node, incarnation):
            return
        if isinstance(fact, facts.PodSeen):
            self._world.mark_network(node.name)
        else:
            self._world.mark_host(node.name)

    def _mark_unknown(self, node: NodeState) -> None:
        """Why nothing is known of a container may be another reason now."""
        unknown = (one for one in node.containers.values() if one.verdict == "unknown")
        self._world.dirty.update(dict.fromkeys(container.id for container in unknown))

    def _unknown_line(self, node: NodeState, incarnation: Incarnation) -> None:
        release = node.release(incarnation) or "unknown"
        self._unrecognised[release] = self._unrecognised.get(release, 0) + 1

    @staticmethod
    def _is_judged_by_lines(node: NodeState, incarnation: Incarnation) -> bool:
        """Before it has initialised, what a daemon prints changes no verdict yet."""
        return incarnation.initialized > 0 or not node.could_have_read(incarnation)

    def _mark_container(
        self, identity: str, node: NodeState, incarnation: Incarnation, fact: facts.Fact
    ) -> None:
        """Look at the container again, unless the line cannot have changed anything.

        A re-push of rules that are in force already is the most frequent line there is.
        """
        if incarnation.enforcer is None and isinstance(fact, facts.MapCreated):
            self._world.mark_host(node.name)
        short = identity[:SHORT_ID]
        container = node.containers.get(short)
        if container is None:
            return
        if not incarnation.initialized and not self._is_judged_by_lines(node, incarnation):
            return
        if isinstance(fact, UNDECIDED) and not self._is_intricate(container):
            evidence = incarnation.containers.get(short)
            written = evidence is not None and evidence.map_is_live
            if container.verdict == "covered" if written else not incarnation.holes:
                return
        self._world.dirty[container.id] = None

    def _is_intricate(self, container: ContainerRecord) -> bool:
        """Whether a write can also take from it what it has, or tell since when it has it."""
        if container.effect_first or container.frozen is not None or container.pod.former_labels:
            return True
        return self._world.shares_names(container)

    def _mark_policy(self, node: NodeState, key: PolicyKey) -> None:
        shared = key[2] in self._world.policy_history.ambiguous_names()
        for container in node.containers.values():
            touched = key in container.expected.members or container.residual
            if touched or (shared and self._world.shares_names(container)):
                self._world.dirty[container.id] = None

    def _mark_pod(self, fact: facts.PodSeen, incarnation: Incarnation) -> None:
        """A line about a Pod matters by itself only where no line about a container will follow."""
        pod = self._world.pods_by_key.get((fact.namespace, fact.name))
        for container in pod.containers if pod else ():
            if container.uncovered and (incarnation.holes or not container.expected.enforced):
                self._world.dirty[container.id] = None

    def _policy_learned(
        self, node: NodeState, incarnation: Incarnation, line: DaemonLine, *, at: float
    ) -> None:
        """Time the propagation of a revision to this node's daemon."""
        fact = line.fact
        assert isinstance(fact, facts.PolicyLearned)
        policy = self._world.policies.get((fact.kind, fact.namespace, fact.name))
        if policy is None or policy.kind not in CONTAINER_KINDS:
            return
        learned = policy.learned(incarnation, node.clock)
        if learned is None or not learned.certain or learned.position != line.stamp:
            return
        known = node.clock.instant(line.stamp, at=at)
        untracked = self._world.untracked(node, node.current())
        waiting = [
            container.id
            for container in node.containers.values()
            if policy.key in container.expected.members
            and policy.key not in container.covered
            and unsupported(container.pod, container.kind) is None
            and exempt(container.pod, untracked=untracked) is None
        ]
        learned_here = self._propagation.learned(policy, node, known, waiting=waiting)
        complete = self._propagation.everywhere(policy, self._world.nodes)
        self._announced.extend(timing for timing in (learned_here, complete) if timing is not None)

    # --- messages, health, alerts, logs ---------------------------------------------------------

    def _message(self, message: Message, *, at: float) -> None:
        """Take a line of a daemon's output as its message feed repeats it."""
        via = message.via.removeprefix("daemon:")
        self._world.sources.get(f"messages/{via}").last_event = at
        node = self._world.host(message.host_name, address=message.host_ip, via=message.via)
        if node is None:
            return
        was_overheard = bool(node.overheard)
        heard = node.overhear(message.fact, stamp=int(message.updated * 1e9), at=at)
        if node.overheard and not was_overheard:
            self._world.mark_node(node)
        if heard is None:
            return
        _, subject = heard
        container = node.containers.get(subject[:SHORT_ID]) if subject is not None else None
        if container is not None:
            self._world.dirty[container.id] = None
        elif subject is None and not isinstance(message.fact, UNTELLING):
            self._world.mark_node(node)

    def _health(self, answer: HealthAnswered, *, at: float) -> None:
        """Take what a daemon's health service says of its start."""
        self._world.sources.get(HEALTH).last_event = at
        node = self._world.node(answer.node)
        if node.take_health(answer, at=at):
            self._world.mark_node(node)

    def _report(self, report: Alert | Log, *, at: float) -> None:
        feed = "alerts" if isinstance(report, Alert) else "logs"
        name = f"{feed}/{report.via.removeprefix('daemon:')}"
        self._world.sources.get(name).last_event = at
        container = self._world.containers.get(report.container_id)
        if container is not None:
            node: NodeState | None = self._world.node(container.node)
        else:  # it may have ended, or is yet to be heard of
            node = self._world.host(report.host_name, address="", via=report.via)
        if node is not None:
            node.clock.compare(int(report.updated * 1e9), at=at)
        if isinstance(report, Alert) and report.release:
            self._release_of(report)
        if isinstance(report, Alert):
            self._report_of_host(report)
            if report.dropping_seconds:
                self._world.throttle(report.container_id, report.updated + report.dropping_seconds)
        effect = effect_of(report)
        if effect is not None:
            self._world.report_effect(report.container_id, effect, report.updated)

    def _report_of_host(self, alert: Alert) -> None:
        found = host_effect_of(alert)
        if found is not None:
            kind, effect = found
            place = alert.via if alert.via.startswith("daemon:") else alert.host_name
            self._world.report_host_effect(place, kind, effect, alert.updated)

    def _release_of(self, alert: Alert) -> None:
        container = self._world.containers.get(alert.container_id)
        if container is not None:
            self._world.node(container.node).learn_release(alert.release)

    # --- out ------------------------------------------------------------------------------------

    def _mark(self, subject: str) -> None:
        if subject.startswith(EVERYTHING):
            self._world.mark_all()
        elif subject.startswith(SUBJECT):
            self._world.mark_host(subject.removeprefix(SUBJECT))
        elif subject in self._world.containers:
            self._world.dirty[subject] = None
        elif subject.startswith(LIMIT_OF):
            self._world.mark_node(self._world.node(subject.split("/")[1]))
        elif subject in self._world.nodes:
            self._world.mark_node(self._world.nodes[subject])

    def _decide(self) -> Sequence[Announcement]:
        world = self._world
        if world.marked_hosts:
            self._hosts.settle(now=self._now)
        if not (world.dirty or world.ended or self._announced):
            return ()
        announced, self._announced = self._announced, []
        announced.extend(self._bench.settle(now=self._now))
        return announced

    def report(self, at: float) -> Report:
        """Everything as it is judged at `at`, which is not before the last observation or tick."""
        return self._reporter.report(at=at, cluster=self._settings.cluster)

    def outline(self, at: float) -> Outline:
        """The report at `at` but for the pairs of containers: cheap, however large the cluster."""
        return self._reporter.outline(at=at, cluster=self._settings.cluster)

    def container(self, identity: str, *, at: float) -> ContainerCoverage | None:
        """A container as the report at `at` would show it; None if it is not running."""
        return self._reporter.container(identity, at=at)

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> tuple[ContainerExplanation, ...]:
        """All that led to the verdicts of a Pod's running containers, or of that one, at `at`."""
        return self._explainer.explain(namespace, pod, container, at=at)

    def explain_node(self, name: str, *, at: float) -> NodeExplanation | None:
        """All that led to the verdicts of a node's policies at `at`; None if there is none."""
        return self._node_explainer.explain(name, at=at)

    def sources(self) -> tuple[SourceState, ...]:
        """Every source by name."""
        return self._reporter.sources()

    def statistics(self, now: float) -> Statistics:
        """Plain numbers for the metrics."""
        return self._reporter.statistics(
            now=now,
            counted=Counted(
                observed={kind.__name__: n for kind, n in self._observed.items()},
                unrecognised=dict(self._unrecognised),
            ),
        )
