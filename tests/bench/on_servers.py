"""Pods on real servers, at the highest rate that leaves a quarter of the machine idle.

A real API server with its controllers and scheduler, KWOK for the kubelets, the emulated KubeArmor
v1.7.4, a real broker and the program that users run share the machine. The rate of Pods is raised
step by step. What counts as busy is what these processes take: neighbours on the machine do not
count.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct

from monitor.retry import cancelled
from tests.bench import machine
from tests.bench.cluster import Scale
from tests.bench.delivered import Delivered, delivered, first_coverage, stamping_broker, withdrawn
from tests.bench.figures import Figure
from tests.bench.replayed import percentile
from tests.bench.stopwatch import Stopwatch
from tests.rig.api import PODS
from tests.rig.kubernetes import ControlPlane
from tests.rig.processes import Child
from tests.servers.stage import Stage, prepare, staged

RELEASE: Final = "v1.7.4"
RATES: Final = (5, 10, 20, 25, 30, 35, 40, 50, 60, 75, 100, 150, 200, 300)
BUSY_AT_MOST: Final = 0.75
SUSTAINED: Final = 0.95
ALIVE_SECONDS: Final = 6.0
DRAINED_SECONDS: Final = 12.0
START_DELAY: Final = "600ms"


class Step(Struct, frozen=True):
    """What happened at one rate; shares are of the whole machine."""

    rate: float
    sustained: bool
    busy: float
    of_monitor: float
    began: float
    ended: float
    uids: frozenset[str]


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    del watch
    full = scale.containers > 10_000
    return asyncio.run(_measure(RATES if full else RATES[:2], seconds=12 if full else 4))


async def _measure(rates: Sequence[float], *, seconds: float) -> list[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        broker = stamping_broker(folder / "kafka")
        async with broker, ControlPlane(folder=folder / "kubernetes") as cluster:
            await prepare(cluster)
            async with staged(cluster, broker, folder, release=RELEASE, changes={}) as stage:
                watcher = _watcher(cluster, folder / "watched")
                watcher.start()
                try:
                    await stage.protect()
                    load = Load(stage, await stage.namespace(), watcher)
                    steps = await _climb(load, rates, seconds=seconds)
                finally:
                    await watcher.stop()
                records = await delivered(broker, stage.topics.prefix, partitions=1)
                return _figures(steps, _watched(watcher.log), records)


class Load:
    """Creates Pods at a rate, each to be deleted some seconds later."""

    def __init__(self, stage: Stage, namespace: str, watcher: Child) -> None:
        self._stage = stage
        self._admin = stage.cluster.admin
        self._namespace = namespace
        self._numbers = count(1)
        children = (*stage.cluster.children, stage.broker.process, stage.monitor.process, watcher)
        self._processes = [os.getpid(), *(child.pid for child in children)]

    async def step(self, rate: float, *, seconds: float) -> Step:
        """Hold a rate for so long, after it has become steady."""
        uids: set[str] = set()
        began = time.time()
        lives: set[asyncio.Task[None]] = set()
        creating = asyncio.create_task(self._create(rate, began, lives, uids))
        try:
            await asyncio.sleep(ALIVE_SECONDS)
            before, steady = self._taken(), time.time()
            await asyncio.sleep(seconds)
            after, ended = self._taken(), time.time()
        finally:
            await cancelled(creating)
        await asyncio.gather(*lives)
        await asyncio.sleep(DRAINED_SECONDS)
        capacity = (ended - steady) * len(os.sched_getaffinity(0))
        return Step(
            rate=rate,
            sustained=len(uids) >= SUSTAINED * rate * (ended - began),
            busy=(sum(after) - sum(before)) / capacity,
            of_monitor=(after[-2] - before[-2]) / capacity,
            began=steady,
            ended=ended,
            uids=frozenset(uids),
        )

    def _taken(self) -> list[float]:
        return [machine.processor_seconds(process) for process in self._processes]

    async def _create(
        self, rate: float, began: float, lives: set[asyncio.Task[None]], uids: set[str]
    ) -> None:
        for number in count():
            await asyncio.sleep(max(0.0, began + number / rate - time.time()))
            lives.add(asyncio.create_task(self._live(uids)))

    async def _live(self, uids: set[str]) -> None:
        name = f"load-{next(self._numbers)}"
        metadata = {
            "name": name,
            "namespace": self._namespace,
            "annotations": {"rig/start-delay": START_DELAY},
        }
        spec = {"containers": [{"name": "main", "image": "load:1"}]}
        created = await self._admin.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
        uids.add(created["metadata"]["uid"])
        await asyncio.sleep(ALIVE_SECONDS)
        await self._admin.delete(PODS, name, namespace=self._namespace, grace=0)


async def _climb(load: Load, rates: Sequence[float], *, seconds: float) -> list[Step]:
    """Raise the rate until too little of the machine is left, or it is not reached."""
    steps: list[Step] = []
    for rate in rates:
        step = await load.step(rate, seconds=seconds)
        sys.stderr.write(f"bench: {_told(step)}\n")
        if step.busy > BUSY_AT_MOST or not step.sustained:
            break
        steps.append(step)
    return steps


def _told(step: Step) -> str:
    reached = "" if step.sustained else " (not reached)"
    return (
        f"{step.rate:g} Pods/s{reached}: {step.busy:.0%} of the machine, "
        f"of which the monitor {step.of_monitor:.0%}"
    )


def _figures(
    steps: Sequence[Step], watched: dict[str, float], records: list[Delivered]
) -> list[Figure]:
    if not steps:
        raise RuntimeError("even the lowest rate of Pods takes three quarters of the machine")
    best = steps[-1]
    first, gone = first_coverage(records), withdrawn(records)
    covered = first_coverage(records, verdict="covered")
    uids = frozenset[str]().union(*(step.uids for step in steps))
    lost = [uid for uid in uids if not (uid in first and uid in covered and uid in gone)]
    milliseconds = [
        1000 * (first[uid] - at)
        for uid, at in watched.items()
        if uid in best.uids and uid in first and best.began <= at <= best.ended
    ]
    return [
        Figure(
            what="Pods created and deleted while a quarter of the machine idles",
            value=best.rate,
            unit="Pods/s",
            note=f"{_told(best)}; with every real server and the emulated daemons on it",
        ),
        Figure(
            what="Pods of which a record is missing",
            value=len(lost),
            unit="Pods",
            budget=1,
            kind="most",
            note=f"of {len(uids):,}: first verdict, covered and tombstone are in Kafka",
        ),
        Figure(
            what="watch line to Kafka, 99th percentile",
            value=percentile(milliseconds, 99),
            unit="ms",
            note=(
                f"median {percentile(milliseconds, 50):.0f}, most {max(milliseconds):.0f} ms, of "
                f"{len(milliseconds):,} Pods at that rate; from when a second watcher has the line "
                "until the broker has the record; outbox on disk"
            ),
        ),
    ]


def _watcher(cluster: ControlPlane, log: Path) -> Child:
    arguments = (cluster.url, cluster.token("admin"), str(cluster.ca_file))
    command = (sys.executable, "-m", "tests.bench.watcher", *arguments)
    return Child(name="watcher", command=command, log=log)


def _watched(log: Path) -> dict[str, float]:
    found = {}
    for line in log.read_text().splitlines():
        uid, _, at = line.partition(" ")
        found[uid] = float(at)
    return found
