"""Recordings of KubeArmor's own code: every verdict against what was really so."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.commands.timeline import open_timeline
from monitor.core.model import Gap, Incident
from monitor.wire import report as wire_report
from tests.traces.hardships import HARD
from tests.traces.judge import Counts, Instant, folders, judge, trace_of, truths
from tests.traces.variants import BLIND, COMPLETE, Recording, Variant, write

FOLDERS = {folder.name: folder for folder in folders(())}
ORIGINALS = [name for name in FOLDERS if not name.endswith(("-late", "-outage", "-skewed"))]
FALSE = ("FALSE_COVERED", "FALSE_GAP")
ABSENT = ("MISSING", "NOT_LISTED")


@lru_cache(maxsize=1)
def recording(name: str) -> Recording:
    return Recording(trace_of(FOLDERS[name]))


def test_there_are_recordings() -> None:
    assert len(FOLDERS) >= 13


@pytest.mark.parametrize("name", FOLDERS)
def test_every_verdict_of_a_recording_is_right(name: str) -> None:
    counts, well = judge(FOLDERS[name])
    assert counts.notes == []
    assert well, counts.line(name)


def wrong(variant: Variant, *, folder: Path, trace: Path) -> list[str]:
    """Play the variant; what is said wrongly at the instants whose truth is known.

    What is not there is no fault while a resource cannot be seen.
    """
    write(variant, trace)
    _, timeline = open_timeline(trace)
    found: list[str] = []
    for truth in truths(folder):
        if truth.at <= variant[0]["started"] + 1:
            continue
        for _ in timeline.play(truth.at):
            pass
        truth.variant = "blind"
        report = orjson.loads(wire_report.encode(timeline.report()))
        counts = Counts()
        Instant(truth=truth, report=report, counts=counts).judge()
        faults = FALSE if _sees_no_objects(report) else FALSE + ABSENT
        found += (note for note in counts.notes if note.startswith(faults))
    return found


def _sees_no_objects(report: dict[str, Any]) -> bool:
    return any(
        source["state"] == "down" and source["name"].startswith("kubernetes/")
        for source in report["sources"]
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", ORIGINALS)
def test_no_verdict_is_wrong_where_something_is_hidden(name: str, tmp_path: Path) -> None:
    original = recording(name)
    assert {
        label: notes[:3]
        for label, make in (BLIND | COMPLETE | HARD).items()
        if (notes := wrong(make(original), folder=FOLDERS[name], trace=tmp_path / "trace.jsonl"))
    } == {}


@pytest.mark.parametrize("name", ["seed-v1.5.7", "faults-v1.7.4"])
def test_a_recording_ends_in_the_same_bytes_each_time(name: str) -> None:
    def played() -> bytes:
        _, timeline = open_timeline(trace_of(FOLDERS[name]))
        for _ in timeline.play():
            pass
        return wire_report.encode(timeline.report())

    assert played() == played()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_gap_or_an_incident_that_opens_again_is_another_event(name: str) -> None:
    """Who passes over events that were seen must not miss it."""
    _, timeline = open_timeline(trace_of(FOLDERS[name]))
    told = [
        one
        for step in timeline.play()
        for one in step.announcements
        if isinstance(one, Gap | Incident)
    ]
    assert len(set(told)) == len(told)
