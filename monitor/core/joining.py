"""Which incident a gap joins: the one of its cause in its scope, or the roll-out that opened it."""

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from monitor.core.causes import CAUSES
from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.deadlines import Deadlines
from monitor.core.policies import PolicyState
from monitor.core.rollouts import Rollout, latest_rollout, leaves_at, opening_of, rollout_of
from monitor.core.world import World

if TYPE_CHECKING:
    from monitor.core.model import Interval

ROLLOUT: Final = "rollout"
LIMIT_OF: Final = "rollout/"
WITHOUT_DAEMON: Final = frozenset(
    {"daemon-absent", "daemon-down", "daemon-replaced", "daemon-starting"}
)


class Belonging(Struct, frozen=True, gc=False):
    """What the gaps of one incident have in common: its cause and its scope.

    `lasting`: whether a closed incident of that scope is reopened however late.
    """

    cause: str
    scope: str
    release: str | None
    lasting: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return (self.cause, self.scope)


class Joining:
    """Finds the incident of a gap; `limit` is how long a roll-out may leave a node unprotected."""

    def __init__(self, *, world: World, deadlines: Deadlines, limit: float) -> None:
        self._world = world
        self._deadlines = deadlines
        self._limit = limit
        self._rollouts: dict[tuple[str, str, Interval], Rollout | None] = {}

    def convene(self) -> None:
        """Begin anew: what rolls out may have changed."""
        self._rollouts = {}

    def belonging(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        *,
        cause: str,
        opening: str,
        now: float,
    ) -> Belonging:
        """To which incident the gap of a pair belongs at `now`."""
        rollout = None
        if cause in WITHOUT_DAEMON or _ended_waiting(container, view, cause):
            rollout = self._rollout(view, opening, now=now)
        if rollout is not None:
            return Belonging(
                cause=ROLLOUT, scope=rollout.scope, release=None, lasting=rollout.lasting
            )
        return Belonging(cause=cause, scope=_scope(cause, policy, view), release=view.release)

    def _rollout(self, view: NodeView, opening: str, *, now: float) -> Rollout | None:
        question = (view.node.name, opening, view.phase_since)
        if question not in self._rollouts:
            self._rollouts[question] = self._look(view, opening, now=now)
        return self._rollouts[question]

    def _look(self, view: NodeView, opening: str, *, now: float) -> Rollout | None:
        """The roll-out behind an opening, while the node is within its limit."""
        found = self._behind(view, opening)
        if found is None:
            return None
        until = leaves_at(found, phase=view.phase, since=view.phase_since, limit=self._limit)
        if now >= until:
            return None
        self._deadlines.put(f"{LIMIT_OF}{view.node.name}/{opening}", until)
        return found

    def _behind(self, view: NodeView, opening: str) -> Rollout | None:
        """A loss is of the end that it names; what was never covered, of the node's latest."""
        node, fleet = view.node, self._world.fleet
        if not opening.startswith("daemon:"):
            return latest_rollout(node, fleet)
        for incarnation in node.past():
            if opening_of(incarnation) == opening:
                return rollout_of(node, incarnation, fleet)
        return None


def _ended_waiting(container: ContainerRecord, view: NodeView, cause: str) -> bool:
    """Whether a container that ended before its rules came had begun before the daemon was ready.

    Then what it waited for was the daemon.
    """
    return cause == "startup-window" and container.started[0] <= view.phase_since[1]


def _scope(cause: str, policy: PolicyState, view: NodeView) -> str:
    """What gaps of one cause have in common."""
    kind = CAUSES[cause].scope
    name = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    if kind == "node":
        return f"node/{view.node.name}"
    if kind == "daemonset":
        return f"daemonset/{view.node.daemon_set() or 'kubearmor'}"
    if kind == "release":
        return f"{policy.kind}/{name}@{view.release or 'unknown'}"
    return f"{policy.kind}/{name}"
