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

from collections.abc import Mapping
from functools import cached_property
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from monitor.core.apparmor import APPARMOR, outlives, profile_of, unannotated
from monitor.core.collision import ALONE, Namesakes, outcome, shares_its_name
from monitor.core.containers import ContainerRecord, exempt, unsupported
from monitor.core.defaults import Defaults
from monitor.core.evidence import AT_ONCE, ContainerEvidence, Incarnation, LearnedLine, PolicyKey
from monitor.core.instants import later, spelled
from monitor.core.kubernetes import POLICY_KINDS
from monitor.core.model import Grade, Interval, Reason
from monitor.core.namesakes import Fate
from monitor.core.nodes import NodeState, Phase
from monitor.core.policies import Learned, PolicyState
from monitor.core.prediction import (
    NAMESPACED,
    depends_on_labels,
    predict,
    predict_for,
)
from monitor.core.reading import Reading, first_rewrite, is_drawn, read
from monitor.core.reasons import REFUSED, UNEXPLAINED, Case, reasons
from monitor.core.rollouts import Rollout, opening_of
from monitor.core.semantics import Behaviour, behaviour
from monitor.core.sight import is_unread, why_unseen
from monitor.core.verdict import Judged

QUEUE_IS_MOVING: Final = 10.0
PROMPT: Final = 0.25
"""How much sooner than we a daemon may hear of a change of a Pod, in seconds."""
CLOSE_CALL: Final = 1.0
UNATTRIBUTED: Final = frozenset({"written", "resumed", "doubtful", "unclear"})
"""Readings by which the container has rules again, if the policy is among those they are of."""
POLICY_RESOURCES: Final = {kind: resource for resource, kind in POLICY_KINDS.items()}


Lost: TypeAlias = tuple[str, Interval, str]  # cause, since, what opened it


class Limits(Struct, frozen=True):
    """Durations in seconds (configuration, `judgement`)."""

    grace: float
    grace_limit: float
    start_assumed: float


class NodeView(Struct, frozen=True):
    """What holds for all pairs of a node at one instant.

    `seen_starting`: when the daemon last said that it is starting, where it had to be asked.
    """

    node: NodeState
    incarnation: Incarnation | None
    phase: Phase
    phase_since: Interval
    behaviour: Behaviour | None
    release: str | None
    began: float
    untracked: frozenset[str]
    unsupported: bool
    followed: bool
    seen_starting: float | None
    blind: dict[str, float]
    unsettled_since: float | None
    expired: bool
    configured_at: float
    awaited: dict[PolicyKey, Judged]
    rollouts: dict[str, Rollout | None]

    def was_seen_before(self, deadline: float) -> bool:
        """Whether the daemon was starting when it was last asked, and may be ready by now."""
        return self.seen_starting is not None and self.seen_starting < deadline


class Surroundings(Struct, frozen=True):
    """What holds for all pairs of a container.

    `ambiguous`: the names that policies of both kinds bear; KubeArmor confuses them (dossier 5.6).
    `deleted_names`: when a policy of that name was last deleted.
    """

    namespace_created: Interval | None
    ambiguous: frozenset[str]
    deleted_names: Mapping[str, float]
    defaults: Defaults


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


class _Pair:
    """The question for one pair, split into the steps of the answer."""

    def __init__(
        self,
        *,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        surroundings: Surroundings,
        namesakes: Namesakes,
        limits: Limits,
        now: float,
    ) -> None:
        self.container = container
        self.policy = policy
        self.view = view
        self.surroundings = surroundings
        self.limits = limits
        self.now = now
        relabelled = (container.since_relabel or {}).get(policy.key)
        self.relabelled = relabelled
        self.namesakes = namesakes
        self.opening = self._opened_by()
        needed = later(container.started, policy.changed)
        self.needed = later(needed, relabelled) if relabelled is not None else needed

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
            return Judged("covered", grade="proven", since=seen, predicted=True, written=seen)
        if self.view.phase == "starting":
            return self._without_daemon()
        return self._with_daemon(incarnation)

    def _opened_by(self) -> str:
        """What made the pair need protection: the latest of start, revision and relabelling."""
        if self.relabelled is not None and self.relabelled[1] >= self.policy.changed[1]:
            return f"labels:{self.container.pod.labels.id}:{self.container.pod.mode}"
        if self.policy.changed[0] > self.container.started[0]:
            return f"policy:{self.policy.uid}:{self.policy.generation}"
        return "start"

    def _blind_for_long(self, since: float | None) -> bool:
        return since is not None and self.now - since >= self.limits.grace

    # --- node-level causes ----------------------------------------------------------------------

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

    def _deadline_without_daemon(self) -> float:
        text = self.view.node.text
        heard = text.since if text.up else self.view.began
        return max(self.needed[1], heard, self.view.phase_since[1]) + self.limits.grace

    def _is_early(self, deadline: float) -> bool:
        """Before the deadline, or shortly after an API outage, when the world may be half-new."""
        unsettled = self.view.unsettled_since
        return self.now < deadline or (
            unsettled is not None and not self._blind_for_long(unsettled)
        )

    def _settled_by(self, deadline: float) -> float:
        unsettled = self.view.unsettled_since
        return deadline if unsettled is None else max(deadline, unsettled + self.limits.grace)

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

    def _is_refused(self, incarnation: Incarnation) -> bool:
        """Refused when it was added: an edit reaches only the containers of that moment (5.6)."""
        lines = incarnation.policies.get(self.policy.key)
        if not lines or not self._was_refused_before(lines[0], incarnation):
            return False
        last = lines[-1]
        evidence = incarnation.container(self.container.id)
        if evidence is None or not evidence.latest_write:
            return self.container.started[0] > self.view.node.clock.instant(last.position)[1]
        basis = incarnation.basis(evidence, self.container.pod.key)
        return last.position < basis < evidence.latest_write

    def _was_refused_before(self, first: LearnedLine, incarnation: Incarnation) -> bool:
        """Whether its first line is a change, though its addition was not said but refused."""
        if first.action != "modified" or not incarnation.read_whole:
            return False
        return any(position < first.position for position, _ in incarnation.refusals)

    def _outcome(self, incarnation: Incarnation) -> Fate | None:
        """What became of the policy among those that share its name."""
        return outcome(
            self.container,
            self.policy,
            incarnation,
            namesakes=self.namesakes,
            behaviour=self._behaviour(incarnation),
            clock=self.view.node.clock,
        )

    def _is_ambiguous(self, incarnation: Incarnation) -> bool:
        if self.policy.name not in self.surroundings.ambiguous:
            return False
        return shares_its_name(self.policy, incarnation, namesakes=self.namesakes)

    def _collision(self, incarnation: Incarnation) -> Judged | None:
        """The verdict where a policy of the same name is in the way of this one."""
        if not self._is_ambiguous(incarnation):
            return None
        found = self._outcome(incarnation)
        if found is None or found.attachment not in {"not-stored", "removed"}:
            return None
        if found.attachment == "not-stored":
            shown = f"a policy of the other kind named {self.policy.name} kept it from being stored"
            return self._shown("name-collision", shown, predicted=False)
        return Judged(
            "lost",
            cause="policy-removed-by-collision",
            since=self._instant(found.position),
            predicted=False,
            opening=f"collision:{found.position}",
        )

    def _read(self, incarnation: Incarnation, learned: Learned | None) -> Reading:
        return read(
            self.container,
            self.policy,
            incarnation,
            learned,
            behaviour=self._behaviour(incarnation),
            clock=self.view.node.clock,
        )

    def _behaviour(self, incarnation: Incarnation) -> Behaviour | None:
        if incarnation is self.view.incarnation:
            return self.view.behaviour
        return behaviour(self.view.node.release(incarnation))

    def _predicted(self, incarnation: Incarnation, learned: Learned | None) -> bool | None:
        if self._is_ambiguous(incarnation):
            found = self._outcome(incarnation)
            return True if found is not None and found.attachment == "attached" else None
        known = self._behaviour(incarnation)
        if depends_on_labels(self.policy, known):
            return predict_for(
                self.container,
                self.policy,
                learned=learned,
                behaviour=known,
                incarnation=incarnation,
            )
        return predict(
            self.policy,
            learned=learned,
            behaviour=known,
            incarnation=incarnation,
            clock=self.view.node.clock,
            namespace=self.container.pod.namespace,
            namespace_created=self.surroundings.namespace_created,
        )

    def _unpredicted(self, incarnation: Incarnation) -> tuple[str, str]:
        """Why a policy that is expected is not attached by that release, and what shows it."""
        release = self.view.node.release(incarnation) or "the daemon"
        if self.policy.kind == NAMESPACED:
            return "version-skew", f"{release} reads the policy's selector otherwise"
        lines = incarnation.policies.get(self.policy.key)
        created = self.surroundings.namespace_created
        told = f"was created at {spelled(created[0])}" if created is not None else "is younger"
        read = f" of {spelled(lines[-1].position / 1e9)}" if lines else ""
        younger = f"its namespace {told}, after the daemon's last look at the policy{read}"
        goes_by = f"{release} goes by the namespaces that there were then"
        return "namespace-newer-than-policy", f"{younger}, and {goes_by}"

    def _toothless(self, incarnation: Incarnation) -> Judged | None:
        """The gap of an allow-list where what it omits is only audited (F39)."""
        allowing = self.policy.rules.allowing
        postures = {
            kind: self.surroundings.defaults.posture(kind, incarnation) for kind in allowing
        }
        if not allowing or set(postures.values()) != {"audit"}:
            return None
        told = ", ".join(f"the {kind} posture is audit" for kind in sorted(postures))
        return self._shown("posture-audit", f"all its rules allow, and {told}", predicted=True)

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

    # --- evidence -------------------------------------------------------------------------------

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
            return self._removed(case, evidence, max(evidence.deleted, evidence.refused))
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

    def _case(
        self,
        incarnation: Incarnation,
        evidence: ContainerEvidence | None,
        learned: Learned | None,
    ) -> Case:
        return Case(
            container=self.container,
            policy=self.policy,
            node=self.view.node,
            incarnation=incarnation,
            evidence=evidence,
            learned=learned,
            behaviour=self.view.behaviour,
            needed=self.needed,
            relabelled=self.relabelled,
            behind=False,
        )

    @staticmethod
    def _is_ineffective(evidence: ContainerEvidence, learned: Learned | None) -> bool:
        """Whether rules were written where they do nothing, or not all of them were (F31, F35)."""
        if evidence.zero_namespaces and not evidence.has_stopped:
            return True
        if learned is None or not evidence.is_incomplete:
            return False
        return evidence.clean_write <= learned.position < evidence.latest_write

    def _waiting(
        self, incarnation: Incarnation, recheck: float, *, predicted: bool | None
    ) -> Judged:
        if self.lost is None:
            return self._pending(recheck, predicted=predicted)
        if self._unread(incarnation, self.container.started[0]):
            return self._unknown(self._blindness(incarnation), predicted=predicted)
        return self._still_lost(predicted=predicted, recheck=recheck)

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
        evidence = incarnation.container(self.container.id)
        written = None
        if evidence is not None and evidence.latest_write:
            known = learned.position if learned is not None and self.relabelled is None else 0
            written = self._instant(
                incarnation.applied(evidence, self.container.pod.key, learned=known)
            )
        return Judged("covered", grade=grade, since=written, predicted=predicted, written=written)

    def _proof(self, incarnation: Incarnation) -> float | None:
        """When an effect of this revision was last reported in that incarnation (node's clock)."""
        effects = self.container.effects
        if effects is None:
            return None
        rules = self.policy.rules
        proof = effects.latest_proof(self.policy.name, rules)
        if proof is None or not self._belongs(proof, incarnation):
            return None
        for namesake in self.namesakes.others:
            if effects.latest_proof(namesake.name, namesake.rules) is not None:
                return None
        if self._fell_with_a_namesake(proof):
            return None
        evidence = incarnation.container(self.container.id)
        if evidence is None:
            return proof
        voided = max(evidence.deleted if rules.enforced else 0, evidence.removed)
        return proof if voided / 1e9 < proof else None

    def _fell_with_a_namesake(self, proof: float) -> bool:
        """Whether a namesake was changed or deleted since, and may have taken its place."""
        if self.policy.name not in self.surroundings.ambiguous:
            return False
        proven = self._instant(int(proof * 1e9))[0]
        deleted = self.surroundings.deleted_names.get(self.policy.name)
        return (deleted is not None and proven <= deleted) or any(
            proven <= other.changed[1]
            for other in self.namesakes.bearers
            if other.key != self.policy.key
        )

    def _belongs(self, updated: float, incarnation: Incarnation) -> bool:
        return self.policy.was_current(updated, incarnation, self.view.node.clock)

    def _refutation(self, incarnation: Incarnation) -> float | None:
        """When what the policy forbids was done, surely after the last write and proof."""
        effects = self.container.effects
        if effects is None or not effects.refuting:
            return None
        refutation = effects.latest_refutation(self.policy.name, self.policy.rules)
        evidence = incarnation.container(self.container.id)
        if refutation is None or evidence is None or not evidence.latest_write:
            return None
        if not self._belongs(refutation, incarnation):
            return None
        latest = max(evidence.latest_write / 1e9, self._proof(incarnation) or 0.0)
        return refutation if refutation > latest + CLOSE_CALL else None

    def _contradiction(self, incarnation: Incarnation, refutation: float) -> Judged:
        was_there = self._was_covered_by(incarnation) or self.lost is not None
        return Judged(
            "lost" if was_there else "gap",
            cause="contradicted",
            since=self._instant(int(refutation * 1e9)),
            opening=f"contradicted:{refutation!r}",
        )

    # --- what was -------------------------------------------------------------------------------

    @cached_property
    def lost(self) -> Lost | None:
        """To which end of an incarnation a pair that was covered was lost."""
        for incarnation in self.view.node.past():
            ended = incarnation.ended
            if self._was_covered_by(incarnation) and outlives(incarnation):
                return None
            if ended is None or ended[1] < self.container.started[0]:
                return None
            if self._was_covered_by(incarnation):
                ending = self.view.node.ending(incarnation.identity)
                assert ending is not None
                return (*ending, opening_of(incarnation))
        return None

    @property
    def _outlived(self) -> bool:
        """Whether a profile may still confine the container, written by a daemon that crashed."""
        past = self.view.node.past()
        return bool(past) and outlives(past[0]) and self._was_covered_by(past[0])

    def _was_covered_by(self, incarnation: Incarnation) -> bool:
        """Whether an incarnation had the pair in force with its last word about it."""
        if self._proof(incarnation) is not None:
            return True
        learned = self.policy.learned(incarnation, self.view.node.clock)
        if not self._predicted(incarnation, learned):
            return False
        if incarnation.enforcer == APPARMOR:
            profile = profile_of(self.container, incarnation)
            return (
                profile is not None and learned is not None and profile.written > learned.position
            )
        found = self._read(incarnation, learned)
        if found == "doubtful":
            return not self.policy.rules.enforced
        return found in {"written", "resumed"}

    # --- silence --------------------------------------------------------------------------------

    def silent_until(self) -> float:
        incarnation = self.view.incarnation
        if incarnation is None or self.view.phase != "ready":
            return self._settled_by(self._deadline_without_daemon())
        by_profile = incarnation.enforcer == APPARMOR
        evidence = None if by_profile else incarnation.container(self.container.id)
        return self._settled_by(self._deadline(incarnation, evidence)[0])

    def _deadline(
        self,
        incarnation: Incarnation,
        evidence: ContainerEvidence | None,
    ) -> tuple[float, bool]:
        """Until when silence is normal; whether the daemon is still busy with older Pods."""
        start = max(
            self.needed[1], self.view.phase_since[1], self.view.began, self.view.configured_at
        )
        text = self.view.node.text
        if text.up:
            start = max(start, text.since)
        told = incarnation.policies.get(self.policy.key)
        if told:
            start = max(start, told[-1].at)
        if evidence is not None and evidence.removed:
            start = max(start, self._instant(evidence.removed)[1])
        deadline = start + self.limits.grace
        if evidence is not None and evidence.latest_write:
            return deadline, False
        # Before its id is published a Pod's line is not about the container.
        handled = incarnation.pod_line_since(
            self.container.pod.key, self.container.published - PROMPT
        )
        if handled is None and incarnation.last_pod_at > self.now - QUEUE_IS_MOVING:
            moving_until = incarnation.last_pod_at + QUEUE_IS_MOVING
            return min(max(deadline, moving_until), start + self.limits.grace_limit), True
        return deadline, False

    def _silence(self, case: Case, *, predicted: bool | None) -> Judged:
        since = self.container.started[0]
        if case.learned is None:
            since = min(since, self.policy.changed[0])
        if self._unread(case.incarnation, since):
            return self._unknown(self._blindness(case.incarnation), predicted=predicted)
        if self.lost is not None:
            return self._still_lost(predicted=predicted)
        if predicted is None:
            return self._undecided()
        return self._explained(case, predicted=predicted)

    def _undecided(self) -> Judged:
        """Nobody can tell whether the policy is among those whose rules were written."""
        cause = "release-unknown" if self.view.behaviour is None else "no-evidence-source"
        return self._unknown(cause, predicted=None)

    def _unread(self, incarnation: Incarnation, since: float) -> bool:
        return is_unread(self.view.node, incarnation, since=since)

    def _blindness(self, incarnation: Incarnation) -> str:
        return why_unseen(
            self.container,
            self.policy,
            self.view.node,
            incarnation,
            needed=self.needed,
            expired=self.view.expired,
            silenced=self.surroundings.defaults.silenced(incarnation),
        )

    # --- verdicts -------------------------------------------------------------------------------

    def _pending(self, recheck: float, *, predicted: bool | None = None) -> Judged:
        return Judged(
            "pending", since=self.needed, predicted=predicted, recheck=recheck, opening=self.opening
        )

    def _explained(self, case: Case, *, predicted: bool | None) -> Judged:
        """A gap with the causes that fit."""
        found = reasons(case)
        if found[0].cause in REFUSED:
            predicted = False
        return self._gap(found[0].cause, predicted=predicted, reasons=found)

    def _shown(self, cause: str, evidence: str, *, predicted: bool | None) -> Judged:
        return self._gap(cause, predicted=predicted, reasons=(Reason(cause, evidence),))

    def _gap(
        self, cause: str, *, predicted: bool | None, reasons: tuple[Reason, ...] = ()
    ) -> Judged:
        return Judged(
            "gap",
            cause=cause,
            since=self.needed,
            predicted=predicted,
            opening=self.opening,
            reasons=reasons,
        )

    def _still_lost(self, *, predicted: bool | None, recheck: float | None = None) -> Judged:
        assert self.lost is not None
        cause, since, opening = self.lost
        return Judged(
            "lost", cause=cause, since=since, predicted=predicted, recheck=recheck, opening=opening
        )

    def _unknown(self, cause: str, *, predicted: bool | None) -> Judged:
        since, opening = (self.needed, self.opening) if self.lost is None else self.lost[1:]
        return Judged("unknown", cause=cause, since=since, predicted=predicted, opening=opening)

    def _instant(self, position: int) -> Interval:
        return self.view.node.clock.instant(position)
