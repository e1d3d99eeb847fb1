"""Announcements as CloudEvents (design, 6.4)."""

import hashlib

import orjson
import pytest
from msgspec.structs import replace

from monitor.core.model import (
    Announcement,
    ContainerGone,
    ContainerTiming,
    CoverageState,
    Finding,
    Gap,
    Incident,
    PairState,
    PolicyReference,
    PolicySetState,
    PolicyTiming,
    ProofTiming,
    SourceState,
)
from monitor.wire.events import Record, Translation, headers, structured

POLICY = PolicyReference("KubeArmorPolicy", "shop", "own", 2)
GAP = Gap(
    id="gap-id",
    state="open",
    verdict="lost",
    cause="daemon-down",
    incident="incident-id",
    node="node-a",
    namespace="shop",
    pod="cart",
    container="app",
    container_id="ab" * 32,
    policies=(POLICY,),
    since=(100.0, 101.0),
    until=None,
)
INCIDENT = Incident(
    id="incident-id",
    state="open",
    severity="page",
    cause="daemon-down",
    scope="node/node-a",
    release="v1.7.4",
    containers=3,
    affected=5,
    since=(100.0, 101.0),
    until=None,
    remedy="Read why.",
)
COVERAGE = CoverageState(
    node="node-a",
    namespace="shop",
    pod="cart",
    pod_uid="pod-uid",
    container="app",
    container_id="ab" * 32,
    kind="container",
    verdict="gap",
    cause="daemon-absent",
    policy_set="set-id",
    not_covered=(
        PairState("KubeArmorPolicy", "shop", "own", 2, True, None, "gap", cause="daemon-absent"),
    ),
    exposure_seconds=(0.0, 0.0),
)
TIMING = ContainerTiming(
    container_id="ab" * 32,
    node="node-a",
    namespace="shop",
    pod="cart",
    container="app",
    policies=(POLICY,),
    applied=(110.0, 111.0),
    protection_delay_seconds=(9.0, 11.0),
    recovery_delay_seconds=None,
    exposure_seconds=(9.0, 11.0),
    stages={"containerStarted": (100.0, 101.0)},
)
PROPAGATION = PolicyTiming(
    policy=POLICY,
    node="node-a",
    changed=(100.0, 100.0),
    known=(101.0, 101.0),
    propagation_seconds=(1.0, 1.0),
    written=None,
)
PROOF = ProofTiming(
    container_id="ab" * 32,
    node="node-a",
    namespace="shop",
    pod="web",
    container="app",
    policy=POLICY,
    stages={"containerStarted": (100.0, 101.0), "firstProof": (140.0, 141.0)},
)
FINDING = Finding("finding-id", "open", "over-match", "over-coverage", "x", (1.0, 2.0), "d", "r")
SOURCE = SourceState("text/node-a", "down", "reset", 150.0, ((90.0, 95.0), (150.0, None)))
SET = PolicySetState("set-id", (POLICY,))
GONE = ContainerGone("pod-uid", "app", "ab" * 32)

ADDRESSES: list[tuple[Announcement, str, str, str]] = [
    (GAP, "gaps", "gap", f"rig/{'ab' * 32}"),
    (INCIDENT, "incidents", "incident", "incident-id"),
    (FINDING, "findings", "finding", "finding-id"),
    (COVERAGE, "coverage", "coverage", "rig/pod-uid/app"),
    (SET, "coverage", "policy-set", "rig/policy-set/set-id"),
    (TIMING, "timing", "container-timing", f"rig/{'ab' * 32}"),
    (PROPAGATION, "timing", "policy-timing", "rig/KubeArmorPolicy/shop/own/node-a"),
    (PROOF, "timing", "proof-timing", f"rig/{'ab' * 32}"),
    (SOURCE, "health", "source", "rig/text/node-a"),
    (GONE, "coverage", "coverage", "rig/pod-uid/app"),
]


def record(announcement: Announcement, *, cluster: str = "rig") -> Record:
    (one,) = Translation(cluster=cluster)(announcement)
    return one


@pytest.mark.parametrize(
    ("announcement", "topic", "name", "key"),
    ADDRESSES,
    ids=[type(row[0]).__name__ for row in ADDRESSES],
)
def test_each_announcement_has_its_topic_type_and_key(
    announcement: Announcement, topic: str, name: str, key: str
) -> None:
    one = record(announcement)
    assert (one.topic, one.type, one.key) == (topic, f"kubearmor-monitor.{name}.v1", key)
    assert one.source == "/kubearmor-monitor/rig/cluster"


def test_the_id_is_the_hash_of_type_subject_and_data() -> None:
    one = record(GAP)
    assert one.data is not None
    expected = hashlib.sha256(f"{one.type}\n{one.subject}\n".encode() + one.data).hexdigest()
    assert one.id == expected


def test_equal_facts_have_equal_ids_and_other_facts_others() -> None:
    assert record(GAP).id == record(replace(GAP)).id
    assert record(GAP).id != record(replace(GAP, state="closed", until=(120.0, 121.0))).id
    assert record(GAP).id != record(GAP, cluster="other").id


def test_the_data_is_canonical_json_with_times_in_utc() -> None:
    data = record(GAP).data
    assert data is not None
    members = orjson.loads(data)
    assert orjson.dumps(members, option=orjson.OPT_SORT_KEYS) == data
    assert members["since"] == ["1970-01-01T00:01:40.000000Z", "1970-01-01T00:01:41.000000Z"]
    assert members["until"] is None
    assert members["containerId"] == "ab" * 32
    assert members["policies"] == [
        {"kind": "KubeArmorPolicy", "namespace": "shop", "name": "own", "generation": 2}
    ]


def test_coverage_lists_only_what_is_not_covered() -> None:
    data = record(COVERAGE).data
    assert data is not None
    members = orjson.loads(data)
    assert members["policySet"] == "set-id"
    assert [pair["name"] for pair in members["notCovered"]] == ["own"]
    assert "policies" not in members


def test_a_container_that_is_gone_leaves_a_tombstone_under_the_key_of_its_coverage() -> None:
    assert record(GONE).data is None
    assert record(GONE).key == record(COVERAGE).key


def test_no_data_holds_a_processing_time() -> None:
    for announcement, *_ in ADDRESSES:
        data = record(announcement).data
        assert data is None or not {"time", "at", "observedAt"} & set(orjson.loads(data))


def test_structured_is_one_cloud_event_with_its_topic() -> None:
    one = record(GAP)
    event = orjson.loads(structured(one, "kubearmor-monitor."))
    data = event.pop("data")
    assert one.data is not None
    assert data == orjson.loads(one.data)
    assert event == {
        "specversion": "1.0",
        "id": one.id,
        "source": "/kubearmor-monitor/rig/cluster",
        "type": "kubearmor-monitor.gap.v1",
        "subject": one.subject,
        "partitionkey": one.key,
        "topic": "kubearmor-monitor.gaps",
        "datacontenttype": "application/json",
    }


def test_headers_are_the_binary_mode_of_kafka() -> None:
    one = record(GAP)
    assert dict(headers(one)) == {
        "ce_specversion": b"1.0",
        "ce_id": one.id.encode(),
        "ce_source": one.source.encode(),
        "ce_type": one.type.encode(),
        "ce_subject": one.subject.encode(),
        "ce_partitionkey": one.key.encode(),
        "content-type": b"application/json",
    }


def test_names_from_untrusted_objects_come_through_as_json() -> None:
    strange = replace(GAP, pod='a"b\nc\u2028d')
    event = orjson.loads(structured(record(strange), ""))
    assert event["data"]["pod"] == 'a"b\nc\u2028d'
