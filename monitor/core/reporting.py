"""The whole state for readers: the report at one instant, and plain numbers for the metrics."""

from collections.abc import Iterator

from msgspec import Struct

from monitor.core.bench import Bench
from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.exposure import exposure_of
from monitor.core.findings import Findings, by_code
from monitor.core.gaps import Ledger
from monitor.core.hosts import Hosts, worst_of
from monitor.core.judge import Judge
from monitor.core.model import (
    ContainerCoverage,
    ContainerOutline,
    Interval,
    NodeCoverage,
    Outline,
    PairState,
    Report,
    SourceState,
    Statistics,
    Verdict,
)
from monitor.core.pairs import excess_state, pair_state
from monitor.core.verdict import Judged
from monitor.core.views import Instant, Views
from monitor.core.world import World


class Counted(Struct, frozen=True):
    """What was counted of the observations themselves."""

    observed: dict[str, int]
    unrecognised: dict[str, int]


class Reporter:
    """Reads what is judged and what is kept of it; changes nothing."""

    def __init__(
        self,
        *,
        world: World,
        views: Views,
        judge: Judge,
        bench: Bench,
        ledger: Ledger,
        hosts: Hosts,
        findings: Findings,
    ) -> None:
        self._world = world
        self._views = views
        self._judge = judge
        self._bench = bench
        self._ledger = ledger
        self._hosts = hosts
        self._findings = findings

    def report(self, *, at: float, cluster: str) -> Report:
        """Everything as it is judged at `at`."""
        nodes = self._views.at(at)
        containers = [
            self._whole(container, nodes[container.node], at=at)
            for container in self._world.containers.values()
        ]
        return Report(
            at=at,
            cluster=cluster,
            containers=tuple(sorted(containers, key=_place)),
            nodes=self._nodes(nodes, at=at),
            gaps=self._ledger.gaps(),
            incidents=self._ledger.incidents(),
            findings=self._findings.standing(now=at),
            sources=self.sources(),
        )

    def outline(self, *, at: float, cluster: str) -> Outline:
        """Everything at `at` but the pairs of containers, for which `container` may be asked."""
        containers = map(_outline, self._world.containers.values())
        return Outline(
            at=at,
            cluster=cluster,
            containers=tuple(sorted(containers, key=_place)),
            nodes=self._nodes(self._views.at(at), at=at),
            gaps=self._ledger.gaps(),
            incidents=self._ledger.incidents(),
            findings=self._findings.standing(now=at),
            sources=self.sources(),
        )

    def container(self, identity: str, *, at: float) -> ContainerCoverage | None:
        """A container as the report at `at` would show it; None if it is not running."""
        container = self._world.containers.get(identity)
        if container is None:
            return None
        return self._whole(container, self._views.look(container.node, now=at), at=at)

    def sources(self) -> tuple[SourceState, ...]:
        """Every source by name."""
        known = self._world.sources.by_name
        return tuple(known[name].state() for name in sorted(known))

    def _whole(self, container: ContainerRecord, view: NodeView, *, at: float) -> ContainerCoverage:
        return self.coverage(container, self._judge.whole(container, view, now=at), at=at)

    def _nodes(self, nodes: Instant, *, at: float) -> tuple[NodeCoverage, ...]:
        views = [nodes[name] for name in sorted(self._world.nodes)]
        of_hosts = self._hosts.pairs(views, now=at)
        return tuple(self._node(view, of_hosts.get(view.node.name, ())) for view in views)

    def coverage(
        self, container: ContainerRecord, judged: dict[PolicyKey, Judged], *, at: float
    ) -> ContainerCoverage:
        """A container as the report shows it."""
        policies = self._world.policies
        pairs = [pair_state(container, policies[key], v) for key, v in judged.items()]
        pairs.extend(self._excess(container))
        return ContainerCoverage(
            node=container.node,
            namespace=container.pod.namespace,
            pod=container.pod.name,
            pod_uid=container.pod.uid,
            container=container.name,
            container_id=container.id,
            kind=container.kind,
            verdict=container.verdict,
            cause=container.cause,
            policies=tuple(sorted(pairs, key=lambda p: (p.kind, p.namespace, p.name))),
            exposure_seconds=exposure_of(container, at=at),
            workload=container.pod.workload,
        )

    def node(self, view: NodeView, *, at: float) -> NodeCoverage:
        """A node as the report shows it."""
        name = view.node.name
        return self._node(view, self._hosts.pairs([view], now=at).get(name, ()))

    def _excess(self, container: ContainerRecord) -> Iterator[PairState]:
        """Policies that are not expected here and may still be in force."""
        for key in container.residual or ():
            policy = self._world.policies.get(key)
            if policy is not None and key not in container.expected.members:
                yield excess_state(policy)
        for policy in self._world.lingering(container):
            yield excess_state(policy)

    def _node(self, view: NodeView, policies: tuple[PairState, ...]) -> NodeCoverage:
        node, incarnation = view.node, view.incarnation
        verdict, cause = _daemon_verdict(view)
        if verdict == "covered":
            verdict, cause = worst_of(policies) or (verdict, cause)
        daemon = None
        if incarnation is not None:
            daemon = {
                "pod": incarnation.pod or node.pod_name(incarnation.pod_uid),
                "podUid": incarnation.pod_uid,
                "restart": incarnation.restart,
            }
        return NodeCoverage(
            node=node.name,
            daemon=daemon,
            release=view.release,
            enforcer=incarnation.enforcer if incarnation else None,
            clock_offset_seconds=self._offset(view),
            verdict=verdict,
            cause=cause,
            policies=policies,
        )

    def _offset(self, view: NodeView) -> Interval | None:
        """The node's clock offset, its lower bound raised by causality.

        A line about a policy's revision is at most a second older than our sight of the change.
        """
        offset = view.node.clock.offset
        if offset is None or view.incarnation is None:
            return offset
        lower, upper = offset
        for key in view.incarnation.policies:
            policy = self._world.policies.get(key)
            learned = policy and policy.learned(view.incarnation, view.node.clock)
            if policy and learned and learned.certain:
                lower = max(lower, policy.changed[1] - 1.0 - learned.position / 1e9)
        return (min(lower, upper), upper)

    # --- numbers --------------------------------------------------------------------------------

    def statistics(self, *, now: float, counted: Counted) -> Statistics:
        """Plain numbers for the metrics."""
        verdicts: dict[str, int] = {}
        ages: list[float] = []
        pairs = 0
        for container in self._world.containers.values():
            pairs += len(container.expected.keys)
            verdicts[container.verdict] = verdicts.get(container.verdict, 0) + 1
            if container.verdict == "pending":
                since = min(
                    (group.since[1] for group in container.uncovered if group.since), default=now
                )
                ages.append(max(0.0, now - since))
        gaps_open, gaps_paging = self._ledger.gaps_open()
        states, outages, last_events = self._source_numbers(now=now)
        return Statistics(
            coverage_containers=verdicts,
            gaps_open=gaps_open,
            gaps_total=dict(self._ledger.total),
            gaps_withdrawn=self._ledger.withdrawn,
            incidents_open=self._ledger.incidents_open(),
            findings_open=by_code(self._findings.standing(now=now)),
            sources=states,
            source_outage_seconds=outages,
            source_last_event=last_events,
            observations=counted.observed,
            rejected={},
            unrecognised_lines=counted.unrecognised,
            exposed_container_seconds=self._bench.exposed_seconds,
            termination_exposure_seconds=self._bench.termination_seconds,
            pending_ages=tuple(ages),
            containers=len(self._world.containers),
            pairs=pairs,
            gaps_paging=gaps_paging,
            host_pairs={verdict: n for verdict, n in self._hosts.counts.items() if n},
        )

    def _source_numbers(
        self, *, now: float
    ) -> tuple[dict[tuple[str, str], int], dict[str, float], dict[str, float]]:
        """By kind of source: how many are up and down, seconds of outage, the last event."""
        states: dict[tuple[str, str], int] = {}
        outages: dict[str, float] = {}
        last_events: dict[str, float] = {}
        for name, source in self._world.sources.by_name.items():
            kind = name.partition("/")[0]
            state = (kind, "up" if source.up else "down")
            states[state] = states.get(state, 0) + 1
            outages[kind] = outages.get(kind, 0.0) + source.blind_seconds(now)
            last_events[kind] = max(last_events.get(kind, 0.0), source.last_event)
        return states, outages, last_events


def _outline(container: ContainerRecord) -> ContainerOutline:
    return ContainerOutline(
        namespace=container.pod.namespace,
        pod=container.pod.name,
        pod_uid=container.pod.uid,
        container=container.name,
        container_id=container.id,
        verdict=container.verdict,
    )


def _place(container: ContainerCoverage | ContainerOutline) -> tuple[str, ...]:
    return container.namespace, container.pod, container.container, container.container_id


def _daemon_verdict(view: NodeView) -> tuple[Verdict, str | None]:
    if view.unsupported:
        return "unsupported", "unsupported-node"
    if view.phase != "ready":
        return "gap", f"daemon-{view.phase}"
    if view.incarnation is not None and view.incarnation.enforcer in {"", "SELinux"}:
        return "gap", "enforcer-absent"
    return "covered", None
