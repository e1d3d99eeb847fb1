"""The service as a whole: what it starts, what it delivers, how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM

import aiohttp
import pytest

from monitor import app
from monitor.clock import SystemClock
from monitor.config import Configuration, Http, Jsonl, Kafka, Outbox
from monitor.core.model import Observation, SourceUp
from monitor.errors import ConfigurationError, SourceError
from monitor.metrics import Metrics
from monitor.sinks.jsonl import JsonLines
from monitor.sinks.kafka import KafkaSink
from monitor.sinks.outbox import MemoryOutbox, SqliteOutbox
from monitor.sources import Intake
from tests.commands.called import calling
from tests.commands.recorded_api import RecordedApi
from tests.rig.wait import eventually

LOOPBACK = "127.0.0.1:0"
UNCOVERED = 1795469290.03


class Scripted:
    """A source that delivers something, then runs until it is stopped or fails."""

    name = "scripted"

    def __init__(self, intake: Intake, failure: Exception | None = None) -> None:
        self.intake = intake
        self.failure = failure
        self.stopped = asyncio.Event()
        self.started = asyncio.Event()

    async def run(self) -> None:
        self.deliver([SourceUp("kubernetes/pods")])
        self.started.set()
        if self.failure is not None:
            raise self.failure
        try:
            await asyncio.Event().wait()
        finally:
            self.deliver([SourceUp("kubernetes/nodes")])
            self.stopped.set()

    def deliver(self, observations: Sequence[Observation]) -> None:
        self.intake.deliver(observations)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def configuration(output: Path) -> Configuration:
    return Configuration(jsonl=Jsonl(path=str(output)), http=Http(probes=LOOPBACK, api=LOOPBACK))


@pytest.fixture
async def service(configuration: Configuration) -> app.Service:
    metrics = Metrics()
    return app.Service(
        configuration,
        clock=SystemClock(),
        outbox=await app.open_outbox(configuration, metrics),
        metrics=metrics,
        required=["kubernetes/pods"],
    )


def told(output: Path) -> list[str]:
    events = map(json.loads, output.read_text().splitlines())
    return [event["data"]["name"] for event in events if event["type"].endswith("source.v1")]


async def test_what_is_decided_while_it_stops_is_still_delivered(
    service: app.Service, output: Path
) -> None:
    stop, source = asyncio.Event(), Scripted(service.engine)
    running = asyncio.create_task(service.run([source], stop))
    await source.started.wait()
    stop.set()
    await running
    assert source.stopped.is_set()
    assert told(output) == ["kubernetes/pods", "kubernetes/nodes"]


async def test_a_source_that_can_never_be_read_ends_the_service_in_order(
    service: app.Service, output: Path
) -> None:
    source = Scripted(service.engine, SourceError("no such file"))
    with pytest.raises(SourceError, match="no such file"):
        await service.run([source], asyncio.Event())
    assert told(output) == ["kubernetes/pods"]


async def test_it_answers_while_it_runs(service: app.Service) -> None:
    stop, source = asyncio.Event(), Scripted(service.engine)
    running = asyncio.create_task(service.run([source], stop))
    await source.started.wait()
    assert service.http.probes_url is not None
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{service.http.probes_url}readyz") as response:
            assert await response.json() == {"ready": True, "missing": []}
        async with session.get(f"{service.http.api_url}api/v1/sources") as response:
            (known,) = [
                one for one in (await response.json())["items"] if one["name"] == "kubernetes/pods"
            ]
            assert known["state"] == "up"
    stop.set()
    await running


async def test_an_address_that_is_taken_ends_the_start(configuration: Configuration) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    metrics = Metrics()
    service = app.Service(
        configuration,
        clock=SystemClock(),
        outbox=await app.open_outbox(configuration, metrics),
        metrics=metrics,
        listeners=(None, ("127.0.0.1", port)),
    )
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
        await service.run([], asyncio.Event())
    taken.close()
    await taken.wait_closed()


async def test_an_outbox_is_a_file_where_one_is_configured(tmp_path: Path) -> None:
    metrics = Metrics()
    assert isinstance(await app.open_outbox(Configuration(), metrics), MemoryOutbox)
    named = Outbox(path=str(tmp_path / "outbox.db"))
    opened = await app.open_outbox(Configuration(outbox=named), metrics)
    assert isinstance(opened, SqliteOutbox)
    await opened.close()


async def test_records_go_to_kafka_where_brokers_are_configured() -> None:
    metrics = Metrics()
    outbox = await app.open_outbox(Configuration(), metrics)
    assert isinstance(app.delivery(Configuration(), outbox, metrics), JsonLines)
    kafka = Configuration(kafka=Kafka(brokers=("127.0.0.1:1",)))
    assert isinstance(app.delivery(kafka, outbox, metrics), KafkaSink)


# --- the whole, as a process -------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[RecordedApi]:
    async with RecordedApi("seed-v1.5.7", until=UNCOVERED) as api:
        yield api


@pytest.fixture
def environment(api: RecordedApi, output: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "KUBEARMOR_MONITOR_KUBERNETES__URL": api.url,
        "KUBEARMOR_MONITOR_KUBEARMOR__RELAY": "",
        "KUBEARMOR_MONITOR_JSONL__PATH": str(output),
        "KUBEARMOR_MONITOR_OUTBOX__PATH": str(tmp_path / "outbox.db"),
        "KUBEARMOR_MONITOR_HTTP__PROBES": LOOPBACK,
        "KUBEARMOR_MONITOR_HTTP__API": "",
    }


def gaps(output: Path) -> dict[str, str]:
    """Return the ids of the gap events, by container."""
    lines = output.read_text().splitlines() if output.exists() else []
    events = [json.loads(line) for line in lines]
    return {
        event["data"]["containerId"]: event["id"]
        for event in events
        if event["topic"].endswith(".gaps")
    }


async def three_gaps(output: Path) -> dict[str, str]:
    async def probe() -> dict[str, str] | None:
        found = gaps(output)
        return found if len(found) == 3 else None

    return await eventually(probe, within=30)


async def test_the_service_publishes_gaps_and_ends_with_a_signal(
    environment: dict[str, str], output: Path
) -> None:
    async with calling("run", **environment) as called:
        await three_gaps(output)
        called.signal(SIGTERM)
        ended = await called.ended()
    assert ended.code == 0
    said = [json.loads(line) for line in ended.errors.splitlines()]
    assert [line["level"] for line in said] == ["info"] * len(said)
    assert said[-1]["message"] == "stopping"


async def test_killed_and_started_again_it_gives_equal_facts_equal_ids(
    environment: dict[str, str], output: Path
) -> None:
    async with calling("run", **environment) as called:
        before = await three_gaps(output)
        called.signal(SIGKILL)
        await called.ended()
    await asyncio.to_thread(output.rename, output.with_suffix(".before"))
    async with calling("run", **environment) as called:
        assert await three_gaps(output) == before
        called.signal(SIGTERM)
        assert (await called.ended()).code == 0


async def test_a_configuration_that_cannot_be_used_is_exit_code_2() -> None:
    async with calling("run", KUBEARMOR_MONITOR_LOG__LEVEL="loud") as called:
        ended = await called.ended()
    assert ended.code == 2
    assert "KUBEARMOR_MONITOR_LOG__LEVEL: log.level: invalid enum value 'loud'" in ended.errors
