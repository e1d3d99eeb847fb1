"""Policies that select nothing of what there is (dossier 5.2-5.5, F18)."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from monitor.core.intent import intent_of
from monitor.core.lint.cluster import Cluster, PodShape, reaches
from monitor.core.lint.namespaces import namespace_expressions
from monitor.core.lint.remarks import (
    Manifest,
    Remark,
    Rewrite,
    Severity,
    expected_of,
    quoted,
)
from monitor.core.meant import EXPRESSIONS_PATH, LABELS_PATH, Path, expressions, mapping, text_of
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.selector import Selector, identities, namespaced


def no_namespaces(manifest: Manifest) -> Iterator[Remark]:
    """A cluster policy whose list of namespaces is empty: its spec alone shows it."""
    if (
        manifest.kind == "KubeArmorClusterPolicy"
        and expected_of(manifest).namespaces == frozenset()
    ):
        yield _idle(
            manifest,
            namespace_expressions(manifest)[0].path,
            "The list of namespaces is empty: the policy applies nowhere.",
            severity="error",
        )


def nothing_selected(manifest: Manifest, cluster: Cluster) -> Iterator[Remark]:
    """A selector that nothing in the cluster meets now."""
    selector = _node_selector(manifest)
    if selector is not None:
        yield from _no_node(manifest, selector, cluster)
    elif manifest.kind == "KubeArmorHostPolicy" or any(no_namespaces(manifest)):
        return
    elif cluster.pods is not None:
        yield from _no_container(manifest, cluster.pods)


def _idle(
    manifest: Manifest,
    path: Path,
    reason: str,
    rewrite: Rewrite | None = None,
    *,
    severity: Severity = "warning",
) -> Remark:
    return Remark(
        code="selects-nothing",
        severity=severity,
        policy=manifest,
        path=path,
        reason=reason,
        rewrite=rewrite,
    )


def _node_selector(manifest: Manifest) -> Selector | None:
    """A selector of nodes, in KubeArmor's meaning; None where nodes are not selected."""
    nodes = mapping(manifest.spec.get("nodeSelector"))
    if manifest.kind in CONTAINER_KINDS or not nodes.get("matchLabels"):
        return None
    return namespaced(namespace="", spec={"selector": nodes})


def _no_node(manifest: Manifest, selector: Selector, cluster: Cluster) -> Iterator[Remark]:
    if not cluster.nodes:
        return
    if not any(
        selector.selects(
            namespace="", identities=identities(namespace="", labels=labels), container=""
        )
        for labels in cluster.nodes.values()
    ):
        path = ("spec", "nodeSelector", "matchLabels")
        yield _idle(manifest, path, "No node of the cluster has these labels.")


def _no_container(manifest: Manifest, pods: Mapping[str, Collection[PodShape]]) -> Iterator[Remark]:
    if manifest.kind == "KubeArmorNetworkPolicy":
        labels = mapping(mapping(manifest.spec.get("selector")).get("matchLabels"))
        selector = Selector(required=frozenset(f"{k}={text_of(v)}" for k, v in labels.items()))
        in_reach = dict(pods)
    else:
        selector = expected_of(manifest)
        in_reach = {name: some for name, some in pods.items() if reaches(selector, name)}
    if not any(
        selector.selects(
            namespace=namespace,
            identities=identities(namespace=namespace, labels=shape.labels),
            container=container,
        )
        for namespace, shapes in in_reach.items()
        for shape in shapes
        for container in shape.containers
    ):
        yield _reason_for_none(manifest, in_reach)


def _reason_for_none(manifest: Manifest, in_reach: Mapping[str, Collection[PodShape]]) -> Remark:
    """Name the first requirement that no Pod meets, and what comes close to it."""
    where = f"namespace `{manifest.namespace}`" if manifest.namespace else "its namespaces"
    shapes = [shape for some in in_reach.values() for shape in some]
    if not shapes:
        reason = f"There is no Pod in {where} now: the policy protects nothing yet."
        return _idle(manifest, ("spec", "selector"), reason, severity="note")
    if _meant_for_some(manifest, in_reach):
        reason = (
            "As it is meant, the selector selects containers that run; as it is written, none. "
            "The mistakes in it are named besides."
        )
        return _idle(manifest, ("spec", "selector"), reason)
    present = {f"{key}={value}" for one in shapes for key, value in one.labels.items()}
    for path, pair in _wanted_pairs(manifest):
        if pair in present or "*" in pair:
            continue
        near = get_close_matches(pair, _akin(pair, present), n=1, cutoff=0.8)
        hint = f" Is `{near[0]}` meant?" if near else ""
        reason = f"No Pod in {where} has the label `{pair}`: the policy selects nothing.{hint}"
        return _idle(manifest, path, reason, _respelled(path, near[0] if near else ""))
    containers = {name for one in shapes for name in one.containers}
    reason = (
        f"No container in {where} meets the whole selector: the policy selects nothing. The "
        f"containers there are {quoted(containers)}."
    )
    return _idle(manifest, ("spec", "selector"), reason)


def _meant_for_some(manifest: Manifest, in_reach: Mapping[str, Collection[PodShape]]) -> bool:
    intent = intent_of(kind=manifest.kind, namespace=manifest.namespace, spec=manifest.spec)
    return any(
        intent.selects(namespace=namespace, labels=shape.labels, container=container)
        for namespace, shapes in in_reach.items()
        for shape in shapes
        for container in shape.containers
    )


def _wanted_pairs(manifest: Manifest) -> Iterator[tuple[Path, str]]:
    labels = mapping(mapping(manifest.spec.get("selector")).get("matchLabels"))
    if manifest.kind != "KubeArmorClusterPolicy":
        for key, value in labels.items():
            if not text_of(key).startswith(("kubearmor.io/", "kubernetes.io/hostname")):
                yield (*LABELS_PATH, key), f"{key}={text_of(value)}"
    for one in expressions(manifest.spec) if manifest.kind in CONTAINER_KINDS else ():
        if one.subject == "label" and one.operator == "In" and len(one.values) == 1:
            yield (*one.path, "values", 0), one.values[0]


def _akin(pair: str, present: Collection[str]) -> list[str]:
    """The labels that share the key or the value: one of the two is mistyped, not both."""
    key, _, value = pair.partition("=")
    return sorted(one for one in present if one.startswith(f"{key}=") or one.endswith(f"={value}"))


def _respelled(path: Path, pair: str) -> Rewrite | None:
    if not pair:
        return None
    if path[: len(EXPRESSIONS_PATH)] == EXPRESSIONS_PATH:
        return Rewrite(path, pair)
    key, _, value = pair.partition("=")
    return Rewrite(path, value) if key == path[-1] else None
