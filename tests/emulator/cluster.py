"""KubeArmor on a real control plane: one emulated daemon per daemon Pod, and the relay.

The Pods are real objects whose life KWOK fakes; what KWOK does not do is done here: the runtime
announces their containers, the daemons' text goes into the files that pods/log serves, and a
daemon's Pod says when its container died or was started again.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.emulator.apiserver import PATHS, ApiServer
from tests.emulator.daemon import Daemon
from tests.emulator.events import Observed
from tests.emulator.informers import Waits, lists_again
from tests.emulator.kubelet import (
    DaemonPod,
    Namespaces,
    daemon_pod,
    ended_status,
    identity,
    is_bound,
    is_ending,
    restarted_status,
)
from tests.emulator.relay import Relay
from tests.emulator.releases import Release, release_of_image
from tests.emulator.run import Run
from tests.emulator.switches import Failures
from tests.emulator.world import Object, RuntimeContainer, World

ANNOUNCED_AFTER_SECONDS = 0.35
IDLE_SECONDS = 0.5


class KubeArmor:
    """Use it as a context manager, in the event loop of the test.

    Daemons listen on their node's address at `daemon_port`, those with a port for their health
    service also at `health_port` if that is given, the relay on 127.0.0.1 at `relay_port`. After an
    absence of the API server every informer of every daemon lists anew on its own, as late as
    `informer_waits` lead to. `release_of` reads a daemon's release from its Pod's image, `zone` is
    the offset of the local time in which the daemons stamp their lines.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        ca_file: Path,
        folder: Path,
        daemon_port: int,
        relay_port: int,
        health_port: int | None = None,
        debug: bool = False,
        relay_retry_seconds: float = 5.0,
        informer_waits: Waits | None = None,
        zone: timedelta = timedelta(),
        release_of: Callable[[str], Release] = release_of_image,
    ) -> None:
        self.world = World()
        self.relay = Relay(
            targets=self._targets, port=relay_port, retry_seconds=relay_retry_seconds
        )
        self._api = ApiServer(url=url, token=token, ca_file=ca_file)
        self._folder = folder
        self._daemon_port = daemon_port
        self._health_port = health_port
        self._debug = debug
        self._zone = zone
        self._release_of = release_of
        self._informer_waits = informer_waits
        self._generator = random.Random(0)
        self._away: dict[str, float] = {}
        self._runs: dict[str, Run] = {}
        self._failures: dict[str, Failures] = {}
        self._announcements: dict[str, float] = {}
        self._namespaces = Namespaces()
        self._previous_logs: dict[str, Path] = {}
        self._starting: set[tuple[str, int]] = set()
        self._wake = asyncio.Event()
        self._open = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._api)
        await self.relay.start()
        for resource in PATHS:
            following = self._api.follow(
                resource, listed=self._listed, changed=self._changed, lost=self._lost
            )
            self._tasks.append(asyncio.create_task(following))
        self._tasks.append(asyncio.create_task(self._work()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.relay.stop()
        for run in self._runs.values():
            await run.close()
        await self._open.aclose()
        failed = [e for e in ended if isinstance(e, Exception)]
        if failed:
            raise ExceptionGroup("the emulator failed", failed)

    def daemon(self, node: str) -> Daemon:
        """Return the daemon that runs on a node now."""
        return self._runs[node].daemon

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes whose daemon runs (it may still be starting); raises what broke here."""
        for task in self._tasks:
            if task.done():
                task.result()
        return frozenset(node for node, run in self._runs.items() if not run.daemon.exited)

    def printed(self) -> int:
        """Return how many lines the daemons that run have put out."""
        return sum(run.file.read_bytes().count(b"\n") for run in self._runs.values())

    def fail(self, node: str, failures: Failures) -> None:
        """Exchange the failures of a node's daemon, and of those that follow it."""
        self._failures[node] = failures
        if node in self._runs:
            self._runs[node].daemon.failures = failures

    async def kill(self, node: str, *, exit_code: int = 137) -> None:
        """Kill -9 a node's daemon; its Pod says so."""
        run = self._runs[node]
        await run.flush(time.time())
        await run.close()
        pod = await self._api.pod(run.pod.namespace, run.pod.name)
        status = ended_status(pod, at=time.time(), exit_code=exit_code)
        await self._api.patch_status(run.pod.namespace, run.pod.name, status)

    async def restart(self, node: str) -> None:
        """Start the container of a killed daemon again, in the same Pod."""
        run = self._runs[node]
        pod = await self._api.pod(run.pod.namespace, run.pod.name)
        status = restarted_status(pod, at=time.time())
        await self._api.patch_status(run.pod.namespace, run.pod.name, status)

    async def stop_relay(self) -> None:
        await self.relay.stop()

    async def start_relay(self) -> None:
        await self.relay.start()

    async def act(self, namespace: str, pod: str, container: str, path: str) -> Observed | None:
        """Let a container do something; None if no daemon watches its node."""
        now = time.time()
        for node, containers in self.world.running.items():
            for running in containers.values():
                if (running.namespace, running.pod, running.name) == (namespace, pod, container):
                    return await self._act(node, running, path, now)
        raise LookupError(f"{namespace}/{pod}/{container} does not run")

    async def _act(
        self, node: str, container: RuntimeContainer, path: str, now: float
    ) -> Observed | None:
        if node not in self.nodes:
            return None
        run = self._runs[node]
        observed = run.daemon.act(container.id, path, now)
        await run.flush(now)
        return observed

    def _targets(self) -> frozenset[str]:
        return frozenset(run.target for run in self._runs.values())

    def _listed(self, resource: str, items: list[Object]) -> None:
        changes = self.world.replace(resource, items)
        now = time.time()
        since = self._away.pop(resource, now)
        for run in self._runs.values():
            at = lists_again(
                since=since,
                back=now,
                generator=self._generator,
                waits=self._informer_waits,
            )
            run.daemon.relist(resource, now, at=at)
        for event, item in changes:
            if resource == "pods":
                self._pod(event, item)
        self._wake.set()

    def _lost(self, resource: str) -> None:
        """The API server does not answer: the daemons' informers cannot reach it either."""
        self._away.setdefault(resource, time.time())

    def _changed(self, resource: str, event: str, item: Object) -> None:
        now = time.time()
        self._away.pop(resource, None)
        for run in self._runs.values():
            run.daemon.advance(now)
        self.world.apply(resource, event, item)
        for run in self._runs.values():
            run.daemon.watch_event(resource, event, item, now)
        if resource == "pods":
            self._pod(event, item)
        self._wake.set()

    def _pod(self, event: str, pod: Object) -> None:
        """Do what a runtime and a kubelet do about one change of a Pod."""
        name = identity(pod)
        if event in {"DELETED", "TOMBSTONE"} or is_ending(pod):
            self._announcements.pop(name, None)
            self._stop_containers(pod, keep=frozenset())
        elif is_bound(pod) and not self._announced(pod):
            first = not any(status.get("restartCount") for status in _statuses(pod))
            delay = ANNOUNCED_AFTER_SECONDS if first else 0.0
            self._announcements.setdefault(name, time.time() + delay)
        if found := daemon_pod(pod):
            self._daemon_pod(event, found)

    def _announced(self, pod: Object) -> bool:
        running = self.world.running.get(pod["spec"]["nodeName"], {})
        wanted = {container.id for container in Namespaces().containers(pod)}
        self._stop_containers(pod, keep=frozenset(wanted))
        return wanted <= running.keys()

    def _stop_containers(self, pod: Object, *, keep: frozenset[str]) -> None:
        node = (pod.get("spec") or {}).get("nodeName", "")
        name = identity(pod)
        running = self.world.running.get(node, {})
        gone = [
            container
            for container in running.values()
            if f"{container.namespace}/{container.pod}" == name and container.id not in keep
        ]
        for container in gone:
            del running[container.id]
            if node in self._runs:
                self._runs[node].daemon.container_stopped(container, time.time())

    def _announce(self, name: str) -> None:
        namespace, _, pod_name = name.partition("/")
        pod = self.world.pod(namespace, pod_name)
        if pod is None or is_ending(pod):
            return
        node = pod["spec"]["nodeName"]
        running = self.world.running.setdefault(node, {})
        for container in self._namespaces.containers(pod):
            if container.id not in running:
                running[container.id] = container
                if node in self._runs:
                    self._runs[node].daemon.container_started(container, time.time())

    def _daemon_pod(self, event: str, pod: DaemonPod) -> None:
        run = self._runs.get(pod.node)
        ours = run is not None and run.pod.uid == pod.uid and run.pod.restart == pod.restart
        if run is not None and ours:
            if event in {"DELETED", "TOMBSTONE"} or not pod.running:
                run.daemon.kill()
            elif pod.stopping and run.daemon.serving:
                run.daemon.terminate(time.time())
            run.pod = replace(pod, address=run.pod.address)
            return
        key = (pod.uid, pod.restart)
        if event not in {"DELETED", "TOMBSTONE"} and pod.running and key not in self._starting:
            self._starting.add(key)
            self._tasks.append(asyncio.create_task(self._start(pod)))

    async def _start(self, pod: DaemonPod) -> None:
        """Start the daemon of a Pod; the one before it on that node has ended."""
        before = self._runs.pop(pod.node, None)
        if before is not None:
            await before.flush(time.time())
            await before.close()
        folder = self._folder / pod.uid / str(pod.restart)
        folder.mkdir(parents=True)
        daemon = Daemon(
            release=self._release_of(pod.image),
            node=pod.node,
            world=self.world,
            failures=self._failures.get(pod.node),
            address=pod.address,
            debug=self._debug,
        )
        file = folder / f"{pod.container}.log"
        run = Run(
            pod=pod,
            daemon=daemon,
            file=file,
            port=self._daemon_port,
            health_port=self._health_port,
            zone=self._zone,
            wake=self._wake.set,
        )
        previous = self._previous_logs.get(pod.uid)
        self._previous_logs[pod.uid] = file
        await self._api.serve_log(
            pod.namespace, pod.name, pod.container, path=file, previous=previous
        )
        run.open()
        self._runs[pod.node] = run
        daemon.start(time.time())
        self._wake.set()

    async def _work(self) -> None:
        """Let time pass for the daemons and the runtime, and carry away what comes of it."""
        while True:
            now = time.time()
            for name in [name for name, at in self._announcements.items() if at <= now]:
                del self._announcements[name]
                self._announce(name)
            for run in list(self._runs.values()):
                run.daemon.advance(now)
                await run.flush(now)
            await self._sleep(self._next_instant())

    def _next_instant(self) -> float:
        due = [run.daemon.due() for run in self._runs.values()]
        instants = [at for at in due if at is not None]
        return min([*instants, *self._announcements.values(), time.time() + IDLE_SECONDS])

    async def _sleep(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, until - time.time())):
                await self._wake.wait()
        self._wake.clear()


def _statuses(pod: Object) -> list[dict[str, Any]]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def manifests(*, image: str, namespace: str = "kubearmor") -> list[dict[str, Any]]:
    """Return the objects of a minimal installation: namespace, config map, DaemonSet."""
    labels = {"kubearmor-app": "kubearmor"}
    metadata = {"namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                **metadata,
                "name": "kubearmor-config",
                "labels": {"kubearmor-app": "kubearmor-configmap"},
            },
            "data": {
                "gRPC": "32767",
                "cluster": "default",
                "visibility": "process,file,network,capabilities",
                "defaultFilePosture": "audit",
                "defaultNetworkPosture": "audit",
                "defaultCapabilitiesPosture": "audit",
                "defaultPostureLogs": "true",
                "alertThrottling": "true",
                "maxAlertPerSec": "10",
                "throttleSec": "30",
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {**metadata, "name": "kubearmor", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "updateStrategy": {"type": "RollingUpdate"},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "hostNetwork": True,
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "kubearmor", "image": image}],
                    },
                },
            },
        },
    ]
