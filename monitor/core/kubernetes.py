"""What the judgement reads of Kubernetes objects.

The fields carry the names and the nesting of the Kubernetes API, so that a watch line is decoded
into these values in one pass and everything else in it is skipped. Go writes an empty slice or map
as null, hence every container is optional. Times stay strings until someone needs them.
"""

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct


class OwnerReference(Struct, frozen=True, gc=False, rename="camel"):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Metadata(Struct, frozen=True, rename="camel"):
    uid: str
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class ContainerSpec(Struct, frozen=True, gc=False, rename="camel"):
    name: str
    image: str = ""
    restart_policy: str | None = None


class PodSpec(
    Struct,
    frozen=True,
    rename={"host_pid": "hostPID"}
    | {
        "node_name": "nodeName",
        "runtime_class_name": "runtimeClassName",
        "host_network": "hostNetwork",
        "init_containers": "initContainers",
    },
):
    node_name: str = ""
    host_pid: bool = False
    host_network: bool = False
    runtime_class_name: str | None = None
    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None


class Running(Struct, frozen=True, gc=False, rename="camel"):
    started_at: str | None = None


class Terminated(Struct, frozen=True, gc=False, rename="camel"):
    started_at: str | None = None
    finished_at: str | None = None
    exit_code: int = 0
    reason: str = ""
    container_id: str = msgspec.field(default="", name="containerID")


class ContainerState(Struct, frozen=True, gc=False):
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(
    Struct,
    frozen=True,
    gc=False,
    rename={
        "container_id": "containerID",
        "restart_count": "restartCount",
        "last_state": "lastState",
    },
):
    name: str
    container_id: str = ""
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None

    @property
    def begun(self) -> bool:
        """Whether the run that `restart_count` counts has begun, and has ended if it does not run.

        While a container waits for its next start, the count is that of the run that ended last,
        and so is the id; one that is created and not started yet has its own count and id already.
        """
        if self.state is not None and (self.state.running or self.state.terminated):
            return True
        last = self.last_state.terminated if self.last_state is not None else None
        return last is not None and last.container_id in {"", self.container_id}


class PodCondition(Struct, frozen=True, gc=False, rename="camel"):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class PodStatus(
    Struct,
    frozen=True,
    rename={
        "pod_ip": "podIP",
        "host_ip": "hostIP",
        "container_statuses": "containerStatuses",
        "init_container_statuses": "initContainerStatuses",
        "ephemeral_container_statuses": "ephemeralContainerStatuses",
    },
):
    phase: str = ""
    pod_ip: str = ""
    host_ip: str = ""
    conditions: list[PodCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    ephemeral_container_statuses: list[ContainerStatus] | None = None


class Pod(Struct, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Namespace(Struct, frozen=True):
    metadata: Metadata


class NodeAddress(Struct, frozen=True, gc=False):
    type: str = ""
    address: str = ""


class NodeSystem(Struct, frozen=True, gc=False, rename="camel"):
    operating_system: str = ""
    kernel_version: str = ""
    kubelet_version: str = ""
    container_runtime_version: str = ""
    os_image: str = ""
    architecture: str = ""


class NodeStatus(Struct, frozen=True, rename="camel"):
    addresses: list[NodeAddress] | None = None
    node_info: NodeSystem | None = None


class Taint(Struct, frozen=True, gc=False):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Struct, frozen=True):
    taints: list[Taint] | None = None


class Node(Struct, frozen=True):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class DaemonSetStatus(Struct, frozen=True, gc=False, rename="camel"):
    desired_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0
    observed_generation: int = 0


class Toleration(Struct, frozen=True, gc=False):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class DaemonPlacement(Struct, frozen=True, rename="camel"):
    """What a DaemonSet's Pod template says of the nodes it wants."""

    node_selector: dict[str, str] | None = None
    tolerations: list[Toleration] | None = None


class DaemonTemplate(Struct, frozen=True):
    spec: DaemonPlacement = DaemonPlacement()


class DaemonSetSpec(Struct, frozen=True):
    template: DaemonTemplate = DaemonTemplate()


class DaemonSet(Struct, frozen=True):
    metadata: Metadata
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class ConfigMap(Struct, frozen=True):
    metadata: Metadata
    data: dict[str, str] | None = None


class Policy(Struct, frozen=True):
    """A KubeArmor policy of any kind; `spec` is read by `core.selector` and `core.rules`."""

    metadata: Metadata
    spec: dict[str, Any] | None = None


Resource: TypeAlias = Literal[
    "pods",
    "namespaces",
    "nodes",
    "daemonsets",
    "configmaps",
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "kubearmornetworkpolicies",
]
Object: TypeAlias = Pod | Namespace | Node | DaemonSet | ConfigMap | Policy

TYPES: dict[Resource, type[Object]] = {
    "pods": Pod,
    "namespaces": Namespace,
    "nodes": Node,
    "daemonsets": DaemonSet,
    "configmaps": ConfigMap,
    "kubearmorpolicies": Policy,
    "kubearmorclusterpolicies": Policy,
    "kubearmorhostpolicies": Policy,
    "kubearmornetworkpolicies": Policy,
}
POLICY_KINDS: dict[str, str] = {
    "kubearmorpolicies": "KubeArmorPolicy",
    "kubearmorclusterpolicies": "KubeArmorClusterPolicy",
    "kubearmorhostpolicies": "KubeArmorHostPolicy",
    "kubearmornetworkpolicies": "KubeArmorNetworkPolicy",
}
POLICY_RESOURCES: dict[str, str] = {kind: resource for resource, kind in POLICY_KINDS.items()}
