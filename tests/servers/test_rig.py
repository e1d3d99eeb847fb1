"""The rig keeps its promises: each server is real, comes back, and leaves nothing behind."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.rig import crds, crilog, install
from tests.rig.api import (
    AWAY,
    CONFIG_MAPS,
    DAEMON_SETS,
    NODES,
    PODS,
    ApiError,
    Manifest,
)
from tests.rig.containers import container_id
from tests.rig.kafka import Broker
from tests.rig.kubernetes import ControlPlane
from tests.rig.layout import STAGES
from tests.rig.ports import free_ports
from tests.rig.processes import Child, ServerFailed
from tests.rig.prometheus import Prometheus, promtool
from tests.rig.wait import eventually


def workload(
    kind: str, name: str, *, namespace: str, containers: tuple[str, ...], **spec: object
) -> Manifest:
    labels = {"app": name}
    pod = {"containers": [{"name": each, "image": f"{each}:1"} for each in containers]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def configuration(name: str, *, namespace: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def free_standing_pod(
    name: str, *, namespace: str, annotations: dict[str, str] | None = None
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "main", "image": "main:1"}]},
    }


async def refusal(control_plane: ControlPlane, *, namespace: str, version: str) -> int:
    """Return the code with which a watch from an old version is refused."""
    events = control_plane.admin.watch(CONFIG_MAPS, namespace=namespace, resource_version=version)
    async with asyncio.timeout(10), aclosing(events):
        try:
            event = await anext(events)
        except ApiError as error:
            return error.status
    return int(event["object"]["code"])


async def test_a_deployment_gets_running_pods_with_container_ids(
    control_plane: ControlPlane, namespace: str
) -> None:
    manifest = workload(
        "Deployment", "web", namespace=namespace, containers=("web", "log"), replicas=3
    )
    await control_plane.admin.create(manifest)
    pods = await control_plane.running_pods(namespace=namespace, count=3)
    for pod in pods:
        expected = {
            name: container_id(pod_uid=pod["metadata"]["uid"], container=name, restarts=0)
            for name in ("web", "log")
        }
        statuses = pod["status"]["containerStatuses"]
        assert {each["name"]: each["containerID"] for each in statuses} == expected
        assert all(each["ready"] for each in statuses)
        assert pod["status"]["podIP"].startswith("10.")


async def test_a_node_has_the_address_it_was_given(control_plane: ControlPlane) -> None:
    node = await control_plane.admin.get(NODES, "node-1")
    addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    assert addresses == {"InternalIP": "127.0.0.2", "Hostname": "localhost"}
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.4+k3s1"
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


async def test_a_host_network_daemon_set_runs_on_every_node_with_its_address(
    control_plane: ControlPlane, namespace: str
) -> None:
    manifest = workload("DaemonSet", "daemon", namespace=namespace, containers=("daemon",))
    manifest["spec"]["template"]["spec"]["hostNetwork"] = True
    await control_plane.admin.create(manifest)
    pods = await control_plane.running_pods(namespace=namespace, count=2)
    placed = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in pods}
    assert placed == {"node-1": "127.0.0.2", "node-2": "127.0.0.3"}

    async def all_available() -> bool:
        daemon_set = await control_plane.admin.get(DAEMON_SETS, "daemon", namespace=namespace)
        return bool(daemon_set["status"].get("numberAvailable") == 2)

    assert await eventually(all_available, within=10)


async def test_a_pod_goes_through_creating_running_and_ended(
    control_plane: ControlPlane, namespace: str
) -> None:
    admin = control_plane.admin
    start = (await admin.page(PODS, namespace=namespace))["metadata"]["resourceVersion"]
    steps = {"rig/start-delay": "50ms", "rig/start-jitter": "150ms", "rig/stop-delay": "50ms"}
    await admin.create(free_standing_pod("one", namespace=namespace, annotations=steps))
    await control_plane.running_pods(namespace=namespace, count=1)
    await admin.delete(PODS, "one", namespace=namespace)
    seen: list[str] = []
    events = admin.watch(PODS, namespace=namespace, resource_version=start)
    async with asyncio.timeout(20), aclosing(events):
        async for event in events:
            seen.extend(_states(event["object"]))
            if event["type"] == "DELETED":
                break
    assert list(dict.fromkeys(seen)) == ["waiting", "running", "terminated"]


async def test_a_pod_ends_by_itself_when_it_is_told_to(
    control_plane: ControlPlane, namespace: str
) -> None:
    admin = control_plane.admin
    short = {"rig/run-for": "50ms"}
    await admin.create(free_standing_pod("one", namespace=namespace, annotations=short))

    async def ended() -> bool:
        pod = await admin.get(PODS, "one", namespace=namespace)
        return bool(pod["status"].get("phase") == "Succeeded")

    assert await eventually(ended, within=15)


async def test_a_status_is_refused_that_was_meant_for_an_earlier_pod_of_the_name(
    control_plane: ControlPlane, namespace: str
) -> None:
    """What the kubelets' patches rely on: each carries the uid of the Pod that it is about."""
    admin = control_plane.admin
    await admin.create(free_standing_pod("one", namespace=namespace))
    (running,) = await control_plane.running_pods(namespace=namespace, count=1)
    other = "00000000-0000-4000-8000-000000000000"
    ended = {"metadata": {"uid": other}, "status": {"phase": "Succeeded"}}
    with pytest.raises(ApiError, match=r"uid|UID"):
        await admin.patch(PODS, "one", ended, namespace=namespace, subresource="status")
    after = await admin.get(PODS, "one", namespace=namespace)
    assert after["status"] == running["status"]
    assert STAGES.read_text().count("uid: {{ .metadata.uid | Quote }}") == 4


async def test_init_containers_end_and_native_sidecars_run(
    control_plane: ControlPlane, namespace: str
) -> None:
    pod = free_standing_pod("one", namespace=namespace)
    pod["spec"]["initContainers"] = [
        {"name": "setup", "image": "setup:1"},
        {"name": "sidecar", "image": "sidecar:1", "restartPolicy": "Always"},
    ]
    await control_plane.admin.create(pod)
    (running,) = await control_plane.running_pods(namespace=namespace, count=1)
    statuses = running["status"]["initContainerStatuses"]
    assert {each["name"]: list(each["state"]) for each in statuses} == {
        "setup": ["terminated"],
        "sidecar": ["running"],
    }


async def test_a_node_that_is_away_can_be_made_unready(control_plane: ControlPlane) -> None:
    admin = control_plane.admin
    node = await control_plane.add_node("node-away", address="127.0.0.4")
    try:
        await admin.patch(NODES, "node-away", {"metadata": {"annotations": {"rig/away": "yes"}}})
        conditions = [
            {**each, "status": "Unknown"} if each["type"] == "Ready" else each
            for each in node["status"]["conditions"]
        ]
        body = {"status": {"conditions": conditions}}
        await admin.patch(NODES, "node-away", body, subresource="status")

        async def unreachable() -> bool:
            taints = (await admin.get(NODES, "node-away"))["spec"].get("taints", [])
            return any(each["key"] == "node.kubernetes.io/unreachable" for each in taints)

        assert await eventually(unreachable, within=20)
    finally:
        await admin.delete(NODES, "node-away")


def _states(pod: Manifest) -> list[str]:
    statuses = pod["status"].get("containerStatuses", [])
    return [state for each in statuses for state in each["state"]]


async def test_a_container_restart_changes_its_id_and_count(
    control_plane: ControlPlane, namespace: str
) -> None:
    admin = control_plane.admin
    await admin.create(free_standing_pod("one", namespace=namespace))
    (before,) = await control_plane.running_pods(namespace=namespace, count=1)
    new = await control_plane.restart_container("one", "main", namespace=namespace)
    after = await admin.get(PODS, "one", namespace=namespace)
    (old_status,) = before["status"]["containerStatuses"]
    (status,) = after["status"]["containerStatuses"]
    assert status["containerID"] == new != old_status["containerID"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["containerID"] == old_status["containerID"]


async def test_pod_log_follows_a_growing_file(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    await control_plane.admin.create(free_standing_pod("one", namespace=namespace))
    await control_plane.running_pods(namespace=namespace, count=1)
    log = tmp_path / "main.log"
    crilog.append(log, "first", "second")
    await control_plane.serve_log("one", "main", namespace=namespace, path=log)
    lines = control_plane.admin.log_lines("one", namespace=namespace, container="main")
    async with asyncio.timeout(20), aclosing(lines):
        got = [await anext(lines), await anext(lines)]
        crilog.append(log, "third")
        got.append(await anext(lines))
    assert [line.split(" ", 1)[1] for line in got] == ["first", "second", "third"]
    assert all(line.split(" ", 1)[0].endswith("Z") for line in got)


async def test_an_unprivileged_user_may_do_what_a_role_says_and_no_more(
    control_plane: ControlPlane, namespace: str
) -> None:
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "rig-pod-reader"}
    await control_plane.admin.apply_all(
        [
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "rig-pod-reader"},
                "rules": rules,
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "rig-pod-reader"},
                "roleRef": role,
                "subjects": [{"apiGroup": group, "kind": "User", "name": "nobody"}],
            },
        ]
    )
    async with control_plane.api("nobody") as nobody:

        async def may_list() -> bool:
            await nobody.page(PODS, namespace=namespace)
            return True

        assert await eventually(may_list, within=10, not_yet=(ApiError,))
        with pytest.raises(ApiError, match="403 Forbidden"):
            await nobody.page(CONFIG_MAPS, namespace=namespace)


async def test_a_policy_kind_can_be_installed_later(
    control_plane: ControlPlane, namespace: str
) -> None:
    with pytest.raises(ApiError, match="404"):
        await control_plane.admin.page(crds.KSP.resource)
    await control_plane.install_crd(crds.KSP)
    policy = {
        "apiVersion": "security.kubearmor.com/v1",
        "kind": "KubeArmorPolicy",
        "metadata": {"name": "block-sh", "namespace": namespace},
        "spec": {"process": {"matchPaths": [{"path": "/bin/sh"}]}, "action": "Block"},
    }
    await control_plane.admin.create(policy)
    found = await control_plane.admin.get(crds.KSP.resource, "block-sh", namespace=namespace)
    assert found["spec"] == policy["spec"]


async def test_the_apiserver_comes_back_with_everything_after_kill_9(
    control_plane: ControlPlane, namespace: str
) -> None:
    admin = control_plane.admin
    await admin.create(configuration("kept", namespace=namespace))
    await control_plane.kill_apiserver()
    with pytest.raises(AWAY):
        await admin.get(CONFIG_MAPS, "kept", namespace=namespace)
    await control_plane.start_apiserver()
    assert await admin.get(CONFIG_MAPS, "kept", namespace=namespace)
    await admin.create(workload("Deployment", "late", namespace=namespace, containers=("late",)))
    await control_plane.running_pods(namespace=namespace, count=1)


async def test_a_forgotten_history_refuses_old_watches_and_lists_with_410(
    control_plane: ControlPlane, namespace: str
) -> None:
    admin = control_plane.admin
    old = await admin.create(configuration("one", namespace=namespace))
    await admin.create(configuration("two", namespace=namespace))
    page = await admin.page(CONFIG_MAPS, namespace=namespace, query={"limit": "1"})
    await admin.create(configuration("three", namespace=namespace))
    await control_plane.forget_history()
    version = old["metadata"]["resourceVersion"]
    assert await refusal(control_plane, namespace=namespace, version=version) == 410
    rest = {"limit": "1", "continue": page["metadata"]["continue"]}
    with pytest.raises(ApiError, match="410 Expired"):
        await admin.page(CONFIG_MAPS, namespace=namespace, query=rest)


async def test_kafka_keeps_what_it_acknowledged_over_kill_9(broker: Broker, topic: str) -> None:
    await broker.create_topic(topic)
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, enable_idempotence=True
    ) as producer:
        await producer.send_and_wait(topic, b"before")
        await broker.kill()
        await broker.start()

        async def sent() -> bool:
            await producer.send_and_wait(topic, b"after")
            return True

        assert await eventually(sent, within=30, not_yet=(KafkaError,))
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        async with asyncio.timeout(20):
            values = [(await anext(consumer)).value, (await anext(consumer)).value]
    assert values == [b"before", b"after"]


@asynccontextmanager
async def exporter(text: str) -> AsyncIterator[str]:
    """Serve one page of metrics and yield its host:port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


RULES = """
groups:
- name: rig
  rules:
  - alert: TooFew
    expr: rig_things < 8
"""

RULE_TESTS = """
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series: [{series: rig_things, values: "9 7"}]
  alert_rule_test:
  - {eval_time: 0m, alertname: TooFew}
  - {eval_time: 1m, alertname: TooFew, exp_alerts: [{exp_labels: {}}]}
"""


async def test_prometheus_scrapes_a_target_and_evaluates_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    async with (
        exporter("rig_things 7\n") as target,
        Prometheus(folder=tmp_path / "prometheus", target=target, rule_files=(rules,)) as server,
    ):

        async def scraped() -> bool:
            return await server.value("rig_things * 2") == 14

        async def firing() -> bool:
            return await server.firing() == ["TooFew"]

        assert await eventually(scraped, within=15)
        assert await eventually(firing, within=15)


async def test_promtool_tests_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    tests = tmp_path / "tests.yaml"
    tests.write_text(RULE_TESTS)
    assert "SUCCESS" in await promtool("test", "rules", str(tests))
    (tmp_path / "rules.yaml").write_text(RULES.replace("TooFew", "TooMany"))
    with pytest.raises(ServerFailed, match="FAILED"):
        await promtool("test", "rules", str(tests))


def listeners(pid: int) -> set[str]:
    """Return the addresses a process listens on."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                found.add(columns[1].split(":")[0])
    return found


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def test_every_server_listens_on_loopback_only(control_plane: ControlPlane, broker: Broker) -> None:
    assert socket.inet_aton("127.0.0.1")[::-1].hex().upper() in LOOPBACK
    for child in (*control_plane.children, broker.process):
        assert listeners(child.pid), child.name
        assert listeners(child.pid) <= LOOPBACK, child.name


STARTS_A_CHILD = """
import pathlib, sys
from tests.rig.processes import Child
child = Child(name="sleeper", command=("sleep", "600"), log=pathlib.Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def program_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_server_ends_with_the_test_run_even_when_that_is_killed(tmp_path: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS_A_CHILD, str(tmp_path / "log")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=install.HERE.parent.parent,
    )
    assert run.stdout is not None
    pid = int(await run.stdout.readline())
    assert is_alive(pid)

    async def has_begun() -> bool:
        return program_of(pid) == "sleep"

    # Until it is the program itself, the kernel has not been asked to end it with its parent.
    assert await eventually(has_begun, within=10)
    run.kill()
    await run.wait()

    async def gone() -> bool:
        return not is_alive(pid)

    assert await eventually(gone, within=10)


async def test_a_server_that_dies_is_reported_with_the_tail_of_its_log(tmp_path: Path) -> None:
    child = Child(name="etcd", command=("sh", "-c", "echo no disk; exit 7"), log=tmp_path / "log")
    child.start()

    async def never() -> bool:
        return False

    with pytest.raises(ServerFailed, match=r"(?s)etcd ended .*exit 7.*no disk"):
        await child.ready(never, within=10)


def test_missing_programs_are_named_all_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert install.main(["kubernetes", "kafka"]) == install.EXIT_TOOLS_MISSING
    said = capsys.readouterr().err
    assert all(f"  {tool}: " in said for tool in ("go", "java", "mvn", "openssl", "setpriv"))
