"""What the bytes of the Kubernetes API become."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.kubernetes import (
    ConfigMap,
    ContainerSpec,
    DaemonPlacement,
    DaemonSet,
    DaemonSetSpec,
    DaemonTemplate,
    Metadata,
    Namespace,
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystem,
    Pod,
    PodSpec,
    PodStatus,
    Policy,
    Resource,
    Taint,
    Toleration,
)
from monitor.core.model import Changed
from monitor.wire.kubernetes import (
    Bookmark,
    Flaw,
    Page,
    Undecodable,
    WatchError,
    decode_event,
    decode_list,
    sanitised,
)

POD_JSON: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "nginx",
        "namespace": "web",
        "uid": "u1",
        "resourceVersion": "7",
        "labels": {"app": "nginx"},
        "ownerReferences": None,
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:metadata": {}}}],
    },
    "spec": {"nodeName": "node-a", "containers": [{"name": "nginx", "image": "nginx:1"}]},
    "status": {"phase": "Running", "conditions": None},
}
POD = Pod(
    metadata=Metadata(
        uid="u1", name="nginx", namespace="web", resource_version="7", labels={"app": "nginx"}
    ),
    spec=PodSpec(node_name="node-a", containers=[ContainerSpec(name="nginx", image="nginx:1")]),
    status=PodStatus(phase="Running"),
)


PLACED_NODE: dict[str, Any] = {
    "metadata": {"uid": "n1", "name": "node-a"},
    "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
    "status": {"nodeInfo": {"architecture": "arm64", "kubeletVersion": "v1.34.4+k3s1"}},
}
PLACING_SET: dict[str, Any] = {
    "metadata": {"uid": "d1", "name": "kubearmor"},
    "spec": {
        "selector": {"matchLabels": {"kubearmor-app": "kubearmor"}},
        "template": {
            "metadata": {"labels": {"kubearmor-app": "kubearmor"}},
            "spec": {
                "nodeSelector": {"kubearmor.io/enforcer": "bpf"},
                "tolerations": [{"operator": "Exists"}, {"key": "gpu", "value": "a"}],
            },
        },
    },
}


def line(kind: str, item: object) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode()


def test_a_watch_line_becomes_a_change_of_the_projected_object() -> None:
    decoded = decode_event("pods", line("MODIFIED", POD_JSON))

    assert decoded == Changed(resource="pods", type="MODIFIED", object=POD)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "9"}, "spec": {}}),
            Bookmark("9"),
            id="a bookmark has no name and no uid",
        ),
        pytest.param(
            line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "metadata": {}}),
            WatchError(code=410, reason="Expired"),
            id="an expired version",
        ),
        pytest.param(
            b'{"object":{"metadata":{"uid":"n","name":"web"}},"type":"ADDED"}',
            Changed("namespaces", "ADDED", Namespace(Metadata(uid="n", name="web"))),
            id="members in any order",
        ),
    ],
)
def test_lines_of_a_watch(raw: bytes, expected: object) -> None:
    assert decode_event("namespaces", raw) == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "malformed"),
        (b"<html>", "malformed"),
        (b'{"type":"ADDED","object":{"meta', "malformed"),
        (b"null", "invalid"),
        (b'{"type":"ADDED","object":{"metadata":{"name":"x"}}}', "invalid"),
        (b'{"type":"ADDED","object":{"metadata":{"uid":7}}}', "invalid"),
        (b'{"type":"RENAMED","object":{"metadata":{"uid":"x"}}}', "invalid"),
        (b'{"type":"BOOKMARK","object":{}}', "invalid"),
        (b'{"type":"ADDED","object":{"metadata":{"uid":"x","name":"\xff"}}}', "text"),
        (b'{"type":"ADDED","object":{"metadata":{"uid":"x","name":"\\ud800"}}}', "text"),
        (
            b'{"type":"ADDED","object":{"x":' + b"[" * 9000 + b"]" * 9000 + b',"metadata":{}}}',
            "too-deep",
        ),
    ],
    ids=str,
)
def test_lines_that_cannot_be_decoded_say_why(raw: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode_event("pods", raw)

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\udc00x"', rb'"\ufffdx"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\ud800\ud800\udc00"', rb'"\ufffd\ud800\udc00"'),
        (rb'"\\ud800"', rb'"\\ud800"'),
        (rb'"\\\ud800"', rb'"\\\ufffd"'),
        (b'"\xff"', '"\ufffd"'.encode()),
        (b'"\xed\xa0\x80"', '"\ufffd\ufffd\ufffd"'.encode()),
        ('"ü\u2028"'.encode(), '"ü\u2028"'.encode()),
    ],
)
def test_what_is_no_text_is_replaced_and_nothing_else(raw: bytes, expected: bytes) -> None:
    assert sanitised(raw) == expected


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters())))
def test_sanitised_json_can_be_read_and_written_again(members: dict[str, str]) -> None:
    raw = json.dumps(
        {"metadata": {"uid": "x", "name": "c"}, "data": members}, ensure_ascii=True
    ).encode()
    decoded = decode_event("configmaps", sanitised(b'{"type":"ADDED","object":' + raw + b"}"))

    assert isinstance(decoded, Changed)
    assert isinstance(decoded.object, ConfigMap)
    for key, value in (decoded.object.data or {}).items():
        (key + value).encode()


@pytest.mark.parametrize("spec", [b"[" * 9000 + b"]" * 9000, b'"not an object"'])
def test_a_deletion_is_understood_by_its_metadata_alone(spec: bytes) -> None:
    raw = b'{"type":"DELETED","object":{"spec":' + spec + b',"metadata":{"uid":"p","name":"x"}}}'

    assert decode_event("kubearmorpolicies", raw) == Changed(
        "kubearmorpolicies", "DELETED", Policy(Metadata(uid="p", name="x"))
    )


def page_json(*items: bytes, metadata: bytes = b'{"resourceVersion":"5"}') -> bytes:
    return b'{"kind":"PodList","metadata":' + metadata + b',"items":[' + b",".join(items) + b"]}"


SOUND = b'{"metadata":{"uid":"a","name":"a"}}'
SOUND_ITEM = Namespace(Metadata(uid="a", name="a"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(page_json(), Page("5", "", ()), id="empty"),
        pytest.param(
            b'{"items":null,"metadata":{"resourceVersion":"5","continue":""}}',
            Page("5", "", ()),
            id="Go's null",
        ),
        pytest.param(
            page_json(SOUND, metadata=b'{"continue":"t","resourceVersion":"5"}'),
            Page("5", "t", (SOUND_ITEM,)),
            id="a page with more to come",
        ),
        pytest.param(
            page_json(SOUND, b'{"metadata":{"name":"no uid"}}', SOUND),
            Page(
                "5",
                "",
                (SOUND_ITEM, SOUND_ITEM),
                (Flaw("invalid", "Object missing required field `uid` - at `$.metadata`"),),
            ),
            id="an object without uid costs itself",
        ),
        pytest.param(
            page_json(b'{"spec":' + b"[" * 9000 + b"]" * 9000 + b',"metadata":{}}', SOUND),
            Page("5", "", (SOUND_ITEM,), (Flaw("too-deep", "nested too deeply"),)),
            id="an object nested too deeply costs itself",
        ),
        pytest.param(
            page_json(rb'{"metadata":{"uid":"a","name":"a","labels":{"]},{\"":"\\\""}}}', b"[]"),
            Page(
                "5",
                "",
                (Namespace(Metadata(uid="a", name="a", labels={']},{"': '\\"'})),),
                (Flaw("invalid", "Expected `object`, got `array`"),),
            ),
            id="brackets and quotes in strings split nothing",
        ),
    ],
)
def test_pages_of_a_list(body: bytes, expected: Page) -> None:
    assert decode_list("namespaces", body) == expected


def test_an_object_in_a_list_that_holds_no_text_is_repaired_and_named() -> None:
    page = decode_list(
        "namespaces", page_json(SOUND, rb'{"metadata":{"uid":"b","name":"x\ud800"}}')
    )

    assert page.items == (SOUND_ITEM, Namespace(Metadata(uid="b", name="x\ufffd")))
    assert [flaw.reason for flaw in page.flaws] == ["text"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"null",
        b'"items"',
        b'{"items":[]}',
        b'{"metadata":{},"items":[]}',
        b'{"metadata":{"resourceVersion":"5"},"items":[' + SOUND,
        b'{"metadata":{"resourceVersion":"5"},"items":[' + SOUND + b"]",
        b'{"metadata":{"resourceVersion":"5"},"items":7}',
        b"[" * 5000,
    ],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_list("pods", body)


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_decode_or_be_refused(raw: bytes) -> None:
    for decode in (decode_event, decode_list):
        try:
            decode("pods", raw)
        except Undecodable:
            continue


@pytest.mark.parametrize(
    "resource",
    [
        "kubearmorpolicies",
        "kubearmorclusterpolicies",
        "kubearmorhostpolicies",
        "kubearmornetworkpolicies",
    ],
)
def test_every_kind_of_policy_keeps_its_specification(resource: Resource) -> None:
    item = {"metadata": {"uid": "p", "generation": 3}, "spec": {"action": "Block"}}

    decoded = decode_event(resource, line("ADDED", item))

    assert decoded == Changed(
        resource, "ADDED", Policy(Metadata(uid="p", generation=3), {"action": "Block"})
    )


def test_what_decides_where_daemons_come_is_kept() -> None:
    node = Node(
        metadata=Metadata(uid="n1", name="node-a"),
        spec=NodeSpec(taints=[Taint(key="gpu", effect="NoSchedule")]),
        status=NodeStatus(
            node_info=NodeSystem(architecture="arm64", kubelet_version="v1.34.4+k3s1")
        ),
    )
    placement = DaemonPlacement(
        node_selector={"kubearmor.io/enforcer": "bpf"},
        tolerations=[Toleration(operator="Exists"), Toleration(key="gpu", value="a")],
    )
    daemons = DaemonSet(
        metadata=Metadata(uid="d1", name="kubearmor"),
        spec=DaemonSetSpec(template=DaemonTemplate(spec=placement)),
    )
    assert decode_event("nodes", line("ADDED", PLACED_NODE)) == Changed("nodes", "ADDED", node)
    assert decode_event("daemonsets", line("ADDED", PLACING_SET)) == Changed(
        "daemonsets", "ADDED", daemons
    )
