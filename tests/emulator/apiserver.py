"""The little of the Kubernetes API that the emulated daemons' surroundings need."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.emulator.world import Object

PATHS = {
    "namespaces": "/api/v1/namespaces",
    "nodes": "/api/v1/nodes",
    "configmaps": "/api/v1/configmaps",
    "pods": "/api/v1/pods",
    "kubearmorpolicies": "/apis/security.kubearmor.com/v1/kubearmorpolicies",
    "kubearmorclusterpolicies": "/apis/security.kubearmor.com/v1/kubearmorclusterpolicies",
}
KINDS = {
    "kubearmorpolicies": "KubeArmorPolicy",
    "kubearmorclusterpolicies": "KubeArmorClusterPolicy",
}
LOGS = "/apis/kwok.x-k8s.io/v1alpha1"
RETRY_SECONDS = 0.2
UNSERVED_RETRY_SECONDS = 0.5
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}

Listed = Callable[[str, list[Object]], None]
Changed = Callable[[str, str, Object], None]
Lost = Callable[[str], None]


class Expired(Exception):
    """The resourceVersion is too old: only a new list helps."""


class ApiServer:
    """Open it in the event loop that uses it (`async with ApiServer(...)`)."""

    def __init__(self, *, url: str, token: str, ca_file: Path) -> None:
        self._url = url
        self._token = token
        self._ca_file = ca_file
        self._open = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._ca_file))
        session = aiohttp.ClientSession(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=2**22,
        )
        self._session = await self._open.enter_async_context(session)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def follow(self, resource: str, *, listed: Listed, changed: Changed, lost: Lost) -> None:
        """List and watch for ever; says when the server is `lost`, while it is."""
        version = ""
        while True:
            try:
                if not version:
                    items, version = await self._list(resource)
                    listed(resource, items)
                async for event in self._watch(resource, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        changed(resource, event["type"], _with_kind(resource, event["object"]))
            except Expired:
                version = ""
            except aiohttp.ClientResponseError as error:
                version = ""
                await asyncio.sleep(
                    UNSERVED_RETRY_SECONDS if error.status == 404 else RETRY_SECONDS
                )
            except (OSError, aiohttp.ClientError):
                lost(resource)
                await asyncio.sleep(RETRY_SECONDS)

    async def patch_status(self, namespace: str, pod: str, status: Mapping[str, Any]) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/status"
        async with self._session.patch(
            path, json={"status": status}, headers=MERGE_PATCH, raise_for_status=True
        ):
            pass

    async def pod(self, namespace: str, name: str) -> Object:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        async with self._session.get(path, raise_for_status=True) as response:
            pod: Object = await response.json()
            return pod

    async def serve_log(
        self, namespace: str, pod: str, container: str, *, path: Path, previous: Path | None
    ) -> None:
        """Have the fake kubelet answer pods/log of a container from files; wait for the API."""
        while True:
            try:
                await self._put_logs(namespace, pod, container, path=path, previous=previous)
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _put_logs(
        self, namespace: str, pod: str, container: str, *, path: Path, previous: Path | None
    ) -> None:
        entry: dict[str, Any] = {
            "containers": [container],
            "logsFile": str(path),
            "follow": True,
        }
        if previous is not None:
            entry["previousLogsFile"] = str(previous)
        body = {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": pod, "namespace": namespace},
            "spec": {"logs": [entry]},
        }
        collection = f"{LOGS}/namespaces/{namespace}/logs"
        async with self._session.post(collection, json=body) as created:
            if created.status != 409:
                created.raise_for_status()
                return
        async with self._session.patch(
            f"{collection}/{pod}", json=body, headers=MERGE_PATCH, raise_for_status=True
        ):
            pass

    async def _list(self, resource: str) -> tuple[list[Object], str]:
        items: list[Object] = []
        query = {"limit": "500"}
        while True:
            async with self._session.get(
                PATHS[resource], params=query, raise_for_status=True
            ) as response:
                page = await response.json()
            items += (_with_kind(resource, item) for item in page["items"])
            if not (token := page["metadata"].get("continue")):
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = token

    async def _watch(self, resource: str, version: str) -> AsyncIterator[dict[str, Any]]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        async with self._session.get(PATHS[resource], params=query) as response:
            if response.status == 410:
                raise Expired
            response.raise_for_status()
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Expired
                yield event


def _with_kind(resource: str, item: Object) -> Object:
    """Items of a list leave out their kind."""
    return {"kind": KINDS[resource], **item} if resource in KINDS else item
