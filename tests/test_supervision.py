"""What becomes of tasks that fail."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from monitor.errors import SourceError
from monitor.supervision import CrashedTooOftenError, Supervisor
from tests.clock import ManualClock


class Task:
    """Fails, returns or raises as the story says; then runs until cancelled."""

    def __init__(self, *story: Exception | None) -> None:
        self.story = list(story)
        self.starts = 0

    async def run(self) -> None:
        self.starts += 1
        if not self.story:
            await asyncio.Event().wait()
        outcome = self.story.pop(0)
        if outcome is not None:
            raise outcome


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keep(clock: ManualClock) -> Callable[[Task], "asyncio.Task[None]"]:
    supervisor = Supervisor(clock=clock, budget=3, window=100)

    async def kept(run: Callable[[], Awaitable[None]]) -> None:
        await supervisor.keep("the task", run)

    return lambda task: asyncio.create_task(kept(task.run))


async def test_a_task_that_fails_or_returns_is_started_again_after_a_growing_pause(
    clock: ManualClock, keep: Callable[[Task], "asyncio.Task[None]"]
) -> None:
    task = Task(OSError("gone"), None, ValueError("odd"))
    kept = keep(task)
    seen = []
    for seconds in (0, 0.5, 1, 2):
        await clock.advance(seconds)
        seen.append(task.starts)
    assert seen == [1, 2, 3, 4]
    await cancelled(kept)


async def test_a_task_that_fails_too_often_ends_the_process_and_says_why(
    clock: ManualClock, keep: Callable[[Task], "asyncio.Task[None]"]
) -> None:
    kept = keep(Task(*[OSError("gone")] * 4))
    await clock.advance(60)
    with pytest.raises(CrashedTooOftenError) as caught:
        await kept
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "the task failed 4 times within 100 s, at last because it failed (OSError: gone);"
        " the log has each reason"
    )


async def test_failures_of_long_ago_are_forgotten(
    clock: ManualClock, keep: Callable[[Task], "asyncio.Task[None]"]
) -> None:
    release = asyncio.Event()
    task = Task(*[OSError("gone")] * 3)
    kept = keep(task)
    await clock.advance(60)
    assert task.starts == 4
    await clock.advance(100)
    release.set()
    assert not kept.done()
    await cancelled(kept)


async def test_an_error_that_trying_again_cannot_heal_ends_the_task(
    keep: Callable[[Task], "asyncio.Task[None]"],
) -> None:
    with pytest.raises(SourceError, match="no such file"):
        await keep(Task(SourceError("no such file")))
