"""Nodes and their daemons: whether there is one, works, and enforces with what it should."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from monitor.core.causes import CAUSES
from monitor.core.containers import APPARMOR_ANNOTATION
from monitor.core.diagnosis.findings import Check, Cluster, DaemonSeen, counted, some
from monitor.core.instants import second_of
from monitor.core.kubernetes import DaemonPlacement, Node, Pod, Taint, Toleration
from monitor.core.nodes import ENFORCER_LABEL

LABELLED: Final = {"bpf": "BPFLSM", "apparmor": "AppArmor", "selinux": "SELinux", "none": ""}
TOLERATED_BY_ALL: Final = "node.kubernetes.io/"
REPELLING: Final = ("NoSchedule", "NoExecute")
BUILT_FOR: Final = ("", "amd64", "arm64")
WINDOWS: Final = "Windows, which KubeArmor does not run on"
VIRTUAL: Final = "a virtual node, which no daemon can run on"
SYSTEM: Final = "kube-system"


def _nodes_without_daemon(cluster: Cluster) -> Iterator[Check]:
    code = "nodes-without-daemon"
    if cluster.nodes is None or cluster.pods is None:
        yield Check(code, "unknown", "nodes or Pods could not be read", "See the permissions.")
        return
    served = {daemon.node for daemon in cluster.daemons}
    missing = {
        node.metadata.name: reason
        for node in cluster.nodes
        if node.metadata.name not in served and (reason := _absence(node, cluster))
    }
    if not missing:
        yield Check(code, "ok", f"{counted(len(cluster.nodes), 'node')}, each with a daemon")
        return
    reasons = "; ".join(f"{name}: {missing[name]}" for name in sorted(missing)[:3])
    rest = f"; and {len(missing) - 3} more" if len(missing) > 3 else ""
    out_of_reach = {WINDOWS, VIRTUAL}.issuperset(missing.values())
    yield Check(
        code,
        "warning" if out_of_reach else "problem",
        f"{len(missing)} of {counted(len(cluster.nodes), 'node')} without a daemon: "
        f"{reasons}{rest}",
        "Add the tolerations to the KubeArmorConfig (or the DaemonSet), run the snitch job again "
        "where labels are missing; keep protected workloads off nodes that KubeArmor cannot serve.",
    )


def _absence(node: Node, cluster: Cluster) -> str:
    """Say why there can be no daemon, as far as the node and the DaemonSets show it."""
    labels = node.metadata.labels or {}
    system = node.status.node_info
    if labels.get("kubernetes.io/os") == "windows" or (
        system is not None and system.operating_system == "windows"
    ):
        return WINDOWS
    if labels.get("type") == "virtual-kubelet":
        return VIRTUAL
    if system is not None and system.architecture not in BUILT_FOR:
        return f"architecture {system.architecture}, which KubeArmor is not built for"
    placements = [
        daemon_set.spec.template.spec
        for daemon_set in cluster.daemon_sets or ()
        if daemon_set.metadata.name.startswith("kubearmor")
    ]
    reasons = [_refusal(node, placement) for placement in placements or [DaemonPlacement()]]
    if all(reasons):
        return min(reasons, key=len)
    if cluster.daemon_sets is not None and not placements:
        return "there is no DaemonSet of KubeArmor"
    return "nothing in its taints, labels or architecture forbids one: see the DaemonSet's events"


def _refusal(node: Node, placement: DaemonPlacement) -> str:
    """Say why a DaemonSet's Pods do not come to the node; empty if they may."""
    labels = node.metadata.labels or {}
    taints = [taint for taint in node.spec.taints or () if _repels(taint, placement.tolerations)]
    wanted = [
        f"{key}={value}"
        for key, value in sorted((placement.node_selector or {}).items())
        if labels.get(key) != value
    ]
    parts = []
    if taints:
        named = ", ".join(
            f"{taint.key}={taint.value}:{taint.effect}".replace("=:", ":") for taint in taints
        )
        parts.append(f"taint not tolerated: {named}")
    if wanted:
        parts.append(f"label missing: {', '.join(wanted)}")
    return ", ".join(parts)


def _repels(taint: Taint, tolerations: Iterable[Toleration] | None) -> bool:
    if taint.effect not in REPELLING or taint.key.startswith(TOLERATED_BY_ALL):
        return False
    return not any(_tolerates(toleration, taint) for toleration in tolerations or ())


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return (toleration.key, toleration.value) == (taint.key, taint.value)


def _daemons(cluster: Cluster) -> Iterator[Check]:
    if not cluster.daemons:
        return
    served = {daemon.node for daemon in cluster.daemons}
    failing = {node: cause for node, cause in cluster.causes.items() if node in served}
    if not failing:
        yield Check("daemons", "ok", f"{counted(len(cluster.daemons), 'daemon')} at work")
        return
    found = ", ".join(f"{node}: {failing[node]}" for node in sorted(failing)[:3])
    known = [CAUSES[cause].remedy for cause in sorted(set(failing.values())) if cause in CAUSES]
    yield Check(
        "daemons",
        "problem",
        f"{len(failing)} of {len(served)} do not protect: {found}",
        known[0] if known else "Let `check` say more.",
    )


def _enforcers(cluster: Cluster) -> Iterator[Check]:
    if not cluster.daemons:
        return
    nodes: defaultdict[str, list[str]] = defaultdict(list)
    for daemon in cluster.daemons:
        nodes["not known" if daemon.enforcer is None else daemon.enforcer or "none"].append(
            daemon.node
        )
    found = "; ".join(f"{name} on {some(on)}" for name, on in sorted(nodes.items()))
    if without := [one for one in cluster.daemons if one.enforcer in ("", "SELinux")]:
        reasons = some(one.enforcer_reason for one in without if one.enforcer_reason)
        yield Check(
            "enforcers",
            "problem",
            f"{found}{f' ({reasons})' if reasons else ''}",
            "Boot these nodes with bpf among the kernel's LSMs (lsm=…,bpf) on a kernel with BTF, "
            "or with AppArmor: without an enforcer KubeArmor only observes.",
        )
    elif "not known" in nodes:
        yield Check(
            "enforcers",
            "unknown",
            found,
            "Let the monitor read the daemon's output from its start: restart the daemon, or see "
            "the permissions.",
        )
    else:
        yield Check("enforcers", "ok", found)


def _enforcer_labels(cluster: Cluster) -> Iterator[Check]:
    labels = {
        node.metadata.name: (node.metadata.labels or {}).get(ENFORCER_LABEL)
        for node in cluster.nodes or ()
    }
    known = {
        daemon.node: daemon.enforcer for daemon in cluster.daemons if daemon.enforcer is not None
    }
    compared = [node for node in known if labels.get(node) is not None]
    wrong = [node for node in compared if LABELLED.get(labels[node] or "") != known[node]]
    if not compared:
        return
    if not wrong:
        found = f"the label {ENFORCER_LABEL} is right on {counted(len(compared), 'node')}"
        yield Check("enforcer-labels", "ok", found)
        return
    harmful = any(known[node] == "AppArmor" for node in wrong)
    found = "; ".join(
        f"{node}: label {labels[node]}, daemon {known[node] or 'none'}"
        for node in sorted(wrong)[:3]
    )
    yield Check(
        "enforcer-labels",
        "problem" if harmful else "warning",
        found,
        f"Correct the label {ENFORCER_LABEL} (run the snitch job again), then recreate the Pods: "
        "the webhook annotates Pods for AppArmor by the label, and without that nothing is "
        "enforced there.",
    )


def _container_sources(cluster: Cluster) -> Iterator[Check]:
    if not cluster.daemons:
        return
    dead = [one for one in cluster.daemons if one.container_source in ("dead", "lost")]
    unread = [one.node for one in cluster.daemons if one.container_source is None]
    if dead:
        yield Check(
            "container-sources",
            "problem",
            f"the daemon does not hear of new containers on {some(one.node for one in dead)}",
            "Restart these daemons (seconds without protection on their nodes); from v1.6.16 on "
            "they reconnect, if the runtime's socket folder, not its file, is mounted.",
        )
    elif unread:
        yield Check(
            "container-sources",
            "unknown",
            f"not seen whether the daemon hears of containers on {some(unread)}",
            "See in the daemon's output for `Started to monitor … events`.",
        )
    else:
        yield Check("container-sources", "ok", "every daemon hears of new containers")


def _watches(cluster: Cluster) -> Iterator[Check]:
    dead = {
        daemon.node: ", ".join(daemon.dead_watches)
        for daemon in cluster.daemons
        if daemon.dead_watches
    }
    if dead:
        found = "; ".join(f"{node}: {dead[node]}" for node in sorted(dead)[:3])
        yield Check(
            "daemon-watches",
            "problem",
            f"daemons gave up watching: {found}",
            "Install the missing kinds or give the daemon its rights, then restart it.",
        )


def _order(cluster: Cluster) -> Iterator[Check]:
    """Workloads older than their node's daemon: under AppArmor they stay without a profile."""
    if cluster.pods is None or not cluster.daemons:
        return
    daemons = {daemon.node: daemon for daemon in cluster.daemons}
    older = [
        pod
        for pod in cluster.pods
        if pod.metadata.namespace not in (cluster.kubearmor, SYSTEM)
        and pod.status.phase == "Running"
        and (daemon := daemons.get(pod.spec.node_name)) is not None
        and (created := second_of(pod.metadata.creation_timestamp)) is not None
        and created[1] <= daemon.created
    ]
    found = f"{counted(len(older), 'Pod')} older than the present daemon of the node"
    examples = f": {some(map(_name, older))}" if older else ""
    bare = [pod for pod in older if _lacks_profile(pod, daemons[pod.spec.node_name])]
    if bare:
        yield Check(
            "deployment-order",
            "problem",
            f"{found}; {len(bare)} on AppArmor nodes without KubeArmor's profile: "
            f"{some(map(_name, bare))}",
            "Restart these workloads: the annotation is only given when a Pod is created. "
            "Deploy KubeArmor before workloads.",
        )
    else:
        yield Check(
            "deployment-order",
            "ok",
            f"{found}{examples}",
            "Nothing with BPF-LSM: a daemon protects older Pods too, from its start on."
            if older
            else "",
        )


def _lacks_profile(pod: Pod, daemon: DaemonSeen) -> bool:
    annotations = pod.metadata.annotations or {}
    return daemon.enforcer == "AppArmor" and not any(
        key.startswith(APPARMOR_ANNOTATION) and value.startswith("localhost/kubearmor-")
        for key, value in annotations.items()
    )


def _name(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


CHECKS = (
    _nodes_without_daemon,
    _daemons,
    _enforcers,
    _enforcer_labels,
    _container_sources,
    _watches,
    _order,
)
