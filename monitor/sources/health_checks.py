"""The health services of the daemons: whether those whose start nobody read have initialised.

A daemon is asked only while its start is not known: one whose output is read from its first line on
tells more than it could be asked, and one that has initialised stays so until it ends. So where all
output is read, nobody is asked.

Whether a health service can be reached is up to the network between, and to nothing that the daemon
does: a port that is closed to us shows nothing. So all of them are one source, which is down while
somebody has to be asked and nobody answers. A service that takes the connection and says nothing
shows nothing either. A daemon below v1.7.4 does so while it starts (dossier 1.1), and so does a
proxy in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from msgspec import Struct

from monitor.clock import Clock
from monitor.core.health import HEALTH
from monitor.core.model import HealthAnswered, Observation
from monitor.retry import within
from monitor.sources import Intake, quoted
from monitor.sources.crew import Crew
from monitor.sources.daemon_health import Place, UnansweredError, UnreadableError, serves
from monitor.sources.sight import Sight

AT_ONCE: Final = 32
ANSWER_SECONDS: Final = 5.0
PERIOD_SECONDS: Final = 30.0
STARTING_SECONDS: Final = 5.0
"""Between two questions to a daemon that is starting, which it will not be for long. One that does
not answer is asked again so soon too, then at twice the distance each time, up to the period."""
JITTER: Final = 0.1
NOBODY: Final = "no health service answers"
IDLE: Final = "nobody is left to be asked"


class HealthTarget(Struct, frozen=True):
    """A daemon's incarnation, and where its health service may be."""

    node: str
    pod_uid: str
    restart: int
    places: tuple[Place, ...]


class HealthChecks:
    """Asks the daemons that it is told to follow, except those whose start is known."""

    name = HEALTH

    def __init__(
        self,
        *,
        intake: Intake,
        clock: Clock,
        random: Random,
        is_known: Callable[[HealthTarget], bool],
        patience: float,
    ) -> None:
        """`patience`: for how many seconds a daemon's start may show elsewhere before it asks."""
        self._intake = intake
        self._clock = clock
        self._random = random
        self._is_known = is_known
        self._patience = patience
        self._sight = Sight(HEALTH)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._crew = Crew()
        self._checks: dict[HealthTarget, _Check] = {}
        self._answering: set[HealthTarget] = set()
        self._silent: set[HealthTarget] = set()

    def follow(self, targets: frozenset[HealthTarget]) -> None:
        """Ask these daemons from now on, and no others."""
        self._checks = {
            target: self._checks.get(target) or _Check(target, self) for target in targets
        }
        self._answering &= targets
        self._silent &= targets
        self._crew.assign({check.name: check for check in self._checks.values()})

    async def run(self) -> None:
        await self._crew.run()

    async def wait(self) -> None:
        """Wait for what else may show a daemon's start, not all of them equally long."""
        await self._clock.sleep(self._patience * self._random.uniform(1.0, 2.0))

    async def pause(self, seconds: float) -> None:
        """Wait for about so long."""
        await self._clock.sleep(seconds * self._random.uniform(1.0 - JITTER, 1.0 + JITTER))

    async def ask(self, target: HealthTarget) -> bool | None:
        """Return whether a daemon has initialised; None where there is no answer."""
        if self._is_known(target):
            self._silent.discard(target)
            if self._sight.is_down and not self._silent:
                self._deliver(self._sight.up(IDLE))
            return True
        serving = await self._answer(target)
        if target not in self._checks:
            return None
        if serving is None:
            self._answering.discard(target)
            self._silent.add(target)
            if not self._answering:
                self._deliver(self._sight.down(NOBODY))
            return None
        self._silent.discard(target)
        self._answering.add(target)
        answer = HealthAnswered(
            node=target.node, pod_uid=target.pod_uid, restart=target.restart, serving=serving
        )
        self._deliver([*self._sight.up("answered"), answer])
        await self._intake.room()
        return serving

    async def _answer(self, target: HealthTarget) -> bool | None:
        """Return what a daemon answers in time; None for nothing that can be used."""
        try:
            async with self._turns:
                return await within(self._clock, ANSWER_SECONDS, serves(target.places))
        except UnreadableError as error:
            self._intake.reject(kind="health", reason="malformed", detail=quoted(error.answer))
        except (UnansweredError, TimeoutError):
            pass
        return None

    def _deliver(self, observations: Sequence[Observation]) -> None:
        if observations:
            self._intake.deliver(observations)


class _Check:
    """Asks one daemon again and again."""

    def __init__(self, target: HealthTarget, checks: HealthChecks) -> None:
        self.name = f"health/{target.node} {target.pod_uid} {target.restart}"
        self._target = target
        self._checks = checks

    async def run(self) -> None:
        silent = STARTING_SECONDS
        await self._checks.wait()
        while True:
            initialised = await self._checks.ask(self._target)
            if initialised is None:
                await self._checks.pause(silent)
                silent = min(PERIOD_SECONDS, 2 * silent)
            else:
                silent = STARTING_SECONDS
                await self._checks.pause(PERIOD_SECONDS if initialised else STARTING_SECONDS)
