"""What a daemon has to do and when: its own steps, and one queue per kind of handler.

A handler waits for each of its requests to the API server; while it waits, those behind it in its
queue wait too and those in other queues go on. Old releases have few requests a second.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.emulator.releases import Release
from tests.emulator.settings import Request, Steps
from tests.emulator.switches import Failures

HUNG_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the API server takes, in seconds."""

    watch: float = 0.003
    get: float = 0.002
    list: float = 0.004


@dataclass(slots=True)
class Schedule:
    """Virtual time of one daemon; `now` only moves in `advance`."""

    release: Release
    timing: Timing
    failures: Callable[[], Failures]
    now: float = 0.0
    stopped: bool = False
    _pending: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)
    _queues: dict[str, deque[Steps]] = field(default_factory=dict)
    _budget_used_until: float = 0.0

    def at(self, instant: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (instant, next(self._order), do))

    def due(self) -> float | None:
        return self._pending[0][0] if self._pending and not self.stopped else None

    def advance(self, now: float) -> None:
        while self._pending and self._pending[0][0] <= now and not self.stopped:
            instant, _, do = heapq.heappop(self._pending)
            self.now = max(self.now, instant)
            do()
        self.now = max(self.now, now)

    def stop(self) -> None:
        self.stopped = True
        self._pending.clear()

    def queue(self, name: str, steps: Steps) -> None:
        """Put a handler behind those of its kind."""
        waiting = self._queues.setdefault(name, deque())
        waiting.append(steps)
        if len(waiting) == 1:
            self.at(self.now, lambda: self._work(name))

    def _work(self, name: str) -> None:
        """Run the first handler of a queue to its next request, or go on to the next one."""
        waiting = self._queues[name]
        if self.failures().hung:
            self.at(self.now + HUNG_RETRY_SECONDS, lambda: self._work(name))
            return
        request = next(waiting[0], None)
        if request is not None:
            self.at(self._answered(request), lambda: self._work(name))
            return
        waiting.popleft()
        if waiting:
            self.at(self.now, lambda: self._work(name))

    def _answered(self, request: Request) -> float:
        """Return when the API server will have answered: the client's own budget comes first."""
        start = self.now
        if self.release.requests_per_second is not None:
            cost = 1 / self.release.requests_per_second
            oldest = start - cost * (self.release.request_burst - 1)
            self._budget_used_until = max(self._budget_used_until + cost, oldest)
            start = max(start, self._budget_used_until)
        latency = self.timing.list if request == "list" else self.timing.get
        return start + latency + self.failures().seconds_per_request
