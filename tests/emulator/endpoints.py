"""The Pods, containers and endpoints that a daemon keeps, and how it reads a Pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulator import selection
from tests.emulator.profiles import ANNOTATION
from tests.emulator.selection import Policy
from tests.emulator.settings import Posture
from tests.emulator.world import Object, RuntimeContainer

DISABLED, ENABLED, AUDITED = 0, 1, 2
_MODES = {"enabled": ENABLED, "audited": AUDITED, "disabled": DISABLED}


@dataclass(slots=True)
class Endpoint:
    """A container (by its name in the Pod) and what is attached to it."""

    namespace: str
    pod: str
    container: str
    container_id: str
    identities: tuple[str, ...]
    policies: list[Policy]
    mode: int
    posture: Posture
    profile: str = ""


@dataclass(slots=True)
class KnownContainer:
    """What the daemon knows of a container id; namespace ids of 0 were not announced yet."""

    pod: Object | None
    namespace: str
    pod_name: str
    name: str
    image: str
    mode: int
    pid_namespace: int = 0
    mount_namespace: int = 0
    profile: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """A Pod as a handler reads it."""

    raw: Object
    namespace: str
    name: str
    identities: tuple[str, ...]
    mode: int
    containers: tuple[tuple[str, str, str], ...]
    profiles: Mapping[str, str]


def pod_view(raw: Object, *, observes_only: bool) -> PodView:
    """Read a Pod; only the statuses of its regular containers count."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    namespace = namespace_of(raw)
    statuses = (raw.get("status") or {}).get("containerStatuses") or []
    ids = ((status.get("containerID", "").partition("://")[2], status) for status in statuses)
    annotations = metadata.get("annotations") or {}
    annotated = annotations.get("kubearmor-policy", "")
    mode = _MODES.get(annotated, ENABLED)
    if mode == ENABLED and observes_only:
        mode = AUDITED
    if namespace == "kube-system" or "io.cilium/app" in labels:
        mode = AUDITED
    return PodView(
        raw=raw,
        namespace=namespace,
        name=metadata["name"],
        identities=selection.identities_of(namespace, labels),
        mode=mode,
        containers=tuple((cid, status["name"], _image(status)) for cid, status in ids if cid),
        profiles={
            key.removeprefix(ANNOTATION): value.removeprefix("localhost/")
            for key, value in annotations.items()
            if key.startswith(ANNOTATION)
        },
    )


def profile_names(pod: PodView) -> list[str]:
    """Return the AppArmor profiles that a daemon prepares for a Pod, annotated or not."""
    owners = pod.raw["metadata"].get("ownerReferences") or [{"name": pod.name}]
    owner = owners[0]["name"]
    names = [each["name"] for each in pod.raw["spec"].get("containers") or []]
    return [pod.profiles.get(name, f"kubearmor-{pod.namespace}-{owner}-{name}") for name in names]


def namespace_of(raw: Mapping[str, Any]) -> str:
    return raw["metadata"].get("namespace") or ""


def owner_kind(raw: Mapping[str, Any]) -> str:
    owners = raw["metadata"].get("ownerReferences") or []
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")


def unnamed(container: RuntimeContainer) -> KnownContainer:
    """Return what is known of a container that only the runtime has named yet."""
    return KnownContainer(
        pod=None,
        namespace=container.namespace,
        pod_name=container.pod,
        name=container.name,
        image="",
        mode=DISABLED,
    )


def _image(status: Mapping[str, Any]) -> str:
    image, digest = str(status.get("image", "")), str(status.get("imageID", ""))
    return f"{image}@{digest.rpartition('@')[2]}" if "sha256:" in digest else image
