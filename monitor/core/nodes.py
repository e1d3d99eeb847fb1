"""A node: its daemon's Pods and incarnations, what of its output was read, and its clock."""

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from monitor.core import facts
from monitor.core.blindness import Source
from monitor.core.evidence import Incarnation
from monitor.core.health import Answers, HealthOfNode
from monitor.core.instants import second_of
from monitor.core.kubernetes import ContainerStatus, Node, Pod
from monitor.core.marks import MarksOfNode
from monitor.core.model import DaemonLine, HealthAnswered, Interval
from monitor.core.node_clock import NodeClock
from monitor.core.overheard import Overheard
from monitor.core.semantics import parse

if TYPE_CHECKING:
    from monitor.core.containers import ContainerRecord

Phase: TypeAlias = Literal["ready", "starting", "down", "replaced", "absent"]

DAEMON_LABEL: Final = ("kubearmor-app", "kubearmor")
ENFORCER_LABEL: Final = "kubearmor.io/enforcer"
DAEMON_CONTAINER: Final = "kubearmor"
REVISION_LABEL: Final = "controller-revision-hash"
TEMPLATE_LABEL: Final = "pod-template-generation"
AWAITED: Final = 5.0
ENDS: Final = frozenset({"stream ended", "container ended"})
"""Why a source of text is down that may just have come to the end of what it reads."""
UNTIMED: Final = 1.0
"""Seconds by which an end may be told late where no status says when it was."""
ENDED_READ: Final = 2
OF_ITS_LIFE: Final = frozenset({facts.LifecycleReported, facts.PodSeen})
ENDED_KEPT: Final = 4
ENDING: Final = frozenset({"terminating", "terminated"})
ALWAYS: Final[Interval] = (0.0, 0.0)


class DaemonPod:
    """A Pod of KubeArmor's daemon bound to the node, as its status shows it."""

    def __init__(self, pod: Pod) -> None:
        self.uid = pod.metadata.uid
        self.namespace = pod.metadata.namespace
        self.name = pod.metadata.name
        self.daemon_set = _daemon_set(pod)
        self.created = second_of(pod.metadata.creation_timestamp) or ALWAYS
        self.pod = pod
        self.deleted_at: float | None = None

    @property
    def deleting(self) -> bool:
        return self.pod.metadata.deletion_timestamp is not None or self.deleted_at is not None

    @property
    def revision(self) -> str:
        """The hash of the template that it was made of, empty if it does not say."""
        return (self.pod.metadata.labels or {}).get(REVISION_LABEL, "")

    @property
    def template(self) -> str:
        """Which of its DaemonSet's templates that was, counted by the API server."""
        return (self.pod.metadata.labels or {}).get(TEMPLATE_LABEL, "")

    @property
    def image_release(self) -> str | None:
        return image_release(self.pod)


def image_release(pod: Pod) -> str | None:
    """What the tag of a daemon's image says, if it is a version."""
    containers = pod.spec.containers or ()
    image = next((c.image for c in containers if c.name == DAEMON_CONTAINER), "")
    tag = image.rsplit("@", 1)[0].rpartition(":")[2] if ":" in image else ""
    return tag if parse(tag) else None


def began_of(incarnation: Incarnation) -> Interval:
    """When an incarnation began: its container's start, else when it was first seen."""
    return incarnation.running or (incarnation.first_seen, incarnation.first_seen)


def _daemon_set(pod: Pod) -> str | None:
    """`namespace/name` of the DaemonSet that a Pod belongs to."""
    for owner in pod.metadata.owner_references or ():
        if owner.controller:
            return f"{pod.metadata.namespace}/{owner.name}"
    return None


class NodeState:
    """Everything known of one node.

    `version` counts what can have changed how the node is seen, but not lines about containers.
    """

    def __init__(self, *, name: str, text: Source) -> None:
        self.name = name
        self.version = 0
        self.node: Node | None = None
        self.marks = MarksOfNode()
        self.text = text
        self.text_broke = False
        self.unresolved: tuple[float, float] | None = None
        self.daemon_pods: dict[str, DaemonPod] = {}
        self.incarnations: dict[tuple[str, int], Incarnation] = {}
        self.containers: dict[str, ContainerRecord] = {}
        self.clock = NodeClock()
        self.overheard: dict[tuple[str, int], Overheard] = {}
        self.health = HealthOfNode()

    def observe(self, node: Node | None, *, since: float, at: float) -> None:
        """Take the state of its object, which may be so since then; None if it was deleted."""
        self.version += 1
        self.node = node
        self.marks.take(node, since=since, at=at)

    # --- the daemon's Pods --------------------------------------------------------------------

    def observe_daemon_pod(self, pod: Pod, *, at: float) -> DaemonPod:
        """Take the state of a daemon Pod bound here: its status ends and begins incarnations."""
        self.version += 1
        known = self.daemon_pods.get(pod.metadata.uid)
        if known is None:
            known = self.daemon_pods[pod.metadata.uid] = DaemonPod(pod)
        known.pod = pod
        for status in pod.status.container_statuses or ():
            if status.name != DAEMON_CONTAINER and len(pod.status.container_statuses or ()) > 1:
                continue
            self._observe_status(known, status, at=at)
        return known

    def _observe_status(self, pod: DaemonPod, status: ContainerStatus, *, at: float) -> None:
        restart = status.restart_count
        running = getattr(status.state, "running", None)
        terminated = getattr(status.state, "terminated", None)
        if running is not None:
            started = second_of(running.started_at)
            incarnation = self.incarnation(pod.uid, restart)
            if started is not None and incarnation.running is None:
                incarnation.running = (started[0], min(started[1], max(at, started[0])))
                incarnation.first_seen = incarnation.first_seen or at
        elif terminated is not None:
            self.incarnation(pod.uid, restart)
            self._end(pod.uid, restart, second_of(terminated.finished_at), at=at)
        former = getattr(status.last_state, "terminated", None)
        if former is None:
            return
        # While it waits to be started again, the last run has the present count.
        waits = status.begun and running is None and terminated is None
        if waits or restart > 0:
            ended = restart if waits else restart - 1
            self._end(pod.uid, ended, second_of(former.finished_at), at=at)

    def _end(self, uid: str, restart: int, finished: Interval | None, *, at: float) -> None:
        incarnation = self.incarnation(uid, restart)
        incarnation.end((finished[0], min(finished[1], at)) if finished else (at, at))
        if finished is not None:
            incarnation.finished = finished[0]

    def forget_daemon_pod(self, uid: str, *, at: float) -> None:
        """A daemon Pod was deleted: its incarnations are over."""
        self.version += 1
        pod = self.daemon_pods.get(uid)
        if pod is None or pod.deleted_at is not None:
            return
        pod.deleted_at = at
        for incarnation in self.incarnations.values():
            if incarnation.pod_uid == uid:
                incarnation.end((at, at))
        self._forget_old()

    def _forget_old(self) -> None:
        """Let go of incarnations that nothing can refer to any more."""
        gone = [i for i in self.incarnations.values() if i.ended is not None]
        gone.sort(key=self._rank)
        for incarnation in gone[:-ENDED_READ]:
            incarnation.forget()
        for incarnation in gone[:-ENDED_KEPT]:
            del self.incarnations[incarnation.identity]
            if all(i.pod_uid != incarnation.pod_uid for i in self.incarnations.values()):
                self.daemon_pods.pop(incarnation.pod_uid, None)

    # --- incarnations -------------------------------------------------------------------------

    def incarnation(self, pod_uid: str, restart: int) -> Incarnation:
        """Return the incarnation, made if it is new."""
        found = self.incarnations.get((pod_uid, restart))
        if found is None:
            found = Incarnation(node=self.name, pod_uid=pod_uid, restart=restart)
            self.incarnations[pod_uid, restart] = found
            self._forget_old()
        return found

    def _rank(self, incarnation: Incarnation) -> tuple[float, float, int]:
        pod = self.daemon_pods.get(incarnation.pod_uid)
        created = pod.created[0] if pod else incarnation.first_seen
        return (created, incarnation.first_seen, incarnation.restart)

    def latest(self) -> Incarnation | None:
        """The youngest incarnation, alive or not."""
        return max(self.incarnations.values(), key=self._rank, default=None)

    def current(self) -> Incarnation | None:
        """The incarnation that runs now, None if none does; as it was overheard where unread."""
        running = self._running()
        return None if running is None else self._as_heard(running)

    def _as_heard(self, incarnation: Incarnation) -> Incarnation:
        heard = self.overheard.get(incarnation.identity)
        if heard is None:
            return incarnation
        heard.incarnation.ended = incarnation.ended
        return heard.incarnation

    def _running(self) -> Incarnation | None:
        if len(self.incarnations) == 1:
            (only,) = self.incarnations.values()
            return only if only.ended is None and (only.running or only.lines) else None
        alive = [
            i for i in self.incarnations.values() if i.ended is None and (i.running or i.lines)
        ]
        return max(alive, key=self._rank, default=None)

    def _standing_pods(self) -> Iterator[DaemonPod]:
        return (pod for pod in self.daemon_pods.values() if pod.deleted_at is None)

    def phase(self, *, now: float, start_assumed: float) -> tuple[Phase, Interval]:
        """What the daemon does at `now`, and since when."""
        current = self.current()
        if current is not None:
            ready = self.ready_since(current, start_assumed=start_assumed)
            if ready is not None and ready[1] <= now:
                return "ready", ready
            return "starting", current.running or (current.first_seen, current.first_seen)
        standing = list(self._standing_pods())
        if not standing:
            gone = [
                pod.deleted_at for pod in self.daemon_pods.values() if pod.deleted_at is not None
            ]
            return "absent", (max(gone), max(gone)) if gone else ALWAYS
        latest = self.latest()
        if latest is not None and latest.ended is not None:
            return ("replaced" if self._is_replaced(latest) else "down"), latest.ended
        created = min(pod.created for pod in standing)
        return "down", created

    def _is_replaced(self, incarnation: Incarnation) -> bool:
        if self.ran_again(incarnation):
            return False
        pod = self.daemon_pods.get(incarnation.pod_uid)
        younger = (
            any(other.created > pod.created for other in self.daemon_pods.values())
            if pod is not None
            else False
        )
        return younger or (pod is not None and pod.deleting)

    def successor(self, pod: DaemonPod) -> DaemonPod | None:
        """The daemon Pod that was created here next after that one."""
        younger = [other for other in self.daemon_pods.values() if other.created > pod.created]
        return min(younger, key=lambda other: other.created, default=None)

    def ran_again(self, incarnation: Incarnation) -> bool:
        """Whether the same Pod's daemon has been started once more since."""
        uid, restart = incarnation.identity
        return any(one == uid and other > restart for one, other in self.incarnations)

    def past(self) -> list[Incarnation]:
        """The incarnations that ended, the latest first."""
        ended = [self._as_heard(i) for i in self.incarnations.values() if i.ended is not None]
        if len(ended) > 1:
            ended.sort(key=self._rank, reverse=True)
        return ended

    def ending(self, identity: tuple[str, int]) -> tuple[str, Interval] | None:
        """Why and when that incarnation ended; None while it runs."""
        incarnation = self.incarnations.get(identity)
        if incarnation is None or incarnation.ended is None:
            return None
        cause = "daemon-replaced" if self._is_replaced(incarnation) else "daemon-down"
        return cause, incarnation.ended

    def ready_since(self, incarnation: Incarnation, *, start_assumed: float) -> Interval | None:
        """When that incarnation had initialised; None if it has not.

        Where its output does not show it: what its health service showed, else its start and a
        generous time more.
        """
        if incarnation.initialized_at is not None:
            return incarnation.initialized_at
        if self.could_have_read(incarnation):
            return None
        began = began_of(incarnation)
        assumed = began[1] + start_assumed
        answers = self.answers(incarnation)
        if answers is None:
            return (assumed, assumed)
        return answers.ready(began=began[0], assumed=assumed)

    def answers(self, incarnation: Incarnation) -> Answers | None:
        """What its health service showed of a start that its output does not show.

        A daemon that handles Pods, or whose messages are heard, has started, whatever it answered.
        """
        if incarnation.initialized_at is not None or self.could_have_read(incarnation):
            return None
        answers = self.health.of(incarnation.identity, began=began_of(incarnation)[0])
        if answers is None or answers.served is not None:
            return answers
        return None if incarnation.last_pod_position or incarnation.overheard else answers

    def take_health(self, answer: HealthAnswered, *, at: float) -> bool:
        """Take what a daemon's health service says of its start; whether it is anything new."""
        self.version += 1
        return self.health.take(answer, at=at)

    def seen_starting(self, incarnation: Incarnation, *, now: float) -> float | None:
        """When its health service last said that it has not initialised, if that still counts."""
        answers = self.answers(incarnation)
        return answers.starting if answers is not None and now < answers.starting_until else None

    def could_have_read(self, incarnation: Incarnation) -> bool:
        """Whether its output is being read from the first line on."""
        return incarnation.read_whole and self.text.up and self.unresolved is None

    def pod_name(self, uid: str) -> str:
        """The `namespace/name` of a daemon Pod, empty if it is not known."""
        pod = self.daemon_pods.get(uid)
        return f"{pod.namespace}/{pod.name}" if pod else ""

    def daemon_set(self) -> str | None:
        """The DaemonSet that the daemon's Pods here belong to."""
        sets = (pod.daemon_set for pod in self.daemon_pods.values())
        return next((name for name in sets if name is not None), None)

    def awaited_until(self, incarnation: Incarnation) -> float:
        """Until when it is no wonder that nothing was read yet of an incarnation."""
        return began_of(incarnation)[1] + AWAITED

    def follows(self, incarnation: Incarnation, *, now: float) -> bool:
        """Whether all that it can have done was seen although its output is not read whole.

        So it is where the output is awaited since the one before ended, and where it has done
        nothing yet because it is still starting. What messages tell of it meanwhile does not make
        it one that is not read.
        """
        unheard = self.incarnations[incarnation.identity]
        if self.seen_starting(incarnation, now=now) is not None:
            return True
        if unheard.lines or unheard.holes or not self.text.outages:
            return False
        return not self._missed_the_end() and now <= self.awaited_until(unheard)

    def _missed_the_end(self) -> bool:
        """Whether the output was unread when the last incarnation ended, not because it ended.

        A stream that ends with its container does so no sooner, nor does it break.
        """
        ended = [i for i in self.incarnations.values() if i.ended is not None]
        last = max(ended, key=lambda i: i.ended or ALWAYS, default=None)
        if last is None or last.ended is None:
            return False
        earliest, latest = last.ended
        began, until = (self.text.since, inf) if not self.text.up else self.text.outages[-1]
        if until < earliest:
            return False
        if self.text_broke:
            return began < latest
        if last.finished is None:
            return began < earliest - UNTIMED
        return began < last.finished + min(self.clock.soonest, 0.0)

    # --- text ---------------------------------------------------------------------------------

    def text_up(self, *, at: float, reason: str) -> None:
        """The output can be read again; whether something is missing, the next line tells."""
        self.version += 1
        blind_since = self.text.since
        if not self.text.rise(at=at, reason=reason):
            return
        if reason == "resumed":
            self.overheard = {}
        else:
            self.unresolved = (blind_since, at)

    def text_down(self, *, at: float, reason: str) -> None:
        """The output cannot be read."""
        self.version += 1
        if not self.text.fall(at=at, reason=reason):
            return
        self.text_broke = reason not in ENDS
        if self.unresolved is not None:
            self._admit_hole(self.unresolved)

    def _admit_hole(self, hole: tuple[float, float]) -> None:
        self.version += 1
        current = self._running()
        if current is not None and current.lines:
            current.holes.append(hole)
        self.unresolved = None

    def read(self, line: DaemonLine, *, at: float) -> tuple[Incarnation, str | None] | None:
        """Take a line; None if it says nothing new. Returns the container that it is about."""
        incarnation = self.incarnations.get((line.pod_uid, line.restart))
        if incarnation is None:
            incarnation = self.incarnation(line.pod_uid, line.restart)
        if self.overheard and incarnation is self.latest():
            self.version += 1
            self.overheard = {}
        if line.stamp <= incarnation.last_position:
            self._reread(incarnation)
            return None
        if incarnation.lines == 0:
            incarnation.pod = line.pod
            incarnation.first_position = line.stamp
            self._open(incarnation, line, at=at)
        elif self.unresolved is not None and incarnation is self.latest():
            self._admit_hole(self.unresolved)
        clock = self.clock
        if not clock.is_prompt or at - line.stamp / 1e9 < clock.upper:
            clock.compare(line.stamp, at=at, since=self.text.since)
        if incarnation.terminated:
            incarnation.last_position = line.stamp
            return None
        if type(line.fact) in OF_ITS_LIFE:
            self._note_life(incarnation, line, at=at)
        subject = incarnation.fold(line, at)
        if subject is None:
            self.version += 1
        return incarnation, subject

    def _reread(self, incarnation: Incarnation) -> None:
        """A line came again: so nothing is missing between it and what was read before."""
        if self.unresolved is not None and incarnation is self.latest():
            self.version += 1
            self.unresolved = None

    def overhear(
        self, fact: facts.Fact, *, stamp: int, at: float
    ) -> tuple[Incarnation, str | None] | None:
        """Take what the message feed repeats of the daemon's output; None where it says nothing.

        It counts only while the output itself is unread, and not between the end of an incarnation
        and its successor's start (design, section 3): a message does not say whose it is.
        """
        running = self._running()
        if running is None or (self.text.up and self.unresolved is None):
            return None
        if running.running and self.clock.instant(stamp)[1] < running.running[0]:
            return None
        self.version += 1
        if isinstance(fact, facts.LifecycleReported) and fact.phase in ENDING:
            running.end(self.clock.instant(stamp))
            return running, None
        heard = self.overheard.get(running.identity)
        if heard is None:
            heard = Overheard(running, since=self.text.since, at=at)
            self.overheard = {
                i: kept for i, kept in self.overheard.items() if i in self.incarnations
            }
            self.overheard[running.identity] = heard
        return heard.take(fact, clock=self.clock, stamp=stamp, at=at)

    def _open(self, incarnation: Incarnation, line: DaemonLine, *, at: float) -> None:
        self.version += 1
        incarnation.first_seen = incarnation.first_seen or at
        incarnation.opened = facts.opens(line.fact)
        if not incarnation.opened:
            incarnation.holes.append((0.0, at))
        if incarnation is self.latest():
            self.unresolved = None
        rank = self._rank(incarnation)
        for other in self.incarnations.values():
            if other is not incarnation and self._rank(other) < rank:
                other.end((other.last_at or at, at))

    def _note_life(self, incarnation: Incarnation, line: DaemonLine, *, at: float) -> None:
        """Note what a line says of the daemon's own start and end."""
        fact = line.fact
        if isinstance(fact, facts.LifecycleReported):
            if fact.phase == "initialized":
                incarnation.initialized = line.stamp
                incarnation.initialized_at = self.clock.instant(line.stamp, at=at)
                incarnation.knowledge += 1
            elif fact.phase in ENDING:
                incarnation.end(self.clock.instant(line.stamp, at=at))
                incarnation.terminated = True
        elif not incarnation.opened and incarnation.initialized_at is None:
            incarnation.initialized_at = incarnation.running or (0.0, at)

    def has_address(self, address: str) -> bool:
        """Whether one of the node's addresses is that one."""
        known = self.node.status.addresses if self.node is not None else None
        return any(one.address == address for one in known or ())

    def is_beyond_reach(self) -> bool:
        """Whether no daemon can protect it: Windows, or a node that is no machine."""
        if self.node is None:
            return False
        labels = self.node.metadata.labels or {}
        system = self.node.status.node_info
        return (
            labels.get("kubernetes.io/os") == "windows"
            or (system is not None and system.operating_system == "windows")
            or labels.get("type") == "virtual-kubelet"
        )

    # --- the release --------------------------------------------------------------------------

    def learn_release(self, release: str) -> None:
        """Take what an alert says that its daemon runs."""
        incarnation = self.current()
        if incarnation is not None and incarnation.alert_release != release:
            self.version += 1
            incarnation.alert_release = release
            incarnation.knowledge += 1

    def release(self, incarnation: Incarnation | None) -> str | None:
        """What its daemon runs, by the best source at hand; while none runs, what the last ran."""
        if incarnation is None:
            incarnation = self.latest()
        if incarnation is None:
            return None
        if incarnation.release is not None:
            return incarnation.release
        if incarnation.alert_release is not None:
            return incarnation.alert_release
        return self.image_release(incarnation)

    def image_release(self, incarnation: Incarnation) -> str | None:
        """What the tag of the daemon's image says, if it is a version."""
        pod = self.daemon_pods.get(incarnation.pod_uid)
        return pod.image_release if pod else None
