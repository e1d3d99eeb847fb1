"""The trail of one pair: each question of the judgement, with what is known about it.

The judgement (`core.judgement`) asks in this order and stops at the first answer that decides. Here
the same questions are answered in words, from the same facts, up to that one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from monitor.core.explanation.deciding import blind_resource, decided_by, up_to
from monitor.core.explanation.subject import Asked, Subject
from monitor.core.explanation.values import Question, Step
from monitor.core.explanation.written import pod, profile, push, rule_map, runtime
from monitor.core.health import HEALTH
from monitor.core.kubernetes import POLICY_RESOURCES

BEFORE_DAEMON: Final[tuple[Question, ...]] = ("supported", "exempt", "objects", "daemon")
OF_STARTING: Final[tuple[Question, ...]] = (*BEFORE_DAEMON, "release", "policy", "effect")
OF_POLICY: Final[tuple[Question, ...]] = ("enforcer", "rules", "attachment", "pod")
OF_READY: Final[tuple[Question, ...]] = (*OF_STARTING, *OF_POLICY, "runtime", "push", "map")
OF_PROFILES: Final[tuple[Question, ...]] = (*OF_STARTING, *OF_POLICY, "profile")
PHASES: Final = {
    "absent": "no Pod of KubeArmor's daemon is bound to the node",
    "down": "the daemon's container does not run",
    "replaced": "the daemon's Pod is being replaced",
}
ALERTS: Final = "alerts"


def trail(subject: Subject) -> tuple[Step, ...]:
    """The answers up to the one that decides."""
    decisive = decided_by(subject.judged, subject.policy, subject.view, subject.evidence)
    return up_to(decisive, asked=_asked(subject), answer=lambda one: ANSWERS[one](subject))


def _asked(subject: Subject) -> tuple[Question, ...]:
    if subject.view.incarnation is None:
        return (*BEFORE_DAEMON, "silence")
    known = {
        "ready": OF_PROFILES if subject.by_profile else OF_READY,
        "starting": OF_STARTING,
    }
    return (*known.get(subject.view.phase, BEFORE_DAEMON), "silence")


# --- what the cluster says ----------------------------------------------------------------------


def _supported(subject: Subject) -> Iterator[Step]:
    if subject.judged.verdict == "unsupported":
        place = "nodes" if subject.judged.cause == "unsupported-node" else "pods"
        yield subject.no("supported", subject.title, f"kubernetes/{place}")
    else:
        text = "KubeArmor can protect containers of this kind"
        yield subject.yes("supported", text, "kubernetes/pods")


def _exempt(subject: Subject) -> Iterator[Step]:
    if subject.judged.verdict == "exempt":
        untracked = subject.judged.cause == "untracked-namespace"
        place = "configmaps" if untracked else "pods"
        yield subject.yes("exempt", subject.title, f"kubernetes/{place}")
    else:
        text = "neither an annotation nor its namespace exempts it"
        yield subject.no("exempt", text, "kubernetes/pods")


def _objects(subject: Subject) -> Iterator[Step]:
    blind = blind_resource(subject.policy, subject.view)
    if blind is None:
        text = "Pods and policies are being read"
        yield subject.yes("objects", text, "kubernetes/pods")
    else:
        since = subject.view.blind[blind]
        text = f"{blind} cannot be read"
        yield Step("objects", "unread", text, f"kubernetes/{blind}", (since, since))


# --- the daemon ---------------------------------------------------------------------------------


def daemon(subject: Asked) -> Iterator[Step]:
    phase, since = subject.view.phase, subject.view.phase_since
    at = since if since[1] > 0 else None
    if phase in PHASES or subject.view.incarnation is None:
        text = PHASES.get(phase, PHASES["down"])
        yield subject.no("daemon", text, "kubernetes/pods", at)
        return
    incarnation = subject.view.incarnation
    pod = incarnation.pod or subject.view.node.pod_name(incarnation.pod_uid)
    name = f"{pod} (restart {incarnation.restart})"
    answers = subject.view.node.answers(incarnation)
    if phase == "starting":
        place = subject.text if answers is None else HEALTH
        yield subject.no("daemon", f"{name} has not finished starting", place, at)
    elif incarnation.initialized_at is not None:
        yield subject.yes("daemon", f"{name} is ready", subject.text, at)
    elif answers is not None and answers.served is not None:
        yield subject.yes("daemon", f"{name} is ready", HEALTH, at)
    else:
        text = f"{name} runs, and is taken for ready: its start was not read"
        yield subject.yes("daemon", text, "kubernetes/pods", at)


def release(subject: Asked) -> Iterator[Step]:
    incarnation, known = subject.incarnation, subject.view.release
    if known is None:
        yield subject.no("release", "its release is not known", subject.text)
    elif incarnation.release is not None:
        yield subject.yes("release", f"{known}, as its output says", subject.text)
    elif incarnation.alert_release is not None:
        yield subject.yes("release", f"{known}, as its alerts say", ALERTS)
    else:
        yield subject.yes("release", f"{known}, by the tag of its image", "kubernetes/pods")


def policy(subject: Asked) -> Iterator[Step]:
    revision = f"generation {subject.policy.generation}"
    learned = subject.policy.learned(subject.incarnation, subject.view.node.clock)
    if learned is not None:
        sure = "has met" if learned.certain else "has probably met"
        text = f"the daemon {sure} {revision} of the policy"
        yield subject.yes("policy", text, subject.text, subject.instant(learned.position))
    else:
        text = f"no line says that the daemon has met {revision} of the policy"
        yield subject.unsaid_since(subject.policy.changed[0], "policy", text)


def effect(subject: Asked) -> Iterator[Step]:
    if subject.judged.grade == "proven":
        text = "an effect of the policy was reported"
        yield subject.yes("effect", text, ALERTS, subject.judged.since)
    elif subject.judged.cause == "contradicted":
        text = "what the policy forbids was reported to have been done"
        yield subject.yes("effect", text, ALERTS, subject.judged.since)
    elif subject.alerts:
        text = "no effect of the policy was reported that proves it"
        yield subject.no("effect", text, ALERTS)
    else:
        yield Step("effect", "unread", "alerts are not being read", ALERTS)


def enforcer(subject: Asked) -> Iterator[Step]:
    incarnation = subject.incarnation
    named = incarnation.enforcer
    if named is None:
        started = incarnation.running or (incarnation.first_seen, incarnation.first_seen)
        text = "the daemon has not named its enforcer"
        yield subject.unsaid_since(started[0], "enforcer", text)
    elif not named:
        reason = f": {incarnation.enforcer_reason}" if incarnation.enforcer_reason else ""
        yield subject.no("enforcer", f"the daemon has no enforcer{reason}", subject.text)
    else:
        yield subject.yes("enforcer", f"the daemon enforces by {named}", subject.text)


# --- the policy ---------------------------------------------------------------------------------


def _rules(subject: Subject) -> Iterator[Step]:
    rules, source = subject.policy.rules, f"kubernetes/{POLICY_RESOURCES[subject.policy.kind]}"
    formless = rules.without_kernel_form
    if subject.judged.cause == "posture-audit":
        yield subject.no("rules", subject.judged.reasons[0].evidence, source)
    elif rules.profileless if subject.by_profile else rules.unenforceable:
        text = "none of its rules has a form that the kernel enforces"
        yield subject.no("rules", text, source)
    elif subject.by_profile:
        text = "its rules have a form that a profile can hold"
        yield subject.yes("rules", text, source)
    elif not rules.enforced:
        yield subject.yes("rules", "its rules only audit: none is written to the kernel", source)
    else:
        rest = f", {formless} of them have not" if formless else ""
        text = f"its rules have a form that the kernel enforces{rest}"
        yield subject.yes("rules", text, source)


def _attachment(subject: Subject) -> Iterator[Step]:
    release = subject.view.release or "this release"
    predicted = subject.judged.predicted
    if predicted:
        text = f"nothing in {release} keeps it from the container"
        yield subject.yes("attachment", text, subject.text)
    elif predicted is None:
        text = f"whether {release} keeps it from the container is open"
        yield Step("attachment", "unread", text, subject.text)
    else:
        shown = subject.judged.reasons[0].evidence if subject.judged.reasons else subject.title
        yield subject.no("attachment", f"not attached: {shown}", subject.text)


def silence(subject: Asked) -> Iterator[Step]:
    at = (subject.deadline, subject.deadline)
    if subject.judged.recheck is not None:
        stays = "" if subject.judged.verdict == "pending" else "; what was announced stands"
        text = f"the deadline for a proof has not passed{stays}"
        yield subject.no("silence", text, subject.text, at)
    elif subject.judged.verdict == "unknown":
        text = "silence proves nothing: not all that could show it was read"
        yield Step("silence", "unread", text, subject.text)
    else:
        text = "no proof came by the deadline"
        yield subject.yes("silence", text, subject.text, at)


ANSWERS: Final[Mapping[Question, Callable[[Subject], Iterator[Step]]]] = {
    "supported": _supported,
    "exempt": _exempt,
    "objects": _objects,
    "daemon": daemon,
    "release": release,
    "policy": policy,
    "effect": effect,
    "enforcer": enforcer,
    "rules": _rules,
    "attachment": _attachment,
    "pod": pod,
    "runtime": runtime,
    "push": push,
    "map": rule_map,
    "profile": profile,
    "silence": silence,
}
