"""Processor time of one piece of work: neighbours on the machine take none of it."""

import cProfile
import io
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

PROFILED_FUNCTIONS = 20


class Stopwatch:
    """Takes times, and a profile of what it times where one is wanted."""

    def __init__(self, *, profile: bool = False) -> None:
        self._profile = cProfile.Profile() if profile else None

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the processor time that the work takes."""
        if self._profile is not None:
            self._profile.enable()
        began = time.process_time()
        work()
        took = time.process_time() - began
        if self._profile is not None:
            self._profile.disable()
        return took

    def median(self, works: Sequence[Callable[[], object]]) -> float:
        """Return the median of the times that some works take, one after the other."""
        return median(self.seconds(work) for work in works)

    def tell_profile(self) -> None:
        """Print the functions that took longest by themselves, on standard error."""
        if self._profile is None:
            return
        text = io.StringIO()
        statistics = pstats.Stats(self._profile, stream=text)
        statistics.sort_stats("tottime").print_stats(PROFILED_FUNCTIONS)
        sys.stderr.write(text.getvalue())
