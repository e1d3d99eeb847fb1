"""The schema describes what is really published."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from monitor import cli
from monitor.commands import schema
from monitor.commands.timeline import open_timeline
from monitor.wire import report as wire_report
from monitor.wire.events import Translation, structured

TRACES = sorted((Path(__file__).parents[1] / "traces").glob("*/trace.jsonl*"))


def published(trace: Path) -> Iterator[dict[str, Any]]:
    _, timeline = open_timeline(trace)
    translation = Translation(cluster="c")
    for step in timeline.play():
        for announcement in step.announcements:
            for record in translation(announcement):
                yield orjson.loads(structured(record, "prefix."))


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.parent.name)
def test_every_event_of_every_recording_fits_the_schema(trace: Path) -> None:
    validator = Draft202012Validator(schema.events())
    wrong = [event for event in published(trace) if not validator.is_valid(event)]
    assert wrong == []


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.parent.name)
def test_the_report_of_every_recording_fits_the_schema(trace: Path) -> None:
    _, timeline = open_timeline(trace)
    list(timeline.play())
    report = orjson.loads(wire_report.encode(timeline.report()))
    errors = [error.message for error in Draft202012Validator(schema.report()).iter_errors(report)]
    assert errors == []


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.parent.name)
def test_the_explanations_of_every_recording_fit_the_schema(trace: Path) -> None:
    _, timeline = open_timeline(trace)
    list(timeline.play())
    pods = {(one.namespace, one.pod) for one in timeline.report().containers}
    validator = Draft202012Validator(schema.explanation())
    for pod in sorted(pods):
        explained = [wire_report.plain(one) for one in timeline.explain(*pod)]
        document = orjson.loads(orjson.dumps(explained))
        assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.parent.name)
def test_the_explained_nodes_of_every_recording_fit_the_schema(trace: Path) -> None:
    _, timeline = open_timeline(trace)
    list(timeline.play())
    validator = Draft202012Validator(schema.node_explanation())
    for node in timeline.report().nodes:
        found = timeline.explain_node(node.node)
        assert found is not None
        document = orjson.loads(orjson.dumps(wire_report.plain(found)))
        assert [error.message for error in validator.iter_errors(document)] == []


def test_an_event_that_is_not_described_does_not_fit() -> None:
    validator = Draft202012Validator(schema.events())
    event = next(published(TRACES[0]))
    assert validator.is_valid(event)
    assert not validator.is_valid({**event, "type": "kubearmor-monitor.other.v1"})
    assert not validator.is_valid({**event, "data": {}})


def test_instants_are_described_as_rfc_3339() -> None:
    gap = schema.events()["$defs"]["Gap"]["properties"]
    instant = {"type": "string", "format": "date-time"}
    assert gap["since"]["prefixItems"] == [instant, instant]


@pytest.mark.parametrize("part", ["events", "report", "explanation"])
def test_a_part_can_be_printed_alone(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", part]) == 0
    one = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(one)
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)[part] == one
