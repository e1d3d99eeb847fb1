"""One deadline per subject, in a heap: when to look at it even if nothing happens."""

import heapq
from collections.abc import Iterator
from typing import Final

SPARE: Final = 1000


class Deadlines:
    """Subjects are names (a container, a node); putting one again replaces its deadline."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._valid: dict[str, float] = {}

    def put(self, subject: str, at: float) -> None:
        """Look at the subject at that instant, whatever was said of it before."""
        if self._valid.get(subject) != at:
            self._valid[subject] = at
            heapq.heappush(self._heap, (at, subject))
            if len(self._heap) > 2 * len(self._valid) + SPARE:
                self._compact()

    def _compact(self) -> None:
        """Let go of the entries that were replaced or dropped."""
        self._heap = [(at, subject) for subject, at in self._valid.items()]
        heapq.heapify(self._heap)

    def drop(self, subject: str) -> None:
        """Nothing is due for the subject."""
        self._valid.pop(subject, None)

    def due(self, now: float) -> Iterator[str]:
        """Take the subjects whose deadline has come."""
        while self._heap and self._heap[0][0] <= now:
            at, subject = heapq.heappop(self._heap)
            if self._valid.get(subject) == at:
                del self._valid[subject]
                yield subject

    def next(self) -> float | None:
        """The earliest deadline; None for none."""
        while self._heap and self._valid.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
