"""From the verdicts of pairs to what readers see: the state of a pair, the worst of several."""

from collections.abc import Mapping
from typing import Final

from monitor.core.causes import rank
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.model import PairState, Verdict
from monitor.core.policies import PolicyState
from monitor.core.timing import delay_of
from monitor.core.verdict import Judged

SEVERITY: Final[dict[str, int]] = {
    verdict: place
    for place, verdict in enumerate(
        ("gap", "lost", "unknown", "pending", "covered", "exempt", "unsupported", "excess")
    )
}
SPARED: Final = frozenset({"covered", "exempt", "unsupported"})


def pair_state(container: ContainerRecord, policy: PolicyState, judged: Judged) -> PairState:
    """An expected policy as it stands on a container."""
    return PairState(
        kind=policy.kind,
        namespace=policy.namespace,
        name=policy.name,
        generation=policy.generation,
        expected=True,
        predicted=judged.predicted,
        verdict=judged.verdict,
        grade=judged.grade,
        cause=judged.cause,
        since=judged.since,
        delay_seconds=delay_of(container, policy.key),
        rules_without_kernel_form=policy.rules.without_kernel_form,
        reasons=judged.reasons,
    )


def excess_state(policy: PolicyState) -> PairState:
    """A policy that is not expected on a container and may be in force there."""
    return PairState(
        kind=policy.kind,
        namespace=policy.namespace,
        name=policy.name,
        generation=policy.generation,
        expected=False,
        predicted=True,
        verdict="excess",
    )


def answers(judged: Mapping[PolicyKey, Judged]) -> tuple[Judged, ...]:
    """The answers that differ: most pairs of a container share one."""
    return tuple({id(answer): answer for answer in judged.values()}.values())


def worst(
    judged: Mapping[PolicyKey, Judged],
    told: tuple[Judged, ...],
    *,
    standing: frozenset[PolicyKey],
) -> tuple[Verdict, str | None]:
    """The worst pair's verdict and cause; among equals by cause, then by the policy's name.

    `told` are the answers of `judged`.
    """
    if not judged:
        return ("covered" if standing else "unpoliced"), None
    gravest = told[0]
    if len(told) > 1:
        gravest = judged[min(judged, key=lambda key: (*_gravity(judged[key]), key[2], key))]
    if standing and SEVERITY[gravest.verdict] > SEVERITY["covered"]:
        return "covered", None
    return gravest.verdict, gravest.cause


def _gravity(judged: Judged) -> tuple[int, int]:
    return SEVERITY[judged.verdict], rank(judged.cause or "unexplained")
