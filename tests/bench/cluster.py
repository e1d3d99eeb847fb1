"""A made-up cluster: its objects as the API server lists them, its daemons' output."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from monitor.core.kubernetes import Resource
from tests.bench import pods, text
from tests.bench.pods import BEGAN, SYSTEM, DaemonPod, Pod

OWN_POLICY = "own"
OWN_NAMESPACE = "team-7"

Item = dict[str, Any]
Change = Literal["ADDED", "MODIFIED", "DELETED"]


class Scale(Struct, frozen=True):
    """How large the cluster is."""

    containers: int
    nodes: int
    policies: int = 20

    @property
    def of_node(self) -> int:
        """Containers on a node."""
        return self.containers // self.nodes


class Node:
    """One node: its daemon, its containers and its daemon's output."""

    def __init__(self, number: int, scale: Scale, *, began: float) -> None:
        self.name = f"node-{number}"
        self.daemon = DaemonPod(number, self.name, began - 300)
        self.daemon_uid = self.daemon.uid
        self.daemon_label = f"{SYSTEM}/{self.daemon.name}"
        self.journal = text.Journal()
        self._began = began
        self._numbers = range(number, scale.containers, scale.nodes)

    def pods(self) -> Iterator[Pod]:
        return (Pod(number, self.name, self._began) for number in self._numbers)


class Cluster:
    """Everything that runs since `began`, one container in each Pod."""

    def __init__(self, scale: Scale, *, began: float = BEGAN) -> None:
        self.scale = scale
        self.began = began
        self.nodes = [Node(number, scale, began=began) for number in range(scale.nodes)]
        self._next_pod = scale.containers

    def pod(self, node: Node, *, created: float) -> Pod:
        """Return a Pod that was not there before."""
        self._next_pod += 1
        return Pod(self._next_pod, node.name, created)

    def start_of(self, node: Node) -> Iterator[str]:
        """Yield what a node's daemon prints from its first line until all is protected."""
        policies = [text.of_policy(name) for name in self._cluster_policies()]
        own = text.of_policy(OWN_POLICY, namespace=OWN_NAMESPACE)
        yield from text.opening(node.name, [*policies, own])
        for pod in node.pods():
            yield from text.of_pod(text.STARTED, pod)

    def objects(self) -> dict[Resource, list[Item]]:
        """Return every object but the Pods."""
        old = self.began - 3600
        teams = [f"team-{number}" for number in range(pods.NAMESPACES)]
        return {
            "namespaces": [_item(name, created=old) for name in (*teams, SYSTEM, "kube-system")],
            "nodes": [_item(node.name, created=old) for node in self.nodes],
            "daemonsets": [_item("kubearmor", namespace=SYSTEM, created=old)],
            "configmaps": [],
            "kubearmorpolicies": [policy(OWN_POLICY, namespace=OWN_NAMESPACE, created=old)],
            "kubearmorclusterpolicies": [
                policy(name, created=old) for name in self._cluster_policies()
            ],
            "kubearmorhostpolicies": [],
            "kubearmornetworkpolicies": [],
        }

    def _cluster_policies(self) -> list[str]:
        return [f"baseline-{number}" for number in range(self.scale.policies)]


def policy(name: str, *, created: float, namespace: str = "", generation: int = 1) -> Item:
    """Return a policy: of all containers outside kube-system, or of one application."""
    everywhere = [{"key": "namespace", "operator": "NotIn", "values": ["kube-system"]}]
    application = {"matchLabels": {"app.kubernetes.io/name": "app-7"}}
    return {
        **_item(name, namespace=namespace, generation=generation, created=created),
        "spec": {
            "selector": application if namespace else {"matchExpressions": everywhere},
            "process": {"matchPaths": [{"path": f"/usr/bin/{name}"}]},
            "action": "Block",
        },
    }


def policy_event(
    kind: Change, name: str, *, created: float, namespace: str = "", generation: int = 1
) -> tuple[Resource, bytes]:
    """Return of which resource a policy is, and the watch line of its change."""
    changed = policy(name, namespace=namespace, generation=generation, created=created)
    resource: Resource = "kubearmorpolicies" if namespace else "kubearmorclusterpolicies"
    return resource, json.dumps({"type": kind, "object": changed}).encode()


def _item(name: str, *, created: float, namespace: str = "", generation: int = 1) -> Item:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": str(generation),
            "generation": generation,
            "creationTimestamp": pods.moment(created),
        }
    }
