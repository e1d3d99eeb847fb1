"""One real Kafka broker (KRaft, its own controller) in one folder."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from msgspec import Struct

from tests.rig import install
from tests.rig.certificates import Certificates
from tests.rig.ports import free_ports
from tests.rig.processes import Child, run_once

LOGGING = Path(__file__).parent / "kafka/log4j2.properties"
CLUSTER_ID = "cmlnLXJpZy1yaWctcmlnLQ"


class Security(Struct, frozen=True, kw_only=True):
    """What the listener for strangers asks of them: a certificate, a name and a password."""

    certificates: Certificates
    name: str
    password: str

    def properties(self) -> dict[str, str]:
        """Kafka's settings of the listener; `server` names the broker's own certificate."""
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        users = f'{login} required user_{self.name}="{self.password}";'
        prefix = "listener.name.secured."
        return {
            f"{prefix}ssl.keystore.type": "PEM",
            f"{prefix}ssl.keystore.location": str(self.certificates.bundle("server")),
            f"{prefix}ssl.truststore.type": "PEM",
            f"{prefix}ssl.truststore.location": str(self.certificates.authority),
            f"{prefix}ssl.client.auth": "required",
            f"{prefix}sasl.enabled.mechanisms": "PLAIN",
            f"{prefix}plain.sasl.jaas.config": users,
        }


class Broker:
    """A broker that keeps its ports and its data over `kill` and `start`.

    Its listener `bootstrap` is PLAINTEXT, `secured` SASL_SSL where `security` is given. Topics are
    never created by themselves, and records are never too old to keep. Use it as a context manager,
    or `start` and `stop` it.
    """

    def __init__(
        self,
        *,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        security: Security | None = None,
    ) -> None:
        self.folder = folder
        self.port, secured, self._controller_port = free_ports(3)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.secured = f"127.0.0.1:{secured}"
        self._security = security
        self._settings = dict(settings or {})
        self._properties = folder / "server.properties"
        self._java = (
            "java", "-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile=file:{LOGGING}",
            "-cp", f"{install.place('kafka')}/*",
        )  # fmt: skip
        self.process = Child(
            name="kafka",
            command=(*self._java, "kafka.Kafka", str(self._properties)),
            log=folder / "kafka.log",
        )

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
        """Start, also again after `kill` or `stop`, and wait until it serves clients."""
        if not self._properties.exists():
            await self._format()
        self.process.start()
        try:
            await self.process.ready(self._serves, within=60, not_yet=(OSError, KafkaError))
        except BaseException:
            await self.process.kill()
            raise

    async def stop(self) -> None:
        """Shut down in order."""
        await self.process.stop()

    async def kill(self) -> None:
        """Kill -9."""
        await self.process.kill()

    async def create_topic(
        self, name: str, *, partitions: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            topic = NewTopic(name, partitions, 1, topic_configs=dict(settings or {}))
            await admin.create_topics([topic])
        finally:
            await admin.close()

    async def _serves(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        finally:
            await admin.close()

    async def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}\n" for key, value in self._all_settings().items()]
        self._properties.write_text("".join(lines))
        tool = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID)
        await run_once((*self._java, *tool, "-c", str(self._properties)))

    def _all_settings(self) -> dict[str, str]:
        listeners = f"PLAINTEXT://{self.bootstrap}"
        if self._security is not None:
            listeners += f",SECURED://{self.secured}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "SECURED:SASL_SSL",
            **(self._security.properties() if self._security is not None else {}),
            "log.dirs": str(self.folder / "logs"),
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "100",
            "log.cleaner.dedupe.buffer.size": "8388608",
            **self._settings,
        }
