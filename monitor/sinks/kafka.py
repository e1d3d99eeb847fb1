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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from random import Random
from time import monotonic
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer, errors
from aiokafka.partitioner import murmur2

from monitor.clock import Clock, SystemClock
from monitor.errors import MonitorError
from monitor.retry import Backoff
from monitor.sinks.kafka_brokers import KafkaSettings, Said, connection, ensure_topics, refusal
from monitor.wire.events import Record, headers

log = logging.getLogger(__name__)

ROUND_RECORDS = 2000
BATCH_BYTES = 256 << 10
KEYS_REMEMBERED = 1 << 16
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
        self._said = Said()
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
            if isinstance(failure, errors.KafkaConnectionError):
                failure = await refusal(self._settings) or failure
            self._report(failure)
            if not isinstance(failure, RECORD_REFUSED):
                await self._clock.sleep(self._backoff.next())

    async def _deliver_with_one_producer(self) -> None:
        await ensure_topics(self._settings, self._said)
        producer = AIOKafkaProducer(
            **connection(self._settings),
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
