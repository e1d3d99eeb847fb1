"""What exists outside of a daemon: the API's objects and the containers that run on a node."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]

RESOURCES = (
    "namespaces",
    "nodes",
    "configmaps",
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "pods",
)


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """A container as the runtime announces it."""

    id: str
    name: str
    namespace: str
    pod: str
    pid_namespace: int
    mount_namespace: int


def container_id(pod_uid: str, container: str, restart: int = 0) -> str:
    """Return the id that the fake kubelet gives a container."""
    return hashlib.sha256(f"{pod_uid}/{container}/{restart}".encode()).hexdigest()


def key_of(item: Mapping[str, Any]) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


@dataclass(slots=True)
class World:
    """The current objects by resource, and the running containers by node."""

    objects: dict[str, dict[Key, Object]] = field(
        default_factory=lambda: {resource: {} for resource in RESOURCES}
    )
    running: dict[str, dict[str, RuntimeContainer]] = field(default_factory=dict)

    def apply(self, resource: str, event: str, item: Object) -> None:
        held = self.objects.setdefault(resource, {})
        if event in {"DELETED", "TOMBSTONE"}:
            held.pop(key_of(item), None)
        else:
            held[key_of(item)] = item

    def replace(self, resource: str, items: list[Object]) -> list[tuple[str, Object]]:
        """Take a fresh list; return the changes that it brings, as a watch would have."""
        held = self.objects.setdefault(resource, {})
        listed = {key_of(item): item for item in items}
        gone = [("DELETED", held[key]) for key in held.keys() - listed.keys()]
        changed = [
            ("MODIFIED" if key in held else "ADDED", item)
            for key, item in listed.items()
            if _revision(held.get(key)) != _revision(item)
        ]
        self.objects[resource] = listed
        return gone + changed

    def listed(self, resource: str) -> list[Object]:
        held = self.objects[resource]
        return [held[key] for key in sorted(held)]

    def namespaces(self) -> list[str]:
        return sorted(name for _, name in self.objects["namespaces"])

    def pod(self, namespace: str, name: str) -> Object | None:
        return self.objects["pods"].get((namespace, name))


def _revision(item: Object | None) -> Any:
    return item and item["metadata"].get("resourceVersion")
