"""What a node's runtime announces, and how a daemon's own Pod is published when it ends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.emulator.world import Object, RuntimeContainer, container_id, key_of

DAEMON_LABELS = {"kubearmor-app": "kubearmor"}
HOST_PID_NAMESPACE = 4026531836
FIRST_NAMESPACE = 4026540002
KILLED = 137


@dataclass(slots=True)
class Namespaces:
    """Hands out namespace ids, two for every container, none of them twice."""

    _next: "count[int]" = field(default_factory=lambda: count(FIRST_NAMESPACE, 2))

    def containers(self, pod: Object) -> Iterator[RuntimeContainer]:
        """Yield what the runtime runs of a Pod: every kind of container that has not ended."""
        spec, metadata, status = pod["spec"], pod["metadata"], pod.get("status") or {}
        statuses = status.get("containerStatuses") or []
        restarts = {each["name"]: each.get("restartCount", 0) for each in statuses}
        ended = {
            each["name"]
            for each in status.get("initContainerStatuses") or []
            if "terminated" in (each.get("state") or {})
        }
        kinds = ("initContainers", "containers", "ephemeralContainers")
        for container in (each for kind in kinds for each in spec.get(kind) or []):
            name = container["name"]
            if name in ended:
                continue
            first = next(self._next)
            yield RuntimeContainer(
                id=container_id(metadata["uid"], name, restarts.get(name, 0)),
                name=name,
                namespace=metadata["namespace"],
                pod=metadata["name"],
                pid_namespace=HOST_PID_NAMESPACE if spec.get("hostPID") else first,
                mount_namespace=first + 1,
            )


@dataclass(frozen=True, slots=True)
class DaemonPod:
    """One run of a daemon's container, as its Pod's status says."""

    namespace: str
    name: str
    uid: str
    node: str
    address: str
    container: str
    image: str
    restart: int
    running: bool
    stopping: bool


def daemon_pod(pod: Object) -> DaemonPod | None:
    """Read a Pod if it is a daemon's and its container has started once."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    if any(labels.get(key) != value for key, value in DAEMON_LABELS.items()):
        return None
    statuses = status.get("containerStatuses") or []
    if not statuses or not statuses[0].get("containerID"):
        return None
    first = statuses[0]
    return DaemonPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=pod["spec"]["nodeName"],
        address=status.get("hostIP") or "127.0.0.1",
        container=first["name"],
        image=pod["spec"]["containers"][0]["image"],
        restart=first.get("restartCount", 0),
        running="running" in (first.get("state") or {}),
        stopping="deletionTimestamp" in metadata,
    )


def ended_status(pod: Object, *, at: float, exit_code: int = KILLED) -> dict[str, Any]:
    """Return the status of a Pod whose container has died."""
    (first, *others) = pod["status"]["containerStatuses"]
    started = (first["state"].get("running") or {}).get("startedAt")
    terminated = {
        "exitCode": exit_code,
        "reason": "Error",
        "containerID": first["containerID"],
        "startedAt": started,
        "finishedAt": _seconds(at),
    }
    dead = {**first, "ready": False, "started": False, "state": {"terminated": terminated}}
    return _status(pod, [dead, *others], ready=False, at=at)


def restarted_status(pod: Object, *, at: float) -> dict[str, Any]:
    """Return the status of a Pod whose container runs again."""
    (first, *others) = pod["status"]["containerStatuses"]
    restarts = first.get("restartCount", 0) + 1
    alive = {
        **first,
        "ready": True,
        "started": True,
        "restartCount": restarts,
        "containerID": "containerd://"
        + container_id(pod["metadata"]["uid"], first["name"], restarts),
        "state": {"running": {"startedAt": _seconds(at)}},
        "lastState": {"terminated": first["state"].get("terminated")},
    }
    return _status(pod, [alive, *others], ready=True, at=at)


def _status(
    pod: Object, statuses: list[dict[str, Any]], *, ready: bool, at: float
) -> dict[str, Any]:
    conditions = [
        {**condition, "status": str(ready), "lastTransitionTime": _seconds(at)}
        if condition["type"] in {"Ready", "ContainersReady"}
        else condition
        for condition in pod["status"].get("conditions") or []
    ]
    return {"containerStatuses": statuses, "conditions": conditions}


def _seconds(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_bound(pod: Mapping[str, Any]) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName"))


def is_ending(pod: Mapping[str, Any]) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return "deletionTimestamp" in pod["metadata"] or phase in {"Succeeded", "Failed"}


def identity(pod: Object) -> str:
    return "/".join(key_of(pod))
