"""Lines out of the chunks of a stream, with a bound on their length."""

from typing import NamedTuple

HEAD_BYTES = 200


class Lines(NamedTuple):
    """The lines that a chunk completed, and the beginnings of those that got too long."""

    complete: list[bytes]
    overlong: list[bytes]


class LineBuffer:
    """Splits at newlines only: U+0085 and U+2028 may stand inside a line of JSON.

    A line of more than `limit` bytes is reported once, as soon as it is too long, and discarded up
    to its newline, so that memory stays bounded.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._discarding = False

    @property
    def remainder(self) -> bytes:
        """What has come of a line that no newline has ended."""
        return b"".join(self._parts)

    def feed(self, chunk: bytes) -> Lines:
        *ended, rest = chunk.split(b"\n")
        lines = Lines([], [])
        for piece in ended:
            self._add(piece, lines)
            self._end(lines)
        self._add(rest, lines)
        return lines

    def _add(self, piece: bytes, lines: Lines) -> None:
        if self._discarding or not piece:
            return
        self._parts.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            lines.overlong.append(self.remainder[:HEAD_BYTES])
            self._clear()
            self._discarding = True

    def _end(self, lines: Lines) -> None:
        if not self._discarding:
            lines.complete.append(self._parts[0] if len(self._parts) == 1 else self.remainder)
        self._clear()
        self._discarding = False

    def _clear(self) -> None:
        self._parts = []
        self._size = 0
