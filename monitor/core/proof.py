"""What shows that a policy is in force on a container, that it is not, or that it was."""

from functools import cached_property
from typing import Final

from monitor.core.apparmor import APPARMOR, outlives, profile_of
from monitor.core.attachment import Attachment
from monitor.core.circumstances import Lost
from monitor.core.evidence import Incarnation
from monitor.core.model import Interval
from monitor.core.policies import SLACK, Learned
from monitor.core.reading import Reading, has_reached, read
from monitor.core.rollouts import opening_of
from monitor.core.verdict import Judged

CLOSE_CALL: Final = 1.0
"""Seconds within which a refutation and a write cannot be told apart."""
CARRYING: Final = frozenset({"written", "resumed", "doubtful"})
"""Readings by which the latest write may be the one that brought the policy."""


class Proof(Attachment):
    """Adds reported effects, the reading of the lines, and what was so under former daemons."""

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
        proven = self._instant(int(proof * 1e9))[0]
        deleted = self.surroundings.deleted_names.get(self.policy.name)
        return (deleted is not None and proven <= deleted) or any(
            proven <= other.changed[1]
            for other in self.namesakes.bearers
            if other.key != self.policy.key
        )

    def _written(self, incarnation: Incarnation, learned: Learned | None) -> Interval | None:
        """When the rules that the container has were written; None if no write was read."""
        evidence = incarnation.container(self.container.id)
        if evidence is None or not evidence.latest_write:
            return None
        known = learned.position if learned is not None and self.relabelled is None else 0
        position = incarnation.applied(evidence, self.container.pod.key, learned=known)
        return self._instant(position) if position > known else None

    def _written_by(self, incarnation: Incarnation) -> Interval | None:
        """When an incarnation wrote what it had in force, by its lines or else by their effect."""
        proof = self._proof(incarnation)
        seen = None if proof is None else self._instant(int(proof * 1e9))
        written = None
        learned = self.policy.learned(incarnation, self.view.node.clock)
        if incarnation.enforcer == APPARMOR:
            profile = profile_of(self.container, incarnation)
            if profile is not None and learned is not None and profile.written > learned.position:
                written = self._instant(profile.written)
        elif self._predicted(incarnation, learned) and self._read(incarnation, learned) in CARRYING:
            written = self._written(incarnation, learned)
        return min((one for one in (written, seen) if one is not None), default=None)

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
        counts = refutation > latest + CLOSE_CALL and self._is_early_enough(refutation)
        return refutation if counts else None

    def _is_early_enough(self, refutation: float) -> bool:
        """Whether it is of before its Pod's deletion, in which enforcement ends early (F29)."""
        since = self.container.pod.deleting_since
        return since is None or self._instant(int(refutation * 1e9))[0] <= since

    def _contradiction(self, incarnation: Incarnation, refutation: float) -> Judged:
        was_there = self._was_covered_by(incarnation) or self.lost is not None
        return Judged(
            "lost" if was_there else "gap",
            cause="contradicted",
            since=self._instant(int(refutation * 1e9)),
            opening=f"contradicted:{refutation!r}",
        )

    # --- what was ---------------------------------------------------------------------------------

    @property
    def lost(self) -> Lost | None:
        """To which end of an incarnation a pair that was covered was lost."""
        incarnation = self._lost_with
        if incarnation is None:
            return None
        ending = self.view.node.ending(incarnation.identity)
        assert ending is not None
        return (*ending, opening_of(incarnation))

    @cached_property
    def _lost_with(self) -> Incarnation | None:
        """The incarnation with whose end it was lost."""
        former = self._former()
        if not former or self._has_regained():
            return None
        for incarnation in former:
            ended = incarnation.ended
            if self._was_covered_by(incarnation) and outlives(incarnation):
                return None
            if ended is None or ended[1] < self.container.started[0]:
                return None
            if self._was_covered_by(incarnation):
                return incarnation
        return None

    def _former(self) -> list[Incarnation]:
        """The incarnations before the present one, the latest first."""
        past, present = self.view.node.past(), self.view.incarnation
        if present is None or present.ended is None:
            return past
        return past[[one.identity for one in past].index(present.identity) + 1 :]

    def _has_regained(self) -> bool:
        """Whether the present daemon had it in force again, whatever became of it since."""
        incarnation = self.view.incarnation
        if incarnation is None or not self.policy.rules.enforced:
            return False
        learned = self.policy.learned(incarnation, self.view.node.clock)
        return has_reached(self.container, self.policy, incarnation, learned)

    @property
    def _outlived(self) -> bool:
        """Whether a profile may still confine the container, written by a daemon that crashed."""
        past = self.view.node.past()
        return bool(past) and outlives(past[0]) and self._was_covered_by(past[0])

    def _was_covered_by(self, incarnation: Incarnation) -> bool:
        """Whether an incarnation had the pair in force with its last word about it."""
        if not self._was_meant_by(incarnation):
            return False
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

    def _was_meant_by(self, incarnation: Incarnation) -> bool:
        """Whether the policy was for the container by what an ended incarnation knew of its Pod."""
        pod, ended = self.container.pod, incarnation.ended
        if self.relabelled is None or ended is None:
            return True
        lines = incarnation.pods.get(pod.key)
        told = min(lines[-1] / 1e9 if lines else ended[0], ended[0])
        if ended[1] > self.relabelled[0] and told >= self.relabelled[0] - SLACK:
            return True
        if pod.switched_at is not None and pod.switched_at > told:
            return False
        labels = pod.labels_at(told)
        return labels is not None and self.policy.selector.selects(
            namespace=pod.namespace, identities=labels.identities, container=self.container.name
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

    def _still_lost(self, *, predicted: bool | None, recheck: float | None = None) -> Judged:
        assert self.lost is not None
        assert self._lost_with is not None
        cause, since, opening = self.lost
        return Judged(
            "lost",
            cause=cause,
            since=since,
            predicted=predicted,
            recheck=recheck,
            opening=opening,
            written=self._written_by(self._lost_with),
            under=self._lost_with.identity,
        )

    def _unknown(
        self, cause: str, *, predicted: bool | None, recheck: float | None = None
    ) -> Judged:
        since, opening = (self.needed, self.opening) if self.lost is None else self.lost[1:]
        return Judged(
            "unknown",
            cause=cause,
            since=since,
            predicted=predicted,
            recheck=recheck,
            opening=opening,
        )
