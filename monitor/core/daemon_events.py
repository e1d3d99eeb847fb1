"""What the watches of one daemon show it, in its own order: the input of a model of the daemon."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from monitor.core.evidence import PolicyKey

Action: TypeAlias = Literal["added", "modified", "deleted"]
CLUSTER_KIND: Final = "KubeArmorClusterPolicy"


class PolicyEvent(Struct, frozen=True):
    """A policy as the daemon's watch shows it; `namespace` is empty for a cluster policy."""

    action: Action
    kind: str
    namespace: str
    name: str
    spec: Mapping[str, Any]
    generation: int = 0

    @property
    def key(self) -> PolicyKey:
        return (self.kind, self.namespace, self.name)


class PodEvent(Struct, frozen=True):
    """A Pod of the daemon's node; `containers` maps the names of those with an id to it.

    `drawn` is the container that a MODIFIED revises, where that is known.
    """

    action: Action
    namespace: str
    name: str
    labels: Mapping[str, str] | None = None
    containers: Mapping[str, str] = {}
    drawn: str | None = None


class NamespaceEvent(Struct, frozen=True, gc=False):
    action: Action
    name: str


Event: TypeAlias = PolicyEvent | PodEvent | NamespaceEvent


class Pair(Struct, frozen=True):
    """A container of a Pod and a policy."""

    namespace: str
    pod: str
    container: str
    policy: PolicyKey
