"""How the daemons are set up: debug, TLS, and what k3s has elsewhere than other clusters."""

from collections.abc import Iterator
from typing import Final

from monitor.core.diagnosis.findings import Check, Cluster, State, counted, some
from monitor.core.kubernetes import Node

K3S: Final = "+k3s"
K3S_SOCKET: Final = "/run/k3s/containerd/containerd.sock"
SOCKET_LABEL: Final = "kubearmor.io/socket"
NRI_SOCKET: Final = "/var/run/nri/nri.sock"
CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"


def _debug(cluster: Cluster) -> Iterator[Check]:
    if not cluster.daemons:
        return
    on, unread = _where(cluster, "Debug")
    if on:
        yield Check(
            "debug",
            "ok",
            f"on at {some(on)}: the message feed repeats the daemons' output",
            "Switch it off unless it is wanted: it costs the daemons time.",
        )
    elif unread:
        yield Check("debug", "unknown", f"the configuration of {some(unread)} was not read")
    else:
        yield Check(
            "debug",
            "ok",
            "off: the message feed is silent, the monitor reads the output through pods/log",
        )


def _tls(cluster: Cluster) -> Iterator[Check]:
    if not cluster.daemons:
        return
    on, unread = _where(cluster, "TLSEnabled")
    ours = "on" if cluster.tls else "off"
    if unread and len(unread) == len(cluster.daemons):
        yield Check("tls", "unknown", f"{ours} in the monitor; the daemons' setting was not read")
        return
    off = len(cluster.daemons) - len(unread) - len(on)
    if (off and cluster.tls) or (on and not cluster.tls):
        theirs = f"on at {some(on)}" if on else "off"
        yield Check(
            "tls",
            "warning",
            f"{ours} in the monitor, {theirs} in the daemons",
            "Set kubearmor.tls as KubeArmor is set: the feeds cannot be read otherwise.",
        )
    elif on:
        yield Check("tls", "ok", "on in the monitor and the daemons")
    else:
        yield Check(
            "tls",
            "ok",
            "off: whoever reaches a node's port 32767 can read the alerts",
            "Switch it on where the nodes' network is shared with others.",
        )


def _where(cluster: Cluster, key: str) -> tuple[list[str], list[str]]:
    """Return the nodes whose daemon has a setting on, and those where it was not read."""
    on = [one.node for one in cluster.daemons if one.settings.get(key) == "true"]
    return on, [one.node for one in cluster.daemons if key not in one.settings]


def _k3s(cluster: Cluster) -> Iterator[Check]:
    nodes = [node for node in cluster.nodes or () if _is_k3s(node)]
    if not nodes:
        return
    servers = [node for node in nodes if CONTROL_PLANE in (node.metadata.labels or {})]
    versions = some(
        node.status.node_info.kubelet_version for node in nodes if node.status.node_info
    )
    where = f"{counted(len(servers), 'server')}" if servers else "no node labelled as a server"
    yield Check(
        "k3s",
        "ok",
        f"k3s {versions} on {counted(len(nodes), 'node')}, {where}",
        "The API server is part of the k3s process: a restart of k3s on a server is an outage of "
        "the API, during which daemons learn of no policy and no Pod. Look at its latency under "
        "load, and run more than one server where that matters.",
    )
    yield from _k3s_sockets(cluster, nodes)


def _k3s_sockets(cluster: Cluster, nodes: list[Node]) -> Iterator[Check]:
    """Hold the sockets used against k3s's own; NRI, where it is there, is preferred to them."""
    daemons = {daemon.node: daemon.settings for daemon in cluster.daemons}
    wrong, nri, unread = [], [], []
    state: State = "warning"
    for node in nodes:
        name = node.metadata.name
        settings = daemons.get(name, {})
        label = (node.metadata.labels or {}).get(SOCKET_LABEL, "")
        socket = settings.get("CRISocket", "").removeprefix("unix://")
        if socket and socket != K3S_SOCKET:
            wrong.append(f"{name}: the daemon uses {socket}")
            state = "problem"
        elif not socket and label and "k3s" not in label:
            wrong.append(f"{name}: label {SOCKET_LABEL}={label}")
            state = state if settings.get("NRISocket") else "problem"
        elif settings.get("NRISocket") and not socket:
            nri.append(name)
        elif name in daemons and not settings:
            unread.append(name)
    if wrong:
        remedy = f"Point KubeArmor at {K3S_SOCKET} (run the snitch job again, or set -criSocket)."
        yield Check("k3s-socket", state, "; ".join(sorted(wrong)[:3]), remedy)
    elif unread:
        found = f"not seen which socket the daemon uses on {some(unread)}"
        remedy = f"See that it is {K3S_SOCKET}, or NRI at {NRI_SOCKET}."
        yield Check("k3s-socket", "unknown", found, remedy)
    elif nri:
        remedy = f"NRI must be enabled in k3s's containerd and {NRI_SOCKET} must be mounted."
        yield Check("k3s-socket", "ok", f"NRI on {some(nri)}", remedy)
    else:
        yield Check("k3s-socket", "ok", f"no daemon uses another socket than {K3S_SOCKET}")


def _is_k3s(node: Node) -> bool:
    system = node.status.node_info
    return system is not None and K3S in system.kubelet_version


CHECKS = (_debug, _tls, _k3s)
