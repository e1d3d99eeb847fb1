"""Policies that bear one name (dossier 5.6, F17)."""

from collections.abc import Iterable, Iterator

from monitor.core.lint.remarks import Manifest, Remark, Rewrite, quoted
from monitor.core.policies import CONTAINER_KINDS


def name_collisions(manifests: Iterable[Manifest]) -> Iterator[Remark]:
    """The policies whose name one of the other kind bears, in any namespace."""
    bearers: dict[str, dict[tuple[str, str, str], Manifest]] = {}
    for one in manifests:
        if one.kind in CONTAINER_KINDS:
            bearers.setdefault(one.name, {})[one.key] = one
    for name, policies in bearers.items():
        cluster_wide = [one for one in policies.values() if one.kind == "KubeArmorClusterPolicy"]
        others = [one for one in policies.values() if one.kind == "KubeArmorPolicy"]
        if not cluster_wide or not others:
            continue
        free = f"{name}-cluster"
        while free in bearers:
            free += "-wide"
        for one in cluster_wide:
            reason = (
                f"{quoted(other.title for other in others)} has the same name: where that came "
                "first, this policy misses Pods that start later; deleting it removes the other."
            )
            yield _collision(one, reason, Rewrite(("metadata", "name"), free))
        for one in others:
            reason = (
                f"{quoted(other.title for other in cluster_wide)} has the same name: an edit of it "
                "replaces this policy in KubeArmor's list, its deletion removes it."
            )
            yield _collision(one, reason, None)


def _collision(manifest: Manifest, reason: str, rewrite: Rewrite | None) -> Remark:
    return Remark(
        code="name-collision",
        severity="error",
        policy=manifest,
        path=("metadata", "name"),
        reason=reason,
        rewrite=rewrite,
    )
