"""Where observations come from: the cluster's API, KubeArmor's feeds, the daemons' text, traces."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from monitor.core.model import Observation

RejectionReason: TypeAlias = Literal[
    "malformed",  # no JSON, no message, no stamped line
    "invalid",  # well formed, but a field is missing or of another type
    "too-long",
    "too-deep",
    "truncated",  # the connection ended in the middle of it; it comes again
    "text-repaired",  # kept, with U+FFFD where bytes or surrogates were no text
]


class Intake(Protocol):
    """What a source writes to. It counts, it takes the time, it bounds what waits."""

    def deliver(self, observations: Sequence[Observation]) -> None:
        """Take observations in the order of their stream; never blocks."""
        ...

    async def room(self) -> None:
        """Return when more may be delivered."""
        ...

    def reject(self, *, kind: str, reason: RejectionReason, detail: str) -> None:
        """Count an input that cannot be used, and name it in the log once per kind and reason.

        `kind` is of a small closed set (`kubernetes/RESOURCE`, `alerts`, `logs`, `messages`,
        `text`, `health`); `detail` is for people and may quote untrusted input.
        """
        ...


class Source(Protocol):
    """One thing that can be observed.

    A source delivers `SourceUp` before its list or backlog and `SourceDown` when it loses sight,
    retries whatever is transient, and rejects bad input without stopping. It is stopped by
    cancelling `run`, any number of times, and delivers nothing after that.
    """

    @property
    def name(self) -> str:
        """Its name in logs; the names of what it reports are those of the trace format."""
        ...

    async def run(self) -> None:
        """Observe until cancelled."""
        ...


def quoted(raw: bytes, *, limit: int = 200) -> str:
    """Return the beginning of an untrusted input, fit for a log line."""
    return ascii(raw[:limit].decode(errors="replace"))
