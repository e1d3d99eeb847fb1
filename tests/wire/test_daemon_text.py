"""What a line of a daemon's output says (dossier 3.2 and 12.2)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import facts
from monitor.core.facts import Fact, Irrelevant, Unrecognised
from monitor.core.model import DaemonLine
from monitor.wire.daemon_text import classify, read_line, say
from tests.traces.judge import folders, trace_of
from tests.traces.variants import Recording

ID = "565a58d56c50cf15d89a767409fc18c40e074e0c9874eaeeef4b3fe109e05161"
STAMP = "2026-11-23T21:27:44.389151700Z"
CLOCK = "2026-11-23 21:27:44.376375"

LINES: dict[str, Fact] = {
    "Detected a Security Policy (added/shop/own)": facts.PolicyLearned(
        "KubeArmorPolicy", "added", "shop", "own"
    ),
    "Detected a Cluster Security Policy (modified/base)": facts.PolicyLearned(
        "KubeArmorClusterPolicy", "modified", "", "base"
    ),
    "Detected a Host Security Policy (deleted/host)": facts.PolicyLearned(
        "KubeArmorHostPolicy", "deleted", "", "host"
    ),
    "Detected a Network Security Policy (added/net)": facts.PolicyLearned(
        "KubeArmorNetworkPolicy", "added", "", "net"
    ),
    "Error ADD, unable to fetch namespace list": facts.PolicyRejected(
        "unable to fetch namespace list"
    ),
    "Detected a Pod (added/shop/cart-6f7c9d5b8-xq2lp)": facts.PodSeen(
        "added", "shop", "cart-6f7c9d5b8-xq2lp"
    ),
    "Detected a Pod (patched/shop/cart)": facts.PodSeen("patched", "shop", "cart"),
    "Detected a container (added/565a58d56c50/pidns=4026540012/mntns=4026540013)": (
        facts.ContainerRegistered("565a58d56c50", 4026540012, 4026540013)
    ),
    "Detected a container (added/565a58d56c50/pidns=0/mntns=0)": facts.ContainerRegistered(
        "565a58d56c50", 0, 0
    ),
    "Detected a container (added/565a58d56c50)": facts.ContainerRegistered(
        "565a58d56c50", None, None
    ),
    "Detected a container (removed/565a58d56c50/pidns=1/mntns=2)": facts.ContainerRemoved(
        "565a58d56c50"
    ),
    f"Updating container rules for {ID}": facts.RulesUpdating(ID),
    f"Creating inner map for {ID}": facts.MapCreated(ID),
    f"Deleting inner map for {ID}": facts.MapDeleted(ID),
    f"error creating container map for {ID}: map create: EPERM": facts.MapFailed(
        ID, "create", "map create: EPERM"
    ),
    f"error adding container {ID} to outer map: no space left on device": facts.MapFailed(
        ID, "outer", "no space left on device"
    ),
    f"error adding rule to map for container {ID}: no space left on device": facts.MapFailed(
        ID, "inner", "no space left on device"
    ),
    "Namespace team-b visibiliy configured {File:true Process:true}": facts.NamespaceConfigured(
        "team-b"
    ),
    "Namespace team-b visibility configured {File:true DNS:false}": facts.NamespaceConfigured(
        "team-b"
    ),
    "Policy cannot be enforced in untracked namespace kubearmor": facts.NamespaceUntracked(
        "kubearmor"
    ),
    "Initialized BPF-LSM Enforcer": facts.EnforcerReported("BPFLSM"),
    "Initialized AppArmor Enforcer": facts.EnforcerReported("AppArmor"),
    "Initialized SELinux Enforcer": facts.EnforcerReported("SELinux"),
    "Disabled KubeArmor Enforcer: failed to create runtime enforcer": facts.EnforcerReported(
        "", "failed to create runtime enforcer"
    ),
    "Started to monitor NRI events": facts.ContainerSourceReported("started"),
    "Started to monitor Containerd events": facts.ContainerSourceReported("started"),
    "NRI connection lost": facts.ContainerSourceReported("lost"),
    "restarting NRI": facts.ContainerSourceReported("reconnecting"),
    "Attempting to reconnect to NRI in 5s...": facts.ContainerSourceReported("reconnecting"),
    "Attempting to reconnect to containerd in 10s...": facts.ContainerSourceReported(
        "reconnecting"
    ),
    "Failed to connect to NRI: ttrpc: server closed": facts.ContainerSourceReported("lost"),
    "Successfully reconnected to NRI": Irrelevant(),
    "BUILD-INFO: version: v1.7.4, branch: , date: ": facts.ReleaseReported("v1.7.4", True),
    "Arguments [alertThrottling:true cluster:default]": facts.LifecycleReported("starting"),
    "Initialized KubeArmor": facts.LifecycleReported("initialized"),
    "Got a signal to terminate KubeArmor": facts.LifecycleReported("terminating"),
    "Terminated KubeArmor": facts.LifecycleReported("terminated"),
    "Node Name: node-a": facts.NodeNamed("node-a"),
    "Node IP: 127.0.0.2": facts.NodeAddressed("127.0.0.2"),
    "Added a new client (8074287e-4657-404f-8ebe-f87da1f08b74, policy) for WatchAlerts": (
        facts.FeedClient("added", "alerts", "8074287e-4657-404f-8ebe-f87da1f08b74")
    ),
    "Deleted the client (612446a3-50d8-46de-9a8d-f43aaeef7cf0) for WatchMessages": (
        facts.FeedClient("deleted", "messages", "612446a3-50d8-46de-9a8d-f43aaeef7cf0")
    ),
    "Started to monitor security policies": facts.WatchReported("kubearmorpolicies", "started"),
    "Started to monitor cluster security policies": facts.WatchReported(
        "kubearmorclusterpolicies", "started"
    ),
    "Started to monitor Pod events": facts.WatchReported("pods", "started"),
    "timeout while monitoring cluster security policies, kubearmorclusterpolicies CRD not found": (
        facts.WatchReported(
            "kubearmorclusterpolicies", "dead", "kubearmorclusterpolicies CRD not found"
        )
    ),
    "timeout while monitoring security policies, CRD not found": facts.WatchReported(
        "kubearmorpolicies", "dead", "CRD not found"
    ),
    "error while monitoring cluster security policies, informer cache not synced": (
        facts.WatchReported("kubearmorclusterpolicies", "dead", "informer cache not synced")
    ),
    "Error starting pod informer=forbidden": facts.WatchReported("pods", "dead", "forbidden"),
    "unable to fetch namespace list": facts.NamespaceListFailed("unable to fetch namespace list"),
    "Initialized KubeArmor Logger": Irrelevant(),
    "Initialized KubeArmor Enforcer": Irrelevant(),
    "Initialized KubeArmor Monitor": Irrelevant(),
    "Started to protect containers": facts.ProtectionReported("host", active=False),
    "Started to protect a host": facts.ProtectionReported("host", active=True),
    "Started to protect a host and containers": facts.ProtectionReported("host", active=True),
    "Initialized KubeArmor Network Policy Enforcer": facts.ProtectionReported(
        "network", active=True
    ),
    "Failed to initialize KubeArmor Network Policy Enforcer: nft command not found in $PATH": (
        facts.ProtectionReported("network", active=False, reason="nft command not found in $PATH")
    ),
    "Node Annotations: map[kubearmor-policy:audited kubearmor-visibility:none]": (
        facts.NodeModeReported("audited")
    ),
    "Node Annotations: map[a/b:1 kubearmor-policy:enabled]": facts.NodeModeReported("enabled"),
    "Node Annotations: map[not-kubearmor-policy:audited]": Irrelevant(),
    f"Updating container preset rules for {ID}": Irrelevant(),
    "Successfully added visibility map with key={PidNS:0 MntNS:0} to the kernel": Irrelevant(),
    "Supported LSMs: capability,landlock,yama,bpf": Irrelevant(),
    'failed to fetch Pod: %!w(*errors.StatusError=&{Failure pods "x" not found})': Irrelevant(),
    "": Irrelevant(),
    "A statement that nobody has described": Unrecognised(),
}

LEVELS = {"INFO": 34, "WARN": 33, "ERROR": 31}


def stamped(message: str, *, level: str = "INFO", colour: bool = True) -> bytes:
    shown = f"\x1b[{LEVELS[level]}m{level}\x1b[0m" if colour else level
    return f"{CLOCK}\t{shown}\t{message}".encode()


def line(raw: bytes) -> DaemonLine:
    return read_line(
        raw, node="node-a", pod="kubearmor/ka", pod_uid="u", restart=1, container="kubearmor"
    )


@pytest.mark.parametrize("message", LINES)
def test_a_message_says(message: str) -> None:
    assert classify(stamped(message)) == LINES[message]


@pytest.mark.parametrize("message", LINES)
def test_the_message_feed_says_the_same(message: str) -> None:
    assert say(message, level="INFO") == LINES[message]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("colour", [True, False])
def test_the_level_may_be_coloured(level: str, colour: bool) -> None:  # noqa: FBT001  # a table
    fact = classify(stamped("NRI connection lost", level=level, colour=colour))
    assert fact == facts.ContainerSourceReported("lost")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\t/usr/src/KubeArmor/KubeArmor/log/logger.go:103",
        "github.com/kubearmor/KubeArmor/KubeArmor/log.Err",
        "k8s.io/apimachinery/pkg/util/wait.(*Group).Start.func1",
        "goroutine 12 [running]:",
        'time="2026-11-23T21:27:45Z" level=info msg="Started plugin 99-kubearmor-v1.5.7..."',
        f"Creating inner map for {ID}",
        "Initialized KubeArmor",
        "2026-11-23 21:27:44.376375 INFO no tabs",
        "2026-11-23",
    ],
)
def test_a_line_without_the_daemons_stamp_says_nothing_of_coverage(text: str) -> None:
    assert classify(text.encode()) == Irrelevant()


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("Created plugin 99-kubearmor-v1.5.7 (kubearmor-v1.5.7, handles StopContainer)", "v1.5.7"),
        ("Created plugin 00-kubearmor-v1.6.19", "v1.6.19"),
    ],
)
def test_the_nri_library_names_the_release(text: str, release: str) -> None:
    fact = classify(f'time="2026-11-23T21:27:45Z" level=info msg="{text}"'.encode())
    assert fact == facts.ReleaseReported(release)


def test_the_namespace_list_failure_is_printed_without_a_stamp() -> None:
    fact = classify(b"unable to fetch namespace list")
    assert isinstance(fact, facts.NamespaceListFailed)


def test_the_settings_are_read_from_the_final_configuration() -> None:
    fact = classify(
        stamped(
            "Final Configuration [{Cluster:default Host:node-a GRPC:32767 TLSEnabled:false "
            "ConfigUntrackedNs:{v:[kube-system kubearmor]} LsmOrder:[bpf apparmor] "
            "MaxAlertPerSec:10}]"
        )
    )
    assert isinstance(fact, facts.ConfigurationReported)
    settings = dict(fact.settings)
    assert settings["Host"] == "node-a"
    assert settings["GRPC"] == "32767"
    assert settings["ConfigUntrackedNs"].strip("[]").split() == ["kube-system", "kubearmor"]
    assert settings["MaxAlertPerSec"] == "10"


# --- whole lines --------------------------------------------------------------------------------


def test_a_line_carries_the_kubelets_stamp_and_the_daemons() -> None:
    assert line(STAMP.encode() + b" " + stamped("Initialized KubeArmor")) == DaemonLine(
        node="node-a",
        pod="kubearmor/ka",
        pod_uid="u",
        restart=1,
        container="kubearmor",
        stamp=1795469264_389151700,
        fact=facts.LifecycleReported("initialized"),
    )


@pytest.mark.parametrize(
    ("stamp", "nanoseconds"),
    [
        ("2026-11-23T21:27:44Z", 1795469264_000000000),
        ("2026-11-23T21:27:44.5Z", 1795469264_500000000),
        ("2026-11-23T21:27:44.389151700Z", 1795469264_389151700),
        ("2026-11-23T22:27:44.389151700+01:00", 1795469264_389151700),
        ("1970-01-01T00:00:00.000000000Z", 0),
        ("9999-12-31T23:59:59.999999999Z", 253402300799_999999999),
    ],
)
def test_the_kubelets_stamp_is_read_to_the_nanosecond(stamp: str, nanoseconds: int) -> None:
    assert line(f"{stamp} x".encode()).stamp == nanoseconds


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"no stamp at all",
        b"2026-13-23T21:27:44.389151700Z x",
        b"2026-11-99T21:27:44.389151700Z x",
        b"2026-11-23 21:27:44.376375\tINFO\tInitialized KubeArmor",
        b"-001-11-23T21:27:44.389151700Z x",
        b"2026-11-23T21:27:44.3891517000 x",
        b"\xff\xfe\xfd x",
    ],
)
def test_a_line_without_the_kubelets_stamp_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        line(raw)


@pytest.mark.parametrize(
    "clock", ["9999-12-31 23:59:59.999999", "1970-01-01 00:00:00.000000", "2026-13-45 99:99:99.0"]
)
def test_a_daemons_stamp_from_another_age_does_not_hide_what_the_line_says(clock: str) -> None:
    fact = classify(f"{clock}\tINFO\tCreating inner map for {ID}".encode())
    assert fact in {facts.MapCreated(ID), Irrelevant()}


def test_a_line_of_a_megabyte_is_read_like_another() -> None:
    long = STAMP.encode() + b" " + stamped("x" * (1 << 20))
    assert line(long).fact == Unrecognised()


def test_a_name_of_a_megabyte_does_no_harm() -> None:
    name = "x" * (2 << 20)
    raw = STAMP.encode() + b" " + stamped(f"Detected a Pod (added/shop/{name})")
    assert isinstance(line(raw).fact, facts.PodSeen | Unrecognised)


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\x00\x01"])
def test_bytes_that_are_no_text_are_replaced(bad: bytes) -> None:
    fact = classify(stamped("Detected a Pod (added/shop/x") + bad + b")")
    assert isinstance(fact, facts.PodSeen)
    assert fact.name.startswith("x")
    fact.name.encode()


def test_a_carriage_return_or_newline_at_the_end_does_not_matter() -> None:
    for ending in (b"\r", b"\n", b"\r\n", b"  "):
        fact = classify(stamped("Initialized KubeArmor") + ending)
        assert fact == facts.LifecycleReported("initialized")


def test_a_line_break_inside_a_name_does_not_make_another_line() -> None:
    fact = classify(stamped("Detected a Pod (added/shop/a\nInitialized KubeArmor)"))
    assert not isinstance(fact, facts.LifecycleReported)


@pytest.mark.parametrize(
    "message",
    [
        "Detected a Pod (added/shop)",
        "Detected a Pod added/shop/x",
        "Detected a Security Policy (renamed/shop/x)",
        "Detected a container (added/xyz)",
        "Creating inner map for nothing",
        f"Creating inner map for {ID} and more",
        "error adding something to somewhere",
    ],
)
def test_a_known_beginning_with_another_end_is_no_fact(message: str) -> None:
    fact = classify(stamped(message))
    assert fact == Unrecognised()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(text: bytes) -> None:
    classify(text)
    classify(stamped("") + text)


@given(st.text(max_size=60))
def test_no_name_breaks_the_reading(name: str) -> None:
    raw = f"Detected a Pod (added/shop/{name})".encode("utf-8", "surrogatepass")
    classify(stamped("") + raw)


# --- the recordings -----------------------------------------------------------------------------


def recorded() -> Iterator[bytes]:
    for folder in folders(()):
        for one in Recording(trace_of(Path(folder))).lines:
            if one["kind"] == "text":
                yield one["line"].encode()


def test_every_line_of_the_recordings_is_known() -> None:
    unknown = {
        re.sub(r"[0-9a-f]{8,}", "…", raw.split(b" ", 1)[1].decode())
        for raw in recorded()
        if isinstance(line(raw).fact, Unrecognised)
    }
    assert unknown == set()


def test_the_recordings_say_what_is_to_be_known() -> None:
    said = {type(line(raw).fact) for raw in recorded()}
    assert said >= {
        facts.PolicyLearned,
        facts.PodSeen,
        facts.ContainerRegistered,
        facts.ContainerRemoved,
        facts.RulesUpdating,
        facts.MapCreated,
        facts.MapDeleted,
        facts.NamespaceConfigured,
        facts.NamespaceUntracked,
        facts.EnforcerReported,
        facts.ContainerSourceReported,
        facts.ReleaseReported,
        facts.ConfigurationReported,
        facts.LifecycleReported,
        facts.FeedClient,
        facts.WatchReported,
    }


def test_the_kubelets_stamps_of_an_incarnation_rise() -> None:
    for folder in folders(()):
        latest: dict[tuple[str, str, int], int] = {}
        for one in Recording(trace_of(Path(folder))).lines:
            if one["kind"] == "text":
                key = (one["node"], one["podUid"], one["restart"])
                stamp = line(one["line"].encode()).stamp
                assert stamp != latest.get(key)
                latest[key] = stamp
