"""A clock that stands still until a test turns it."""

import asyncio
import heapq
import itertools


class ManualClock:
    """A `Clock` of virtual time: `sleep` returns when `advance` has passed its instant.

    Sleepers wake one instant after the other in the order of their instants, and what they wake
    gets its turn on the event loop before the next instant, as with a real clock.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> tuple[float, ...]:
        """Seconds from now until each of those that sleep wakes, soonest first."""
        waiting = [due for due, _, woken in self._sleepers if not woken.done()]
        return tuple(sorted(due - self._now for due in waiting))

    async def advance(self, seconds: float) -> None:
        """Let that many seconds pass, waking on the way whoever is due."""
        end = self._now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._now = max(self._now, due)
            woken.set_result(None)
            await self._settle()
        self._now = max(self._now, end)
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
