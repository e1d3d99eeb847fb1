"""Where decided records wait until they are delivered.

`append` never waits: a record is decided once, on the loop, and what is decided is not lost. It is
numbered and kept in memory until the keeper has written it, with its neighbours, to the file; only
then is it offered for delivery. The file is spoken to by one thread. An acknowledgement is a mark
in memory that the next write carries to the file, so after a crash a few delivered records are
offered again: delivery is at least once.

When the disk refuses to write, records stay in bounded memory and are offered from there behind
those on the disk, in order; what exceeds the bound is dropped, the oldest first, and counted.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from monitor.clock import Clock, SystemClock
from monitor.metrics import OutboxStatistics
from monitor.sinks.outbox_file import OutboxFile, is_corrupt
from monitor.sinks.pending import (
    DEFAULT_LIMITS,
    Entry,
    Lag,
    Limits,
    Pulse,
    Waiting,
    age,
    entry_of,
    require_open,
    unobserved,
)
from monitor.wire.events import Record

__all__ = ["Limits", "MemoryOutbox", "SqliteOutbox"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TAKEN_BYTES = 4 << 20


class MemoryOutbox:
    """Keeps records in memory, all of them and in order: for a replay, a demo, a pipe.

    The same protocol as `SqliteOutbox`. Equal records are not joined, for what a replay says must
    not depend on how fast it is read.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        observe_lag: Callable[[float], None] = unobserved,
    ) -> None:
        self._clock = clock or SystemClock()
        self._waiting = Waiting(limits)
        self._pulse = Pulse()
        self._lag = Lag(observe_lag)
        self._last = 0
        self._acknowledged = 0
        self._closed = False

    def append(self, records: Sequence[Record]) -> None:
        """Take over records, at once."""
        require_open(closed=self._closed)
        now = self._clock.now()
        for record in records:
            self._last += 1
            self._waiting.append(entry_of(self._last, now, record))
        self._pulse.beat()

    async def room(self) -> None:
        """Wait until so much is acknowledged that more may be appended."""
        while self._waiting.too_many and not self._closed:
            await self._pulse.next().wait()

    async def durable(self) -> None:
        """Return at once: memory is as durable as this outbox gets."""

    async def take(self, limit: int) -> list[tuple[int, Record]]:
        """Wait for records and return the oldest that are not acknowledged, with their numbers."""
        while not self._waiting.entries:
            await self._pulse.next().wait()
        return self._lag.taken(list(islice(self._waiting.entries, limit)))

    async def acknowledge(self, sequence: int) -> None:
        """Forget the records up to this number."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._waiting.pop_upto(sequence)
        self._lag.acknowledged(sequence, now=self._clock.now())
        self._pulse.beat()

    async def drained(self) -> None:
        """Wait until all that is appended so far is acknowledged."""
        target = self._last
        while self._acknowledged < target and not self._closed:
            await self._pulse.next().wait()

    async def close(self) -> None:
        self._closed = True
        self._pulse.beat()

    def statistics(self) -> OutboxStatistics:
        entries = self._waiting.entries
        oldest = entries[0].appended if entries else None
        return OutboxStatistics(
            records=len(entries),
            bytes=self._waiting.bytes,
            dropped=0,
            oldest_age_seconds=age(oldest, now=self._clock.now()),
        )


class SqliteOutbox:
    """Keeps records in a file until they are acknowledged; made by `open`, one consumer."""

    def __init__(self, file: OutboxFile, limits: Limits, clock: Clock, lag: Lag) -> None:
        self._file = file
        self._limits = limits
        self._clock = clock
        self._lag = lag
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._waiting = Waiting(limits)
        self._pulse = Pulse()
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = asyncio.Event()
        self._writing = 0
        self._last = 0
        self._durable = 0
        self._acknowledged = 0
        self._deleted = 0
        self._dropped = 0
        self._degraded = False
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        observe_lag: Callable[[float], None] = unobserved,
    ) -> Self:
        """Open or create the file and go on with what is pending in it.

        `observe_lag` is told the seconds from append to acknowledgement of each record. Raises
        `MonitorError` if the path cannot be used; a disk that is only full is waited for.
        """
        file = OutboxFile(path, capacity_bytes=limits.disk_bytes, file_bytes=limits.file_bytes)
        outbox = cls(file, limits, clock or SystemClock(), Lag(observe_lag))
        await outbox._start()
        return outbox

    def append(self, records: Sequence[Record]) -> None:
        """Take over records, at once; await `room` before the next time."""
        require_open(closed=self._closing.is_set())
        now = self._clock.now()
        for record in records:
            self._last += 1
            self._waiting.append(entry_of(self._last, now, record))
        if self._degraded:
            self._shed()
            self._pulse.beat()
        self._work.set()
        if len(self._waiting.entries) >= self._limits.group_records:
            self._hurry.set()

    async def room(self) -> None:
        """Wait until so much is on the disk that more may be appended."""
        while self._waiting.too_many and not self._degraded:
            await self._change(self._pulse.next())

    async def durable(self) -> None:
        """Wait until all that is appended so far is on the disk, or delivered."""
        target = self._last
        while max(self._durable, self._acknowledged) < target:
            self._hurry.set()
            await self._change(self._pulse.next())

    async def take(self, limit: int) -> list[tuple[int, Record]]:
        """Wait for records and return the oldest that are not acknowledged, with their numbers."""
        while True:
            change = self._pulse.next()
            entries = await self._oldest(limit)
            if entries:
                return self._lag.taken(entries)
            await self._change(change)

    async def acknowledge(self, sequence: int) -> None:
        """Forget the records up to this number; the file follows with its next write."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._waiting.pop_upto(sequence)
        self._lag.acknowledged(sequence, now=self._clock.now())
        self._work.set()
        self._pulse.beat()

    async def drained(self) -> None:
        """Wait until nothing is pending: all is acknowledged, or repeats what was."""
        while self._pending():
            await self._change(self._pulse.next())

    async def close(self) -> None:
        """Write what is waiting and close the file; safe to call again."""
        if self._keeper is None:
            return
        keeper, self._keeper = self._keeper, None
        self._closing.set()
        self._work.set()
        self._hurry.set()
        _, late = await asyncio.wait({keeper}, timeout=self._limits.close_seconds)
        if self._waiting.entries or late:
            log.error(
                "outbox closed with %d records that could not be written",
                len(self._waiting.entries) + self._writing,
            )
        if late:
            keeper.cancel()
        else:
            await self._call(self._file.close)
            keeper.result()
        self._thread.shutdown(wait=False)

    @property
    def degraded(self) -> bool:
        """Whether the disk refuses to write, so that what is appended is in memory only."""
        return self._degraded

    def statistics(self) -> OutboxStatistics:
        entries = self._waiting.entries
        oldest = self._file.oldest
        if oldest is None and entries:
            oldest = entries[0].appended
        return OutboxStatistics(
            records=self._file.records + len(entries) + self._writing,
            bytes=self._file.bytes + self._waiting.bytes,
            dropped=self._dropped,
            oldest_age_seconds=age(oldest, now=self._clock.now()),
        )

    def _pending(self) -> bool:
        unread = self._file.records and self._acknowledged < self._durable
        return bool(self._waiting.entries or self._writing or unread)

    async def _start(self) -> None:
        try:
            set_aside = await self._call(self._file.open)
        except sqlite3.Error as error:
            self._degrade(error)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        else:
            self._last = self._durable = self._file.last
            if set_aside:
                self._say_set_aside("what was pending in it is not delivered")
        self._keeper = asyncio.create_task(self._keep(), name="outbox")
        self._keeper.add_done_callback(lambda _: self._pulse.beat())

    async def _keep(self) -> None:
        while not self._closing.is_set():
            await self._work.wait()
            await self._gather()
            await self._write()
        failed = False
        while not failed and (self._waiting.entries or self._deleted < self._acknowledged):
            failed = not await self._write()

    async def _gather(self) -> None:
        """Let records that come at the same time share one commit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.group_seconds):
                await self._hurry.wait()
        self._hurry.clear()

    async def _write(self) -> bool:
        """Write what has waited longest; return whether the file took it."""
        self._work.clear()
        group = self._waiting.pop_group()
        acknowledged = self._acknowledged
        self._writing = len(group)
        try:
            dropped = await self._call(self._file.commit, group, acknowledged=acknowledged)
        except sqlite3.Error as error:
            failure: sqlite3.Error | None = error
            self._waiting.put_back(group)
            self._waiting.pop_upto(self._acknowledged)
        else:
            failure = None
            self._written(group, acknowledged=acknowledged, dropped=dropped)
        self._writing = 0
        if failure is not None:
            await self._failed(failure)
        elif self._waiting.entries:
            self._work.set()
        if len(self._waiting.entries) >= self._limits.group_records:
            self._hurry.set()
        return failure is None

    def _written(self, group: Sequence[Entry], *, acknowledged: int, dropped: int) -> None:
        if dropped:
            log.error("outbox is at its limit: dropped the %d oldest records", dropped)
            self._dropped += dropped
        if self._degraded:
            self._degraded = False
            log.warning("outbox is written again (%d records dropped so far)", self._dropped)
        self._deleted = acknowledged
        if group:
            self._durable = group[-1].sequence
        self._pulse.beat()

    async def _failed(self, error: sqlite3.Error) -> None:
        """Make the best of it; the next attempt comes after a pause."""
        if not (is_corrupt(error) and await self._set_aside()):
            self._degrade(error)
        self._work.set()
        await self._pause()

    async def _set_aside(self) -> bool:
        try:
            lost = await self._call(self._file.set_aside)
        except OSError:
            return False
        self._dropped += lost
        self._say_set_aside(f"{lost} records pending in it are not delivered")
        return True

    def _say_set_aside(self, consequence: str) -> None:
        aside = self._file.path_aside
        log.error("outbox was damaged: moved to %s, %s; started afresh", aside, consequence)

    def _degrade(self, error: sqlite3.Error) -> None:
        if not self._degraded:
            log.error(
                "outbox cannot be written (%s): records are kept in memory (at most %d) until it"
                " can; free space on its volume",
                error,
                self._limits.memory_records,
            )
        self._degraded = True
        self._shed()
        self._pulse.beat()

    def _shed(self) -> None:
        while self._waiting.too_many:
            self._waiting.pop()
            self._dropped += 1

    async def _pause(self) -> None:
        nap = asyncio.create_task(self._clock.sleep(self._limits.retry_seconds))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({nap, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            closing.cancel()

    async def _oldest(self, limit: int) -> list[Entry]:
        """Read the file first; from memory only what is newer than everything there."""
        if self._durable > self._acknowledged:
            try:
                entries = await self._call(
                    self._file.read, after=self._acknowledged, limit=limit, limit_bytes=TAKEN_BYTES
                )
            except sqlite3.Error as error:
                await self._failed(error)
                return []
            if entries:
                return entries
        if self._degraded and not self._writing:
            return list(islice(self._waiting.entries, limit))
        return []

    async def _change(self, event: asyncio.Event) -> None:
        await event.wait()
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()

    async def _call(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        call = self._thread.submit(function, *arguments, **options)
        return await asyncio.wrap_future(call)
