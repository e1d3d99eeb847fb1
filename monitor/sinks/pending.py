"""What an outbox is made of: records in their places, in memory, bounded and timed."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from monitor.wire.events import Record

RECORD_OVERHEAD_BYTES = 128


class Entry(Struct, frozen=True):
    """A record in its place: `appended` is Unix seconds, `size` what it counts as, in bytes."""

    sequence: int
    appended: float
    size: int
    record: Record


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of an outbox. `file_bytes` is a ceiling for the file itself, as a quota would be."""

    disk_bytes: int = 1 << 30
    file_bytes: int | None = None
    memory_records: int = 20_000
    memory_bytes: int = 32 << 20
    group_records: int = 1000
    group_seconds: float = 0.02
    retry_seconds: float = 1
    close_seconds: float = 5


DEFAULT_LIMITS = Limits()


def unobserved(_: float) -> None:
    """Forget a measurement nobody asked for."""


class Pulse:
    """Wakes all that wait for the state to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        return self._event


class Waiting:
    """Entries in memory, oldest first, numbered in the order they were appended."""

    def __init__(self, limits: Limits) -> None:
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self._limits = limits

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.bytes += entry.size

    def pop(self) -> Entry:
        entry = self.entries.popleft()
        self.bytes -= entry.size
        return entry

    def pop_group(self) -> list[Entry]:
        return [self.pop() for _ in range(min(len(self.entries), self._limits.group_records))]

    def put_back(self, group: Sequence[Entry]) -> None:
        self.entries.extendleft(reversed(group))
        self.bytes += sum(entry.size for entry in group)

    def pop_upto(self, sequence: int) -> None:
        while self.entries and self.entries[0].sequence <= sequence:
            self.pop()

    @property
    def too_many(self) -> bool:
        return (
            len(self.entries) > self._limits.memory_records
            or self.bytes > self._limits.memory_bytes
        )


class Lag:
    """Measures from append to acknowledgement."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._taken: deque[Entry] = deque()

    def taken(self, entries: Sequence[Entry]) -> list[tuple[int, Record]]:
        self._taken = deque(entries)
        return [(entry.sequence, entry.record) for entry in entries]

    def acknowledged(self, sequence: int, *, now: float) -> None:
        while self._taken and self._taken[0].sequence <= sequence:
            self._observe(max(0.0, now - self._taken.popleft().appended))


def entry_of(sequence: int, now: float, record: Record) -> Entry:
    names = f"{record.key}{record.id}{record.type}{record.source}{record.subject}"
    try:
        size = len(names.encode())
    except UnicodeEncodeError:
        record = _storable(record)
        size = len(names)
    size += RECORD_OVERHEAD_BYTES + len(record.data or b"")
    return Entry(sequence, now, size, record)


def _storable(record: Record) -> Record:
    """Replace what is no text (a lone surrogate): a name must never block those behind it."""
    fields = ("key", "id", "type", "source", "subject")
    texts = {name: getattr(record, name).encode(errors="replace").decode() for name in fields}
    return structs.replace(record, **texts)


def age(appended: float | None, *, now: float) -> float:
    return 0.0 if appended is None else max(0.0, now - appended)


def require_open(*, closed: bool) -> None:
    if closed:
        raise RuntimeError("the outbox is closed")
