"""What has been read of the output of one container, as bookkeeping without IO.

Reading again begins at the second of the last line that was read (the API takes no finer time), and
goes on behind that line. Where it is gone, a line that is stamped later than all that was read is
new: the kubelet's stamps rise within the output of one container, unless its clock is set back. For
those who go by the stamps, lines are then stamped right after the latest before them.
"""

from collections import deque
from datetime import UTC, datetime

from monitor.core.instants import nanoseconds


class Transcript:
    """The position in the output of one container incarnation."""

    def __init__(self) -> None:
        self._last: tuple[int, bytes] | None = None
        self._latest = 0
        self._risen = 0

    @property
    def since(self) -> str | None:
        """The time to read from again, None for the beginning."""
        if self._last is None:
            return None
        second = datetime.fromtimestamp(self._last[0] // 1_000_000_000, tz=UTC)
        return second.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def begun(self) -> bool:
        return self._last is not None

    def is_last(self, line: bytes) -> bool:
        """Whether it is the last line that was read."""
        return self._last is not None and line == self._last[1]

    def is_new(self, line: bytes) -> bool:
        """Whether a line is stamped later than all that was read."""
        stamp = stamp_of(line)
        return stamp is not None and (self._last is None or stamp > self._latest)

    def note(self, lines: list[bytes]) -> None:
        """Take lines as read."""
        for line in reversed(lines):
            if (stamp := stamp_of(line)) is not None:
                self._last = (stamp, line)
                self._latest = max(self._latest, stamp)
                return

    def rising(self, stamp: int) -> int:
        """The stamp that a line which was noted is given: its own, or right after the last one."""
        self._latest = max(self._latest, stamp)
        self._risen = max(stamp, self._risen + 1)
        return self._risen


class Reading:
    """One request for that output: leaves out, at its beginning, what was read before."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._caught_up = not transcript.begun
        self.met_known = False

    def fresh(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines that were not read before."""
        if self._caught_up:
            return lines
        for index, line in enumerate(lines):
            if self._transcript.is_new(line):
                self._caught_up = True
                return lines[index:]
            self.met_known = True
            if self._transcript.is_last(line):
                self._caught_up = True
                return lines[index + 1 :]
        return []


class Backlog:
    """The newest lines, up to a number of bytes; older ones are dropped and counted."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._size = 0
        self.dropped = 0

    def add(self, lines: list[bytes]) -> None:
        self._lines += lines
        self._size += sum(map(len, lines))
        while self._size > self._limit:
            self._size -= len(self._lines.popleft())
            self.dropped += 1

    @property
    def lines(self) -> list[bytes]:
        return list(self._lines)


def stamp_of(line: bytes) -> int | None:
    """Return the kubelet's stamp of a line in nanoseconds, None for a line without one."""
    text, separator, _ = line[:64].partition(b" ")
    if not separator:
        return None
    try:
        return nanoseconds(text.decode("ascii"))
    except ValueError:
        return None
