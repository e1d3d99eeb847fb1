"""A recording played to the service as a source, on the recording's own clock."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable

from monitor.clock import Clock
from monitor.core.model import Observation
from monitor.sources import Intake
from monitor.wire.trace import Moment

TURNS_TO_ACT = 6


class PlaybackClock:
    """The recording's time. It passes only while the recording plays, in steps.

    Who sleeps on it wakes at its own instant of the recording, before the recording goes on.
    """

    def __init__(self, started: float) -> None:
        self._now = started
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._order), woken))
        await woken

    async def reach(self, instant: float, *, wall: Clock, seconds: float) -> None:
        """Let the time up to `instant` pass within that many seconds of the wall's clock."""
        await _let_others_act()
        rate = seconds / (instant - self._now) if instant > self._now else 0.0
        while self._sleepers and self._sleepers[0][0] <= instant:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            await self._step(due, wall=wall, rate=rate)
            woken.set_result(None)
            await _let_others_act()
        await self._step(instant, wall=wall, rate=rate)

    async def _step(self, instant: float, *, wall: Clock, rate: float) -> None:
        await wall.sleep(max(0.0, instant - self._now) * rate)
        self._now = max(self._now, instant)


async def _let_others_act() -> None:
    """Give whoever has just been told or woken the time to go back to sleep."""
    for _ in range(TURNS_TO_ACT):
        await asyncio.sleep(0)


class Playback:
    """Delivers a recording's observations, holds at one of its marks, goes on when told to."""

    def __init__(
        self,
        *,
        moments: Iterable[Moment],
        intake: Intake,
        clock: PlaybackClock,
        wall: Clock,
        pace: Callable[[float], float],
        hold_at: str,
        tell: Callable[[float, str], None],
    ) -> None:
        """`pace` says how many seconds a stretch of the recording takes; `tell` hears marks."""
        self._moments = moments
        self._intake = intake
        self._clock = clock
        self._wall = wall
        self._pace = pace
        self._hold_at = hold_at
        self._tell = tell
        self._go_on = asyncio.Event()
        self.held = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def name(self) -> str:
        return "recording"

    @property
    def holding(self) -> bool:
        return self.held.is_set() and not self._go_on.is_set()

    def go_on(self) -> None:
        """Play on after the mark at which it holds. Without effect while it plays."""
        if self.held.is_set():
            self._go_on.set()

    async def run(self) -> None:
        """Play the recording; then let its clock go on in real time."""
        for moment in self._moments:
            seconds = self._pace(max(0.0, moment.at - self._clock.now()))
            await self._clock.reach(moment.at, wall=self._wall, seconds=seconds)
            if moment.observation is not None:
                await self._deliver(moment.observation)
            elif moment.mark is not None:
                await self._pass_mark(moment.at, moment.mark)
        self.ended.set()
        while True:
            await self._clock.reach(self._clock.now() + 1.0, wall=self._wall, seconds=1.0)

    async def _deliver(self, observation: Observation) -> None:
        await self._intake.room()
        self._intake.deliver([observation])

    async def _pass_mark(self, at: float, mark: str) -> None:
        self._tell(at, mark)
        if mark == self._hold_at:
            self.held.set()
            await self._go_on.wait()
