"""What a daemon makes of a policy: whether it keeps it, and attaches it to a container."""

from monitor.core.collision import outcome, shares_its_name
from monitor.core.evidence import ContainerEvidence, Incarnation, LearnedLine
from monitor.core.instants import spelled
from monitor.core.namesakes import Fate
from monitor.core.policies import Learned
from monitor.core.prediction import NAMESPACED, depends_on_labels, predict, predict_for
from monitor.core.question import Question
from monitor.core.verdict import Judged


class Attachment(Question):
    """Adds what the daemon's own lists hold, as its release and its lines tell."""

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

    @staticmethod
    def _is_ineffective(evidence: ContainerEvidence, learned: Learned | None) -> bool:
        """Whether rules were written where they do nothing, or not all of them were (F31, F35)."""
        if evidence.zero_namespaces and not evidence.has_stopped:
            return True
        if learned is None or not evidence.is_incomplete:
            return False
        return evidence.clean_write <= learned.position < evidence.latest_write

    # --- refused, or in the way of a namesake -----------------------------------------------------

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

    def _is_ambiguous(self, incarnation: Incarnation) -> bool:
        if self.policy.name not in self.surroundings.ambiguous:
            return False
        return shares_its_name(self.policy, incarnation, namesakes=self.namesakes)

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
