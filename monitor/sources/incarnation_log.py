"""The output of one incarnation of a node's daemon, from what it wrote until now to its end.

1. the past: what it wrote until now, the newest 2 MiB of it at most;
2. the present, until the stream ends; then from 1 again, from the last line that was read.

A container that has ended is read once more and never again. A source counts as up when it delivers
lines or when its stream has stood for a second: the stream of a container that has just died opens
and ends at once, and its status says so only later.

After a restart the API still has what the former run wrote (`previous`), which is read once.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from msgspec import structs

from monitor.clock import Clock
from monitor.core.model import Observation
from monitor.retry import HEALTHY_SECONDS, Backoff, Late, cancelled, within
from monitor.sources import Intake, RejectionReason, quoted
from monitor.sources.api_server import NETWORK_ERRORS, ApiServer
from monitor.sources.container_log import ContainerLog, DaemonTarget, End, Past
from monitor.sources.failures import Failure
from monitor.sources.sight import Voice
from monitor.sources.transcript import Transcript
from monitor.sources.wanted import Wanted
from monitor.wire.daemon_text import read_line

BATCH_LINES = 500
SETTLED_SECONDS = 1.0
DRAIN_SECONDS = 10.0
STATUS_SECONDS = 5.0
SLOW_FAILURE_SECONDS = 5.0
SLOW_RETRY_SECONDS = 60.0
PREVIOUS_TRIES = 3
LINES_UNREAD = "older lines unread"
CONTAINER_ENDED = "container ended"


class Means(NamedTuple):
    """With what output is read; all readers share them.

    `openings` bounds how many outputs are opened at a time, of all nodes together. What has ended,
    or took long to fail, queues apart: a request to a kubelet that is gone takes its time, and
    those that live do not wait for it.
    """

    server: ApiServer
    intake: Intake
    clock: Clock
    random: Random
    openings: asyncio.Semaphore
    other_openings: asyncio.Semaphore


class IncarnationLog:
    """Reads one incarnation; `voice` says for the node whether it can be read."""

    def __init__(
        self,
        target: DaemonTarget,
        *,
        transcript: Transcript,
        wanted: Wanted,
        voice: Voice,
        means: Means,
    ) -> None:
        self._target = target
        self._transcript = transcript
        self._wanted = wanted
        self._voice = voice
        self._means = means
        self._intake = means.intake
        self._clock = means.clock
        self._backoff = Backoff(random=means.random)
        self._fails_slowly = False
        self._log = ContainerLog(
            target,
            server=means.server,
            transcript=transcript,
            clock=means.clock,
            refuse=self._refuse,
        )

    async def read(self) -> None:
        """Read it to its end, or for as long as it is wanted and may be readable."""
        while not self._is_superseded():
            running = self._runs()
            unread = await self._read_past(complete=not running)
            if unread is None and not running:
                break
            end = unread or await self._read_present()
            if end == "quiet":
                continue
            self._down(self._reason(end))
            if isinstance(end, Failure) and self._is_over(end, broke=unread is None):
                return
            await self._pause(end)
        self._down(CONTAINER_ENDED)

    async def complete(self) -> None:
        """Read, after a restart, what it wrote and was not read before."""
        for _ in range(PREVIOUS_TRIES):
            past = await self._previous()
            if not isinstance(past, Failure) or past.kind in {"absent", "refused", "forbidden"}:
                break
            await self._clock.sleep(max(self._backoff.next(), past.retry_after))
        self._down(CONTAINER_ENDED)

    async def _previous(self) -> Failure | None:
        async with self._slot():
            past = await self._log.past(complete=True, previous=True)
            if isinstance(past, Past) and not past.jumped:
                await self._publish(past)
                return None
        if isinstance(past, Failure):
            return past
        with contextlib.suppress(Late):
            await within(self._clock, STATUS_SECONDS, self._wanted.until(self._is_forgotten))
        if not self._is_forgotten():
            await self._publish(past)
        return None

    async def _read_past(self, *, complete: bool) -> End | None:
        """Deliver what was written until now; return None, or why nothing was delivered."""
        async with self._slot():
            began = self._clock.now()
            past = await self._log.past(complete=complete)
            seconds = self._clock.now() - began
            self._fails_slowly = isinstance(past, Failure) and seconds >= SLOW_FAILURE_SECONDS
            if isinstance(past, Past) and not past.jumped:
                await self._publish(past)
                return None
        if isinstance(past, Failure):
            return past
        if await self._is_another_run():
            return "jumped"
        await self._publish(past)
        return None

    async def _is_another_run(self) -> bool:
        """Whether the status says in time whose the lines are that do not go on from the last."""
        self._down(self._reason("jumped"))
        running = self._runs()
        with contextlib.suppress(Late):
            changed = self._wanted.until(lambda: self._runs() != running)
            await within(self._clock, STATUS_SECONDS, changed)
        return running != self._runs() or self._is_superseded()

    async def _publish(self, past: Past) -> None:
        if past.lines:
            gap = f", {LINES_UNREAD}" if past.gap else ""
            self._up(f"{self._target.label}{gap}")
        for start in range(0, len(past.lines), BATCH_LINES):
            batch = past.lines[start : start + BATCH_LINES]
            self._log.accept(batch)
            self._deliver(self._read_lines(batch))
            await self._intake.room()

    async def _read_present(self) -> End:
        began = self._clock.now()

        async def take(lines: list[bytes]) -> None:
            self._see()
            self._deliver(self._read_lines(lines))
            await self._intake.room()

        reading = asyncio.create_task(self._log.present(take))
        settling = asyncio.create_task(self._settle())
        leaving = asyncio.create_task(self._leave())
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            end: End = reading.result() if reading.done() else "ended"
        finally:
            await cancelled(reading, settling, leaving)
        if self._clock.now() - began >= HEALTHY_SECONDS:
            self._backoff.reset()
        return end

    async def _settle(self) -> None:
        await self._clock.sleep(SETTLED_SECONDS)
        self._see()

    async def _leave(self) -> None:
        """Return when the container has ended and its stream had the time to end too."""
        await self._wanted.until(lambda: not self._runs())
        await self._clock.sleep(DRAIN_SECONDS)

    async def _pause(self, end: End) -> None:
        """Wait before the next try, but not for a container that is known to have ended."""
        if not isinstance(end, Failure):
            seconds = self._backoff.next() if self._runs() else 0.0
        elif end.kind == "forbidden":
            seconds = SLOW_RETRY_SECONDS
        else:
            seconds = max(self._backoff.next(), end.retry_after)
        with contextlib.suppress(Late):
            await within(self._clock, seconds, self._wanted.until(self._is_left))
        if isinstance(end, Failure) and end.kind == "unauthorized":
            with contextlib.suppress(*NETWORK_ERRORS):  # the next request will fail and say so
                await self._means.server.renew_credentials()

    def _slot(self) -> asyncio.Semaphore:
        prompt = self._runs() and not self._fails_slowly
        return self._means.openings if prompt else self._means.other_openings

    def _is_over(self, failure: Failure, *, broke: bool) -> bool:
        """Whether a container that cannot be read will never be readable.

        `broke`: it was being read, and what it wrote since may be read by asking once more.
        """
        if not self._wanted.holds(self._target):
            return not broke
        return not self._runs() and failure.kind in {"absent", "refused"}

    def _is_left(self) -> bool:
        """Whether the API will say nothing new of it any more."""
        return not self._wanted.holds(self._target)

    def _is_superseded(self) -> bool:
        return self._wanted.is_superseded(self._target)

    def _is_forgotten(self) -> bool:
        """Whether even what the API calls the previous output is that of a later run."""
        return self._wanted.later_runs(self._target) > 1

    def _runs(self) -> bool:
        return self._wanted.runs(self._target)

    def _reason(self, end: End) -> str:
        if not self._runs():
            return CONTAINER_ENDED
        return end.reason if isinstance(end, Failure) else "stream ended"

    def _see(self) -> None:
        if not self._voice.is_up:
            self._up(self._target.label)

    def _up(self, reason: str) -> None:
        self._deliver(self._voice.up(reason))

    def _down(self, reason: str) -> None:
        self._deliver(self._voice.down(reason))

    def _read_lines(self, lines: list[bytes]) -> list[Observation]:
        read: list[Observation] = []
        target, label = self._target, self._target.label
        for line in lines:
            try:
                found = read_line(
                    line,
                    node=target.node,
                    pod=label,
                    pod_uid=target.uid,
                    restart=target.restart,
                    container=target.container,
                )
            except ValueError:
                self._intake.reject(kind="text", reason="malformed", detail=quoted(line))
                continue
            stamp = self._transcript.rising(found.stamp)
            read.append(found if stamp == found.stamp else structs.replace(found, stamp=stamp))
        return read

    def _refuse(self, reason: RejectionReason, line: bytes) -> None:
        self._intake.reject(kind="text", reason=reason, detail=quoted(line))

    def _deliver(self, observations: Sequence[Observation]) -> None:
        if observations:
            self._intake.deliver(observations)
