"""An intake that keeps what it is given, and waits for what a test expects of it."""

import asyncio
from collections.abc import Callable, Sequence

from monitor.core.model import DaemonLine, Observation
from monitor.sources import RejectionReason
from tests.clock import ManualClock
from tests.rig.wait import eventually


class Recording:
    """An `Intake` with room for everything, or for nothing while `full`."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.batches: list[int] = []
        self.rejections: list[tuple[str, RejectionReason]] = []
        self.details: list[str] = []
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def full(self) -> bool:
        return not self._emptied.is_set()

    @full.setter
    def full(self, full: bool) -> None:
        if full:
            self._emptied.clear()
        else:
            self._emptied.set()

    def deliver(self, observations: Sequence[Observation]) -> None:
        assert observations, "nothing was delivered"
        self.observations += observations
        self.batches.append(len(observations))

    async def room(self) -> None:
        await self._emptied.wait()

    def reject(self, *, kind: str, reason: RejectionReason, detail: str) -> None:
        self.rejections.append((kind, reason))
        self.details.append(detail)

    @property
    def lines(self) -> list[tuple[int, int]]:
        """Restart count and stamp of every line of text."""
        return [(o.restart, o.stamp) for o in self.observations if isinstance(o, DaemonLine)]

    async def holds(self, *expected: Observation) -> None:
        """Wait until exactly these were observed."""

        async def probe() -> bool:
            assert tuple(self.observations) == expected
            return True

        await eventually(probe, within=5, every=0.001)


async def becomes(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, while the clock stands still."""

    async def probe() -> bool:
        return bool(condition())

    await eventually(probe, within=5, every=0.001)


async def passes(clock: ManualClock, condition: Callable[[], object], *, step: float = 1.0) -> None:
    """Let virtual time pass in steps until a condition holds.

    Before each step the loop gets many turns: what is on its way over the loopback arrives before
    the clock moves on, however busy the machine is.
    """

    async def probe() -> bool:
        for _ in range(50):
            await asyncio.sleep(0)
            if condition():
                return True
        await clock.advance(step)
        return False

    await eventually(probe, within=10, every=0.001)
