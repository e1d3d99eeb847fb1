"""A small REST client of the Kubernetes API, independent of the monitor's own."""

import json
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

Manifest = dict[str, Any]


class ApiError(Exception):
    """The API server refused; `status` and `reason` are those of its Status object."""

    def __init__(self, *, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


# What a client sees while the API server is away or not ready.
AWAY = (AssertionError, OSError, aiohttp.ClientError)


@dataclass(frozen=True)
class Resource:
    """One kind of object, as the API's paths name it."""

    group_version: str
    plural: str

    def path(self, *, namespace: str | None = None, name: str | None = None) -> str:
        root = "/api" if "/" not in self.group_version else "/apis"
        scope = ("namespaces", namespace) if namespace else ()
        parts = (root, self.group_version, *scope, self.plural, *((name,) if name else ()))
        return "/".join(parts)


NAMESPACES = Resource("v1", "namespaces")
NODES = Resource("v1", "nodes")
PODS = Resource("v1", "pods")
CONFIG_MAPS = Resource("v1", "configmaps")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts")
EVENTS = Resource("v1", "events")
DEPLOYMENTS = Resource("apps/v1", "deployments")
DAEMON_SETS = Resource("apps/v1", "daemonsets")
LEASES = Resource("coordination.k8s.io/v1", "leases")
CUSTOM_RESOURCE_DEFINITIONS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions")
LOGS = Resource("kwok.x-k8s.io/v1alpha1", "logs")


class Api:
    """Calls as one user; open it in the event loop that uses it (`async with Api(...)`)."""

    def __init__(self, *, url: str, token: str, ca_file: Path) -> None:
        self._url = url
        self._token = token
        self._ca_file = ca_file
        self._open = AsyncExitStack()
        self._located: dict[tuple[str, str], Resource] = {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._ca_file))
        session = aiohttp.ClientSession(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
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

    async def text(self, path: str, *, within: float = 10.0) -> str:
        """GET any path, such as /readyz."""
        timeout = aiohttp.ClientTimeout(total=within)
        async with self._session.get(path, timeout=timeout) as response:
            await _raise_refusal(response)
            return await response.text()

    async def create(self, manifest: Manifest) -> Manifest:
        resource = await self.locate(manifest)
        path = resource.path(namespace=_namespace_of(manifest))
        return await self._send("POST", path, body=manifest)

    async def apply(self, manifest: Manifest, *, manager: str = "rig") -> Manifest:
        """Create the object or bring it to the manifest (server-side apply, forced)."""
        resource = await self.locate(manifest)
        path = resource.path(namespace=_namespace_of(manifest), name=manifest["metadata"]["name"])
        return await self._send(
            "PATCH",
            path,
            body=manifest,
            content_type="application/apply-patch+yaml",
            query={"fieldManager": manager, "force": "true"},
        )

    async def apply_all(self, manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            await self.apply(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        resource = await self.locate(manifest)
        path = resource.path(namespace=_namespace_of(manifest), name=manifest["metadata"]["name"])
        return await self._send("PUT", path, body=manifest)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Manifest:
        return await self._send("GET", resource.path(namespace=namespace, name=name))

    async def page(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Return a List object as it is: metadata.resourceVersion, metadata.continue, items."""
        return await self._send("GET", resource.path(namespace=namespace), query=query)

    async def items(
        self, resource: Resource, *, namespace: str | None = None, selector: str = ""
    ) -> list[Manifest]:
        query = {"labelSelector": selector} if selector else None
        listed = await self.page(resource, namespace=namespace, query=query)
        items: list[Manifest] = listed["items"]
        return items

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Manifest,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Manifest:
        """Apply a JSON merge patch: None removes a field, a list replaces a list."""
        path = resource.path(namespace=namespace, name=name)
        return await self._send(
            "PATCH",
            f"{path}/{subresource}" if subresource else path,
            body=body,
            content_type="application/merge-patch+json",
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        grace: int | None = None,
    ) -> Manifest:
        query = None if grace is None else {"gracePeriodSeconds": str(grace)}
        return await self._send(
            "DELETE", resource.path(namespace=namespace, name=name), query=query
        )

    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Manifest, None]:
        """Yield watch events; ERROR events are yielded too, a refusal is raised."""
        asked = {"watch": "true", "resourceVersion": resource_version, **(query or {})}
        path = resource.path(namespace=namespace)
        async for line in self._lines(path, query=asked):
            yield json.loads(line)

    async def log_lines(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        query: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[str, None]:
        """Yield the lines of pods/log, by default as they come, each with its time."""
        asked = {"follow": "true", "timestamps": "true", **(query or {}), "container": container}
        path = f"{PODS.path(namespace=namespace, name=pod)}/log"
        async for line in self._lines(path, query=asked):
            yield line

    async def locate(self, manifest: Manifest) -> Resource:
        """Find the path of a manifest's kind by the API's own discovery."""
        group_version, kind = manifest["apiVersion"], manifest["kind"]
        if (group_version, kind) not in self._located:
            root = "/api" if "/" not in group_version else "/apis"
            found = await self._send("GET", f"{root}/{group_version}")
            for entry in found["resources"]:
                if "/" not in entry["name"]:
                    resource = Resource(group_version, entry["name"])
                    self._located[group_version, entry["kind"]] = resource
        return self._located[group_version, kind]

    async def _lines(self, path: str, *, query: Mapping[str, str]) -> AsyncGenerator[str, None]:
        async with self._session.get(path, params=query) as response:
            await _raise_refusal(response)
            held = b""
            async for block in response.content.iter_any():
                *whole, held = (held + block).split(b"\n")
                for line in whole:
                    yield line.decode()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Manifest | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        async with self._session.request(
            method,
            path,
            data=None if body is None else json.dumps(body),
            params=query,
            headers={"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=30),
        ) as response:
            await _raise_refusal(response)
            answer: Manifest = await response.json()
            return answer


def _namespace_of(manifest: Manifest) -> str | None:
    namespace: str | None = manifest["metadata"].get("namespace")
    return namespace


async def _raise_refusal(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text()
    try:
        status = json.loads(text)
    except ValueError:
        status = {}
    raise ApiError(
        status=response.status,
        reason=status.get("reason", response.reason or ""),
        message=status.get("message", text),
    )
