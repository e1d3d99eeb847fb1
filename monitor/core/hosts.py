"""The host and network policies of every node: which concern it, and how they stand.

A node is judged whole, anew whenever something changed that concerns it, and when time alone can
change a verdict. Nothing is announced: readers find the pairs in the report, and how many there are
of each verdict in the metrics.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from monitor.core.causes import rank
from monitor.core.circumstances import Limits, NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.deadlines import Deadlines
from monitor.core.effects import Effects
from monitor.core.host_expectation import Selected, is_expected, is_in_excess
from monitor.core.host_policies import HostPair, judge_host
from monitor.core.model import PairState, Verdict
from monitor.core.nodes import NodeState
from monitor.core.pairs import excess_state
from monitor.core.policies import PolicyState
from monitor.core.verdict import SEVERITY, Judged
from monitor.core.views import Views
from monitor.core.world import World

SUBJECT: Final = "host/"
NOT_IN_FORCE: Final = frozenset({"gap", "lost"})


class Hosts:
    """Judges the nodes that are marked in the world; `counts` has their pairs by verdict."""

    def __init__(self, *, world: World, views: Views, deadlines: Deadlines, limits: Limits) -> None:
        self._world = world
        self._views = views
        self._deadlines = deadlines
        self._limits = limits
        self._counted: dict[str, Counter[str]] = {}
        self.counts: Counter[str] = Counter()

    def settle(self, *, now: float) -> None:
        """Judge everything that is marked."""
        marked, self._world.marked_hosts = self._world.marked_hosts, {}
        if not self._world.policy_history.of_hosts:
            if self._counted:
                self._forget_all()
            return
        nodes = self._views.at(now)
        names = self._host_names()
        for name in marked:
            judged = [verdict for _, verdict in self._judge(nodes[name], names, now=now)]
            self._count(name, Counter(verdict.verdict for verdict in judged))
            recheck = min((v.recheck for v in judged if v.recheck is not None), default=None)
            if recheck is None:
                self._deadlines.drop(SUBJECT + name)
            else:
                later_on = recheck if recheck > now else now + self._limits.grace
                self._deadlines.put(SUBJECT + name, later_on)

    def _forget_all(self) -> None:
        for name in self._counted:
            self._deadlines.drop(SUBJECT + name)
        self._counted.clear()
        self.counts.clear()

    def _count(self, name: str, counted: Counter[str]) -> None:
        self.counts.subtract(self._counted.pop(name, Counter()))
        if counted:
            self._counted[name] = counted
            self.counts.update(counted)

    def pairs(self, views: Iterable[NodeView], *, now: float) -> dict[str, tuple[PairState, ...]]:
        """By node, every policy that is expected there or in force, sorted."""
        if (
            not self._world.policy_history.of_hosts
            and not self._world.policy_history.deleted_of_hosts
        ):
            return {}
        names = self._host_names()
        return {view.node.name: self._pairs(view, names, now=now) for view in views}

    def _pairs(
        self, view: NodeView, names: Mapping[str, int], *, now: float
    ) -> tuple[PairState, ...]:
        pairs = [_state(policy, verdict) for policy, verdict in self._judge(view, names, now=now)]
        pairs.extend(excess_state(policy) for policy in self._excess(view, names))
        return tuple(sorted(pairs, key=lambda pair: (pair.kind, pair.namespace, pair.name)))

    # --- what concerns a node -------------------------------------------------------------------

    def pair(self, policy: PolicyState, view: NodeView, *, now: float) -> HostPair:
        """A policy and a node whose object is known, whether or not it should be in force there."""
        selected = self._selected(policy, view, self._host_names())
        return HostPair(policy, view, selected, limits=self._limits, now=now)

    def _judge(
        self, view: NodeView, names: Mapping[str, int], *, now: float
    ) -> Iterator[tuple[PolicyState, Judged]]:
        if view.node.node is None:
            return
        for policy in self._world.policy_history.of_hosts:
            selected = self._selected(policy, view, names)
            if is_expected(policy, view, selected):
                yield policy, judge_host(policy, view, selected, limits=self._limits, now=now)

    def _excess(self, view: NodeView, names: Mapping[str, int]) -> Iterator[PolicyState]:
        if view.node.node is None:
            return
        for policy in self._world.policy_history.of_hosts:
            selected = self._selected(policy, view, names)
            if not is_expected(policy, view, selected) and is_in_excess(policy, view):
                yield policy
        for policy in self._world.policy_history.deleted_of_hosts:
            if is_in_excess(policy, view, deleted=True):
                yield policy

    def _selected(self, policy: PolicyState, view: NodeView, names: Mapping[str, int]) -> Selected:
        return Selected(
            pods=_selected_pods(policy, view.node) if policy.pods.labels else (),
            effects=tuple(self._effects(policy.kind, view.node, names)),
        )

    def _effects(self, kind: str, node: NodeState, names: Mapping[str, int]) -> Iterator[Effects]:
        """What alerts say of the node: those of its own daemon, and those that bear its name."""
        if not self._world.host_effects:
            return
        name = host_name(node)
        places = [f"daemon:{node.name}", *([name] if names.get(name) == 1 else [])]
        for place in places:
            effects = self._world.host_effects.get((place, kind))
            if effects is not None:
                yield effects

    def _host_names(self) -> Mapping[str, int]:
        """How many nodes bear each name: an alert with a name that several bear proves nothing."""
        if not self._world.host_effects:
            return {}
        return Counter(host_name(node) for node in self._world.nodes.values())


def worst_of(pairs: tuple[PairState, ...]) -> tuple[Verdict, str | None] | None:
    """The worst pair that is not in force, by verdict, cause and name; None for none."""
    failed = [pair for pair in pairs if pair.verdict in NOT_IN_FORCE]
    if not failed:
        return None
    worst = min(
        failed, key=lambda p: (SEVERITY[p.verdict], rank(p.cause or "unexplained"), p.name, p.kind)
    )
    return worst.verdict, worst.cause


def host_name(node: NodeState) -> str:
    """What alerts call the node: the name its daemon gave it, else the object's (dossier 4.2)."""
    incarnation = node.current() or node.latest()
    return (incarnation.host_name if incarnation is not None else None) or node.name


def _selected_pods(policy: PolicyState, node: NodeState) -> tuple[ContainerRecord, ...]:
    """The running containers of the node's Pods that a network policy selects."""
    return tuple(
        container
        for container in node.containers.values()
        if policy.pods.selects(container.pod.labels.identities)
    )


def _state(policy: PolicyState, judged: Judged) -> PairState:
    """An expected policy as it stands on a node."""
    return PairState(
        kind=policy.kind,
        namespace=policy.namespace,
        name=policy.name,
        generation=policy.generation,
        expected=True,
        predicted=judged.predicted,
        verdict=judged.verdict,
        grade=judged.grade,
        cause=judged.cause,
        since=judged.since,
        rules_without_kernel_form=policy.rules.without_kernel_form,
    )
