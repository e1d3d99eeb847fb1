"""What the commands share that look at a cluster without a running monitor."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from msgspec import structs

from monitor import app, config
from monitor.clock import SystemClock
from monitor.core.model import Observation, Outline, Report
from monitor.engine import Engine
from monitor.errors import MonitorError, SourceError
from monitor.live import LiveSources, api_server
from monitor.retry import cancelled
from monitor.sources.api_server import ApiServer
from monitor.wire.events import Record

Answer = TypeVar("Answer")

QUIET_SECONDS = 2.0
LOOK_SECONDS = 0.25


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig, if not the current")


def configuration(options: Namespace) -> config.Configuration:
    """Return the configuration, with the options that win over it."""
    loaded = config.load(options.config, os.environ)
    kubernetes = structs.replace(
        loaded.kubernetes,
        kubeconfig=options.kubeconfig or loaded.kubernetes.kubeconfig,
        context=options.context or loaded.kubernetes.context,
    )
    return structs.replace(loaded, kubernetes=kubernetes)


class NoOutbox:
    """Forgets records: who looks once publishes nothing."""

    def append(self, records: Sequence[Record]) -> None: ...

    async def room(self) -> None: ...

    async def take(self, limit: int) -> list[tuple[int, Record]]:
        raise NotImplementedError(limit)

    async def acknowledge(self, sequence: int) -> None: ...

    async def close(self) -> None: ...


class Activity:
    """When something was last observed."""

    def __init__(self, *, quiet_after: float) -> None:
        self._quiet_after = quiet_after
        self.last = 0.0

    def observe(self, observation: Observation) -> None:
        del observation
        self.last = asyncio.get_running_loop().time()

    @property
    def quiet(self) -> bool:
        return asyncio.get_running_loop().time() - self.last >= self._quiet_after


class Look:
    """A cluster that is being read: its sources run into an engine that publishes nothing."""

    def __init__(
        self,
        *,
        engine: Engine,
        server: ApiServer,
        activity: Activity,
        tasks: Sequence[asyncio.Task[None]],
    ) -> None:
        self.engine = engine
        self.server = server
        self.activity = activity
        self._tasks = tasks

    async def until(self, settled: Coroutine[Any, Any, None], *, within: float) -> bool:
        """Wait for `settled` to return, or for `within` seconds; return whether it did."""
        settling = asyncio.create_task(settled)
        try:
            await asyncio.wait(
                {settling, *self._tasks}, timeout=within, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (settling, *self._tasks):
                if task.done():
                    task.result()
            return settling.done()
        finally:
            await cancelled(settling)

    def require(self, *, within: float) -> None:
        """Raise SourceError if the cluster could not be read, MonitorError if not be judged."""
        if missing := self.engine.missing():
            reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
            raise SourceError(f"the cluster could not be read within {within:g} s: {reasons}")
        if failed := self.engine.failed():
            raise MonitorError(f"the judgement failed on {failed} observations; the log says where")


@asynccontextmanager
async def looking(
    configuration: config.Configuration,
    *,
    observers: Sequence[Callable[[Observation], None]] = (),
    required: Sequence[str] = (),
    quiet_after: float = QUIET_SECONDS,
) -> AsyncIterator[Look]:
    """Read a cluster for as long as the context is open; `required` are sources needed besides.

    The relay and the daemons' health services are left out: a look is too short for alerts and for
    starts, and from outside they are out of reach.
    """
    kubearmor = structs.replace(configuration.kubearmor, relay="", health=False)
    configuration = structs.replace(configuration, kubearmor=kubearmor)
    clock, activity = SystemClock(), Activity(quiet_after=quiet_after)
    async with api_server(configuration.kubernetes, clock) as server:
        live = LiveSources(
            configuration,
            server=server,
            clock=clock,
            random=Random(),
        )
        engine = Engine(
            core=app.coverage(configuration, started=clock.now()),
            outbox=NoOutbox(),
            clock=clock,
            translation=lambda _: (),
            observers=[live.observe, activity.observe, *observers],
            required=(*live.required, *required),
        )
        tasks = [asyncio.create_task(source.run()) for source in live.build(engine)]
        tasks.append(asyncio.create_task(engine.run()))
        try:
            yield Look(engine=engine, server=server, activity=activity, tasks=tasks)
        finally:
            await cancelled(*tasks)


async def look_once(
    configuration: config.Configuration,
    *,
    within: float,
    quiet_after: float = QUIET_SECONDS,
    observers: Sequence[Callable[[Observation], None]] = (),
) -> Report:
    """Report on a cluster. As `ask_once`."""
    return await ask_once(
        configuration, Engine.report, within=within, quiet_after=quiet_after, observers=observers
    )


async def ask_once(
    configuration: config.Configuration,
    question: Callable[[Engine], Answer],
    *,
    within: float,
    quiet_after: float = QUIET_SECONDS,
    observers: Sequence[Callable[[Observation], None]] = (),
) -> Answer:
    """Read a cluster until nothing new comes and nothing is pending, or for `within` seconds.

    Nothing new comes when nothing has come for `quiet_after` seconds. `observers` are shown all
    that is observed. Raises SourceError for a cluster that cannot be read.
    """
    async with looking(configuration, observers=observers, quiet_after=quiet_after) as look:
        await look.until(_settled(look.engine, look.activity), within=within)
        look.require(within=within)
        return question(look.engine)


async def _settled(engine: Engine, activity: Activity) -> None:
    await engine.synced.wait()
    while not activity.quiet or _undecided(engine.outline()):  # noqa: ASYNC110  # bounded by a deadline
        await asyncio.sleep(LOOK_SECONDS)


def _undecided(outline: Outline) -> bool:
    hosts = (pair.verdict for node in outline.nodes for pair in node.policies)
    return "pending" in (*(container.verdict for container in outline.containers), *hosts)
