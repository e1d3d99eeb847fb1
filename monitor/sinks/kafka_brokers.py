"""The brokers as they are configured: how to reach them, and the topics they must have."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import collect_hosts, create_conn
from msgspec import Struct

from monitor.sinks import COMPACTED_TOPICS
from monitor.wire.events import Topic

log = logging.getLogger(__name__)

BROKERS_FOR_EACH_RECORD = 3


class KafkaSettings(Struct, frozen=True, kw_only=True):
    """How the brokers are reached, what topics look like, and how long is waited for what."""

    brokers: tuple[str, ...]
    prefix: str = "kubearmor-monitor."
    client_id: str = "kubearmor-monitor"
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password_file: str | None = None
    partitions: int = 6
    retention_seconds: int = 7 * 86400
    request_seconds: float = 10
    delivery_seconds: float = 120
    stop_seconds: float = 5


class Said:
    """What the log was told already."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def first(self, subject: str, text: str = "") -> bool:
        """Return whether this was not the last thing said on the subject, and note it."""
        if self._said.get(subject) == text:
            return False
        self._said[subject] = text
        return True

    def no_longer(self, subject: str) -> bool:
        return self._said.pop(subject, None) is not None


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Return how to connect, with certificates and password as the files have them now."""
    protocol = ("SASL_" if settings.sasl_mechanism else "") + ("SSL" if settings.tls else "")
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": settings.client_id,
        "request_timeout_ms": round(settings.request_seconds * 1000),
        "security_protocol": {"": "PLAINTEXT", "SASL_": "SASL_PLAINTEXT"}.get(protocol, protocol),
    }
    if settings.tls:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
        options["ssl_context"] = context
    if settings.sasl_mechanism:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        if settings.sasl_password_file:
            password = Path(settings.sasl_password_file).read_text(encoding="utf-8")
            options["sasl_plain_password"] = password.strip()
    return options


async def refusal(settings: KafkaSettings) -> Exception | None:
    """Return why a broker cannot be talked to: the client tells it to its log alone."""
    try:
        options = connection(settings)
        for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
            (await create_conn(host, port, **options)).close()
    except (OSError, TimeoutError, errors.KafkaError) as error:
        return error
    return None


async def ensure_topics(settings: KafkaSettings, said: Said) -> None:
    """Create the topics that are not there; say once which of them cannot be, and go on."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with asyncio.timeout(2 * settings.request_seconds):
            await admin.start()
            existing = set(await admin.list_topics())
            brokers = (await admin.describe_cluster())["brokers"]
            replicas = min(BROKERS_FOR_EACH_RECORD, len(brokers))
            missing = [
                topic
                for topic in _topics(settings, replicas=replicas)
                if topic.name not in existing
            ]
            response = await admin.create_topics(missing) if missing else None
    finally:
        await admin.close()
    for topic, code, *_ in response.topic_errors if response else ():
        error = errors.for_code(code)
        if error in {errors.NoError, errors.TopicAlreadyExistsError}:
            log.info("created the topic %s", topic)
        elif said.first(f"topic {topic}", error.__name__):
            log.error(
                "the topic %s is missing and cannot be created (%s): create it%s, or grant the"
                " right to",
                topic,
                error.description or error.__name__,
                " with cleanup.policy=compact" if _is_compacted(topic, settings) else "",
            )


def _topics(settings: KafkaSettings, *, replicas: int) -> Iterator[NewTopic]:
    for topic in get_args(Topic):
        name = settings.prefix + topic
        if _is_compacted(name, settings):
            configuration = {"cleanup.policy": "compact"}
        else:
            configuration = {
                "cleanup.policy": "delete",
                "retention.ms": str(settings.retention_seconds * 1000),
            }
        yield NewTopic(name, settings.partitions, replicas, topic_configs=configuration)


def _is_compacted(name: str, settings: KafkaSettings) -> bool:
    return name.removeprefix(settings.prefix) in COMPACTED_TOPICS
