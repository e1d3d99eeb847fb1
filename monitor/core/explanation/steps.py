"""The trail of one pair: each question of the judgement, with what is known about it.

The judgement (`core.judgement`) asks in this order and stops at the first answer that decides. Here
the same questions are answered in words, from the same facts, up to that one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final

from msgspec.structs import replace

from monitor.core.apparmor import APPARMOR, profile_of, unannotated
from monitor.core.causes import CAUSES
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import ContainerEvidence, Incarnation
from monitor.core.explanation.deciding import blind_resource, decided_by
from monitor.core.explanation.values import Knowledge, Question, Step
from monitor.core.judgement import POLICY_RESOURCES, NodeView
from monitor.core.model import Interval
from monitor.core.policies import SLACK, PolicyState
from monitor.core.sight import is_unread
from monitor.core.verdict import Judged

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


class Inquiry:
    """The questions about one pair.

    `deadline` is until when silence says nothing; `alerts` whether a feed of them is being read.
    """

    def __init__(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        judged: Judged,
        *,
        deadline: float,
        alerts: bool,
    ) -> None:
        self.container = container
        self.policy = policy
        self.view = view
        self.judged = judged
        self.deadline = deadline
        self.alerts = alerts
        incarnation = view.incarnation
        overheard = incarnation is not None and incarnation.overheard
        self.text = "messages" if overheard else f"text/{view.node.name}"
        self.by_profile = incarnation is not None and incarnation.enforcer == APPARMOR
        self.evidence = incarnation.container(container.id) if incarnation else None

    def trail(self) -> tuple[Step, ...]:
        """The answers up to the one that decides."""
        decisive = decided_by(self.judged, self.policy, self.view, self.evidence)
        asked = self._asked()
        if decisive not in asked:
            decisive = "silence"
        steps: list[Step] = []
        for question in asked:
            steps.extend(self.ANSWERS[question](self))
            if question == decisive:
                break
        return (*steps[:-1], replace(steps[-1], decides=True))

    def _asked(self) -> tuple[Question, ...]:
        if self.view.incarnation is None:
            return (*BEFORE_DAEMON, "silence")
        known = {
            "ready": OF_PROFILES if self.by_profile else OF_READY,
            "starting": OF_STARTING,
        }
        return (*known.get(self.view.phase, BEFORE_DAEMON), "silence")

    # --- what the cluster says ------------------------------------------------------------------

    def _supported(self) -> Iterator[Step]:
        if self.judged.verdict == "unsupported":
            place = "nodes" if self.judged.cause == "unsupported-node" else "pods"
            yield self._no("supported", self._title(), f"kubernetes/{place}")
        else:
            text = "KubeArmor can protect containers of this kind"
            yield self._yes("supported", text, "kubernetes/pods")

    def _exempt(self) -> Iterator[Step]:
        if self.judged.verdict == "exempt":
            untracked = self.judged.cause == "untracked-namespace"
            place = "configmaps" if untracked else "pods"
            yield self._yes("exempt", self._title(), f"kubernetes/{place}")
        else:
            text = "neither an annotation nor its namespace exempts it"
            yield self._no("exempt", text, "kubernetes/pods")

    def _objects(self) -> Iterator[Step]:
        blind = blind_resource(self.policy, self.view)
        if blind is None:
            text = "Pods and policies are being read"
            yield self._yes("objects", text, "kubernetes/pods")
        else:
            since = self.view.blind[blind]
            text = f"{blind} cannot be read"
            yield Step("objects", "unread", text, f"kubernetes/{blind}", (since, since))

    # --- the daemon -----------------------------------------------------------------------------

    def _daemon(self) -> Iterator[Step]:
        phase, since = self.view.phase, self.view.phase_since
        at = since if since[1] > 0 else None
        if phase in PHASES or self.view.incarnation is None:
            text = PHASES.get(phase, PHASES["down"])
            yield self._no("daemon", text, "kubernetes/pods", at)
            return
        incarnation = self.view.incarnation
        pod = incarnation.pod or self.view.node.pod_name(incarnation.pod_uid)
        name = f"{pod} (restart {incarnation.restart})"
        if phase == "starting":
            yield self._no("daemon", f"{name} has not finished starting", self.text, at)
        elif incarnation.initialized_at is None:
            text = f"{name} runs, and is taken for ready: its start was not read"
            yield self._yes("daemon", text, "kubernetes/pods", at)
        else:
            yield self._yes("daemon", f"{name} is ready", self.text, at)

    def _release(self) -> Iterator[Step]:
        incarnation, release = self._incarnation, self.view.release
        if release is None:
            yield self._no("release", "its release is not known", self.text)
        elif incarnation.release is not None:
            yield self._yes("release", f"{release}, as its output says", self.text)
        elif incarnation.alert_release is not None:
            yield self._yes("release", f"{release}, as its alerts say", ALERTS)
        else:
            yield self._yes("release", f"{release}, by the tag of its image", "kubernetes/pods")

    def _policy(self) -> Iterator[Step]:
        revision = f"generation {self.policy.generation}"
        learned = self.policy.learned(self._incarnation, self.view.node.clock)
        if learned is not None:
            sure = "has met" if learned.certain else "has probably met"
            text = f"the daemon {sure} {revision} of the policy"
            yield self._yes("policy", text, self.text, self._instant(learned.position))
        else:
            text = f"no line says that the daemon has met {revision} of the policy"
            yield self._unsaid("policy", text, since=self.policy.changed[0])

    def _effect(self) -> Iterator[Step]:
        if self.judged.grade == "proven":
            text = "an effect of the policy was reported"
            yield self._yes("effect", text, ALERTS, self.judged.since)
        elif self.judged.cause == "contradicted":
            text = "what the policy forbids was reported to have been done"
            yield self._yes("effect", text, ALERTS, self.judged.since)
        elif self.alerts:
            text = "no effect of the policy was reported that proves it"
            yield self._no("effect", text, ALERTS)
        else:
            yield Step("effect", "unread", "alerts are not being read", ALERTS)

    def _enforcer(self) -> Iterator[Step]:
        incarnation = self._incarnation
        enforcer = incarnation.enforcer
        if enforcer is None:
            started = incarnation.running or (incarnation.first_seen, incarnation.first_seen)
            text = "the daemon has not named its enforcer"
            yield self._unsaid("enforcer", text, since=started[0])
        elif not enforcer:
            reason = f": {incarnation.enforcer_reason}" if incarnation.enforcer_reason else ""
            yield self._no("enforcer", f"the daemon has no enforcer{reason}", self.text)
        else:
            yield self._yes("enforcer", f"the daemon enforces by {enforcer}", self.text)

    # --- the policy -----------------------------------------------------------------------------

    def _rules(self) -> Iterator[Step]:
        rules, source = self.policy.rules, f"kubernetes/{POLICY_RESOURCES[self.policy.kind]}"
        formless = rules.without_kernel_form
        if self.judged.cause == "posture-audit":
            yield self._no("rules", self.judged.reasons[0].evidence, source)
        elif rules.profileless if self.by_profile else rules.unenforceable:
            text = "none of its rules has a form that the kernel enforces"
            yield self._no("rules", text, source)
        elif self.by_profile:
            text = "its rules have a form that a profile can hold"
            yield self._yes("rules", text, source)
        elif not rules.enforced:
            yield self._yes("rules", "its rules only audit: none is written to the kernel", source)
        else:
            rest = f", {formless} of them have not" if formless else ""
            text = f"its rules have a form that the kernel enforces{rest}"
            yield self._yes("rules", text, source)

    def _attachment(self) -> Iterator[Step]:
        release = self.view.release or "this release"
        predicted = self.judged.predicted
        if predicted:
            text = f"nothing in {release} keeps it from the container"
            yield self._yes("attachment", text, self.text)
        elif predicted is None:
            text = f"whether {release} keeps it from the container is open"
            yield Step("attachment", "unread", text, self.text)
        else:
            shown = self.judged.reasons[0].evidence if self.judged.reasons else self._title()
            yield self._no("attachment", f"not attached: {shown}", self.text)

    # --- what the daemon did about the container ------------------------------------------------

    def _pod(self) -> Iterator[Step]:
        position = self._pod_line()
        if position:
            yield self._yes("pod", "the daemon has met the Pod", self.text, self._instant(position))
        else:
            yield self._unsaid("pod", "no line says that the daemon has met the Pod")

    def _pod_line(self) -> int:
        """The line that counts: after a change of the Pod, before the last push, or the first."""
        incarnation, pod = self._incarnation, self.container.pod.key
        changed = (self.container.since_relabel or {}).get(self.policy.key)
        if changed is not None:
            return incarnation.pod_line_since(pod, changed[0] - SLACK) or 0
        position = 0
        if self.evidence is not None and self.evidence.latest_write:
            position = incarnation.pod_line_before(pod, self.evidence.latest_write)
        return position or incarnation.pod_line_since(pod, self._started - SLACK) or 0

    def _runtime(self) -> Iterator[Step]:
        evidence = self.evidence
        if evidence is None or not evidence.registered:
            text = "no line says that the runtime announced the container"
            yield self._unsaid("runtime", text)
            return
        unread = " with a namespace id of 0" if evidence.zero_namespaces else ""
        text = f"the runtime announced the container{unread}"
        yield self._yes("runtime", text, self.text, self._instant(evidence.registered))

    def _push(self) -> Iterator[Step]:
        evidence = self.evidence
        if evidence is None or not evidence.latest_write:
            yield self._unsaid("push", "no line says that its rules were pushed")
            return
        learned = self.policy.learned(self._incarnation, self.view.node.clock)
        basis = self._incarnation.basis(evidence, self.container.pod.key)
        carried = learned is not None and learned.position < basis
        known = "with" if carried else "without"
        text = f"its rules were last pushed {known} the policy known"
        yield self._yes("push", text, self.text, self._instant(evidence.latest_write))

    def _map(self) -> Iterator[Step]:
        evidence = self.evidence
        if evidence is None or not (evidence.created or evidence.deleted or evidence.failed):
            if self.judged.verdict == "lost":
                text = "its rules ended with the daemon that had written them"
                yield self._no("map", text, self.text, self.judged.since)
            else:
                yield self._unsaid("map", "no line says that its rule map was made")
            return
        if evidence.created:
            text = "its rule map was made"
            yield self._yes("map", text, self.text, self._instant(evidence.created))
        yield from self._map_lost(evidence)

    def _map_lost(self, evidence: ContainerEvidence) -> Iterator[Step]:
        """What happened to its map since it was made."""
        if evidence.has_stopped:
            text, position = "the runtime reported its end", evidence.removed
        elif evidence.is_incomplete or evidence.refused > evidence.created:
            text, position = f"the kernel refused: {evidence.error}", evidence.failed
        elif evidence.deleted > evidence.created:
            text, position = "its rule set was empty", evidence.deleted
        else:
            return
        yield self._no("map", text, self.text, self._instant(position))

    def _profile(self) -> Iterator[Step]:
        found = profile_of(self.container, self._incarnation)
        if found is None:
            _, text = unannotated(self.view.node)
            yield self._no("profile", text, "kubernetes/pods")
        elif found.refused > found.written:
            text = f"{found.name} was refused: {found.error}"
            yield self._no("profile", text, self.text, self._instant(found.refused))
        elif found.written:
            text = f"rules were last written to {found.name}"
            yield self._yes("profile", text, self.text, self._instant(found.written))
        else:
            text = f"no line says that rules were written to {found.name}"
            yield self._unsaid("profile", text)

    def _silence(self) -> Iterator[Step]:
        at = (self.deadline, self.deadline)
        if self.judged.recheck is not None:
            stays = "" if self.judged.verdict == "pending" else "; what was announced stands"
            text = f"the deadline for a proof has not passed{stays}"
            yield self._no("silence", text, self.text, at)
        elif self.judged.verdict == "unknown":
            text = "silence proves nothing: not all that could show it was read"
            yield Step("silence", "unread", text, self.text)
        else:
            text = "no proof came by the deadline"
            yield self._yes("silence", text, self.text, at)

    # --- answers --------------------------------------------------------------------------------

    @property
    def _incarnation(self) -> Incarnation:
        assert self.view.incarnation is not None
        return self.view.incarnation

    @property
    def _started(self) -> float:
        return self.container.started[0]

    def _instant(self, position: int) -> Interval:
        return self.view.node.clock.instant(position)

    def _title(self) -> str:
        return CAUSES[self.judged.cause or "unexplained"].title

    @staticmethod
    def _yes(question: Question, text: str, source: str, at: Interval | None = None) -> Step:
        return Step(question, "known", text, source, at)

    @staticmethod
    def _no(question: Question, text: str, source: str, at: Interval | None = None) -> Step:
        return Step(question, "known-not", text, source, at)

    def _unsaid(self, question: Question, text: str, *, since: float | None = None) -> Step:
        """A line that is not there: it was not printed, or nobody read it."""
        began = self._started if since is None else since
        unread = is_unread(self.view.node, self._incarnation, since=began)
        knowledge: Knowledge = "unread" if unread else "known-not"
        return Step(question, knowledge, text, self.text)

    ANSWERS: ClassVar[Mapping[Question, Callable[["Inquiry"], Iterator[Step]]]] = {
        "supported": _supported,
        "exempt": _exempt,
        "objects": _objects,
        "daemon": _daemon,
        "release": _release,
        "policy": _policy,
        "effect": _effect,
        "enforcer": _enforcer,
        "rules": _rules,
        "attachment": _attachment,
        "pod": _pod,
        "runtime": _runtime,
        "push": _push,
        "map": _map,
        "profile": _profile,
        "silence": _silence,
    }
