"""A monitor beside one node's daemon while nothing happens: its memory, its processor time."""

import asyncio
import time
from typing import Final

from tests.bench import machine
from tests.bench.beside import beside
from tests.bench.cluster import Scale
from tests.bench.figures import Figure
from tests.bench.stopwatch import Stopwatch

ONE_NODE: Final = Scale(containers=100, nodes=1)
MEBIBYTES: Final = 100.0
PERCENT_OF_CORE: Final = 1.0
SCRAPE_SECONDS: Final = 15.0
SETTLING_SECONDS: Final = 5.0


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    del watch
    return asyncio.run(_measure(seconds=60 if scale.containers > 10_000 else 5))


async def _measure(*, seconds: float) -> list[Figure]:
    node = {"name": "default", "scope": "node", "node": "node-0"}
    async with beside(ONE_NODE, cluster=node) as stage:
        await asyncio.sleep(SETTLING_SECONDS)
        process = stage.monitor.process.pid
        began, taken = time.monotonic(), machine.processor_seconds(process)
        while time.monotonic() < began + seconds:
            await stage.monitor.metric("outbox_records")
            await asyncio.sleep(min(SCRAPE_SECONDS, seconds))
        passed = time.monotonic() - began
        busy = machine.processor_seconds(process) - taken
        resident = machine.resident(process)
    return [
        Figure(
            what="resident memory of a node-scope process",
            value=resident / machine.MIB,
            unit="MiB",
            budget=MEBIBYTES,
            kind="most",
            note=f"one node, {ONE_NODE.containers} containers, Kafka, outbox on disk",
        ),
        Figure(
            what="processor time of a node-scope process that idles",
            value=100 * busy / passed,
            unit="% of a core",
            budget=PERCENT_OF_CORE,
            kind="most",
            note=f"{busy:.2f} s in {passed:.0f} s, a scrape every {SCRAPE_SECONDS:g} s included",
        ),
    ]
