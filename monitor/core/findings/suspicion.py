"""Suspicions: what the daemons' output does not rule out, or what contradicts itself."""

from collections.abc import Iterator
from typing import Final

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import ContainerEvidence, Incarnation
from monitor.core.findings.found import Found, listed
from monitor.core.nodes import NodeState
from monitor.core.semantics import parse
from monitor.core.world import World

SETTLED_AFTER: Final = 30.0
"""Seconds after a change until an alert is held against what a container should have."""


def findings(world: World) -> Iterator[Found]:
    """What is suspected of nodes and containers."""
    for node in world.nodes.values():
        incarnation = node.current()
        if incarnation is None:
            continue
        yield from _disagreement(node, incarnation)
        for container in node.containers.values():
            yield from _of_container(container, node, incarnation, world)


def _disagreement(node: NodeState, incarnation: Incarnation) -> Iterator[Found]:
    """The sources of a daemon's release that contradict each other."""
    told = {
        "its output": incarnation.release,
        "its alerts": incarnation.alert_release,
        "its image": node.image_release(incarnation),
    }
    known = {source: release for source, release in told.items() if release}
    if len({parse(release) for release in known.values()}) <= 1:
        return
    said = ", ".join(f"{source} says {release}" for source, release in known.items())
    began = incarnation.running or (incarnation.first_seen, incarnation.first_seen)
    yield Found(
        code="release-disagreement",
        subject=f"node {node.name}",
        since=began,
        detail=f"Of the daemon's release {said}.",
        release=node.release(incarnation),
    )


def _of_container(
    container: ContainerRecord, node: NodeState, incarnation: Incarnation, world: World
) -> Iterator[Found]:
    evidence = incarnation.container(container.id)
    path = f"{container.pod.namespace}/{container.pod.name}/{container.name}"
    raced = _raced(container, incarnation, evidence) if evidence is not None else []
    if evidence is not None and raced:
        yield Found(
            code="lost-update",
            subject=path,
            since=node.clock.instant(evidence.raced_until),
            detail=(
                f"{' and '.join(raced)}: handled at the same moment as a policy of the other kind, "
                "which may have undone what was written."
            ),
            release=incarnation.release,
        )
    if evidence is not None and evidence.shares_namespaces:
        yield Found(
            code="namespace-id-reuse",
            subject=path,
            since=node.clock.instant(evidence.registered),
            detail=(
                f"It was registered with the namespace ids of {evidence.shares_namespaces}, "
                "whose end the daemon has not noticed."
            ),
            release=incarnation.release,
        )
    refuted = _refuted(container, node, incarnation, world)
    if refuted:
        yield Found(
            code="prediction-refuted",
            subject=path,
            since=container.started,
            detail=(
                f"Alerts name {listed(refuted)}, which no policy explains that should be in force "
                "on the container."
            ),
            release=incarnation.release,
        )


def _raced(
    container: ContainerRecord, incarnation: Incarnation, evidence: ContainerEvidence
) -> list[str]:
    """The container's policies of which the latest word is that they raced with another."""
    if not incarnation.is_raced(evidence, container.pod.key):
        return []
    between = (evidence.raced_from, evidence.raced_until)
    return [
        f"{kind} {f'{namespace}/{name}' if namespace else name}"
        for kind, namespace, name in container.expected.keys
        if (lines := incarnation.policies.get((kind, namespace, name)))
        and lines[-1].position in between
    ]


def _refuted(
    container: ContainerRecord, node: NodeState, incarnation: Incarnation, world: World
) -> list[str]:
    """The policies that alerts of this daemon name and that cannot have caused them."""
    if container.effects is None:
        return []
    expected = [world.policies[key] for key in container.expected.keys]
    changed = [policy.changed[1] for policy in world.policies.values()]
    settled = (
        max([container.started[1], *changed, *world.policy_history.deleted_names.values()])
        + SETTLED_AFTER
    )
    began = incarnation.running[1] if incarnation.running else incarnation.first_seen
    settled = max(settled, began)
    return [
        effect.policy
        for effect, updated in container.effects.named()
        if node.clock.instant(int(updated * 1e9))[0] > settled
        and not any(
            policy.name == effect.policy
            and policy.rules.concern(
                operation=effect.operation, resource=effect.resource, action=effect.action
            )
            for policy in expected
        )
    ]
