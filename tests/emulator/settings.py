"""What a daemon makes of namespaces and of its config map: visibility, posture, exemptions."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from tests.emulator.releases import Release
from tests.emulator.switches import Failures
from tests.emulator.world import World

Request = Literal["get", "list"]
Steps = Generator[Request, None, None]
NsKey = tuple[int, int]

HOST_KEY: NsKey = (0, 0)
DEFAULT_KEY: NsKey = (12648430, 12648430)
SCOPES = ("file", "process", "network", "capabilities", "dns", "ima")
POSTURES = ("file", "network", "capabilities")


class Say(Protocol):
    """Print a line; not everything that is printed is also sent as a message over gRPC."""

    def __call__(self, level: str, text: str, *, streamed: bool = True) -> None: ...


class Posture(NamedTuple):
    file: str = "audit"
    network: str = "audit"
    capabilities: str = "audit"


def _nothing(namespace: str, posture: Posture) -> None:
    """Stand in until there are endpoints that a posture could change."""


@dataclass(slots=True)
class NamespaceVisibility:
    scopes: frozenset[str]
    keys: list[NsKey] = field(default_factory=list)


@dataclass(slots=True)
class Settings:
    """The daemon's configuration as it stands, and the handlers that change it."""

    release: Release
    world: World
    say: Say
    failures: Callable[[], Failures]
    cluster: str = "default"
    untracked: tuple[str, ...] = ("kube-system", "kubearmor")
    visibility: str = "process,file,network,capabilities"
    posture: Posture = field(default_factory=Posture)
    device_posture: str = "audit"
    max_alerts: int = 10
    throttle_seconds: int = 30
    namespaces: dict[str, NamespaceVisibility] = field(default_factory=dict)
    annotated_postures: dict[str, Posture] = field(default_factory=dict)
    containers: dict[NsKey, str] = field(default_factory=dict)
    posture_changed: Callable[[str, Posture], None] = _nothing

    def posture_of(self, namespace: str) -> Posture:
        return self.annotated_postures.get(namespace, self.posture)

    def sees(self, namespace: str, scope: str) -> bool:
        """Say whether events of that class reach user space."""
        known = self.namespaces.get(namespace)
        return scope in (known.scopes if known else self.visibility.split(","))

    def namespace_event(self, event: str, namespace: Mapping[str, Any]) -> None:
        name = namespace["metadata"]["name"]
        if event == "DELETED":
            self.annotated_postures.pop(name, None)
            for key in self._forget(name):
                self._say_deleted(key)
            return
        annotations = namespace["metadata"].get("annotations") or {}
        posture, annotated = self._posture(annotations, default=self.posture)
        if annotated:
            self.annotated_postures[name] = posture
        self.posture_changed(name, posture)
        wanted = annotations.get("kubearmor-visibility") or self.visibility
        self._show(name, frozenset(scope for scope in SCOPES if scope in wanted))

    def config_event(self, event: str, config: Mapping[str, Any]) -> Steps:
        data = config.get("data") or {}
        before, device = self.posture, self.device_posture if event == "ADDED" else ""
        self.visibility = data.get("visibility", "")
        self.cluster = data.get("cluster", "")
        self.max_alerts = int(data.get("maxAlertPerSec", self.max_alerts))
        self.throttle_seconds = int(data.get("throttleSec", self.throttle_seconds))
        if event == "ADDED":
            self._take_untracked(data)
            self._say_throttling(data)
        self._say_posture("Current Global Posture is {%s}", before, device)
        self.posture = Posture(
            *(_valid(data.get(f"default{scope.capitalize()}Posture")) for scope in POSTURES)
        )
        self._say_update()
        yield "list"
        for name in self._live_namespaces():
            annotations = self._annotations(name)
            posture, _ = self._posture(annotations, default=self.posture)
            self.posture_changed(name, posture)
        if event == "MODIFIED":
            self._take_untracked(data)
        self._say_added(HOST_KEY)
        self._say_added(DEFAULT_KEY)
        yield "list"
        self._show_all()
        if event == "MODIFIED":
            self._say_throttling(data)

    def _show_all(self) -> None:
        for name in self._live_namespaces():
            if name in self.untracked:
                if self.release.reads_untracked_from_config_map:
                    self._show(name, frozenset())
            elif "kubearmor-visibility" not in self._annotations(name):
                shown = (scope for scope in SCOPES if scope in self.visibility)
                self._show(name, frozenset(shown))

    def _live_namespaces(self) -> list[str]:
        if self.failures().namespace_list_fails:
            self.say("ERROR", "unable to fetch namespace list", streamed=False)
            return []
        return self.world.namespaces()

    def _annotations(self, namespace: str) -> Mapping[str, str]:
        found = self.world.objects["namespaces"].get(("", namespace)) or {"metadata": {}}
        annotations: Mapping[str, str] = found["metadata"].get("annotations") or {}
        return annotations

    def _take_untracked(self, data: Mapping[str, str]) -> None:
        if self.release.reads_untracked_from_config_map and "untrackedNs" in data:
            names = (name.strip() for name in data["untrackedNs"].split(","))
            self.untracked = tuple(name for name in names if name)

    @staticmethod
    def _posture(annotations: Mapping[str, str], *, default: Posture) -> tuple[Posture, bool]:
        given = [annotations.get(f"kubearmor-{scope}-posture") for scope in POSTURES]
        values = [
            default[index] if value is None else _valid(value) for index, value in enumerate(given)
        ]
        return Posture(*values), any(value is not None for value in given)

    def _say_posture(self, text: str, posture: Posture, device: str) -> None:
        words = [posture.file, posture.network, posture.capabilities]
        if self.release.has_device_posture:
            words.append(device)
        self.say("INFO", text % " ".join(words))

    def _say_update(self) -> None:
        posture = self.posture
        device = f", Device:{self.device_posture}" if self.release.has_device_posture else ""
        self.say(
            "INFO",
            f"[Update] Global DefaultPosture {{File:{posture.file}, "
            f"Capabilities:{posture.capabilities}, Network:{posture.network}{device}}}",
        )

    def _say_throttling(self, data: Mapping[str, str]) -> None:
        on = data.get("alertThrottling", "true")
        self.say(
            "INFO",
            f"Alert Throttling configured {{alertThrottling:{on}, "
            f"maxAlertPerSec:{self.max_alerts}, throttleSec:{self.throttle_seconds}}}",
        )
        if self.release.has_dns_visibility:
            matching = data.get("matchArgs", "true")
            self.say("INFO", f"Argument matching configured {{matchArgs:{matching}}}")

    def _show(self, namespace: str, scopes: frozenset[str]) -> None:
        known = self.namespaces.setdefault(namespace, NamespaceVisibility(scopes))
        known.scopes = scopes
        for key in known.keys:
            self.say(
                "INFO",
                f"Updated visibility map with key={_printed(key)} "
                f"for cid {self.containers.get(key, '')}",
            )
        names = ["File", "Process", "Network", "Capabilities"]
        if self.release.has_dns_visibility:
            names += ["DNS", "IMA"]
        values = " ".join(f"{name}:{str(name.lower() in scopes).lower()}" for name in names)
        word = self.release.spells_visibility
        self.say("INFO", f"Namespace {namespace} {word} configured {{{values}}}")

    def add_key(self, namespace: str, key: NsKey, container: str) -> None:
        """Note that a container's events belong to a namespace."""
        self.containers[key] = container
        known = self.namespaces.get(namespace)
        if known is None:
            shown = frozenset(scope for scope in SCOPES if scope in self.visibility)
            known = self.namespaces[namespace] = NamespaceVisibility(shown)
        elif key in known.keys:
            return
        known.keys.append(key)
        self._say_added(key)

    def remove_key(self, namespace: str, key: NsKey) -> None:
        self.containers.pop(key, None)
        known = self.namespaces.get(namespace)
        if known is not None:
            if key in known.keys:
                known.keys.remove(key)
            self._say_deleted(key)

    def _forget(self, namespace: str) -> list[NsKey]:
        known = self.namespaces.pop(namespace, None)
        return known.keys if known else []

    def _say_added(self, key: NsKey) -> None:
        text = f"Successfully added visibility map with key={_printed(key)} to the kernel"
        self.say("INFO", text)

    def _say_deleted(self, key: NsKey) -> None:
        text = f"Successfully deleted visibility map with key={_printed(key)} from the kernel"
        self.say("INFO", text)


def _printed(key: NsKey) -> str:
    return f"{{PidNS:{key[0]} MntNS:{key[1]}}}"


def _valid(posture: str | None) -> str:
    return posture if posture in {"audit", "block"} else "audit"
