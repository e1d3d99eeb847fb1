"""What a diagnosis keeps of the observations that pass by."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from monitor.core import facts
from monitor.core.diagnosis.findings import Cluster, DaemonSeen
from monitor.core.evidence import Incarnation
from monitor.core.instants import second_of
from monitor.core.kubernetes import (
    POLICY_KINDS,
    ConfigMap,
    ContainerStatus,
    DaemonSet,
    Namespace,
    Node,
    Object,
    Pod,
    Policy,
    Resource,
)
from monitor.core.model import DaemonLine, Observation, Report, SourceDown, SourceUp
from monitor.core.nodes import DAEMON_CONTAINER, DAEMON_LABEL
from monitor.core.objects import Objects

T = TypeVar("T", bound=Object)

CONFIGURATION_MAP: Final = "kubearmor-config"
TELLING: Final = (
    facts.ReleaseReported,
    facts.EnforcerReported,
    facts.ContainerSourceReported,
    facts.ConfigurationReported,
    facts.WatchReported,
)


class Notes:
    """Takes observations; `cluster` says what they add up to."""

    def __init__(self, *, kubearmor: str) -> None:
        self._kubearmor = kubearmor
        self._objects = Objects()
        self._lives: dict[tuple[str, int], Incarnation] = {}
        self._sources: dict[str, str] = {}

    @property
    def sources(self) -> Mapping[str, str]:
        """The reasons of sources that are down, empty for those that are up."""
        return self._sources

    def observe(self, observation: Observation) -> None:
        """Take one observation."""
        self._objects.observe(observation)
        match observation:
            case DaemonLine(fact=fact) if isinstance(fact, TELLING):
                self._life(observation).fold(observation, 0.0)
            case SourceUp(name=name):
                self._sources[name] = ""
            case SourceDown(name=name, reason=reason):
                self._sources[name] = reason or "down"
            case _:
                pass

    def cluster(self, report: Report) -> Cluster:
        """Return what was seen, with what was judged of the nodes at the report's time."""
        config = next(
            (
                one.data or {}
                for one in self._read("configmaps", ConfigMap) or ()
                if one.metadata.name == CONFIGURATION_MAP
            ),
            None,
        )
        return Cluster(
            at=report.at,
            kubearmor=self._kubearmor,
            nodes=self._read("nodes", Node),
            pods=self._read("pods", Pod),
            namespaces=self._read("namespaces", Namespace),
            daemon_sets=self._read("daemonsets", DaemonSet),
            config=config,
            policies=dict(self._policies()),
            daemons=tuple(self._daemons(report)),
            causes={node.node: node.cause for node in report.nodes if node.cause},
            sources=dict(sorted(self._sources.items())),
        )

    def addresses(self) -> dict[str, str]:
        """Return the address of each node's daemon Pod."""
        return {node: pod.status.pod_ip for node, pod in self._pods().items() if pod.status.pod_ip}

    def _policies(self) -> Iterator[tuple[str, tuple[Policy, ...]]]:
        for resource in self._objects.resources:
            if resource in POLICY_KINDS:
                yield resource, self._read(resource, Policy) or ()

    def _read(self, resource: Resource, kind: type[T]) -> tuple[T, ...] | None:
        known = resource in self._objects.resources
        return self._objects.of(resource, kind) if known else None

    def _life(self, line: DaemonLine) -> Incarnation:
        identity = (line.pod_uid, line.restart)
        return self._lives.setdefault(identity, _unread(line.node, identity))

    def _daemons(self, report: Report) -> Iterator[DaemonSeen]:
        judged = {node.node: node for node in report.nodes}
        for node, pod in sorted(self._pods().items()):
            identity = (pod.metadata.uid, _status(pod).restart_count)
            life = self._lives.get(identity) or _unread(node, identity)
            created = second_of(pod.metadata.creation_timestamp)
            yield DaemonSeen(
                node=node,
                pod=f"{pod.metadata.namespace}/{pod.metadata.name}",
                created=created[0] if created else 0.0,
                release=judged[node].release if node in judged else None,
                enforcer=life.enforcer,
                enforcer_reason=life.enforcer_reason,
                container_source=life.container_source,
                settings=life.settings,
                dead_watches=tuple(sorted(life.dead_watches)),
            )

    def _pods(self) -> dict[str, Pod]:
        """Return each node's daemon Pod, the youngest if there are several."""
        label, value = DAEMON_LABEL
        daemons = [
            pod
            for pod in self._read("pods", Pod) or ()
            if pod.metadata.namespace == self._kubearmor
            and (pod.metadata.labels or {}).get(label) == value
            and pod.spec.node_name
        ]
        daemons.sort(key=lambda pod: pod.metadata.creation_timestamp or "")
        return {pod.spec.node_name: pod for pod in daemons}


def _status(pod: Pod) -> ContainerStatus:
    for status in pod.status.container_statuses or ():
        if status.name == DAEMON_CONTAINER:
            return status
    return ContainerStatus(name=DAEMON_CONTAINER)


def _unread(node: str, identity: tuple[str, int]) -> Incarnation:
    pod_uid, restart = identity
    return Incarnation(node=node, pod_uid=pod_uid, restart=restart)
