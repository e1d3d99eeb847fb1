"""The made-up cluster behind a scripted API server: lists, watches and the daemons' output."""

import json
import time
from types import TracebackType
from typing import Any, Self

from monitor.core.kubernetes import Resource
from tests.bench import pods
from tests.bench.cluster import Cluster, Node, Scale
from tests.bench.pods import SYSTEM
from tests.sources.scripted_api import PODS, ScriptedApi, Stream, answer
from tests.sources.scripted_kubelet import ScriptedKubelet

POLICIES = "/apis/security.kubearmor.com/v1"
PATHS: dict[Resource, str] = {
    "pods": PODS,
    "namespaces": "/api/v1/namespaces",
    "nodes": "/api/v1/nodes",
    "daemonsets": f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets",
    "configmaps": f"/api/v1/namespaces/{SYSTEM}/configmaps",
    "kubearmorpolicies": f"{POLICIES}/kubearmorpolicies",
    "kubearmorclusterpolicies": f"{POLICIES}/kubearmorclusterpolicies",
    "kubearmorhostpolicies": f"{POLICIES}/kubearmorhostpolicies",
    "kubearmornetworkpolicies": f"{POLICIES}/kubearmornetworkpolicies",
}


class ScriptedCluster:
    """An asynchronous context manager; its containers were all protected half a minute ago."""

    def __init__(self, scale: Scale) -> None:
        self.cluster = Cluster(scale, began=time.time() - 30)
        self.pods = Stream()
        self._api = ScriptedApi()
        self._kubelets = {node.name: ScriptedKubelet() for node in self.cluster.nodes}

    @property
    def url(self) -> str:
        return self._api.url

    async def __aenter__(self) -> Self:
        standing = [
            json.loads(line)["object"]
            for node in self.cluster.nodes
            for line in (
                node.daemon.line(),
                *(pods.line("ADDED", pod) for pod in node.pods()),
            )
        ]
        for resource, items in {**self.cluster.objects(), "pods": standing}.items():
            self._serve(resource, items)
        for node in self.cluster.nodes:
            kubelet = self._kubelets[node.name]
            path = f"/api/v1/namespaces/{SYSTEM}/pods/{node.daemon.name}/log"
            self._api.always(path, kubelet)
            self._api.always(f"{path}?follow", kubelet)
            self.print(node, *self.cluster.start_of(node), at=self.cluster.began)
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._api.__aexit__(kind, error, trace)

    def print(self, node: Node, *texts: str, at: float) -> None:
        """Let a node's daemon print something."""
        kubelet = self._kubelets[node.name]
        kubelet.write(*(node.journal.line(one, at=at) for one in texts))

    def _serve(self, resource: Resource, items: list[dict[str, Any]]) -> None:
        """A list is answered whenever it is asked for, a watch once: a second would be news."""
        path = PATHS[resource]
        body = json.dumps({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
        self._api.always(path, answer(body=body.encode()))
        self._api.on(f"{path}?watch", self.pods if resource == "pods" else Stream())
