"""From the outbox to Kafka: at least once, in order per key, nothing deleted unacknowledged.

One round: take the oldest records, sort them into partitions by their keys, send each partition's
batches one after the other (so a batch that is sent again cannot overtake), wait until all are
acknowledged, and only then acknowledge to the outbox. What was delivered of a round that failed is
remembered, so that the next round does not repeat it.

An idempotent producer retries by itself for as long as its broker is away, and that is the best it
can do: it knows which batches the broker has. What it cannot heal (its sequence numbers went out
of step, a batch was refused, no answer for minutes) ends the producer: it is stopped for good
before the next one starts, so that no late batch of the old one can follow a newer one.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, NamedTuple, Protocol, get_args

from aiokafka import AIOKafkaProducer, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2
from msgspec import Struct

from monitor.clock import Clock, SystemClock
from monitor.errors import MonitorError
from monitor.retry import Backoff
from monitor.sinks import COMPACTED_TOPICS
from monitor.wire.events import Record, Topic, headers

log = logging.getLogger(__name__)

ROUND_RECORDS = 2000
BATCH_BYTES = 256 << 10
KEYS_REMEMBERED = 1 << 16
BROKERS_FOR_EACH_RECORD = 3
RECORD_REFUSED = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTimestampError,
)
REASONS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("record-refused", RECORD_REFUSED),
    (
        "producer-state",
        (
            errors.OutOfOrderSequenceNumber,
            errors.UnknownProducerId,
            errors.ProducerFenced,
            errors.InvalidProducerEpoch,
            errors.InvalidProducerIdMapping,
        ),
    ),
    (
        "authorization",
        (
            errors.TopicAuthorizationFailedError,
            errors.ClusterAuthorizationFailedError,
            errors.SaslAuthenticationFailed,
            errors.AuthenticationFailedError,
            errors.UnsupportedSaslMechanismError,
        ),
    ),
    ("topic-missing", (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError)),
    ("timeout", (TimeoutError, errors.KafkaTimeoutError, errors.RequestTimedOutError)),
    ("connection", (errors.KafkaConnectionError, errors.NodeNotReadyError, OSError)),
)


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


class Pending(Protocol):
    """What records are taken from, in order, and acknowledged to."""

    async def take(self, limit: int) -> list[tuple[int, Record]]: ...

    async def acknowledge(self, sequence: int) -> None: ...


class _Partition(NamedTuple):
    topic: str
    number: int


class _Batch(NamedTuple):
    builder: Any
    records: dict[int, Record]


class KafkaSink:
    """Delivers what an outbox holds; `deliver` runs until it is cancelled, and may be run again."""

    def __init__(
        self,
        outbox: Pending,
        settings: KafkaSettings,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        delivered: Callable[[float], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make a sink that tells `delivered` the seconds of each batch, `failed` each reason."""
        self._outbox = outbox
        self._settings = settings
        self._clock = clock or SystemClock()
        self._backoff = Backoff(random=random or Random())
        self._delivered_in = delivered
        self._failed = failed
        self._said = _Said()
        self._delivered: set[int] = set()
        self._alone: set[int] = set()

    async def deliver(self) -> None:
        """Deliver for ever; whatever fails is tried again. Raises what the outbox cannot heal."""
        while True:
            try:
                await self._deliver_with_one_producer()
            except MonitorError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it was, a new producer is tried
                failure = error
            self._report(failure)
            if not isinstance(failure, RECORD_REFUSED):
                await self._clock.sleep(self._backoff.next())

    async def _deliver_with_one_producer(self) -> None:
        await _ensure_topics(self._settings, self._said)
        producer = AIOKafkaProducer(
            **_connection(self._settings),
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            max_batch_size=BATCH_BYTES,
        )
        try:
            async with asyncio.timeout(2 * self._settings.request_seconds):
                await producer.start()
            while True:
                await self._round(producer)
        finally:
            await _end(producer, seconds=self._settings.stop_seconds)

    async def _round(self, producer: AIOKafkaProducer) -> None:
        taken = await self._outbox.take(ROUND_RECORDS)
        records = [(number, one) for number, one in taken if number not in self._delivered]
        lanes = await self._lanes(producer, records)
        await self._send(producer, lanes)
        await self._outbox.acknowledge(taken[-1][0])
        self._delivered.clear()
        self._alone.clear()
        self._backoff.reset()
        if self._said.no_longer("failing"):
            log.warning("Kafka takes records again")

    async def _lanes(
        self, producer: AIOKafkaProducer, records: Sequence[tuple[int, Record]]
    ) -> dict[_Partition, list[_Batch]]:
        """Sort records into batches, one lane for each partition."""
        partitions: dict[str, list[int]] = {}
        for topic in {record.topic for _, record in records}:
            found = await producer.partitions_for(self._settings.prefix + topic)
            partitions[topic] = sorted(found)
        lanes: dict[_Partition, list[_Batch]] = {}
        for sequence, record in records:
            key = record.key.encode()
            numbers = partitions[record.topic]
            number = numbers[_hash(key) % len(numbers)]
            lane = lanes.setdefault(_Partition(self._settings.prefix + record.topic, number), [])
            self._add(producer, lane, sequence, record, key)
        return lanes

    def _add(
        self,
        producer: AIOKafkaProducer,
        lane: list[_Batch],
        sequence: int,
        record: Record,
        key: bytes,
    ) -> None:
        attributes = headers(record)
        alone = sequence in self._alone
        if lane and not alone and not self._alone.intersection(lane[-1].records):
            batch = lane[-1]
        else:
            batch = _Batch(producer.create_batch(), {})
            lane.append(batch)
        added = batch.builder.append(timestamp=None, key=key, value=record.data, headers=attributes)
        if added is None:
            batch = _Batch(producer.create_batch(), {})
            lane.append(batch)
            batch.builder.append(timestamp=None, key=key, value=record.data, headers=attributes)
        batch.records[sequence] = record

    async def _send(
        self, producer: AIOKafkaProducer, lanes: Mapping[_Partition, Sequence[_Batch]]
    ) -> None:
        """Send all lanes side by side; raises what the first of them failed with."""
        if not lanes:
            return
        tasks = [
            asyncio.create_task(self._send_lane(producer, partition, batches))
            for partition, batches in lanes.items()
        ]
        try:
            _, late = await asyncio.wait(tasks, timeout=self._settings.delivery_seconds)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if late:
            seconds = self._settings.delivery_seconds
            raise TimeoutError(f"no acknowledgement within {seconds:g} s")
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send_lane(
        self, producer: AIOKafkaProducer, partition: _Partition, batches: Sequence[_Batch]
    ) -> None:
        for batch in batches:
            began = monotonic()
            acknowledged = await producer.send_batch(
                batch.builder, partition.topic, partition=partition.number
            )
            try:
                await acknowledged
            except RECORD_REFUSED as error:
                self._refused(batch, error)
                raise
            self._delivered.update(batch.records)
            self._delivered_in(monotonic() - began)

    def _refused(self, batch: _Batch, error: Exception) -> None:
        """Find out which record it is by sending each alone; leave out the one refused alone."""
        if len(batch.records) > 1:
            self._alone.update(batch.records)
            return
        ((sequence, record),) = batch.records.items()
        self._delivered.add(sequence)
        if self._said.first(f"refused {record.topic}"):
            log.error(
                "Kafka refuses a record of %s with %d bytes (%s), and it is left out: raise the"
                " topic's max.message.bytes; said once for each topic, counted each time",
                record.topic,
                len(record.data or b""),
                error,
            )

    def _report(self, failure: Exception) -> None:
        reason = reason_of(failure)
        self._failed(reason)
        log.debug("delivery failed", exc_info=failure)
        if reason != "record-refused" and self._said.first("failing", reason):
            log.warning(
                "Kafka takes no records (%s: %s): they wait in the outbox; tried again for ever",
                reason,
                str(failure) or type(failure).__name__,
            )


class _Said:
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


def reason_of(failure: BaseException) -> str:
    """Return which of a few reasons a failed delivery has."""
    for reason, kinds in REASONS:
        if isinstance(failure, kinds):
            return reason
    return "other"


@lru_cache(maxsize=KEYS_REMEMBERED)
def _hash(key: bytes) -> int:
    """Return the hash whose remainder is the partition, as Kafka's own clients choose it."""
    return int(murmur2(key)) & 0x7FFFFFFF


def _connection(settings: KafkaSettings) -> dict[str, Any]:
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


async def _end(producer: AIOKafkaProducer, *, seconds: float) -> None:
    """Stop a producer for good, whatever it still wants to send.

    Its own `stop` waits for every batch to be delivered, for ever if the broker stays away. So its
    sender ends first (requests on their way have a deadline), then the batches nobody will send.
    """
    sender = producer._sender.sender_task  # noqa: SLF001  # stop() waits for ever
    if sender is not None:
        sender.cancel()
        await asyncio.wait({sender}, timeout=seconds)
        producer._message_accumulator.fail_all(errors.ProducerClosed())  # noqa: SLF001  # likewise
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=seconds)
    stopping.cancel()
    with suppress(Exception, asyncio.CancelledError):
        await stopping


# --- topics -------------------------------------------------------------------------------------


async def _ensure_topics(settings: KafkaSettings, said: _Said) -> None:
    """Create the topics that are not there; say once which of them cannot be, and go on."""
    admin = AIOKafkaAdminClient(**_connection(settings))
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
