"""Time as an argument: what waits asks a `Clock`, so that a test or a replay can turn it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Unix seconds now, and a way to wait; both of one time scale."""

    def now(self) -> float:
        """Return Unix seconds (UTC)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
