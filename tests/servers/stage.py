"""The stage of the end-to-end tests: KubeArmor on a real cluster, Kafka, and the monitor at work.

The monitor is the program that users run, with the rights it is deployed with. What it publishes is
read from Kafka, what it thinks from its API.
"""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.deploy.manifests import BASE, built
from tests.emulator.cluster import KubeArmor, manifests
from tests.emulator.informers import Waits
from tests.emulator.scene import APT, cluster_policy
from tests.rig.api import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, SERVICE_ACCOUNTS, Manifest
from tests.rig.crds import CSP, GROUP, VERSION
from tests.rig.kafka import Broker
from tests.rig.kubernetes import ControlPlane
from tests.rig.ports import free_ports
from tests.rig.processes import Child
from tests.rig.wait import eventually

OURS = "kubearmor-monitor"
SYSTEM = "kubearmor"
NODES = {"node-1": "127.0.0.2", "node-2": "127.0.0.3"}
TOPICS = ("timing", "gaps", "incidents", "findings", "coverage", "health")
SECONDS = 60.0
NUMBERS = count(1)

Settings = dict[str, dict[str, Any]]


class State(NamedTuple):
    """What the monitor says of a container that one policy should protect."""

    verdict: str
    cause: str | None = None
    grade: str | None = None


APPLIED = State("covered", grade="applied")


@dataclass(frozen=True)
class Event:
    """A record as it stands in Kafka; a tombstone has no data."""

    topic: str
    key: str
    id: str
    type: str
    data: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.type.removeprefix(f"{OURS}.").removesuffix(".v1")

    @property
    def facts(self) -> dict[str, Any]:
        assert self.data is not None
        return self.data


class Topics:
    """What has been published under a prefix, in its order: each topic has one partition."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.prefix = prefix
        self._broker = broker
        self._events: dict[str, list[Event]] = {topic: [] for topic in TOPICS}
        self._consumer: AIOKafkaConsumer

    async def __aenter__(self) -> Self:
        for topic in TOPICS:
            await self._broker.create_topic(self.prefix + topic)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._broker.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self.prefix + topic, 0) for topic in TOPICS])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def read(self, topic: str, *, name: str | None = None) -> list[Event]:
        """Return everything that was published until now."""
        parts = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(parts)
        while any([await self._consumer.position(part) < ends[part] for part in parts]):
            for messages in (await self._consumer.getmany(timeout_ms=500)).values():
                for message in messages:
                    event = _event(message, prefix=self.prefix)
                    self._events[event.topic].append(event)
        return [event for event in self._events[topic] if name in {None, event.name}]


def _event(message: Any, *, prefix: str) -> Event:
    headers = {key: value.decode() for key, value in message.headers}
    return Event(
        topic=message.topic.removeprefix(prefix),
        key=message.key.decode(),
        id=headers["ce_id"],
        type=headers["ce_type"],
        data=None if message.value is None else json.loads(message.value),
    )


class Monitor:
    """`kubearmor-monitor run` with a configuration file; it keeps its ports and its outbox."""

    def __init__(self, *, folder: Path, settings: Settings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        probes, api = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.probes = probes
        self.url = f"http://{api}"
        self.outbox = folder / "outbox.sqlite"
        self.configuration = folder / "monitor.yaml"
        outbox = {"path": str(self.outbox)}
        # JSON is YAML.
        self.configuration.write_text(
            json.dumps({"outbox": outbox, **settings, "http": {"probes": probes, "api": api}})
        )
        command = (sys.executable, "-m", "monitor", "run", "--config", str(self.configuration))
        self.process = Child(name="monitor", command=command, log=folder / "monitor.log")

    async def start(self) -> None:
        self.process.start()
        await self.process.ready(self._is_ready, within=SECONDS)

    async def stop(self) -> None:
        await self.process.stop()

    async def kill(self) -> None:
        """Kill -9."""
        await self.process.kill()

    def warnings(self) -> list[str]:
        """Return what its log said, besides how it went."""
        lines = [json.loads(line) for line in self.process.log.read_text().splitlines()]
        return [line["message"] for line in lines if line["level"] not in {"info", "debug"}]

    async def rows(self, section: str, **question: str) -> list[dict[str, Any]]:
        """Return a section of what it reports now."""
        answer = await self._get(f"{self.url}/api/v1/{section}", {"limit": "500", **question})
        rows: list[dict[str, Any]] = json.loads(answer)["items"]
        return rows

    async def states(self, namespace: str) -> Counter[State]:
        """Return how many containers of a namespace are in which state."""
        containers = await self.rows("containers", namespace=namespace)
        return Counter(_state(container) for container in containers)

    async def becomes(
        self, namespace: str, expected: Mapping[State, int], *, within: float = SECONDS
    ) -> None:
        """Wait until the containers of a namespace are in these states."""

        async def is_so() -> bool:
            states = await self.states(namespace)
            assert states == expected, f"{namespace}: {states}"
            return True

        await eventually(is_so, within=within, every=0.2, not_yet=_ASKING)

    async def source_states(self, *names: str) -> dict[str, str]:
        sources = {row["name"]: row["state"] for row in await self.rows("sources")}
        return {name: sources.get(name, "never seen") for name in names}

    async def sees(self, expected: Mapping[str, str]) -> None:
        """Wait until sources are in these states."""

        async def is_so() -> bool:
            states = await self.source_states(*expected)
            assert states == expected, states
            return True

        await eventually(is_so, within=SECONDS, every=0.2, not_yet=_ASKING)

    async def at(self) -> datetime:
        """Return the instant of what it reports now."""
        answer = json.loads(await self._get(f"{self.url}/api/v1/sources", {"limit": "1"}))
        return datetime.fromisoformat(answer["at"])

    async def metric(self, series: str) -> float | None:
        """Return the value of one series, written as it is exposed without its prefix."""
        text = await self._get(f"http://{self.probes}/metrics")
        wanted = f"kubearmor_monitor_{series} "
        found = [line for line in text.splitlines() if line.startswith(wanted)]
        return float(found[0].removeprefix(wanted)) if found else None

    async def _is_ready(self) -> bool:
        return bool(await self._get(f"http://{self.probes}/readyz"))

    async def _get(self, url: str, query: Mapping[str, str] | None = None) -> str:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, params=query) as response,
        ):
            body = await response.text()
            assert response.status == 200, body
            return body


_ASKING = (AssertionError, OSError, aiohttp.ClientError)


def _state(container: Mapping[str, Any]) -> State:
    expected = [pair for pair in container["policies"] if pair["expected"]]
    grades = {pair["grade"] for pair in expected}
    grade = grades.pop() if len(grades) == 1 else None
    return State(container["verdict"], container["cause"], grade)


@dataclass
class Stage:
    """Everything that plays, and what a test does to it."""

    cluster: ControlPlane
    broker: Broker
    kubearmor: KubeArmor
    topics: Topics
    monitor: Monitor
    namespaces: list[str] = field(default_factory=list)

    async def protect(self, *, paths: tuple[str, ...] = (APT,)) -> None:
        """Create or change the cluster policy: all namespaces but kube-system.

        The daemons know it when this returns: what comes later is newer than the policy.
        """
        policy = cluster_policy(paths=paths)
        await self.cluster.admin.apply({"apiVersion": f"{GROUP}/{VERSION}", **policy})

        async def known() -> bool:
            return all(
                any(held.spec == policy["spec"] for held in self.kubearmor.daemon(node).policies)
                for node in NODES
            )

        await eventually(known, within=SECONDS)

    async def namespace(self) -> str:
        name = f"team-{next(NUMBERS)}"
        await self.cluster.add_namespace(name)
        self.namespaces.append(name)
        return name

    async def deploy(self, namespace: str, *, replicas: int = 2) -> list[Manifest]:
        """Run a Deployment of Pods with one container, spread over the nodes."""
        labels = {"app": "web"}
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": labels},
        }
        pod = {
            "containers": [{"name": "main", "image": "web:1"}],
            "topologySpreadConstraints": [spread],
        }
        # The runtime announces a container some time before the kubelet publishes it.
        metadata = {"labels": labels, "annotations": {"rig/start-delay": "600ms"}}
        await self.cluster.admin.create(
            {
                "apiVersion": DEPLOYMENTS.group_version,
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": namespace},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": metadata, "spec": pod},
                },
            }
        )
        return await self.cluster.running_pods(namespace=namespace, count=replicas)

    async def refused(self, pods: Sequence[Manifest]) -> None:
        """Let every Pod try what the policy forbids until it is refused."""

        async def all_are() -> bool:
            observed = [
                await self.kubearmor.act(
                    pod["metadata"]["namespace"], pod["metadata"]["name"], "main", APT
                )
                for pod in pods
            ]
            return all(each is not None and each.denied for each in observed)

        await eventually(all_are, within=SECONDS, every=0.2, not_yet=(LookupError,))

    async def restart_daemon(self, node: str) -> None:
        await self.kubearmor.restart(node)
        await serving(self.kubearmor)

    async def latest(self, topic: str, member: str) -> dict[str, dict[str, Any]]:
        """Return the facts that Kafka has last of each value of a member."""
        return {event.facts[member]: event.facts for event in await self.topics.read(topic)}

    async def timed(self, pods: Sequence[Manifest]) -> None:
        """Wait until Kafka has exactly one timing record for each of these containers."""

        async def is_so() -> bool:
            events = await self.topics.read("timing", name="container-timing")
            timings = Counter(event.facts["containerId"] for event in events)
            assert timings == Counter(ids(pods)), timings
            return True

        await eventually(is_so, within=SECONDS)

    async def told(
        self, pods: Sequence[Manifest], verdict: str, *, cause: str | None = None
    ) -> None:
        """Wait until this is what Kafka has last of each of these containers."""

        async def is_so() -> bool:
            stands = {id_: stood[-1:] for id_, stood in (await self.history(pods)).items()}
            assert stands == {id_: [(verdict, cause)] for id_ in ids(pods)}, stands
            return True

        await eventually(is_so, within=SECONDS)

    async def history(self, pods: Sequence[Manifest]) -> dict[str, list[tuple[str, str | None]]]:
        """Return the verdicts and causes that Kafka has of these containers, in their order."""
        stood: dict[str, list[tuple[str, str | None]]] = {container: [] for container in ids(pods)}
        for event in await self.topics.read("coverage", name="coverage"):
            if event.data is not None and event.data["containerId"] in stood:
                told = (event.data["verdict"], event.data["cause"])
                stood[event.data["containerId"]].append(told)
        return stood

    async def clear(self) -> None:
        admin = self.cluster.admin
        for namespace in self.namespaces:
            # The API takes five seconds before it empties a namespace that is deleted.
            for deployment in await admin.items(DEPLOYMENTS, namespace=namespace):
                name = deployment["metadata"]["name"]
                await admin.delete(DEPLOYMENTS, name, namespace=namespace)
            await admin.delete(NAMESPACES, namespace)
        for policy in await admin.items(CSP.resource):
            await admin.delete(CSP.resource, policy["metadata"]["name"])
        await admin.delete(DAEMON_SETS, "kubearmor", namespace=SYSTEM)
        for namespace in (*self.namespaces, SYSTEM):
            await self.cluster.running_pods(namespace=namespace, count=0)


def ids(pods: Sequence[Manifest]) -> list[str]:
    """Return the ids of the Pods' containers, without the runtime's name."""
    return [
        status["containerID"].rpartition("/")[2]
        for pod in pods
        for status in pod["status"]["containerStatuses"]
    ]


def on(node: str, pods: Sequence[Manifest]) -> list[Manifest]:
    return [pod for pod in pods if pod["spec"]["nodeName"] == node]


async def serving(kubearmor: KubeArmor) -> None:
    """Wait until every node's daemon has started."""

    async def all_serve() -> bool:
        return kubearmor.nodes == NODES.keys() and all(
            kubearmor.daemon(node).serving for node in NODES
        )

    await eventually(all_serve, within=SECONDS)


async def settings(
    cluster: ControlPlane, *, folder: Path, relay: int, broker: Broker, prefix: str
) -> Settings:
    """Return a configuration that reaches everything on the stage, as the deployed Pod would."""
    kafka = {"brokers": [broker.bootstrap], "prefix": prefix}
    return {**await access(cluster, folder=folder, relay=relay), "kafka": kafka}


async def access(cluster: ControlPlane, *, folder: Path, relay: int) -> Settings:
    """Return how the monitor reaches cluster and relay, with the rights it is deployed with."""
    token = folder / "token"
    token.write_text(await _token(cluster))
    return {
        "kubernetes": {
            "url": cluster.url,
            "token_file": str(token),
            "ca_file": str(cluster.ca_file),
        },
        "kubearmor": {"relay": f"127.0.0.1:{relay}"},
    }


@asynccontextmanager
async def staged(
    cluster: ControlPlane, broker: Broker, folder: Path, *, release: str, changes: Settings
) -> AsyncIterator[Stage]:
    """Play KubeArmor of a release; `changes` are those to the monitor's configuration."""
    daemon_port, relay_port = free_ports(2)
    kubearmor = KubeArmor(
        url=cluster.url,
        token=cluster.token("admin"),
        ca_file=cluster.ca_file,
        folder=folder / "kubearmor",
        daemon_port=daemon_port,
        relay_port=relay_port,
        relay_retry_seconds=0.2,
        informer_waits=Waits(first=0.1, longest=0.3),
    )
    prefix = f"stage-{next(NUMBERS)}."
    async with kubearmor, Topics(broker, prefix) as topics:
        for manifest in manifests(image=f"kubearmor/kubearmor:{release}", namespace=SYSTEM):
            await cluster.admin.apply(manifest)
        await serving(kubearmor)
        configuration = await settings(
            cluster, folder=folder, relay=relay_port, broker=broker, prefix=prefix
        )
        for section, keys in changes.items():
            configuration[section] = {**configuration.get(section, {}), **keys}
        monitor = Monitor(folder=folder / "monitor", settings=configuration)
        stage = Stage(cluster, broker, kubearmor, topics, monitor)
        try:
            await monitor.start()
            yield stage
        finally:
            await monitor.stop()
            await stage.clear()


async def prepare(cluster: ControlPlane) -> None:
    """Give a fresh cluster its nodes, KubeArmor's kinds and the monitor's rights."""
    for name, address in NODES.items():
        await cluster.add_node(name, address=address)
    await cluster.add_namespace(SYSTEM)
    await cluster.install_crds()
    for manifest in built(BASE / "rights"):
        await cluster.admin.apply(manifest)


async def _token(cluster: ControlPlane) -> str:
    answer = await cluster.admin._send(
        "POST",
        f"{SERVICE_ACCOUNTS.path(namespace=OURS, name=OURS)}/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    token: str = answer["status"]["token"]
    return token


Staging = Callable[..., AbstractAsyncContextManager[Stage]]
