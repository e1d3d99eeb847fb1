"""Allow-lists where the default posture is audit (dossier 6.1, F39)."""

from collections.abc import Iterator, Mapping
from typing import Final

from monitor.core.defaults import POSTURE_ANNOTATIONS, POSTURE_KEYS
from monitor.core.lint.cluster import Cluster, reaches
from monitor.core.lint.remarks import (
    Manifest,
    Remark,
    Rewrite,
    Severity,
    expected_of,
    quoted,
)
from monitor.core.lint.rules import Class, allowing_classes
from monitor.core.meant import Path
from monitor.core.policies import CONTAINER_KINDS

POSTURES: Final = ("audit", "block")


def audited_allow_lists(manifest: Manifest, cluster: Cluster) -> Iterator[Remark]:
    """The classes in which a policy allows something and nothing else is blocked."""
    if manifest.kind not in CONTAINER_KINDS:
        return
    for posture, path in allowing_classes(manifest.spec).items():
        audited, unknown = _where(manifest, cluster, posture)
        if audited:
            reason = (
                f"The default posture for {posture} is audit in {quoted(audited)}: there the Allow "
                "rules block nothing, what they do not allow is only reported."
            )
            yield _remark(manifest, path, posture, reason, severity="warning")
        elif unknown:
            reason = (
                f"Allow rules block everything else only where the default posture for {posture} "
                "is block. It is audit by default; what it is here is not known."
            )
            yield _remark(manifest, path, posture, reason, severity="note")


def _where(manifest: Manifest, cluster: Cluster, posture: Class) -> tuple[set[str], bool]:
    """The namespaces in which the posture is audit, and whether it is unknown anywhere."""
    if cluster.namespaces is None:
        return set(), True
    selector = expected_of(manifest)
    here: dict[str, Mapping[str, str]] = {manifest.namespace: {}} if manifest.namespace else {}
    postures = {
        name: _posture_in(annotations, cluster.settings, posture)
        for name, annotations in {**here, **cluster.namespaces}.items()
        if reaches(selector, name) and name not in cluster.unenforced
    }
    audited = {name for name, one in postures.items() if one == "audit"}
    return audited, None in postures.values()


def _posture_in(
    annotations: Mapping[str, str], settings: Mapping[str, str] | None, posture: Class
) -> str | None:
    by_namespace = annotations.get(POSTURE_ANNOTATIONS[posture], "")
    if by_namespace in POSTURES:
        return by_namespace
    if settings is None:
        return None
    by_configuration = settings.get(POSTURE_KEYS[posture], "")
    return by_configuration if by_configuration in POSTURES else "audit"


def _remark(
    manifest: Manifest, path: Path, posture: Class, reason: str, *, severity: Severity
) -> Remark:
    return Remark(
        code="posture-audit",
        severity=severity,
        policy=manifest,
        path=path,
        reason=reason,
        rewrite=Rewrite(
            path=("metadata", "annotations", POSTURE_ANNOTATIONS[posture]),
            value="block",
            of="Namespace",
        ),
    )
