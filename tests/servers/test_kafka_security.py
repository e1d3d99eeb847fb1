"""A real broker that serves only those who show a certificate and know a password."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from monitor.sinks.kafka_brokers import KafkaSettings
from tests.rig.certificates import Certificates
from tests.rig.kafka import Broker, Security
from tests.rig.wait import eventually
from tests.servers.test_kafka_sink import Delivery, delivering_with, received
from tests.sinks.records import record

NAME, PASSWORD = "monitor", "open-sesame"
TOLD = record("test/uid/app", {"verdict": "gap"})
SECONDS = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    folder = tmp_path_factory.mktemp("guarded")
    certificates = await Certificates.made(folder / "certificates", "server", "client")
    security = Security(certificates=certificates, name=NAME, password=PASSWORD)
    async with Broker(folder=folder / "kafka", security=security) as running:
        yield running


def settings_of(broker: Broker, *, prefix: str, password: Path, trusted: str) -> KafkaSettings:
    certificates = Certificates(broker.folder.parent / "certificates")
    return KafkaSettings(
        brokers=(broker.secured,),
        prefix=prefix,
        tls=True,
        ca_file=str(certificates.certificate(trusted)),
        certificate_file=str(certificates.certificate("client")),
        key_file=str(certificates.key("client")),
        sasl_mechanism="PLAIN",
        sasl_username=NAME,
        sasl_password_file=str(password),
    )


async def refused(delivery: Delivery) -> None:
    async def is_refused() -> bool:
        assert delivery.reasons
        return True

    await eventually(is_refused, within=SECONDS)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


async def values(broker: Broker, topic: str) -> list[bytes | None]:
    return [message.value for message in await received(broker, topic)]


async def test_records_arrive_over_tls_with_a_certificate_and_a_password(
    guarded: Broker, password: Path, tmp_path: Path
) -> None:
    settings = settings_of(guarded, prefix="known.", password=password, trusted="authority")
    async with delivering_with(settings, tmp_path / "outbox") as delivery:
        delivery.outbox.append([TOLD])
        await delivery.done()

    assert await values(guarded, "known.gaps") == [TOLD.data]
    assert delivery.reasons == []


async def test_a_password_that_is_corrected_in_its_file_is_tried_without_a_restart(
    guarded: Broker, password: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(password.write_text, "open-barley")
    settings = settings_of(guarded, prefix="late.", password=password, trusted="authority")
    async with delivering_with(settings, tmp_path / "outbox") as delivery:
        delivery.outbox.append([TOLD])
        await refused(delivery)
        await asyncio.to_thread(password.write_text, PASSWORD)
        await delivery.done()

    assert await values(guarded, "late.gaps") == [TOLD.data]
    assert delivery.reasons[0] == "authorization"
    assert "Invalid username or password" in said_of(caplog)


async def test_a_broker_that_is_not_trusted_is_told_nothing_and_the_log_says_why(
    guarded: Broker, password: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(guarded, prefix="false.", password=password, trusted="client")
    async with delivering_with(settings, tmp_path / "outbox") as delivery:
        delivery.outbox.append([TOLD])
        await refused(delivery)

    assert set(delivery.reasons) == {"connection"}
    assert "certificate verify failed" in said_of(caplog)


def said_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return what the sink itself said."""
    return "".join(one.getMessage() for one in caplog.records if one.name == "monitor.sinks.kafka")
