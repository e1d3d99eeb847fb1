"""From the verdicts of pairs to what readers see."""

from monitor.core.containers import ContainerRecord
from monitor.core.model import PairState
from monitor.core.policies import PolicyState
from monitor.core.timing import delay_of
from monitor.core.verdict import Judged


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
