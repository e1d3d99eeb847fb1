"""The program that users run, beside a scripted API server and a real broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from tests.bench.cluster import Scale
from tests.bench.delivered import stamping_broker
from tests.bench.scripted import ScriptedCluster
from tests.rig.kafka import Broker
from tests.rig.wait import eventually
from tests.servers.stage import Monitor

PREFIX = "bench."
SETTLING_SECONDS = 120.0

Sections = dict[str, dict[str, Any]]


class Beside(Struct):
    """The three of them."""

    scripted: ScriptedCluster
    broker: Broker
    monitor: Monitor


@asynccontextmanager
async def beside(scale: Scale, **sections: dict[str, Any]) -> AsyncIterator[Beside]:
    """Start all three and wait until every container is covered and every record delivered.

    `sections` are the monitor's configuration, where it is not the default.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        broker = stamping_broker(folder / "kafka")
        async with broker, ScriptedCluster(scale) as scripted:
            settings: Sections = {
                "kubernetes": {"url": scripted.url},
                "kubearmor": {"relay": ""},
                "kafka": {"brokers": [broker.bootstrap], "prefix": PREFIX},
                **sections,
            }
            monitor = Monitor(folder=folder / "monitor", settings=settings)
            try:
                await monitor.start()
                await settled(monitor, covered=scale.containers)
                yield Beside(scripted, broker, monitor)
            finally:
                await monitor.stop()


async def settled(monitor: Monitor, *, covered: int) -> None:
    """Wait until so many containers are covered and nothing waits in the outbox."""

    async def is_so() -> bool:
        found = await monitor.metric('coverage_containers{verdict="covered"}')
        waiting = await monitor.metric("outbox_records")
        assert (found, waiting) == (covered, 0), (found, waiting)
        return True

    await eventually(is_so, within=SETTLING_SECONDS, every=0.5)
