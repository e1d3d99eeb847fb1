"""When a pair stopped to be what a gap of it was about, though no rules were written.

Its policy was deleted or revised, its Pod got other labels or another mode, or something else is
the matter with it now. What is heard of such a change may come late: its own instant counts.
"""

from collections.abc import Mapping

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.model import Gap, Interval
from monitor.core.verdict import Judged
from monitor.core.world import World


def let_go_at(
    gap: Gap,
    container: ContainerRecord,
    judged: Mapping[PolicyKey, Judged],
    *,
    world: World,
    now: float,
) -> Interval:
    """When the last of a gap's pairs stopped to belong to it; `now` where nothing tells."""
    instants = []
    for reference in gap.policies:
        key = (reference.kind, reference.namespace, reference.name)
        policy = world.policies.get(key)
        if policy is not None and policy.generation != reference.generation:
            at: float | None = policy.changed[1]
        else:
            at = stopped_at(key, container, judged.get(key), world=world)
        instants.append(now if at is None else at)
    latest = max(instants, default=now)
    return (latest, latest)


def stopped_at(
    key: PolicyKey, container: ContainerRecord, judged: Judged | None, *, world: World
) -> float | None:
    """When a policy's deletion or a change of the Pod ended what a pair was; None if neither did.

    `judged`: what the pair is now; None if it is no pair any more.
    """
    if key not in world.policies:
        former = world.policy_history.deleted.get(key)
        return former.deleted_at if former is not None else None
    pod = container.pod
    if judged is None:
        return pod.former_labels[-1][0][1] if pod.former_labels else None
    if judged.verdict == "exempt":
        return pod.switched_at
    return judged.since[1] if judged.opening.startswith("labels:") and judged.since else None
