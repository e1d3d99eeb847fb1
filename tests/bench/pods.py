"""The Pods of a made-up cluster, as the API server writes them: lines of about 6 KB."""

import copy
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from msgspec import Struct

TEMPLATE = Path(__file__).with_name("pod.json")
NAMESPACES = 50
APPLICATIONS = 200
SYSTEM = "kubearmor"
DAEMON_IMAGE = "kubearmor/kubearmor:v1.7.4"
BEGAN = 1_795_469_264.0

Stage: TypeAlias = Literal["created", "bound", "running", "ending", "daemon"]
EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


class Pod(Struct, frozen=True):
    """One Pod with one container; everything about it follows from its number and its node."""

    number: int
    node: str
    created: float

    @property
    def namespace(self) -> str:
        return f"team-{self.number % NAMESPACES}"

    @property
    def application(self) -> str:
        return f"app-{self.number % APPLICATIONS}"

    @property
    def name(self) -> str:
        return f"{self.application}-5d8f7c9b64-{self.number:07d}"

    @property
    def uid(self) -> str:
        return f"{self.number:08x}-f798-44be-8205-8a0a76d67de6"

    @property
    def container_id(self) -> str:
        return hashlib.sha256(self.uid.encode()).hexdigest()


class DaemonPod(Struct, frozen=True):
    """The Pod of a node's KubeArmor daemon."""

    number: int
    node: str
    created: float

    @property
    def name(self) -> str:
        return f"kubearmor-{self.number:05d}"

    @property
    def uid(self) -> str:
        return f"{self.number:08x}-df1e-4d2b-b7c3-91f1b6cf3a55"

    def line(self) -> bytes:
        return event(
            "ADDED",
            "daemon",
            {
                "name": self.name,
                "namespace": SYSTEM,
                "uid": self.uid,
                "app": "kubearmor",
                "node": self.node,
                "track": "stable",
                "version": 1,
                "created": moment(self.created),
                "touched": moment(self.created),
                "started": moment(self.created),
                "container": hashlib.sha256(self.uid.encode()).hexdigest(),
            },
        )


def line(
    kind: EventType,
    pod: Pod,
    *,
    stage: Stage = "running",
    version: int = 1,
    track: str = "stable",
    touched: float = BEGAN,
) -> bytes:
    """Return a watch line of a Pod; `touched` is a time that stands where nobody looks."""
    return event(
        kind,
        stage,
        {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "app": pod.application,
            "node": pod.node,
            "track": track,
            "version": version,
            "created": moment(pod.created),
            "touched": moment(touched),
            "started": moment(pod.created),
            "container": pod.container_id,
        },
    )


def event(kind: EventType, stage: Stage, values: Mapping[str, Any]) -> bytes:
    return (_template(kind, stage) % values).encode()


def moment(at: float) -> str:
    """Return an instant as the API server writes it."""
    return _second(int(at))


@cache
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _template(kind: EventType, stage: Stage) -> str:
    return json.dumps({"type": kind, "object": _object(stage)}, separators=(",", ":"))


def _object(stage: Stage) -> dict[str, Any]:
    pod: dict[str, Any] = copy.deepcopy(json.loads(TEMPLATE.read_text()))
    match stage:
        case "created" | "bound":
            pod["status"] = {"phase": "Pending", "qosClass": "Burstable"}
            if stage == "created":
                del pod["spec"]["nodeName"]
        case "ending":
            pod["metadata"]["deletionTimestamp"] = "%(touched)s"
            pod["metadata"]["deletionGracePeriodSeconds"] = 30
        case "daemon":
            pod["metadata"]["labels"]["kubearmor-app"] = "kubearmor"
            for container in (pod["spec"]["containers"][0], pod["status"]["containerStatuses"][0]):
                container |= {"name": "kubearmor", "image": DAEMON_IMAGE}
        case "running":
            pass
    return pod
