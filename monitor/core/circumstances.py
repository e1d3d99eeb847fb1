"""What holds for many pairs at one instant: of their node, of their container's namespace."""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from monitor.core.defaults import Defaults
from monitor.core.evidence import Incarnation
from monitor.core.model import Interval
from monitor.core.nodes import NodeState, Phase
from monitor.core.semantics import Behaviour

Lost: TypeAlias = tuple[str, Interval, str]  # cause, since, what opened it


class Limits(Struct, frozen=True):
    """Durations in seconds (configuration, `judgement`)."""

    grace: float
    grace_limit: float
    start_assumed: float


class NodeView(Struct, frozen=True):
    """What holds for all pairs of a node at one instant.

    `seen_starting`: when the daemon last said that it is starting, where it had to be asked.
    """

    node: NodeState
    incarnation: Incarnation | None
    phase: Phase
    phase_since: Interval
    behaviour: Behaviour | None
    release: str | None
    began: float
    untracked: frozenset[str]
    unsupported: bool
    followed: bool
    seen_starting: float | None
    blind: Mapping[str, float]
    unsettled_since: float | None
    expired: bool
    configured_at: float

    def was_seen_before(self, deadline: float) -> bool:
        """Whether the daemon was starting when it was last asked, and may be ready by now."""
        return self.seen_starting is not None and self.seen_starting < deadline

    @property
    def identity(self) -> tuple[str, int] | None:
        """Which incarnation of the daemon runs there."""
        return self.incarnation.identity if self.incarnation else None


class Surroundings(Struct, frozen=True):
    """What holds for all pairs of a container.

    `ambiguous`: the names that policies of both kinds bear; KubeArmor confuses them (dossier 5.6).
    `deleted_names`: when a policy of that name was last deleted.
    """

    namespace_created: Interval | None
    ambiguous: frozenset[str]
    deleted_names: Mapping[str, float]
    defaults: Defaults
