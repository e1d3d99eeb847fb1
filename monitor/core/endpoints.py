"""What is in the two lists of a daemon: stored policies, and endpoints with what is attached."""

from typing import Literal

from msgspec import Struct

from monitor.core.daemon_events import CLUSTER_KIND, PodEvent
from monitor.core.evidence import PolicyKey
from monitor.core.selector import Selector, identities


class Stored(Struct, frozen=True):
    """A policy as it was read; `namespaces` are those it listed, or all it did not leave out."""

    key: PolicyKey
    generation: int
    selector: Selector
    namespaces: frozenset[str]

    @property
    def is_cluster_wide(self) -> bool:
        return self.key[0] == CLUSTER_KIND

    def is_taken_for(self, other: "Stored") -> bool:
        """Whether an event about this policy finds that one (5.6)."""
        return self.key[2] == other.key[2] if self.is_cluster_wide else self.key == other.key


class Collision(Struct, frozen=True):
    """A policy of one kind met one of the other kind by its name, in the stored list.

    `effect`: the policy is `not-stored`, it `overwrites` the other, or `removes` it.
    """

    policy: PolicyKey
    other: PolicyKey
    effect: Literal["not-stored", "overwrites", "removes"]


class Endpoint:
    """A container id and what is attached to it.

    `doubtful` are the policies that a draw may have added or taken away.
    """

    __slots__ = (
        "container",
        "container_id",
        "doubtful",
        "identities",
        "namespace",
        "pod",
        "policies",
    )

    def __init__(self, event: PodEvent, container: str, policies: list[Stored]) -> None:
        self.namespace = event.namespace
        self.pod = event.name
        self.container = container
        self.container_id = event.containers[container]
        self.identities = identities(namespace=event.namespace, labels=event.labels)
        self.policies = policies
        self.doubtful: frozenset[PolicyKey] = frozenset()

    @property
    def keys(self) -> frozenset[PolicyKey]:
        return frozenset(stored.key for stored in self.policies)
