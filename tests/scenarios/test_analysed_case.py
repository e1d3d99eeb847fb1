"""The analysed case, row by row: what was looked at by hand, and where the monitor shows it.

A cluster policy that should hold everywhere holds in some places only. Each test is one of the
questions that were asked then, put to a cluster in which the answer is known.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.timeline import open_timeline
from monitor.core.model import Announcement, Gap, Incident, PolicyTiming
from monitor.wire.events import Translation
from tests.commands.called import call
from tests.commands.recorded_api import RecordedApi
from tests.emulator.scenarios.scenario import (
    BASE,
    STAGE,
    namespaced_policy,
    opening,
    policy_in,
)
from tests.emulator.steps import (
    AddNode,
    Apply,
    Delete,
    Deploy,
    Fail,
    Namespace,
    Replace,
    Run,
    Step,
    Wait,
)
from tests.emulator.switches import Failures
from tests.emulator.virtual import CLUSTER, VirtualCluster

pytestmark = pytest.mark.thorough


URL = "KUBEARMOR_MONITOR_KUBERNETES__URL"
CAUSE = "namespace-newer-than-policy"
MISSED = (Namespace("late"), Wait(3), Run("late/web"), Wait(20))


@dataclass(frozen=True)
class Told:
    """What was announced, with the instants, and what a report says in the end."""

    announcements: Sequence[tuple[float, Announcement]]
    report: Any

    def of(self, pod: str) -> list[tuple[str, str, str | None]]:
        """Return each policy of a Pod with its verdict and its cause."""
        return [
            (pair.name, pair.verdict, pair.cause)
            for one in self.report.containers
            if f"{one.namespace}/{one.pod}" == pod
            for pair in one.policies
        ]


def played(*steps: Step, release: str = "v1.5.7", trace: Path) -> float:
    """Write what can be seen of it; return the instant at which it ends."""
    cluster = VirtualCluster(release)
    for step in (*opening(BASE), *steps):
        cluster.perform(step)
    cluster.tape.write(trace)
    return cluster.now


def told(*steps: Step, release: str = "v1.5.7", trace: Path) -> Told:
    end = played(*steps, release=release, trace=trace)
    _, timeline = open_timeline(trace)
    announced = [(step.at, one) for step in timeline.play(end) for one in step.announcements]
    return Told(announced, timeline.report())


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace.jsonl"


async def asked(*command: str, trace: Path) -> tuple[int, dict[str, Any]]:
    """Ask a command about the cluster as the trace leaves it."""
    async with RecordedApi(trace) as api:
        ended = await call(*command, "--output", "json", **{URL: api.url})
    assert ended.errors == ""
    return ended.code, json.loads(ended.output)


async def checks(trace: Path) -> dict[str, dict[str, str]]:
    _, document = await asked("doctor", trace=trace)
    return {check["code"]: check for check in document["checks"]}


# --- the policy's way -----------------------------------------------------------------------------


def test_a_daemon_that_never_learned_a_policy_leaves_a_gap_on_its_node_alone(trace: Path) -> None:
    answer = told(
        Fail(STAGE, Failures(unseen_policies=frozenset({"strict"}))),
        Run("team/here", node=STAGE),
        Run("team/there", node="node-1"),
        Wait(20),
        Apply(policy_in("strict", "team", paths=("/usr/bin/nc",))),
        Wait(30),
        trace=trace,
    )
    assert answer.of("team/here") == [
        ("base", "covered", None),
        ("strict", "gap", "unexplained"),
    ]
    assert answer.of("team/there") == [("base", "covered", None), ("strict", "covered", None)]
    known = {
        one.node
        for _, one in answer.announcements
        if isinstance(one, PolicyTiming) and one.policy.name == "strict"
    }
    assert known == {"node-1", "node-2"}


def test_each_node_is_timed_by_what_its_daemon_prints_about_the_policy(trace: Path) -> None:
    answer = told(Apply(policy_in("strict", "team")), Wait(5), trace=trace)
    timings = [
        (at, one)
        for at, one in answer.announcements
        if isinstance(one, PolicyTiming) and one.policy.name == "strict"
    ]
    lines = [
        (float(moment["at"]), moment["node"])
        for moment in map(json.loads, trace.read_text().splitlines())
        if "Detected a Cluster Security Policy (added/strict)" in moment.get("line", "")
    ]
    per_node = [(at, one.node) for at, one in timings if one.node]
    assert per_node == lines
    assert [one.node for _, one in timings if not one.node] == [""]
    assert all(one.known[0] <= at <= one.known[1] + 1 for at, one in timings)


async def test_a_policy_that_names_its_namespaces_leaves_the_others_out(trace: Path) -> None:
    played(Apply(policy_in("narrow", "team", "tean")), Wait(3), trace=trace)
    _, document = await asked("lint", "--cluster", trace=trace)
    found = {(one["policy"]["name"], one["code"]): one["reason"] for one in document["findings"]}
    left_out = found["narrow", "namespace-left-out"]
    assert "leaves out every other namespace, those that are created later included" in left_out
    assert "There is no namespace `tean`" in found["narrow", "selector-mistake"]


async def test_a_selector_that_takes_no_container_is_found(trace: Path) -> None:
    played(
        Apply(namespaced_policy("misspelt", labels={"app": "wbe"})),
        Apply(namespaced_policy("unbracketed", labels={"kubearmor.io/container.name": "main"})),
        Run("team/web", labels={"app": "web"}),
        Wait(20),
        trace=trace,
    )
    code, document = await asked("lint", "--cluster", trace=trace)
    found = {(one["policy"]["name"], one["code"]) for one in document["findings"]}
    assert code == 1
    assert found >= {("misspelt", "selects-nothing"), ("unbracketed", "selector-mistake")}


# --- time -----------------------------------------------------------------------------------------


def test_a_pod_that_started_before_its_daemon_is_exposed_until_the_daemon_has_seen_it(
    trace: Path,
) -> None:
    answer = told(AddNode("node-4"), Run("team/early", node="node-4"), Wait(40), trace=trace)
    assert answer.of("team/early") == [("base", "gap", "daemon-absent")]
    answer = told(
        AddNode("node-4"),
        Run("team/early", node="node-4"),
        Wait(40),
        Deploy("node-4"),
        Wait(20),
        trace=trace,
    )
    assert answer.of("team/early") == [("base", "covered", None)]
    moments = [json.loads(line) for line in trace.read_text().splitlines()]
    begun = next(
        one["at"]
        for one in moments
        if "Detected a container (added" in one.get("line", "") and one["node"] == "node-4"
    )
    written = next(
        one["at"]
        for one in moments
        if "Creating inner map" in one.get("line", "") and one["node"] == "node-4"
    )
    (container,) = (one for one in answer.report.containers if one.pod == "early")
    least, most = container.exposure_seconds
    assert least <= written - begun + 40 - 0.35 <= most + 2
    assert most - least < 3


async def test_pods_older_than_their_nodes_daemon_are_listed(trace: Path) -> None:
    played(Run("team/web"), Wait(20), Replace(STAGE), Wait(10), release="v1.7.4", trace=trace)
    order = (await checks(trace))["deployment-order"]
    assert (order["state"], order["found"]) == (
        "ok",
        "1 Pod older than the present daemon of the node: team/web",
    )


# --- what heals, and is seen to heal --------------------------------------------------------------


@pytest.mark.parametrize(
    "remedy",
    [(Replace(STAGE),), (Delete(BASE), Wait(2), Apply(BASE))],
    ids=["restart of KubeArmor", "the policy applied again"],
)
def test_a_remedy_heals_and_is_seen_to_heal(remedy: tuple[Step, ...], trace: Path) -> None:
    answer = told(*MISSED, *remedy, Wait(30), trace=trace)
    gaps = [
        (one.state, one.cause)
        for _, one in answer.announcements
        if isinstance(one, Gap) and one.pod == "web"
    ]
    assert gaps[0] == ("open", CAUSE)
    assert gaps[-1] == ("closed", CAUSE)
    assert answer.of("late/web") == [("base", "covered", None)]
    (incident,) = (one for one in answer.report.incidents if one.cause == CAUSE)
    assert (incident.state, incident.containers) == ("closed", 1)


# --- the surroundings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "state"), [("v1.5.7", "problem"), ("v1.6.4", None), ("v1.7.4", None)]
)
async def test_the_release_is_read_from_the_daemons_and_its_defects_are_named(
    *, release: str, state: str | None, trace: Path
) -> None:
    played(Wait(1), release=release, trace=trace)
    found = await checks(trace)
    assert found["releases"]["found"] == f"{release} on 3 nodes"
    assert found.get(f"defect/{CAUSE}", {}).get("state") == state


async def test_k3s_is_told_by_its_kubelets_and_its_socket_is_looked_at(trace: Path) -> None:
    played(Wait(1), trace=trace)
    found = await checks(trace)
    assert found["k3s"]["found"].startswith("k3s v1.34.4+k3s1 on 3 nodes")
    assert "The API server is part of the k3s process" in found["k3s"]["remedy"]
    assert "k3s-socket" in found


async def test_the_api_server_is_asked_how_fast_it_answers(trace: Path) -> None:
    played(Wait(1), trace=trace)
    found = await checks(trace)
    assert found["api-server"]["state"] in {"ok", "warning"}
    assert "list" in found["api-server"]["found"]


# --- alerts ---------------------------------------------------------------------------------------


def test_what_becomes_of_a_policy_is_published_as_it_happens(trace: Path) -> None:
    answer = told(*MISSED, Replace(STAGE), Wait(30), trace=trace)
    translation = Translation(cluster=CLUSTER)
    records = [
        (record.topic, json.loads(record.data))
        for _, one in answer.announcements
        if isinstance(one, Incident)
        for record in translation(one)
        if record.data is not None
    ]
    states = [
        (topic, facts["state"], facts["severity"], facts["containers"])
        for topic, facts in records
        if facts["cause"] == CAUSE
    ]
    assert states == [("incidents", "open", "page", 1), ("incidents", "closed", "page", 1)]
    assert all("v1.6.0" in facts["remedy"] for _, facts in records if facts["cause"] == CAUSE)
