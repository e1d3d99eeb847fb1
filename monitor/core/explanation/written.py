"""The questions that a daemon's lines about a Pod and its containers answer."""

from collections.abc import Iterator

from monitor.core.apparmor import profile_of, unannotated
from monitor.core.evidence import ContainerEvidence
from monitor.core.explanation.subject import Subject
from monitor.core.explanation.values import Step
from monitor.core.policies import SLACK


def pod(subject: Subject) -> Iterator[Step]:
    position = _line_of(subject)
    if position:
        yield subject.yes(
            "pod", "the daemon has met the Pod", subject.text, subject.instant(position)
        )
    else:
        yield subject.unsaid("pod", "no line says that the daemon has met the Pod")


def _line_of(subject: Subject) -> int:
    """The line that counts: after a change of the Pod, before the last push, or the first."""
    incarnation, pod = subject.incarnation, subject.container.pod.key
    changed = (subject.container.since_relabel or {}).get(subject.policy.key)
    if changed is not None:
        return incarnation.pod_line_since(pod, changed[0] - SLACK) or 0
    position = 0
    if subject.evidence is not None and subject.evidence.latest_write:
        position = incarnation.pod_line_before(pod, subject.evidence.latest_write)
    return position or incarnation.pod_line_since(pod, subject.started - SLACK) or 0


def runtime(subject: Subject) -> Iterator[Step]:
    evidence = subject.evidence
    if evidence is None or not evidence.registered:
        text = "no line says that the runtime announced the container"
        yield subject.unsaid("runtime", text)
        return
    unread = " with a namespace id of 0" if evidence.zero_namespaces else ""
    text = f"the runtime announced the container{unread}"
    yield subject.yes("runtime", text, subject.text, subject.instant(evidence.registered))


def push(subject: Subject) -> Iterator[Step]:
    evidence = subject.evidence
    if evidence is None or not evidence.latest_write:
        yield subject.unsaid("push", "no line says that its rules were pushed")
        return
    learned = subject.policy.learned(subject.incarnation, subject.view.node.clock)
    basis = subject.incarnation.basis(evidence, subject.container.pod.key)
    carried = learned is not None and learned.position < basis
    known = "with" if carried else "without"
    text = f"its rules were last pushed {known} the policy known"
    yield subject.yes("push", text, subject.text, subject.instant(evidence.latest_write))


def rule_map(subject: Subject) -> Iterator[Step]:
    evidence = subject.evidence
    if evidence is None or not (evidence.created or evidence.deleted or evidence.failed):
        if subject.judged.verdict == "lost":
            text = "its rules ended with the daemon that had written them"
            yield subject.no("map", text, subject.text, subject.judged.since)
        else:
            yield subject.unsaid("map", "no line says that its rule map was made")
        return
    if evidence.created:
        text = "its rule map was made"
        yield subject.yes("map", text, subject.text, subject.instant(evidence.created))
    yield from _lost(subject, evidence)


def _lost(subject: Subject, evidence: ContainerEvidence) -> Iterator[Step]:
    """What happened to its map since it was made."""
    if evidence.has_stopped:
        text, position = "the runtime reported its end", evidence.removed
    elif evidence.is_incomplete or evidence.refused > evidence.created:
        text, position = f"the kernel refused: {evidence.error}", evidence.failed
    elif evidence.deleted > evidence.created:
        text, position = "its rule set was empty", evidence.deleted
    else:
        return
    yield subject.no("map", text, subject.text, subject.instant(position))


def profile(subject: Subject) -> Iterator[Step]:
    found = profile_of(subject.container, subject.incarnation)
    if found is None:
        _, text = unannotated(subject.view.node)
        yield subject.no("profile", text, "kubernetes/pods")
    elif found.refused > found.written:
        text = f"{found.name} was refused: {found.error}"
        yield subject.no("profile", text, subject.text, subject.instant(found.refused))
    elif found.written:
        text = f"rules were last written to {found.name}"
        yield subject.yes("profile", text, subject.text, subject.instant(found.written))
    else:
        text = f"no line says that rules were written to {found.name}"
        yield subject.unsaid("profile", text)
