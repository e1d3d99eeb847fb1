"""Explains nodes: their daemon, and each host and network policy in its three meanings.

As for containers: what is told is what the judgement looks at, and nothing is changed by asking.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from monitor.core import trail
from monitor.core.causes import CAUSES
from monitor.core.circumstances import NodeView
from monitor.core.evidence import PolicyKey
from monitor.core.explanation.explainer import MISSED, members
from monitor.core.explanation.host_steps import HostSubject, host_trail
from monitor.core.explanation.story import NO_DAEMON, NO_POLICY_LINE, NO_RELEASE, PARTLY_READ
from monitor.core.explanation.values import (
    Meanings,
    NodeExplanation,
    OtherPolicy,
    PairExplanation,
    Prediction,
    Step,
    Told,
)
from monitor.core.host_policies import HostPair
from monitor.core.hosts import Hosts
from monitor.core.intent import Answer, Intent, label_requirement
from monitor.core.meant import mapping
from monitor.core.model import PairState
from monitor.core.node_selector import NodeSelector
from monitor.core.reporting import Reporter
from monitor.core.views import Views
from monitor.core.world import World

ENDS: Final[Mapping[bool | None, str]] = {
    True: trail.ATTACHED,
    False: trail.NOT_ATTACHED,
    None: "whether the policy is attached is open",
}
NO_LABELS: Final = "asks for no label: it selects nothing"
LEFTOVER: Final = "no later line says that the daemon took it off"


class NodeExplainer:
    """Explains a node."""

    def __init__(self, *, world: World, views: Views, hosts: Hosts, reporter: Reporter) -> None:
        self._world = world
        self._views = views
        self._hosts = hosts
        self._reporter = reporter

    def explain(self, name: str, *, at: float) -> NodeExplanation | None:
        """The node of that name at `at`; None if there is none."""
        if name not in self._world.nodes:
            return None
        view = self._views.look(name, now=at)
        coverage = self._reporter.node(view, at=at)
        cause = CAUSES.get(coverage.cause or "")
        told = {(pair.kind, pair.namespace, pair.name) for pair in coverage.policies}
        return NodeExplanation(
            **members(coverage)
            | {
                "at": at,
                "phase": view.phase,
                "since": view.phase_since if view.phase_since[1] > 0 else None,
                "policies": tuple(self._pair(pair, view, at=at) for pair in coverage.policies),
                "others": tuple(self._others(view, told, at=at)),
            },
            certainty=cause.certainty if cause else None,
            what=cause.what if cause else None,
            remedy=cause.remedy_on(view.release) if cause else None,
            runbook=cause.runbook if cause else None,
        )

    def _pair(self, state: PairState, view: NodeView, *, at: float) -> PairExplanation:
        policies = {
            policy.key: policy
            for policy in (
                *self._world.policy_history.deleted_of_hosts,
                *self._world.policy_history.of_hosts,
            )
        }
        policy = policies[state.kind, state.namespace, state.name]
        pair = self._hosts.pair(policy, view, now=at)
        cause = CAUSES.get(state.cause or "")
        attached = state.predicted if state.expected else True
        return PairExplanation(
            **members(state),
            meanings=_meanings(pair, attached=attached),
            trail=self._trail(pair, expected=state.expected),
            certainty=cause.certainty if cause else None,
            what=cause.what if cause else None,
            remedy=cause.remedy_on(view.release) if cause else None,
            runbook=cause.runbook if cause else None,
        )

    def _trail(self, pair: HostPair, *, expected: bool) -> tuple[Step, ...]:
        if expected:
            alerts = self._reads_alerts(pair.view)
            return host_trail(HostSubject(pair, pair.judge(), alerts=alerts))
        source = f"text/{pair.view.node.name}"
        return (Step("attachment", "known", LEFTOVER, source, decides=True),)

    def _reads_alerts(self, view: NodeView) -> bool:
        """Whether a feed of alerts that covers the node is being read."""
        names = ("alerts/relay", f"alerts/{view.node.name}")
        feeds = (self._world.sources.known(name) for name in names)
        return any(feed is not None and feed.up for feed in feeds)

    def _others(self, view: NodeView, told: set[PolicyKey], *, at: float) -> Iterator[OtherPolicy]:
        """The policies that a reader would expect on the node, and KubeArmor does not."""
        if view.node.node is None:
            return
        for policy in self._world.policy_history.of_hosts:
            if policy.key in told:
                continue
            meant = _meanings(self._hosts.pair(policy, view, now=at), attached=False)
            if meant.intended.selected:
                yield OtherPolicy(
                    kind=policy.kind,
                    namespace=policy.namespace,
                    name=policy.name,
                    generation=policy.generation,
                    meanings=meant,
                    text=MISSED,
                )


# --- the three meanings -------------------------------------------------------------------------


def _meanings(pair: HostPair, *, attached: bool | None) -> Meanings:
    """A policy's selector for one node; for a network policy of Pods, for those of the node."""
    by_pods = bool(pair.policy.pods.labels)
    answers = _of_pods(pair) if by_pods else (_intended(pair), _expected(pair))
    intended, expected = answers
    return Meanings(intended, expected, _predicted(pair, attached=attached))


def _of_pods(pair: HostPair) -> tuple[Answer, Answer]:
    """Labels of Pods mean the same to everybody (dossier 5.5)."""
    names = sorted({"/".join(container.pod.key) for container in pair.selected.pods})
    text = f"selects the node's {', '.join(names)}" if names else "selects no Pod of the node"
    answer = Answer(selected=bool(names), reasons=(text,))
    return answer, answer


def _intended(pair: HostPair) -> Answer:
    """What a reader of the manifest expects: in Kubernetes no label means every node."""
    selector = mapping(pair.policy.spec.get("nodeSelector"))
    path = ("spec", "nodeSelector", "matchLabels")
    asked = mapping(selector.get("matchLabels")).items()
    found = (label_requirement((*path, key), key, value) for key, value in asked)
    intent = Intent(tuple(one for one in found if one is not None))
    node = pair.view.node.node
    labels = (node.metadata.labels if node is not None else None) or {}
    unmet = intent.unmet(namespace="", labels=labels, container="")
    if unmet is not None:
        return Answer(selected=False, reasons=(f"does not meet: {unmet.text}",))
    met = tuple(f"meets: {requirement.text}" for requirement in intent.requirements)
    return Answer(selected=True, reasons=met or ("requires nothing",))


def _expected(pair: HostPair) -> Answer:
    """KubeArmor's own meaning, in its newest release (5.4)."""
    nodes, seen = pair.policy.nodes, pair.marks.identities
    if not nodes.labels:
        return Answer(selected=False, reasons=(NO_LABELS,))
    unmet = [
        f"{key}={value}"
        for key, value in nodes.labels
        if not NodeSelector(((key, value),)).selects(seen)
    ]
    listed = ", ".join(f"{key}={value}" for key, value in nodes.labels)
    reasons = tuple(f"the node shows no label {label}" for label in unmet)
    return Answer(selected=not unmet, reasons=reasons or (f"requires the labels {listed}",))


def _predicted(pair: HostPair, *, attached: bool | None) -> Prediction:
    """What the node's daemon did, by its own lines about the policy."""
    view = pair.view
    if view.incarnation is None:
        return Prediction(attached=attached, release=view.release, story=(Told(NO_DAEMON),))
    whole = view.node.could_have_read(view.incarnation)
    story = [] if view.release else [Told(NO_RELEASE)]
    if not whole:
        story.append(Told(PARTLY_READ))
    lines = view.incarnation.policies.get(pair.policy.key) or ()
    if whole and not lines:
        attached = False
    title = f"{pair.policy.kind} {pair.policy.name}"
    story += (
        Told(f"{title} was {line.action}", view.node.clock.instant(line.position, at=line.at))
        for line in lines
    )
    if not lines:
        story.append(Told(NO_POLICY_LINE))
    story.append(Told(ENDS[attached]))
    return Prediction(attached=attached, release=view.release, story=tuple(story))
