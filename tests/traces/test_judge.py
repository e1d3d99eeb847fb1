"""The judge itself: what it calls an error."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.traces.judge import Counts, Instant, Truth, folders, main

HEADER = '{"trace":1,"cluster":"c","started":100}'
STARTED = "2026-11-23T21:00:00.5Z"
START = 1795467600.0
CONTAINER = "c" * 64


def truth(**changes: Any) -> Truth:
    endpoint = {
        "containers": [CONTAINER],
        "policies": ["p"],
        "policyEnabled": changes.pop("policyEnabled", 1),
        "inForce": changes.pop("inForce", []),
        "partly": changes.pop("partly", []),
        "stale": [],
    }
    members = {
        "at": START + 100,
        "label": "now",
        "nodes": {"n": {"version": "v1.7.4", "endpoints": [endpoint]}},
        "runtime": [
            {
                "id": CONTAINER,
                "name": "app",
                "namespace": "a",
                "pod": "x-1",
                "kind": "container",
                "hostPid": False,
                "started": STARTED,
                "stopped": None,
            }
        ],
        "blockPaths": {"p": ["/bin/sh"]},
        "changed": {"p": START},
        "initialised": {"n": START},
        "untracked": ["kube-system"],
        "expect": [],
    }
    return msgspec.convert({**members, **changes}, Truth)


def report(verdict: str = "covered", cause: str | None = None, **changes: Any) -> dict[str, Any]:
    pair = {"namespace": "", "name": "p", "verdict": verdict, "grade": None, "cause": cause}
    container = {
        "containerId": CONTAINER,
        "namespace": "a",
        "pod": "x-1",
        "container": "app",
        "node": "n",
        "verdict": verdict,
        "cause": cause,
        "policies": [pair],
    }
    sections: dict[str, Any] = {
        "containers": [container],
        "nodes": [],
        "gaps": [],
        "incidents": [],
        "findings": [],
        "sources": [],
    }
    return {**sections, **changes}


def errors(truth: Truth, report: dict[str, Any]) -> list[str]:
    counts = Counts()
    Instant(truth=truth, report=report, counts=counts).judge()
    return [note.partition(" ")[0].lower() for note in counts.notes]


@pytest.mark.parametrize(
    ("verdict", "cause", "facts", "expected"),
    [
        ("covered", None, {"inForce": ["p"]}, []),
        ("covered", None, {}, ["false_covered"]),
        ("covered", None, {"partly": ["p"]}, []),
        ("covered", None, {"blockPaths": {}}, []),
        ("gap", "x", {}, []),
        ("lost", "x", {}, []),
        ("gap", "x", {"inForce": ["p"]}, ["false_gap"]),
        ("pending", None, {"changed": {"p": START + 90}}, []),
        ("pending", None, {"initialised": {"n": START + 90}}, []),
        ("pending", None, {}, ["late_pending"]),
        ("unknown", "x", {}, ["unknown_without_outage"]),
        ("exempt", "untracked-namespace", {}, ["false_exempt"]),
        ("exempt", "untracked-namespace", {"untracked": ["a"]}, []),
        ("exempt", "annotation-audited", {}, []),
        ("exempt", "x", {"policyEnabled": 2}, []),
        ("unsupported", "host-pid", {}, ["false_unsupported"]),
        ("excess", None, {}, ["false_excess"]),
        ("excess", None, {"inForce": ["p"]}, []),
        ("fine", None, {}, ["no_such_verdict"]),
    ],
)
def test_a_pair_is_compared_with_what_is_really_so(
    verdict: str, cause: str | None, facts: dict[str, Any], expected: list[str]
) -> None:
    assert errors(truth(**facts), report(verdict, cause)) == expected


@pytest.mark.parametrize("name", ["text/n", "alerts/n", "alerts/relay", "kubernetes/pods"])
def test_an_outage_of_what_could_have_shown_it_excuses_unknown(name: str) -> None:
    source = {"name": name, "state": "up", "outages": [[1, 2]]}
    assert errors(truth(), report("unknown", sources=[source])) == []


def test_an_outage_elsewhere_excuses_nothing() -> None:
    source = {"name": "text/other", "state": "down", "outages": []}
    assert errors(truth(), report("unknown", sources=[source])) == ["unknown_without_outage"]


def test_a_running_container_must_be_listed() -> None:
    assert errors(truth(), report(containers=[])) == ["missing"]
    assert errors(truth(at=START + 4), report(containers=[])) == []


def test_a_policy_in_force_must_be_listed() -> None:
    assert errors(truth(inForce=["p", "q"]), report()) == ["not_listed"]


def test_on_a_node_without_daemon_nothing_is_in_force() -> None:
    assert errors(truth(nodes={}), report("covered")) == ["false_covered"]
    assert errors(truth(nodes={}), report("gap", "daemon-absent")) == []


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [
        ({"verdict": "gap", "cause": ["x", "y"]}, []),
        ({"verdict": "gap", "cause": []}, []),
        ({"verdict": "gap", "cause": ["y"]}, ["expect_wrong"]),
        ({"verdict": "covered", "cause": []}, ["expect_wrong"]),
        ({"verdict": "gap", "cause": [], "node": "other"}, ["expect_wrong"]),
    ],
)
def test_what_is_expected_of_containers_must_hold(
    expected: dict[str, Any], wrong: list[str]
) -> None:
    expectation = {"namespace": "a", "pod": "x-", **expected}
    assert errors(truth(expect=[expectation]), report("gap", "x")) == wrong


def test_one_open_incident_holds_the_containers_of_its_cause() -> None:
    incident = {"cause": "x", "state": "open", "containers": 3}
    right, wrong = {"cause": "x", "open": 3}, {"cause": "x", "open": 2}
    found = report("gap", "x", incidents=[incident])
    assert errors(truth(incidents=[right]), found) == []
    assert errors(truth(incidents=[wrong]), found) == ["incident_wrong"]
    assert errors(truth(incidents=[right]), report("gap", "x")) == ["incident_wrong"]
    assert errors(truth(incidents=[{"cause": "x", "open": 0}]), report("gap", "x")) == []


def test_a_gap_may_not_have_been_announced_for_nothing() -> None:
    gap = {"namespace": "a", "pod": "x-1", "cause": "x", "state": "withdrawn"}
    quiet = {"namespace": "a", "pod": "x", "except": []}
    found = report("gap", "x", gaps=[gap])
    assert errors(truth(noGapEver=[quiet]), found) == ["announced_for_nothing"]
    assert errors(truth(noGapEver=[{**quiet, "except": ["x"]}]), found) == []


def test_what_was_hidden_in_a_variant_may_stay_undecided() -> None:
    hidden = truth(variant="late", expect=[{"namespace": "a", "pod": "none", "verdict": "gap"}])
    assert errors(hidden, report("pending")) == []
    assert errors(hidden, report("covered")) == ["false_covered"]


def test_a_section_that_is_missing_is_an_error() -> None:
    incomplete = report("gap", "x")
    del incomplete["nodes"]
    assert errors(truth(), incomplete) == ["missing_section"]


def test_a_folder_of_recordings_stands_for_them(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "truth.jsonl").touch()
    assert folders([str(tmp_path)]) == [tmp_path / "a", tmp_path / "b"]
    assert folders([str(tmp_path / "b"), str(tmp_path / "a")]) == [tmp_path / "b", tmp_path / "a"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "0 traces"),
        ({"trace.jsonl": "", "trace.jsonl.gz": ""}, "2 traces"),
        ({"trace.jsonl": "garbage"}, "trace.jsonl:1:1"),
        ({"trace.jsonl": HEADER}, "truth.jsonl"),
        ({"trace.jsonl": HEADER, "truth.jsonl": "garbage"}, "malformed"),
    ],
)
def test_what_is_no_recording_is_named_and_does_not_pass(
    files: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{tmp_path.name}: cannot be judged: ")
    assert said in printed.err
