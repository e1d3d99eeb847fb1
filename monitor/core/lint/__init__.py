"""What can be said of policies by reading them, in three parts by what each depends on.

`remarks_on` needs one manifest, so its answer stands until the policy is revised. `remarks_among`
needs the names of all policies. `remarks_in` needs one manifest and what is known of the cluster:
namespaces and their annotations, shapes of Pods, labels of nodes, KubeArmor's settings, releases.
"""

from collections.abc import Collection, Iterable
from typing import Final

from monitor.core.lint.cluster import Cluster
from monitor.core.lint.names import name_collisions
from monitor.core.lint.namespaces import namespaces_left_out, unknown_namespaces
from monitor.core.lint.order import selector_order
from monitor.core.lint.posture import audited_allow_lists
from monitor.core.lint.remarks import Enforcer, Manifest, Remark
from monitor.core.lint.rules import unenforceable_rules
from monitor.core.lint.selected import no_namespaces, nothing_selected
from monitor.core.lint.selectors import selector_mistakes
from monitor.core.lint.shape import wrong_types
from monitor.core.lint.skew import skewed_fields

USUAL: Final[tuple[Enforcer, ...]] = ("bpf",)


def remarks_on(
    manifest: Manifest, *, enforcers: Collection[Enforcer] = USUAL
) -> tuple[Remark, ...]:
    """What a policy's manifest shows by itself, on nodes with those enforcers."""
    rules: list[Remark] = []
    for enforcer in enforcers:
        for remark in unenforceable_rules(manifest, enforcer=enforcer):
            if remark not in rules:
                rules.append(remark)
    return (
        *wrong_types(manifest),
        *selector_mistakes(manifest),
        *selector_order(manifest),
        *no_namespaces(manifest),
        *rules,
    )


def remarks_among(manifests: Iterable[Manifest]) -> tuple[Remark, ...]:
    """What policies do to each other by their names."""
    return tuple(name_collisions(manifests))


def remarks_in(manifest: Manifest, cluster: Cluster) -> tuple[Remark, ...]:
    """What a policy is in a cluster; with `Cluster()`, of which nothing is known, mostly notes."""
    return (
        *unknown_namespaces(manifest, cluster),
        *namespaces_left_out(manifest, cluster),
        *nothing_selected(manifest, cluster),
        *audited_allow_lists(manifest, cluster),
        *skewed_fields(manifest, cluster.releases),
    )
