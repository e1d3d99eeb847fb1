"""What is known of the cluster in which policies are read."""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from monitor.core.defaults import UNTRACKED
from monitor.core.lint.remarks import Enforcer
from monitor.core.nodes import ENFORCER_LABEL
from monitor.core.selector import Selector
from monitor.core.semantics import Behaviour, behaviour

ENFORCERS: Final[tuple[Enforcer, ...]] = ("bpf", "apparmor")
ALWAYS_AUDITED: Final = "kube-system"


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
    def untracked(self) -> str | None:
        """The ConfigMap's list of untracked namespaces; None where it says or decides nothing."""
        if not all(one.untracked_in_map for one in self._behaviours):
            return None
        return (self.settings or {}).get("untrackedNs")

    @property
    def unenforced(self) -> frozenset[str]:
        """The namespaces in which nothing is enforced, by the ConfigMap or by default."""
        behaviours = self._behaviours
        if behaviours and not any(one.filters_untracked for one in behaviours):
            return frozenset({ALWAYS_AUDITED})
        if self.untracked is None:
            return UNTRACKED
        listed = frozenset(name.strip() for name in self.untracked.split(",") if name.strip())
        return listed | {ALWAYS_AUDITED}

    @property
    def _behaviours(self) -> list[Behaviour]:
        """What the releases in use do, as far as it is described."""
        return [known for one in self.releases if (known := behaviour(one)) is not None]


def reaches(selector: Selector, namespace: str) -> bool:
    """Whether a selector admits Pods of that namespace at all."""
    if selector.namespaces is None:
        return namespace not in selector.not_namespaces
    return namespace in selector.namespaces
