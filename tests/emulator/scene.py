"""A node with a Pod, a policy and a daemon in virtual time: what the emulator's tests play with."""

from typing import Any

from tests.emulator.daemon import Daemon
from tests.emulator.events import Observed
from tests.emulator.releases import release
from tests.emulator.switches import Failures
from tests.emulator.world import Object, RuntimeContainer, World, container_id

NODE = "node-a"
NAMESPACES = ("default", "kube-system", "kubearmor", "shop")
SETTLED_SECONDS = 5.0
APT = "/usr/bin/apt"
ABOUT_RULES = (
    "Updating container rules",
    "Creating inner map",
    "Deleting inner map",
    "error adding",
)


def cluster_policy(
    name: str = "base", *, paths: tuple[str, ...] = (APT,), action: str = "Block"
) -> Object:
    expression = {"key": "namespace", "operator": "NotIn", "values": ["kube-system"]}
    return {
        "kind": "KubeArmorClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchExpressions": [expression]},
            "process": {"matchPaths": [{"path": path} for path in paths]},
            "action": action,
            "severity": 5,
        },
    }


def pod(
    name: str = "web",
    *,
    namespace: str = "shop",
    started: bool = True,
    containers: tuple[str, ...] = ("main",),
    **metadata: Any,
) -> Object:
    uid = f"uid-{namespace}-{name}"
    statuses = [
        {"name": each, "containerID": f"containerd://{container_id(uid, each)}"}
        for each in containers
    ]
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid, **metadata},
        "spec": {"nodeName": NODE},
        "status": {"containerStatuses": statuses if started else []},
    }


def id_of(name: str = "web", *, namespace: str = "shop", container: str = "main") -> str:
    return container_id(f"uid-{namespace}-{name}", container)


class Scene:
    """Moves one daemon's time on after every step, so that each step is done when it returns."""

    def __init__(self, version: str, *, failures: Failures | None = None, seed: int = 0) -> None:
        self.now = 1_000.0
        self.world = World()
        for name in NAMESPACES:
            self.world.apply("namespaces", "ADDED", {"metadata": {"name": name}})
        self._new_daemon(version, failures=failures, seed=seed)

    def _new_daemon(self, version: str, *, failures: Failures | None = None, seed: int = 0) -> None:
        self.daemon = Daemon(
            release=release(version), node=NODE, world=self.world, failures=failures, seed=seed
        )

    def replace(self, version: str) -> None:
        """Start another daemon where this one was."""
        self._new_daemon(version)
        self.start()

    @property
    def lines(self) -> list[str]:
        return [line.text.strip() for line in self.daemon.outputs.lines]

    def about(self, *, container: str) -> list[str]:
        """Return the first words of the lines about one container's rules, in order."""
        found = [line for line in self.lines if container in line]
        return [line.partition(" for ")[0] for line in found if line.startswith(ABOUT_RULES)]

    def start(self) -> None:
        self.daemon.start(self.now)
        self.settle()

    def settle(self, seconds: float = SETTLED_SECONDS) -> None:
        self.now += seconds
        self.daemon.advance(self.now)

    def apply(self, resource: str, event: str, item: Object) -> None:
        self.world.apply(resource, event, item)
        self.daemon.watch_event(resource, event, item, self.now)

    def run(self, name: str = "web", *, namespace: str = "shop") -> None:
        """Start a Pod as usual: bound, announced by the runtime, then its status."""
        self.apply("pods", "ADDED", pod(name, namespace=namespace, started=False))
        self.settle()
        self.announce(name, namespace=namespace)
        self.apply("pods", "MODIFIED", pod(name, namespace=namespace))
        self.settle()

    def announce(self, name: str = "web", *, namespace: str = "shop") -> RuntimeContainer:
        known = self.world.running.setdefault(NODE, {})
        first = 4026540002 + 2 * len(known)
        container = RuntimeContainer(
            id=id_of(name, namespace=namespace),
            name="main",
            namespace=namespace,
            pod=name,
            pid_namespace=first,
            mount_namespace=first + 1,
        )
        known[container.id] = container
        self.daemon.container_started(container, self.now)
        self.settle()
        return container

    def act(self, name: str = "web", *, namespace: str = "shop", path: str = APT) -> Observed:
        return self.daemon.act(id_of(name, namespace=namespace), path, self.now)
