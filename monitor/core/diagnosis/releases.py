"""The releases that run, and what is known to be wrong with each (dossier 5, 6, 7, 10.5, 12).

Defects are known of v1.4.0 and later. Those that every release has are left out: a warning that
never goes away warns of nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from msgspec import Struct

from monitor.core.diagnosis.findings import Check, Cluster, State, counted, some
from monitor.core.nodes import DAEMON_LABEL
from monitor.core.semantics import parse

Version: TypeAlias = tuple[int, int, int]


class Defect(Struct, frozen=True, gc=False):
    """What is wrong from release `since` on and before release `before` ("" is open).

    `concerns` says whether a cluster has what the defect needs to do harm; `better` is the release
    to go to where the first without this defect has a worse one.
    """

    code: str
    since: str
    before: str
    state: State
    what: str
    meanwhile: str
    concerns: Callable[[Cluster], bool] = lambda _: True
    better: str = ""

    def afflicts(self, release: str) -> bool:
        """Whether a release, or a pre-release of one, has it."""
        version = parse(release)
        since, before = parse(self.since), parse(self.before)
        if version is None:
            return False
        return (since is None or version >= since) and (before is None or version < before)

    @property
    def remedy(self) -> str:
        """What to do: upgrade where a release is without it, and what helps until then."""
        if not self.before:
            return f"No release is without it. {self.meanwhile}"
        release = self.better or self.before
        return f"Upgrade KubeArmor to {release} or later. Until then: {self.meanwhile}"


def _has_cluster_policies(cluster: Cluster) -> bool:
    return bool(cluster.policies.get("kubearmorclusterpolicies", True))


def _has_host_policies(cluster: Cluster) -> bool:
    return bool(cluster.policies.get("kubearmorhostpolicies", True))


def _uses_apparmor(cluster: Cluster) -> bool:
    return any(daemon.enforcer == "AppArmor" for daemon in cluster.daemons)


def _uses_apparmor_elsewhere(cluster: Cluster) -> bool:
    return cluster.kubearmor != "kubearmor" and _uses_apparmor(cluster)


DEFECTS: Final = (
    Defect(
        code="namespace-newer-than-policy",
        since="v1.5.7",
        before="v1.6.0",
        state="problem",
        what="a cluster policy misses every Pod of a namespace created after it "
        "(upstream issue 2099)",
        meanwhile="touch the policy (annotate it) after a namespace is created.",
        concerns=_has_cluster_policies,
    ),
    Defect(
        code="policy-leaks-to-all-pods",
        since="v1.4.0",
        before="v1.4.1",
        state="problem",
        what="a namespaced policy is applied to every new Pod of every namespace",
        meanwhile="restart the daemons after Pods were created where a policy must not apply.",
    ),
    Defect(
        code="cluster-policy-over-match",
        since="v1.4.0",
        before="v1.5.7",
        state="problem",
        what="once a namespace is newer than a cluster policy, the policy matches every new Pod, "
        "excluded namespaces too",
        meanwhile="name the namespaces with operator In; v1.5.7 misses new ones instead.",
        concerns=_has_cluster_policies,
        better="v1.6.0",
    ),
    Defect(
        code="index-panic",
        since="v1.4.6",
        before="v1.6.9",
        state="problem",
        what="the daemon can crash, or write to the wrong container, when a Pod is deleted while a "
        "policy is handled",
        meanwhile="watch the daemons' restart counts; a crash leaves its node unprotected.",
    ),
    Defect(
        code="client-disconnect-panic",
        since="v1.4.0",
        before="v1.7.4",
        state="problem",
        what="a reader of the daemon's feeds that disconnects at the wrong moment can crash it",
        meanwhile="read the feeds through the relay only (kubearmor.daemons off).",
    ),
    Defect(
        code="no-runtime-reconnect",
        since="v1.4.0",
        before="v1.6.16",
        state="problem",
        what="after a restart of the container runtime the daemon sees no new container any more",
        meanwhile="restart a node's daemon after its runtime was restarted.",
    ),
    Defect(
        code="stale-container-id",
        since="v1.4.0",
        before="v1.6.13",
        state="problem",
        what="after a container's restart, later policy changes do not reach it",
        meanwhile="recreate Pods whose containers were restarted, then change policies.",
    ),
    Defect(
        code="namespace-ids-reused",
        since="v1.4.0",
        before="v1.7.4",
        state="warning",
        what="exits reported by containerd are misread, so a new container can get the rules of "
        "one that is gone",
        meanwhile="nothing shows it but two containers with the same namespace ids.",
    ),
    Defect(
        code="api-rate-limit",
        since="v1.4.0",
        before="v1.6.16",
        state="warning",
        what="5 requests a second to the API server: little more than one Pod start a second is "
        "handled on a node",
        meanwhile="few cluster policies without namespace In, and no bursts of Pods on one node.",
    ),
    Defect(
        code="raw-pod-watch",
        since="v1.4.0",
        before="v1.6.0",
        state="warning",
        what="Pods deleted while the daemon's watch reconnects stay in its list",
        meanwhile="restart the daemons after an outage of the API server.",
    ),
    Defect(
        code="missing-kinds-hang",
        since="v1.4.0",
        before="v1.7.3",
        state="warning",
        what="a daemon that starts before the policy kinds exist waits for them for ever, and "
        "changes of host policies can be lost",
        meanwhile="install the CustomResourceDefinitions before the daemons.",
    ),
    Defect(
        code="untracked-map-ignored",
        since="v1.4.0",
        before="v1.6.7",
        state="warning",
        what="untrackedNs of the ConfigMap kubearmor-config is not read",
        meanwhile="set untracked namespaces in the daemons' own configuration.",
    ),
    Defect(
        code="untracked-enforced",
        since="v1.4.0",
        before="v1.4.2",
        state="warning",
        what="policies are enforced in untracked namespaces too",
        meanwhile="leave those namespaces out of the policies' selectors.",
    ),
    Defect(
        code="controller-namespace",
        since="v1.4.0",
        before="v1.6.5",
        state="problem",
        what="the controller looks for daemons in the namespace kubearmor only, so Pods on "
        "AppArmor nodes are never annotated",
        meanwhile="install KubeArmor into the namespace kubearmor.",
        concerns=_uses_apparmor_elsewhere,
    ),
    Defect(
        code="webhook-mixed-clusters",
        since="v1.4.0",
        before="v1.5.3",
        state="problem",
        what="Pods are annotated for AppArmor only where every node has AppArmor",
        meanwhile="annotate the workloads of AppArmor nodes yourself.",
        concerns=_uses_apparmor,
    ),
    Defect(
        code="host-alerts-lost",
        since="v1.7.4",
        before="",
        state="warning",
        what="alerts of host policies vanish with the next event of any Pod; they stay in force",
        meanwhile="do not take missing alerts for missing enforcement.",
        concerns=_has_host_policies,
    ),
)


def _releases(cluster: Cluster) -> Iterator[Check]:
    nodes = _nodes_by_release(cluster)
    if not nodes:
        yield _no_daemon(cluster)
        return
    unnamed = nodes.pop("", [])
    found = "; ".join(f"{name} on {counted(len(on), 'node')}" for name, on in sorted(nodes.items()))
    if unnamed:
        found = "; ".join(filter(None, (found, f"not known on {some(unnamed)}")))
        yield Check(
            "releases",
            "unknown",
            found,
            "Give the daemon's image a version tag, or let the monitor read the daemon's output.",
        )
    elif len(nodes) > 1:
        yield Check(
            "releases",
            "warning",
            f"mixed: {found}",
            "Bring all nodes to one release: the same policies mean different things to them.",
        )
    else:
        yield Check("releases", "ok", found)


def _no_daemon(cluster: Cluster) -> Check:
    label, value = DAEMON_LABEL
    elsewhere = {
        pod.metadata.namespace
        for pod in cluster.pods or ()
        if (pod.metadata.labels or {}).get(label) == value
    }
    if elsewhere:
        return Check(
            "releases",
            "problem",
            f"no daemon in the namespace {cluster.kubearmor}, but in {some(elsewhere)}",
            "Set kubearmor.namespace (and kubearmor.relay) in the monitor's configuration.",
        )
    state: State = "unknown" if cluster.pods is None else "problem"
    return Check("releases", state, "no daemon was seen", "Install KubeArmor.")


def _defects(cluster: Cluster) -> Iterator[Check]:
    nodes = _nodes_by_release(cluster)
    for defect in DEFECTS:
        afflicted = {name: on for name, on in nodes.items() if defect.afflicts(name)}
        if not afflicted or not defect.concerns(cluster):
            continue
        on = some(node for names in afflicted.values() for node in names)
        yield Check(
            f"defect/{defect.code}",
            defect.state,
            f"{', '.join(sorted(afflicted))} ({on}): {defect.what}",
            defect.remedy,
        )


def _nodes_by_release(cluster: Cluster) -> dict[str, list[str]]:
    nodes: defaultdict[str, list[str]] = defaultdict(list)
    for daemon in cluster.daemons:
        nodes[daemon.release or ""].append(daemon.node)
    return dict(nodes)


CHECKS = (_releases, _defects)
