"""What is known of the cluster in which policies are read."""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from monitor.core.lint.remarks import Enforcer
from monitor.core.selector import Selector

ENFORCER_LABEL: Final = "kubearmor.io/enforcer"
ENFORCERS: Final[tuple[Enforcer, ...]] = ("bpf", "apparmor")
ALWAYS_AUDITED: Final = "kube-system"
UNTRACKED: Final = frozenset({"kube-system", "kubearmor"})


class PodShape(Struct, frozen=True):
    """What a selector sees of Pods: many are alike, and one of them is enough."""

    labels: Mapping[str, str]
    containers: tuple[str, ...]


class Cluster(Struct, frozen=True):
    """What is known of the cluster in which policies are read; None is not known.

    `namespaces` gives each one's annotations, `pods` the shapes of Pods in each namespace that has
    any, `nodes` each node's labels, `settings` the data of the ConfigMap kubearmor-config,
    `releases` those that daemons run.
    """

    namespaces: Mapping[str, Mapping[str, str]] | None = None
    pods: Mapping[str, Collection[PodShape]] | None = None
    nodes: Mapping[str, Mapping[str, str]] | None = None
    settings: Mapping[str, str] | None = None
    releases: frozenset[str] = frozenset()

    @property
    def enforcers(self) -> tuple[Enforcer, ...]:
        """Those that the nodes' labels name; BPF-LSM where none does."""
        labelled = {labels.get(ENFORCER_LABEL) for labels in (self.nodes or {}).values()}
        return tuple(one for one in ENFORCERS if one in labelled) or ("bpf",)

    @property
    def unenforced(self) -> frozenset[str]:
        """The namespaces in which nothing is enforced, by the ConfigMap or by default."""
        listed = (self.settings or {}).get("untrackedNs")
        if listed is None:
            return UNTRACKED
        return frozenset(name.strip() for name in listed.split(",") if name.strip()) | {
            ALWAYS_AUDITED
        }


def reaches(selector: Selector, namespace: str) -> bool:
    """Whether a selector admits Pods of that namespace at all."""
    if selector.namespaces is None:
        return namespace not in selector.not_namespaces
    return namespace in selector.namespaces
