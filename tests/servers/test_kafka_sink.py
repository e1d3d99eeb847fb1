"""Records reach a real broker: whole, in order per key, whatever happens to it meanwhile."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from monitor.sinks.kafka import KafkaSink
from monitor.sinks.kafka_brokers import KafkaSettings
from monitor.sinks.outbox import SqliteOutbox
from monitor.wire.events import Record, headers
from tests.rig.kafka import Broker
from tests.rig.wait import eventually
from tests.sinks.records import record

NUMBERS = count(1)


@pytest.fixture
def prefix() -> str:
    """Return a prefix that makes all topics the test's own."""
    return f"sink-{next(NUMBERS)}."


class Delivery:
    """A sink at work on a durable outbox, and what it counted."""

    def __init__(self, outbox: SqliteOutbox, settings: KafkaSettings) -> None:
        self.outbox = outbox
        self.settings = settings
        self.reasons: list[str] = []
        self.seconds: list[float] = []
        self.sink = KafkaSink(
            outbox, settings, delivered=self.seconds.append, failed=self.reasons.append
        )
        self.task = asyncio.create_task(self.sink.deliver())

    async def done(self, *, within: float = 60) -> None:
        async with asyncio.timeout(within):
            await self.outbox.drained()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=30)
        assert self.task.cancelled()


@asynccontextmanager
async def delivering(
    broker: Broker,
    path: Path,
    *,
    prefix: str,
    **settings: Any,
) -> AsyncIterator[Delivery]:
    known = KafkaSettings(brokers=(broker.bootstrap,), prefix=prefix, **settings)
    async with delivering_with(known, path) as delivery:
        yield delivery


@asynccontextmanager
async def delivering_with(settings: KafkaSettings, path: Path) -> AsyncIterator[Delivery]:
    outbox = await SqliteOutbox.open(path)
    delivery = Delivery(outbox, settings)
    try:
        yield delivery
    finally:
        await delivery.stop()
        await outbox.close()


async def received(broker: Broker, topic: str, *, partitions: int = 6) -> list[Any]:
    """Return every record of a topic, partition by partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found: list[Any] = []
        async with asyncio.timeout(30):
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(messages)
        return found
    finally:
        await consumer.stop()


def states(messages: Sequence[Any]) -> dict[str, list[int]]:
    """Return the states of each key in the order of their offsets."""
    found: dict[str, list[int]] = {}
    for message in sorted(messages, key=lambda each: (each.partition, each.offset)):
        found.setdefault(message.key.decode(), []).append(
            msgspec.json.decode(message.value)["state"]
        )
    return found


def stream(keys: int, length: int) -> list[Record]:
    return [record(f"test/key-{key}", state) for state in range(length) for key in range(keys)]


async def test_a_record_arrives_as_a_cloud_event_in_binary_mode(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    told = record("test/uid/app", {"verdict": "covered"}, topic="coverage")
    gone = record("test/uid/app", None, topic="coverage")
    async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
        delivery.outbox.append([told, gone])
        await delivery.done()
        messages = await received(broker, f"{prefix}coverage")

    assert [(each.key, each.value, list(each.headers)) for each in messages] == [
        (b"test/uid/app", told.data, headers(told)),
        (b"test/uid/app", None, headers(gone)),
    ]
    assert len(delivery.seconds) == 1
    assert delivery.reasons == []


async def test_topics_are_created_compacted_where_the_latest_state_counts(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    async with delivering(
        broker, tmp_path / "outbox", prefix=prefix, retention_seconds=3600
    ) as delivery:
        delivery.outbox.append([record(topic="health")])
        await delivery.done()
        found = {
            topic: await configuration(broker, f"{prefix}{topic}", "cleanup.policy", "retention.ms")
            for topic in ("coverage", "gaps")
        }

    assert found["coverage"]["cleanup.policy"] == "compact"
    assert found["gaps"] == {"cleanup.policy": "delete", "retention.ms": "3600000"}


async def configuration(broker: Broker, topic: str, *names: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(names))
        (response,) = await admin.describe_configs([resource])
        ((_, _, _, _, entries),) = response.resources
        return {name: value for name, value, *_ in entries}
    finally:
        await admin.close()


async def test_a_topic_that_cannot_be_created_is_said_once_and_holds_up_nothing(
    broker: Broker, tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.create_topic(f"{prefix}gaps", partitions=2)
    async with delivering(broker, tmp_path / "outbox", prefix=prefix, partitions=0) as delivery:
        delivery.outbox.append([record("key")])
        await delivery.done()

    said = [text for text in caplog.messages if "cannot be created" in text]
    assert len(said) == 5
    assert f"the topic {prefix}coverage is missing" in "".join(said)
    assert "create it with cleanup.policy=compact, or grant the right to" in "".join(said)


async def test_many_records_arrive_once_and_in_order_per_key(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
        delivery.outbox.append(stream(keys=100, length=50))
        await delivery.done()
        messages = await received(broker, f"{prefix}gaps")

    assert states(messages) == {f"test/key-{key}": list(range(50)) for key in range(100)}
    assert len({message.partition for message in messages}) == 6


async def test_a_record_too_large_is_left_out_and_holds_up_nothing(
    broker: Broker, tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    noise = os.urandom(1_500_000).hex()
    told = [record("key", state) for state in range(5)]
    told[1:1] = [record("key", noise)]
    told[4:4] = [record("key", noise[::-1])]
    async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
        delivery.outbox.append(told)
        await delivery.done()
        messages = await received(broker, f"{prefix}gaps")

    said = [text for text in caplog.messages if "Kafka refuses a record of gaps" in text]
    assert states(messages) == {"key": list(range(5))}
    assert delivery.reasons.count("record-refused") >= 2
    assert set(delivery.reasons) == {"record-refused"}
    assert len(said) == 1


async def test_what_a_topics_own_limit_refuses_as_a_batch_is_sent_one_by_one(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    await broker.create_topic(f"{prefix}gaps", settings={"max.message.bytes": "3000"})
    told = [record("key", state) for state in range(50)]
    told.insert(20, record("key", os.urandom(4000).hex()))
    async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
        delivery.outbox.append(told)
        await delivery.done()
        messages = await received(broker, f"{prefix}gaps", partitions=1)

    assert states(messages) == {"key": list(range(50))}


async def test_a_broker_killed_in_mid_stream_loses_nothing_and_keeps_the_order_per_key(
    tmp_path: Path, prefix: str
) -> None:
    keys, length = 40, 150
    told = stream(keys, length)
    async with (
        Broker(folder=tmp_path / "kafka") as broker,
        delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery,
    ):
        feeding = asyncio.create_task(feed(delivery.outbox, told))
        for _ in range(3):
            before = len(delivery.seconds)
            await eventually(lambda: more(delivery, before), within=60, every=0.005)  # noqa: B023
            await broker.kill()
            await broker.start()
        await feeding
        await delivery.done(within=90)
        messages = await received(broker, f"{prefix}gaps")

    expected = {f"test/key-{key}": list(range(length)) for key in range(keys)}
    found = states(messages)
    assert {key: first_seen(numbers) for key, numbers in found.items()} == expected
    assert {numbers[-1] for numbers in found.values()} == {length - 1}


async def more(delivery: Delivery, before: int) -> bool:
    return len(delivery.seconds) > before


def first_seen(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def feed(outbox: SqliteOutbox, records: Sequence[Record]) -> None:
    for begin in range(0, len(records), 20):
        outbox.append(records[begin : begin + 20])
        await outbox.room()
        await asyncio.sleep(0.02)


async def test_a_broker_that_answers_no_more_gets_a_new_producer_after_the_deadline(
    tmp_path: Path, prefix: str
) -> None:
    async with (
        Broker(folder=tmp_path / "kafka") as broker,
        delivering(
            broker, tmp_path / "outbox", prefix=prefix, delivery_seconds=0.5, request_seconds=2
        ) as delivery,
    ):
        delivery.outbox.append([record("key", 0)])
        await delivery.done()
        os.kill(broker.process.pid, signal.SIGSTOP)
        delivery.outbox.append([record("key", 1)])
        await eventually(lambda: failed(delivery), within=30)
        os.kill(broker.process.pid, signal.SIGCONT)
        await delivery.done()
        messages = await received(broker, f"{prefix}gaps")

    assert "timeout" in delivery.reasons
    assert first_seen(states(messages)["key"]) == [0, 1]


async def failed(delivery: Delivery) -> bool:
    return bool(delivery.reasons)


async def test_delivery_ends_in_time_while_the_broker_is_away_and_nothing_is_lost(
    tmp_path: Path, prefix: str
) -> None:
    async with Broker(folder=tmp_path / "kafka") as broker:
        async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
            delivery.outbox.append([record("key", 0)])
            await delivery.done()
            await broker.kill()
            delivery.outbox.append([record("key", 1)])
            await delivery.outbox.durable()
        await broker.start()
        async with delivering(broker, tmp_path / "outbox", prefix=prefix) as delivery:
            await delivery.done()
        messages = await received(broker, f"{prefix}gaps")

    assert first_seen(states(messages)["key"]) == [0, 1]
