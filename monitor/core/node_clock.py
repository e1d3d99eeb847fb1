"""A node's clock beside ours: how far they are apart, as far as it can be known.

The offset is ours minus the node's. Its upper bound is the quickest delivery of a line ever seen;
its lower bound is causality: a line cannot precede what it is about. Both are intervals' ends,
never an estimate (design, section 4).
"""

from typing import Final

from monitor.core.model import Interval

UNCERTAINTY: Final = 1.0


class NodeClock:
    """Relates stamps of a node (nanoseconds) to our Unix seconds."""

    __slots__ = ("_lower", "_upper")

    def __init__(self) -> None:
        self._upper: float | None = None
        self._lower: float | None = None

    def compare(self, stamp: int, *, at: float) -> None:
        """A line with that stamp was received at `at`."""
        upper = at - stamp / 1e9
        if self._upper is None or upper < self._upper:
            self._upper = upper

    def caused(self, *, by: float, stamp: int) -> None:
        """A line is about something seen here at `by`: it is at most a second older than that."""
        lower = by - UNCERTAINTY - stamp / 1e9
        if self._lower is None or lower > self._lower:
            self._lower = lower

    @property
    def offset(self) -> Interval | None:
        """The offset as an interval; None before the first line."""
        if self._upper is None:
            return None
        lower = self._upper - UNCERTAINTY
        if self._lower is not None:
            lower = max(lower, min(self._lower, self._upper))
        return (lower, self._upper)

    def instant(self, stamp: int, *, at: float | None = None) -> Interval:
        """A stamp of this node on our clock; not after `at`, when it was received."""
        lower, upper = self.offset or (0.0, 0.0)
        seconds = stamp / 1e9
        latest = seconds + upper if at is None else min(seconds + upper, at)
        return (min(seconds + lower, latest), latest)
