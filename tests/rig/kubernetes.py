"""A real control plane: etcd, API server, controllers and scheduler; KWOK plays the kubelets."""

import asyncio
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.rig import crds, credentials, install
from tests.rig.api import (
    AWAY,
    CUSTOM_RESOURCE_DEFINITIONS,
    LOGS,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Api,
    ApiError,
    Manifest,
)
from tests.rig.containers import restarted
from tests.rig.layout import ADMIN, Layout
from tests.rig.processes import Child
from tests.rig.wait import eventually

UNREADY = (*AWAY, ApiError)


class ControlPlane:
    """One cluster in one folder; `admin` calls its API with every right.

    `users` are authenticated users without any right: bind roles to them (kind User).
    Use it as a context manager, or `start` and `stop` it.
    """

    admin: Api

    def __init__(self, *, folder: Path, users: tuple[str, ...] = ("monitor",)) -> None:
        self.folder = folder
        self.users = (ADMIN, *users)
        self._layout = Layout(folder=folder)
        self._open = AsyncExitStack()
        binaries = install.place("kubernetes")
        flags = self._layout
        self.etcd = self._child(binaries / "etcd", flags.etcd())
        self.apiserver = self._child(binaries / "kube-apiserver", flags.apiserver())
        self.controllers = self._child(binaries / "kube-controller-manager", flags.controllers())
        self.scheduler = self._child(binaries / "kube-scheduler", flags.scheduler())
        self.kubelets = self._child(install.place("kwok") / "kwok", flags.kubelets())

    @property
    def url(self) -> str:
        return self._layout.url

    @property
    def ca_file(self) -> Path:
        return self._layout.ca_file

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything at once: nothing of a test's cluster is worth an orderly shutdown."""
        await self._open.aclose()
        for child in self.children:
            await child.kill()

    def token(self, user: str) -> str:
        return credentials.token(user)

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """Return the file a client of this user starts from."""
        return self._layout.kubeconfig(user)

    def api(self, user: str) -> Api:
        """Return a client to open: `async with control_plane.api("monitor") as api`."""
        return Api(url=self.url, token=self.token(user), ca_file=self.ca_file)

    async def kill_apiserver(self) -> None:
        """Kill -9; watches break, clients are refused until `start_apiserver`."""
        await self.apiserver.kill()

    async def start_apiserver(self) -> None:
        """Start the API server on its port and wait until it is ready."""
        self.apiserver.start()
        await self.apiserver.ready(self._apiserver_answers, within=60, not_yet=UNREADY)

    async def forget_history(self) -> None:
        """Let every older resourceVersion and `continue` token be refused with 410.

        Compacting etcd is not enough: the API server answers from its own window of events and
        lists, which only its restart empties.
        """
        await self._compact()
        await self.kill_apiserver()
        await self.start_apiserver()

    async def add_node(
        self,
        name: str,
        *,
        address: str = "127.0.0.1",
        labels: dict[str, str] | None = None,
    ) -> Manifest:
        """Create a node whose InternalIP is `address`, and wait until it is ready."""
        marks = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})}
        metadata = {"name": name, "labels": marks, "annotations": {"rig/address": address}}
        await self.admin.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})

        async def node_is_ready() -> Manifest | None:
            node = await self.admin.get(NODES, name)
            tainted = node["spec"].get("taints")
            return node if _condition(node, "Ready") and not tainted else None

        return await eventually(node_is_ready, within=30)

    async def add_namespace(self, name: str, *, labels: dict[str, str] | None = None) -> None:
        """Create a namespace, and wait until pods can be created in it."""
        metadata = {"name": name, "labels": labels or {}}
        await self.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

        async def service_account() -> Manifest:
            return await self.admin.get(SERVICE_ACCOUNTS, "default", namespace=name)

        await eventually(service_account, within=30, not_yet=(ApiError,))

    async def install_crd(self, kind: crds.PolicyKind) -> None:
        """Install one of KubeArmor's policy kinds, and wait until it is served."""
        await self._install(crds.definition(kind))

    async def install_crds(self) -> None:
        kinds = crds.POLICY_KINDS.values()
        await asyncio.gather(*(self.install_crd(kind) for kind in kinds))

    async def running_pods(
        self, *, namespace: str, count: int, selector: str = "", within: float = 30.0
    ) -> list[Manifest]:
        """Wait for exactly `count` pods, all running, and return them."""
        pods: list[Manifest] = []

        async def all_running() -> bool:
            pods[:] = await self.admin.items(PODS, namespace=namespace, selector=selector)
            phases = Counter(pod["status"].get("phase") for pod in pods)
            assert phases == Counter(Running=count), phases
            return True

        # A list of a thousand pods is work for both sides: ask for it less often.
        await eventually(all_running, within=within, every=max(0.05, count / 2000))
        return pods

    async def restart_container(self, pod: str, container: str, *, namespace: str) -> str:
        """Publish a restart as a kubelet does (count, new id, last state); return the new id."""
        found = await self.admin.get(PODS, pod, namespace=namespace)
        statuses = [
            restarted(status, uid=found["metadata"]["uid"])
            if status["name"] == container
            else status
            for status in found["status"]["containerStatuses"]
        ]
        body = {"status": {"containerStatuses": statuses}}
        await self.admin.patch(PODS, pod, body, namespace=namespace, subresource="status")
        (new,) = (status["containerID"] for status in statuses if status["name"] == container)
        return str(new)

    async def serve_log(self, pod: str, container: str, *, namespace: str, path: Path) -> None:
        """Let pods/log of a running container serve an existing file that `crilog.append` grows."""
        entry = {"containers": [container], "logsFile": str(path), "follow": True}
        others = [
            served
            for served in await self._served_logs(pod, namespace=namespace)
            if served["containers"] != [container]
        ]
        await self.admin.apply(
            {
                "apiVersion": LOGS.group_version,
                "kind": "Logs",
                "metadata": {"name": pod, "namespace": namespace},
                "spec": {"logs": [*others, entry]},
            }
        )

        async def readable() -> bool:
            query = {"follow": "false", "limitBytes": "1"}
            lines = self.admin.log_lines(pod, namespace=namespace, container=container, query=query)
            _ = [line async for line in lines]
            return True

        await eventually(readable, within=10, not_yet=(ApiError,))

    async def _served_logs(self, pod: str, *, namespace: str) -> list[dict[str, Any]]:
        try:
            served = await self.admin.get(LOGS, pod, namespace=namespace)
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        logs: list[dict[str, Any]] = served["spec"]["logs"]
        return logs

    async def _compact(self) -> None:
        async with aiohttp.ClientSession(base_url=self._layout.etcd_url) as etcd:
            key = {"key": "AA=="}
            async with etcd.post("/v3/kv/range", json={**key, "count_only": True}) as found:
                revision = int((await found.json())["header"]["revision"])
            request = {"revision": revision, "physical": True}
            async with etcd.post("/v3/kv/compaction", json=request) as compacted:
                compacted.raise_for_status()

    async def _start(self) -> None:
        await credentials.write(self._layout, users=self.users)
        self.etcd.start()
        await self.etcd.ready(self._etcd_answers, within=30, not_yet=AWAY)
        self.apiserver.start()
        await self.apiserver.ready(self._has_certificate, within=30)
        self.admin = await self._open.enter_async_context(self.api(ADMIN))
        await self.apiserver.ready(self._apiserver_answers, within=60, not_yet=UNREADY)
        await self._install(crds.log_definition())
        for child in (self.controllers, self.scheduler, self.kubelets):
            child.start()
        ports = self._layout.ports
        await asyncio.gather(
            _healthy(self.controllers, f"https://127.0.0.1:{ports.controllers}/healthz"),
            _healthy(self.scheduler, f"https://127.0.0.1:{ports.scheduler}/healthz"),
            _healthy(self.kubelets, f"http://127.0.0.1:{ports.kubelets}/healthz"),
        )

    async def _install(self, definition: Manifest) -> None:
        await self.admin.apply(definition)
        name = definition["metadata"]["name"]

        async def established() -> bool:
            found = await self.admin.get(CUSTOM_RESOURCE_DEFINITIONS, name)
            return _condition(found, "Established")

        async def served() -> Manifest:
            return await self.admin.page(crds.resource_of(definition))

        await eventually(established, within=30)
        await eventually(served, within=30, not_yet=(ApiError,))

    async def _etcd_answers(self) -> bool:
        async with (
            aiohttp.ClientSession(base_url=self._layout.etcd_url) as etcd,
            etcd.get("/health") as response,
        ):
            return response.status == 200

    async def _has_certificate(self) -> bool:
        return self.ca_file.exists() and bool(self.ca_file.read_text())

    async def _apiserver_answers(self) -> bool:
        return await self.admin.text("/readyz") == "ok"

    @property
    def children(self) -> tuple[Child, ...]:
        return (self.kubelets, self.scheduler, self.controllers, self.apiserver, self.etcd)

    def _child(self, program: Path, flags: tuple[str, ...]) -> Child:
        name = program.name
        return Child(name=name, command=(str(program), *flags), log=self.folder / f"{name}.log")


def _condition(found: Manifest, kind: str) -> bool:
    conditions = found.get("status", {}).get("conditions") or []
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


async def _healthy(child: Child, url: str) -> None:
    untrusted = ssl.create_default_context()
    untrusted.check_hostname = False
    untrusted.verify_mode = ssl.CERT_NONE

    async def answers() -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=untrusted) as response,
        ):
            return response.status == 200

    await child.ready(answers, within=60, not_yet=AWAY)
