"""Plays a scenario in virtual time, and what could be seen of it through the real judgement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from monitor.commands.timeline import open_timeline
from monitor.wire import report as wire_report
from tests.emulator.scenarios.scenario import Scenario, opening
from tests.emulator.steps import Step
from tests.emulator.virtual import VirtualCluster
from tests.scenarios.pictures import Painted, painted


@dataclass(frozen=True, slots=True)
class Performance:
    """What was reported before anything went wrong, once it had, and once it was healed."""

    calm: Painted
    wrong: Painted
    healed: Painted


def performed(scenario: Scenario, *, trace: Path) -> Performance:
    """Play the scenario; `trace` is the file in between."""
    cluster = VirtualCluster(scenario.release)
    instants: list[float] = []

    def play(*steps: Step, seconds: float) -> None:
        for step in steps:
            cluster.perform(step)
        cluster.advance(seconds)
        instants.append(cluster.now)

    play(*opening(scenario.base), seconds=0)
    play(*scenario.before, *scenario.wrong, seconds=scenario.seconds)
    play(*scenario.heals, seconds=scenario.seconds)
    cluster.tape.write(trace)
    return Performance(*(painted(report) for report in reports(trace, instants)))


def reports(trace: Path, instants: list[float]) -> list[dict[str, Any]]:
    """Play a trace; return what is reported at each of these instants."""
    _, timeline = open_timeline(trace)
    found = []
    for instant in instants:
        for _ in timeline.play(instant):
            pass
        found.append(orjson.loads(wire_report.encode(timeline.report())))
    return found
