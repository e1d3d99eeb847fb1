"""Waiting for a condition with a deadline: the only place of the tests that sleeps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

NOT_YET = (AssertionError, OSError)


async def eventually(
    probe: Callable[[], Awaitable[T | None]],
    *,
    within: float,
    every: float = 0.05,
    not_yet: tuple[type[Exception], ...] = NOT_YET,
) -> T:
    """Return the first true answer of `probe`; an exception of `not_yet` counts as no answer."""
    seen: object = "no answer"
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    if answer := await probe():
                        return answer
                    seen = answer
                except not_yet as error:
                    seen = error
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {within} s; last seen: {seen!r}") from None
