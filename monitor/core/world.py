"""The cluster as it was last seen, and which containers a change of it concerns.

Takes observations of the Kubernetes API; keeps Pods, containers, policies, namespaces and nodes;
marks in `dirty` the containers whose verdict can be another now. A list replaces: what is missing
from it was deleted while nobody looked.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from monitor.core.blindness import Sources
from monitor.core.containers import (
    ContainerRecord,
    Labels,
    PodState,
    bare,
    is_older,
    is_running,
    mode,
    statuses,
    version_of,
)
from monitor.core.defaults import UNTRACKED
from monitor.core.effects import Effect, Effects
from monitor.core.evidence import SHORT_ID, Incarnation, PolicyKey
from monitor.core.expectation import Expectation
from monitor.core.instants import second_of
from monitor.core.kubernetes import (
    ConfigMap,
    ContainerState,
    DaemonSet,
    Namespace,
    Node,
    Object,
    Pod,
    Policy,
    Resource,
)
from monitor.core.model import Interval
from monitor.core.nodes import DAEMON_LABEL, NodeState
from monitor.core.policies import CONTAINER_KINDS, PolicyState
from monitor.core.policy_history import PolicyHistory
from monitor.core.rollouts import Fleet
from monitor.core.semantics import behaviour

STRANGERS_KEPT: Final = 10_000
BURIED_KEPT: Final = 16_384
ANNOTATIONS: Final = "kubearmor-"
LabelsKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

CONFIG_NAME: Final = "kubearmor-config"


class World:
    """What is, and what changed since `dirty` was last emptied."""

    def __init__(self, *, started: float) -> None:
        self.sources = Sources(started=started)
        self.expectation = Expectation()
        self.pods: dict[str, PodState] = {}
        self.pods_by_key: dict[tuple[str, str], PodState] = {}
        self.containers: dict[str, ContainerRecord] = {}
        self.nodes: dict[str, NodeState] = {}
        self.namespaces: dict[str, Interval] = {}
        self.settings: dict[str, Mapping[str, str]] = {}
        """What annotations of KubeArmor's say of namespaces: postures, visibility."""
        self.fleet = Fleet()
        self.policy_history = PolicyHistory(self.expectation.policies)
        self.config: dict[str, str] = {}
        self.is_configured = False
        self.configured_at = 0.0
        """When the configuration was last seen to change; not when it was first seen."""
        self.dirty: dict[str, None] = {}
        self.marked_at = started
        self.marked_hosts: dict[str, None] = {}
        self.host_effects: dict[tuple[str, str], Effects] = {}
        self.host_names: dict[str, str] = {}
        self._early_effects: dict[str, Effects] = {}
        self.ended: list[tuple[ContainerRecord, Interval]] = []
        self._labels: WeakValueDictionary[LabelsKey, Labels] = WeakValueDictionary()
        self._objects: dict[Resource, dict[str, Object]] = {}
        self._buried: OrderedDict[str, None] = OrderedDict()

    @property
    def policies(self) -> dict[PolicyKey, PolicyState]:
        return self.expectation.policies

    # --- objects --------------------------------------------------------------------------------

    def list(self, resource: Resource, items: Iterable[Object], *, at: float) -> None:
        """Replace all objects of a resource."""
        present = {item.metadata.uid: item for item in items}
        if resource == "pods":
            for state in [state for uid, state in self.pods.items() if uid not in present]:
                self._delete_pod(state, at=at)
        else:
            known = self._objects.get(resource, {})
            for uid in [uid for uid in known if uid not in present]:
                self._take(resource, "DELETED", known[uid], at=at, listed=False)
        for item in present.values():
            self._take(resource, "ADDED", item, at=at, listed=True)
        self._reconsider_policies()

    def change(self, resource: Resource, event: str, item: Object, *, at: float) -> None:
        """Take one event about one object."""
        self._take(resource, event, item, at=at, listed=False)
        if event == "DELETED":
            self._bury_uid(item.metadata.uid)
        if isinstance(item, Policy):
            self._reconsider_policies()

    def _take(
        self, resource: Resource, event: str, item: Object, *, at: float, listed: bool
    ) -> None:
        deleted = event == "DELETED"
        if isinstance(item, Pod):
            self._pod(item, at=at, deleted=deleted, listed=listed)
            return
        if not self._is_news(resource, item, deleted=deleted, listed=listed):
            return
        if isinstance(item, Policy):
            self.policy_history.take(resource, item, at=at, deleted=deleted, listed=listed)
        elif isinstance(item, Namespace):
            self._namespace(item, at=at, deleted=deleted)
        elif isinstance(item, Node):
            self._node(item, at=at, deleted=deleted, listed=listed)
        elif isinstance(item, ConfigMap):
            self._configuration(item, at=at, deleted=deleted)
        elif isinstance(item, DaemonSet):
            self._daemon_set(item, deleted=deleted)

    def _is_news(self, resource: Resource, item: Object, *, deleted: bool, listed: bool) -> bool:
        """Keep an object's latest state; whether it is another than the one known.

        An event that comes again is older than what is known; a list is right whatever its version.
        """
        known = self._objects.setdefault(resource, {})
        uid = item.metadata.uid
        former = known.get(uid)
        if former is not None and not listed and is_older(item.metadata, former.metadata):
            return False
        if former is None and uid in self._buried:
            return False
        if deleted:
            return known.pop(uid, None) is not None
        known[uid] = item
        return former != item

    def _bury_uid(self, uid: str) -> None:
        """What was deleted never comes back under its uid: an older event of it says nothing."""
        self._buried[uid] = None
        if len(self._buried) > BURIED_KEPT:
            self._buried.popitem(last=False)

    # --- Pods and containers --------------------------------------------------------------------

    def _pod(self, pod: Pod, *, at: float, deleted: bool, listed: bool) -> None:
        state = self.pods.get(pod.metadata.uid)
        if self._is_past(state, pod, listed=listed):
            return
        if deleted:
            if state is not None:
                self._delete_pod(state, at=at)
            return
        if state is not None and state.shows(pod):
            state.seen_at = at
            return
        if _is_daemon(pod) and pod.spec.node_name:
            node = self.node(pod.spec.node_name)
            daemon = node.observe_daemon_pod(pod, at=at)
            self.mark_node(node)
            if self.fleet.note(daemon):
                self._mark_fleet(daemon.daemon_set)
        deleting = state is not None and state.deleting
        former = state.labels if state is not None else None
        labels = former if former is not None and deleting else self._labels_of(pod, former=former)
        if state is None:
            state = self.pods[pod.metadata.uid] = PodState(pod, labels=labels, at=at)
            self.pods_by_key[state.key] = state
        else:
            switched = mode(pod) != state.mode and not deleting
            relabelled = labels is not state.labels
            if relabelled and state.containers:
                since = self._unseen_since("pods", at=at, listed=listed)
                state.relabelled(state.labels, changed=(since, at))
            state.take(pod, labels=labels, at=at)
            if switched or relabelled:
                self._reconsider(state, at=at, switched=switched, listed=listed)
        self._containers(state, pod, at=at)

    def _is_past(self, state: PodState | None, pod: Pod, *, listed: bool) -> bool:
        """Whether a later state of the Pod is known, or its end."""
        if state is None:
            return pod.metadata.uid in self._buried
        return not listed and 0 < version_of(pod.metadata) < state.version

    def _labels_of(self, pod: Pod, *, former: Labels | None) -> Labels:
        labels = pod.metadata.labels or {}
        if former is not None and former.labels == labels:
            return former
        key = (pod.metadata.namespace, tuple(sorted(labels.items())))
        found = self._labels.get(key)
        if found is None:
            found = Labels(namespace=pod.metadata.namespace, labels=labels)
            self._labels[key] = found
        return found

    def _delete_pod(self, state: PodState, *, at: float) -> None:
        del self.pods[state.uid]
        if self.pods_by_key.get(state.key) is state:
            del self.pods_by_key[state.key]
        node = self.nodes.get(state.node)
        if node is not None and state.uid in node.daemon_pods:
            node.forget_daemon_pod(state.uid, at=at)
            self.mark_node(node)
        self.mark_network(state.node)
        for container in state.containers:
            self._end(container, (at, at))

    def _reconsider(self, state: PodState, *, at: float, switched: bool, listed: bool) -> None:
        """After a change of labels or of the Pod's own mode something else may be expected."""
        since = self._unseen_since("pods", at=at, listed=listed)
        for container in state.containers:
            before = container.expected
            self._expect(container)
            known = frozenset() if switched else before.members
            fresh = [key for key in container.expected.keys if key not in known]
            if fresh:
                container.since_relabel = (container.since_relabel or {}) | dict.fromkeys(
                    fresh, (since, at)
                )
            gone = container.covered - container.expected.members
            if gone:
                container.residual = (container.residual or {}) | dict.fromkeys(gone, at)

    def _unseen_since(self, resource: Resource, *, at: float, listed: bool) -> float:
        """Since when it may be so: a list may show what came about since the watch broke."""
        outages = self.sources.get(f"kubernetes/{resource}").outages
        return outages[-1][0] if listed and outages else at

    def _containers(self, state: PodState, pod: Pod, *, at: float) -> None:
        self.mark_network(state.node)
        known = {container.id for container in state.containers}
        present: set[str] = set()
        for status, kind in statuses(pod):
            if not is_running(status.state):
                continue
            identity = bare(status.container_id)
            present.add(identity)
            if identity not in known:
                self._begin(ContainerRecord(pod=state, status=status, kind=kind, at=at))
            self.dirty[identity] = None
        for container in state.containers:
            if container.id not in present:
                self._end(container, _finished(pod, container.id, at=at))

    def _begin(self, container: ContainerRecord) -> None:
        container.pod.containers = (*container.pod.containers, container)
        self.containers[container.id] = container
        self.node(container.node).containers[container.id[:SHORT_ID]] = container
        container.effects = self._early_effects.pop(container.id, None)
        self._expect(container)

    def throttle(self, container_id: str, until: float) -> None:
        """A container's alerts are held back until then, on its node's clock (dossier 4.5)."""
        container = self.containers.get(container_id)
        if container is not None:
            container.effects = container.effects or Effects()
            container.effects.throttled_until = max(container.effects.throttled_until, until)
            self.dirty[container_id] = None

    def report_effect(self, container_id: str, effect: Effect, updated: float) -> None:
        """Keep what a feed reports of a container, also of one that is not known yet."""
        container = self.containers.get(container_id)
        if container is not None:
            container.effects = container.effects or Effects()
            if container.effects.note(effect, updated):
                self.dirty[container_id] = None
                if effect.happened:
                    container.frozen = None
            return
        early = self._early_effects.setdefault(container_id, Effects())
        early.note(effect, updated)
        if len(self._early_effects) > STRANGERS_KEPT:
            del self._early_effects[next(iter(self._early_effects))]

    def _end(self, container: ContainerRecord, instant: Interval) -> None:
        pod = container.pod
        pod.containers = tuple(other for other in pod.containers if other is not container)
        pod.former = (pod.former or {}) | {container.name: container.id}
        self.containers.pop(container.id, None)
        self.node(pod.node).containers.pop(container.id[:SHORT_ID], None)
        self.dirty.pop(container.id, None)
        self.ended.append((container, instant))

    # --- what is expected -----------------------------------------------------------------------

    def _expect(self, container: ContainerRecord) -> None:
        container.expected = self.expectation.of(
            namespace=container.pod.namespace,
            identities=container.pod.labels.identities,
            container=container.name,
        )
        self.dirty[container.id] = None

    @staticmethod
    def selects(policy: PolicyState, container: ContainerRecord) -> bool:
        """Whether a policy's selector, in KubeArmor's meaning, takes that container."""
        return policy.selector.selects(
            namespace=container.pod.namespace,
            identities=container.pod.labels.identities,
            container=container.name,
        )

    def shares_names(self, container: ContainerRecord) -> bool:
        """Whether a policy that the container should have has a namesake of the other kind."""
        names = self.policy_history.ambiguous_names()
        return bool(names) and any(name in names for _, _, name in container.expected.keys)

    # --- policies -------------------------------------------------------------------------------

    def _reconsider_policies(self) -> None:
        """Policies came, went or were revised: ask each container once what it should have now."""
        changed = self.policy_history.settle()
        if not changed:
            return
        keys = frozenset(key for key in changed if key[0] in CONTAINER_KINDS)
        if len(keys) < len(changed):
            self.marked_hosts.update(dict.fromkeys(self.nodes))
        if not keys:
            return
        self.expectation.changed()
        namespaces = {namespace for _kind, namespace, _name in keys}
        for container in self.containers.values():
            if "" in namespaces or container.pod.namespace in namespaces:
                self._expect_anew(container, keys)

    def _expect_anew(self, container: ContainerRecord, keys: frozenset[PolicyKey]) -> None:
        self._expect(container)
        if container.effect_first:
            left = {k: v for k, v in container.effect_first.items() if k not in keys}
            container.effect_first = left or None
        if not keys.isdisjoint(container.delayed):
            container.delayed = container.delayed - keys
        if container.delays:
            container.delays = {k: v for k, v in container.delays.items() if k not in keys}
        if not keys.isdisjoint(container.covered):
            kept = container.expected.members - keys
            container.covered = self.expectation.common(container.covered, kept)

    def report_host_effect(self, place: str, kind: str, effect: Effect, updated: float) -> None:
        """Keep what an alert says of a host; `place` is its name, or `daemon:NODE`."""
        effects = self.host_effects.setdefault((place, kind), Effects())
        if effects.note(effect, updated):
            self.mark_host(self.host_names.get(place, place.removeprefix("daemon:")))
        if len(self.host_effects) > STRANGERS_KEPT:
            del self.host_effects[next(iter(self.host_effects))]

    # --- namespaces, nodes, configuration -------------------------------------------------------

    def _namespace(self, item: Namespace, *, at: float, deleted: bool) -> None:
        name = item.metadata.name
        annotations = item.metadata.annotations or {}
        told = {k: v for k, v in annotations.items() if k.startswith(ANNOTATIONS)}
        if deleted:
            self.namespaces.pop(name, None)
            self.settings.pop(name, None)
        else:
            self.settings[name] = told
            self.namespaces[name] = second_of(item.metadata.creation_timestamp) or (at, at)
        for container in self.containers.values():
            if container.pod.namespace == name:
                self.dirty[container.id] = None

    def host(self, name: str, *, address: str, via: str) -> NodeState | None:
        """The node that a daemon calls by that name or address (F44: never by a Pod's name).

        A feed of a daemon's own names its node; else the name that the daemon printed for it, its
        object's name, and its address are tried in this order.
        """
        if via.startswith("daemon:"):
            return self.nodes.get(via.removeprefix("daemon:"))
        found = self.nodes.get(self.host_names.get(name, name))
        if found is not None or not address:
            return found
        return next((node for node in self.nodes.values() if node.has_address(address)), None)

    def node(self, name: str) -> NodeState:
        """Return the node, made if nothing was heard of it yet."""
        found = self.nodes.get(name)
        if found is None:
            found = self.nodes[name] = NodeState(name=name, text=self.sources.get(f"text/{name}"))
        return found

    def _node(self, item: Node, *, at: float, deleted: bool, listed: bool) -> None:
        since = self._unseen_since("nodes", at=at, listed=listed)
        node = self.node(item.metadata.name)
        node.observe(None if deleted else item, since=since, at=at)
        self.mark_node(node)

    def _daemon_set(self, item: DaemonSet, *, deleted: bool) -> None:
        if self.fleet.take(item, deleted=deleted):
            self._mark_fleet(f"{item.metadata.namespace}/{item.metadata.name}")

    def _mark_fleet(self, daemon_set: str | None) -> None:
        """What is rolled out decides which incident the gaps of its nodes join."""
        for node in self.nodes.values():
            if any(pod.daemon_set == daemon_set for pod in node.daemon_pods.values()):
                self.mark_node(node)

    def _configuration(self, item: ConfigMap, *, at: float, deleted: bool) -> None:
        if item.metadata.name != CONFIG_NAME:
            return
        config = {} if deleted else dict(item.data or {})
        if config != self.config and self.is_configured:
            self.configured_at = at
        self.config, self.is_configured = config, True
        self.mark_all()

    def untracked(self, node: NodeState, current: Incarnation | None) -> frozenset[str]:
        """The namespaces in which that node's daemon does not enforce (dossier 6.2)."""
        incarnation = current or node.latest()
        known = behaviour(node.release(incarnation))
        if known is not None and not known.filters_untracked:
            return frozenset()
        in_map = self.config.get("untrackedNs")
        if in_map is not None and known is not None and known.untracked_in_map:
            return _listed(in_map, ",")
        printed = incarnation.settings.get("ConfigUntrackedNs") if incarnation else None
        return _listed(printed.strip("[]"), None) if printed else UNTRACKED

    # --- marking --------------------------------------------------------------------------------

    def mark_node(self, node: NodeState) -> None:
        """All containers of a node, and its host, may have another verdict."""
        self.mark_host(node.name)
        for container in node.containers.values():
            self.dirty[container.id] = None

    def mark_all(self) -> None:
        """All containers and hosts may have another verdict."""
        self.dirty.update(dict.fromkeys(self.containers))
        if self.policy_history.of_hosts:
            self.marked_hosts.update(dict.fromkeys(self.nodes))

    def mark_host(self, name: str) -> None:
        """The host policies of a node may have another verdict."""
        if self.policy_history.of_hosts and name in self.nodes:
            self.marked_hosts[name] = None

    def mark_network(self, name: str) -> None:
        """The network policies of a node may have another verdict."""
        if self.policy_history.has_network_policies:
            self.mark_host(name)

    def lingering(self, container: ContainerRecord) -> Iterator[PolicyState]:
        """Deleted policies that selected the container and that its daemon still lists."""
        incarnation = self.node(container.node).current()
        if incarnation is None:
            return
        for key, policy in self.policy_history.deleted.items():
            lines = incarnation.policies.get(key)
            listed = lines is not None and lines[-1].action != "deleted"
            if listed and key not in self.policies and self.selects(policy, container):
                yield policy


def _is_daemon(pod: Pod) -> bool:
    label, value = DAEMON_LABEL
    return (pod.metadata.labels or {}).get(label) == value


def _finished(pod: Pod, identity: str, *, at: float) -> Interval:
    """When a container ended, as its status says, else when we saw that it had."""
    for status, _kind in statuses(pod):
        for state in (status.state, status.last_state):
            finished = _finish_of(state, identity, bare(status.container_id))
            if finished is not None:
                return (finished[0], min(finished[1], max(at, finished[0])))
    return (at, at)


def _finish_of(state: ContainerState | None, identity: str, current: str) -> Interval | None:
    ended = state.terminated if state else None
    if ended is None or identity not in {bare(ended.container_id), current}:
        return None
    return second_of(ended.finished_at)


@lru_cache(maxsize=64)
def _listed(names: str, separator: str | None) -> frozenset[str]:
    return frozenset(stripped for name in names.split(separator) if (stripped := name.strip()))
