"""What policies would do to one node's containers before they are applied.

The node's daemon is modelled from the objects that are there, in the order of their creation: what
was there when the daemon started it read at once, policies before Pods. How labels and policies
were changed in between is not known, so a policy counts as it is now. Then the new policies come,
as a watch would show them, and the endpoint list before and after is compared; and once more with
what a replacement of each Pod, alike in labels and containers, would get.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from monitor.core.believed import Believed
from monitor.core.containers import bare, is_running
from monitor.core.daemon_events import Event, NamespaceEvent, PodEvent, PolicyEvent
from monitor.core.endpoints import Collision, Endpoint
from monitor.core.evidence import PolicyKey
from monitor.core.instants import second_of
from monitor.core.kubernetes import Namespace, Pod, Policy
from monitor.core.nodes import DAEMON_CONTAINER, DAEMON_LABEL
from monitor.core.objects import Objects
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.semantics import Behaviour


class Scene(Struct, frozen=True):
    """A node's share of a cluster; `started`: since when its daemon runs (Unix seconds)."""

    started: float
    namespaces: tuple[Namespace, ...]
    policies: tuple[tuple[str, Policy], ...]
    pods: tuple[Pod, ...]


class Effect(Struct, frozen=True):
    """What a container gains, loses, gets a new revision of, or keeps an old revision of (`stale`).

    `later_gains`, `later_loses`: what a replacement of its Pod would have more and less than that,
    because of the changes.
    """

    namespace: str
    pod: str
    container: str
    container_id: str
    gains: tuple[PolicyKey, ...]
    loses: tuple[PolicyKey, ...]
    revised: tuple[PolicyKey, ...]
    stale: tuple[PolicyKey, ...]
    later_gains: tuple[PolicyKey, ...]
    later_loses: tuple[PolicyKey, ...]


class _State(Struct, frozen=True):
    """What a container has, and what more and less a replacement would have."""

    attached: dict[PolicyKey, int]
    more: frozenset[PolicyKey]
    less: frozenset[PolicyKey]


class Simulation(Struct, frozen=True):
    """The containers for which something changes, the collisions, and whom each policy reaches."""

    containers: int
    effects: tuple[Effect, ...]
    collisions: tuple[Collision, ...]
    reached: frozenset[PolicyKey]


def simulate(behaviour: Behaviour, scene: Scene, changes: Sequence[PolicyEvent]) -> Simulation:
    """Let a daemon of that release take the changes, in their order."""
    believed = Believed(behaviour)
    for event in history(scene):
        believed.take(event)
    labels = {(p.metadata.namespace, p.metadata.name): p.metadata.labels for p in scene.pods}
    before = {_name(one): _state(believed, one, labels) for one in believed.endpoints}
    collided = len(believed.collisions)
    for change in changes:
        believed.take(change)
    latest = {change.key: change.generation for change in changes}
    after = [(one, _state(believed, one, labels)) for one in believed.endpoints]
    effects = (_effect(one, before[_name(one)], state, latest) for one, state in after)
    return Simulation(
        containers=len(after),
        effects=tuple(effect for effect in effects if _is_any(effect)),
        collisions=tuple(believed.collisions[collided:]),
        reached=frozenset(key for _, state in after for key in state.attached.keys() & latest),
    )


def scene_of(node: str, objects: Objects) -> Scene:
    """Return a node's share of the objects."""
    pods = tuple(pod for pod in objects.of("pods", Pod) if pod.spec.node_name == node)
    return Scene(
        started=max(map(_daemon_start, pods), default=0.0),
        namespaces=objects.of("namespaces", Namespace),
        policies=tuple(one for one in objects.policies if one[0] in CONTAINER_KINDS),
        pods=pods,
    )


def _daemon_start(pod: Pod) -> float:
    """When a daemon's container started; 0 for a Pod that is none, or that does not run."""
    label, value = DAEMON_LABEL
    if (pod.metadata.labels or {}).get(label) != value:
        return 0.0
    for status in pod.status.container_statuses or ():
        if status.name == DAEMON_CONTAINER and status.state and status.state.running:
            return _created(status.state.running.started_at)
    return 0.0


def history(scene: Scene) -> list[Event]:
    """The events that the node's daemon has seen, as far as the objects tell."""
    dated = [*_namespaces(scene), *_policies(scene), *_pods(scene)]
    order = [
        (max(at, scene.started), rank, at, number, event)
        for number, (at, rank, event) in enumerate(dated)
    ]
    return [event for *_, event in sorted(order, key=lambda entry: entry[:4])]


def _namespaces(scene: Scene) -> Iterator[tuple[float, int, Event]]:
    for item in scene.namespaces:
        event = NamespaceEvent(action="added", name=item.metadata.name)
        yield _created(item.metadata.creation_timestamp), 0, event


def _policies(scene: Scene) -> Iterator[tuple[float, int, Event]]:
    for kind, policy in scene.policies:
        metadata = policy.metadata
        event = PolicyEvent(
            action="added",
            kind=kind,
            namespace=metadata.namespace,
            name=metadata.name,
            spec=policy.spec or {},
            generation=metadata.generation,
        )
        yield _created(metadata.creation_timestamp), 1, event


def _pods(scene: Scene) -> Iterator[tuple[float, int, Event]]:
    """Pods count from when a container of theirs runs: before, they have no endpoint."""
    for pod in scene.pods:
        running = {
            status.name: status
            for status in pod.status.container_statuses or ()
            if status.container_id and is_running(status.state)
        }
        starts = [
            _created(status.state.running.started_at)
            for status in running.values()
            if status.state and status.state.running
        ]
        event = PodEvent(
            action="added",
            namespace=pod.metadata.namespace,
            name=pod.metadata.name,
            labels=pod.metadata.labels,
            containers={name: bare(status.container_id) for name, status in running.items()},
        )
        yield min(starts, default=_created(pod.metadata.creation_timestamp)), 2, event


def _created(timestamp: str | None) -> float:
    instant = second_of(timestamp)
    return instant[0] if instant else 0.0


def _name(endpoint: Endpoint) -> tuple[str, str, str]:
    return (endpoint.namespace, endpoint.pod, endpoint.container)


def _state(
    believed: Believed,
    endpoint: Endpoint,
    labels: Mapping[tuple[str, str], Mapping[str, str] | None],
) -> _State:
    attached = {policy.key: policy.generation for policy in endpoint.policies}
    later = believed.foresee(
        namespace=endpoint.namespace,
        labels=labels[endpoint.namespace, endpoint.pod],
        container=endpoint.container,
    )
    return _State(
        attached=attached, more=later - attached.keys(), less=frozenset(attached.keys() - later)
    )


def _effect(
    endpoint: Endpoint, before: _State, after: _State, latest: Mapping[PolicyKey, int]
) -> Effect:
    was, now = before.attached, after.attached
    kept = now.keys() & was.keys()
    return Effect(
        namespace=endpoint.namespace,
        pod=endpoint.pod,
        container=endpoint.container,
        container_id=endpoint.container_id,
        gains=_ordered(now.keys() - was.keys()),
        loses=_ordered(was.keys() - now.keys()),
        revised=_ordered(key for key in kept if now[key] != was[key]),
        stale=_ordered(key for key in kept if now[key] != latest.get(key, now[key])),
        later_gains=_ordered(after.more - before.more),
        later_loses=_ordered(after.less - before.less),
    )


def _ordered(keys: Iterable[PolicyKey]) -> tuple[PolicyKey, ...]:
    return tuple(sorted(keys))


def _is_any(effect: Effect) -> bool:
    changed = effect.gains or effect.loses or effect.revised or effect.stale
    return bool(changed or effect.later_gains or effect.later_loses)
