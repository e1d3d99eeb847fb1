"""Commands that look at a cluster: check, explain, record."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.commands.cluster import look_once
from monitor.config import Configuration, Kubernetes
from monitor.errors import SourceError
from tests.commands.called import call, calling
from tests.commands.recorded_api import RecordedApi

pytestmark = pytest.mark.thorough


UNCOVERED = 1795469290.03
CAUSE = "namespace-newer-than-policy"
EARLY = 1795469340.0
URL = "KUBEARMOR_MONITOR_KUBERNETES__URL"


@pytest.fixture
async def api() -> AsyncIterator[RecordedApi]:
    async with RecordedApi("seed-v1.5.7", until=UNCOVERED) as api:
        yield api


def of(api: RecordedApi) -> Configuration:
    return Configuration(kubernetes=Kubernetes(url=api.url))


async def test_one_look_finds_what_a_standing_monitor_would(api: RecordedApi) -> None:
    report = await look_once(of(api), within=30, quiet_after=0.3)
    found = {(one.namespace, one.verdict, one.cause) for one in report.containers}
    assert found == {
        ("team-b", "gap", CAUSE),
        ("shop-front", "covered", None),
        ("kubearmor", "exempt", "untracked-namespace"),
    }


async def test_a_cluster_that_cannot_be_read_is_an_error_that_says_why(api: RecordedApi) -> None:
    unreachable = Configuration(kubernetes=Kubernetes(url="http://127.0.0.1:1"))
    with pytest.raises(SourceError, match=r"within 0\.3 s: kubernetes/pods: "):
        await look_once(unreachable, within=0.3)
    assert api.url


async def test_check_prints_what_is_not_protected(api: RecordedApi) -> None:
    ended = await call("check", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    assert ended.output.count("gap  ") == 3
    assert f"INCIDENT {CAUSE}" in ended.output
    assert "shop-front" not in ended.output


async def test_check_and_explain_tell_a_host_policy_that_is_not_in_force() -> None:
    async with RecordedApi("seed-v1.7.4", until=EARLY) as api:
        metadata = {"uid": "guard-1", "name": "guard", "generation": 1}
        spec = {"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "node-a"}}}
        api.objects["kubearmorhostpolicies"]["guard-1"] = {"metadata": metadata, "spec": spec}
        ended = await call("check", **{URL: api.url})
        explained = await call("explain", "--node", "node-a", **{URL: api.url})
    assert (explained.code, explained.errors) == (1, "")
    assert explained.output.startswith("node node-a: gap, enforcer-absent\n")
    assert "KubeArmorHostPolicy guard: gap, enforcer-absent (certain)" in explained.output
    _counts, _, _heading, *rows = ended.output.splitlines()
    # The recorded daemons found no LSM on their machine, so they take their nodes for audited.
    line = "gap (the node itself) node-a guard enforcer-absent"
    assert (ended.code, ended.errors) == (1, "")
    assert [" ".join(row.split()) for row in rows] == [line]


async def test_check_gives_the_report_as_json(api: RecordedApi) -> None:
    ended = await call("check", "--output", "json", **{URL: api.url})
    report = json.loads(ended.output)
    assert len([gap for gap in report["gaps"] if gap["state"] == "open"]) == 3


async def test_explain_reads_a_cluster(api: RecordedApi) -> None:
    pod = next(
        item["metadata"]["name"]
        for item in api.objects["pods"].values()
        if item["metadata"]["namespace"] == "team-b"
    )
    ended = await call("explain", f"team-b/{pod}/nginx", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    assert ended.output.startswith(f"team-b/{pod}/nginx on node-")
    assert "this release does not apply it" in ended.output


async def test_a_recording_says_the_same_as_the_cluster(api: RecordedApi, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl.zst"
    ended = await call("record", trace, "--seconds", "1.5", **{URL: api.url})
    assert ended.code == 0
    assert ended.errors.startswith(f"{trace}: ")
    replayed = await call("replay", trace, "--report", "-")
    verdicts = [one["verdict"] for one in json.loads(replayed.output)["containers"]]
    assert sorted(verdicts) == ["covered", "covered", "exempt", "exempt", "gap", "gap", "gap"]


async def test_a_recording_ends_with_one_json_object_where_one_is_asked_for(
    api: RecordedApi, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    ended = await call("record", trace, "--seconds", "1", "--output", "json", **{URL: api.url})
    assert (ended.code, ended.errors) == (0, "")
    said = json.loads(ended.output)
    kinds = Counter(json.loads(line)["kind"] for line in trace.read_text().splitlines()[1:])
    assert said == {
        "file": str(trace),
        "seconds": pytest.approx(1, abs=5),
        "observations": dict(kinds),
        "unreadable": {"sources": [], "rejected": [], "lost": 0},
    }
    assert {"list", "source", "text"} <= kinds.keys()


async def test_a_recording_of_nothing_says_as_json_what_was_down(tmp_path: Path) -> None:
    asked = ["record", tmp_path / "trace.jsonl", "--seconds", "1", "--output", "json"]
    ended = await call(*asked, **{URL: "http://127.0.0.1:1"})
    assert ended.code == 3
    assert "kubernetes/pods" in json.loads(ended.output)["unreadable"]["sources"]


async def test_a_recording_is_not_written_over(api: RecordedApi, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text("precious")
    ended = await call("record", trace, "--seconds", "0.1", **{URL: api.url})
    assert (ended.code, trace.read_text()) == (2, "precious")


async def test_a_recording_of_nothing_is_not_fine(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    ended = await call("record", trace, "--seconds", "1", **{URL: "http://127.0.0.1:1"})
    assert (ended.code, ended.output) == (3, "")
    assert "nothing could be read" in ended.errors


async def test_a_recording_ends_with_a_signal_and_keeps_objects_whole(
    api: RecordedApi, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    async with calling("record", trace, "--seconds", "1", **{URL: api.url}) as called:
        assert (await called.ended()).code == 0
    moments = [json.loads(line) for line in trace.read_text().splitlines()]
    assert moments[0].keys() == {"trace", "cluster", "started"}
    pods = next(one for one in moments if one.get("resource") == "pods")
    recorded = {item["metadata"]["uid"]: item for item in pods["items"]}
    assert recorded == api.objects["pods"]
    lines = [one["line"] for one in moments if one.get("kind") == "text"]
    assert sorted(lines) == sorted(line for text in api.text.values() for line in text)
