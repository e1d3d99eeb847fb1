"""Pods and containers as the API server shows them: what they are, what exempts them.

There are many of them, so what is kept of a Pod is what the judgement reads, and what is equal is
kept once.
"""

from collections.abc import Iterator, Mapping
from sys import intern
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from monitor.core.evidence import PolicyKey
from monitor.core.expectation import NOTHING, PolicySet
from monitor.core.identity import digest
from monitor.core.instants import second_of
from monitor.core.kubernetes import (
    ContainerState,
    ContainerStatus,
    Metadata,
    Node,
    Pod,
    PodStatus,
)
from monitor.core.model import Interval, Verdict
from monitor.core.selector import identities
from monitor.core.workloads import workload_of

if TYPE_CHECKING:
    from monitor.core.effect_first import EffectFirst
    from monitor.core.effects import Effects
    from monitor.core.exposure import Exposure
    from monitor.core.verdict import Judged

Kind: TypeAlias = Literal["container", "init", "sidecar", "ephemeral"]

POLICY_ANNOTATION: Final = "kubearmor-policy"
APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
CILIUM_LABEL: Final = "io.cilium/app"
SANDBOXES: Final = ("kata", "gvisor", "runsc", "firecracker")
UNSUPPORTED_KINDS: Final = {
    "init": "init-container",
    "sidecar": "native-sidecar",
    "ephemeral": "ephemeral-container",
}
LABELS_KEPT: Final = 8
NEVER: Final[frozenset[PolicyKey]] = frozenset()


class Labels:
    """Labels with the identities that KubeArmor sees in them; equal ones are one object."""

    __slots__ = ("__weakref__", "id", "identities", "labels")

    def __init__(self, *, namespace: str, labels: Mapping[str, str]) -> None:
        self.id = digest("labels", *(f"{key}={value}" for key, value in sorted(labels.items())))
        self.labels = dict(labels)
        self.identities = identities(namespace=namespace, labels=labels)


CROWDED: Final = 2.0
"""Changes of a Pod within so many seconds are not told apart by the lines about it."""


class PodState:
    """A Pod: what was last seen of it.

    `former` are the ids that its restarted containers had before; `former_labels` those that it had
    while its containers ran, each with when it lost them; `switched_at` is when its mode was last
    seen to change; `profiles` are the AppArmor profiles that it names. `crowded`: other changes of
    it were seen shortly before that of its labels or mode, so that a line may be about those.
    """

    __slots__ = (
        "beyond_reach",
        "containers",
        "created",
        "crowded",
        "deleting_since",
        "former",
        "former_labels",
        "key",
        "labels",
        "mode",
        "node",
        "profiles",
        "scheduled",
        "seen_at",
        "statuses",
        "switched_at",
        "uid",
        "version",
        "workload",
    )

    def __init__(self, pod: Pod, *, labels: Labels, at: float) -> None:
        metadata = pod.metadata
        self.uid = metadata.uid
        self.version = 0
        self.key = (intern(metadata.namespace), intern(metadata.name))
        self.created = second_of(metadata.creation_timestamp)
        self.beyond_reach = _beyond_reach(pod)
        self.workload = intern(workload_of(pod))
        self.containers: tuple[ContainerRecord, ...] = ()
        self.deleting_since: float | None = None
        self.former: dict[str, str] | None = None
        self.former_labels: tuple[tuple[Interval, Labels], ...] = ()
        self.switched_at: float | None = None
        self.mode = mode(pod)
        self.labels = labels
        self.seen_at = at
        self.crowded = False
        self.take(pod, labels=labels, at=at)

    def take(self, pod: Pod, *, labels: Labels, at: float) -> None:
        """Note its present state."""
        self.version = version_of(pod.metadata)
        # What a Pod that is being deleted was, it stays.
        now = self.mode if self.deleting_since is not None else mode(pod)
        if labels is not self.labels or now != self.mode:
            self.crowded = at - self.seen_at < CROWDED
        self.seen_at = at
        self.labels = labels
        if now != self.mode:
            self.mode, self.switched_at = now, at
        self.profiles = _profiles(pod)
        self.node = intern(pod.spec.node_name)
        deleting = pod.metadata.deletion_timestamp is not None
        self.deleting_since = (self.deleting_since or at) if deleting else None
        self.scheduled = _scheduled(pod.status)
        self.statuses = _fingerprint(pod.status)

    def shows(self, pod: Pod) -> bool:
        """Whether that is its present state already."""
        return (
            self.statuses == _fingerprint(pod.status)
            and self.labels.labels == (pod.metadata.labels or {})
            and self.deleting == (pod.metadata.deletion_timestamp is not None)
            and self.node == pod.spec.node_name
            and self.mode == mode(pod)
        )

    def relabelled(self, former: Labels, *, changed: Interval) -> None:
        """Note a change of labels: until then they were those."""
        self.former_labels = (*self.former_labels, (changed, former))[-LABELS_KEPT:]

    def labels_at(self, instant: float) -> Labels | None:
        """The labels at an instant, as far back as they are kept; None while they changed."""
        for (earliest, latest), former in self.former_labels:
            if instant < earliest:
                return former
            if instant < latest:
                return None
        return self.labels

    @property
    def deleting(self) -> bool:
        return self.deleting_since is not None

    @property
    def namespace(self) -> str:
        return self.key[0]

    @property
    def name(self) -> str:
        return self.key[1]


def _fingerprint(status: PodStatus) -> int:
    """A hash of all container statuses: far smaller than they are, and there are many Pods."""
    return hash(
        (
            tuple(status.container_statuses or ()),
            tuple(status.init_container_statuses or ()),
            tuple(status.ephemeral_container_statuses or ()),
        )
    )


def _profiles(pod: Pod) -> Mapping[str, str] | None:
    """The AppArmor profile that the Pod's annotations name for each container; mostly none."""
    annotations = pod.metadata.annotations
    if not annotations:
        return None
    found = {
        key.removeprefix(APPARMOR_ANNOTATION): value.removeprefix("localhost/")
        for key, value in annotations.items()
        if key.startswith(APPARMOR_ANNOTATION)
    }
    return found or None


def _scheduled(status: PodStatus) -> Interval | None:
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "True":
            return second_of(condition.last_transition_time)
    return None


class Uncovered(Struct, frozen=True, gc=False):
    """Pairs of a container that are not covered, all for one reason, as they were last judged."""

    policies: tuple[PolicyKey, ...]
    verdict: Verdict
    cause: str | None
    since: Interval | None


class ContainerRecord:
    """One container incarnation and what was decided of it so far.

    `covered` are the policies that were in force at the last judgement, by the daemon incarnation
    `covered_by`; `residual` the policies that are expected no longer and may still be in force;
    `since_relabel` when a change of the Pod made a policy expected; `published` when the API server
    had told us its id; `effect_first` what is known to be in force only by its effect as yet.
    """

    __slots__ = (
        "announced",
        "cause",
        "covered",
        "covered_by",
        "delay",
        "delayed",
        "delays",
        "effect_first",
        "effects",
        "expected",
        "exposure",
        "frozen",
        "gap_under",
        "id",
        "kind",
        "name",
        "pod",
        "proven",
        "published",
        "recovering",
        "residual",
        "since_relabel",
        "started",
        "timed",
        "uncovered",
        "verdict",
    )

    def __init__(self, *, pod: PodState, status: ContainerStatus, kind: Kind, at: float) -> None:
        self.pod = pod
        self.name = intern(status.name)
        self.id = bare(status.container_id)
        self.kind = kind
        running = status.state.running if status.state else None
        second = second_of(running.started_at) if running else None
        self.started = (at, at) if second is None else _until(second, at)
        self.published = at
        self.expected: PolicySet = NOTHING
        self.announced: PolicySet | None = None
        self.covered = NEVER
        self.covered_by: tuple[str, int] | None = None
        self.gap_under: tuple[str, int] | None = None
        self.effects: Effects | None = None
        self.residual: dict[PolicyKey, float] | None = None
        self.since_relabel: dict[PolicyKey, Interval] | None = None
        self.delay: Interval | None = None
        self.delayed = NEVER
        self.delays: dict[PolicyKey, Interval] | None = None
        self.uncovered: tuple[Uncovered, ...] = ()
        self.verdict: Verdict = "unpoliced"
        self.cause: str | None = None
        self.timed = False
        self.proven = False
        self.recovering = False
        self.frozen: dict[PolicyKey, Judged] | None = None
        self.exposure: Exposure | None = None
        self.effect_first: dict[PolicyKey, EffectFirst] | None = None

    @property
    def node(self) -> str:
        return self.pod.node


def _until(second: Interval, at: float) -> Interval:
    """The part of a second that had passed at `at`; mostly all of it, and then the same object."""
    return second if second[1] <= at else (second[0], max(second[0], at))


def version_of(metadata: Metadata) -> int:
    """The resource version as a number, by which an event that comes again is told; 0 for none.

    The API server promises that the versions of one object can be compared as integers.
    """
    return int(metadata.resource_version) if metadata.resource_version.isdecimal() else 0


def is_older(one: Metadata, other: Metadata) -> bool:
    """Whether one state of an object surely came before another."""
    return 0 < version_of(one) < version_of(other)


def bare(container_id: str) -> str:
    """A container id without the runtime's prefix."""
    return container_id.rpartition("://")[2]


def statuses(pod: Pod) -> Iterator[tuple[ContainerStatus, Kind]]:
    """Every container status of a Pod that names an id, with the kind of its container."""
    for status in pod.status.container_statuses or ():
        if status.container_id:
            yield status, "container"
    if pod.status.init_container_statuses:
        restartable = {
            spec.name for spec in pod.spec.init_containers or () if spec.restart_policy == "Always"
        }
        for status in pod.status.init_container_statuses:
            if status.container_id:
                yield status, "sidecar" if status.name in restartable else "init"
    for status in pod.status.ephemeral_container_statuses or ():
        if status.container_id:
            yield status, "ephemeral"


def is_running(state: ContainerState | None) -> bool:
    """Whether a container's state is running."""
    return state is not None and state.running is not None


def mode(item: Pod | Node) -> str:
    """An object's own mode: enabled, audited or disabled (dossier 6.1; of nodes 6.6)."""
    annotations = item.metadata.annotations
    value = annotations.get(POLICY_ANNOTATION, "") if annotations else ""
    return value if value in {"audited", "disabled"} else "enabled"


def unsupported(pod: PodState, kind: Kind) -> str | None:
    """Why KubeArmor cannot protect such a container (dossier 6.7), None if it can."""
    return pod.beyond_reach if kind == "container" else UNSUPPORTED_KINDS[kind]


def _beyond_reach(pod: Pod) -> str | None:
    """Why no container of a Pod can be protected: its namespaces, or a kernel of its own."""
    if pod.spec.host_pid:
        return "host-pid"
    runtime = (pod.spec.runtime_class_name or "").lower()
    return "sandboxed-runtime" if any(name in runtime for name in SANDBOXES) else None


def exempt(pod: PodState, *, untracked: frozenset[str]) -> str | None:
    """Why KubeArmor by design does not enforce on this Pod (dossier 6.1, 6.2), None if it does."""
    if pod.mode != "enabled":
        return f"annotation-{pod.mode}"
    if pod.namespace == "kube-system" or CILIUM_LABEL in pod.labels.labels:
        return "builtin-exception"
    return "untracked-namespace" if pod.namespace in untracked else None
