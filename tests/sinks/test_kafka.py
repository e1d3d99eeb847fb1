import asyncio
import logging
import ssl
from pathlib import Path
from random import Random

import pytest
from aiokafka import errors

from monitor.sinks.kafka import KafkaSink, _hash, reason_of
from monitor.sinks.kafka_brokers import KafkaSettings, connection
from monitor.sinks.outbox import MemoryOutbox
from tests.clock import ManualClock
from tests.rig.ports import free_ports
from tests.rig.wait import eventually
from tests.sinks.records import record


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
    ],
)
def test_keys_are_hashed_as_kafkas_own_clients_do(key: str, murmur2: int) -> None:
    assert _hash(key.encode()) == murmur2 & 0x7FFFFFFF


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (errors.MessageSizeTooLargeError(), "record-refused"),
        (errors.OutOfOrderSequenceNumber(), "producer-state"),
        (errors.UnknownProducerId(), "producer-state"),
        (errors.ProducerFenced(), "producer-state"),
        (errors.TopicAuthorizationFailedError(), "authorization"),
        (errors.UnknownTopicOrPartitionError(), "topic-missing"),
        (TimeoutError(), "timeout"),
        (errors.KafkaConnectionError(), "connection"),
        (ConnectionResetError(), "connection"),
        (ssl.SSLError(), "connection"),
        (errors.NotEnoughReplicasError(), "other"),
    ],
    ids=str,
)
def test_a_failure_has_one_of_a_few_reasons(failure: BaseException, reason: str) -> None:
    assert reason_of(failure) == reason


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        (KafkaSettings(brokers=("b:1",)), "PLAINTEXT"),
        (KafkaSettings(brokers=("b:1",), tls=True), "SSL"),
        (KafkaSettings(brokers=("b:1",), sasl_mechanism="PLAIN"), "SASL_PLAINTEXT"),
        (KafkaSettings(brokers=("b:1",), sasl_mechanism="PLAIN", tls=True), "SASL_SSL"),
    ],
)
def test_the_protocol_follows_from_the_settings(settings: KafkaSettings, protocol: str) -> None:
    options = connection(settings)

    assert options["security_protocol"] == protocol
    assert isinstance(options.get("ssl_context"), ssl.SSLContext) == settings.tls


def test_a_password_is_read_anew_at_eachconnection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = KafkaSettings(
        brokers=("b:1",),
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="monitor",
        sasl_password_file=str(file),
    )
    passwords = []
    for password in ("first", "second"):
        file.write_text(password + "\n")
        passwords.append(connection(settings)["sasl_plain_password"])

    assert passwords == ["first", "second"]


async def test_a_broker_that_is_away_is_tried_again_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="monitor")
    clock = ManualClock()
    outbox = MemoryOutbox(clock=clock)
    outbox.append([record()])
    reasons: list[str] = []
    (port,) = free_ports(1)
    sink = KafkaSink(
        outbox,
        KafkaSettings(brokers=(f"127.0.0.1:{port}",)),
        clock=clock,
        random=Random(1),
        failed=reasons.append,
    )
    task = asyncio.create_task(sink.deliver())

    async def waiting_again() -> bool:
        return bool(clock.sleepers)

    for _ in range(4):
        await eventually(waiting_again, within=5, every=0.001)
        await clock.advance(30)
    await eventually(waiting_again, within=5, every=0.001)
    task.cancel()
    await asyncio.wait({task})

    said = [entry for entry in caplog.records if entry.name.startswith("monitor")]
    assert len(reasons) > 4
    assert set(reasons) == {"connection"}
    assert len(said) == 1
    assert "Kafka takes no records (connection" in said[0].getMessage()
    assert outbox.statistics().records == 1
