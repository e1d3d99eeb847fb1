"""KubeArmor's emulator on a real control plane: objects, text, alerts and their failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from monitor.wire.pb import feeder_pb2, feeder_pb2_grpc
from tests.emulator.cluster import KubeArmor, manifests
from tests.emulator.events import Observed
from tests.emulator.informers import Waits
from tests.emulator.scene import APT, cluster_policy
from tests.rig.api import DAEMON_SETS, NAMESPACES, PODS, ApiError, Manifest, Resource
from tests.rig.kubernetes import ControlPlane
from tests.rig.ports import free_ports
from tests.rig.wait import eventually

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

CLUSTER_POLICIES = Resource("security.kubearmor.com/v1", "kubearmorclusterpolicies")
NODES = {"node-1": "127.0.0.2", "node-2": "127.0.0.3"}
SYSTEM = "kubearmor"
SECONDS = 40
NUMBERS = count(1)

Install = Callable[[str], Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(folder=tmp_path_factory.mktemp("kubernetes")) as cluster:
        for name, address in NODES.items():
            await cluster.add_node(name, address=address)
        await cluster.add_namespace(SYSTEM)
        await cluster.install_crds()
        yield cluster


@pytest.fixture
def install(control_plane: ControlPlane, tmp_path: Path) -> Install:
    """Return what installs KubeArmor of a release for as long as its context is open."""

    @asynccontextmanager
    async def installed(version: str) -> AsyncIterator[KubeArmor]:
        daemon_port, relay_port = free_ports(2)
        admin = control_plane.admin
        emulator = KubeArmor(
            url=control_plane.url,
            token=control_plane.token("admin"),
            ca_file=control_plane.ca_file,
            folder=tmp_path,
            daemon_port=daemon_port,
            relay_port=relay_port,
            relay_retry_seconds=0.2,
            informer_waits=Waits(first=0.1, longest=0.3),
        )
        async with emulator as kubearmor:
            for manifest in manifests(image=f"kubearmor/kubearmor:{version}"):
                await admin.apply(manifest)
            await serving(kubearmor)
            yield kubearmor
            await admin.delete(DAEMON_SETS, "kubearmor", namespace=SYSTEM)
            await admin.delete(CLUSTER_POLICIES, "base")
            await control_plane.running_pods(namespace=SYSTEM, count=0)

    return installed


async def serving(kubearmor: KubeArmor) -> None:
    async def all_serve() -> bool:
        return kubearmor.nodes == NODES.keys() and all(
            kubearmor.daemon(node).serving for node in NODES
        )

    await eventually(all_serve, within=SECONDS)


async def deployed(control_plane: ControlPlane, *, replicas: int) -> list[Manifest]:
    """Create a namespace and a Deployment in it, and wait for its Pods."""
    namespace = f"team-{next(NUMBERS)}"
    labels = {"app": "web"}
    await control_plane.add_namespace(namespace)
    template = {
        "metadata": {"labels": labels, "annotations": {"rig/start-delay": "600ms"}},
        "spec": {"containers": [{"name": "main", "image": "web:1"}]},
    }
    await control_plane.admin.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }
    )
    return await control_plane.running_pods(namespace=namespace, count=replicas)


async def attempt(kubearmor: KubeArmor, pod: Manifest) -> Observed | None:
    metadata = pod["metadata"]
    return await kubearmor.act(metadata["namespace"], metadata["name"], "main", APT)


async def protected(kubearmor: KubeArmor, pods: list[Manifest]) -> None:
    async def all_refuse() -> bool:
        observed = [await attempt(kubearmor, pod) for pod in pods]
        return all(each is not None and each.denied for each in observed)

    await eventually(all_refuse, within=SECONDS, every=0.2, not_yet=(LookupError,))


def container(pod: Manifest) -> str:
    (status,) = pod["status"]["containerStatuses"]
    return str(status["containerID"]).removeprefix("containerd://")


async def text(control_plane: ControlPlane, *, node: str, previous: bool = False) -> list[str]:
    """Return what pods/log has of a node's daemon."""
    daemons = await control_plane.admin.items(PODS, namespace=SYSTEM)
    (name,) = (pod["metadata"]["name"] for pod in daemons if pod["spec"]["nodeName"] == node)
    query = {"follow": "false", "previous": str(previous).lower()}
    lines = control_plane.admin.log_lines(
        name, namespace=SYSTEM, container="kubearmor", query=query
    )
    return [line async for line in lines]


async def says(control_plane: ControlPlane, words: str, *, node: str) -> None:
    async def there() -> bool:
        return any(words in line for line in await text(control_plane, node=node))

    await eventually(there, within=SECONDS, not_yet=(ApiError,))


async def test_a_namespace_newer_than_the_policy_is_missed_by_v1_5_7_until_it_restarts(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.5.7") as kubearmor:
        old = await deployed(control_plane, replicas=2)
        await control_plane.admin.create(_policy())
        await protected(kubearmor, old)
        new = await deployed(control_plane, replicas=3)
        for pod in new:
            await says(
                control_plane,
                f"Deleting inner map for {container(pod)}",
                node=pod["spec"]["nodeName"],
            )
        observed = [await attempt(kubearmor, pod) for pod in new]
        assert [each and each.denied for each in observed] == [False] * 3
        for node in NODES:
            await kubearmor.kill(node)
            await kubearmor.restart(node)
        await protected(kubearmor, [*old, *new])


async def test_v1_7_4_covers_a_namespace_newer_than_the_policy(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        await protected(kubearmor, await deployed(control_plane, replicas=3))


async def test_a_refusal_reaches_a_client_of_the_relay(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        pods = await deployed(control_plane, replicas=1)
        await protected(kubearmor, pods)
        alert = await alerted(kubearmor, pods[0])
        await kubearmor.stop_relay()
        assert not kubearmor.relay.running
        await kubearmor.start_relay()
        again = await alerted(kubearmor, pods[0])
    for each in (alert, again):
        told = (each.ContainerID, each.PolicyName, each.Action, each.Enforcer, each.Result)
        assert told == (container(pods[0]), "base", "Block", "BPFLSM", "Permission denied")


async def alerted(kubearmor: KubeArmor, pod: Manifest) -> feeder_pb2.Alert:
    """Act until an alert comes through: the relay tells only who is there in time."""

    async def act() -> None:
        while True:
            await attempt(kubearmor, pod)
            await asyncio.sleep(0.2)

    async with grpc.aio.insecure_channel(kubearmor.relay.address) as channel:
        stub: Any = feeder_pb2_grpc.LogServiceStub(channel)
        stream = stub.WatchAlerts(feeder_pb2.RequestMessage(Filter="policy"))
        acting = asyncio.create_task(act())
        async with asyncio.timeout(SECONDS):
            alert: feeder_pb2.Alert = await stream.read()
        acting.cancel()
        stream.cancel()
    return alert


async def test_a_killed_daemon_leaves_its_node_unprotected_and_its_pod_says_so(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        pods = await deployed(control_plane, replicas=2)
        await protected(kubearmor, pods)
        await kubearmor.kill("node-1")
        assert kubearmor.nodes == {"node-2"}
        killed = await daemon_status(control_plane, node="node-1")
        assert (list(killed["state"]), killed["ready"]) == (["terminated"], False)
        await kubearmor.restart("node-1")
        await serving(kubearmor)
        await protected(kubearmor, pods)
        status = await daemon_status(control_plane, node="node-1")
        assert (status["restartCount"], list(status["state"])) == (1, ["running"])
        assert status["lastState"]["terminated"]["containerID"] == killed["containerID"]
        assert status["containerID"] != killed["containerID"]
        first = await text(control_plane, node="node-1", previous=True)
        second = await text(control_plane, node="node-1")
        assert [_boots(lines) for lines in (first, second)] == [1, 1]


async def daemon_status(control_plane: ControlPlane, *, node: str) -> dict[str, Any]:
    daemons = await control_plane.admin.items(PODS, namespace=SYSTEM)
    (pod,) = (pod for pod in daemons if pod["spec"]["nodeName"] == node)
    status: dict[str, Any] = pod["status"]["containerStatuses"][0]
    return status


async def test_a_deleted_daemon_says_goodbye_and_its_successor_protects(
    control_plane: ControlPlane, install: Install, tmp_path: Path
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        pods = await deployed(control_plane, replicas=2)
        await protected(kubearmor, pods)
        before = {node: kubearmor.daemon(node) for node in NODES}
        for pod in await control_plane.admin.items(PODS, namespace=SYSTEM):
            await control_plane.admin.delete(PODS, pod["metadata"]["name"], namespace=SYSTEM)

        async def replaced() -> bool:
            return kubearmor.nodes == NODES.keys() and all(
                kubearmor.daemon(node) is not before[node] for node in NODES
            )

        await eventually(replaced, within=SECONDS)
        await serving(kubearmor)
        await protected(kubearmor, pods)
        assert goodbyes(tmp_path) == len(NODES)


async def test_daemons_outlive_the_api_server(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        pods = await deployed(control_plane, replicas=2)
        await protected(kubearmor, pods)
        await control_plane.kill_apiserver()
        await protected(kubearmor, pods)
        await control_plane.start_apiserver()
        await protected(kubearmor, await deployed(control_plane, replicas=2))
        for node in NODES:
            again = "Detected a Cluster Security Policy (modified/base)"
            await says(control_plane, again, node=node)


async def test_a_deleted_pod_s_containers_are_no_longer_registered(
    control_plane: ControlPlane, install: Install
) -> None:
    async with install("v1.7.4") as kubearmor:
        await control_plane.admin.create(_policy())
        pods = await deployed(control_plane, replicas=1)
        await protected(kubearmor, pods)
        await control_plane.admin.delete(NAMESPACES, pods[0]["metadata"]["namespace"])
        await says(
            control_plane,
            f"Detected a container (removed/{container(pods[0])[:12]}/",
            node=pods[0]["spec"]["nodeName"],
        )


def goodbyes(folder: Path) -> int:
    texts = [path.read_text() for path in folder.rglob("kubearmor.log")]
    return sum("Terminated KubeArmor" in each for each in texts)


def _policy() -> Manifest:
    return {"apiVersion": "security.kubearmor.com/v1", **cluster_policy()}


def _boots(lines: list[str]) -> int:
    return sum("BUILD-INFO: version: v1.7.4" in line for line in lines)
