"""Which namespaces a policy leaves out, by its words or without meaning it (dossier 5.3, 6.2)."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from monitor.core.lint.cluster import Cluster
from monitor.core.lint.remarks import Manifest, Remark, Rewrite, Severity, expected_of, quoted
from monitor.core.meant import Expression, expressions
from monitor.core.selector import Selector


def namespace_expressions(manifest: Manifest) -> list[Expression]:
    if manifest.kind != "KubeArmorClusterPolicy":
        return []
    return [one for one in expressions(manifest.spec) if one.subject == "namespace"]


def unknown_namespaces(manifest: Manifest, cluster: Cluster) -> Iterator[Remark]:
    """Names that no namespace has: an In may name a future one, a NotIn only if it is mistyped."""
    known = cluster.namespaces
    if known is None:
        return
    for one in namespace_expressions(manifest):
        for index, name in enumerate(one.values):
            if name in known or "*" in name:
                continue
            near = get_close_matches(name, known, n=1, cutoff=0.8)
            if not near and one.operator == "NotIn":
                continue
            hint = f" Is `{near[0]}` meant?" if near else ""
            path = (*one.path, "values", index)
            yield Remark(
                code="selector-mistake",
                severity="warning",
                policy=manifest,
                path=path,
                reason=f"There is no namespace `{name}`.{hint}",
                rewrite=Rewrite(path, near[0]) if near else None,
            )


def namespaces_left_out(manifest: Manifest, cluster: Cluster) -> Iterator[Remark]:
    """Which namespaces a policy leaves out, and in which of the others it has no effect."""
    unenforced = cluster.unenforced
    by_default = (
        "" if cluster.untracked is not None else ", unless the configuration says otherwise"
    )
    if manifest.kind == "KubeArmorPolicy" and manifest.namespace in unenforced:
        yield Remark(
            code="namespace-left-out",
            severity="warning",
            policy=manifest,
            path=("metadata", "namespace"),
            reason=f"In `{manifest.namespace}` KubeArmor enforces nothing{by_default}.",
        )
    if manifest.kind != "KubeArmorClusterPolicy":
        return
    selector = expected_of(manifest)
    named = namespace_expressions(manifest)
    path = named[0].path if named else ("spec", "selector")
    sentences = list(_omissions(selector, cluster.namespaces))
    severity: Severity = "note"
    if selector.namespaces is None:
        idle = unenforced - selector.not_namespaces
    else:
        idle = unenforced & selector.namespaces
        severity = "warning" if idle else "note"
    if idle:
        sentences.append(f"It has no effect in {quoted(idle)}{by_default}.")
    if sentences:
        yield Remark(
            code="namespace-left-out",
            severity=severity,
            policy=manifest,
            path=path,
            reason=" ".join(sentences),
        )


def _omissions(selector: Selector, known: Collection[str] | None) -> Iterator[str]:
    if selector.namespaces is None:
        if selector.not_namespaces:
            yield f"The policy leaves out the namespaces {quoted(selector.not_namespaces)}."
        return
    if not selector.namespaces:
        return
    omitted = frozenset(known or ()) - selector.namespaces
    yield (
        f"The policy applies in {quoted(selector.namespaces)} only and leaves out every other "
        "namespace, those that are created later included."
    )
    if omitted:
        yield f"Now these are {quoted(omitted)}."
