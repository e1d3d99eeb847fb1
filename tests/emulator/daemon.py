"""One KubeArmor daemon, from its process' start to its end, without IO and without a clock.

Inputs come with the instant at which they happen; `advance` lets the daemon work up to an instant;
`outputs` collects what it printed and reported. What it believes is in `beliefs`.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.beliefs import Beliefs, Shuffle
from tests.emulator.endpoints import Endpoint
from tests.emulator.events import Action, Observed, Reporter
from tests.emulator.kernel import Kernel
from tests.emulator.lines import VERBATIM, Line, updated_time
from tests.emulator.profiles import Profiles
from tests.emulator.releases import Release
from tests.emulator.schedule import Schedule, Timing
from tests.emulator.selection import Policy
from tests.emulator.settings import Settings
from tests.emulator.starting import (
    AFTER_DEFINITIONS,
    NODE_ID,
    RUNTIME_MESSAGE,
    STEPS,
    node_values,
    section,
)
from tests.emulator.switches import Failures
from tests.emulator.world import Key, Object, RuntimeContainer, World, key_of

WATCHED = ("configmaps", "nodes", "namespaces", "pods")
POLICIES = ("kubearmorpolicies", "kubearmorclusterpolicies")
HOST_POLICIES = "kubearmorhostpolicies"
CONFIG_LABEL = ("kubearmor-app", "kubearmor-configmap")
LINE_SECONDS = 20e-6
LAST_WORDS_SECONDS = 0.5
RECONNECT_SECONDS = 5.0
FORBIDDEN_PODS = 'pods is forbidden: cannot list resource "pods" in API group ""'
_STACK = (
    "github.com/kubearmor/KubeArmor/KubeArmor/log.Errf",
    "\t/usr/src/KubeArmor/KubeArmor/log/logger.go:108",
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a daemon put out; there are `messages` only while it serves and runs with debug."""

    lines: list[Line] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)


class Daemon:
    """One incarnation: start it once; after it has exited it is of no more use."""

    def __init__(
        self,
        *,
        release: Release,
        node: str,
        world: World,
        failures: Failures | None = None,
        timing: Timing | None = None,
        shuffle: Shuffle | None = None,
        seed: int = 0,
        address: str = "127.0.0.1",
        debug: bool = False,
    ) -> None:
        self.release = release
        self.node = node
        self.address = address
        self.debug = debug
        self.failures = failures or Failures()
        self.outputs = Outputs()
        self.serving = False
        self.initialized: float | None = None
        self._world = world
        self._last_line = 0.0
        self._runtime_up = self._terminating = self._has_node = False
        self._delivered: dict[str, dict[Key, str]] = {}
        self._lists_again: dict[str, float] = {}
        self._schedule = Schedule(
            release=release, timing=timing or Timing(), failures=lambda: self.failures
        )
        self.settings = Settings(
            release=release, world=world, say=self._say, failures=lambda: self.failures
        )
        self._generator = generator = random.Random(seed)
        self.beliefs = Beliefs(
            release=release,
            world=world,
            settings=self.settings,
            say=self._say,
            failures=lambda: self.failures,
            shuffle=shuffle or (lambda _namespace, _pod, ids: generator.sample(ids, k=len(ids))),
        )
        self.settings.posture_changed = self.beliefs.posture_changed
        self._reporter = Reporter(release=release, node=node, beliefs=self.beliefs, node_id=NODE_ID)

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        return self.beliefs.endpoints

    @property
    def policies(self) -> Sequence[Policy]:
        return self.beliefs.policies

    @property
    def exited(self) -> bool:
        return self._schedule.stopped

    @property
    def health(self) -> bool | None:
        """Whether its health service serves LogService; None while there is nobody to answer.

        Of its own it has one from v1.7.4 on, before it serves; else it comes with the feeds.
        """
        if self.serving:
            return True
        answers = self.release.has_health_port and self._has_node
        return False if answers and not self._terminating and not self.exited else None

    def start(self, now: float) -> None:
        """Begin at `now`; what follows happens at its own instants (`due`, `advance`)."""
        self._schedule.now = now
        for step, seconds in STEPS.items():
            self._schedule.at(now + seconds, self._step(step))
        self.advance(now)

    def due(self) -> float | None:
        """Return the instant of the next thing that the daemon does by itself."""
        return self._schedule.due()

    def advance(self, now: float) -> None:
        """Do everything that is due up to and including `now`."""
        self._schedule.advance(now)

    def watch_event(self, resource: str, event: str, item: Object, now: float) -> None:
        """Take one event of a watch; of Pods, the daemon sees those bound to its node.

        A TOMBSTONE stands for a deletion that the watch missed: every handler ignores it.
        """
        self.advance(now)
        if resource in self._delivered and resource not in self._lists_again:
            arrival = now + self._schedule.timing.watch
            self._schedule.at(arrival, lambda: self._deliver(resource, event, item))

    def relist(self, resource: str, now: float, *, at: float) -> None:
        """Its watch breaks now: what happens until it lists, `at`, it learns by that list alone."""
        self.advance(now)
        if resource in self._delivered:
            self._lists_again[resource] = at
            self._schedule.at(at, lambda: self._list(resource, at))

    def _list(self, resource: str, at: float) -> None:
        """Deliver what changed, in newer releases all the rest too, in no order.

        What is missing was deleted unseen: no handler takes that.
        """
        if self._lists_again.get(resource) != at:
            return
        del self._lists_again[resource]
        delivered = self._delivered[resource]
        items = {key_of(item): item for item in self._world.listed(resource)}
        for key in delivered.keys() - items.keys():
            del delivered[key]
        again = self.release.redelivers_on_relist or resource == "pods"
        for key in self._generator.sample(list(items), k=len(items)):
            if again or delivered.get(key) != _revision(items[key]):
                event = "MODIFIED" if key in delivered else "ADDED"
                self._deliver(resource, event, items[key])

    def container_started(self, container: RuntimeContainer, now: float) -> None:
        self.advance(now)
        if self._hears_runtime():
            self._schedule.queue("runtime", self.beliefs.container_started(container))
            self.advance(now)

    def container_stopped(self, container: RuntimeContainer, now: float) -> None:
        self.advance(now)
        if self._hears_runtime():
            self._schedule.queue("runtime", self.beliefs.container_stopped(container))
            self.advance(now)

    def act(self, container_id: str, path: str, now: float) -> Observed:
        """Attempt an action; what is reported about it goes to the outputs too."""
        self.advance(now)
        observed = self._reporter.observe(
            Action.on(container_id, path),
            now=now,
            enforcing=not self.exited and not self._terminating,
        )
        if self.serving:
            self.outputs.alerts.extend(observed.alerts)
            self.outputs.logs.extend(observed.logs)
        return observed

    def lose_runtime(self, now: float) -> None:
        """The runtime closes the connection; what the release does about it follows."""
        self.advance(now)
        self._runtime_up = False
        self._say_runtime(
            f"ttrpc server closed 99-kubearmor-{self.release.version} : ttrpc: server closed"
        )
        if self.release.reconnects_runtime:
            self._say("WARN", "NRI connection lost", streamed=False)
            self._say("INFO", "Attempting to reconnect to NRI in 5s...")
            self._say_error("Failed to connect to NRI: ttrpc: server closed")
            self._schedule.at(now + RECONNECT_SECONDS, self._reconnect_runtime)
        else:
            self._say("INFO", "restarting NRI", streamed=False)

    def terminate(self, now: float) -> None:
        """SIGTERM: its programs are detached at once, it goes on printing until it has exited."""
        self.advance(now)
        self._terminating, self.serving = True, False
        enforcer = ["Destroyed BPF-LSM Enforcer", "Stopped KubeArmor Enforcer"]
        parts = [["Stopped KubeArmor Monitor"], enforcer if self.beliefs.kernel else []]
        if not self.release.terminates_monitor_first:
            parts.reverse()
        words = ["Got a signal to terminate KubeArmor", *parts[0], *parts[1]]
        for text in [*words, "Terminated KubeArmor"]:
            self._say("INFO", text)
        closed = "ringbuffer: file already closed"
        self._say("WARN", f"Ring Buffer closed, exiting TraceEvents {closed}")
        self._say("WARN", f"Perf Buffer closed, exiting TraceSyscall perf {closed}")
        self._schedule.at(now + LAST_WORDS_SECONDS, self.kill)

    def lose_events(self, now: float) -> None:
        """The kernel's buffer of events overflows."""
        self.advance(now)
        self._say("WARN", "Lost Perf Events Count : 128")

    def kill(self) -> None:
        """End without a word; every rule of its node is gone with it."""
        self.serving = False
        self._schedule.stop()

    def say_client(self, change: str, detail: str, *, stream: str) -> None:
        """Print that a client of its gRPC server came or went."""
        self._say("INFO", f"{change} client ({detail}) for {stream}", streamed=False)

    def _hears_runtime(self) -> bool:
        return self._runtime_up and not self.exited and not self.failures.runtime_silent

    def _step(self, step: str) -> Callable[[], None]:
        special = {
            "enforcer": self._start_enforcer,
            "runtime": self._start_runtime,
            "synchronize": self._synchronize,
            "ready": self._become_ready,
        }

        def do() -> None:
            if step != "boot" and self.failures.stuck_at_start:
                return
            if step in AFTER_DEFINITIONS and self.failures.definitions_missing:
                return
            self._has_node |= step == "node"
            if step in special:
                special[step]()
            elif step in WATCHED or step in POLICIES:
                self._watch(step)
            elif step == HOST_POLICIES:
                if self.failures.host_policies:
                    self._say("INFO", "Started to monitor host security policies")
                    self._watch(step)
            else:
                self._say_section(step)

        return do

    def _become_ready(self) -> None:
        self._say_section("ready")
        self.serving, self.initialized = True, self._schedule.now

    def _start_enforcer(self) -> None:
        enforcer = "" if self.failures.no_enforcer else self.failures.enforcer
        if enforcer == "BPFLSM":
            self.beliefs.kernel = Kernel(outer_limit=self.failures.outer_map_limit)
            self._say_section("enforcer")
            if self.failures.host_policies:
                self._say("INFO", "Started to protect a host and containers")
            return
        if enforcer == "AppArmor":
            self.beliefs.profiles = Profiles(lambda: self.failures)
        self.beliefs.observes_only = enforcer != "AppArmor"
        supported = ["capability", "landlock", "yama", *([enforcer.lower()] if enforcer else [])]
        self._say("WARN", "BPF LSM not supported i/o timeout")
        self._say("INFO", f"Supported LSMs: {','.join(supported)}")
        if enforcer:
            self._say("INFO", f"Initialized {enforcer} Enforcer")
            self._say("INFO", "Initialized KubeArmor Enforcer")
            self._say("INFO", "Started to protect containers")
        else:
            self._say("INFO", "Disabled KubeArmor Enforcer: failed to create runtime enforcer")
        self._say("INFO", "Disabled Presets: failed to create presets")

    def _start_runtime(self) -> None:
        if self.failures.container_source_dead:
            self._say_error("Failed to create NRI stub: invalid NRI socket")
            return
        self._say_section("runtime")
        self._runtime_up = True

    def _synchronize(self) -> None:
        running = self._world.running.get(self.node, {})
        if self._hears_runtime():
            for identity in sorted(running):
                steps = self.beliefs.container_started(running[identity])
                self._schedule.queue("runtime", steps)

    def _reconnect_runtime(self) -> None:
        self._say_runtime(f"Stopping plugin 99-kubearmor-{self.release.version}...")
        created, *others = (line for line in self._section("runtime") if line[0] == VERBATIM)
        self._say(*created)
        self._say("INFO", "Successfully reconnected to NRI")
        for line in others:
            self._say(*line)
        self._runtime_up = True
        self._synchronize()

    def _watch(self, resource: str) -> None:
        if resource == "pods" and self.failures.pod_informer_failed:
            self._say("WARN", f"Error starting pod informer={FORBIDDEN_PODS}")
            return
        if resource == "kubearmorclusterpolicies" and self.failures.cluster_policy_watch_dead:
            self._say(
                "WARN",
                "timeout while monitoring cluster security policies, "
                "kubearmorclusterpolicies CRD not found",
            )
            return
        self._delivered[resource] = {}
        for item in self._world.listed(resource):
            self._deliver(resource, "ADDED", item)

    def _deliver(self, resource: str, event: str, item: Object) -> None:
        if resource == "pods":
            if (item.get("spec") or {}).get("nodeName") != self.node:
                return
            if event in {"ADDED", "MODIFIED"}:
                event = "MODIFIED" if key_of(item) in self._delivered["pods"] else "ADDED"
        if event in {"DELETED", "TOMBSTONE"}:
            self._delivered[resource].pop(key_of(item), None)
        else:
            self._delivered[resource][key_of(item)] = _revision(item)
        if event != "TOMBSTONE":
            self._handle(resource, event, item)

    def _handle(self, resource: str, event: str, item: Object) -> None:
        if resource in POLICIES:
            self._schedule.queue(resource, self.beliefs.policy_event(event, item))
        elif resource == HOST_POLICIES:
            name = item["metadata"]["name"]
            self._say("INFO", f"Detected a Host Security Policy ({event.lower()}/{name})")
        elif resource == "pods":
            self._schedule.queue(resource, self.beliefs.pod_event(event, item))
        elif self.failures.hung:
            return
        elif resource == "namespaces":
            self.settings.namespace_event(event, item)
        elif resource == "configmaps":
            key, value = CONFIG_LABEL
            if (item["metadata"].get("labels") or {}).get(key) == value and event != "DELETED":
                self._schedule.queue(resource, self.settings.config_event(event, item))
        elif event == "MODIFIED" and item["metadata"]["name"] == self.node:
            self._reporter.node_id = ""
            self._say_error("Failed to read /sys/kernel/security/lsm: empty file")

    def _section(self, name: str) -> list[tuple[str, str]]:
        node = self._world.objects["nodes"].get(("", self.node)) or {}
        values = node_values(node, protects_host=self.failures.host_policies) | {
            "version": self.release.version,
            "node": self.node,
            "address": self.address,
            "node_id": NODE_ID,
            "debug": str(self.debug).lower(),
            "host_policies": str(self.failures.host_policies).lower(),
            "seconds": self._seconds(),
        }
        return list(section(name, release=self.release, values=values))

    def _seconds(self) -> str:
        return updated_time(self._schedule.now)[:19] + "Z"

    def _say_section(self, name: str) -> None:
        for level, text in self._section(name):
            self._say(level, text)

    def _say_runtime(self, message: str) -> None:
        text = RUNTIME_MESSAGE.replace("$seconds", self._seconds()) % message
        self._say(VERBATIM, text)

    def _say_error(self, text: str) -> None:
        self._say("ERROR", text, streamed=False)

    def _say(self, level: str, text: str, *, streamed: bool = True) -> None:
        if self.exited:
            return
        self._last_line = max(self._schedule.now, self._last_line + LINE_SECONDS)
        line = Line(self._last_line, level, text)
        if level != "DEBUG":
            self.outputs.lines.append(line)
        if level == "ERROR" and self.initialized:
            self.outputs.lines.extend(Line(line.at, VERBATIM, frame) for frame in _STACK)
        if self.debug and self.serving and streamed and level != VERBATIM:
            self.outputs.messages.append(self._message(line))

    def _message(self, line: Line) -> dict[str, Any]:
        return {
            "Timestamp": int(line.at),
            "UpdatedTime": updated_time(line.at),
            "ClusterName": self.settings.cluster,
            "HostName": self.node,
            "HostIP": self.address,
            "Type": "Message",
            "Level": line.level,
            "Message": line.text,
        }


def _revision(item: Object) -> str:
    return str(item["metadata"].get("resourceVersion", ""))
