"""Records as JSON lines: structured CloudEvents with their topic, to a file or standard output.

A record is acknowledged when its line was written. A full disk is waited out, in the middle of a
line if need be. A file that ends in half a line (its writer was killed) is cut back to its last
whole one: the record of that half was not acknowledged, so it comes again.
"""

import asyncio
import errno
import logging
import os
import select
import stat
from collections.abc import Callable
from typing import Protocol

from monitor.clock import Clock, SystemClock
from monitor.errors import ConfigurationError, MonitorError
from monitor.wire.events import Record, structured

log = logging.getLogger(__name__)

STANDARD_OUTPUT = "-"
BATCH = 500
RETRY_SECONDS = 1.0
POLL_MILLISECONDS = 100
TAIL_BYTES = 1 << 16


class OutputClosedError(MonitorError):
    """Whoever read the output has gone: there is nobody left to write for."""


class Pending(Protocol):
    """What records are taken from, in order, and acknowledged to."""

    async def take(self, limit: int) -> list[tuple[int, Record]]: ...

    async def acknowledge(self, sequence: int) -> None: ...


class JsonLines:
    """Writes what an outbox holds to the file `path`, or to standard output for `-`.

    `deliver` runs until it is cancelled, and may be started again.
    """

    def __init__(
        self,
        outbox: Pending,
        path: str,
        *,
        prefix: str,
        clock: Clock | None = None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open the output; `failed` is told the reason of each attempt to write that failed."""
        self._outbox = outbox
        self._path = path
        self._prefix = prefix
        self._clock = clock or SystemClock()
        self._failed = failed
        self._output = _opened(path)
        self._is_file = stat.S_ISREG(os.fstat(self._output).st_mode)
        self._unwritten = memoryview(b"")
        self._sequence = 0
        self._stopping = False
        self._refused = False

    async def deliver(self) -> None:
        """Write for ever. Raises `OutputClosedError` when the reader of a pipe has gone."""
        while True:
            if self._unwritten:
                await self._write_all()
                await self._outbox.acknowledge(self._sequence)
            taken = await self._outbox.take(BATCH)
            self._sequence = taken[-1][0]
            lines = b"".join(structured(record, self._prefix) + b"\n" for _, record in taken)
            self._unwritten = memoryview(lines)

    def close(self) -> None:
        """Close the file; safe to call twice. Standard output stays open."""
        if self._path != STANDARD_OUTPUT and self._output >= 0:
            os.close(self._output)
            self._output = -1

    async def _write_all(self) -> None:
        while self._unwritten:
            try:
                await self._in_thread()
            except BrokenPipeError as error:
                raise OutputClosedError("the reader of the output has gone") from error
            except OSError as error:
                self._refuse(error)
                await self._clock.sleep(RETRY_SECONDS)
        if self._refused:
            self._refused = False
            log.warning("%s is written again", self._path)

    async def _in_thread(self) -> None:
        """Write in a thread; on cancellation wait until the thread has let go of the output."""
        writing = asyncio.get_running_loop().run_in_executor(None, self._write)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            self._stopping = True
            await asyncio.wait({writing})
            self._stopping = False
            raise

    def _write(self) -> None:
        while self._unwritten:
            chunk = self._unwritten
            if not self._is_file:
                if not self._reader_has_room():
                    return
                chunk = chunk[: select.PIPE_BUF]
            written = os.write(self._output, chunk)
            self._unwritten = self._unwritten[written:]
        if self._is_file:
            os.fsync(self._output)

    def _reader_has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._output, select.POLLOUT)
        while not poll.poll(POLL_MILLISECONDS):
            if self._stopping:
                return False
        return True

    def _refuse(self, error: OSError) -> None:
        self._failed(errno.errorcode.get(error.errno or 0, "unknown"))
        if not self._refused:
            log.error("%s cannot be written (%s): records wait", self._path, error.strerror)
        self._refused = True


def _opened(path: str) -> int:
    if path == STANDARD_OUTPUT:
        return 1
    try:
        output = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigurationError(
            f"the output {path} cannot be opened ({error.strerror}): name a file in a writable"
            " folder, or - for standard output"
        ) from error
    if stat.S_ISREG(os.fstat(output).st_mode):
        os.ftruncate(output, _whole_lines(output))
    return output


def _whole_lines(output: int) -> int:
    """Return where the last whole line of a file ends."""
    end = os.fstat(output).st_size
    while end > 0:
        start = max(0, end - TAIL_BYTES)
        newline = os.pread(output, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
