"""The numbers of `/metrics` are those of the report at the same instant."""

from collections import Counter
from typing import Any

import orjson
import pytest
from prometheus_client.metrics_core import Metric

from monitor.commands.timeline import open_timeline
from monitor.core.coverage import Coverage, Settings
from monitor.metrics import PREFIX, Metrics
from monitor.wire import report as wire_report
from monitor.wire.trace import Trace
from tests.traces.judge import folders, trace_of

pytestmark = pytest.mark.thorough


RECORDINGS = {folder.name: trace_of(folder) for folder in folders(())}
NAMES = ("coverage_containers", "gaps_open", "gaps_paging", "incidents_open", "findings_open")


def told(families: list[Metric]) -> dict[str, dict[str, float]]:
    """What the series say, zeros left out."""
    return {
        name: {
            next(iter(sample.labels.values())): sample.value
            for family in families
            if family.name == PREFIX + name
            for sample in family.samples
            if sample.value
        }
        for name in NAMES
    }


def reported(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    gaps = [gap for gap in report["gaps"] if gap["state"] == "open"]
    incidents = [one for one in report["incidents"] if one["state"] == "open"]
    paging = {one["id"] for one in incidents if one["severity"] == "page"}
    return {
        "coverage_containers": Counter(one["verdict"] for one in report["containers"]),
        "gaps_open": Counter(gap["cause"] for gap in gaps),
        "gaps_paging": Counter(gap["cause"] for gap in gaps if gap["incident"] in paging),
        "incidents_open": Counter(one["cause"] for one in incidents),
        "findings_open": Counter(one["code"] for one in report["findings"]),
    }


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_numbers_of_a_recording_are_those_of_its_report(name: str) -> None:
    marks = [one.at for one in Trace(RECORDINGS[name]) if one.mark is not None]
    trace, _ = open_timeline(RECORDINGS[name])
    core = Coverage(settings=Settings(cluster="c"), started=trace.header.started)
    metrics = Metrics()
    compared = 0
    for moment in trace:
        while (deadline := core.next_deadline()) is not None and deadline <= moment.at:
            core.tick(deadline)
        if moment.observation is not None:
            core.observe(moment.observation, moment.at)
        if moment.at in marks:
            metrics.copy(core.statistics(moment.at), None)
            report = orjson.loads(wire_report.encode(core.report(moment.at)))
            assert told(list(metrics.registry.collect())) == reported(report)
            compared += 1
    assert compared >= len(marks) > 0
