"""The output of one node's daemon: its incarnations, one after the other.

For each incarnation:

1. after a restart, what the former one wrote and was not read (`previous`), once;
2. the past: what it wrote until now, the newest 2 MiB of it at most;
3. the present, until the stream ends; then from 2 again, from the last line that was read.

A container that has ended is read once more and never again. A source counts as up when it delivers
lines or when its stream has stood for a second: the stream of a container that has just died opens
and ends at once, and its status says so only later.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import structs

from monitor.clock import Clock
from monitor.core.model import Observation
from monitor.retry import HEALTHY_SECONDS, Backoff, Late, cancelled, within
from monitor.sources import Intake, RejectionReason, quoted
from monitor.sources.api_server import NETWORK_ERRORS, ApiServer
from monitor.sources.container_log import ContainerLog, DaemonTarget, End, Incarnation, Past
from monitor.sources.failures import Failure
from monitor.sources.sight import Sight
from monitor.sources.transcript import Transcript
from monitor.wire.daemon_text import read_line

BATCH_LINES = 500
SETTLED_SECONDS = 1.0
DRAIN_SECONDS = 10.0
STATUS_SECONDS = 5.0
SLOW_RETRY_SECONDS = 60.0
PREVIOUS_TRIES = 3
LINES_UNREAD = "older lines unread"
CONTAINER_ENDED = "container ended"


class NodeLog:
    """Reads the daemon of one node."""

    def __init__(
        self,
        node: str,
        *,
        server: ApiServer,
        intake: Intake,
        clock: Clock,
        random: Random,
        openings: asyncio.Semaphore,
    ) -> None:
        self._sight = Sight(f"text/{node}")
        self._server = server
        self._intake = intake
        self._clock = clock
        self._backoff = Backoff(random=random)
        self._openings = openings
        self._targets: dict[Incarnation, DaemonTarget] = {}
        self._changed = asyncio.Event()
        self._finished: set[Incarnation] = set()
        self._last: tuple[DaemonTarget, Transcript] | None = None
        self.idle = True

    @property
    def name(self) -> str:
        return self._sight.name

    def want(self, targets: Iterable[DaemonTarget]) -> None:
        """Read these from now on; those that are left out are read to their end."""
        self._targets = {target.incarnation: target for target in targets}
        self._finished &= self._targets.keys()
        self._changed.set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        while True:
            target = self._next()
            self.idle = target is None
            if target is None:
                await self._changed.wait()
            else:
                await self._cover(target)
                self._finished.add(target.incarnation)

    def _next(self) -> DaemonTarget | None:
        """Choose what to read: the dead before the living, the older before the newer."""
        unread = [t for t in self._targets.values() if t.incarnation not in self._finished]
        return min(unread, key=lambda t: (t.running, t.restart, t.uid, t.container), default=None)

    async def _cover(self, target: DaemonTarget) -> None:
        """Read one incarnation to its end, or for as long as it is wanted and may be readable."""
        former, transcript = self._last, Transcript()
        if former and former[0].incarnation == target.incarnation:
            transcript = former[1]
        elif former and former[0].uid == target.uid and former[0].restart < target.restart:
            await self._complete_former(target, *former)
        self._last = (target, transcript)
        self._backoff.reset()
        log = self._log(target, transcript)
        while not self._is_superseded(target):
            running = self._runs(target)
            end = await self._read_past(target, log, complete=not running)
            if end is None and not running:
                break
            end = end or await self._read_present(target, log)
            if end == "quiet":
                continue
            self._deliver(self._sight.down(self._reason(target, end)))
            if isinstance(end, Failure) and self._is_over(target, end):
                return
            await self._pause(target, end)
        self._deliver(self._sight.down(CONTAINER_ENDED))

    async def _complete_former(
        self, target: DaemonTarget, former: DaemonTarget, transcript: Transcript
    ) -> None:
        ended = structs.replace(target, restart=target.restart - 1, running=False)
        same = former.incarnation == ended.incarnation
        log = self._log(ended, transcript if same else Transcript())
        for _ in range(PREVIOUS_TRIES):
            async with self._openings:
                past = await log.past(complete=True, previous=True)
                if isinstance(past, Past):
                    await self._publish(ended, log, past)
                    break
            if past.kind in {"absent", "refused", "forbidden"}:
                break
            await self._clock.sleep(max(self._backoff.next(), past.retry_after))
        self._deliver(self._sight.down(CONTAINER_ENDED))

    async def _read_past(
        self, target: DaemonTarget, log: ContainerLog, *, complete: bool
    ) -> End | None:
        """Deliver what was written until now; return None, or why nothing was delivered."""
        async with self._openings:
            past = await log.past(complete=complete)
            if isinstance(past, Past) and not past.jumped:
                await self._publish(target, log, past)
                return None
        if isinstance(past, Failure):
            return past
        if await self._is_another_run(target):
            return "jumped"
        await self._publish(target, log, past)
        return None

    async def _is_another_run(self, target: DaemonTarget) -> bool:
        """Whether the status says in time whose the lines are that do not go on from the last."""
        self._deliver(self._sight.down(self._reason(target, "jumped")))
        running = self._runs(target)
        with contextlib.suppress(Late):
            await within(self._clock, STATUS_SECONDS, self._until(target, running=not running))
        return running != self._runs(target) or self._is_superseded(target)

    async def _publish(self, target: DaemonTarget, log: ContainerLog, past: Past) -> None:
        log.accept(past)
        if past.lines:
            gap = f", {LINES_UNREAD}" if past.gap else ""
            self._deliver(self._sight.up(f"{target.label}{gap}"))
        for start in range(0, len(past.lines), BATCH_LINES):
            self._read_lines(target, past.lines[start : start + BATCH_LINES])
            await self._intake.room()

    async def _read_present(self, target: DaemonTarget, log: ContainerLog) -> End:
        began = self._clock.now()

        async def take(lines: list[bytes]) -> None:
            self._see(target)
            self._read_lines(target, lines)
            await self._intake.room()

        reading = asyncio.create_task(log.present(take))
        settling = asyncio.create_task(self._settle(target))
        leaving = asyncio.create_task(self._leave(target))
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            end: End = reading.result() if reading.done() else "ended"
        finally:
            await cancelled(reading, settling, leaving)
        if self._clock.now() - began >= HEALTHY_SECONDS:
            self._backoff.reset()
        return end

    async def _settle(self, target: DaemonTarget) -> None:
        await self._clock.sleep(SETTLED_SECONDS)
        self._see(target)

    async def _leave(self, target: DaemonTarget) -> None:
        """Return when the container has ended and its stream had the time to end too."""
        await self._until(target, running=False)
        await self._clock.sleep(DRAIN_SECONDS)

    async def _until(self, target: DaemonTarget, *, running: bool) -> None:
        while self._runs(target) != running:
            await self._changed.wait()

    async def _pause(self, target: DaemonTarget, end: End) -> None:
        """Wait before the next try, but not for a container that is known to have ended."""
        if not isinstance(end, Failure):
            seconds = self._backoff.next() if self._runs(target) else 0.0
        elif end.kind == "forbidden":
            seconds = SLOW_RETRY_SECONDS
        else:
            seconds = max(self._backoff.next(), end.retry_after)
        await self._clock.sleep(seconds)
        if isinstance(end, Failure) and end.kind == "unauthorized":
            with contextlib.suppress(*NETWORK_ERRORS):  # the next request will fail and say so
                await self._server.renew_credentials()

    def _is_over(self, target: DaemonTarget, failure: Failure) -> bool:
        """Whether a container that cannot be read will never be readable."""
        if target.incarnation not in self._targets:
            return True
        return not self._runs(target) and failure.kind in {"absent", "refused"}

    def _reason(self, target: DaemonTarget, end: End) -> str:
        if not self._runs(target):
            return CONTAINER_ENDED
        return end.reason if isinstance(end, Failure) else "stream ended"

    def _runs(self, target: DaemonTarget) -> bool:
        now = self._targets.get(target.incarnation)
        return now is not None and now.running

    def _is_superseded(self, target: DaemonTarget) -> bool:
        """Whether what the API now calls this container's output is that of a later run."""
        return any(
            (other.uid, other.container) == (target.uid, target.container)
            and other.restart > target.restart
            for other in self._targets.values()
        )

    def _log(self, target: DaemonTarget, transcript: Transcript) -> ContainerLog:
        return ContainerLog(
            target,
            server=self._server,
            transcript=transcript,
            clock=self._clock,
            refuse=self._refuse,
        )

    def _see(self, target: DaemonTarget) -> None:
        if not self._sight.is_up:
            self._deliver(self._sight.up(target.label))

    def _read_lines(self, target: DaemonTarget, lines: list[bytes]) -> None:
        read: list[Observation] = []
        label = target.label
        for line in lines:
            try:
                read.append(
                    read_line(
                        line,
                        node=target.node,
                        pod=label,
                        pod_uid=target.uid,
                        restart=target.restart,
                        container=target.container,
                    )
                )
            except ValueError:
                self._intake.reject(kind="text", reason="malformed", detail=quoted(line))
        self._deliver(read)

    def _refuse(self, reason: RejectionReason, line: bytes) -> None:
        self._intake.reject(kind="text", reason=reason, detail=quoted(line))

    def _deliver(self, observations: Sequence[Observation]) -> None:
        if observations:
            self._intake.deliver(observations)
