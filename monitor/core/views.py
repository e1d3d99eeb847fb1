"""What holds for all pairs of a node at one instant, looked up once for many judgements."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from msgspec.structs import replace

from monitor.core.circumstances import Limits, NodeView
from monitor.core.deadlines import Deadlines
from monitor.core.evidence import Incarnation
from monitor.core.nodes import NodeState, Phase, began_of
from monitor.core.semantics import behaviour
from monitor.core.sight import is_expired
from monitor.core.world import World

SETTLING: Final = (
    "pods",
    "namespaces",
    "nodes",
    "configmaps",
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
)
TURN: Final = 0.001

Stamp: TypeAlias = tuple[int, int, float, Mapping[str, str]]
"""What a view of a node goes by, but for time: equal ones give equal views."""


class Views:
    """Looks at nodes."""

    def __init__(self, *, world: World, deadlines: Deadlines, limits: Limits, began: float) -> None:
        self._world = world
        self._deadlines = deadlines
        self._limits = limits
        self._began = began
        self._kept: dict[str, tuple[Stamp, NodeView]] = {}

    def at(self, now: float) -> "Instant":
        """The nodes as they are at `now`."""
        return Instant(self, now=now)

    def of(self, name: str, *, now: float) -> NodeView:
        """One node at `now`: as it was seen before, if nothing can have changed since.

        Time alone changes nothing where the daemon is ready and its output is read.
        """
        world, node = self._world, self._world.node(name)
        stamp = (node.version, world.sources.turns, world.configured_at, world.config)
        kept = self._kept.get(name)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        view = self.look(name, now=now)
        if view.phase == "ready" and view.incarnation and node.could_have_read(view.incarnation):
            self._kept[name] = (stamp, view)
        return view

    def look(self, name: str, *, now: float) -> NodeView:
        """One node at `now`, looked at anew."""
        node = self._world.node(name)
        phase, since = node.phase(now=now, start_assumed=self._limits.start_assumed)
        incarnation = node.current()
        blind = self._world.sources.blind()
        followed = incarnation is None or node.could_have_read(incarnation)
        if incarnation is not None and not followed:
            followed = node.follows(incarnation, now=now)
            self._plan(node, incarnation, phase, now=now)
        unsettled = None
        if blind:
            unsettled = min((blind[one] for one in SETTLING if one in blind), default=None)
        release = node.release(incarnation)
        return NodeView(
            node=node,
            incarnation=incarnation,
            phase=phase,
            phase_since=since,
            untracked=self._world.untracked(node, incarnation),
            unsupported=node.is_beyond_reach(),
            followed=followed,
            seen_starting=None if incarnation is None else node.seen_starting(incarnation, now=now),
            behaviour=behaviour(release),
            release=release,
            began=self._began,
            blind=blind,
            unsettled_since=unsettled,
            expired=self._is_shut_out(node),
            configured_at=self._world.configured_at,
        )

    def _plan(self, node: NodeState, incarnation: Incarnation, phase: Phase, *, now: float) -> None:
        """Look again when time alone will change how a node is seen."""
        turn = min(self._turns(node, incarnation, phase, now=now), default=None)
        if turn is not None:
            self._deadlines.put(node.name, turn)

    def _turns(
        self, node: NodeState, incarnation: Incarnation, phase: Phase, *, now: float
    ) -> Iterator[float]:
        if phase == "starting":
            answers = node.answers(incarnation)
            ready = node.ready_since(incarnation, start_assumed=self._limits.start_assumed)
            turns = (answers.starting_until if answers else 0.0, ready[1] if ready else 0.0)
            yield from (turn for turn in turns if turn > now)
        awaited = node.awaited_until(incarnation)
        if awaited >= now and node.follows(incarnation, now=now):
            yield awaited + TURN

    def _is_shut_out(self, node: NodeState) -> bool:
        """Whether an expired certificate keeps us from what would tell of the node."""
        relay = self._world.sources.known("alerts/relay")
        if node.text.up and (relay is None or relay.up):
            return False
        own = self._world.sources.known(f"alerts/{node.name}")
        return is_expired((node.text, relay, own))


def as_of(deletion: float | None, view: NodeView, *, now: float) -> tuple[NodeView, float]:
    """How and when a Pod's containers are judged: as of its deletion, if one has begun."""
    if deletion is None:
        return view, now
    return _as_it_was(view, deletion), now if view.blind else min(now, deletion)


def _as_it_was(view: NodeView, since: float) -> NodeView:
    """A node with the daemon that ran there when a Pod's deletion began, if it has ended since.

    What that daemon had in force stands for the Pod's containers, whatever is heard first.
    """
    node = view.node
    ran = [one for one in node.past() if one.ended is not None and one.ended[1] > since]
    former = next((one for one in reversed(ran) if began_of(one)[0] <= since), None)
    if former is None or former.initialized_at is None or former.initialized_at[1] > since:
        return view
    release = node.release(former)
    return replace(
        view,
        incarnation=former,
        phase="ready",
        phase_since=former.initialized_at,
        followed=former.read_whole,
        release=release,
        behaviour=behaviour(release),
    )


class Instant:
    """All nodes at one instant, each looked at once."""

    def __init__(self, views: Views, *, now: float) -> None:
        self._views = views
        self._now = now
        self._seen: dict[str, NodeView] = {}

    def __getitem__(self, name: str) -> NodeView:
        found = self._seen.get(name)
        if found is None:
            found = self._seen[name] = self._views.of(name, now=self._now)
        return found
