"""What the daemon on a node does with a policy that should protect a container: its predicted set.

Expected but not predicted explains a gap; an open prediction (None) proves nothing either way.
What a release can miss of the expected set:

- v1.5.7 holds each Pod against the namespaces that existed when the daemon last looked at a cluster
  policy (issue 2099, dossier 7.6);
- releases before v1.7.4 read the labels of host names otherwise (12.12);
- releases before v1.5.7 attach an edited namespaced policy to no container that it did not select
  before, until the container's Pod is evaluated anew (5.6).

That older releases attach more than is expected is no gap.
"""

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.model import Interval
from monitor.core.node_clock import NodeClock
from monitor.core.policies import SLACK, Learned, PolicyState
from monitor.core.semantics import DESCRIBED, Behaviour

NAMESPACED = "KubeArmorPolicy"


def depends_on_labels(policy: PolicyState, behaviour: Behaviour | None) -> bool:
    """Whether that release may attach the policy to some containers that should have it only."""
    if policy.kind != NAMESPACED:
        return False
    revisits = behaviour is not None and behaviour.revisits_endpoints
    return policy.varies or (not revisits and policy.generation > 1)


def predict_for(
    container: ContainerRecord,
    policy: PolicyState,
    *,
    learned: Learned | None,
    behaviour: Behaviour | None,
    incarnation: Incarnation,
) -> bool | None:
    """Whether that daemon attaches a namespaced policy to one container that should have it."""
    if policy.varies:
        releases = DESCRIBED if behaviour is None else (behaviour,)
        taken = {
            policy.selects_under(
                release, identities=container.pod.labels.identities, container=container.name
            )
            for release in releases
        }
        if taken != {True}:
            return False if taken == {False} else None
    if behaviour is not None and behaviour.revisits_endpoints:
        return True
    return _was_evaluated(container, policy, learned=learned, incarnation=incarnation) or None


def _was_evaluated(
    container: ContainerRecord,
    policy: PolicyState,
    *,
    learned: Learned | None,
    incarnation: Incarnation,
) -> bool:
    """Whether more than an edit of the policy has brought it and the container together."""
    if policy.generation <= 1 or container.started[0] > policy.changed[1]:
        return True
    lines = incarnation.policies.get(policy.key)
    if learned is not None and lines and lines[-1].action == "added":
        return True
    return policy.former is not None and policy.former.selects(
        namespace=container.pod.namespace,
        identities=container.pod.labels.identities,
        container=container.name,
    )


def predict(
    policy: PolicyState,
    *,
    learned: Learned | None,
    behaviour: Behaviour | None,
    incarnation: Incarnation,
    clock: NodeClock,
    namespace: str,
    namespace_created: Interval | None,
) -> bool | None:
    """Whether that daemon attaches the policy to a container that it should protect."""
    if policy.kind == NAMESPACED or policy.selector.lists_namespaces:
        return True
    if behaviour is not None and behaviour.reaches_young_namespaces:
        return True
    younger = _is_younger(
        policy.key,
        learned=learned,
        changed=policy.changed,
        incarnation=incarnation,
        clock=clock,
        namespace=namespace,
        created=namespace_created,
    )
    if younger is None:
        return None
    if behaviour is None:
        return None if younger else True
    return not younger


def _is_younger(
    key: PolicyKey,
    *,
    learned: Learned | None,
    changed: Interval,
    incarnation: Incarnation,
    clock: NodeClock,
    namespace: str,
    created: Interval | None,
) -> bool | None:
    """Whether the namespace came after this daemon's last look at the policy."""
    lines = incarnation.policies.get(key)
    if learned is not None and lines:
        last = lines[-1].position
        configured = incarnation.namespaces.get(namespace)
        if configured is not None and incarnation.initialized:
            return configured > max(last, incarnation.initialized)
        return _compare(created, clock.instant(last, at=lines[-1].at))
    ends_of_holes = [hole[1] for hole in incarnation.holes]
    known_by = max([*ends_of_holes, incarnation.first_seen + SLACK, changed[1]])
    return _compare(created, (changed[0], known_by))


def _compare(created: Interval | None, learned: Interval) -> bool | None:
    """Whether a namespace created then is surely younger, surely older, or neither."""
    if created is None:
        return None
    if created[0] > learned[1]:
        return True
    return False if created[1] < learned[0] else None
