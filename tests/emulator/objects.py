"""Kubernetes objects as the API server would show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.emulator.steps import Run
from tests.emulator.world import Object, container_id

SYSTEM = "kubearmor"
IMAGE = "kubearmor/kubearmor"
HASH = "b5c4d6f7"


def seconds(at: float) -> str:
    """Return an instant as the API server writes it: whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Life:
    """One container of a Pod: how often it was restarted, since when it runs (None: not yet)."""

    restarts: int = 0
    since: float | None = None
    ended: float | None = None
    exit_code: int = 0
    former: dict[str, Any] | None = None

    def restart(self, at: float, *, uid: str, name: str) -> None:
        former = self.status(name, uid=uid, image="")["containerID"]
        self.former = {
            "containerID": former,
            "startedAt": seconds(self.since or at),
            "finishedAt": seconds(self.ended or at),
            "exitCode": self.exit_code,
            "reason": "Error",
        }
        self.restarts += 1
        self.since, self.ended = at, None

    def status(self, name: str, *, uid: str, image: str) -> Object:
        status: Object = {
            "name": name,
            "image": image,
            "imageID": "",
            "ready": self.since is not None and self.ended is None,
            "restartCount": self.restarts,
        }
        if self.since is None:
            return status | {"state": {"waiting": {"reason": "ContainerCreating"}}}
        identity = f"containerd://{container_id(uid, name, self.restarts)}"
        state: Object = {"running": {"startedAt": seconds(self.since)}}
        if self.ended is not None:
            ending = {"containerID": identity, "exitCode": self.exit_code}
            ending |= {"startedAt": seconds(self.since), "finishedAt": seconds(self.ended)}
            state = {"terminated": ending | {"reason": "Error" if self.exit_code else "Completed"}}
        status |= {"containerID": identity, "state": state}
        return status | ({"lastState": {"terminated": self.former}} if self.former else {})


@dataclass(slots=True)
class Workload:
    """A Pod as it was planned and as it stands; `object` shows it to readers."""

    plan: Run
    uid: str
    created: float
    labels: dict[str, str]
    annotations: dict[str, str]
    lives: dict[str, Life] = field(default_factory=dict)
    deleted: float | None = None

    @property
    def namespace(self) -> str:
        return self.plan.pod.partition("/")[0]

    @property
    def name(self) -> str:
        return self.plan.pod.partition("/")[2]

    def object(self) -> Object:
        kinds = {
            "containerStatuses": (*self.plan.containers, *self.plan.late),
            "initContainerStatuses": (*self.plan.init, *self.plan.sidecars),
            "ephemeralContainerStatuses": self.plan.ephemeral,
        }
        ended = [life.ended is not None for life in self.lives.values()]
        phase = "Succeeded" if ended and all(ended) else "Running" if ended else "Pending"
        statuses = {
            kind: [
                self.lives.get(name, Life()).status(name, uid=self.uid, image=f"{name}:1")
                for name in names
            ]
            for kind, names in kinds.items()
        }
        return {
            "metadata": self._metadata(),
            "spec": self._spec(),
            "status": {"phase": phase, **(statuses if self.lives else {})},
        }

    def _metadata(self) -> Object:
        owner = {"kind": "StatefulSet", "name": self.name.rpartition("-")[0] or self.name}
        metadata: Object = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "creationTimestamp": seconds(self.created),
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "ownerReferences": [owner | {"controller": True, "uid": f"set-{self.uid}"}],
        }
        if self.deleted is not None:
            metadata["deletionTimestamp"] = seconds(self.deleted)
        return metadata

    def _spec(self) -> Object:
        names = (*self.plan.containers, *self.plan.late)
        init = [{"name": name, "image": f"{name}:1"} for name in self.plan.init]
        init += [
            {"name": name, "image": f"{name}:1", "restartPolicy": "Always"}
            for name in self.plan.sidecars
        ]
        return {
            "nodeName": self.plan.node,
            "containers": [{"name": name, "image": f"{name}:1"} for name in names],
            "initContainers": init,
            "ephemeralContainers": [
                {"name": name, "image": f"{name}:1"} for name in self.plan.ephemeral
            ],
            **self.plan.spec,
        }


def daemon_pod(
    *, node: str, address: str, number: int, tag: str, template: int, created: float, life: Life
) -> Object:
    """A Pod of KubeArmor's DaemonSet."""
    uid = f"daemon-{node}-{number}"
    return {
        "metadata": {
            "namespace": SYSTEM,
            "name": f"kubearmor-{node}-{number}",
            "uid": uid,
            "creationTimestamp": seconds(created),
            "labels": {
                "kubearmor-app": "kubearmor",
                "controller-revision-hash": f"{HASH}{template}",
                "pod-template-generation": str(template),
            },
            "ownerReferences": [
                {"kind": "DaemonSet", "name": "kubearmor", "uid": "daemonset", "controller": True}
            ],
        },
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "containers": [{"name": "kubearmor", "image": f"{IMAGE}:{tag}"}],
        },
        "status": {
            "phase": "Running",
            "hostIP": address,
            "podIP": address,
            "containerStatuses": [life.status("kubearmor", uid=uid, image=f"{IMAGE}:{tag}")],
        },
    }


def node_object(
    name: str, *, address: str, labels: Mapping[str, str], system: str, created: float
) -> Object:
    return {
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "creationTimestamp": seconds(created),
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": system, **labels},
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "nodeInfo": {
                "operatingSystem": system,
                "kubeletVersion": "v1.34.4+k3s1",
                "containerRuntimeVersion": "containerd://2.1.5-k3s1",
                "kernelVersion": "6.8.0-79-generic",
                "osImage": "Ubuntu 24.04.3 LTS",
                "architecture": "amd64",
            },
        },
    }


def daemon_set(*, tag: str, template: int, desired: int, updated: int, created: float) -> Object:
    labels = {"kubearmor-app": "kubearmor"}
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "kubearmor", "image": f"{IMAGE}:{tag}"}],
    }
    return {
        "metadata": {
            "namespace": SYSTEM,
            "name": "kubearmor",
            "uid": "daemonset",
            "creationTimestamp": seconds(created),
            "generation": template,
            "labels": labels,
            "annotations": {"deprecated.daemonset.template.generation": str(template)},
        },
        "spec": {"selector": {"matchLabels": labels}, "template": {"spec": pod}},
        "status": {
            "observedGeneration": template,
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": desired,
            "updatedNumberScheduled": updated,
        },
    }
