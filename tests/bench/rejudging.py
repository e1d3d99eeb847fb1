"""A policy that selects every container, and time that passes without anything being due."""

from functools import partial
from statistics import median
from typing import Final

from tests.bench.cluster import Change, Scale, policy_event
from tests.bench.figures import Figure
from tests.bench.fleet import Fleet, settled
from tests.bench.stopwatch import Stopwatch

ROUNDS: Final = 5
STEPS: Final[tuple[Change, ...]] = ("ADDED", "MODIFIED", "DELETED")
TICKS: Final = 20_000
REJUDGED_SECONDS: Final = 1.0
TICK_MICROSECONDS: Final = 50.0


def measure_policy(scale: Scale, watch: Stopwatch) -> list[Figure]:
    fleet = settled(scale)
    taken: dict[Change, list[float]] = {kind: [] for kind in STEPS}
    for number in range(ROUNDS):
        for generation, kind in enumerate(STEPS, 1):
            event = policy_event(kind, f"new-{number}", created=fleet.now, generation=generation)
            stopwatch = watch if kind == "ADDED" else Stopwatch()
            taken[kind].append(stopwatch.seconds(partial(fleet.watch, *event)))
    return [
        Figure(
            what=f"a new cluster policy selects all {scale.containers:,} containers",
            value=median(taken["ADDED"]),
            unit="s",
            budget=REJUDGED_SECONDS,
            kind="most",
            note=(
                f"changed {median(taken['MODIFIED']):.2f} s, deleted "
                f"{median(taken['DELETED']):.2f} s; {scale.policies} cluster policies beside it"
            ),
        )
    ]


def measure_tick(scale: Scale, watch: Stopwatch) -> list[Figure]:
    fleet = settled(scale)
    fleet.coverage.tick(fleet.now)
    rounds = [watch.seconds(partial(_tick, fleet)) / TICKS for _ in range(ROUNDS)]
    return [
        Figure(
            what="tick with nothing due",
            value=1e6 * median(rounds),
            unit="µs",
            budget=TICK_MICROSECONDS,
            kind="most",
            note=f"next_deadline included; {scale.containers:,} containers, all covered",
        )
    ]


def _tick(fleet: Fleet) -> None:
    coverage = fleet.coverage
    for _ in range(TICKS):
        fleet.now += 1e-9
        coverage.tick(fleet.now)
        coverage.next_deadline()
