"""What the core is told (observations) and what it answers (announcements).

All values are frozen. Instants are Unix seconds (float, UTC). An interval is `(earliest, latest)`.
Container ids are the bare hex digits, without the runtime's prefix.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from monitor.core.facts import Fact
from monitor.core.kubernetes import Object, Resource

Interval: TypeAlias = tuple[float, float]
Verdict: TypeAlias = Literal[
    "pending", "covered", "gap", "lost", "exempt", "unsupported", "unknown", "excess", "unpoliced"
]
Grade: TypeAlias = Literal["proven", "applied", "inferred"]
Severity: TypeAlias = Literal["page", "info"]


# --- observations ---------------------------------------------------------------------------


class SourceUp(Struct, frozen=True, gc=False):
    """A source can be read; precedes its list or its backlog. Names: design, traces."""

    name: str
    reason: str = ""


class SourceDown(Struct, frozen=True, gc=False):
    """A source cannot be read any more: what happens there from now on goes unseen."""

    name: str
    reason: str = ""


class Listed(Struct, frozen=True):
    """All objects of a resource: what is missing was deleted."""

    resource: Resource
    items: tuple[Object, ...]


class Changed(Struct, frozen=True):
    """One watch event."""

    resource: Resource
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class DaemonLine(Struct, frozen=True, gc=False):
    """A line of a daemon's output.

    `stamp` is the kubelet's time of the line in nanoseconds, strictly rising per (pod_uid, restart,
    container); the daemon's own goes back at times and is not kept.
    """

    node: str
    pod: str
    pod_uid: str
    restart: int
    container: str
    stamp: int
    fact: Fact


class Alert(Struct, frozen=True, gc=False):
    """A policy match (or a throttling notice) as KubeArmor's feed reports it (dossier 4)."""

    via: str
    host_name: str
    namespace: str
    pod: str
    container_id: str
    container: str
    policy: str
    type: str
    operation: str
    source: str
    resource: str
    data: str
    action: str
    result: str
    enforcer: str
    release: str
    updated: float
    dropping_seconds: int = 0


class Log(Struct, frozen=True, gc=False):
    """An event that no policy matched."""

    via: str
    host_name: str
    namespace: str
    pod: str
    container_id: str
    container: str
    type: str
    operation: str
    source: str
    resource: str
    data: str
    result: str
    updated: float


class Message(Struct, frozen=True, gc=False):
    """A line of a daemon's output as its message feed repeats it (only where debug is on)."""

    via: str
    host_name: str
    host_ip: str
    updated: float
    fact: Fact


class HealthAnswered(Struct, frozen=True, gc=False):
    """A daemon's health service answered (dossier 1.3): for that incarnation, as we knew it.

    `serving`: it serves its feeds, so it has initialised; else it is still starting. A service that
    cannot be reached, or that does not answer, makes no observation: it shows nothing.
    """

    node: str
    pod_uid: str
    restart: int
    serving: bool


Observation: TypeAlias = (
    SourceUp | SourceDown | Listed | Changed | DaemonLine | Alert | Log | Message | HealthAnswered
)


# --- announcements --------------------------------------------------------------------------


class PolicyReference(Struct, frozen=True, gc=False, omit_defaults=False):
    kind: str
    namespace: str
    name: str
    generation: int


class Reason(Struct, frozen=True, gc=False, rename="camel"):
    """A cause that fits, and what shows it."""

    cause: str
    evidence: str


class PairState(Struct, frozen=True, rename="camel"):
    """A policy as it stands on one container."""

    kind: str
    namespace: str
    name: str
    generation: int
    expected: bool
    predicted: bool | None
    verdict: Verdict
    grade: Grade | None = None
    cause: str | None = None
    since: Interval | None = None
    delay_seconds: Interval | None = None
    rules_without_kernel_form: int = 0
    reasons: tuple[Reason, ...] = ()


class ContainerCoverage(Struct, frozen=True, rename="camel"):
    """A container as it stands; `workload` is `Kind/name` of what made its Pod, or of the Pod."""

    node: str
    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    kind: str
    verdict: Verdict
    cause: str | None
    policies: tuple[PairState, ...]
    exposure_seconds: Interval
    workload: str = ""


class PolicySetState(Struct, frozen=True, rename="camel"):
    """What an id of a set of policy revisions stands for; announced before its first use."""

    id: str
    policies: tuple[PolicyReference, ...]


class CoverageState(Struct, frozen=True, rename="camel"):
    """A container's verdict as it is from now on; of its pairs only those that are not covered."""

    node: str
    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    kind: str
    verdict: Verdict
    cause: str | None
    policy_set: str
    not_covered: tuple[PairState, ...]
    exposure_seconds: Interval


class NodeCoverage(Struct, frozen=True, rename="camel"):
    """A node: its daemon, and the host and network policies that should protect it.

    Its verdict is about the daemon, and where that does its work, about the worst policy that is
    not in force: whoever asks a node for its verdict wants to know whether it is protected.
    """

    node: str
    daemon: dict[str, Any] | None
    release: str | None
    enforcer: str | None
    clock_offset_seconds: Interval | None
    verdict: Verdict
    cause: str | None
    policies: tuple[PairState, ...] = ()


class Gap(Struct, frozen=True, rename="camel"):
    """One opening of one container; a better cause or its end is an update of the same gap.

    `reopened`: how often it was opened again after it had been closed.
    """

    id: str
    state: Literal["open", "closed", "withdrawn"]
    verdict: Literal["gap", "lost"]
    cause: str
    incident: str
    node: str
    namespace: str
    pod: str
    container: str
    container_id: str
    policies: tuple[PolicyReference, ...]
    since: Interval
    until: Interval | None
    reasons: tuple[Reason, ...] = ()
    reopened: int = 0


class Incident(Struct, frozen=True, rename="camel"):
    """The gaps of one cause in one scope.

    `severity`: whether it is to page a person, or is only to be known. `containers`: how many it
    holds now; of a closed one, the most it held at once. `affected`: how many it ever held.
    `reopened`: how often it was opened again after it had been closed.
    """

    id: str
    state: Literal["open", "closed"]
    severity: Severity
    cause: str
    scope: str
    release: str | None
    containers: int
    affected: int
    since: Interval
    until: Interval | None
    remedy: str
    reopened: int = 0


class Finding(Struct, frozen=True, rename="camel"):
    """Something to know that is no gap."""

    id: str
    state: Literal["open", "closed"]
    code: str
    kind: Literal["over-coverage", "intent", "suspicion"]
    subject: str
    since: Interval
    detail: str
    remedy: str


class ContainerTiming(Struct, frozen=True, rename="camel"):
    """When the last expected policy of a container was applied; stages in seconds."""

    container_id: str
    node: str
    namespace: str
    pod: str
    container: str
    policies: tuple[PolicyReference, ...]
    applied: Interval
    protection_delay_seconds: Interval | None
    recovery_delay_seconds: Interval | None
    exposure_seconds: Interval
    stages: dict[str, Interval]


class PolicyTiming(Struct, frozen=True, rename="camel"):
    """When a revision became known to one node's daemon, or (node empty) to all of them."""

    policy: PolicyReference
    node: str
    changed: Interval
    known: Interval
    propagation_seconds: Interval
    written: Interval | None


class ProofTiming(Struct, frozen=True, rename="camel"):
    """When a policy's effect on a container was first reported; the last stage of its way."""

    container_id: str
    node: str
    namespace: str
    pod: str
    container: str
    policy: PolicyReference
    stages: dict[str, Interval]


class ContainerGone(Struct, frozen=True, gc=False, rename="camel"):
    """The container no longer runs: its coverage is withdrawn from the latest-state topic."""

    pod_uid: str
    container: str
    container_id: str


class SourceState(Struct, frozen=True, rename="camel"):
    name: str
    state: Literal["up", "down"]
    reason: str
    since: float
    outages: tuple[tuple[float, float | None], ...] = ()


Announcement: TypeAlias = (
    Gap
    | Incident
    | Finding
    | ContainerTiming
    | PolicyTiming
    | ProofTiming
    | PolicySetState
    | CoverageState
    | ContainerGone
    | SourceState
)


class Report(Struct, frozen=True, rename="camel"):
    """The state of the world as the core judges it at one instant."""

    at: float
    cluster: str
    containers: tuple[ContainerCoverage, ...]
    nodes: tuple[NodeCoverage, ...]
    gaps: tuple[Gap, ...]
    incidents: tuple[Incident, ...]
    findings: tuple[Finding, ...]
    sources: tuple[SourceState, ...]


class ContainerOutline(Struct, frozen=True, gc=False):
    """Which container it is, and how it stands: what lists are sorted and filtered by."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    verdict: Verdict


class Outline(Struct, frozen=True):
    """The report but for the pairs of containers, of which a large cluster has a million."""

    at: float
    cluster: str
    containers: tuple[ContainerOutline, ...]
    nodes: tuple[NodeCoverage, ...]
    gaps: tuple[Gap, ...]
    incidents: tuple[Incident, ...]
    findings: tuple[Finding, ...]
    sources: tuple[SourceState, ...]


class Statistics(Struct, frozen=True):
    """Plain numbers for the metrics; keys are label values."""

    coverage_containers: dict[str, int]
    gaps_open: dict[str, int]
    gaps_total: dict[str, int]
    gaps_withdrawn: int
    incidents_open: dict[str, int]
    findings_open: dict[str, int]
    sources: dict[tuple[str, str], int]
    source_outage_seconds: dict[str, float]
    source_last_event: dict[str, float]
    observations: dict[str, int]
    rejected: dict[tuple[str, str], int]
    unrecognised_lines: dict[str, int]
    exposed_container_seconds: float
    termination_exposure_seconds: float
    pending_ages: tuple[float, ...]
    containers: int
    pairs: int
    gaps_paging: dict[str, int] = {}
    host_pairs: dict[str, int] = {}
