"""Which of a node's daemon containers are to be read, as the API shows them now."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from monitor.sources.container_log import DaemonTarget, Incarnation


class Wanted:
    """The containers that are to be read: of each Pod one, in its present run."""

    def __init__(self) -> None:
        self._targets: dict[Incarnation, DaemonTarget] = {}
        self._changed = asyncio.Event()

    @property
    def targets(self) -> Mapping[Incarnation, DaemonTarget]:
        return self._targets

    def replace(self, targets: Iterable[DaemonTarget]) -> None:
        """Want these from now on, and no others."""
        self._targets = {target.incarnation: target for target in targets}
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when something that follows from what is wanted holds."""
        while not condition():
            await self._changed.wait()

    def holds(self, target: DaemonTarget) -> bool:
        return target.incarnation in self._targets

    def runs(self, target: DaemonTarget) -> bool:
        now = self._targets.get(target.incarnation)
        return now is not None and now.running

    def later_runs(self, target: DaemonTarget) -> int:
        """How many more times the same container has been started, as far as it is known."""
        same = (target.uid, target.container)
        restarts = [t.restart for t in self._targets.values() if (t.uid, t.container) == same]
        return max(0, max(restarts, default=target.restart) - target.restart)

    def is_superseded(self, target: DaemonTarget) -> bool:
        """Whether what the API now calls this container's output is that of a later run."""
        return self.later_runs(target) > 0
