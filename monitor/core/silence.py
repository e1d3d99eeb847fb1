"""What follows where nothing shows that rules are in force, and from when on."""

from typing import Final

from monitor.core.apparmor import APPARMOR
from monitor.core.evidence import QUEUE_IS_MOVING, ContainerEvidence, Incarnation
from monitor.core.proof import Proof
from monitor.core.reasons import Case
from monitor.core.sight import is_unread, why_unseen
from monitor.core.verdict import Judged

PROMPT: Final = 0.25
"""How much sooner than we a daemon may hear of a change of a Pod, in seconds."""


class Silence(Proof):
    """Adds deadlines, and whether what would have shown the proof was read."""

    def silent_until(self) -> float:
        incarnation = self.view.incarnation
        if incarnation is None or self.view.phase != "ready":
            return self._settled_by(self._deadline_without_daemon())
        by_profile = incarnation.enforcer == APPARMOR
        evidence = None if by_profile else incarnation.container(self.container.id)
        return self._settled_by(self._deadline(incarnation, evidence)[0])

    def _deadline_without_daemon(self) -> float:
        text = self.view.node.text
        heard = text.since if text.up else self.view.began
        return max(self.needed[1], heard, self.view.phase_since[1]) + self.limits.grace

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
        is_busy = incarnation.pods_since <= deadline
        if handled is None and is_busy and incarnation.last_pod_at > self.now - QUEUE_IS_MOVING:
            moving_until = incarnation.last_pod_at + QUEUE_IS_MOVING
            return min(max(deadline, moving_until), start + self.limits.grace_limit), True
        return deadline, False

    def _is_early(self, deadline: float) -> bool:
        """Before the deadline, or shortly after an API outage, when the world may be half-new."""
        unsettled = self.view.unsettled_since
        return self.now < deadline or (
            unsettled is not None and not self._blind_for_long(unsettled)
        )

    def _settled_by(self, deadline: float) -> float:
        unsettled = self.view.unsettled_since
        return deadline if unsettled is None else max(deadline, unsettled + self.limits.grace)

    def _blind_for_long(self, since: float | None) -> bool:
        return since is not None and self.now - since >= self.limits.grace

    def _waiting(
        self, incarnation: Incarnation, recheck: float, *, predicted: bool | None
    ) -> Judged:
        if self.lost is None:
            return self._pending(recheck, predicted=predicted)
        if self._unread(incarnation, self.container.started[0]):
            cause = self._blindness(incarnation)
            return self._unknown(cause, predicted=predicted, recheck=recheck)
        return self._still_lost(predicted=predicted, recheck=recheck)

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
