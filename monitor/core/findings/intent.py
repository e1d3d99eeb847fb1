"""Policies that do not do what their manifests seem to say, in the cluster as it is."""

from collections.abc import Iterator
from typing import Final

from monitor.core.causes import FINDINGS
from monitor.core.containers import exempt, unsupported
from monitor.core.findings.found import Found, title
from monitor.core.lint import remarks_among, remarks_in, remarks_on
from monitor.core.lint.cluster import Cluster, PodShape, reaches
from monitor.core.lint.remarks import Manifest, Remark
from monitor.core.policies import PolicyState
from monitor.core.world import World

INTENT: Final = frozenset(code for code, kind in FINDINGS.items() if kind.kind == "intent")
LEFT_OUT: Final = "namespace-left-out"


class Intents:
    """Reads policies; what depends on a policy alone is read once for each revision."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, int], tuple[Remark, ...]] = {}

    def findings(self, world: World) -> Iterator[Found]:
        """What the manifests show, by policy and code."""
        policies = {policy.key: policy for policy in world.policies.values()}
        manifests = {key: _manifest(policy) for key, policy in policies.items()}
        cluster, protectable = _cluster(world), _protectable(world)
        read = self._read
        self._read = {}
        remarks: list[Remark] = [*remarks_among(manifests.values())]
        for key, policy in policies.items():
            revision = (policy.uid, policy.generation)
            self._read[revision] = read.get(revision) or remarks_on(manifests[key])
            remarks += self._read[revision]
            remarks += remarks_in(manifests[key], cluster)
        grouped: dict[tuple[str, tuple[str, str, str]], list[str]] = {}
        for remark in remarks:
            if remark.code in INTENT and _matters(remark, world, protectable=protectable):
                reasons = grouped.setdefault((remark.code, remark.policy.key), [])
                if remark.reason not in reasons:
                    reasons.append(remark.reason)
        for (code, key), reasons in grouped.items():
            policy = policies[key]
            yield Found(
                code=code,
                subject=title(policy),
                since=policy.changed,
                detail=" ".join(reasons),
            )


def _manifest(policy: PolicyState) -> Manifest:
    return Manifest(
        kind=policy.kind, namespace=policy.namespace, name=policy.name, spec=policy.spec
    )


def _matters(remark: Remark, world: World, *, protectable: frozenset[str]) -> bool:
    """Notes do not, unless a cluster policy leaves out Pods that could be protected."""
    if remark.severity != "note":
        return True
    if remark.code != LEFT_OUT:
        return False
    selector = world.policies[remark.policy.key].selector
    return any(not reaches(selector, namespace) for namespace in protectable)


def _protectable(world: World) -> frozenset[str]:
    """The namespaces in which a container runs on which KubeArmor would enforce."""
    found: set[str] = set()
    for node in world.nodes.values():
        untracked = world.untracked(node, node.current())
        for container in node.containers.values():
            pod = container.pod
            if pod.namespace in found or unsupported(pod, container.kind) is not None:
                continue
            if exempt(pod, untracked=untracked) is None:
                found.add(pod.namespace)
    return frozenset(found)


def _cluster(world: World) -> Cluster:
    shapes: dict[str, dict[tuple[str, tuple[str, ...]], PodShape]] = {}
    for pod in world.pods.values():
        names = tuple(sorted(container.name for container in pod.containers))
        if names:
            known = shapes.setdefault(pod.namespace, {})
            known.setdefault((pod.labels.id, names), PodShape(pod.labels.labels, names))
    return Cluster(
        namespaces={name: world.settings.get(name, {}) for name in world.namespaces},
        pods={namespace: tuple(known.values()) for namespace, known in shapes.items()},
        nodes={
            node.name: node.node.metadata.labels or {}
            for node in world.nodes.values()
            if node.node is not None
        },
        settings=world.config,
        releases=frozenset(
            release
            for node in world.nodes.values()
            if (release := node.release(node.current())) is not None
        ),
    )
