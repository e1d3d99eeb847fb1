"""A recording as a source: on its own clock, held at a mark."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from monitor.commands.demo.playback import Playback, PlaybackClock
from monitor.core.model import Observation, SourceUp
from monitor.wire.trace import Moment
from tests.clock import ManualClock

START = 100.0
MOMENTS = (
    Moment(at=101, observation=SourceUp("a")),
    Moment(at=103, observation=SourceUp("b")),
    Moment(at=103, mark="hold here"),
    Moment(at=110, observation=SourceUp("c")),
)


class Taken:
    """An intake that notes what came when, on the recording's clock."""

    def __init__(self, clock: PlaybackClock) -> None:
        self.clock = clock
        self.seen: list[tuple[str, float]] = []

    def deliver(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            assert isinstance(observation, SourceUp)
            self.seen.append((observation.name, self.clock.now()))

    async def room(self) -> None:
        await asyncio.sleep(0)

    def reject(self, *, kind: str, reason: str, detail: str) -> None:
        raise AssertionError((kind, reason, detail))


class Stage:
    def __init__(self) -> None:
        self.wall = ManualClock()
        self.clock = PlaybackClock(START)
        self.taken = Taken(self.clock)
        self.told: list[tuple[float, str]] = []
        self.playback = Playback(
            moments=MOMENTS,
            intake=self.taken,
            clock=self.clock,
            wall=self.wall,
            pace=lambda seconds: min(seconds, 1.5),
            hold_at="hold here",
            tell=lambda at, mark: self.told.append((at, mark)),
        )


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    playing = asyncio.create_task(stage.playback.run())
    yield stage
    playing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await playing


async def test_it_plays_at_its_pace_up_to_the_mark_and_holds_there(stage: Stage) -> None:
    await stage.wall.advance(2.4)
    assert stage.taken.seen == [("a", 101)]
    await stage.wall.advance(0.1)
    assert stage.taken.seen == [("a", 101), ("b", 103)]
    assert stage.told == [(103, "hold here")]
    await stage.wall.advance(1000)
    assert stage.taken.seen == [("a", 101), ("b", 103)]
    assert stage.playback.held.is_set()
    assert stage.clock.now() == 103


async def test_told_to_go_on_it_plays_to_its_end_and_its_clock_goes_on(stage: Stage) -> None:
    await stage.wall.advance(1000)
    stage.playback.go_on()
    await stage.wall.advance(1.5)
    assert stage.taken.seen == [("a", 101), ("b", 103), ("c", 110)]
    assert stage.playback.ended.is_set()
    await stage.wall.advance(30)
    assert stage.clock.now() == pytest.approx(140, abs=1)


async def test_told_to_go_on_while_it_plays_it_still_holds(stage: Stage) -> None:
    stage.playback.go_on()
    await stage.wall.advance(1000)
    assert stage.clock.now() == 103


async def test_who_sleeps_on_its_clock_wakes_at_his_own_instants(stage: Stage) -> None:
    woken: list[float] = []

    async def wake_each_second() -> None:
        while True:
            await stage.clock.sleep(0.75)
            woken.append(stage.clock.now())

    sleeper = asyncio.create_task(wake_each_second())
    await stage.wall.advance(1000)
    assert woken == [100.75, 101.5, 102.25, 103]
    sleeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sleeper
