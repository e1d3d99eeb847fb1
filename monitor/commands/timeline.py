"""A trace played against the judgement: its clock is the trace's `at`, and nothing else.

Between two lines every deadline fires at its own instant, so what comes out depends on the trace
alone: not on the speed, the machine or the time of day.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from monitor.core.coverage import Coverage, Settings
from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import Announcement, Observation, Report
from monitor.wire.trace import Moment, Trace


class Step(Struct, frozen=True):
    """One decision: what was announced at an instant."""

    at: float
    announcements: Sequence[Announcement]


class Core(Protocol):
    """The judgement: `Coverage`, or a smaller one in a test."""

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]: ...

    def tick(self, now: float) -> Sequence[Announcement]: ...

    def next_deadline(self) -> float | None: ...

    def report(self, at: float) -> Report: ...

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> Sequence[ContainerExplanation]: ...

    def explain_node(self, name: str, *, at: float) -> NodeExplanation | None: ...


class Timeline:
    """Plays moments; `now` is where its clock stands."""

    def __init__(self, *, moments: Iterable[Moment], core: Core, started: float) -> None:
        self._moments = iter(moments)
        self._core = core
        self._next = next(self._moments, None)
        self.now = started

    def play(self, until: float | None = None) -> Iterator[Step]:
        """Play the lines with `at` ≤ `until`, then the deadlines; stop the clock there.

        Without `until` the clock stops at the last line. Playing can go on afterwards.
        """
        while (moment := self._next) is not None and (until is None or moment.at <= until):
            yield from self._deadlines(moment.at)
            self.now = moment.at
            if moment.observation is not None:
                yield Step(moment.at, self._core.observe(moment.observation, moment.at))
            self._next = next(self._moments, None)
        end = self.now if until is None else max(self.now, until)
        yield from self._deadlines(end)
        self.now = end

    def _deadlines(self, end: float) -> Iterator[Step]:
        while (deadline := self._core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            yield Step(self.now, self._core.tick(self.now))

    def report(self) -> Report:
        """Return the state of the world where the clock stands."""
        return self._core.report(self.now)

    def explain(
        self, namespace: str, pod: str, container: str | None = None
    ) -> Sequence[ContainerExplanation]:
        """Return all that led to the verdicts of a Pod's containers where the clock stands."""
        return self._core.explain(namespace, pod, container, at=self.now)

    def explain_node(self, name: str) -> NodeExplanation | None:
        """Return all that led to the verdicts of a node's policies where the clock stands."""
        return self._core.explain_node(name, at=self.now)


def open_timeline(path: Path, *, lenient: bool = False) -> tuple[Trace, Timeline]:
    """Open a trace for playing. Raises ConfigurationError for one that cannot be read."""
    trace = Trace(path, lenient=lenient)
    header = trace.header
    coverage = Coverage(settings=Settings(cluster=header.cluster), started=header.started)
    return trace, Timeline(moments=trace, core=coverage, started=header.started)
