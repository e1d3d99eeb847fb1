"""What every source owes, whatever it reads: the laws, and the stage on which they are tried.

A stage holds one source and the peer it reads from. Laws are applied to all of them alike in
`test_laws.py`; a new kind of source joins by bringing a stage.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import pytest

from monitor.core.model import Observation, SourceDown, SourceUp
from monitor.sources import Source
from tests.clock import ManualClock
from tests.sources.recording import Recording, becomes, passes


class Stage(Protocol):
    """A source with its peer; an asynchronous context manager brings it up and takes it down."""

    source: Source
    intake: Recording
    clock: ManualClock

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def fail(self) -> None:
        """Make the peer fail: what is open ends, what is asked for is refused."""
        ...

    async def heal(self) -> None:
        """Make the peer work, from now on."""
        ...

    async def speak(self) -> None:
        """Make the peer say one thing more than it said before."""
        ...


Law: TypeAlias = Callable[[Stage], Awaitable[None]]


def ups(intake: Recording) -> int:
    return sum(isinstance(one, SourceUp) for one in intake.observations)


def downs(intake: Recording) -> int:
    return sum(isinstance(one, SourceDown) for one in intake.observations)


def substance(intake: Recording) -> list[Observation]:
    """Return what was observed, without the states of sources."""
    return [o for o in intake.observations if not isinstance(o, SourceUp | SourceDown)]


async def it_stops_when_cancelled(stage: Stage) -> None:
    task = asyncio.create_task(stage.source.run())
    await stage.heal()
    await passes(stage.clock, lambda: ups(stage.intake), step=0.1)

    task.cancel()
    await asyncio.wait({task}, timeout=5)

    assert task.cancelled()


async def it_stops_while_it_waits_for_its_next_try(stage: Stage) -> None:
    await stage.fail()
    task = asyncio.create_task(stage.source.run())
    await becomes(lambda: downs(stage.intake))

    task.cancel()
    await asyncio.wait({task}, timeout=5)

    assert task.cancelled()
    assert stage.clock.sleepers == ()


async def it_stops_while_there_is_no_room(stage: Stage) -> None:
    await stage.heal()
    stage.intake.full = True
    task = asyncio.create_task(stage.source.run())
    for _ in range(50):
        await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait({task}, timeout=5)

    assert task.cancelled()


async def it_is_safe_to_stop_before_it_began_and_twice(stage: Stage) -> None:
    never = asyncio.create_task(stage.source.run())
    never.cancel()
    await asyncio.wait({never}, timeout=5)
    task = asyncio.create_task(stage.source.run())
    await stage.heal()
    await passes(stage.clock, lambda: ups(stage.intake), step=0.1)

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    task.cancel()

    assert never.cancelled()
    assert task.cancelled()


async def it_retries_what_is_transient(stage: Stage) -> None:
    await stage.fail()
    task = asyncio.create_task(stage.source.run())
    await passes(stage.clock, lambda: downs(stage.intake), step=0.1)
    await stage.heal()

    await passes(stage.clock, lambda: ups(stage.intake), step=0.1)

    await _stop(task)


async def it_says_up_before_anything_else_and_down_when_it_loses_sight(stage: Stage) -> None:
    await stage.heal()
    task = asyncio.create_task(stage.source.run())
    await passes(stage.clock, lambda: ups(stage.intake), step=0.1)
    await stage.speak()
    await passes(stage.clock, lambda: substance(stage.intake), step=0.1)
    first = stage.intake.observations[0]
    await stage.fail()
    await passes(stage.clock, lambda: downs(stage.intake), step=0.1)
    before = ups(stage.intake)
    await stage.heal()
    await passes(stage.clock, lambda: ups(stage.intake) > before, step=0.1)
    await _stop(task)

    assert isinstance(first, SourceUp)
    assert not _unseen(stage.intake.observations)


async def it_delivers_nothing_after_it_stopped(stage: Stage) -> None:
    await stage.heal()
    task = asyncio.create_task(stage.source.run())
    await passes(stage.clock, lambda: ups(stage.intake), step=0.1)
    await stage.speak()
    await passes(stage.clock, lambda: substance(stage.intake), step=0.1)
    task.cancel()
    await stage.speak()
    await asyncio.wait({task}, timeout=5)
    said = list(stage.intake.observations)

    await stage.speak()
    await stage.clock.advance(600.0)
    for _ in range(50):
        await asyncio.sleep(0)

    assert stage.intake.observations == said


LAWS: tuple[Law, ...] = (
    it_stops_when_cancelled,
    it_stops_while_it_waits_for_its_next_try,
    it_stops_while_there_is_no_room,
    it_is_safe_to_stop_before_it_began_and_twice,
    it_retries_what_is_transient,
    it_says_up_before_anything_else_and_down_when_it_loses_sight,
    it_delivers_nothing_after_it_stopped,
)


def _unseen(observations: list[Observation]) -> list[Observation]:
    """Return what was delivered while nothing was up."""
    seeing: set[str] = set()
    unseen: list[Observation] = []
    for one in observations:
        if isinstance(one, SourceUp):
            seeing.add(one.name)
        elif isinstance(one, SourceDown):
            seeing.discard(one.name)
        elif not seeing:
            unseen.append(one)
    return unseen


async def _stop(task: asyncio.Task[None]) -> None:
    assert not task.done(), "it ended by itself"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
