"""Containers as the API server shows them: who they are, since when they run, what exempts them."""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from monitor.core.evidence import PolicyKey
from monitor.core.instants import second_of
from monitor.core.kubernetes import ContainerState, ContainerStatus, Pod
from monitor.core.model import Interval, Verdict
from monitor.core.selector import identities

Proof: TypeAlias = tuple[tuple[str, int], int, float]  # incarnation, generation, node's time
Lost: TypeAlias = tuple[str, Interval, str]  # cause, since, what opened it
Kind: TypeAlias = Literal["container", "init", "sidecar", "ephemeral"]

POLICY_ANNOTATION: Final = "kubearmor-policy"
CILIUM_LABEL: Final = "io.cilium/app"
SANDBOXES: Final = ("kata", "gvisor", "runsc", "firecracker")
UNSUPPORTED_KINDS: Final = {
    "init": "init-container",
    "sidecar": "native-sidecar",
    "ephemeral": "ephemeral-container",
}
NEVER: Final[frozenset[PolicyKey]] = frozenset()


class PodState:
    """A Pod and when what matters of it changed (receive times; 0 for not since we know it)."""

    __slots__ = ("containers", "gone_at", "identities", "labels_changed", "mode_changed", "pod")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.identities = identities(namespace=pod.metadata.namespace, labels=pod.metadata.labels)
        self.labels_changed = 0.0
        self.mode_changed = 0.0
        self.gone_at: float | None = None
        self.containers: dict[str, ContainerRecord] = {}

    def relabel(self, pod: Pod, *, at: float) -> None:
        """Take other labels, seen at `at`."""
        self.identities = identities(namespace=pod.metadata.namespace, labels=pod.metadata.labels)
        self.labels_changed = at

    @property
    def key(self) -> tuple[str, str]:
        return (self.pod.metadata.namespace, self.pod.metadata.name)

    @property
    def terminating(self) -> bool:
        return self.pod.metadata.deletion_timestamp is not None


class Uncovered(Struct, frozen=True, gc=False):
    """A pair of a container that is not covered, as it was last judged."""

    policy: PolicyKey
    verdict: Verdict
    cause: str | None
    since: Interval | None


class ContainerRecord:
    """One container incarnation and what was decided of it so far."""

    __slots__ = (
        "cause",
        "covered",
        "covered_by",
        "delays",
        "expected",
        "exposed_since",
        "exposure",
        "frozen",
        "gap_under",
        "id",
        "kind",
        "lost_to",
        "name",
        "pod",
        "proven",
        "refuted",
        "residual",
        "since_relabel",
        "started",
        "timed",
        "uncovered",
        "verdict",
    )

    def __init__(self, *, pod: PodState, status: ContainerStatus, kind: Kind, at: float) -> None:
        self.pod = pod
        self.name = status.name
        self.id = bare(status.container_id)
        self.kind = kind
        running = status.state.running if status.state else None
        second = second_of(running.started_at) if running else None
        self.started: Interval = (
            (second[0], max(second[0], min(second[1], at))) if second else (at, at)
        )
        self.expected: tuple[PolicyKey, ...] = ()
        self.covered: frozenset[PolicyKey] = NEVER
        self.proven: dict[PolicyKey, Proof] | None = None
        self.refuted: dict[PolicyKey, Proof] | None = None
        self.covered_by: tuple[str, int] | None = None
        self.gap_under: tuple[str, int] | None = None
        self.lost_to: dict[PolicyKey, Lost] | None = None
        self.delays: dict[PolicyKey, Interval] | None = None
        self.residual: dict[PolicyKey, float] | None = None
        self.since_relabel: dict[PolicyKey, float] | None = None
        self.uncovered: tuple[Uncovered, ...] = ()
        self.verdict: Verdict = "unpoliced"
        self.cause: str | None = None
        self.timed = False
        self.frozen = False
        self.exposure: Interval = (0.0, 0.0)
        self.exposed_since: Interval | None = None

    @property
    def node(self) -> str:
        return self.pod.pod.spec.node_name


def bare(container_id: str) -> str:
    """A container id without the runtime's prefix."""
    return container_id.rpartition("://")[2]


def statuses(pod: Pod) -> Iterator[tuple[ContainerStatus, Kind]]:
    """Every container status of a Pod that names an id, with the kind of its container."""
    restartable = {
        spec.name for spec in pod.spec.init_containers or () if spec.restart_policy == "Always"
    }
    for status in pod.status.container_statuses or ():
        if status.container_id:
            yield status, "container"
    for status in pod.status.init_container_statuses or ():
        if status.container_id:
            yield status, "sidecar" if status.name in restartable else "init"
    for status in pod.status.ephemeral_container_statuses or ():
        if status.container_id:
            yield status, "ephemeral"


def is_running(state: ContainerState | None) -> bool:
    """Whether a container's state is running."""
    return state is not None and state.running is not None


def unsupported(pod: Pod, kind: Kind) -> str | None:
    """Why KubeArmor cannot protect such a container (dossier 6.7), None if it can."""
    if kind in UNSUPPORTED_KINDS:
        return UNSUPPORTED_KINDS[kind]
    if pod.spec.host_pid:
        return "host-pid"
    runtime = (pod.spec.runtime_class_name or "").lower()
    return "sandboxed-runtime" if any(name in runtime for name in SANDBOXES) else None


def mode(pod: Pod) -> str:
    """The Pod's own mode: enabled, audited or disabled (dossier 6.1)."""
    value = (pod.metadata.annotations or {}).get(POLICY_ANNOTATION, "")
    return value if value in {"audited", "disabled"} else "enabled"


def exempt(pod: Pod, *, untracked: frozenset[str]) -> str | None:
    """Why KubeArmor by design does not enforce on this Pod (dossier 6.1, 6.2), None if it does."""
    own = mode(pod)
    if own != "enabled":
        return f"annotation-{own}"
    if pod.metadata.namespace == "kube-system" or CILIUM_LABEL in (pod.metadata.labels or {}):
        return "builtin-exception"
    return "untracked-namespace" if pod.metadata.namespace in untracked else None
