"""From what sources see to what sinks deliver: one synchronous decision at a time.

Three things can change the judgement, and each has one way in:
1. a source observed something: `deliver`;
2. a deadline of the core passed: `run`, which sleeps until the earliest one and never polls;
3. nothing else.

A decision is `observe` or `tick`, the translation of what was announced, and `append` to the
outbox: no await in between, so nobody sees half of one and no lock is needed. Waiting comes after:
a source awaits `room`, which is how a full outbox slows the sources down instead of losing records.

Deadlines fire at their own instants: before an observation made at T is judged, every deadline up
to T is. A late wake-up of the loop therefore changes when a decision is made, never which.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import structs

from monitor.clock import Clock
from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import (
    Announcement,
    ContainerCoverage,
    Observation,
    Outline,
    Report,
    SourceDown,
    SourceUp,
    Statistics,
)
from monitor.retry import cancelled
from monitor.wire.events import Record

Translation: TypeAlias = Callable[[Announcement], Sequence[Record]]
LOGGED_REJECTIONS = 200
DETAIL_LENGTH = 200

log = logging.getLogger(__name__)


class Core(Protocol):
    """The judgement: `monitor.core.coverage.Coverage`, or a smaller one in a test."""

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]: ...

    def tick(self, now: float) -> Sequence[Announcement]: ...

    def next_deadline(self) -> float | None: ...

    def statistics(self, now: float) -> Statistics: ...

    def report(self, at: float) -> Report: ...

    def outline(self, at: float) -> Outline: ...

    def container(self, identity: str, *, at: float) -> ContainerCoverage | None: ...

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> Sequence[ContainerExplanation]: ...

    def explain_node(self, name: str, *, at: float) -> NodeExplanation | None: ...


class Outbox(Protocol):
    """What holds records from their decision to their delivery, in order.

    `append` is synchronous and keeps what it is given; `room` returns when there is room for more;
    `take` waits until there is something to take; what was taken and not acknowledged is taken
    again after a restart.
    """

    def append(self, records: Sequence[Record]) -> None: ...

    async def room(self) -> None: ...

    async def take(self, limit: int) -> list[tuple[int, Record]]: ...

    async def acknowledge(self, sequence: int) -> None: ...

    async def close(self) -> None: ...


class Listener(Protocol):
    """Who is told of each decision, on the loop and at once: metrics, streams."""

    def decided(
        self, announcements: Sequence[Announcement], records: Sequence[Record], now: float
    ) -> None: ...


class Engine:
    """The way in for sources (an intake), and what readers may ask of the judgement."""

    def __init__(
        self,
        *,
        core: Core,
        outbox: Outbox,
        clock: Clock,
        translation: Translation,
        listeners: Sequence[Listener] = (),
        observers: Sequence[Callable[[Observation], None]] = (),
        required: Collection[str] = (),
    ) -> None:
        """Join the parts; `required` names the sources without which it is not synced."""
        self._core = core
        self._outbox = outbox
        self._clock = clock
        self._translation = translation
        self._listeners = tuple(listeners)
        self._observers = tuple(observers)
        self._missing = dict.fromkeys(required, "has not answered yet")
        self._now = -math.inf
        self._armed = math.inf
        self._earlier = asyncio.Event()
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._failed = 0
        self.synced = asyncio.Event()
        self._note_synced()

    # --- the way in ---------------------------------------------------------------------------

    def deliver(self, observations: Sequence[Observation]) -> None:
        """Judge what was observed just now, in that order."""
        now = self._advance()
        for observation in observations:
            self._run_due(now)
            self._observe(observation, now)
        self._run_due(now)
        self._rearm()

    async def room(self) -> None:
        """Return when records of further observations have room."""
        await self._outbox.room()

    def reject(self, *, kind: str, reason: str, detail: str) -> None:
        """Count input that cannot be used; say so once for each kind and reason."""
        cause = (kind, reason)
        first = cause not in self._rejected
        if first and len(self._rejected) >= LOGGED_REJECTIONS:
            cause, first = (kind, "other"), False
        self._rejected[cause] += 1
        if first:
            log.warning(
                "rejected: %s, %s (said once; counted from now on): %.*r",
                kind,
                reason,
                DETAIL_LENGTH,
                detail,
            )

    # --- time -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fire deadlines as they come, for ever."""
        while True:
            await self._wait_for_deadline()
            self._run_due(self._advance())
            await self._outbox.room()

    async def _wait_for_deadline(self) -> None:
        self._earlier.clear()
        deadline = self._core.next_deadline()
        self._armed = math.inf if deadline is None else deadline
        waits: list[Coroutine[object, object, object]] = [self._earlier.wait()]
        if deadline is not None:
            waits.append(self._clock.sleep(max(0.0, deadline - self._clock.now())))
        await _first(waits)

    def _rearm(self) -> None:
        deadline = self._core.next_deadline()
        if deadline is not None and deadline < self._armed:
            self._armed = deadline
            self._earlier.set()

    def _advance(self) -> float:
        """Read the clock; it may have been set back, the judgement's never goes back."""
        self._now = max(self._now, self._clock.now())
        return self._now

    def _run_due(self, now: float) -> None:
        while (deadline := self._core.next_deadline()) is not None and deadline <= now:
            announcements = self._core.tick(deadline)
            self._publish(announcements, self._translated(announcements), deadline)
            after = self._core.next_deadline()
            if after is not None and after <= deadline:
                raise RuntimeError(f"a deadline at {deadline} did not go away by firing")

    # --- a decision -----------------------------------------------------------------------------

    def _observe(self, observation: Observation, now: float) -> None:
        try:
            announcements = self._core.observe(observation, now)
            records = self._translated(announcements)
        except Exception as error:
            self._failed += 1
            kind = type(observation).__name__
            self.reject(kind=kind, reason=f"core-{type(error).__name__}", detail=repr(observation))
            log.debug("the judgement failed", exc_info=True)
            return
        self._publish(announcements, records, now)
        for observer in self._observers:
            observer(observation)
        if self._missing:
            self._note_source(observation)

    def _translated(self, announcements: Sequence[Announcement]) -> list[Record]:
        return [record for one in announcements for record in self._translation(one)]

    def _publish(
        self, announcements: Sequence[Announcement], records: Sequence[Record], now: float
    ) -> None:
        if not announcements:
            return
        self._outbox.append(records)
        for listener in self._listeners:
            listener.decided(announcements, records, now)

    # --- readers --------------------------------------------------------------------------------

    def report(self) -> Report:
        return self._core.report(self._advance())

    def outline(self) -> Outline:
        """Return the report but for the pairs of containers: those cost what all else does not."""
        return self._core.outline(self._advance())

    def container(self, identity: str) -> ContainerCoverage | None:
        """Return a container as a report would show it now; None if it is not running."""
        return self._core.container(identity, at=self._advance())

    def explain(
        self, namespace: str, pod: str, container: str | None = None
    ) -> Sequence[ContainerExplanation]:
        """Return all that led to the verdicts of a Pod's running containers, or of that one."""
        return self._core.explain(namespace, pod, container, at=self._advance())

    def explain_node(self, name: str) -> NodeExplanation | None:
        """Return all that led to the verdicts of a node's policies; None if there is none."""
        return self._core.explain_node(name, at=self._advance())

    def statistics(self) -> Statistics:
        """Return the core's numbers, with the input that was rejected before it."""
        statistics = self._core.statistics(self._advance())
        return structs.replace(statistics, rejected={**statistics.rejected, **self._rejected})

    def failed(self) -> int:
        """Return how many observations the judgement choked on."""
        return self._failed

    def missing(self) -> Mapping[str, str]:
        """Return the required sources that were never up, and what each said last."""
        return self._missing

    def _note_source(self, observation: Observation) -> None:
        if isinstance(observation, SourceUp):
            self._missing.pop(observation.name, None)
            self._note_synced()
        elif isinstance(observation, SourceDown) and observation.name in self._missing:
            self._missing[observation.name] = observation.reason

    def _note_synced(self) -> None:
        if not self._missing:
            self.synced.set()


async def _first(waits: Sequence[Coroutine[object, object, object]]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancelled(*tasks)
