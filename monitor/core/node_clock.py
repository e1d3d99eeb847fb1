"""A node's clock beside ours: how far they are apart, as far as it can be known.

The offset is ours minus the node's, an interval and never an estimate (design, section 4). Its
upper bound is the quickest delivery of a line ever seen: a line cannot arrive before it is printed.
Its lower bound takes for granted that the quickest delivery took no longer than a second; but lines
that were printed before we began to read say nothing of the kind. While there are no others, the
node's clock is taken for no slower than ours, give or take that second.
"""

from math import inf
from typing import Final

from monitor.core.model import Interval

QUICK: Final = 1.0
BACKLOG: Final = 5.0
"""How long after a source came up it may still be handing on what was printed before."""


class NodeClock:
    """Relates stamps of a node (nanoseconds) to our Unix seconds.

    `upper`: the quickest delivery so far; `is_prompt`: whether a line came that was no backlog.
    """

    __slots__ = ("is_prompt", "upper")

    def __init__(self) -> None:
        self.upper = inf
        self.is_prompt = False

    def compare(self, stamp: int, *, at: float, since: float = 0.0) -> None:
        """A line with that stamp was received at `at`, from a source that is read since then."""
        self.upper = min(self.upper, at - stamp / 1e9)
        if not self.is_prompt:
            self.is_prompt = at - since > BACKLOG

    @property
    def offset(self) -> Interval | None:
        """The offset as an interval; None before the first line."""
        if self.upper == inf:
            return None
        return (self.soonest - QUICK, self.upper)

    @property
    def soonest(self) -> float:
        """The quickest delivery, as far as it is one: 0 before the first line."""
        if self.upper == inf:
            return 0.0
        return self.upper if self.is_prompt else min(self.upper, 0.0)

    def instant(self, stamp: int, *, at: float | None = None) -> Interval:
        """A stamp of this node on our clock; not after `at`, when it was received."""
        lower, upper = self.offset or (0.0, 0.0)
        seconds = stamp / 1e9
        latest = seconds + upper if at is None else min(seconds + upper, at)
        return (min(seconds + lower, latest), latest)
