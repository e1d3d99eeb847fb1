"""How long to wait for a peer."""

import asyncio

import pytest

from monitor.retry import Backoff, Late, cancelled, within
from tests.clock import ManualClock
from tests.sources.chance import chance


def test_delays_are_spread_up_to_a_bound_that_doubles_to_the_limit() -> None:
    backoffs = [Backoff(random=chance(seed)) for seed in range(500)]

    rounds = [[backoff.next() for backoff in backoffs] for _ in range(8)]

    for delays, bound in zip(rounds, (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0), strict=True):
        assert 0.0 <= min(delays) < 0.05 * bound
        assert 0.95 * bound < max(delays) <= bound


def test_after_a_reset_the_delays_begin_again() -> None:
    backoff = Backoff(random=chance())
    for _ in range(8):
        backoff.next()

    backoff.reset()

    assert backoff.next() <= 0.5


async def test_work_that_ends_in_time_gives_its_result() -> None:
    clock = ManualClock()

    async def work() -> str:
        await clock.sleep(4.9)
        return "done"

    waiting = asyncio.create_task(within(clock, 5.0, work()))
    await clock.advance(4.9)

    assert await waiting == "done"
    assert clock.sleepers == ()


async def test_work_that_is_late_is_cancelled() -> None:
    clock = ManualClock()
    events = []

    async def work() -> None:
        try:
            await clock.sleep(60.0)
        finally:
            events.append("cancelled")

    waiting = asyncio.create_task(within(clock, 5.0, work()))
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.1)

    with pytest.raises(Late):
        await waiting
    assert events == ["cancelled"]
    assert clock.sleepers == ()


async def test_the_failure_of_work_is_passed_on() -> None:
    async def work() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await within(ManualClock(), 5.0, work())


async def test_whoever_is_cancelled_while_waiting_cancels_the_work() -> None:
    clock = ManualClock()
    waiting = asyncio.create_task(within(clock, 5.0, clock.sleep(60.0)))
    await clock.advance(1.0)

    await cancelled(waiting)

    assert waiting.cancelled()
    assert clock.sleepers == ()
