"""Traces: what was observed, line by line (design, 6.2)."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from monitor.core import facts
from monitor.core.kubernetes import Metadata, Namespace
from monitor.core.model import (
    Alert,
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Log,
    Message,
    SourceDown,
    SourceUp,
)
from monitor.errors import ConfigurationError
from monitor.wire.trace import Header, Moment, Trace

HEADER = {"trace": 1, "cluster": "rig", "started": 100.5}
NAMESPACE = {"metadata": {"uid": "u1", "name": "shop", "resourceVersion": "7"}}
STORED = Namespace(metadata=Metadata(uid="u1", name="shop", resource_version="7"))
TEXT = {
    "node": "node-a",
    "pod": "kubearmor/ka",
    "podUid": "u",
    "restart": 2,
    "container": "kubearmor",
    "line": "2026-11-23T21:27:44.389151700Z 2026-11-23 21:27:44.376375\tINFO\tNRI connection lost",
}
HEALTH = {"node": "node-a", "podUid": "u", "restart": 2, "serving": False}


def written(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    encoded = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    path.write_bytes(b"".join(one + b"\n" for one in encoded))
    return path


def moments(path: Path, *lines: dict[str, Any] | bytes) -> list[Moment]:
    return list(Trace(written(path / "trace.jsonl", HEADER, *lines)))


def test_the_first_line_is_the_header(tmp_path: Path) -> None:
    trace = Trace(written(tmp_path / "trace.jsonl", HEADER))
    assert trace.header == Header(cluster="rig", started=100.5)
    assert list(trace) == []


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_trace_may_be_compressed(tmp_path: Path, suffix: str) -> None:
    raw = orjson.dumps(HEADER) + b"\n" + orjson.dumps({"at": 101, "kind": "mark", "text": "x"})
    packed = {"": raw, ".gz": gzip.compress(raw), ".zst": zstandard.compress(raw)}[suffix]
    path = tmp_path / f"trace.jsonl{suffix}"
    path.write_bytes(packed)
    assert list(Trace(path)) == [Moment(at=101.0, mark="x")]


def test_every_kind_of_line_becomes_an_observation(tmp_path: Path) -> None:
    read = moments(
        tmp_path,
        {"at": 101, "kind": "source", "name": "text/node-a", "state": "up", "reason": "opened"},
        {"at": 102, "kind": "source", "name": "text/node-a", "state": "down"},
        {"at": 103, "kind": "list", "resource": "namespaces", "items": [NAMESPACE]},
        {
            "at": 104,
            "kind": "watch",
            "resource": "namespaces",
            "event": {"type": "DELETED", "object": NAMESPACE},
        },
        {"at": 105, "kind": "text", **TEXT},
        {"at": 106, "kind": "mark", "text": "for readers"},
        {"at": 107, "kind": "health", **HEALTH},
    )
    assert read == [
        Moment(at=101, observation=SourceUp("text/node-a", "opened")),
        Moment(at=102, observation=SourceDown("text/node-a", "")),
        Moment(at=103, observation=Listed("namespaces", (STORED,))),
        Moment(at=104, observation=Changed("namespaces", "DELETED", STORED)),
        Moment(
            at=105,
            observation=DaemonLine(
                node="node-a",
                pod="kubearmor/ka",
                pod_uid="u",
                restart=2,
                container="kubearmor",
                stamp=1795469264_389151700,
                fact=facts.ContainerSourceReported("lost"),
            ),
        ),
        Moment(at=106, mark="for readers"),
        Moment(
            at=107,
            observation=HealthAnswered(node="node-a", pod_uid="u", restart=2, serving=False),
        ),
    ]


def test_feeds_are_read_as_protojson(tmp_path: Path) -> None:
    data = {"PodName": "cart", "Timestamp": "7", "Message": "Initialized KubeArmor"}
    read = moments(
        tmp_path,
        *({"at": 101, "kind": kind, "via": "relay", "data": data} for kind in ("alert", "log")),
        {"at": 101, "kind": "message", "via": "daemon:node-a", "data": data},
    )
    alert, log, message = (one.observation for one in read)
    assert isinstance(alert, Alert)
    assert isinstance(log, Log)
    assert isinstance(message, Message)
    assert (alert.pod, log.updated, message.via) == ("cart", 7.0, "daemon:node-a")
    assert message.fact == facts.LifecycleReported("initialized")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
        {"type": "ERROR", "object": {"code": 410}},
    ],
)
def test_bookmarks_and_errors_say_nothing_of_objects(tmp_path: Path, event: object) -> None:
    assert moments(tmp_path, {"at": 101, "kind": "watch", "resource": "pods", "event": event}) == [
        Moment(at=101)
    ]


def test_an_empty_list_may_be_null_as_go_writes_it(tmp_path: Path) -> None:
    assert moments(tmp_path, {"at": 1e3, "kind": "list", "resource": "pods", "items": None}) == [
        Moment(at=1000, observation=Listed("pods", ()))
    ]


def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    read = moments(
        tmp_path,
        {"at": 105, "kind": "mark", "text": "a"},
        {"at": 104, "kind": "mark", "text": "b"},
        {"at": 3, "kind": "mark", "text": "c"},
    )
    assert [one.at for one in read] == [105, 105, 105]


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    assert moments(tmp_path, b"", b"  ", {"at": 101, "kind": "mark", "text": "x"}) == [
        Moment(at=101, mark="x")
    ]


DAMAGED: dict[str, dict[str, Any] | bytes] = {
    "no JSON": b'{"at":101,"kind":',
    "no member at": {"kind": "mark", "text": "x"},
    "no member kind": {"at": 101},
    "an unknown kind": {"at": 101, "kind": "dream"},
    "an unknown resource": {"at": 101, "kind": "list", "resource": "secrets", "items": []},
    "an object without uid": {
        "at": 101,
        "kind": "list",
        "resource": "pods",
        "items": [{"metadata": {"name": "x"}}],
    },
    "a state that is none": {"at": 101, "kind": "source", "name": "x", "state": "sideways"},
    "text without a stamp": {"at": 101, "kind": "text", **TEXT, "line": "hello"},
    "an alert whose time is none": {
        "at": 101,
        "kind": "alert",
        "via": "relay",
        "data": {"UpdatedTime": "x"},
    },
    "an answer that is neither": {"at": 101, "kind": "health", **HEALTH, "serving": "yes"},
    "an answer of no node": {"at": 101, "kind": "health", "podUid": "u", "restart": 0},
    "a list": b"[]",
    "bytes that are no text": b'{"at":101,"kind":"mark","text":"\xff"}',
    "deep nesting": b'{"at":101,"kind":' + b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_line_is_named_by_file_line_and_column(tmp_path: Path, damage: str) -> None:
    good = {"at": 101, "kind": "mark", "text": "x"}
    path = written(tmp_path / "trace.jsonl", HEADER, good, DAMAGED[damage])
    with pytest.raises(ConfigurationError, match=r"trace\.jsonl:3:\d+: .+"):
        list(Trace(path))


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_lenient_reader_counts_and_skips_it(tmp_path: Path, damage: str) -> None:
    good = {"at": 101, "kind": "mark", "text": "x"}
    trace = Trace(written(tmp_path / "trace.jsonl", HEADER, DAMAGED[damage], good), lenient=True)
    assert list(trace) == [Moment(at=101, mark="x")]
    assert trace.skipped == 1


@pytest.mark.parametrize(
    "header", [b"", b"no JSON", b"{}", b'{"trace":2,"cluster":"x","started":1}', b"[]", b"1"]
)
def test_a_file_that_is_no_trace_is_refused_at_once(tmp_path: Path, header: bytes) -> None:
    path = written(tmp_path / "trace.jsonl", header)
    with pytest.raises(ConfigurationError, match=r"trace\.jsonl:1:\d+: .+"):
        Trace(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.jsonl: No such file"):
        Trace(tmp_path / "none.jsonl")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_archive_is_an_error_that_says_so(tmp_path: Path, suffix: str) -> None:
    marks = b"".join(
        orjson.dumps({"at": 101 + n, "kind": "mark", "text": str(n * 7919)}) + b"\n"
        for n in range(20_000)
    )
    raw = orjson.dumps(HEADER) + b"\n" + marks
    packed = gzip.compress(raw) if suffix == ".gz" else zstandard.compress(raw)
    path = tmp_path / f"trace.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(ConfigurationError):
        list(Trace(path))
