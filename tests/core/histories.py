"""Random small histories: a cluster that lives, and daemons that say what real ones would.

`Life` drives a `Story`: each step changes the cluster, and a small model of each node's daemon
(what it has learned, which containers it knows, whose rule maps live) prints the lines that follow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from hypothesis import strategies as st
from msgspec import Struct

from monitor.core.coverage import Coverage, Settings
from monitor.core.kubernetes import Pod, Policy
from monitor.core.model import (
    Alert,
    Announcement,
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Log,
    Observation,
    Report,
)
from tests.core.stories import (
    AUDIT_APT,
    BLOCK_APT,
    BLOCK_YUM,
    FEEDS,
    RESOURCES,
    DaemonOf,
    PodOf,
    PolicyOf,
    Story,
)

Item = TypeVar("Item")
Step: TypeAlias = tuple[str, int, int, float]
Heard: TypeAlias = tuple[float, Observation]

NODES: Final = ("node-a", "node-b")
NAMESPACES: Final = ("shop", "books")
RULES: Final = (BLOCK_APT, BLOCK_YUM, AUDIT_APT)
BLOCKING: Final = (BLOCK_APT, BLOCK_YUM)
ACTIONS: Final = (
    "pod", "pod", "cluster policy", "policy", "touch", "edit", "remove policy", "namespace",
    "relabel", "annotate", "restart container", "terminate", "delete", "kill", "replace", "act",
    "ask", "chatter",
)  # fmt: skip

LAG: Final = 10.0
PAUSES: Final = (0.01, 0.3, 2.0, 15.0, 70.0)


def _steps(actions: Sequence[str]) -> st.SearchStrategy[list[Step]]:
    step = st.tuples(
        st.sampled_from(actions), st.integers(0, 7), st.integers(0, 7), st.sampled_from(PAUSES)
    )
    return st.lists(step, min_size=2, max_size=12)


STEPS: Final = _steps(ACTIONS)
UNEVEN_STEPS: Final = _steps([*ACTIONS, "missed pod", "missed pod", "namespace"])
ROLLING_STEPS: Final = _steps([*ACTIONS, "roll", "replace", "replace"])


class Daemon:
    """What one incarnation of a node's daemon knows."""

    def __init__(self, daemon: DaemonOf) -> None:
        self.daemon = daemon
        self.policies: dict[str, tuple[PolicyOf, frozenset[str]]] = {}
        self.endpoints: dict[str, PodOf] = {}
        self.live: set[str] = set()


class Life:
    """A cluster of two nodes that lives through steps.

    `rules`: what its policies may hold; `deployed`: its daemons are Pods of a DaemonSet, without
    which nothing can be rolled out.
    `unread`: of the second node's daemons only their health services are ever heard.
    """

    def __init__(
        self,
        *,
        release: str,
        deployed: bool = False,
        unread: bool = False,
        rules: Sequence[Mapping[str, Any]] = RULES,
    ) -> None:
        self.release = release
        self.rules = rules
        self.unread = unread
        self.deployed = deployed
        self.story = Story(started=-60.0)
        self.daemons: dict[str, Daemon] = {}
        self.pods: list[PodOf] = []
        self.names = 0
        self._begin()

    def _begin(self) -> None:
        story = self.story
        story.up(*(f"kubernetes/{name}" for name in RESOURCES), reason="listed")
        story.up(*FEEDS, "health/daemons")
        for node in NODES:
            if self.unread and node == NODES[1]:
                story.unheard.add(f"text/{node}")
            else:
                story.up(f"text/{node}")
        self.head = len(story.history)
        for name in ("kube-system", "kubearmor", *NAMESPACES):
            story.namespace(name, age=1000)
        if self.deployed:
            story.deploy()
        for node in NODES:
            story.node(node)
            self._boot(story.daemon(node, release=self.release), node)
        story.until(0)

    def live(self, steps: Iterable[Step]) -> None:
        for action, one, other, pause in steps:
            getattr(self, f"_{action.replace(' ', '_')}")(one, other)
            self.story.wait(pause)

    def in_force(self) -> dict[str, set[str]]:
        """The policies whose rules are in the kernel, by container id."""
        return {
            identity: {p.name for p in self._attached(daemon, pod) if identity in daemon.live}
            for daemon in self.daemons.values()
            for identity, pod in daemon.endpoints.items()
        }

    # --- steps ----------------------------------------------------------------------------------

    def _pod(self, one: int, other: int) -> None:
        self._handle(self._start(one, other), status_first=bool(other & 4))

    def _missed_pod(self, one: int, other: int) -> None:
        """The runtime does not tell the daemon of the Pod's containers."""
        self._start(one, other)

    def _start(self, one: int, other: int) -> PodOf:
        self.names += 1
        pod = self.story.pod(
            f"pod-{self.names}",
            namespace=sorted(self.story.namespaces)[one % len(self.story.namespaces)],
            node=NODES[other % 2],
            containers=("app", "proxy")[: 1 + one % 2],
            labels={"app": "cart"} if other & 2 else {},
        )
        self.pods.append(pod)
        self.story.wait(0.2)
        return pod

    def _cluster_policy(self, one: int, other: int) -> None:
        self._learn(
            self.story.cluster_policy(
                self._name(), rules=self.rules[(one + other) % len(self.rules)]
            )
        )

    def _policy(self, one: int, other: int) -> None:
        labels = {"app": "cart"} if other & 1 else {}
        policy = self.story.policy(
            self._name(),
            namespace=NAMESPACES[one % 2],
            labels=labels,
            rules=self.rules[other % len(self.rules)],
        )
        self._learn(policy)

    def _touch(self, one: int, _other: int) -> None:
        for policy in self._choose(self.story.policies, one):
            self.story.touch(policy)
            self._learn(policy, changed=True)

    def _edit(self, one: int, other: int) -> None:
        for policy in self._choose(self.story.policies, one):
            self.story.edit(policy, rules=self.rules[other % len(self.rules)])
            self._learn(policy, changed=True)

    def _remove_policy(self, one: int, _other: int) -> None:
        for policy in self._choose(self.story.policies, one):
            self.story.remove(policy)
            self.story.wait(0.05)
            for node, daemon in self.daemons.items():
                del daemon.policies[policy.name]
                self.story.learn(policy, action="deleted", node=node)
                self._push_all(daemon)

    def _namespace(self, one: int, _other: int) -> None:
        self.names += 1
        name = f"new-{self.names}-{one}"
        self.story.namespace(name)
        self.story.wait(0.01)
        for node in self.daemons:
            self.story.configure_namespaces(name, node=node)

    def _relabel(self, one: int, other: int) -> None:
        for pod in self._choose(self.pods, one):
            self.story.relabel(pod, **({"app": "cart"} if other & 1 else {"app": "other"}))
            self.story.wait(0.02)
            self._see_again(pod)

    def _annotate(self, one: int, other: int) -> None:
        for pod in self._choose(self.pods, one):
            mode = ("enabled", "audited", "disabled")[other % 3]
            self.story.annotate(pod, kubearmor_policy=mode)
            self.story.wait(0.02)
            self._see_again(pod)

    def _restart_container(self, one: int, _other: int) -> None:
        for pod in self._choose([pod for pod in self.pods if not pod.deleting], one):
            self._forget(pod)
            self.story.restart(pod)
            self.story.wait(0.2)
            self._handle(pod, status_first=False)

    def _terminate(self, one: int, _other: int) -> None:
        for pod in self._choose([pod for pod in self.pods if not pod.deleting], one):
            self.story.terminate(pod)

    def _delete(self, one: int, _other: int) -> None:
        for pod in self._choose(self.pods, one):
            self._forget(pod)
            self.story.delete(pod)
            self.pods.remove(pod)

    def _kill(self, one: int, _other: int) -> None:
        node = NODES[one % 2]
        self.story.kill(node)
        self.story.wait(1)
        self._boot(self.story.revive(node), node)

    def _replace(self, one: int, _other: int) -> None:
        node = NODES[one % 2]
        self._boot(self.story.replace(node), node)

    def _roll(self, _one: int, _other: int) -> None:
        self.story.roll(self._name())

    def _act(self, one: int, _other: int) -> None:
        """Something forbidden is tried in a container, and is refused if rules are in force."""
        for pod in self._choose([pod for pod in self.pods if pod.containers], one):
            daemon = self.daemons[pod.node]
            for policy in self._attached(daemon, pod):
                if pod.id in daemon.live and policy.spec["action"] == "Block":
                    path = policy.spec["process"]["matchPaths"][0]["path"]
                    self.story.alert(pod, policy=policy.name, Resource=path)

    def _ask(self, one: int, _other: int) -> None:
        """A node's daemon is asked whether it serves."""
        self.story.serves(NODES[one % 2])

    def _chatter(self, one: int, other: int) -> None:
        """A daemon says something unheard of, or that events were lost: neither is about rules."""
        said = ("Something that no release says", "Lost Perf Events Count : 7")
        self.story.say(said[other % 2], node=NODES[one % 2])

    def _name(self) -> str:
        self.names += 1
        return f"policy-{self.names}"

    @staticmethod
    def _choose(items: Sequence[Item], number: int) -> list[Item]:
        """One of the items, none if there is none."""
        return [items[number % len(items)]] if items else []

    # --- daemons --------------------------------------------------------------------------------

    def _boot(self, incarnation: DaemonOf, node: str) -> None:
        daemon = self.daemons[node] = Daemon(incarnation)
        for policy in self.story.policies:
            daemon.policies[policy.name] = (policy, frozenset(self.story.namespaces))
        self.story.wait(0.5)
        self.story.serves(node, serving=False)
        self.story.wait(0.5)
        self.story.boot(node)
        for pod in self.pods:
            if pod.node == node and pod.containers:
                self.story.wait(0.05)
                self._handle(pod, status_first=False)

    def _handle(self, pod: PodOf, *, status_first: bool) -> None:
        """The runtime and the API server tell the daemon of a Pod's containers."""
        daemon = self.daemons[pod.node]
        if not status_first:
            self.story.register(pod)
        self.story.see(pod)
        for container, identity in pod.containers.items():
            daemon.endpoints[identity] = pod
            if status_first and self._enforced(pod):
                self.story.intend(pod, container)
        if status_first:
            self.story.wait(0.1)
            self.story.register(pod)
        for identity in pod.containers.values():
            self._push(daemon, identity)

    def _see_again(self, pod: PodOf) -> None:
        daemon = self.daemons[pod.node]
        self.story.see(pod)
        for identity in pod.containers.values():
            if identity in daemon.endpoints:
                self._push(daemon, identity)

    def _learn(self, policy: PolicyOf, *, changed: bool = False) -> None:
        for node, daemon in self.daemons.items():
            self.story.wait(0.02)
            daemon.policies[policy.name] = (policy, frozenset(self.story.namespaces))
            self.story.learn(policy, action="modified" if changed else "added", node=node)
            self._push_all(daemon)

    def _push_all(self, daemon: Daemon) -> None:
        for identity in list(daemon.endpoints):
            self._push(daemon, identity)

    def _push(self, daemon: Daemon, identity: str) -> None:
        pod = daemon.endpoints[identity]
        if not self._enforced(pod):
            return
        node = pod.node
        self.story.say(f"Updating container rules for {identity}", node=node)
        wanted = any(p.spec["action"] == "Block" for p in self._attached(daemon, pod))
        if wanted and identity not in daemon.live:
            daemon.live.add(identity)
            self.story.say(f"Creating inner map for {identity}", node=node)
        elif not wanted:
            daemon.live.discard(identity)
            self.story.say(f"Deleting inner map for {identity}", node=node)

    def _forget(self, pod: PodOf) -> None:
        daemon = self.daemons[pod.node]
        self.story.unregister(pod)
        for identity in pod.containers.values():
            daemon.endpoints.pop(identity, None)
            daemon.live.discard(identity)

    @staticmethod
    def _enforced(pod: PodOf) -> bool:
        return (
            pod.namespace not in {"kube-system", "kubearmor"}
            and pod.annotations.get("kubearmor-policy", "enabled") == "enabled"
        )

    def _attached(self, daemon: Daemon, pod: PodOf) -> list[PolicyOf]:
        attached = []
        for policy, namespaces in daemon.policies.values():
            if policy.kind == "KubeArmorPolicy":
                wanted = policy.spec["selector"]["matchLabels"]
                if policy.namespace == pod.namespace and wanted.items() <= pod.labels.items():
                    attached.append(policy)
            elif pod.namespace != "kube-system" and (
                self.release != "v1.5.7" or pod.namespace in namespaces
            ):
                attached.append(policy)
        return attached


# --- playing a history in other orders ----------------------------------------------------------


class Ending(Struct, frozen=True):
    """What is left when everything was heard and no deadline is to come."""

    report: Report
    ticks: int


def stream_of(observation: Observation) -> str:
    """The source that an observation came from: its order is kept."""
    if isinstance(observation, Changed | Listed):
        return f"kubernetes/{observation.resource}"
    if isinstance(observation, DaemonLine):
        return f"text/{observation.node}"
    if isinstance(observation, Alert | Log):
        return "alerts/relay"
    if isinstance(observation, HealthAnswered):
        return "health/daemons"
    return "sources"


def ends_pairs(observation: Observation) -> bool:
    """Whether it changes or ends what pairs of containers are: not of a daemon's own Pod."""
    if not isinstance(observation, Changed) or observation.type == "ADDED":
        return False
    item = observation.object
    if isinstance(item, Pod):
        return "kubearmor-app" not in (item.metadata.labels or {})
    return isinstance(item, Policy)


def _is_in_time(place: int, waiting: Sequence[tuple[int, str]], heard: Sequence[Heard]) -> bool:
    """Whether what is at that place can be heard while those wait, the oldest of them first."""
    at, observation = heard[place]
    oldest = waiting[0][0]
    if at >= heard[oldest][0] + LAG:
        return False
    lines = min((other for other, name in waiting if name.startswith("text/")), default=place)
    if ends_pairs(observation) or isinstance(observation, Alert):
        return lines >= place
    if isinstance(observation, DaemonLine):
        return not any(other < place and ends_pairs(heard[other][1]) for other, _ in waiting)
    return True


def interleaved(
    heard: Sequence[Heard], picks: Sequence[int], *, after: int = 0, in_time: bool = False
) -> Iterator[Heard]:
    """The same, each stream in its own order; from a turn on `picks` say whose it is.

    `in_time`: nothing is heard before what is older by the grace; what changes or ends pairs comes
    in its place among the lines, and no effect is heard before lines that are older.
    """
    streams: dict[str, list[int]] = {}
    for place, (_, observation) in enumerate(heard):
        streams.setdefault(stream_of(observation), []).append(place)
    for queue in streams.values():
        queue.reverse()
    for turn in range(len(heard)):
        waiting = sorted((queue[-1], name) for name, queue in streams.items() if queue)
        if in_time:
            waiting = [one for one in waiting if _is_in_time(one[0], waiting, heard)]
        pick = picks[turn - after] if 0 <= turn - after < len(picks) else 0
        yield heard[streams[waiting[pick % len(waiting)][1]].pop()]


def repeated(heard: Sequence[Heard], *, stream: int, length: int, head: int) -> Iterator[Heard]:
    """Everything, and then the end of one stream once more; the first lists stay what they are."""
    yield from heard
    names = sorted({stream_of(observation) for _, observation in heard[head:]})
    again = [one for one in heard[head:] if stream_of(one[1]) == names[stream % len(names)]]
    yield from again[-length:] if length else ()


class Play:
    """A core that is told what was heard, each with its own instant; deadlines fire at theirs."""

    def __init__(self, core: Coverage, *, now: float) -> None:
        self.core = core
        self.now = now
        self.ticks = 0
        self.announced: list[Announcement] = []

    def hear(self, heard: Iterable[Heard]) -> None:
        for at, observation in heard:
            self.advance(at)
            self.announced.extend(self.core.observe(observation, at))

    def advance(self, end: float) -> None:
        """Let time pass until then."""
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.announced.extend(self.core.tick(self.now))
            self.ticks += 1
            following = self.core.next_deadline()
            assert following is None or following > self.now
        self.now = max(self.now, end)


def begun(started: float) -> Play:
    """A core that has heard nothing yet."""
    return Play(Coverage(settings=Settings(cluster="tale"), started=started), now=started)


def ending(heard: Iterable[Heard], *, started: float, until: float) -> Ending:
    """Play what was heard, each with its own instant; then let all deadlines pass."""
    play = begun(started)
    play.hear(heard)
    play.advance(until)
    return Ending(report=play.core.report(until), ticks=play.ticks)
