"""Sources that come and go."""

import asyncio

import pytest

from monitor.retry import cancelled
from monitor.sources.crew import Crew
from tests.sources.recording import becomes


class Member:
    """A source that notes when it runs, and does as it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = 0
        self.running = False
        self.order: asyncio.Event = asyncio.Event()
        self.failure: Exception | None = None

    async def run(self) -> None:
        self.runs += 1
        self.running = True
        try:
            await self.order.wait()
            if self.failure:
                raise self.failure
        finally:
            self.running = False


async def test_it_runs_exactly_those_that_it_was_last_given() -> None:
    crew, one, two = Crew(), Member("one"), Member("two")
    crew.assign({"one": one})
    task = asyncio.create_task(crew.run())
    await becomes(lambda: one.running)
    crew.assign({"one": one, "two": two})
    await becomes(lambda: two.running)
    crew.assign({"two": two})
    await becomes(lambda: not one.running)
    await cancelled(task)

    assert (one.runs, two.runs) == (1, 1)
    assert not two.running


@pytest.mark.parametrize("failure", [None, ValueError("no")])
async def test_a_member_that_ends_ends_the_crew(failure: Exception | None) -> None:
    crew, one, two = Crew(), Member("one"), Member("two")
    one.failure = failure
    crew.assign({"one": one, "two": two})
    task = asyncio.create_task(crew.run())
    await becomes(lambda: one.running and two.running)
    one.order.set()

    with pytest.raises(ValueError if failure else RuntimeError):
        await task
    assert not two.running
