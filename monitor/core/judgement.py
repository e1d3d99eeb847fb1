"""The verdict of one pair: a container and a policy that should protect it, at one instant.

What can change the answer, and nothing else can: the policy (its revision, its deletion), the
container (its start, its Pod's labels and mode), the node's daemon (its incarnation and what its
output says), an alert or a log about the container, a source going blind or coming back, and time
(a deadline). `judge` looks at all of them at once and keeps nothing, so the order in which the
facts arrived cannot matter.

The order of the questions is the rule "first decided wins" (design, section 3): unsupported,
exempt, causes that concern the whole node, evidence. A silence is a gap only if every source that
could have shown the proof was read since the change; else it is unknown.
"""

from typing import Final

from msgspec.structs import replace

from monitor.core.apparmor import APPARMOR, profile_of, unannotated
from monitor.core.circumstances import Limits, NodeView, Surroundings
from monitor.core.collision import ALONE, Namesakes
from monitor.core.containers import ContainerRecord, exempt, unsupported
from monitor.core.evidence import AT_ONCE, ContainerEvidence, Incarnation
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.model import Grade
from monitor.core.policies import Learned, PolicyState
from monitor.core.reading import Reading, first_rewrite, is_drawn
from monitor.core.reasons import UNEXPLAINED, Case
from monitor.core.silence import Silence
from monitor.core.verdict import Judged

UNATTRIBUTED: Final = frozenset({"written", "resumed", "doubtful", "unclear"})
"""Readings by which the container has rules again, if the policy is among those they are of."""


def exemption(container: ContainerRecord, view: NodeView) -> Judged | None:
    """The verdicts that no evidence can move: unsupported and exempt."""
    cause = unsupported(container.pod, container.kind)
    if cause is None and view.unsupported:
        cause = "unsupported-node"
    if cause is not None:
        return Judged("unsupported", cause=cause, since=container.started)
    cause = exempt(container.pod, untracked=view.untracked)
    return Judged("exempt", cause=cause, since=container.started) if cause is not None else None


def judge(
    container: ContainerRecord,
    policy: PolicyState,
    view: NodeView,
    *,
    surroundings: Surroundings,
    namesakes: Namesakes,
    limits: Limits,
    now: float,
) -> Judged:
    """The verdict of a pair that is neither unsupported nor exempt."""
    return _Pair(
        container=container,
        policy=policy,
        view=view,
        surroundings=surroundings,
        namesakes=namesakes,
        limits=limits,
        now=now,
    ).judge()


def silent_until(
    container: ContainerRecord,
    policy: PolicyState,
    view: NodeView,
    *,
    surroundings: Surroundings,
    limits: Limits,
    now: float,
) -> float:
    """Until when nothing follows from silence about a pair."""
    return _Pair(
        container=container,
        policy=policy,
        view=view,
        surroundings=surroundings,
        namesakes=ALONE,
        limits=limits,
        now=now,
    ).silent_until()


class _Pair(Silence):
    """The steps of the answer, in their order."""

    def judge(self) -> Judged:
        for resource in ("pods", POLICY_RESOURCES[self.policy.kind]):
            if self._blind_for_long(self.view.blind.get(resource)):
                return self._unknown("source-outage", predicted=None)
        incarnation = self.view.incarnation
        if incarnation is None or self.view.phase not in {"ready", "starting"}:
            return self._without_daemon()
        proof = self._proof(incarnation)
        if proof is not None and self._refutation(incarnation) is None:
            seen = self._instant(int(proof * 1e9))
            written = self._written_by(incarnation)
            return Judged("covered", grade="proven", since=seen, predicted=True, written=written)
        if self.view.phase == "starting":
            return self._without_daemon()
        return self._with_daemon(incarnation)

    def _without_daemon(self) -> Judged:
        incarnation = self.view.incarnation
        unread = incarnation is not None and not self.view.followed
        if self._outlived:
            return self._unknown("no-evidence-source", predicted=None)
        if self.lost is not None:
            if unread and incarnation is not None:
                return self._unknown(self._blindness(incarnation), predicted=None)
            return self._still_lost(predicted=None)
        deadline = self._deadline_without_daemon()
        if self._is_early(deadline):
            return self._pending(self._settled_by(deadline))
        if incarnation is not None and (unread or self.view.was_seen_before(deadline)):
            return self._unknown(self._blindness(incarnation), predicted=None)
        if self.view.unsettled_since is not None:
            return self._unknown("source-outage", predicted=None)
        return self._gap(f"daemon-{self.view.phase}", predicted=None)

    def _with_daemon(self, incarnation: Incarnation) -> Judged:
        if incarnation.enforcer is not None and incarnation.enforcer in {"", "SELinux"}:
            said = (
                incarnation.enforcer_reason or f"its enforcer is {incarnation.enforcer or 'none'}"
            )
            return self._shown("enforcer-absent", f"the daemon said: {said}", predicted=None)
        by_profile = incarnation.enforcer == APPARMOR
        rules = self.policy.rules
        if rules.profileless if by_profile else rules.unenforceable:
            shown = "none of its rules that block or allow has a form that the kernel enforces"
            return self._shown("rule-not-enforceable", shown, predicted=None)
        toothless = self._toothless(incarnation)
        if toothless is not None:
            return toothless
        learned = self.policy.learned(incarnation, self.view.node.clock)
        if self._is_refused(incarnation):
            return self._explained(self._case(incarnation, None, None), predicted=False)
        collided = self._collision(incarnation)
        if collided is not None:
            return collided
        predicted = self._predicted(incarnation, learned)
        if predicted is False:
            return self._shown(*self._unpredicted(incarnation), predicted=False)
        refutation = self._refutation(incarnation)
        if refutation is not None:
            return self._contradiction(incarnation, refutation)
        if by_profile:
            return self._by_profile(incarnation, learned, predicted=predicted)
        return self._by_evidence(incarnation, learned, predicted=predicted)

    def _by_profile(
        self, incarnation: Incarnation, learned: Learned | None, *, predicted: bool | None
    ) -> Judged:
        """The verdict by the container's AppArmor profile."""
        profile = profile_of(self.container, incarnation)
        if profile is None:
            return self._shown(*unannotated(self.view.node), predicted=False)
        if learned is not None and profile.refused > max(profile.written, learned.position):
            shown = f"{profile.name} was refused: {profile.error}"
            return self._shown("apparmor-profile-rejected", shown, predicted=predicted)
        if predicted and learned is not None and profile.written > learned.position:
            written = self._instant(profile.written)
            grade: Grade = "applied" if learned.certain else "inferred"
            return Judged("covered", grade=grade, since=written, predicted=True, written=written)
        deadline, behind = self._deadline(incarnation, None)
        if self._is_early(deadline):
            return self._waiting(incarnation, self._settled_by(deadline), predicted=predicted)
        case = self._case(incarnation, None, learned)
        return self._silence(replace(case, behind=behind), predicted=predicted)

    def _by_evidence(
        self, incarnation: Incarnation, learned: Learned | None, *, predicted: bool | None
    ) -> Judged:
        evidence = incarnation.container(self.container.id)
        found = self._read(incarnation, learned)
        case = self._case(incarnation, evidence, learned)
        if predicted and evidence is not None and self._is_ineffective(evidence, learned):
            return self._explained(case, predicted=predicted)
        if predicted and found in {"written", "resumed"}:
            return self._carried(incarnation, evidence, learned, found)
        if predicted and found == "removed" and evidence is not None:
            emptied = incarnation.emptied(self.container.id)
            return self._removed(case, evidence, max(emptied, evidence.refused))
        if predicted and found == "overwritten":
            return self._overwritten(case)
        return self._awaited(case, found, predicted=None if found == "unclear" else predicted)

    def _awaited(self, case: Case, found: Reading, *, predicted: bool | None) -> Judged:
        """The verdict where the lines show no proof, or none that can be attributed."""
        incarnation, evidence, learned = case.incarnation, case.evidence, case.learned
        if predicted is None and self.lost is not None and found in UNATTRIBUTED:
            return self._undecided()
        deadline, behind = self._deadline(incarnation, evidence)
        if self._is_early(deadline):
            return self._waiting(incarnation, self._settled_by(deadline), predicted=predicted)
        if predicted and found == "doubtful":
            return self._covered("inferred", incarnation, learned, predicted=predicted)
        if predicted and found == "stopped" and evidence is not None and evidence.created:
            return self._removed(case, evidence, evidence.removed)
        return self._silence(replace(case, behind=behind), predicted=predicted)

    def _carried(
        self,
        incarnation: Incarnation,
        evidence: ContainerEvidence | None,
        learned: Learned | None,
        found: Reading,
    ) -> Judged:
        """The verdict where rules were written that carry the policy."""
        if self._is_crowded():
            recheck = self.needed[1] + self.limits.grace
            return self._waiting(incarnation, recheck, predicted=True)
        sure = found == "written" and learned is not None and learned.certain
        shared = evidence is not None and evidence.shares_namespaces != ""
        sure = sure and not (incarnation.overheard or shared)
        return self._covered(
            "applied" if sure else "inferred", incarnation, learned, predicted=True
        )

    def _is_crowded(self) -> bool:
        """Whether one of many changes of a Pod of several containers is too young to be judged."""
        pod = self.container.pod
        if self.relabelled is None or not pod.crowded or len(pod.containers) == 1:
            return False
        return self.now < self.needed[1] + self.limits.grace

    def _removed(self, case: Case, evidence: ContainerEvidence, position: int) -> Judged:
        """The rules are gone although they are expected: lost if they had been there."""
        if self.lost is not None:
            return self._still_lost(predicted=True)
        never = 0 < evidence.refused - evidence.created < AT_ONCE and position == evidence.refused
        if never or not evidence.created:
            return self._explained(case, predicted=True)
        return Judged(
            "lost",
            cause="rules-removed",
            since=self._instant(position),
            predicted=True,
            opening=f"removed:{position}",
        )

    def _overwritten(self, case: Case) -> Judged:
        """A stale list was written: what the Pod's own event had brought, if anything, is gone."""
        if self.lost is not None:
            return self._still_lost(predicted=False)
        pod, incarnation = self.container.pod, case.incarnation
        known = self._behaviour(incarnation)
        if is_drawn(self.container, self.policy, incarnation, known) is False:
            return self._explained(case, predicted=False)
        relabelled = pod.former_labels[-1][0]
        if self.policy.changed[0] > relabelled[1]:
            shown = "the daemon's list has the Pod's labels of before, and the policy came later"
            return self._shown(UNEXPLAINED, shown, predicted=False)
        seen, written = first_rewrite(self.container, incarnation, known)
        return Judged(
            "lost",
            cause="rules-removed",
            since=self._instant(written),
            predicted=False,
            opening=f"overwritten:{seen}",
        )

    def _covered(
        self,
        grade: Grade,
        incarnation: Incarnation,
        learned: Learned | None,
        *,
        predicted: bool | None,
    ) -> Judged:
        written = self._written(incarnation, learned)
        return Judged("covered", grade=grade, since=written, predicted=predicted, written=written)
