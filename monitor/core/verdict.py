"""The answer for one pair."""

from typing import Final

from msgspec import Struct

from monitor.core.model import Grade, Interval, Reason, Verdict

SEVERITY: Final[dict[str, int]] = {
    verdict: place
    for place, verdict in enumerate(
        ("gap", "lost", "unknown", "pending", "covered", "exempt", "unsupported", "excess")
    )
}
SPARED: Final = frozenset({"covered", "exempt", "unsupported"})
"""The verdicts that ask for nothing."""


class Judged(Struct, frozen=True):
    """A verdict with its reasons.

    `written`: when the rules that are in force were written, or those that were lost, then by the
    incarnation of the daemon `under`; `recheck`: when time alone can change it; `held`: nothing is
    known now, and its gap, which was opened before, is still open;
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
    under: tuple[str, int] | None = None
    held: bool = False
    reasons: tuple[Reason, ...] = ()
