"""Pods that come and go at 500 a second: from the watch line to the record in Kafka.

A scripted API server plays them, with the output of their daemons, to the program that users run,
which publishes through its durable outbox to a real broker. Each Pod means five watch lines of 6 KB
and twenty lines of text.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from monitor.sinks.kafka_brokers import KafkaSettings
from tests.bench import machine
from tests.bench.beside import PREFIX, Beside, beside, settled
from tests.bench.cluster import Scale
from tests.bench.delivered import delivered, first_coverage, withdrawn
from tests.bench.figures import Figure
from tests.bench.player import GONE, TEXT_LINES, WATCH_LINES, Player
from tests.bench.stopwatch import Stopwatch

PODS_A_SECOND: Final = 500
P99_MILLISECONDS: Final = 250.0
PARTITIONS: Final = KafkaSettings(brokers=()).partitions
WARM_UP_SECONDS: Final = 15
"""Of the same load, before what is measured: a broker that was just started compiles itself."""
STANDING: Final = Scale(containers=2000, nodes=20)
STANDING_QUICK: Final = Scale(containers=40, nodes=2)


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    del watch
    if scale.containers < 10_000:
        return asyncio.run(_measure(STANDING_QUICK, rate=20, warm_up=0, seconds=2))
    return asyncio.run(_measure(STANDING, rate=PODS_A_SECOND, warm_up=WARM_UP_SECONDS, seconds=30))


async def _measure(standing: Scale, *, rate: float, warm_up: float, seconds: float) -> list[Figure]:
    async with beside(standing) as stage:
        player = Player(stage.scripted, rate=rate)
        process = stage.monitor.process.pid
        began, taken = time.time(), machine.processor_seconds(process)
        await player.play(GONE + warm_up + seconds)
        busy = (machine.processor_seconds(process) - taken) / (time.time() - began)
        await settled(stage.monitor, covered=standing.containers)
        return await _figures(stage, player, rate=rate, steady=began + GONE + warm_up, busy=busy)


async def _figures(
    stage: Beside, player: Player, *, rate: float, steady: float, busy: float
) -> list[Figure]:
    records = await delivered(stage.broker, PREFIX, partitions=PARTITIONS)
    first, gone = first_coverage(records), withdrawn(records)
    covered = first_coverage(records, verdict="covered")
    lost = [
        uid for uid in player.running if uid not in first or uid not in covered or uid not in gone
    ]
    milliseconds = [
        1000 * (first[uid] - sent)
        for uid, sent in player.running.items()
        if sent >= steady and uid in first
    ]
    return [
        Figure(
            what=f"watch line to Kafka, 99th percentile at {rate:g} Pods/s",
            value=percentile(milliseconds, 99),
            unit="ms",
            budget=P99_MILLISECONDS,
            kind="most",
            note=(
                f"median {percentile(milliseconds, 50):.0f}, most {max(milliseconds):.0f} ms, of "
                f"{len(milliseconds):,} Pods; until the broker has the record; each Pod means "
                f"{WATCH_LINES} watch lines and {TEXT_LINES} lines of text; outbox on disk; "
                f"the first {WARM_UP_SECONDS} s left out; the monitor took {busy:.0%} of a core; "
                f"the player was at most {1000 * player.late:.0f} ms late"
            ),
        ),
        Figure(
            what="Pods of which a record is missing",
            value=len(lost),
            unit="Pods",
            budget=1,
            kind="most",
            note=f"of {len(player.running):,}: first verdict, covered and tombstone are in Kafka",
        ),
    ]


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest of the values that is not exceeded by so many in a hundred."""
    ordered: Sequence[float] = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
