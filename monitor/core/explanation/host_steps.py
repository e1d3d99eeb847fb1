"""The trail of a host or network policy on a node, as `steps` has it for a container.

The judgement of hosts (`core.host_policies`) asks for less: no line says that a rule was written,
so what counts is that the daemon met the policy and looked at its node afterwards.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from monitor.core.explanation.deciding import OF_NODE, up_to
from monitor.core.explanation.steps import daemon, effect, enforcer, policy, release, silence
from monitor.core.explanation.subject import Asked
from monitor.core.explanation.values import Question, Step
from monitor.core.host_expectation import is_active, is_formless, last_evaluation
from monitor.core.host_policies import HostPair
from monitor.core.host_semantics import host_behaviour
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.verdict import Judged

BEFORE_DAEMON: Final[tuple[Question, ...]] = ("supported", "exempt", "objects", "daemon")
OF_STARTING: Final[tuple[Question, ...]] = (*BEFORE_DAEMON, "release", "effect")
OF_HOST: Final[tuple[Question, ...]] = ("enforcer", "attachment", "active", "rules")
OF_NETWORK: Final[tuple[Question, ...]] = ("attachment", "active")
LAST: Final[tuple[Question, ...]] = ("policy", "evaluation")
BY_CAUSE: Final[Mapping[str, Question]] = {
    "enforcer-absent": "enforcer",
    "version-skew": "attachment",
    "rule-not-enforceable": "rules",
    "contradicted": "effect",
    "release-unknown": "release",
}


class HostSubject(Asked):
    """One pair of a node and a policy."""

    def __init__(self, pair: HostPair, judged: Judged, *, alerts: bool) -> None:
        deadline = judged.recheck if judged.recheck is not None else _deadline(pair)
        super().__init__(pair.policy, pair.view, judged, deadline=deadline, alerts=alerts)
        self.pair = pair

    @property
    def blind(self) -> str | None:
        """Which kind of object, needed for any verdict, cannot be read."""
        needed = ("pods", "nodes", POLICY_RESOURCES[self.policy.kind])
        return next((one for one in needed if one in self.view.blind), None)

    @property
    def is_applied(self) -> bool | None:
        """Whether the daemon applies policies of this kind at all."""
        return is_active(self.policy.kind, self.incarnation)


def host_trail(subject: HostSubject) -> tuple[Step, ...]:
    """The answers up to the one that decides."""
    decisive = _decided_by(subject)
    return up_to(decisive, asked=_asked(subject), answer=lambda one: ANSWERS[one](subject))


def _deadline(pair: HostPair) -> float:
    return pair.deadline() if pair.view.phase == "ready" else pair.view.phase_since[1]


def _asked(subject: HostSubject) -> tuple[Question, ...]:
    phase = subject.view.phase
    if subject.view.incarnation is None or phase not in {"ready", "starting"}:
        return (*BEFORE_DAEMON, "silence")
    if phase == "starting":
        return (*OF_STARTING, "silence")
    own = OF_HOST if subject.pair.is_host else OF_NETWORK
    return (*OF_STARTING, *own, *LAST, "silence")


def _decided_by(subject: HostSubject) -> Question:
    judged = subject.judged
    verdict, cause = judged.verdict, judged.cause or ""
    if verdict == "unsupported":
        return "supported"
    if verdict == "exempt":
        return "exempt"
    if verdict == "covered":
        return "effect" if judged.grade == "proven" else "evaluation"
    if cause == "source-outage" and subject.blind:
        return "objects"
    if cause in OF_NODE:
        return "silence" if subject.view.phase == "ready" else "daemon"
    if cause == "host-policy-inactive":
        return "evaluation" if subject.is_applied else "active"
    return BY_CAUSE.get(cause, "silence")


# --- the node -----------------------------------------------------------------------------------


def _supported(subject: HostSubject) -> Iterator[Step]:
    if subject.judged.verdict == "unsupported":
        yield subject.no("supported", subject.title, "kubernetes/nodes")
    else:
        yield subject.yes("supported", "KubeArmor can run on this node", "kubernetes/nodes")


def _exempt(subject: HostSubject) -> Iterator[Step]:
    if subject.judged.verdict == "exempt":
        text = f"the node's annotation kubearmor-policy says {subject.pair.marks.mode}"
        yield subject.yes("exempt", text, "kubernetes/nodes", subject.judged.since)
    elif subject.pair.is_host:
        yield subject.no("exempt", "no annotation exempts the node", "kubernetes/nodes")
    else:
        text = "no annotation exempts a node from network policies"
        yield subject.no("exempt", text, "kubernetes/nodes")


def _objects(subject: HostSubject) -> Iterator[Step]:
    blind = subject.blind
    if blind is None:
        yield subject.yes("objects", "nodes and policies are being read", "kubernetes/nodes")
    else:
        since = subject.view.blind[blind]
        text = f"{blind} cannot be read"
        yield Step("objects", "unread", text, f"kubernetes/{blind}", (since, since))


# --- the policy ---------------------------------------------------------------------------------


def _attachment(subject: HostSubject) -> Iterator[Step]:
    known = subject.view.release or "this release"
    applies = subject.pair.applies(subject.incarnation)
    if applies is None:
        text = f"whether {known} takes the node for selected is open"
        yield Step("attachment", "unread", text, "kubernetes/nodes")
    elif applies:
        yield subject.yes("attachment", f"{known} takes the node for selected", "kubernetes/nodes")
    else:
        yield subject.no(
            "attachment", f"{known} does not select the node by it", "kubernetes/nodes"
        )


def _active(subject: HostSubject) -> Iterator[Step]:
    if subject.is_applied:
        yield subject.yes("active", "the daemon applies policies of this kind", subject.text)
    elif subject.is_applied is None:
        incarnation = subject.incarnation
        started = incarnation.running or (incarnation.first_seen, incarnation.first_seen)
        text = "no line says that the daemon applies policies of this kind"
        yield subject.unsaid_since(started[0], "active", text)
    else:
        text = "the daemon does not apply policies of this kind"
        yield subject.no("active", text, subject.text)


def _rules(subject: HostSubject) -> Iterator[Step]:
    source = f"kubernetes/{POLICY_RESOURCES[subject.policy.kind]}"
    if is_formless(subject.policy.rules, subject.incarnation.enforcer):
        text = "none of its rules has a form that is enforced on a host"
        yield subject.no("rules", text, source)
    else:
        text = "its rules have a form that is enforced on a host, or only audit"
        yield subject.yes("rules", text, source)


def _evaluation(subject: HostSubject) -> Iterator[Step]:
    incarnation, pair = subject.incarnation, subject.pair
    chosen = "the node's Pods" if subject.policy.pods.labels else "the node"
    meaning = host_behaviour(subject.view.release)
    position, _ = last_evaluation(subject.policy.kind, incarnation, meaning)
    if pair.evaluated(incarnation):
        text = f"the daemon looked at {chosen} after the policy came to select it"
        at = subject.instant(position) if position else None
        yield subject.yes("evaluation", text, subject.text, at)
    else:
        text = f"no line shows that the daemon looked at {chosen} since the policy selects it"
        yield subject.unsaid_since(pair.chosen[0], "evaluation", text)


ANSWERS: Final[Mapping[Question, Callable[[HostSubject], Iterator[Step]]]] = {
    "supported": _supported,
    "exempt": _exempt,
    "objects": _objects,
    "daemon": daemon,
    "release": release,
    "effect": effect,
    "enforcer": enforcer,
    "attachment": _attachment,
    "active": _active,
    "rules": _rules,
    "policy": policy,
    "evaluation": _evaluation,
    "silence": silence,
}
