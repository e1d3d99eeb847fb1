"""What a daemon's output tells, folded line by line.

KubeArmor's state is per node and lives as long as one incarnation of the node's daemon: (Pod uid,
restart count). The order of its own lines is the only order used here; a position is the kubelet's
stamp of the line in nanoseconds, which rises strictly within an incarnation. Receive times (`at`)
serve to relate a line to what the API server told us, with slack, never to order lines.

A write of a container's rules (`Updating container rules`) follows either from a Pod event or from
a policy event. The Pod handler is one goroutine that prints `Detected a Pod` before it evaluates:
a write that is the first since such a line carries what was known at that line (`Write.basis`);
any other carries what was known when it was printed. Lines name containers, never policies.
"""

from array import array
from collections.abc import Callable, Mapping
from sys import intern
from typing import ClassVar, Final

from monitor.core import facts
from monitor.core.facts import Fact, ObjectAction
from monitor.core.model import DaemonLine, Interval

PolicyKey = tuple[str, str, str]  # kind, namespace, name
POD_LINES_KEPT: Final = 8
LINES_OF_A_NAME_KEPT: Final = 256
LINES_OF_A_POLICY_KEPT: Final = 256
"""The latest, besides the first: after so many touches of a policy the others decide nothing."""
LIST_FAILURES_KEPT: Final = 64
REFUSALS_KEPT: Final = 64
SHORT_ID: Final = 12
AT_ONCE: Final = 1_000_000_000
HANDLED_WITHIN: Final = 2_000_000_000
"""In nanoseconds: what the look-ups of one Pod take, ten even at five a second (dossier 7.4)."""
QUEUE_IS_MOVING: Final = 10.0
"""Seconds between two lines about Pods within which a daemon is at work through its queue."""


class LearnedLine:
    """A policy's line: where it stands, what it says, when we received it.

    `number`: how many lines about the policy came before, since it was added.
    """

    __slots__ = ("action", "at", "number", "position")

    def __init__(self, *, position: int, action: str, at: float, number: int) -> None:
        self.position = position
        self.action = action
        self.at = at
        self.number = number


class ContainerEvidence:
    """The lines about one container in one incarnation: positions, 0 for no such line.

    `drawn`: the line of a Pod that the latest write but the first came of which no policy can have
    been the cause.
    """

    __slots__ = (
        "clean_write",
        "created",
        "deleted",
        "drawn",
        "error",
        "failed",
        "failed_step",
        "first_write",
        "latest_write",
        "previous_write",
        "raced_from",
        "raced_until",
        "registered",
        "removed",
        "shares_namespaces",
        "write_at",
        "zero_namespaces",
    )

    def __init__(self) -> None:
        self.registered = 0
        self.removed = 0
        self.zero_namespaces = False
        self.shares_namespaces = ""
        self.first_write = 0
        self.latest_write = 0
        self.previous_write = 0
        self.write_at = 0.0
        self.drawn = 0
        self.raced_from = 0
        self.raced_until = 0
        self.created = 0
        self.deleted = 0
        self.failed = 0
        self.failed_step = ""
        self.error = ""
        self.clean_write = 0

    @property
    def map_is_live(self) -> bool:
        """Whether the last word about its rule map is that it exists."""
        return self.created > self.deleted and self.created > self.refused

    @property
    def has_stopped(self) -> bool:
        """Whether the runtime has reported its end, and no start since."""
        return self.removed > max(self.created, self.registered)

    @property
    def is_incomplete(self) -> bool:
        """Whether the kernel refused an entry of the latest write: what came before it stays."""
        return self.failed_step == "inner" and self.failed > self.latest_write

    @property
    def refused(self) -> int:
        """Where the kernel refused the container's map; a single refused rule leaves the map."""
        return self.failed if self.failed_step in {"create", "outer"} else 0


class Incarnation:
    """One life of a node's daemon, as its output and its Pod's status show it."""

    def __init__(self, *, node: str, pod_uid: str, restart: int, pod: str = "") -> None:
        self.node = node
        self.pod_uid = pod_uid
        self.restart = restart
        self.identity = (pod_uid, restart)
        self.pod = pod
        self.running: Interval | None = None
        self.ended: Interval | None = None
        self.finished: float | None = None
        self.first_seen = 0.0
        self.lines = 0
        self.first_position = 0
        self.last_position = 0
        self.last_at = 0.0
        self.opened = False
        self.overheard = False
        self.terminated = False
        self.holes: list[tuple[float, float]] = []
        self.initialized = 0
        self.initialized_at: Interval | None = None
        self.release: str | None = None
        self.alert_release: str | None = None
        self.enforcer: str | None = None
        self.enforcer_reason = ""
        self.container_source: str | None = None
        self.protects: dict[str, bool] = {}
        self.node_mode: str | None = None
        self.host_name: str | None = None
        self.settings: dict[str, str] = {}
        self.policies: dict[PolicyKey, list[LearnedLine]] = {}
        self.names: dict[str, list[tuple[int, ObjectAction, PolicyKey]]] = {}
        self.refusals: list[tuple[int, str]] = []
        self.list_failures: list[int] = []
        self.lost_at = 0.0
        self._emptied: dict[str, int] = {}
        self._holders: dict[tuple[int, int], str] = {}
        self.profiles: dict[str, int] = {}
        self.failed_profiles: dict[str, tuple[int, str]] = {}
        self.namespaces: dict[str, int] = {}
        self.pods: dict[tuple[str, str], array[int]] = {}
        self.last_pod_at = 0.0
        self.pods_since = 0.0
        self.first_pod_position = 0
        self.last_pod_position = 0
        self.last_of_kind: dict[str, LearnedLine] = {}
        self.containers: dict[str, ContainerEvidence] = {}
        self.dead_watches: dict[str, str] = {}
        self._latest_lines = (0, 0)
        self.knowledge = 0
        self._learned: set[frozenset[PolicyKey]] = set()
        self.latest_lines: dict[
            tuple[frozenset[PolicyKey], str], tuple[tuple[int, int], int | None]
        ] = {}

    def end(self, instant: Interval) -> None:
        """It is over; the earliest end that anything shows counts, of equal ones the vaguer."""
        if self.ended is None or instant[::-1] < self.ended[::-1]:
            self.ended = instant

    def forget(self) -> None:
        """Let go of what it had applied: too long ago to matter."""
        self.containers = {}
        self._emptied = {}
        self._holders = {}
        self.pods = {}
        self.latest_lines = {}
        self._learned = set()

    @property
    def read_whole(self) -> bool:
        """Whether its output was read from the first line on without a hole."""
        return self.opened and not self.holes

    @property
    def handles_its_first_pod(self) -> bool:
        """Whether its latest line is the first about a Pod: so it has started."""
        return self.first_pod_position == self.last_position

    @property
    def last_hole(self) -> float | None:
        """When the last hole of its output ended; None if there is none."""
        return max((end for _, end in self.holes), default=None)

    def container(self, container_id: str) -> ContainerEvidence | None:
        return self.containers.get(container_id[:SHORT_ID])

    def has_learned(self, keys: frozenset[PolicyKey]) -> bool:
        """Whether there are lines about all of these policies."""
        if keys in self._learned:
            return True
        if keys <= self.policies.keys():
            self._learned.add(keys)
            return True
        return False

    def pod_line_before(self, pod: tuple[str, str], position: int) -> int:
        """The position of the last line about that Pod before `position`, 0 for none."""
        lines = self.pods.get(pod, ())
        return max((stamp for stamp in lines[::2] if stamp < position), default=0)

    def pod_line_since(self, pod: tuple[str, str], at: float) -> int | None:
        """The position of the first line about that Pod received at or after `at`."""
        lines = self.pods.get(pod, ())
        since = at * 1e9
        return next((lines[i] for i in range(0, len(lines), 2) if lines[i + 1] >= since), None)

    def basis(self, evidence: ContainerEvidence, pod: tuple[str, str]) -> int:
        """Up to which position the latest write of a container carries what the daemon knew."""
        caused_by_pod = self.pod_line_before(pod, evidence.latest_write)
        return caused_by_pod if caused_by_pod > evidence.previous_write else evidence.latest_write

    def applied(self, evidence: ContainerEvidence, pod: tuple[str, str], *, learned: int) -> int:
        """The write that first brought a container what the daemon knew at `learned`, if it did.

        What was known when the Pod was handled came with the map, or where no rule makes one with
        the first write; what was not, we cannot tell from a later push of the same, came with the
        latest write.
        """
        first = evidence.created or evidence.first_write
        came_with_first = 0 < learned < self.pod_line_before(pod, first)
        return first if came_with_first else evidence.latest_write

    def is_raced(self, evidence: ContainerEvidence, pod: tuple[str, str]) -> bool:
        """Whether two policies were handled at one moment, and the Pod not since (F24)."""
        if not evidence.raced_from:
            return False
        return self.pod_line_before(pod, evidence.latest_write) <= evidence.raced_until

    def fold(self, line: DaemonLine, at: float) -> str | None:
        """Take one line that is later than all before; return the container it is about, if any."""
        self.lines += 1
        self.last_position = line.stamp
        self.last_at = at
        fact = line.fact
        read = self._FOLDS.get(type(fact))
        return read(self, fact, line.stamp, at) if read else None

    def _evidence(self, container_id: str) -> ContainerEvidence:
        key = container_id[:SHORT_ID]
        found = self.containers.get(key)
        if found is None:
            found = self.containers[key] = ContainerEvidence()
        return found

    def _registered(self, fact: facts.ContainerRegistered, position: int, _at: float) -> str:
        evidence = self._evidence(fact.container_id)
        evidence.registered = position
        evidence.zero_namespaces = fact.pid_namespace == 0 or fact.mount_namespace == 0
        evidence.shares_namespaces = self._other_holder(fact)
        return fact.container_id

    def _other_holder(self, fact: facts.ContainerRegistered) -> str:
        """The container that was registered with these namespaces and not removed since (F30)."""
        if not fact.pid_namespace or not fact.mount_namespace:
            return ""
        identity = fact.container_id[:SHORT_ID]
        namespaces = (fact.pid_namespace, fact.mount_namespace)
        holder = self._holders.get(namespaces, identity)
        self._holders[namespaces] = identity
        other = self.containers.get(holder)
        alive = other is not None and other.registered > other.removed
        return holder if alive and holder != identity else ""

    def _removed(self, fact: facts.ContainerRemoved, position: int, _at: float) -> str:
        self._evidence(fact.container_id).removed = position
        return fact.container_id

    def _updating(self, fact: facts.RulesUpdating, position: int, at: float) -> str:
        evidence = self._evidence(fact.container_id)
        if self._latest_lines[0] and self._latest_lines[1]:
            self._note_race(evidence)
        former, seen = evidence.latest_write, self.last_pod_position
        if not former:
            evidence.first_write = position
        elif former < seen and position < seen + HANDLED_WITHIN:
            own, everywhere = self._latest_lines
            if own + HANDLED_WITHIN < seen and everywhere + HANDLED_WITHIN < seen:
                evidence.drawn = seen
        if not evidence.failed or not evidence.is_incomplete:
            evidence.clean_write = former
        evidence.previous_write = former
        evidence.latest_write = position
        evidence.write_at = at
        return fact.container_id

    def _note_race(self, evidence: ContainerEvidence) -> None:
        """Two policies of different kinds, announced together, without a write in between (F24)."""
        first, second = self._latest_lines
        if second < first:
            first, second = second, first
        if 0 < evidence.latest_write < first and second - first < AT_ONCE:
            evidence.raced_from, evidence.raced_until = first, second

    def _created(self, fact: facts.MapCreated, position: int, _at: float) -> str:
        self._evidence(fact.container_id).created = position
        if self._emptied:
            self._emptied.pop(fact.container_id[:SHORT_ID], None)
        return fact.container_id

    def _deleted(self, fact: facts.MapDeleted, position: int, _at: float) -> str:
        evidence = self._evidence(fact.container_id)
        if 0 < evidence.created < evidence.deleted:
            self._emptied.setdefault(fact.container_id[:SHORT_ID], evidence.deleted)
        evidence.deleted = position
        return fact.container_id

    def emptied(self, container_id: str) -> int:
        """Where a container's map was deleted, not where that was said again at a later push."""
        evidence = self.containers.get(container_id[:SHORT_ID])
        latest = evidence.deleted if evidence is not None else 0
        return self._emptied.get(container_id[:SHORT_ID], latest)

    def _failed(self, fact: facts.MapFailed, position: int, _at: float) -> str:
        evidence = self._evidence(fact.container_id)
        evidence.failed = position
        evidence.failed_step = fact.step
        evidence.error = fact.error
        return fact.container_id

    def _policy(self, fact: facts.PolicyLearned, position: int, at: float) -> None:
        key = (fact.kind, fact.namespace, fact.name)
        lines = self.policies.setdefault(key, [])
        if fact.action == "added":
            lines.clear()
        number = lines[-1].number + 1 if lines else 0
        lines.append(LearnedLine(position=position, action=fact.action, at=at, number=number))
        del lines[1:-LINES_OF_A_POLICY_KEPT]
        self._note_name(position, fact.action, key)
        self.last_of_kind[fact.kind] = lines[-1]
        self.knowledge += 1
        if fact.kind == "KubeArmorPolicy":
            self._latest_lines = (position, self._latest_lines[1])
        elif fact.kind == "KubeArmorClusterPolicy":
            self._latest_lines = (self._latest_lines[0], position)

    def _note_name(self, position: int, action: ObjectAction, key: PolicyKey) -> None:
        """Keep the lines of a name in their order; what repeats itself for a sole bearer, once.

        As many as `LINES_OF_A_NAME_KEPT` tell that some are missing.
        """
        lines = self.names.setdefault(key[2], [])
        if all(other == key for _, _, other in lines):
            if action == "added":
                lines.clear()
            elif lines and lines[-1][1] == action:
                lines.pop()
        lines.append((position, action, key))
        del lines[:-LINES_OF_A_NAME_KEPT]

    def _policy_rejected(self, fact: facts.PolicyRejected, position: int, _at: float) -> None:
        self.refusals.append((position, fact.error))
        del self.refusals[:-REFUSALS_KEPT]

    def _events_lost(self, _fact: facts.EventsLost, _position: int, at: float) -> None:
        self.lost_at = at

    def _list_failed(self, _fact: facts.NamespaceListFailed, position: int, _at: float) -> None:
        self.list_failures.append(position)
        del self.list_failures[:-LIST_FAILURES_KEPT]

    def _profile_updated(self, fact: facts.ProfileUpdated, position: int, _at: float) -> None:
        self.profiles[fact.profile] = position

    def _profile_failed(self, fact: facts.ProfileFailed, position: int, _at: float) -> None:
        self.failed_profiles[fact.profile] = (position, fact.error)

    def _pod(self, fact: facts.PodSeen, position: int, at: float) -> None:
        key = (intern(fact.namespace), intern(fact.name))
        if at - self.last_pod_at >= QUEUE_IS_MOVING:
            self.pods_since = at
        self.last_pod_at, self.last_pod_position = at, position
        if not self.first_pod_position:
            self.first_pod_position = position
        if fact.action == "deleted":
            self.pods.pop(key, None)
            return
        lines = self.pods.get(key)
        if lines is None:
            lines = self.pods[key] = array("q")
        lines.append(position)
        lines.append(int(at * 1e9))
        if len(lines) > 2 * POD_LINES_KEPT:
            del lines[2:4]

    def _namespace(self, fact: facts.NamespaceConfigured, position: int, _at: float) -> None:
        if self.namespaces.setdefault(fact.namespace, position) == position:
            self.knowledge += 1

    def _enforcer(self, fact: facts.EnforcerReported, _position: int, _at: float) -> None:
        self.enforcer = fact.enforcer
        self.knowledge += 1
        self.enforcer_reason = fact.reason

    def _protection(self, fact: facts.ProtectionReported, _position: int, _at: float) -> None:
        self.protects[fact.subject] = fact.active

    def _node_named(self, fact: facts.NodeNamed, _position: int, _at: float) -> None:
        self.host_name = fact.name

    def _node_mode(self, fact: facts.NodeModeReported, _position: int, _at: float) -> None:
        self.node_mode = fact.mode

    def _source(self, fact: facts.ContainerSourceReported, _position: int, _at: float) -> None:
        self.container_source = fact.state

    def _release(self, fact: facts.ReleaseReported, _position: int, _at: float) -> None:
        self.release = fact.release
        self.knowledge += 1

    def _configuration(self, fact: facts.ConfigurationReported, _position: int, _at: float) -> None:
        self.settings = dict(fact.settings)

    def _watch(self, fact: facts.WatchReported, _position: int, _at: float) -> None:
        if fact.state == "dead":
            self.dead_watches[fact.resource] = fact.reason
        else:
            self.dead_watches.pop(fact.resource, None)

    _FOLDS: ClassVar[Mapping[type[Fact], Callable[..., str | None]]] = {
        facts.ContainerRegistered: _registered,
        facts.ContainerRemoved: _removed,
        facts.RulesUpdating: _updating,
        facts.MapCreated: _created,
        facts.MapDeleted: _deleted,
        facts.MapFailed: _failed,
        facts.PolicyLearned: _policy,
        facts.PolicyRejected: _policy_rejected,
        facts.PodSeen: _pod,
        facts.NamespaceListFailed: _list_failed,
        facts.EventsLost: _events_lost,
        facts.ProfileUpdated: _profile_updated,
        facts.ProfileFailed: _profile_failed,
        facts.NamespaceConfigured: _namespace,
        facts.EnforcerReported: _enforcer,
        facts.ProtectionReported: _protection,
        facts.NodeNamed: _node_named,
        facts.NodeModeReported: _node_mode,
        facts.ContainerSourceReported: _source,
        facts.ReleaseReported: _release,
        facts.ConfigurationReported: _configuration,
        facts.WatchReported: _watch,
    }
