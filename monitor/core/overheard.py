"""A daemon's incarnation as its message feed shows it, where its output is not read.

Messages repeat the lines of the output: the same facts, with the daemon's own time, without saying
which incarnation printed them, and any of them can be missing without a trace (dossier 3.1, 9). So
they are folded into a copy of what was known when the output was last read. The copy is dropped as
soon as the output is read again, which tells everything anew; what it shows is `inferred` at best,
and its silence shows nothing.
"""

from collections import deque
from copy import deepcopy
from typing import Final

from monitor.core import facts
from monitor.core.evidence import Incarnation
from monitor.core.facts import Fact
from monitor.core.model import DaemonLine
from monitor.core.node_clock import NodeClock

REPEATS_KNOWN: Final = 256
"""How many messages back one is recognised that comes by a second feed, or again."""


class Overheard:
    """Wraps the copy; `since` is when the output was last read."""

    def __init__(self, running: Incarnation, *, since: float, at: float) -> None:
        self.incarnation = deepcopy(running)
        self.incarnation.overheard = True
        self.incarnation.holes.append((since, at))
        self._recent: deque[tuple[int, Fact]] = deque(maxlen=REPEATS_KNOWN)

    def take(
        self, fact: Fact, *, clock: NodeClock, stamp: int, at: float
    ) -> tuple[Incarnation, str | None] | None:
        """Fold a message; None if it was folded before. Returns the container that it is about."""
        if (stamp, fact) in self._recent:
            return None
        self._recent.append((stamp, fact))
        copy = self.incarnation
        # The feed keeps the order of the lines; the daemon's own stamps go back at times.
        position = max(stamp, copy.last_position + 1)
        if isinstance(fact, facts.LifecycleReported) and fact.phase == "initialized":
            copy.initialized = position
            copy.initialized_at = clock.instant(position, at=at)
        line = DaemonLine(
            node=copy.node,
            pod=copy.pod,
            pod_uid=copy.pod_uid,
            restart=copy.restart,
            container="",
            stamp=position,
            fact=fact,
        )
        return copy, copy.fold(line, at)
