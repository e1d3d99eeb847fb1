"""Waiting for a peer: how long until the next try, and how long for an answer."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from monitor.clock import Clock

T = TypeVar("T")

FIRST_SECONDS = 0.5
LIMIT_SECONDS = 30.0
HEALTHY_SECONDS = 60.0


class Late(TimeoutError):
    """An answer that did not come within its time."""


class Backoff:
    """Delays that double from `first` to `limit` seconds, with full jitter.

    Full jitter (any delay from zero to the bound) spreads the clients of a server that comes back.
    """

    def __init__(
        self, *, random: Random, first: float = FIRST_SECONDS, limit: float = LIMIT_SECONDS
    ) -> None:
        self._random = random
        self._first = first
        self._limit = limit
        self._bound = first

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        bound = self._bound
        self._bound = min(self._limit, bound * 2)
        return self._random.uniform(0.0, bound)

    def reset(self) -> None:
        """Begin again with the shortest delay: the peer has been well."""
        self._bound = self._first


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancel it and raise `Late` after that many seconds."""
    working = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({working, timer}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Late(f"no answer within {seconds:g} s")
    finally:
        await cancelled(working, timer)


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and return when they have ended, however they ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
