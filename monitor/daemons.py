"""Which KubeArmor daemons there are, and whose start is known.

Both are learned from what passes through the engine.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct

from monitor.core import facts
from monitor.core.kubernetes import ContainerStatus, Object, Pod
from monitor.core.model import (
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Observation,
    SourceDown,
    SourceUp,
)
from monitor.core.nodes import image_release

LABEL = "kubearmor-app"
LABEL_VALUE = "kubearmor"
CONTAINER = "kubearmor"
TEXT = "text/"

Identity: TypeAlias = tuple[str, int]  # a Pod's uid and its container's restart count


class Daemon(Struct, frozen=True):
    """A daemon's container on a node; `restart` is its restart count, `address` its Pod's.

    `begun` says whether that run of it has begun: before, there is nothing of it to be read.
    `release` is what the tag of its image says, None if that is no version.
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
    release: str | None = None


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
                release=image_release(pod),
            )
        }


def _status(pod: Pod) -> ContainerStatus:
    for status in pod.status.container_statuses or ():
        if status.name == CONTAINER:
            return status
    return ContainerStatus(name=CONTAINER)


class Starts:
    """Whose start is known: which daemons nobody has to ask whether they have initialised."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._begun: set[Identity] = set()
        self._opened: set[Identity] = set()
        self._initialised: set[Identity] = set()

    def observe(self, observation: Observation) -> None:
        """Take note of an observation; of lines there are many."""
        if isinstance(observation, DaemonLine):
            self._line(observation)
        elif isinstance(observation, HealthAnswered):
            if observation.serving:
                self._initialised.add((observation.pod_uid, observation.restart))
        elif isinstance(observation, SourceUp) and observation.name.startswith(TEXT):
            self._read.add(observation.name)
        elif isinstance(observation, SourceDown):
            self._read.discard(observation.name)

    def _line(self, line: DaemonLine) -> None:
        identity = (line.pod_uid, line.restart)
        if identity not in self._begun:
            self._begun.add(identity)
            if facts.opens(line.fact):
                self._opened.add(identity)
        if isinstance(line.fact, facts.PodSeen) or (
            isinstance(line.fact, facts.LifecycleReported) and line.fact.phase == "initialized"
        ):
            self._initialised.add(identity)

    def is_known(self, node: str, pod_uid: str, restart: int) -> bool:
        """Whether that daemon has initialised, or its output is read from its first line on."""
        identity = (pod_uid, restart)
        return identity in self._initialised or (
            identity in self._opened and f"{TEXT}{node}" in self._read
        )

    def keep(self, identities: Iterable[Identity]) -> None:
        """Forget all daemons but these."""
        kept = frozenset(identities)
        for known in (self._begun, self._opened, self._initialised):
            known.intersection_update(kept)
