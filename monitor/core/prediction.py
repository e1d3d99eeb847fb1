"""What the daemon on a node does with a policy that should protect a container: its predicted set.

Expected but not predicted explains a gap; an open prediction (None) proves nothing either way.
Issue 2099 (dossier 7.6): v1.5.7 holds each Pod against the namespaces that existed when the daemon
last looked at the policy.
"""

from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.model import Interval
from monitor.core.node_clock import NodeClock
from monitor.core.policies import SLACK, Learned, PolicyState
from monitor.core.semantics import Behaviour


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
    if policy.kind == "KubeArmorPolicy" or policy.selector.lists_namespaces:
        return True
    if behaviour is not None and behaviour.refreshes_namespaces:
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
