"""Recordings keep what was read as it was read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.commands.record import Recorder
from monitor.commands.tape import Tape
from monitor.core.facts import Irrelevant
from monitor.core.kubernetes import Metadata, Pod
from monitor.core.model import (
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Observation,
    SourceDown,
    SourceUp,
)
from monitor.wire import kubearmor
from monitor.wire.pb import feeder_pb2
from monitor.wire.trace import Moment, Trace
from tests.clock import ManualClock

POD = b'{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"volumes":[1]}}'
LINE = b"2026-11-23T21:27:44.389151700Z 2026-11-23 21:27:44.376375\tINFO\thello"
STAMP = 1795469264389151700


def pod(version: str = "7") -> Pod:
    return Pod(metadata=Metadata(uid="u", resource_version=version))


def test_what_is_picked_up_is_whole_and_gone() -> None:
    tape = Tape()
    tape.put_event(b'{"type":"ADDED","object":' + POD + b"}")
    tape.put_line("ns/pod", LINE)
    assert tape.object("u", "7") == POD
    assert tape.line("ns/pod", STAMP) == LINE.decode()
    assert tape.object("u", "7") is None
    assert tape.line("ns/pod", STAMP) is None


def test_a_page_holds_objects_and_the_version_of_its_list() -> None:
    tape = Tape()
    tape.put_page("pods", b'{"metadata":{"resourceVersion":"9"},"items":[' + POD + b"]}")
    assert tape.list_versions == {"pods": "9"}
    assert tape.object("u", "7") == POD


@pytest.mark.parametrize("bounds", [{"entries": 2}, {"limit": 2 * len(LINE)}])
def test_what_nobody_picks_up_is_forgotten_the_oldest_first(bounds: dict[str, int]) -> None:
    tape = Tape(**bounds)
    for name in ("one", "two", "three"):
        tape.put_line(name, LINE)
    assert tape.line("one", STAMP) is None
    assert tape.line("two", STAMP) is not None
    assert tape.line("three", STAMP) is not None


def test_an_object_that_a_reader_could_not_read_is_repaired() -> None:
    tape = Tape()
    tape.put_object(POD.replace(b"[1]", rb'["\ud800"]'))
    repaired = tape.object("u", "7")
    assert repaired is not None
    assert orjson.loads(repaired)["spec"] == {"volumes": ["\ufffd"]}


class Recorded:
    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.tape = Tape()
        self.observed: list[Observation] = []
        self.lines: list[Any] = []
        self.recorder = Recorder(
            write=self.write, tape=self.tape, clock=self.clock, observer=self.observed.append
        )

    def write(self, members: Mapping[str, Any]) -> None:
        self.lines.append(json.loads(orjson.dumps(members)))


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_observations_are_written_as_they_came(recorded: Recorded) -> None:
    recorded.tape.put_page("pods", b'{"metadata":{"resourceVersion":"9"},"items":[' + POD + b"]}")
    recorded.recorder.deliver([SourceUp("kubernetes/pods", "listed"), Listed("pods", (pod(),))])
    recorded.tape.put_object(POD)
    recorded.recorder.deliver([Changed("pods", "DELETED", pod())])
    whole = json.loads(POD)
    assert recorded.lines == [
        {
            "at": 100.0,
            "kind": "source",
            "name": "kubernetes/pods",
            "state": "up",
            "reason": "listed",
        },
        {"at": 100.0, "kind": "list", "resource": "pods", "resourceVersion": "9", "items": [whole]},
        {
            "at": 100.0,
            "kind": "watch",
            "resource": "pods",
            "event": {"type": "DELETED", "object": whole},
        },
    ]
    assert len(recorded.observed) == 3


def test_an_object_whose_text_is_gone_is_written_as_far_as_it_is_known(recorded: Recorded) -> None:
    recorded.recorder.deliver([Changed("pods", "ADDED", pod())])
    (line,) = recorded.lines
    assert line["event"]["object"]["metadata"]["uid"] == "u"


def test_a_line_is_written_with_the_incarnation_that_wrote_it(recorded: Recorded) -> None:
    recorded.tape.put_line("ns/pod", LINE)
    line = DaemonLine(
        node="n",
        pod="ns/pod",
        pod_uid="u",
        restart=2,
        container="kubearmor",
        stamp=STAMP,
        fact=Irrelevant(),
    )
    recorded.recorder.deliver([line])
    assert recorded.lines == [
        {
            "at": 100.0,
            "kind": "text",
            "node": "n",
            "pod": "ns/pod",
            "podUid": "u",
            "restart": 2,
            "container": "kubearmor",
            "line": LINE.decode(),
        }
    ]
    recorded.recorder.deliver([line])
    assert (len(recorded.lines), recorded.recorder.lost) == (1, 1)


def test_an_alert_is_written_with_every_field_it_came_with(recorded: Recorded) -> None:
    message = feeder_pb2.Alert(Timestamp=5, HostName="n", PolicyName="p", PID=7)
    recorded.tape.hear(message)
    recorded.recorder.deliver([kubearmor.alert(message, via="relay")])
    data = {"Timestamp": "5", "HostName": "n", "PolicyName": "p", "PID": 7}
    assert recorded.lines == [{"at": 100.0, "kind": "alert", "via": "relay", "data": data}]


def test_an_answer_of_a_health_service_is_written_and_read_back(
    recorded: Recorded, tmp_path: Path
) -> None:
    answer = HealthAnswered(node="n", pod_uid="u", restart=2, serving=True)
    recorded.recorder.deliver([answer])
    header = {"trace": 1, "cluster": "x", "started": 99.0}
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, (header, *recorded.lines))))
    assert list(Trace(path)) == [Moment(at=100.0, observation=answer)]


def test_time_never_goes_back_in_a_recording(recorded: Recorded) -> None:
    recorded.recorder.deliver([SourceUp("a")])
    recorded.clock._now -= 50
    recorded.recorder.deliver([SourceUp("b")])
    assert [line["at"] for line in recorded.lines] == [100.0, 100.0]


def test_progress_says_what_is_down(recorded: Recorded) -> None:
    down = [SourceDown(f"text/{name}", "cut") for name in "dcba"]
    recorded.recorder.deliver([SourceUp("kubernetes/pods"), *down])
    recorded.recorder.reject(kind="text", reason="malformed", detail="")
    assert recorded.recorder.progress() == (
        "5 lines, 1 sources up, down: text/a, text/b, text/c …, 1 unreadable"
    )


def test_a_summary_counts_what_was_written_and_what_could_not_be_read(recorded: Recorded) -> None:
    line = DaemonLine(
        node="n",
        pod="ns/pod",
        pod_uid="u",
        restart=0,
        container="kubearmor",
        stamp=STAMP,
        fact=Irrelevant(),
    )
    recorded.recorder.deliver([SourceUp("text/n"), line, SourceDown("text/m", "refused")])
    recorded.tape.put_line("ns/pod", LINE)
    recorded.recorder.deliver([line, Changed("pods", "ADDED", pod())])
    recorded.recorder.reject(kind="text", reason="malformed", detail="")
    recorded.recorder.reject(kind="alert", reason="too-long", detail="")
    recorded.recorder.reject(kind="text", reason="malformed", detail="")
    recorded.clock._now += 12.5
    assert recorded.recorder.summary() == {
        "seconds": 12.5,
        "observations": {"source": 2, "text": 1, "watch": 1},
        "unreadable": {
            "sources": ["text/m"],
            "rejected": [
                {"kind": "alert", "reason": "too-long", "count": 1},
                {"kind": "text", "reason": "malformed", "count": 2},
            ],
            "lost": 1,
        },
    }
