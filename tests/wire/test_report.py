"""The report as JSON (design, 6.3)."""

import orjson
import pytest

from monitor.core.model import (
    ContainerCoverage,
    Gap,
    NodeCoverage,
    PairState,
    PolicyReference,
    Report,
    SourceState,
)
from monitor.wire.report import encode, plain, rfc3339

PAIR = PairState(
    kind="KubeArmorPolicy",
    namespace="shop",
    name="own",
    generation=2,
    expected=True,
    predicted=None,
    verdict="gap",
    cause="daemon-absent",
    since=(100.0, 101.0),
    delay_seconds=(0.5, 1.5),
)
CONTAINER = ContainerCoverage(
    node="node-a",
    namespace="shop",
    pod="cart",
    pod_uid="u",
    container="app",
    container_id="ab" * 32,
    kind="container",
    verdict="gap",
    cause="daemon-absent",
    policies=(PAIR,),
    exposure_seconds=(3.0, 4.0),
    workload="Deployment/cart",
)
GAP = Gap(
    id="g",
    state="open",
    verdict="gap",
    cause="daemon-absent",
    incident="i",
    node="node-a",
    namespace="shop",
    pod="cart",
    container="app",
    container_id="ab" * 32,
    policies=(PolicyReference("KubeArmorPolicy", "shop", "own", 2),),
    since=(100.0, 101.0),
    until=None,
)
REPORT = Report(
    at=200.25,
    cluster="rig",
    containers=(CONTAINER,),
    nodes=(
        NodeCoverage(
            node="node-a",
            daemon={"pod": "kubearmor/ka", "podUid": "d", "restart": 0},
            release="v1.7.4",
            enforcer="BPFLSM",
            clock_offset_seconds=(-1.0, 0.0),
            verdict="covered",
            cause=None,
        ),
    ),
    gaps=(GAP,),
    incidents=(),
    findings=(),
    sources=(SourceState("text/node-a", "down", "reset", 150.0, ((90.0, 95.0), (150.0, None))),),
)


def test_the_report_is_spelt_in_camel_case_with_times_in_utc() -> None:
    assert orjson.loads(encode(REPORT)) == {
        "at": "1970-01-01T00:03:20.250000Z",
        "cluster": "rig",
        "containers": [
            {
                "node": "node-a",
                "namespace": "shop",
                "pod": "cart",
                "podUid": "u",
                "container": "app",
                "containerId": "ab" * 32,
                "kind": "container",
                "verdict": "gap",
                "cause": "daemon-absent",
                "policies": [
                    {
                        "kind": "KubeArmorPolicy",
                        "namespace": "shop",
                        "name": "own",
                        "generation": 2,
                        "expected": True,
                        "predicted": None,
                        "verdict": "gap",
                        "grade": None,
                        "cause": "daemon-absent",
                        "since": ["1970-01-01T00:01:40.000000Z", "1970-01-01T00:01:41.000000Z"],
                        "delaySeconds": [0.5, 1.5],
                        "rulesWithoutKernelForm": 0,
                        "reasons": [],
                    }
                ],
                "exposureSeconds": [3.0, 4.0],
                "workload": "Deployment/cart",
            }
        ],
        "nodes": [
            {
                "node": "node-a",
                "daemon": {"pod": "kubearmor/ka", "podUid": "d", "restart": 0},
                "release": "v1.7.4",
                "enforcer": "BPFLSM",
                "clockOffsetSeconds": [-1.0, 0.0],
                "verdict": "covered",
                "cause": None,
                "policies": [],
            }
        ],
        "gaps": [
            {
                "id": "g",
                "state": "open",
                "verdict": "gap",
                "cause": "daemon-absent",
                "incident": "i",
                "node": "node-a",
                "namespace": "shop",
                "pod": "cart",
                "container": "app",
                "containerId": "ab" * 32,
                "policies": [
                    {
                        "kind": "KubeArmorPolicy",
                        "namespace": "shop",
                        "name": "own",
                        "generation": 2,
                    }
                ],
                "since": ["1970-01-01T00:01:40.000000Z", "1970-01-01T00:01:41.000000Z"],
                "until": None,
                "reasons": [],
                "reopened": 0,
            }
        ],
        "incidents": [],
        "findings": [],
        "sources": [
            {
                "name": "text/node-a",
                "state": "down",
                "reason": "reset",
                "since": "1970-01-01T00:02:30.000000Z",
                "outages": [
                    ["1970-01-01T00:01:30.000000Z", "1970-01-01T00:01:35.000000Z"],
                    ["1970-01-01T00:02:30.000000Z", None],
                ],
            }
        ],
    }


def test_equal_reports_have_equal_bytes() -> None:
    assert encode(REPORT) == encode(REPORT)
    assert encode(REPORT).endswith(b"}\n")


@pytest.mark.parametrize(
    ("instant", "spelt"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1795469264.376375, "2026-11-23T21:27:44.376375Z"),
        (-1.0, "1969-12-31T23:59:59.000000Z"),
        (253402300799.0, "9999-12-31T23:59:59.000000Z"),
        (253402300800.0, "9999-12-31T23:59:59.000000Z"),
        (-1e12, "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_instants_have_microseconds(instant: float, spelt: str) -> None:
    assert rfc3339(instant) == spelt


def test_durations_stay_numbers() -> None:
    assert plain(PAIR)["delaySeconds"] == (0.5, 1.5) or plain(PAIR)["delaySeconds"] == [0.5, 1.5]
