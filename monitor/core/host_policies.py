"""The verdict of a node and a host or network policy that should protect it, at one instant.

What can change the answer: the policy, the node's labels and annotation (for a network policy that
selects Pods: the node's Pods), the daemon and its output, an alert about the host, a source going
blind or coming back, and time. As for containers nothing is kept between two judgements, so the
order in which the facts arrived cannot matter; and first decided wins: unsupported, exempt, what
concerns the whole node, evidence.

No line says that a rule was written. So a policy is in force, `inferred`, if the daemon
named it after the revision and evaluated after the node came to be selected; only an alert proves
it. Network policies are applied with nftables, so they need no LSM, and the annotation of the node
concerns host policies only (5.5, 6.6).
"""

from functools import cached_property

from monitor.core.circumstances import Limits, Lost, NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.effects import Effects
from monitor.core.evidence import Incarnation
from monitor.core.host_expectation import (
    NO_ENFORCER,
    Selected,
    has_enforcer,
    is_active,
    is_formless,
    last_evaluation,
    was_selected,
)
from monitor.core.host_semantics import DESCRIBED, HostBehaviour, host_behaviour
from monitor.core.instants import later
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.marks import Marks
from monitor.core.model import Interval
from monitor.core.nodes import ALWAYS
from monitor.core.policies import HOST_POLICY, SLACK, Learned, PolicyState
from monitor.core.proof import CLOSE_CALL
from monitor.core.sight import blindness, is_unread
from monitor.core.verdict import Judged


def judge_host(
    policy: PolicyState, view: NodeView, selected: Selected, *, limits: Limits, now: float
) -> Judged:
    """The verdict of a policy that should be in force on a node whose object is known."""
    return HostPair(policy, view, selected, limits=limits, now=now).judge()


class HostPair:
    """The question for one pair, split into the steps of the answer.

    `chosen` is since when the policy concerns the node, `needed` since when it should be in force.
    """

    def __init__(
        self,
        policy: PolicyState,
        view: NodeView,
        selected: Selected,
        *,
        limits: Limits,
        now: float,
    ) -> None:
        self.policy = policy
        self.view = view
        self.node = view.node
        self.selected = selected
        self.limits = limits
        self.now = now
        self.is_host = policy.kind == HOST_POLICY
        marks = view.node.marks.latest
        assert marks is not None
        self.marks = marks
        self.chosen = self._chosen()
        self.needed = later(policy.changed, self.chosen)

    def judge(self) -> Judged:
        if self.view.unsupported:
            return Judged("unsupported", cause="unsupported-node", since=self.needed)
        mode = self.marks.mode
        if self.is_host and mode != "enabled":
            exempted = self.node.marks.since(lambda marks: marks.mode == mode)
            return Judged("exempt", cause=f"annotation-{mode}", since=exempted)
        for resource in ("pods", "nodes", POLICY_RESOURCES[self.policy.kind]):
            since = self.view.blind.get(resource)
            if since is not None and self.now - since >= self.limits.grace:
                return self._unknown("source-outage")
        incarnation = self.view.incarnation
        if incarnation is None or self.view.phase not in {"ready", "starting"}:
            return self._without_daemon()
        proof = self._proof(incarnation)
        if proof is not None and not self._refuted_since(incarnation, proof):
            seen = self.node.clock.instant(int(proof * 1e9))
            return Judged("covered", grade="proven", since=seen, predicted=True)
        if self.view.phase == "starting":
            return self._without_daemon()
        return self._with_daemon(incarnation)

    # --- what makes it needed -------------------------------------------------------------------

    def _chosen(self) -> Interval:
        """Since when the policy concerns the node, in the newest release's meaning."""
        if self.policy.pods.labels:
            unhandled = [c.started for c in self.selected.pods if not self._is_handled(c)]
            if unhandled:
                return min(unhandled)
            return min((c.started for c in self.selected.pods), default=ALWAYS)
        return self.node.marks.since(self._holds) or ALWAYS

    def _holds(self, marks: Marks) -> bool:
        enabled = not self.is_host or marks.mode == "enabled"
        return enabled and self.policy.nodes.selects(marks.identities)

    def _is_handled(self, container: ContainerRecord) -> bool:
        """Whether the daemon has seen the Pod since the container started."""
        incarnation = self.view.incarnation
        if incarnation is None:
            return True
        since = container.started[0] - SLACK
        return incarnation.pod_line_since(container.pod.key, since) is not None

    # --- the whole node -------------------------------------------------------------------------

    def _without_daemon(self) -> Judged:
        incarnation = self.view.incarnation
        unread = incarnation is not None and not self.view.followed
        if self.lost is not None and not unread:
            return self._still_lost()
        text = self.node.text
        heard = text.since if text.up else self.view.began
        start = max(self.needed[1], heard, self.view.phase_since[1])
        deadline = self._settled_by(start + self.limits.grace)
        if self.lost is None and self.now < deadline:
            return self._pending(deadline)
        if incarnation is not None and (unread or self.view.was_seen_before(deadline)):
            return self._unknown(blindness(self.node, incarnation))
        if self.view.unsettled_since is not None:
            return self._unknown("source-outage")
        return self._gap(f"daemon-{self.view.phase}")

    def _with_daemon(self, incarnation: Incarnation) -> Judged:
        if self.is_host and self.lacks_enforcer(incarnation):
            return self._gap("enforcer-absent")
        applies = self.applies(incarnation)
        if applies is False:
            return self._gap("version-skew", predicted=False)
        if is_active(self.policy.kind, incarnation) is False:
            return self._gap("host-policy-inactive", predicted=False)
        if self.is_host and is_formless(self.policy.rules, incarnation.enforcer):
            return self._gap("rule-not-enforceable")
        refuted = self._refutation(incarnation)
        if refuted is not None and self._is_later(refuted, incarnation):
            return self._contradicted(refuted, applies=applies)
        return self._by_evidence(incarnation, applies=applies)

    def lacks_enforcer(self, incarnation: Incarnation) -> bool:
        """Whether it only observes: no LSM, or the daemon takes its node for audited by itself."""
        if incarnation.enforcer is not None and incarnation.enforcer in NO_ENFORCER:
            return True
        if incarnation.node_mode in {None, "enabled"}:
            return False
        enabled = self.node.marks.since(lambda marks: marks.mode == "enabled")
        began = self.node.clock.instant(incarnation.first_position)[0]
        return enabled is not None and enabled[1] < began

    # --- releases -------------------------------------------------------------------------------

    def _meanings(self, incarnation: Incarnation) -> tuple[HostBehaviour, ...]:
        """What the daemon's release may do: one answer if it is known."""
        known = host_behaviour(self.node.release(incarnation))
        if known is not None:
            return (known,)
        if self.policy.kind in incarnation.last_of_kind and not self.is_host:
            return tuple(meaning for meaning in DESCRIBED if meaning.network_policies)
        return DESCRIBED

    def applies(self, incarnation: Incarnation) -> bool | None:
        """Whether that release attaches the policy to such a node (F21); None: open."""
        policy, identities = self.policy, self.marks.identities

        def attaches(meaning: HostBehaviour) -> bool:
            if not self.is_host and not meaning.network_policies:
                return False
            if policy.pods.labels:
                return meaning.network_selects_pods
            return policy.nodes.selects(identities, meaning=meaning)

        answers = {attaches(meaning) for meaning in self._meanings(incarnation)}
        return answers.pop() if len(answers) == 1 else None

    # --- evidence -------------------------------------------------------------------------------

    def _by_evidence(self, incarnation: Incarnation, *, applies: bool | None) -> Judged:
        learned = self.policy.learned(incarnation, self.node.clock)
        evaluated = self.evaluated(incarnation)
        enforced = not self.is_host or has_enforcer(incarnation)
        if applies and learned is not None and evaluated and enforced:
            known = self.node.clock.instant(learned.position, at=learned.at)
            since = later(known, self.chosen)
            return Judged("covered", grade="inferred", since=since, predicted=True)
        deadline = self.deadline()
        unread = is_unread(self.node, incarnation, since=self._unread_from(learned))
        if self.now < deadline and (self.lost is None or not unread):
            return self._waiting(deadline, applies=applies)
        if unread:
            return self._unknown(blindness(self.node, incarnation), predicted=applies)
        if self.lost is not None:
            return self._still_lost(predicted=applies)
        if not enforced:
            return self._unknown("no-evidence-source", predicted=applies)
        if applies is None:
            return self._unknown("release-unknown")
        return self._silent(incarnation, knows=learned is not None)

    def _waiting(self, recheck: float, *, applies: bool | None) -> Judged:
        if self.lost is None:
            return self._pending(recheck, predicted=applies)
        return self._still_lost(predicted=applies, recheck=recheck)

    def _unread_from(self, learned: Learned | None) -> float:
        """From when on the line that is missing may have been printed."""
        changed = self.policy.changed[0]
        return self.chosen[0] if learned is not None else min(self.chosen[0], changed)

    def _silent(self, incarnation: Incarnation, *, knows: bool) -> Judged:
        """All was read, and nothing says that the policy is in force."""
        relabelled = knows and not self.policy.pods.labels
        if relabelled or is_active(self.policy.kind, incarnation) is None:
            return self._gap("host-policy-inactive", predicted=False)
        return self._gap("unexplained", predicted=True)

    def evaluated(self, incarnation: Incarnation) -> bool:
        """Whether that daemon surely found the node, or all Pods, selected when it last looked."""
        if self.policy.pods.labels:
            return all(self._is_handled(container) for container in self.selected.pods)
        known = host_behaviour(self.node.release(incarnation))
        return was_selected(self.policy, self.view, incarnation, meaning=known)

    def deadline(self) -> float:
        """Until when silence is normal."""
        text = self.node.text
        read_since = text.since if text.up else 0.0
        start = max(self.needed[1], self.view.phase_since[1], self.view.began, read_since)
        return self._settled_by(start + self.limits.grace)

    def _proof(self, incarnation: Incarnation) -> float | None:
        """When an effect of this revision was last reported in that incarnation (node's clock)."""
        reported = [self._latest_proof(effects) for effects in self.selected.effects]
        proof = max((one for one in reported if one is not None), default=None)
        if proof is None or not self.policy.was_current(proof, incarnation, self.node.clock):
            return None
        return proof

    def _latest_proof(self, effects: Effects) -> float | None:
        if self.is_host:
            return effects.latest_proof(self.policy.name, self.policy.rules)
        return effects.latest_of(self.policy.name)

    def _refutation(self, incarnation: Incarnation) -> float | None:
        """When something that the policy forbids was let pass under that incarnation."""
        if not self.is_host:
            return None
        name, rules = self.policy.name, self.policy.rules
        reported = [effects.latest_refutation(name, rules) for effects in self.selected.effects]
        refuted = max((one for one in reported if one is not None), default=None)
        if refuted is None or not self.policy.was_current(refuted, incarnation, self.node.clock):
            return None
        return refuted

    def _refuted_since(self, incarnation: Incarnation, proof: float) -> bool:
        refuted = self._refutation(incarnation)
        return refuted is not None and refuted > proof + CLOSE_CALL

    def _is_later(self, refuted: float, incarnation: Incarnation) -> bool:
        """Whether it passed after the daemon's last evaluation."""
        position, _ = last_evaluation(self.policy.kind, incarnation, None)
        return position > 0 and refuted > position / 1e9 + CLOSE_CALL

    # --- what was -------------------------------------------------------------------------------

    @cached_property
    def lost(self) -> Lost | None:
        """To which end of an incarnation a pair that was covered was lost."""
        for incarnation in self.node.past():
            ended = incarnation.ended
            if ended is None or ended[1] < self.needed[0]:
                return None
            if self._was_in_force(incarnation):
                ending = self.node.ending(incarnation.identity)
                assert ending is not None
                return (*ending, "daemon:{}:{}".format(*incarnation.identity))
        return None

    def _was_in_force(self, incarnation: Incarnation) -> bool:
        if self._proof(incarnation) is not None:
            return True
        if self.is_host and (self.lacks_enforcer(incarnation) or not has_enforcer(incarnation)):
            return False
        return (
            is_active(self.policy.kind, incarnation) is not False
            and self.applies(incarnation) is True
            and self.policy.learned(incarnation, self.node.clock) is not None
            and (bool(self.policy.pods.labels) or self.evaluated(incarnation))
        )

    # --- time -----------------------------------------------------------------------------------

    def _settled_by(self, deadline: float) -> float:
        """Not shortly after an API outage, when the world may be half-new."""
        unsettled = self.view.unsettled_since
        return deadline if unsettled is None else max(deadline, unsettled + self.limits.grace)

    # --- verdicts -------------------------------------------------------------------------------

    def _pending(self, recheck: float, *, predicted: bool | None = None) -> Judged:
        return Judged("pending", since=self.needed, predicted=predicted, recheck=recheck)

    def _gap(self, cause: str, *, predicted: bool | None = None) -> Judged:
        return Judged("gap", cause=cause, since=self.needed, predicted=predicted)

    def _unknown(self, cause: str, *, predicted: bool | None = None) -> Judged:
        since = self.needed if self.lost is None else self.lost[1]
        return Judged("unknown", cause=cause, since=since, predicted=predicted)

    def _still_lost(self, *, predicted: bool | None = None, recheck: float | None = None) -> Judged:
        assert self.lost is not None
        cause, since, _ = self.lost
        return Judged("lost", cause=cause, since=since, predicted=predicted, recheck=recheck)

    def _contradicted(self, refuted: float, *, applies: bool | None) -> Judged:
        since = self.node.clock.instant(int(refuted * 1e9))
        return Judged("gap", cause="contradicted", since=since, predicted=applies)
