"""The judgement over time: what is observed goes in, what is decided comes out."""

from collections.abc import Sequence

from msgspec import Struct

from monitor.core.model import Announcement, Observation, Report, Statistics


class Settings(Struct, frozen=True):
    """How the judgement is tuned; durations in seconds."""

    cluster: str = "default"
    grace: float = 10.0
    grace_limit: float = 120.0
    start_assumed: float = 60.0
    incident_hold: float = 60.0
    clock_error: float = 1.0


class Coverage:
    """`started` is when observation began: every source is blind from then to its first `up`."""

    def __init__(self, *, settings: Settings, started: float) -> None: ...

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]: ...

    def tick(self, now: float) -> Sequence[Announcement]: ...

    def next_deadline(self) -> float | None: ...

    def statistics(self, now: float) -> Statistics: ...

    def report(self, at: float) -> Report: ...
