"""Which KubeArmor daemons there are, learned from the Pods that pass through the engine."""

from collections.abc import Callable

from msgspec import Struct

from monitor.core.kubernetes import ContainerStatus, Object, Pod
from monitor.core.model import Changed, Listed, Observation

LABEL = "kubearmor-app"
LABEL_VALUE = "kubearmor"
CONTAINER = "kubearmor"


class Daemon(Struct, frozen=True):
    """A daemon's container on a node; `restart` is its restart count, `address` its Pod's.

    `begun` says whether that run of it has begun: before, there is nothing of it to be read.
    """

    node: str
    namespace: str
    pod: str
    uid: str
    container: str
    restart: int
    begun: bool
    running: bool
    address: str


class Roster:
    """Keeps the set of daemons up to date and tells `changed` each time it is another one."""

    def __init__(self, *, namespace: str, changed: Callable[[frozenset[Daemon]], None]) -> None:
        self._namespace = namespace
        self._changed = changed
        self._daemons: dict[str, Daemon] = {}

    def observe(self, observation: Observation) -> None:
        """Take note of an observation; all but those of Pods are passed over."""
        match observation:
            case Changed(resource="pods", type=kind, object=pod):
                daemons = dict(self._daemons)
                daemons.pop(pod.metadata.uid, None)
                if kind != "DELETED":
                    daemons |= self._daemon(pod)
            case Listed(resource="pods", items=pods):
                daemons = {}
                for pod in pods:
                    daemons |= self._daemon(pod)
            case _:
                return
        if daemons != self._daemons:
            self._daemons = daemons
            self._changed(frozenset(daemons.values()))

    def _daemon(self, pod: Object) -> dict[str, Daemon]:
        """Return the Pod's daemon by its uid; nothing where it has none or no node yet."""
        labels = pod.metadata.labels or {}
        if (
            not isinstance(pod, Pod)
            or pod.metadata.namespace != self._namespace
            or labels.get(LABEL) != LABEL_VALUE
            or not pod.spec.node_name
        ):
            return {}
        status = _status(pod)
        return {
            pod.metadata.uid: Daemon(
                node=pod.spec.node_name,
                namespace=pod.metadata.namespace,
                pod=pod.metadata.name,
                uid=pod.metadata.uid,
                container=status.name,
                restart=status.restart_count,
                begun=status.begun,
                running=status.state is not None and status.state.running is not None,
                address=pod.status.pod_ip,
            )
        }


def _status(pod: Pod) -> ContainerStatus:
    for status in pod.status.container_statuses or ():
        if status.name == CONTAINER:
            return status
    return ContainerStatus(name=CONTAINER)
