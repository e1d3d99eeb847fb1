"""A cluster with KubeArmor in virtual time, and what can be seen of it on a tape.

Objects are as the API server would show them, the output is what the emulated daemons print, alerts
and logs are what the relay would pass on. Time goes on only in `advance`, and everything happens at
its own instant.
"""

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.emulator import objects, steps
from tests.emulator.daemon import Daemon
from tests.emulator.kubelet import Namespaces
from tests.emulator.objects import Life, Workload, seconds
from tests.emulator.releases import release
from tests.emulator.tape import FEEDS, HEALTH, Tape
from tests.emulator.world import Object, RuntimeContainer, World, container_id, key_of

if TYPE_CHECKING:
    from tests.emulator.switches import Failures

STARTED = 1_795_000_000.25
CLUSTER = "virtual"
ANNOUNCED_SECONDS = 0.35
PUBLISHED_SECONDS = 0.9
ASKED_SECONDS = 5.0
RESOURCES = (
    "namespaces",
    "nodes",
    "configmaps",
    "daemonsets",
    "pods",
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "kubearmornetworkpolicies",
)
POLICIES = {
    "KubeArmorPolicy": "kubearmorpolicies",
    "KubeArmorClusterPolicy": "kubearmorclusterpolicies",
    "KubeArmorHostPolicy": "kubearmorhostpolicies",
    "KubeArmorNetworkPolicy": "kubearmornetworkpolicies",
}
NAMESPACES = ("default", "kube-system", "kubearmor")
CONFIGURATION = {
    "cluster": "default",
    "visibility": "process,file,network,capabilities",
    "defaultFilePosture": "audit",
    "defaultNetworkPosture": "audit",
    "defaultCapabilitiesPosture": "audit",
    "maxAlertPerSec": "10",
    "throttleSec": "30",
}


class Station:
    """A node's daemon: its Pod, its present run and how far its output was read."""

    def __init__(self, *, daemon: Daemon, number: int, tag: str, template: int, at: float) -> None:
        self.daemon = daemon
        self.number = number
        self.tag = tag
        self.template = template
        self.created = at
        self.life = Life(since=at)
        self.stamp = 0

    def pod(self) -> Object:
        return objects.daemon_pod(
            node=self.daemon.node,
            address=self.daemon.address,
            number=self.number,
            tag=self.tag,
            template=self.template,
            created=self.created,
            life=self.life,
        )


class VirtualStage:
    """A cluster whose daemons are of one release, until its DaemonSet's template is changed."""

    def __init__(self, version: str, *, debug: bool = False) -> None:
        self.now = STARTED
        self.tape = Tape(cluster=CLUSTER, started=STARTED)
        self.world = World()
        self._version = version
        self._template = 1
        self._debug = debug
        self._numbers = itertools.count(1)
        self._revision = itertools.count(1000)
        self._pending: list[tuple[float, int, Callable[[], None]]] = []
        self._workloads: dict[str, Workload] = {}
        self._stations: dict[str, Station] = {}
        self._failures: dict[str, Failures] = {}
        self._namespaces = Namespaces()
        self._last_ids: dict[str, tuple[int, int]] = {}
        self._seen: set[str] = set()
        for name in NAMESPACES:
            self._namespace(name, {})
        self._configure(CONFIGURATION)
        self._publish_daemon_set()
        for resource in RESOURCES:
            self.see(f"kubernetes/{resource}")
        for feed in FEEDS:
            self.see(f"{feed}/relay")

    # --- time -----------------------------------------------------------------------------------

    def advance(self, duration: float) -> None:
        """Let time pass, and everything happen that is due."""
        until = self.now + duration
        while (due := self._due()) is not None and due <= until:
            self.now = max(self.now, due)
            while self._pending and self._pending[0][0] <= self.now:
                heapq.heappop(self._pending)[2]()
            self._work()
        self.now = until
        self._work()

    def _due(self) -> float | None:
        dues = [station.daemon.due() for station in self._stations.values()]
        instants = [due for due in dues if due is not None]
        if self._pending:
            instants.append(self._pending[0][0])
        return min(instants, default=None)

    def _later(self, delay: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (self.now + delay, next(self._numbers), do))

    def _work(self) -> None:
        for station in self._stations.values():
            station.daemon.advance(self.now)
            self._read(station)

    def _read(self, station: Station) -> None:
        outputs = station.daemon.outputs
        for line in outputs.lines:
            station.stamp = self.tape.line(
                line,
                node=station.daemon.node,
                pod=station.pod(),
                restart=station.life.restarts,
                stamp=station.stamp,
            )
        for feed in FEEDS:
            for fields in getattr(outputs, feed):
                self.tape.report(feed, fields, at=self.now)
            getattr(outputs, feed).clear()
        outputs.lines.clear()

    # --- what they lead to ----------------------------------------------------------------------

    def see(self, source: str) -> None:
        """Let a source be read from now on."""
        kind, _, resource = source.partition("/")
        reason = "listed" if kind == "kubernetes" else "connected"
        first = source not in self._seen
        self._seen.add(source)
        self.tape.source(source, "up", reason, at=self.now)
        if kind == "kubernetes":
            self.tape.list(resource, self._listed(resource), at=self.now)
        if source == HEALTH and first:
            self._ask()

    def _ask(self) -> None:
        """Ask the daemons whose output cannot be read whether they serve, again and again."""
        for node, station in self._stations.items():
            serving = station.daemon.health
            if serving is not None and f"text/{node}" in self.tape.blind:
                self.tape.health(
                    node=node,
                    pod=station.pod(),
                    restart=station.life.restarts,
                    serving=serving,
                    at=self.now,
                )
        self._later(ASKED_SECONDS, self._ask)

    def _listed(self, resource: str) -> list[Object]:
        held = self.world.objects.get(resource, {})
        return [held[key] for key in sorted(held)]

    def _change(
        self, resource: str, event: str, item: Object, *, missed_on: tuple[str, ...] = ()
    ) -> None:
        """Let the API server have a change: daemons and monitor hear of it."""
        metadata = item["metadata"] | {"resourceVersion": str(next(self._revision))}
        item = item | {"metadata": metadata}
        self.world.apply(resource, event, item)
        for node, station in self._stations.items():
            heard = "TOMBSTONE" if node in missed_on else event
            station.daemon.watch_event(resource, heard, item, self.now)
        self.tape.watch(resource, event, item, at=self.now)

    def _put(self, resource: str, item: Object) -> None:
        known = key_of(item) in self.world.objects.get(resource, {})
        self._change(resource, "MODIFIED" if known else "ADDED", item)

    def _named(self, name: str, **metadata: Any) -> Object:
        uid = f"uid-{name}"
        return {"name": name, "uid": uid, "creationTimestamp": seconds(self.now), **metadata}

    def _namespace(self, name: str, annotations: Mapping[str, str]) -> None:
        held = self.world.objects["namespaces"].get(("", name))
        metadata = held["metadata"] if held else self._named(name)
        self._put("namespaces", {"metadata": metadata | {"annotations": dict(annotations)}})

    def _configure(self, data: Mapping[str, str]) -> None:
        key = (objects.SYSTEM, "kubearmor-config")
        held = self.world.objects["configmaps"].get(key)
        labels = {"kubearmor-app": "kubearmor-configmap"}
        metadata = (
            held["metadata"] if held else self._named(key[1], namespace=key[0], labels=labels)
        )
        known = held["data"] if held else {}
        self._put("configmaps", {"metadata": metadata, "data": {**known, **data}})

    def _policy(self, policy: Object, *, changes_spec: bool) -> None:
        resource = POLICIES[policy["kind"]]
        held = self.world.objects.get(resource, {}).get(key_of(policy))
        if held is None:
            names = {"namespace": key_of(policy)[0]} if key_of(policy)[0] else {}
            metadata = self._named(policy["metadata"]["name"], generation=1, **names)
            metadata["uid"] += f"-{policy['kind']}-{next(self._numbers)}"
        else:
            metadata = dict(held["metadata"])
            metadata["generation"] += changes_spec
        if not changes_spec:
            metadata["annotations"] = {"kubearmor-monitor/touched": str(round(self.now))}
        spec = policy["spec"] if changes_spec or held is None else held["spec"]
        self._put(resource, {"kind": policy["kind"], "metadata": metadata, "spec": spec})

    def _node(self, name: str, labels: Mapping[str, str], system: str) -> None:
        address = f"10.0.0.{len(self.world.objects['nodes']) + 1}"
        self._put(
            "nodes",
            objects.node_object(
                name, address=address, labels=labels, system=system, created=self.now
            ),
        )

    # --- Pods -----------------------------------------------------------------------------------

    def _run(self, plan: steps.Run) -> None:
        workload = Workload(
            plan=plan,
            uid=f"uid-{plan.pod.replace('/', '-')}-{next(self._numbers)}",
            created=self.now,
            labels=dict(plan.labels),
            annotations=dict(plan.annotations),
        )
        self._workloads[plan.pod] = workload
        self._change("pods", "ADDED", workload.object())
        first = (*plan.init, *plan.sidecars) or plan.containers
        if plan.sidecars and not plan.init:
            first = (*plan.sidecars, *plan.containers)
        self._start(workload, first)
        if plan.ephemeral:
            self._later(3.0, lambda: self._start(workload, plan.ephemeral))

    def _start(self, workload: Workload, names: tuple[str, ...]) -> None:
        """Let containers run; runtime and kubelet say so, one after the other."""

        def begin() -> None:
            for name in names:
                workload.lives.setdefault(name, Life(since=self.now))
            if not workload.plan.status_first:
                self._announce(workload, names)

        begins, published = ANNOUNCED_SECONDS, PUBLISHED_SECONDS
        self._later(begins, begin)
        if workload.plan.status_first:
            self._later(published, lambda: self._announce(workload, names))
            published = begins
        self._later(published, lambda: self._publish(workload))

    def _publish(self, workload: Workload) -> None:
        if self._workloads.get(workload.plan.pod) is workload:
            self._change("pods", "MODIFIED", workload.object())

    def _announce(self, workload: Workload, names: tuple[str, ...]) -> None:
        node = workload.plan.node
        running = self.world.running.setdefault(node, {})
        for container in self._namespaces.containers(workload.object()):
            if container.name not in names:
                continue
            container = self._with_ids(container, workload.plan)  # noqa: PLW2901
            running[container.id] = container
            if node in self._stations:
                self._stations[node].daemon.container_started(container, self.now)

    def _with_ids(self, container: RuntimeContainer, plan: steps.Run) -> RuntimeContainer:
        if not plan.shares_ids_with:
            return container
        pid, mount = self._last_ids[plan.shares_ids_with]
        return replace(container, pid_namespace=pid, mount_namespace=mount)

    def _stop(self, workload: Workload, names: tuple[str, ...]) -> None:
        running = self.world.running.get(workload.plan.node, {})
        for name in names:
            life = workload.lives[name]
            stopped = running.pop(container_id(workload.uid, name, life.restarts), None)
            if stopped is not None:
                self._last_ids[workload.plan.pod] = (
                    stopped.pid_namespace,
                    stopped.mount_namespace,
                )
                if workload.plan.node in self._stations:
                    daemon = self._stations[workload.plan.node].daemon
                    daemon.container_stopped(stopped, self.now)

    def _remove(self, name: str) -> Workload:
        workload = self._workloads.pop(name)
        workload.deleted = self.now
        self._change("pods", "MODIFIED", workload.object())
        self._stop(workload, tuple(workload.lives))
        for life in workload.lives.values():
            life.ended = self.now
        self._change("pods", "DELETED", workload.object())
        return workload

    # --- daemons --------------------------------------------------------------------------------

    def _daemon(self, node: str, version: str) -> Daemon:
        status = self.world.objects["nodes"]["", node]["status"]
        return Daemon(
            release=release(version),
            node=node,
            world=self.world,
            failures=self._failures.get(node),
            address=status["addresses"][0]["address"],
            debug=self._debug,
        )

    def _deploy(self, node: str, version: str, *, tag: str = "") -> None:
        version = version or self._version
        station = Station(
            daemon=self._daemon(node, version),
            number=next(self._numbers),
            tag=tag or version,
            template=self._template,
            at=self.now,
        )
        self._change("pods", "ADDED", station.pod())
        self._stations[node] = station
        self._publish_daemon_set()
        station.daemon.start(self.now)
        text = f"text/{node}"
        if text not in self._seen and text not in self.tape.blind:
            self.see(text)

    def _withdraw(self, node: str) -> None:
        station = self._stations.pop(node)
        leaving = station.pod()
        leaving["metadata"]["deletionTimestamp"] = seconds(self.now)
        self._change("pods", "MODIFIED", leaving)
        station.daemon.terminate(self.now)
        self._read(station)
        station.life.ended = self.now
        self._change("pods", "DELETED", station.pod())

    def _publish_daemon_set(self) -> None:
        templates = [station.template for station in self._stations.values()]
        self._put(
            "daemonsets",
            objects.daemon_set(
                tag=self._version,
                template=self._template,
                desired=len(self.world.objects["nodes"]),
                updated=templates.count(self._template),
                created=STARTED,
            ),
        )
