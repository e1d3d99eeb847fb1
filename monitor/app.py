"""The assembly: everything is built here, and started and stopped in an order that loses nothing.

What takes records starts before what makes them and stops after it: HTTP, delivery, the engine's
deadlines, sources; then in reverse, each with a deadline. What is not delivered by then waits in
the outbox for the next start.
"""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NoReturn, Protocol

from monitor.clock import Clock, SystemClock
from monitor.config import Configuration, endpoint
from monitor.core.coverage import Coverage, Settings
from monitor.core.model import (
    Announcement,
    ContainerTiming,
    Gap,
    Observation,
    PolicyTiming,
    SourceDown,
)
from monitor.engine import Engine, Outbox
from monitor.live import LiveSources, api_server
from monitor.metrics import Metrics, OutboxStatistics
from monitor.retry import cancelled
from monitor.sinks.http import Address, Demo, HttpServer
from monitor.sinks.jsonl import STANDARD_OUTPUT, JsonLines
from monitor.sinks.outbox import Limits, MemoryOutbox, SqliteOutbox
from monitor.sinks.stream import EventStream
from monitor.sources import Source
from monitor.supervision import Supervisor
from monitor.view import EngineView
from monitor.wire.events import Record, Translation

STOP_SECONDS = 7.0
DELIVERY_SECONDS = 8.0
DELIVERY_LOOK_SECONDS = 0.05
GC_THRESHOLDS = (50_000, 20, 100)
MEASURED = (ContainerTiming, PolicyTiming, Gap)
MEASURED_TOPICS = ("timing", "gaps")

log = logging.getLogger(__name__)


class Delivery(Protocol):
    """A sink: takes records from the outbox for ever."""

    async def deliver(self) -> None: ...


class CountedOutbox(Outbox, Protocol):
    """An outbox that says what it holds."""

    def statistics(self) -> OutboxStatistics: ...


# --- parts ------------------------------------------------------------------------------------


def coverage(configuration: Configuration, *, started: float) -> Coverage:
    """Return the judgement; every source is blind from `started` to its first sight."""
    judgement = configuration.judgement
    settings = Settings(
        cluster=configuration.cluster.name,
        grace=judgement.grace,
        grace_limit=judgement.grace_limit,
        start_assumed=judgement.start_assumed,
        incident_hold=judgement.incident_hold,
        rollout_limit=judgement.rollout_limit,
    )
    return Coverage(settings=settings, started=started)


def translation(configuration: Configuration) -> Translation:
    """Return what makes records of announcements; they name cluster and scope as their source."""
    cluster = configuration.cluster
    scope = f"node/{cluster.node}" if cluster.scope == "node" else "cluster"
    return Translation(cluster=cluster.name, scope=scope)


async def open_outbox(configuration: Configuration, metrics: Metrics) -> CountedOutbox:
    """Open the file configured, or an outbox in memory."""
    outbox = configuration.outbox
    if outbox.path is None:
        limits = Limits(memory_bytes=outbox.max_bytes)
        return MemoryOutbox(limits=limits, observe_lag=metrics.observe_lag)
    limits = Limits(disk_bytes=outbox.max_bytes)
    return await SqliteOutbox.open(
        Path(outbox.path), limits=limits, observe_lag=metrics.observe_lag
    )


def delivery(configuration: Configuration, outbox: Outbox, metrics: Metrics) -> Delivery:
    """Return the sink: Kafka where brokers are configured, else JSON lines."""
    kafka = configuration.kafka
    if not kafka.brokers:
        path = configuration.jsonl.path or STANDARD_OUTPUT
        return JsonLines(outbox, path, prefix=kafka.prefix, failed=metrics.delivery_failed)
    # A fifth of a second and some megabytes, which only those pay who publish to Kafka.
    from monitor.sinks.kafka import KafkaSink
    from monitor.sinks.kafka_brokers import KafkaSettings

    settings = KafkaSettings(
        brokers=kafka.brokers,
        prefix=kafka.prefix,
        tls=kafka.tls,
        ca_file=kafka.ca_file,
        certificate_file=kafka.certificate_file,
        key_file=kafka.key_file,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password_file=kafka.sasl_password_file,
    )
    return KafkaSink(outbox, settings, delivered=metrics.delivered, failed=metrics.delivery_failed)


class Measuring:
    """Tells the metrics what is observed and announced."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def observe(self, observation: Observation) -> None:
        if isinstance(observation, SourceDown):
            kind = observation.name.partition("/")[0]
            self._metrics.source_restarted(kind=kind, reason=observation.reason)

    def decided(
        self, announcements: Sequence[Announcement], records: Sequence[Record], now: float
    ) -> None:
        """Measure, with the event's id as exemplar: each measured announcement has one record."""
        del now
        measured = (one for one in announcements if isinstance(one, MEASURED))
        ids = (record.id for record in records if record.topic in MEASURED_TOPICS)
        for announcement, event_id in zip(measured, ids, strict=False):
            self._metrics.announced(announcement, event_id=event_id)


# --- the service ------------------------------------------------------------------------------


class Service:
    """One monitor, built; its outbox is open."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Clock,
        outbox: CountedOutbox,
        metrics: Metrics,
        observers: Sequence[Callable[[Observation], None]] = (),
        required: Sequence[str] = (),
        listeners: tuple[Address | None, Address | None] | None = None,
        demo: Demo | None = None,
    ) -> None:
        """Build it; `clock` is that of the judgement, `listeners` win over the configuration."""
        stream = EventStream(prefix=configuration.kafka.prefix)
        measuring = Measuring(metrics)
        self.engine = Engine(
            core=coverage(configuration, started=clock.now()),
            outbox=outbox,
            clock=clock,
            translation=translation(configuration),
            listeners=(measuring, stream),
            observers=(measuring.observe, *observers),
            required=required,
        )
        probes, api = listeners or _listeners(configuration)
        self.http = HttpServer(
            EngineView(self.engine, metrics=metrics, outbox=outbox),
            stream=stream,
            probes=probes,
            api=api,
            demo=demo,
        )
        self.listening = asyncio.Event()
        self._outbox = outbox
        self._sink = delivery(configuration, outbox, metrics)
        self._supervisor = Supervisor(clock=SystemClock())
        self._steady: dict[str, Callable[[], Awaitable[None]]] = {
            "the engine's deadlines": self.engine.run,
            "the event stream": stream.run,
            "the event loop's probe": metrics.probe_event_loop,
        }

    async def run(self, sources: Sequence[Source], stop: asyncio.Event) -> None:
        """Run until `stop`, or until a task cannot be kept running: then raise its error."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(_in_time("HTTP", self.http.stop))
            await self.http.start()
            self.listening.set()
            log.info("probes and metrics: %s, API: %s", self.http.probes_url, self.http.api_url)
            stack.push_async_callback(_in_time("the outbox", self._outbox.close))
            sink = await stack.enter_async_context(self._kept({"delivery": self._sink.deliver}))
            stack.push_async_callback(self._delivered)
            steady = await stack.enter_async_context(self._kept(self._steady))
            observing = await stack.enter_async_context(
                self._kept({source.name: source.run for source in sources})
            )
            freezing = asyncio.create_task(self._freeze_when_synced())
            stack.push_async_callback(cancelled, freezing)
            stopping = asyncio.create_task(stop.wait())
            stack.push_async_callback(cancelled, stopping)
            done, _ = await asyncio.wait(
                {stopping, *sink, *steady, *observing}, return_when=asyncio.FIRST_COMPLETED
            )
            log.info("stopping")
            for task in done:
                task.result()

    @contextlib.asynccontextmanager
    async def _kept(
        self, tasks: dict[str, Callable[[], Awaitable[None]]]
    ) -> AsyncIterator[Sequence[asyncio.Task[NoReturn]]]:
        running = [
            asyncio.create_task(self._supervisor.keep(name, run), name=name)
            for name, run in tasks.items()
        ]
        try:
            yield running
        finally:
            for task in running:
                task.cancel()
            _, late = await asyncio.wait(running, timeout=STOP_SECONDS)
            if late:
                log.error("did not stop in time: %s", ", ".join(task.get_name() for task in late))

    async def _delivered(self) -> None:
        """Give the sink the time to deliver what is decided."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_SECONDS):
                while self._outbox.statistics().records:  # noqa: ASYNC110  # bounded by a deadline
                    await asyncio.sleep(DELIVERY_LOOK_SECONDS)
                return
        log.warning("%d records are not delivered yet", self._outbox.statistics().records)

    async def _freeze_when_synced(self) -> None:
        """Keep the collector from walking for ever through what the first lists brought."""
        await self.engine.synced.wait()
        log.info("synced")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)


def _listeners(configuration: Configuration) -> tuple[Address | None, Address | None]:
    http = configuration.http
    probes, api = (endpoint(text) if text else None for text in (http.probes, http.api))
    return probes, api


def _in_time(name: str, stop: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def stopped() -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await stop()
        except TimeoutError:
            log.error("%s did not stop in time", name)  # noqa: TRY400  # a late stop has no traceback

    return stopped


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def serve(configuration: Configuration) -> None:
    """Watch a cluster until a signal says stop. Raises MonitorError for what cannot go on."""
    clock = SystemClock()
    metrics = Metrics(namespaces=configuration.metrics.namespaces)
    with stopped_by_signals() as stop:
        async with api_server(configuration.kubernetes, clock) as server:
            live = LiveSources(
                configuration,
                server=server,
                clock=clock,
                random=Random(),
            )
            service = Service(
                configuration,
                clock=clock,
                outbox=await open_outbox(configuration, metrics),
                metrics=metrics,
                observers=[live.observe],
                required=live.required,
            )
            await service.run(live.build(service.engine), stop)
