"""What the monitor published, and when the broker had each record."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from tests.rig.kafka import Broker

TOPICS = ("timing", "gaps", "coverage", "health")
STAMPED_BY_BROKER = {"log.message.timestamp.type": "LogAppendTime"}


class Delivered(Struct, frozen=True):
    """A record in Kafka; `at` is the broker's own time of it, in milliseconds as Unix seconds."""

    topic: str
    key: str
    type: str
    at: float
    data: dict[str, Any] | None


def stamping_broker(folder: Path) -> Broker:
    """Return a broker, to be started, that stamps each record when it has it."""
    return Broker(folder=folder, settings=STAMPED_BY_BROKER)


async def delivered(broker: Broker, prefix: str, *, partitions: int) -> list[Delivered]:
    """Return all records under a prefix, of one key in their order; topics have `partitions`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        parts = [
            TopicPartition(prefix + topic, number)
            for topic in TOPICS
            for number in range(partitions)
        ]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found: list[Delivered] = []
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(_delivered(message, prefix) for message in messages)
        return found
    finally:
        await consumer.stop()


def first_coverage(records: list[Delivered], *, verdict: str | None = None) -> Mapping[str, float]:
    """Return by Pod uid when its first coverage record (with that verdict) was in Kafka."""
    found: dict[str, float] = {}
    for uid, record in _coverage(records):
        if record.data is not None and verdict in {None, record.data["verdict"]}:
            found.setdefault(uid, record.at)
    return found


def withdrawn(records: list[Delivered]) -> frozenset[str]:
    """Return the uids of the Pods whose coverage has a tombstone."""
    return frozenset(uid for uid, record in _coverage(records) if record.data is None)


def _coverage(records: list[Delivered]) -> Iterator[tuple[str, Delivered]]:
    for record in records:
        if record.topic == "coverage" and "/policy-set/" not in record.key:
            yield record.key.split("/")[1], record


def _delivered(message: Any, prefix: str) -> Delivered:
    headers = {key: value.decode() for key, value in message.headers}
    return Delivered(
        topic=message.topic.removeprefix(prefix),
        key=message.key.decode(),
        type=headers["ce_type"],
        at=message.timestamp / 1000,
        data=None if message.value is None else json.loads(message.value),
    )
