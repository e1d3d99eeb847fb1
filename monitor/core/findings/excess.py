"""Over-coverage: rules in force where no policy of the cluster asks for them."""

from collections.abc import Iterator
from typing import Final

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.findings.found import Found, listed, title
from monitor.core.nodes import NodeState
from monitor.core.policies import CONTAINER_KINDS, PolicyState
from monitor.core.prediction import NAMESPACED
from monitor.core.semantics import NEWEST, Behaviour, behaviour
from monitor.core.sight import is_unread
from monitor.core.world import World

STALE_AFTER: Final = 30.0


def findings(world: World, *, now: float) -> Iterator[Found]:
    """What is in force beyond what is expected."""
    yield from _stale(world, now=now)
    yield from _overmatched(world)
    for container in world.containers.values():
        if container.verdict == "exempt":
            yield from _despite_exemption(container, world)


def _stale(world: World, *, now: float) -> Iterator[Found]:
    """Deleted policies that daemons go on listing though they could have learned of it (F32)."""
    for key, policy in world.policy_history.deleted.items():
        deleted = policy.deleted_at
        if deleted is None or key in world.policies or now - deleted < STALE_AFTER:
            continue
        nodes = [n.name for n in world.nodes.values() if _lists(n, key, since=deleted)]
        if nodes:
            yield Found(
                code="stale-policy",
                subject=title(policy),
                since=(deleted, deleted),
                detail=f"It was deleted, and the daemon of {listed(nodes)} never said so.",
            )


def _lists(node: NodeState, key: PolicyKey, *, since: float) -> bool:
    incarnation = node.current()
    lines = incarnation.policies.get(key) if incarnation is not None else None
    if incarnation is None or not lines or lines[-1].action == "deleted":
        return False
    return lines[-1].at <= since and not is_unread(node, incarnation, since=since)


def _overmatched(world: World) -> Iterator[Found]:
    """Containers to which a release attaches more than they should have (5.3, 7.3, 12.12)."""
    found: dict[tuple[PolicyKey, str], list[str]] = {}
    for node in world.nodes.values():
        release = node.release(node.current())
        known = behaviour(release)
        if known is None or release is None or known == NEWEST:
            continue
        for container in node.containers.values():
            path = f"{container.pod.namespace}/{container.pod.name}"
            for policy in _beyond(container, known, world):
                found.setdefault((policy.key, release), []).append(path)
    for (key, release), paths in found.items():
        policy = world.policies[key]
        yield Found(
            code="over-match",
            subject=title(policy),
            since=policy.changed,
            detail=f"{release} attaches it to {listed(sorted(set(paths)))}.",
            release=release,
        )


def _beyond(container: ContainerRecord, known: Behaviour, world: World) -> Iterator[PolicyState]:
    for policy in world.policies.values():
        if policy.kind not in CONTAINER_KINDS or policy.key in container.expected.members:
            continue
        if policy.changed[1] > container.started[0]:
            continue
        if policy.kind == NAMESPACED:
            stays = not known.relists_modified_pods and policy.key in (container.residual or {})
            if known.leaks_namespaced or stays or _varies(policy, container, known):
                yield policy
        elif known.overmatches and _is_widened(policy, container, world):
            yield policy


def _varies(policy: PolicyState, container: ContainerRecord, known: Behaviour) -> bool:
    return (
        policy.varies
        and policy.namespace == container.pod.namespace
        and policy.selects_under(
            known, identities=container.pod.labels.identities, container=container.name
        )
    )


def _is_widened(policy: PolicyState, container: ContainerRecord, world: World) -> bool:
    """Whether a namespace younger than the cluster policy has widened it to every later Pod."""
    selector = policy.selector
    if selector.lists_namespaces:
        return False
    return any(
        created[0] > policy.changed[1] and created[1] <= container.started[0]
        for name, created in world.namespaces.items()
        if name not in selector.not_namespaces
    )


def _despite_exemption(container: ContainerRecord, world: World) -> Iterator[Found]:
    """Rules that were written for a container that KubeArmor is not to enforce on (12.5, F28)."""
    incarnation = world.node(container.node).current()
    evidence = incarnation.container(container.id) if incarnation is not None else None
    if incarnation is None or evidence is None or not evidence.map_is_live:
        return
    pod = container.pod
    clock = world.node(container.node).clock
    created = clock.instant(evidence.created)
    switched = pod.switched_at
    by_switch = pod.mode != "enabled" and switched is not None and created[0] <= switched
    cause = container.cause or "exempt"
    yield Found(
        code="mode-not-retroactive" if by_switch else "rules-despite-exemption",
        subject=f"{pod.namespace}/{pod.name}/{container.name}",
        since=(switched, switched) if by_switch and switched is not None else created,
        detail=(f"It is exempt ({cause}), and the daemon wrote rules for it that are still there."),
        release=incarnation.release,
    )
