"""What a look at a cluster means: each check, in each of its states."""

from typing import Any

import pytest
from msgspec import structs

from monitor.core import facts
from monitor.core.diagnosis import diagnose
from monitor.core.diagnosis.findings import (
    Certificate,
    Check,
    Cluster,
    DaemonSeen,
    Probe,
    counted,
    some,
)
from monitor.core.diagnosis.notes import Notes
from monitor.core.diagnosis.releases import DEFECTS
from monitor.core.kubernetes import (
    ConfigMap,
    ContainerState,
    ContainerStatus,
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
    Running,
    Taint,
    Toleration,
)
from monitor.core.model import (
    Changed,
    DaemonLine,
    Listed,
    NodeCoverage,
    Report,
    SourceDown,
    SourceUp,
)

NOW = 1_800_000_000.0
DAY = 86_400.0
SETTINGS = {
    "Debug": "false",
    "TLSEnabled": "false",
    "HostPolicy": "false",
    "Visibility": "process,network",
    "DefaultFilePosture": "audit",
    "DefaultNetworkPosture": "audit",
    "DefaultCapabilitiesPosture": "audit",
}
DAEMON = DaemonSeen(
    node="node-1",
    pod="kubearmor/kubearmor-x",
    created=NOW - 100,
    release="v1.7.4",
    enforcer="BPFLSM",
    container_source="started",
    settings=SETTINGS,
)
NONE_SERVES = "0 of 1 daemons serve their feeds"
KINDS = (
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "kubearmornetworkpolicies",
)


def node(name: str = "node-1", *, taints: tuple[Taint, ...] = (), **system: Any) -> Node:
    labels = {key: system.pop(key) for key in list(system) if "/" in key}
    labels |= {"type": system.pop("type")} if "type" in system else {}
    return Node(
        metadata=Metadata(uid=name, name=name, labels=labels),
        spec=NodeSpec(taints=list(taints)),
        status=NodeStatus(node_info=NodeSystem(**{"architecture": "amd64", **system})),
    )


def policy(name: str = "p", *, namespace: str = "", **spec: Any) -> Policy:
    return Policy(metadata=Metadata(uid=name, name=name, namespace=namespace), spec=spec)


def pod(name: str, *, created: float, annotations: dict[str, str] | None = None) -> Pod:
    assert created < NOW
    stamp = "2027-01-15T07:55:00Z" if created < NOW - 100 else "2027-01-15T07:59:00Z"
    return Pod(
        metadata=Metadata(
            uid=name,
            name=name,
            namespace="shop",
            creation_timestamp=stamp,
            annotations=annotations,
        ),
        spec=PodSpec(node_name="node-1"),
        status=PodStatus(phase="Running"),
    )


def daemon_pod(name: str, *, created: str, restart: int = 0) -> Pod:
    status = ContainerStatus(
        name="kubearmor", restart_count=restart, state=ContainerState(running=Running())
    )
    return Pod(
        metadata=Metadata(
            uid=name,
            name=name,
            namespace="kubearmor",
            creation_timestamp=created,
            labels={"kubearmor-app": "kubearmor"},
        ),
        spec=PodSpec(node_name="node-1"),
        status=PodStatus(pod_ip="10.0.0.1", container_statuses=[status]),
    )


def healthy(**changes: Any) -> Cluster:
    """A cluster with which nothing is wrong."""
    cluster = Cluster(
        at=NOW,
        nodes=(node(),),
        pods=(),
        namespaces=(),
        daemon_sets=(),
        config={},
        policies=dict.fromkeys(KINDS, ()),
        daemons=(DAEMON,),
        sources={"kubernetes/pods": ""},
        served=frozenset(KINDS),
        access={"list pods": True},
        api_release="v1.34.4",
        api=(Probe("list", 0.02),),
        health=(Probe("node-1", 0.01),),
    )
    return structs.replace(cluster, **changes)


def daemon(**changes: Any) -> DaemonSeen:
    return structs.replace(DAEMON, **changes)


def found(cluster: Cluster, code: str) -> Check:
    (check,) = [check for check in diagnose(cluster) if check.code == code]
    return check


def said(cluster: Cluster, code: str) -> tuple[str, str]:
    check = found(cluster, code)
    return check.state, check.found


def test_a_healthy_cluster_has_only_good_checks() -> None:
    assert [check.code for check in diagnose(healthy())] == [
        "releases",
        "nodes-without-daemon",
        "daemons",
        "enforcers",
        "container-sources",
        "deployment-order",
        "debug",
        "tls",
        "audit-rules",
        "allow-lists",
        "api-server",
        "api-throttling",
        "permissions",
        "sources",
        "policy-kinds",
        "health-service",
    ]
    assert {check.state for check in diagnose(healthy())} == {"ok"}


def test_what_nobody_saw_is_never_fine() -> None:
    states = {check.code: check.state for check in diagnose(Cluster(at=NOW))}
    assert states == {
        "releases": "unknown",
        "nodes-without-daemon": "unknown",
        "audit-rules": "unknown",
        "allow-lists": "unknown",
        "api-server": "unknown",
        "permissions": "unknown",
        "policy-kinds": "unknown",
    }


def test_whatever_is_wrong_says_what_to_do() -> None:
    wrong = healthy(
        daemons=(
            daemon(release="v1.4.0", enforcer="", container_source="dead"),
            daemon(node="node-2", release="v1.5.7", enforcer="AppArmor"),
        ),
        nodes=None,
        access={"list pods": False},
        sources={"kubernetes/pods": "HTTP 429"},
        served=frozenset(),
        api=(Probe("list", 9.0, "HTTP 500"),),
        certificates=(Certificate("ca", NOW - DAY),),
    )
    assert [
        check for check in diagnose(wrong) if check.state == "problem" and not check.remedy
    ] == []


# --- releases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "defects"),
    [
        (
            "v1.4.0",
            {
                "policy-leaks-to-all-pods",
                "cluster-policy-over-match",
                "client-disconnect-panic",
                "no-runtime-reconnect",
                "stale-container-id",
                "namespace-ids-reused",
                "api-rate-limit",
                "raw-pod-watch",
                "missing-kinds-hang",
                "untracked-map-ignored",
                "untracked-enforced",
                "controller-namespace",
                "webhook-mixed-clusters",
            },
        ),
        (
            "v1.5.7",
            {
                "namespace-newer-than-policy",
                "index-panic",
                "client-disconnect-panic",
                "no-runtime-reconnect",
                "stale-container-id",
                "namespace-ids-reused",
                "api-rate-limit",
                "raw-pod-watch",
                "missing-kinds-hang",
                "untracked-map-ignored",
                "controller-namespace",
            },
        ),
        (
            "v1.6.8",
            {
                "index-panic",
                "client-disconnect-panic",
                "no-runtime-reconnect",
                "stale-container-id",
                "namespace-ids-reused",
                "api-rate-limit",
                "missing-kinds-hang",
            },
        ),
        ("v1.6.16", {"client-disconnect-panic", "namespace-ids-reused", "missing-kinds-hang"}),
        ("v1.7.3", {"client-disconnect-panic", "namespace-ids-reused"}),
        ("v1.7.4", {"host-alerts-lost"}),
        ("latest", set()),
    ],
)
def test_each_release_has_its_known_defects(release: str, defects: set[str]) -> None:
    assert {defect.code for defect in DEFECTS if defect.afflicts(release)} == defects


def test_no_remedy_leads_to_a_release_with_a_worse_defect() -> None:
    assert [d.code for d in DEFECTS if "Upgrade KubeArmor to v1.5.7" in d.remedy] == []


def test_a_defect_names_release_nodes_and_remedy() -> None:
    policies = {"kubearmorclusterpolicies": (policy(),)}
    cluster = healthy(daemons=(daemon(release="v1.5.7"),), policies=policies)
    check = found(cluster, "defect/namespace-newer-than-policy")
    assert check.state == "problem"
    assert check.found.startswith("v1.5.7 (node-1): a cluster policy misses every Pod")
    assert check.remedy.startswith("Upgrade KubeArmor to v1.6.0 or later. Until then: touch")


def test_a_defect_counts_only_where_it_can_do_harm() -> None:
    cluster = healthy(daemons=(daemon(release="v1.5.7"),))
    codes = {check.code for check in diagnose(cluster)}
    assert "defect/namespace-newer-than-policy" not in codes  # no cluster policy
    assert "defect/controller-namespace" not in codes  # BPF-LSM, namespace kubearmor


def test_the_controllers_namespace_matters_under_apparmor_elsewhere() -> None:
    apparmor = (daemon(release="v1.6.4", enforcer="AppArmor"),)
    code = "defect/controller-namespace"
    assert found(healthy(daemons=apparmor, kubearmor="security"), code).state == "problem"
    assert code not in {check.code for check in diagnose(healthy(daemons=apparmor))}


def test_mixed_releases_are_a_warning() -> None:
    both = (DAEMON, daemon(node="node-2", release="v1.7.3"))
    assert said(healthy(daemons=both), "releases") == (
        "warning",
        "mixed: v1.7.3 on 1 node; v1.7.4 on 1 node",
    )


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (None, ("unknown", "no daemon was seen")),
        ((), ("problem", "no daemon was seen")),
        (
            (daemon_pod("d", created="2027-01-15T07:00:00Z"),),
            ("problem", "no daemon in the namespace security, but in kubearmor"),
        ),
    ],
)
def test_a_cluster_without_a_daemon(
    pods: tuple[Pod, ...] | None, expected: tuple[str, str]
) -> None:
    assert said(healthy(pods=pods, daemons=(), kubearmor="security"), "releases") == expected


def test_a_release_that_nobody_said_is_unknown() -> None:
    assert said(healthy(daemons=(daemon(release=None),)), "releases") == (
        "unknown",
        "not known on node-1",
    )


# --- nodes ----------------------------------------------------------------------------------------

TAINT = Taint(key="dedicated", value="gpu", effect="NoSchedule")


def daemon_set(
    *, tolerations: tuple[Toleration, ...] = (), selector: dict[str, str] | None = None
) -> DaemonSet:
    placement = DaemonPlacement(node_selector=selector, tolerations=list(tolerations))
    return DaemonSet(
        metadata=Metadata(uid="ds", name="kubearmor-bpf-containerd-98c2c"),
        spec=DaemonSetSpec(template=DaemonTemplate(spec=placement)),
    )


@pytest.mark.parametrize(
    ("lonely", "sets", "reason"),
    [
        (
            node("n", taints=(TAINT,)),
            (daemon_set(),),
            "taint not tolerated: dedicated=gpu:NoSchedule",
        ),
        (node("n", taints=(TAINT,)), (), "taint not tolerated: dedicated=gpu:NoSchedule"),
        (
            node("n", taints=(Taint(key="control-plane", effect="NoExecute"),)),
            (daemon_set(),),
            "taint not tolerated: control-plane:NoExecute",
        ),
        (
            node("n"),
            (daemon_set(selector={"kubearmor.io/enforcer": "bpf"}),),
            "label missing: kubearmor.io/enforcer=bpf",
        ),
        (node("n"), (), "there is no DaemonSet of KubeArmor"),
        (
            node("n"),
            (daemon_set(),),
            "nothing in its taints, labels or architecture forbids one: see the DaemonSet's events",
        ),
        (
            node("n", architecture="s390x"),
            (daemon_set(),),
            "architecture s390x, which KubeArmor is not built for",
        ),
    ],
)
def test_a_node_without_a_daemon_is_named_with_the_reason(
    lonely: Node, sets: tuple[DaemonSet, ...], reason: str
) -> None:
    cluster = healthy(nodes=(node(), lonely), daemon_sets=sets)
    assert said(cluster, "nodes-without-daemon") == (
        "problem",
        f"1 of 2 nodes without a daemon: n: {reason}",
    )


@pytest.mark.parametrize(
    ("foreign", "reason"),
    [
        (node("n", operating_system="windows"), "Windows, which KubeArmor does not run on"),
        (node("n", type="virtual-kubelet"), "a virtual node, which no daemon can run on"),
    ],
)
def test_a_node_that_no_daemon_can_serve_is_a_warning(foreign: Node, reason: str) -> None:
    assert said(healthy(nodes=(node(), foreign)), "nodes-without-daemon") == (
        "warning",
        f"1 of 2 nodes without a daemon: n: {reason}",
    )


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="dedicated", operator="Exists"), True),
        (Toleration(key="dedicated", value="gpu"), True),
        (Toleration(key="dedicated", value="gpu", effect="NoSchedule"), True),
        (Toleration(key="dedicated", value="cpu"), False),
        (Toleration(key="dedicated", value="gpu", effect="NoExecute"), False),
        (Toleration(key="other", operator="Exists"), False),
    ],
)
def test_tolerations_are_read_as_kubernetes_reads_them(
    toleration: Toleration,
    tolerated: bool,  # noqa: FBT001
) -> None:
    sets = (daemon_set(tolerations=(toleration,)),)
    cluster = healthy(nodes=(node(), node("n", taints=(TAINT,))), daemon_sets=sets)
    said_so = "taint not tolerated" in found(cluster, "nodes-without-daemon").found
    assert said_so is not tolerated


@pytest.mark.parametrize(
    "harmless",
    [
        Taint(key="dedicated", effect="PreferNoSchedule"),
        Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"),
    ],
)
def test_taints_that_no_daemon_set_minds_are_no_reason(harmless: Taint) -> None:
    cluster = healthy(nodes=(node(), node("n", taints=(harmless,))), daemon_sets=(daemon_set(),))
    assert "taint not tolerated" not in found(cluster, "nodes-without-daemon").found


def test_one_daemon_set_that_may_come_is_enough_to_have_no_reason() -> None:
    sets = (daemon_set(selector={"a": "b"}), daemon_set())
    cluster = healthy(nodes=(node(), node("n")), daemon_sets=sets)
    assert "nothing in its taints" in found(cluster, "nodes-without-daemon").found


def test_a_daemon_that_does_not_protect_is_named_with_its_cause() -> None:
    cluster = healthy(causes={"node-1": "daemon-down", "node-9": "daemon-absent"})
    assert said(cluster, "daemons") == ("problem", "1 of 1 do not protect: node-1: daemon-down")


@pytest.mark.parametrize(
    ("enforcer", "reason", "expected"),
    [
        ("BPFLSM", "", ("ok", "BPFLSM on node-1")),
        ("AppArmor", "", ("ok", "AppArmor on node-1")),
        ("SELinux", "", ("problem", "SELinux on node-1")),
        ("", "no LSM", ("problem", "none on node-1 (no LSM)")),
        (None, "", ("unknown", "not known on node-1")),
    ],
)
def test_a_node_needs_an_enforcer(
    enforcer: str | None, reason: str, expected: tuple[str, str]
) -> None:
    one = daemon(enforcer=enforcer, enforcer_reason=reason)
    assert said(healthy(daemons=(one,)), "enforcers") == expected


@pytest.mark.parametrize(
    ("label", "enforcer", "state"),
    [
        ("bpf", "BPFLSM", "ok"),
        ("apparmor", "AppArmor", "ok"),
        ("none", "", "ok"),
        ("bpf", "AppArmor", "problem"),
        ("apparmor", "BPFLSM", "warning"),
        ("bpf", "", "warning"),
    ],
)
def test_the_enforcer_is_held_against_the_nodes_label(
    label: str, enforcer: str, state: str
) -> None:
    labels: dict[str, Any] = {"kubearmor.io/enforcer": label}
    labelled = node(**labels)
    cluster = healthy(nodes=(labelled,), daemons=(daemon(enforcer=enforcer),))
    assert found(cluster, "enforcer-labels").state == state


@pytest.mark.parametrize(
    ("source", "state"),
    [
        ("started", "ok"),
        ("reconnecting", "ok"),
        ("lost", "problem"),
        ("dead", "problem"),
        (None, "unknown"),
    ],
)
def test_a_daemon_must_hear_of_containers(source: str | None, state: str) -> None:
    cluster = healthy(daemons=(daemon(container_source=source),))
    assert found(cluster, "container-sources").state == state


def test_a_watch_that_was_given_up_is_a_problem() -> None:
    cluster = healthy(daemons=(daemon(dead_watches=("kubearmorclusterpolicies",)),))
    assert said(cluster, "daemon-watches") == (
        "problem",
        "daemons gave up watching: node-1: kubearmorclusterpolicies",
    )


OLD, YOUNG = pod("old", created=NOW - 300), pod("young", created=NOW - 60)
ONE_OLDER = "1 Pod older than the present daemon of the node"
PROFILE = {"container.apparmor.security.beta.kubernetes.io/c": "localhost/kubearmor-shop-a-c"}


@pytest.mark.parametrize(
    ("pods", "enforcer", "expected"),
    [
        ((YOUNG,), "BPFLSM", ("ok", "0 Pods older than the present daemon of the node")),
        (
            (OLD, YOUNG),
            "BPFLSM",
            ("ok", f"{ONE_OLDER}: shop/old"),
        ),
        (
            (OLD, YOUNG),
            "AppArmor",
            (
                "problem",
                f"{ONE_OLDER}; 1 on AppArmor nodes without KubeArmor's profile: shop/old",
            ),
        ),
        (
            (pod("old", created=NOW - 300, annotations=PROFILE),),
            "AppArmor",
            ("ok", f"{ONE_OLDER}: shop/old"),
        ),
    ],
)
def test_the_order_of_deployment_matters_under_apparmor(
    pods: tuple[Pod, ...], enforcer: str, expected: tuple[str, str]
) -> None:
    cluster = healthy(pods=pods, daemons=(daemon(enforcer=enforcer),))
    assert said(cluster, "deployment-order") == expected


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("debug", "expected"), [("true", "on at node-1"), ("false", "off: the message feed is silent")]
)
def test_debug_is_told(debug: str, expected: str) -> None:
    cluster = healthy(daemons=(daemon(settings=SETTINGS | {"Debug": debug}),))
    assert found(cluster, "debug").found.startswith(expected)


@pytest.mark.parametrize(
    ("theirs", "ours", "state"),
    [
        ("false", False, "ok"),
        ("true", True, "ok"),
        ("true", False, "warning"),
        ("false", True, "warning"),
        (None, True, "unknown"),
    ],
)
def test_tls_must_be_the_same_on_both_sides(
    theirs: str | None,
    ours: bool,  # noqa: FBT001
    state: str,
) -> None:
    settings = {} if theirs is None else {"TLSEnabled": theirs}
    cluster = healthy(daemons=(daemon(settings=settings),), tls=ours)
    assert found(cluster, "tls").state == state


SOCKET = "/run/k3s/containerd/containerd.sock"


@pytest.mark.parametrize(
    ("label", "settings", "state"),
    [
        ("", {"CRISocket": f"unix://{SOCKET}"}, "ok"),
        ("", {"CRISocket": "unix:///run/containerd/containerd.sock"}, "problem"),
        ("run_containerd_containerd.sock", {"CRISocket": ""}, "problem"),
        ("run_containerd_containerd.sock", {"NRISocket": "/var/run/nri/nri.sock"}, "warning"),
        ("run_k3s_containerd_containerd.sock", {"CRISocket": ""}, "ok"),
        ("", {"CRISocket": "", "NRISocket": "/var/run/nri/nri.sock"}, "ok"),
        ("", {}, "unknown"),
    ],
)
def test_k3s_has_its_socket_elsewhere(label: str, settings: dict[str, str], state: str) -> None:
    labels: dict[str, Any] = {"kubearmor.io/socket": label} if label else {}
    k3s = node(kubelet_version="v1.34.4+k3s1", **labels)
    cluster = healthy(nodes=(k3s,), daemons=(daemon(settings=settings),))
    assert found(cluster, "k3s-socket").state == state


def test_k3s_is_told_with_its_servers() -> None:
    labels: dict[str, Any] = {"node-role.kubernetes.io/control-plane": "true"}
    server = node(kubelet_version="v1.34.4+k3s1", **labels)
    assert said(healthy(nodes=(server,)), "k3s") == ("ok", "k3s v1.34.4+k3s1 on 1 node, 1 server")


# --- policies -------------------------------------------------------------------------------------

AUDIT: dict[str, Any] = {"action": "Audit", "file": {"matchPaths": [{"path": "/etc/shadow"}]}}
ALLOW: dict[str, Any] = {"action": "Allow", "process": {"matchPaths": [{"path": "/bin/sh"}]}}


def annotated(**annotations: str) -> tuple[Namespace, ...]:
    spelled = {key.replace("_", "-"): value for key, value in annotations.items()}
    return (Namespace(metadata=Metadata(uid="shop", name="shop", annotations=spelled)),)


@pytest.mark.parametrize(
    ("config", "namespaces", "state"),
    [
        ({}, (), "warning"),
        ({"visibility": "process,file"}, (), "ok"),
        ({"visibility": "none"}, annotated(kubearmor_visibility="file"), "ok"),
        ({"visibility": "file"}, annotated(kubearmor_visibility="process"), "warning"),
    ],
)
def test_audit_rules_of_an_invisible_class_are_silent(
    config: dict[str, str], namespaces: tuple[Namespace, ...], state: str
) -> None:
    policies = dict.fromkeys(KINDS, ()) | {
        "kubearmorpolicies": (policy(namespace="shop", **AUDIT),)
    }
    cluster = healthy(config=config, namespaces=namespaces, policies=policies)
    assert found(cluster, "audit-rules").state == state


@pytest.mark.parametrize(
    ("config", "namespaces", "state"),
    [
        ({}, (), "warning"),
        ({"defaultFilePosture": "block"}, (), "ok"),
        ({}, annotated(kubearmor_file_posture="block"), "ok"),
        ({"defaultNetworkPosture": "block"}, (), "warning"),
    ],
)
def test_an_allow_list_under_the_posture_audit_has_no_teeth(
    config: dict[str, str], namespaces: tuple[Namespace, ...], state: str
) -> None:
    policies = dict.fromkeys(KINDS, ()) | {
        "kubearmorpolicies": (policy(namespace="shop", **ALLOW),)
    }
    cluster = healthy(config=config, namespaces=namespaces, policies=policies)
    assert found(cluster, "allow-lists").state == state


def test_defaults_that_nobody_said_leave_it_open_only_where_they_matter() -> None:
    unread = (daemon(settings={}),)
    audited = dict.fromkeys(KINDS, ()) | {"kubearmorclusterpolicies": (policy(**AUDIT),)}
    assert found(healthy(daemons=unread), "audit-rules").state == "ok"
    assert found(healthy(daemons=unread, policies=audited), "audit-rules").state == "unknown"


@pytest.mark.parametrize(
    ("setting", "state"), [("true", "ok"), ("false", "problem"), (None, "unknown")]
)
def test_host_policies_need_a_daemon_that_takes_them(setting: str | None, state: str) -> None:
    policies = {"kubearmorhostpolicies": (policy(),)}
    settings = {} if setting is None else {"HostPolicy": setting}
    cluster = healthy(policies=policies, daemons=(daemon(settings=settings),))
    assert found(cluster, "host-policies").state == state


# --- servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe("list", 0.02), ("ok", "v1.34.4; list 20 ms")),
        (Probe("list", 1.5), ("warning", "v1.34.4; list 1500 ms")),
        (Probe("list", 6.0), ("problem", "v1.34.4; list 6000 ms")),
        (Probe("list", 0.1, "HTTP 500"), ("problem", "v1.34.4; list: HTTP 500")),
    ],
)
def test_the_api_server_must_answer_well_and_soon(probe: Probe, expected: tuple[str, str]) -> None:
    assert said(healthy(api=(probe,)), "api-server") == expected


def test_throttling_is_found_wherever_it_is_said() -> None:
    sources = {"kubernetes/pods": "HTTP 429 TooManyRequests"}
    assert said(healthy(sources=sources), "api-throttling") == (
        "problem",
        "refused for too many requests: kubernetes/pods",
    )


@pytest.mark.parametrize(
    ("access", "sources", "expected"),
    [
        ({"list pods": True}, {}, ("ok", "all 1 rights needed are granted")),
        (
            {"list pods": False, "list nodes": True},
            {},
            ("problem", "the monitor may not: list pods"),
        ),
        (
            {},
            {"kubernetes/nodes": "HTTP 403 Forbidden"},
            ("problem", "the monitor may not: kubernetes/nodes"),
        ),
    ],
)
def test_missing_rights_are_named(
    access: dict[str, bool], sources: dict[str, str], expected: tuple[str, str]
) -> None:
    assert said(healthy(access=access, sources=sources), "permissions") == expected


def test_a_source_that_is_down_is_a_problem() -> None:
    sources = {"kubernetes/pods": "", "text/node-1": "HTTP 403 Forbidden"}
    assert said(healthy(sources=sources), "sources") == (
        "problem",
        "could not be read: text/node-1: HTTP 403 Forbidden",
    )


@pytest.mark.parametrize(
    ("missing", "release", "state"),
    [
        ("kubearmorpolicies", "v1.7.4", "problem"),
        ("kubearmorclusterpolicies", "v1.7.4", "warning"),
        ("kubearmornetworkpolicies", "v1.7.4", "warning"),
        ("kubearmornetworkpolicies", "v1.6.13", "ok"),
    ],
)
def test_a_policy_kind_is_missed_where_the_release_watches_it(
    missing: str, release: str, state: str
) -> None:
    served = frozenset(KINDS) - {missing}
    cluster = healthy(served=served, daemons=(daemon(release=release),))
    assert found(cluster, "policy-kinds").state == state


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("", ("ok", "1 of 1 daemons serve their feeds")),
        ("starting", ("warning", f"{NONE_SERVES}; not yet: node-1")),
        (
            "UNAVAILABLE",
            (
                "unknown",
                f"{NONE_SERVES}; not reachable from here: node-1 (node-1: UNAVAILABLE)",
            ),
        ),
    ],
)
def test_a_port_out_of_reach_is_no_problem(failure: str, expected: tuple[str, str]) -> None:
    cluster = healthy(health=(Probe("node-1", 0.1, failure),))
    assert said(cluster, "health-service") == expected


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (Certificate("ca", NOW + 300 * DAY), ("ok", "the first to end: ca ends in 300 days")),
        (Certificate("ca", NOW + 10 * DAY), ("warning", "ca ends in 10 days")),
        (Certificate("ca", NOW - 2 * DAY), ("problem", "ca ended 2 days ago")),
        (
            Certificate("ca", None, "no such file"),
            ("unknown", "could not be read: ca (no such file)"),
        ),
    ],
)
def test_certificates_are_announced_a_month_before_they_end(
    certificate: Certificate, expected: tuple[str, str]
) -> None:
    assert said(healthy(certificates=(certificate,)), "certificates") == expected


# --- notes ----------------------------------------------------------------------------------------


def line(fact: facts.Fact, *, uid: str, restart: int = 0) -> DaemonLine:
    return DaemonLine(
        node="node-1",
        pod=f"kubearmor/{uid}",
        pod_uid=uid,
        restart=restart,
        container="kubearmor",
        stamp=1,
        fact=fact,
    )


def report() -> Report:
    judged = NodeCoverage(
        node="node-1",
        daemon=None,
        release="v1.7.4",
        enforcer=None,
        clock_offset_seconds=None,
        verdict="gap",
        cause="enforcer-absent",
    )
    return Report(
        at=NOW,
        cluster="c",
        containers=(),
        nodes=(judged,),
        gaps=(),
        incidents=(),
        findings=(),
        sources=(),
    )


def test_the_notes_tell_of_the_youngest_daemon_in_its_present_life() -> None:
    notes = Notes(kubearmor="kubearmor")
    old = daemon_pod("old", created="2026-01-01T00:00:00Z")
    new = daemon_pod("new", created="2026-01-02T00:00:00Z", restart=1)
    for observation in (
        SourceUp("kubernetes/pods"),
        Listed("pods", (new, old)),
        line(facts.EnforcerReported("BPFLSM"), uid="old"),
        line(facts.EnforcerReported("BPFLSM"), uid="new"),
        line(facts.EnforcerReported("", "no LSM"), uid="new", restart=1),
        line(facts.ConfigurationReported((("Debug", "true"),)), uid="new", restart=1),
        line(facts.WatchReported("pods", "dead", "no rights"), uid="new", restart=1),
        SourceDown("text/node-1", "HTTP 403"),
    ):
        notes.observe(observation)
    cluster = notes.cluster(report())
    assert cluster.daemons == (
        DaemonSeen(
            node="node-1",
            pod="kubearmor/new",
            created=1_767_312_000.0,
            release="v1.7.4",
            enforcer="",
            enforcer_reason="no LSM",
            settings={"Debug": "true"},
            dead_watches=("pods",),
        ),
    )
    assert cluster.sources == {"kubernetes/pods": "", "text/node-1": "HTTP 403"}
    assert cluster.causes == {"node-1": "enforcer-absent"}
    assert notes.addresses() == {"node-1": "10.0.0.1"}


def test_the_notes_keep_objects_as_they_are_now() -> None:
    notes = Notes(kubearmor="kubearmor")
    config = ConfigMap(
        metadata=Metadata(uid="c", name="kubearmor-config"), data={"visibility": "file"}
    )
    notes.observe(Listed("configmaps", ()))
    notes.observe(Changed("configmaps", "ADDED", config))
    assert notes.cluster(report()).config == {"visibility": "file"}
    notes.observe(Changed("configmaps", "DELETED", config))
    assert notes.cluster(report()).config is None
    assert notes.cluster(report()).nodes is None


def test_many_names_are_counted() -> None:
    assert some(["d", "c", "b", "a", "a"]) == "a, b, c and 1 more"
    assert (counted(1, "node"), counted(2, "node")) == ("1 node", "2 nodes")
