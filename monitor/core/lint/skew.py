"""Fields that a release in use does not know (dossier 10.5, 12.12, F21)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from monitor.core.lint.remarks import Manifest, Remark, Severity, quoted
from monitor.core.meant import Path, expressions, mapping
from monitor.core.semantics import parse


class _Field(Struct, frozen=True):
    """A part of a manifest that releases before `since` do not know, and what they do instead."""

    kinds: tuple[str, ...]
    path: Path
    since: str
    without: str
    severity: Severity = "error"


def skewed_fields(manifest: Manifest, releases: Iterable[str]) -> Iterator[Remark]:
    """The fields of a policy that some of the releases do not know (dossier 10.5, 12.12)."""
    for field in _FIELDS:
        since = parse(field.since)
        older = {one for one in releases if (known := parse(one)) and since and known < since}
        if manifest.kind not in field.kinds or not older:
            continue
        for path in _present(manifest.spec, field.path):
            yield Remark(
                code="version-skew",
                severity=field.severity,
                policy=manifest,
                path=path,
                reason=f"A release in use ({quoted(older)}) is older than {field.since}: "
                f"{field.without}",
            )


def _present(spec: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Where a path of the table leads to something; an empty one is the spec itself."""
    if path[:1] == ("key",):
        for one in expressions(spec):
            if one.subject == path[1]:
                yield one.path
        return
    held: object = spec
    for step in path:
        held = mapping(held).get(str(step))
    if held:
        yield ("spec", *path)


_FIELDS: Final = (
    _Field(
        kinds=("KubeArmorClusterPolicy",),
        path=(),
        since="v1.4.0",
        without="it does not know cluster policies, and applies none.",
    ),
    _Field(
        kinds=("KubeArmorPolicy",),
        path=("selector", "matchExpressions"),
        since="v1.5.7",
        without="it ignores matchExpressions, and selects more than the policy says.",
    ),
    _Field(
        kinds=("KubeArmorClusterPolicy",),
        path=("key", "label"),
        since="v1.5.7",
        without="it ignores the key label, and selects Pods with any labels.",
    ),
    _Field(
        kinds=("KubeArmorPolicy",),
        path=("selector", "matchLabels", "kubernetes.io/hostname"),
        since="v1.7.4",
        without="it matches host names in another way.",
        severity="warning",
    ),
    _Field(
        kinds=("KubeArmorPolicy",),
        path=("selector", "matchLabels", "kubearmor.io/hostname"),
        since="v1.7.4",
        without="it matches host names in another way (before v1.6.19 also Pods without it).",
        severity="warning",
    ),
    _Field(
        kinds=("KubeArmorHostPolicy",),
        path=("nodeSelector", "matchLabels", "kubernetes.io/hostnamereg"),
        since="v1.7.4",
        without="it takes the pattern for a plain label, and selects no node.",
    ),
    _Field(
        kinds=("KubeArmorNetworkPolicy",),
        path=(),
        since="v1.6.14",
        without="it does not know network policies, and applies none.",
    ),
    _Field(
        kinds=("KubeArmorNetworkPolicy",),
        path=("selector",),
        since="v1.7.4",
        without="it ignores the Pod selector.",
    ),
)
