"""The question for one pair at one instant, and the forms that an answer has.

`judgement` answers it. What it needs to know stands in layers, each of which goes by those below:
the question itself, `attachment` (what the daemon makes of the policy), `proof` (what shows that
rules are in force, or were), `silence` (what follows where nothing shows it).
"""

from monitor.core.circumstances import Limits, NodeView, Surroundings
from monitor.core.collision import Namesakes
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import ContainerEvidence, Incarnation
from monitor.core.instants import later
from monitor.core.model import Interval, Reason
from monitor.core.policies import Learned, PolicyState
from monitor.core.reasons import REFUSED, Case, reasons
from monitor.core.semantics import Behaviour, behaviour
from monitor.core.verdict import Judged


class Question:
    """A container and a policy that should protect it, with all that can change the answer.

    `opening`: what made the pair need protection; `needed`: since when it does; `relabelled`: when
    a change of its Pod's labels or mode did.
    """

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

    def _opened_by(self) -> str:
        """What made the pair need protection: the latest of start, revision and relabelling."""
        if self.relabelled is not None and self.relabelled[1] >= self.policy.changed[1]:
            return f"labels:{self.container.pod.labels.id}:{self.container.pod.mode}"
        if self.policy.changed[0] > self.container.started[0]:
            return f"policy:{self.policy.uid}:{self.policy.generation}"
        return "start"

    def _instant(self, position: int) -> Interval:
        return self.view.node.clock.instant(position)

    def _behaviour(self, incarnation: Incarnation) -> Behaviour | None:
        if incarnation is self.view.incarnation:
            return self.view.behaviour
        return behaviour(self.view.node.release(incarnation))

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

    # --- answers ----------------------------------------------------------------------------------

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
