"""What a running monitor answers."""

from collections.abc import Mapping, Sequence

import pytest

from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import (
    ContainerCoverage,
    ContainerOutline,
    Finding,
    NodeCoverage,
    Outline,
    PairState,
    SourceState,
    Statistics,
    Verdict,
)
from monitor.metrics import Metrics, OutboxStatistics
from monitor.view import EngineView
from monitor.wire.report import plain
from tests.test_engine import EMPTY_STATISTICS


def container(name: str, verdict: Verdict, *, namespace: str = "a") -> ContainerCoverage:
    return ContainerCoverage(
        node="n",
        namespace=namespace,
        pod=f"{name}-pod",
        pod_uid=f"{name}-uid",
        container=name,
        container_id=name,
        kind="container",
        verdict=verdict,
        cause=None,
        policies=(),
        exposure_seconds=(0, 0),
    )


def outlined(coverage: ContainerCoverage) -> ContainerOutline:
    names = ContainerOutline.__struct_fields__
    return ContainerOutline(**{name: getattr(coverage, name) for name in names})


def explained(coverage: ContainerCoverage, *, at: float) -> ContainerExplanation:
    said = {name: getattr(coverage, name) for name in coverage.__struct_fields__}
    return ContainerExplanation(**said | {"at": at, "others": (), "gaps": (), "incidents": ()})


def explained_node(coverage: NodeCoverage, *, at: float) -> NodeExplanation:
    said = {name: getattr(coverage, name) for name in coverage.__struct_fields__}
    more = {"at": at, "phase": "ready", "since": (1.0, 2.0), "policies": (), "others": ()}
    return NodeExplanation(**said | more)


def node(name: str, *verdicts: Verdict) -> NodeCoverage:
    return NodeCoverage(
        node=name,
        daemon=None,
        release=None,
        enforcer=None,
        clock_offset_seconds=None,
        verdict="covered",
        cause=None,
        policies=tuple(
            PairState(
                kind="KubeArmorHostPolicy",
                namespace="",
                name=f"{name}-{verdict}",
                generation=1,
                expected=True,
                predicted=True,
                verdict=verdict,
            )
            for verdict in verdicts
        ),
    )


def finding(subject: str) -> Finding:
    return Finding(
        id=subject,
        state="open",
        code="lost-update",
        kind="suspicion",
        subject=subject,
        since=(1, 1),
        detail="",
        remedy="",
    )


class Asked:
    """An engine that counts how often it makes an outline, each of which takes so long."""

    def __init__(self, *containers: ContainerCoverage, cost: float = 0) -> None:
        self.containers = containers
        self.nodes: tuple[NodeCoverage, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self.cost = cost
        self.outlines = 0
        self.judged: list[str] = []
        self.now = 0.0

    def outline(self) -> Outline:
        self.outlines += 1
        self.now += self.cost
        return Outline(
            at=100 + self.now,
            cluster="c",
            containers=tuple(outlined(one) for one in self.containers),
            nodes=self.nodes,
            gaps=(),
            incidents=(),
            findings=self.findings,
            sources=(SourceState(name="text/n", state="up", reason="", since=1),),
        )

    def container(self, identity: str) -> ContainerCoverage | None:
        self.judged.append(identity)
        found = [one for one in self.containers if one.container_id == identity]
        return found[0] if found else None

    def explain(self, namespace: str, pod: str) -> Sequence[ContainerExplanation]:
        return [
            explained(one, at=100 + self.now)
            for one in self.containers
            if (one.namespace, one.pod) == (namespace, pod)
        ]

    def explain_node(self, name: str) -> NodeExplanation | None:
        found = [one for one in self.nodes if one.node == name]
        return explained_node(found[0], at=100 + self.now) if found else None

    def statistics(self) -> Statistics:
        return EMPTY_STATISTICS

    def missing(self) -> Mapping[str, str]:
        return {"kubernetes/pods": "refused"}


class Outbox:
    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(records=7, bytes=1, dropped=0, oldest_age_seconds=0)


def view(asked: Asked) -> EngineView:
    return EngineView(asked, metrics=Metrics(), outbox=Outbox(), monotonic=lambda: asked.now)


def test_the_summary_counts_verdicts() -> None:
    asked = Asked(container("x", "covered"), container("y", "gap"), container("z", "exempt"))
    assert view(asked).summary() == {
        "at": "1970-01-01T00:01:40.000000Z",
        "cluster": "c",
        "verdicts": {"covered": 1, "gap": 1, "exempt": 1},
        "coverageRatio": 0.5,
        "gapsOpen": 0,
        "incidentsOpen": 0,
        "findings": {},
        "hostPolicies": {},
    }


def test_the_summary_counts_findings_by_code_and_policies_of_nodes_by_verdict() -> None:
    asked = Asked()
    asked.findings = (finding("a"), finding("b"))
    asked.nodes = (node("x", "gap", "covered"), node("y", "gap"))
    summary = view(asked).summary()
    assert (summary["findings"], summary["hostPolicies"]) == (
        {"lost-update": 2},
        {"gap": 2, "covered": 1},
    )


def test_without_anything_to_judge_there_is_no_ratio() -> None:
    assert view(Asked(container("z", "exempt"))).summary()["coverageRatio"] is None


def test_a_pod_is_explained_by_its_containers() -> None:
    asked = Asked(container("x", "covered"), container("x", "gap", namespace="b"))
    found = view(asked).explain("b", "x-pod")
    assert found is not None
    assert found["at"] == "1970-01-01T00:01:40.000000Z"
    assert [(one["verdict"], one["others"]) for one in found["containers"]] == [("gap", ())]
    assert view(asked).explain("b", "other") is None


def test_a_node_is_explained_by_itself() -> None:
    asked = Asked()
    asked.nodes = (node("node-a"),)
    found = view(asked).explain_node("node-a")
    assert found is not None
    assert (found["node"], found["at"]) == ("node-a", "1970-01-01T00:01:40.000000Z")
    assert found["since"] == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:02.000000Z")
    assert view(asked).explain_node("node-b") is None


def test_rows_are_shown_as_in_the_report() -> None:
    (source,) = view(Asked()).rows("sources")
    assert view(Asked()).present(source) == {
        "name": "text/n",
        "state": "up",
        "reason": "",
        "since": "1970-01-01T00:00:01.000000Z",
        "outages": (),
    }


def test_only_containers_that_are_shown_are_judged() -> None:
    asked = Asked(container("x", "covered"), container("y", "gap"))
    shown = view(asked)
    rows = shown.rows("containers")
    assert shown.present(rows[1]) == plain(container("y", "gap"))
    assert asked.judged == ["y"]


def test_a_container_that_ended_since_is_not_shown() -> None:
    asked = Asked(container("x", "covered"))
    shown = view(asked)
    (row,) = shown.rows("containers")
    asked.containers = ()
    assert shown.present(row) is None


@pytest.mark.parametrize(
    ("cost", "pause", "outlines"),
    [(0.0, 0.4, 1), (0.0, 0.6, 2), (0.1, 4.8, 1), (0.1, 5.2, 2)],
)
def test_an_outline_is_made_no_more_often_than_the_loop_can_bear(
    cost: float, pause: float, outlines: int
) -> None:
    asked = Asked(cost=cost)
    shown = view(asked)
    shown.at()
    asked.now += pause
    shown.at()
    assert asked.outlines == outlines


async def test_metrics_are_of_engine_and_outbox() -> None:
    said = await view(Asked()).metrics(openmetrics=False)
    assert b"kubearmor_monitor_outbox_records 7.0" in said


def test_what_is_missing_is_named_with_its_reason() -> None:
    assert list(view(Asked()).missing()) == ["kubernetes/pods: refused"]
    assert view(Asked()).alive()
