"""The cluster as it was last seen, and which containers a change of it concerns.

Takes observations of the Kubernetes API and of the daemons' output; keeps Pods, containers,
policies, namespaces and nodes; marks in `dirty` the containers whose verdict can be another now.
A list replaces: what is missing from it was deleted while nobody looked.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from monitor.core import kubernetes
from monitor.core.blindness import Sources
from monitor.core.containers import ContainerRecord, PodState, bare, is_running, mode, statuses
from monitor.core.evidence import PolicyKey
from monitor.core.instants import second_of
from monitor.core.kubernetes import ConfigMap, Namespace, Node, Object, Pod, Policy, Resource
from monitor.core.model import Interval
from monitor.core.nodes import DAEMON_LABEL, NodeState
from monitor.core.policies import CONTAINER_KINDS, PolicyState, kind_of
from monitor.core.semantics import parse

UNTRACKED: Final = frozenset({"kube-system", "kubearmor"})
UNTRACKED_IN_MAP_SINCE: Final = (1, 6, 7)
CONFIG_NAME: Final = "kubearmor-config"


class World:
    """What is, and what changed since `dirty` was last emptied."""

    def __init__(self, *, started: float) -> None:
        self.sources = Sources(started=started)
        self.pods: dict[str, PodState] = {}
        self.pods_by_key: dict[tuple[str, str], PodState] = {}
        self.containers: dict[str, ContainerRecord] = {}
        self.by_namespace: dict[str, set[str]] = {}
        self.by_short_id: dict[str, str] = {}
        self.nodes: dict[str, NodeState] = {}
        self.namespaces: dict[str, Interval] = {}
        self.policies: dict[PolicyKey, PolicyState] = {}
        self.deleted_policies: dict[PolicyKey, PolicyState] = {}
        self.config: dict[str, str] = {}
        self.dirty: dict[str, None] = {}
        self.ended: list[tuple[ContainerRecord, Interval]] = []
        self._expected: dict[tuple[str, frozenset[str], str], tuple[PolicyKey, ...]] = {}
        self._ambiguous: frozenset[str] | None = None
        self._objects: dict[Resource, dict[str, Object]] = {}

    # --- objects --------------------------------------------------------------------------------

    def list(self, resource: Resource, items: Iterable[Object], *, at: float) -> None:
        """Replace all objects of a resource."""
        known = self._objects.get(resource, {})
        present = {item.metadata.uid: item for item in items}
        for uid in [uid for uid in known if uid not in present]:
            self.change(resource, "DELETED", known[uid], at=at)
        for item in present.values():
            self.change(resource, "ADDED", item, at=at, listed=True)

    def change(
        self, resource: Resource, event: str, item: Object, *, at: float, listed: bool = False
    ) -> None:
        """Take one event about one object."""
        known = self._objects.setdefault(resource, {})
        uid = item.metadata.uid
        deleted = event == "DELETED"
        if deleted and uid not in known:
            return
        if deleted:
            del known[uid]
        elif not _is_news(known.get(uid), item):
            return
        else:
            known[uid] = item
        if isinstance(item, Pod):
            self._pod(item, at=at, deleted=deleted)
        elif isinstance(item, Policy):
            self._policy(resource, item, at=at, deleted=deleted, listed=listed)
        elif isinstance(item, Namespace):
            self._namespace(item, at=at, deleted=deleted)
        elif isinstance(item, Node):
            self._node(item, deleted=deleted)
        elif isinstance(item, ConfigMap):
            self._configuration(item, deleted=deleted)

    # --- Pods and containers --------------------------------------------------------------------

    def _pod(self, pod: Pod, *, at: float, deleted: bool) -> None:
        if _is_daemon(pod) and pod.spec.node_name:
            self._daemon_pod(pod, at=at, deleted=deleted)
        state = self.pods.get(pod.metadata.uid)
        if deleted:
            if state is not None:
                self._remove_pod(state, at=at)
            return
        if state is None:
            state = self.pods[pod.metadata.uid] = PodState(pod)
            self.pods_by_key[state.key] = state
        else:
            self._compare(state, pod, at=at)
            state.pod = pod
        self._containers(state, at=at)

    def _daemon_pod(self, pod: Pod, *, at: float, deleted: bool) -> None:
        node = self.node(pod.spec.node_name)
        if deleted:
            node.forget_daemon_pod(pod.metadata.uid, at=at)
        else:
            node.observe_daemon_pod(pod, at=at)
        self.mark_node(node)

    def _remove_pod(self, state: PodState, *, at: float) -> None:
        del self.pods[state.pod.metadata.uid]
        if self.pods_by_key.get(state.key) is state:
            del self.pods_by_key[state.key]
        for container in list(state.containers.values()):
            self._end(container, (at, at))

    def _compare(self, state: PodState, pod: Pod, *, at: float) -> None:
        """Note when labels or the Pod's own mode change: what is expected may change with them."""
        if (pod.metadata.labels or {}) != (state.pod.metadata.labels or {}):
            state.relabel(pod, at=at)
        elif mode(pod) == mode(state.pod):
            return
        if mode(pod) != mode(state.pod):
            state.mode_changed = at
        for container in state.containers.values():
            before = frozenset(container.expected) if mode(state.pod) == mode(pod) else frozenset()
            self._expect(container, relabelled_at=at, before=before)

    def _containers(self, state: PodState, *, at: float) -> None:
        present: set[str] = set()
        for status, kind in statuses(state.pod):
            identity = bare(status.container_id)
            if not is_running(status.state):
                continue
            present.add(identity)
            container = state.containers.get(identity)
            if container is None:
                container = ContainerRecord(pod=state, status=status, kind=kind, at=at)
                self._begin(container)
            self.dirty[identity] = None
        for identity in [identity for identity in state.containers if identity not in present]:
            self._end(state.containers[identity], self._finished(state.pod, identity, at=at))

    def _begin(self, container: ContainerRecord) -> None:
        container.pod.containers[container.id] = container
        self.containers[container.id] = container
        self.by_short_id[container.id[:12]] = container.id
        self.by_namespace.setdefault(container.pod.pod.metadata.namespace, set()).add(container.id)
        self.node(container.node).containers.add(container.id)
        self._expect(container)

    def _end(self, container: ContainerRecord, instant: Interval) -> None:
        del container.pod.containers[container.id]
        self.containers.pop(container.id, None)
        self.by_short_id.pop(container.id[:12], None)
        self.by_namespace[container.pod.pod.metadata.namespace].discard(container.id)
        self.node(container.node).containers.discard(container.id)
        self.dirty.pop(container.id, None)
        self.ended.append((container, instant))

    @staticmethod
    def _finished(pod: Pod, identity: str, *, at: float) -> Interval:
        for status, _kind in statuses(pod):
            for state in (status.state, status.last_state):
                ended = state.terminated if state else None
                if ended is not None and identity in {
                    bare(ended.container_id),
                    bare(status.container_id),
                }:
                    finished = second_of(ended.finished_at)
                    if finished is not None:
                        return (finished[0], min(finished[1], max(at, finished[0])))
        return (at, at)

    # --- what is expected -----------------------------------------------------------------------

    def _expect(
        self,
        container: ContainerRecord,
        *,
        relabelled_at: float | None = None,
        before: frozenset[PolicyKey] = frozenset(),
    ) -> None:
        former = container.expected
        container.expected = self.expected(container)
        if relabelled_at is not None:
            fresh = [key for key in container.expected if key not in before]
            if fresh:
                container.since_relabel = (container.since_relabel or {}) | dict.fromkeys(
                    fresh, relabelled_at
                )
            gone = [
                key for key in former if key not in container.expected and key in container.covered
            ]
            if gone:
                container.residual = (container.residual or {}) | dict.fromkeys(gone, relabelled_at)
        self.dirty[container.id] = None

    def expected(self, container: ContainerRecord) -> tuple[PolicyKey, ...]:
        """The policies that should protect a container; equal sets are one object."""
        pod = container.pod
        cache_key = (pod.pod.metadata.namespace, pod.identities, container.name)
        found = self._expected.get(cache_key)
        if found is None:
            found = tuple(
                key
                for key, policy in sorted(self.policies.items())
                if policy.kind in CONTAINER_KINDS and self.selects(policy, container)
            )
            self._expected[cache_key] = found
        return found

    @staticmethod
    def selects(policy: PolicyState, container: ContainerRecord) -> bool:
        """Whether a policy's selector, in KubeArmor's meaning, takes that container."""
        return policy.selector.selects(
            namespace=container.pod.pod.metadata.namespace,
            identities=container.pod.identities,
            container=container.name,
        )

    def ambiguous_names(self) -> frozenset[str]:
        """The names that a namespaced and a cluster policy share, or shared (dossier 5.6)."""
        if self._ambiguous is None:
            names: dict[str, set[str]] = {}
            for kind, _namespace, name in (*self.policies, *self.deleted_policies):
                names.setdefault(name, set()).add(kind)
            both = set(CONTAINER_KINDS)
            self._ambiguous = frozenset(name for name, kinds in names.items() if both <= kinds)
        return self._ambiguous

    # --- policies -------------------------------------------------------------------------------

    def _policy(
        self, resource: Resource, item: Policy, *, at: float, deleted: bool, listed: bool
    ) -> None:
        kind = kind_of(resource)
        assert kind is not None
        key = (kind, item.metadata.namespace, item.metadata.name)
        known = self.policies.get(key)
        if deleted:
            if known is not None and known.uid == item.metadata.uid:
                known.deleted_at = at
                self.deleted_policies[key] = self.policies.pop(key)
                self._mark_selected(kind, item.metadata.namespace)
            return
        if known is not None and known.uid == item.metadata.uid:
            renewed = known.modify(item, at=at, listed=listed)
        else:
            if known is not None:
                self.deleted_policies[key] = known
            self.policies[key] = PolicyState(kind=kind, policy=item, at=at, listed=listed)
            renewed = True
        if renewed:
            self._mark_selected(kind, item.metadata.namespace)

    def _mark_selected(self, kind: str, namespace: str) -> None:
        if kind not in CONTAINER_KINDS:
            return
        self._expected.clear()
        self._ambiguous = None
        named = (
            self.by_namespace.get(namespace, set())
            if kind == "KubeArmorPolicy"
            else self.containers
        )
        for identity in named:
            self._expect(self.containers[identity])

    # --- namespaces, nodes, configuration -------------------------------------------------------

    def _namespace(self, item: Namespace, *, at: float, deleted: bool) -> None:
        name = item.metadata.name
        if deleted:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = second_of(item.metadata.creation_timestamp) or (at, at)
        for identity in self.by_namespace.get(name, ()):
            self.dirty[identity] = None

    def node(self, name: str) -> NodeState:
        """Return the node, made if nothing was heard of it yet."""
        found = self.nodes.get(name)
        if found is None:
            found = self.nodes[name] = NodeState(name=name, text=self.sources.get(f"text/{name}"))
        return found

    def _node(self, item: Node, *, deleted: bool) -> None:
        node = self.node(item.metadata.name)
        node.node = None if deleted else item
        self.mark_node(node)

    def _configuration(self, item: ConfigMap, *, deleted: bool) -> None:
        if item.metadata.name != CONFIG_NAME:
            return
        self.config = {} if deleted else dict(item.data or {})
        self.mark_all()

    def untracked(self, node: NodeState) -> frozenset[str]:
        """The namespaces in which that node's daemon does not enforce (dossier 6.2)."""
        incarnation = node.current() or node.latest()
        release = parse(node.release(incarnation) or "")
        in_map = self.config.get("untrackedNs")
        if in_map is not None and release is not None and release >= UNTRACKED_IN_MAP_SINCE:
            return frozenset(name.strip() for name in in_map.split(",") if name.strip())
        printed = incarnation.settings.get("UntrackedNs") if incarnation else None
        return frozenset(printed.strip("[]").split()) if printed else UNTRACKED

    @staticmethod
    def created(pod: PodState) -> Interval | None:
        """When a Pod was created."""
        return second_of(pod.pod.metadata.creation_timestamp)

    # --- marking --------------------------------------------------------------------------------

    def mark_node(self, node: NodeState) -> None:
        """All containers of a node may have another verdict."""
        self.dirty.update(dict.fromkeys(node.containers))

    def mark_all(self) -> None:
        """All containers may have another verdict."""
        self.dirty.update(dict.fromkeys(self.containers))

    def lingering(self, container: ContainerRecord) -> Iterator[PolicyState]:
        """Deleted policies that selected the container and that its daemon still lists."""
        incarnation = self.node(container.node).current()
        if incarnation is None:
            return
        for key, policy in self.deleted_policies.items():
            lines = incarnation.policies.get(key)
            if lines and lines[-1].action != "deleted" and key not in self.policies:
                if self.selects(policy, container):
                    yield policy


def _is_daemon(pod: Pod) -> bool:
    label, value = DAEMON_LABEL
    return (pod.metadata.labels or {}).get(label) == value


def _is_news(known: Object | None, item: Object) -> bool:
    """Whether anything that is read differs; the resource version alone does not count.

    A policy's event counts even if only its metadata changed: the daemon prints a line for it.
    """
    if known is None or isinstance(item, Policy):
        return known is None or known.metadata.resource_version != item.metadata.resource_version
    if type(known) is not type(item):
        return True
    return any(
        getattr(known, field) != getattr(item, field)
        for field in item.__struct_fields__
        if field != "metadata"
    ) or _metadata_differs(known.metadata, item.metadata)


def _metadata_differs(known: kubernetes.Metadata, item: kubernetes.Metadata) -> bool:
    return (
        known.labels != item.labels
        or known.annotations != item.annotations
        or known.deletion_timestamp != item.deletion_timestamp
        or known.generation != item.generation
    )
