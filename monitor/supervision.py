"""What becomes of the service's tasks when they fail.

A task of the service never ends by itself: one that fails, or returns, is started again after a
pause that grows with each failure. One that fails too often in too short a time ends the process:
something is wrong that starting again does not heal, and whoever runs the process should know.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn

from monitor.clock import Clock
from monitor.errors import MonitorError

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

log = logging.getLogger(__name__)


class CrashedTooOftenError(MonitorError):
    """A task that starting again does not heal."""


class Supervisor:
    """Starts tasks again; gives up after `budget` failures within `window` seconds."""

    def __init__(self, *, clock: Clock, budget: int = 8, window: float = 600.0) -> None:
        self._clock = clock
        self._budget = budget
        self._window = window
        self.restarts: dict[str, int] = {}

    async def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run it for ever. Raises the task's own MonitorError, and CrashedTooOftenError."""
        failures: deque[float] = deque()
        while True:
            reason = await _outcome(run)
            failures.append(self._clock.now())
            while failures[0] < failures[-1] - self._window:
                failures.popleft()
            if len(failures) > self._budget:
                raise CrashedTooOftenError(
                    f"{name} failed {len(failures)} times within {self._window:g} s,"
                    f" at last because it {reason}; the log has each reason"
                )
            self.restarts[name] = self.restarts.get(name, 0) + 1
            await self._clock.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (len(failures) - 1)))
            log.warning("%s %s: started again", name, reason)


async def _outcome(run: Callable[[], Awaitable[None]]) -> str:
    try:
        await run()
    except MonitorError:
        raise
    except Exception as error:
        log.exception("a task of the service failed")
        return f"failed ({type(error).__name__}: {error})"
    return "ended by itself"
