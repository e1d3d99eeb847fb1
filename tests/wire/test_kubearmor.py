"""Alerts, logs and messages: the same from protobuf and from its JSON."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import facts
from monitor.core.model import Alert, Log, Message
from monitor.wire import kubearmor
from monitor.wire.pb import feeder_pb2

ALERT: dict[str, Any] = {
    "Timestamp": "1783065001",
    "UpdatedTime": "2026-07-03T07:50:01.482913Z",
    "ClusterName": "default",
    "HostName": "worker-2",
    "NamespaceName": "shop",
    "Owner": {"Ref": "Deployment", "Name": "cart", "Namespace": "shop"},
    "PodName": "cart-6f7c9d5b8-xq2lp",
    "Labels": "tier=backend,app=cart",
    "ContainerID": "9b1c0d6f" * 8,
    "ContainerName": "cart",
    "PolicyName": "deny-pkg-mgr",
    "Severity": "5",
    "ATags": ["NIST"],
    "Type": "MatchedPolicy",
    "Source": "/bin/bash",
    "Operation": "Process",
    "Resource": "/usr/bin/apt update",
    "Data": "lsm=SECURITY_BPRM_CHECK",
    "EventData": {"Lsm": "SECURITY_BPRM_CHECK"},
    "Enforcer": "BPFLSM",
    "Action": "Block",
    "Result": "Permission denied",
    "KubeArmorVersion": "v1.7.4",
}
READ_ALERT = Alert(
    via="relay",
    host_name="worker-2",
    namespace="shop",
    pod="cart-6f7c9d5b8-xq2lp",
    container_id="9b1c0d6f" * 8,
    container="cart",
    policy="deny-pkg-mgr",
    type="MatchedPolicy",
    operation="Process",
    source="/bin/bash",
    resource="/usr/bin/apt update",
    data="lsm=SECURITY_BPRM_CHECK",
    action="Block",
    result="Permission denied",
    enforcer="BPFLSM",
    release="v1.7.4",
    updated=1783065001.482913,
)
LOG: dict[str, Any] = {
    "Timestamp": "1783065001",
    "UpdatedTime": "2026-07-03T07:50:01.482913Z",
    "HostName": "worker-2",
    "NamespaceName": "shop",
    "PodName": "cart",
    "ContainerID": "9b1c0d6f" * 8,
    "ContainerName": "cart",
    "Type": "ContainerLog",
    "Source": "/bin/bash",
    "Operation": "Process",
    "Resource": "/usr/bin/apt",
    "Data": "syscall=SYS_EXECVE",
    "Result": "Passed",
}
MESSAGE: dict[str, Any] = {
    "Timestamp": "1783065001",
    "UpdatedTime": "2026-07-03T07:50:01.482913Z",
    "HostName": "worker-2",
    "HostIP": "10.0.0.2",
    "Type": "Message",
    "Level": "INFO",
    "Message": "Detected a Cluster Security Policy (added/base)",
}


def test_an_alert_is_read_from_json() -> None:
    assert kubearmor.alert_from_json(ALERT, via="relay") == READ_ALERT


def test_an_alert_is_read_from_protobuf() -> None:
    message = ParseDict(ALERT, feeder_pb2.Alert())
    assert kubearmor.alert(message, via="relay") == READ_ALERT


def test_the_throttling_notice_says_for_how_long() -> None:
    read = kubearmor.alert_from_json({**ALERT, "DroppingAlertsInterval": 30}, via="relay")
    assert read.dropping_seconds == 30


@pytest.mark.parametrize("number", ["1783065001", 1783065001])
def test_integers_may_be_strings_or_numbers(number: object) -> None:
    members = {"Timestamp": number, "DroppingAlertsInterval": "30"}
    read = kubearmor.alert_from_json(members, via="relay")
    assert (read.updated, read.dropping_seconds) == (1783065001.0, 30)


def test_without_its_own_time_the_whole_second_counts() -> None:
    members = {key: value for key, value in LOG.items() if key != "UpdatedTime"}
    assert kubearmor.log_from_json(members, via="relay").updated == 1783065001.0


def test_defaults_are_omitted_in_json() -> None:
    empty = kubearmor.alert_from_json({}, via="relay")
    assert empty == kubearmor.alert(feeder_pb2.Alert(), via="relay")
    assert (empty.policy, empty.updated) == ("", 0.0)


def test_a_log_is_read_alike_from_both() -> None:
    from_json = kubearmor.log_from_json(LOG, via="daemon:worker-2")
    assert from_json == kubearmor.log(ParseDict(LOG, feeder_pb2.Log()), via="daemon:worker-2")
    assert from_json == Log(
        via="daemon:worker-2",
        host_name="worker-2",
        namespace="shop",
        pod="cart",
        container_id="9b1c0d6f" * 8,
        container="cart",
        type="ContainerLog",
        operation="Process",
        source="/bin/bash",
        resource="/usr/bin/apt",
        data="syscall=SYS_EXECVE",
        result="Passed",
        updated=1783065001.482913,
    )


def test_a_message_says_what_the_line_of_text_says() -> None:
    from_json = kubearmor.message_from_json(MESSAGE, via="relay")
    assert from_json == kubearmor.message(ParseDict(MESSAGE, feeder_pb2.Message()), via="relay")
    assert from_json == Message(
        via="relay",
        host_name="worker-2",
        host_ip="10.0.0.2",
        updated=1783065001.482913,
        fact=facts.PolicyLearned("KubeArmorClusterPolicy", "added", "", "base"),
    )


def test_fields_of_a_later_release_are_ignored() -> None:
    read = kubearmor.alert_from_json({**ALERT, "Invented": {"deep": [1]}}, via="relay")
    assert read == READ_ALERT


@pytest.mark.parametrize(
    "members",
    [
        {"UpdatedTime": "yesterday"},
        {"UpdatedTime": "2026-07-03T07:50:01"},
        {"UpdatedTime": "", "Timestamp": "soon"},
        {"UpdatedTime": "", "Timestamp": "-1"},
        {"UpdatedTime": "", "Timestamp": "253402300800"},
        {"PodName": 7},
        {"PodName": None},
        {"ContainerID": ["a"]},
    ],
)
def test_what_is_no_alert_is_refused_with_one_kind_of_error(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        kubearmor.alert_from_json({**ALERT, **members}, via="relay")


def test_lone_surrogates_are_replaced() -> None:
    read = kubearmor.alert_from_json({**ALERT, "Resource": "a\ud800b\nc"}, via="relay")
    assert read.resource == "a?b\nc"
    read.resource.encode()


@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_any_text_comes_through_both_alike(text: str) -> None:
    members = {**ALERT, "Resource": text}
    message = ParseDict(members, feeder_pb2.Alert())
    assert kubearmor.alert(message, via="relay").resource == text
    canonical = MessageToDict(message, preserving_proto_field_name=True)
    assert kubearmor.alert_from_json(canonical, via="relay") == kubearmor.alert(
        message, via="relay"
    )
