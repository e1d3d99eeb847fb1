"""The answer for one pair."""

from msgspec import Struct

from monitor.core.model import Grade, Interval, Reason, Verdict


class Judged(Struct, frozen=True):
    """A verdict with its reasons.

    `recheck`: when time alone can change it; `held`: nothing is known now, and its gap, which was
    opened before, is still open;
    `reasons`: the causes that fit with what shows them, the likeliest first.
    """

    verdict: Verdict
    grade: Grade | None = None
    cause: str | None = None
    since: Interval | None = None
    predicted: bool | None = None
    recheck: float | None = None
    written: Interval | None = None
    opening: str = ""
    held: bool = False
    reasons: tuple[Reason, ...] = ()
