"""Which question of the trail decided a pair: the first whose answer left no choice."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from monitor.core.apparmor import APPARMOR
from monitor.core.circumstances import NodeView
from monitor.core.evidence import ContainerEvidence
from monitor.core.explanation.values import Question, Step
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.policies import PolicyState
from monitor.core.verdict import Judged

OF_NODE: Final = frozenset(
    {"daemon-absent", "daemon-down", "daemon-replaced", "daemon-starting", "rollout"}
)
BY_CAUSE: Final[Mapping[str, Question]] = {
    "enforcer-absent": "enforcer",
    "enforcer-mismatch": "profile",
    "apparmor-unannotated": "profile",
    "apparmor-profile-rejected": "profile",
    "rule-not-enforceable": "rules",
    "posture-audit": "rules",
    "policy-rejected": "attachment",
    "name-collision": "attachment",
    "policy-removed-by-collision": "attachment",
    "version-skew": "attachment",
    "namespace-newer-than-policy": "attachment",
    "contradicted": "effect",
    "rules-removed": "map",
    "namespace-ids-unread": "map",
    "outer-map-full": "map",
    "inner-map-full": "map",
    "release-unknown": "release",
}
"""Causes that are found by one question; of the others silence is the sign."""


def decided_by(
    judged: Judged, policy: PolicyState, view: NodeView, evidence: ContainerEvidence | None
) -> Question:
    """The question whose answer gave the verdict."""
    if judged.verdict == "unsupported":
        return "supported"
    if judged.verdict == "exempt":
        return "exempt"
    by_profile = view.incarnation is not None and view.incarnation.enforcer == APPARMOR
    if judged.verdict == "covered":
        return _of_covered(judged, policy, by_profile=by_profile)
    if judged.verdict == "pending":
        return "silence"
    if judged.verdict == "unknown" and judged.cause == "source-outage":
        return "objects" if blind_resource(policy, view) else "silence"
    if judged.cause in OF_NODE:
        written: Question = "profile" if by_profile else "map"
        return written if view.phase == "ready" else "daemon"
    found = BY_CAUSE.get(judged.cause or "")
    if found is not None:
        return found
    if judged.predicted is False:
        return "attachment"
    emptied = evidence is not None and max(evidence.deleted, evidence.refused) > evidence.created
    return "map" if emptied and judged.reasons else "silence"


def blind_resource(policy: PolicyState, view: NodeView) -> str | None:
    """Which kind of object, needed for any verdict about a policy, cannot be read."""
    needed = ("pods", POLICY_RESOURCES[policy.kind])
    return next((resource for resource in needed if resource in view.blind), None)


def _of_covered(judged: Judged, policy: PolicyState, *, by_profile: bool) -> Question:
    if judged.grade == "proven":
        return "effect"
    if by_profile:
        return "profile"
    return "map" if policy.rules.enforced else "pod"


def up_to(
    decisive: Question,
    *,
    asked: Sequence[Question],
    answer: Callable[[Question], Iterable[Step]],
) -> tuple[Step, ...]:
    """The answers up to the one that decides; silence does where that question is not asked."""
    if decisive not in asked:
        decisive = "silence"
    steps: list[Step] = []
    for question in asked:
        steps.extend(answer(question))
        if question == decisive:
            break
    return (*steps[:-1], replace(steps[-1], decides=True))
