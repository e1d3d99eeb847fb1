"""Server-Sent Events: every record to everybody who listens, as it is decided.

A listener who is too slow loses the oldest of what waits for it and is told how many; it never
holds up the others, nor the decision.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from monitor.clock import Clock, SystemClock
from monitor.core.model import Announcement
from monitor.wire.events import Record, structured

LISTENERS = 64
QUEUED = 1000
PING_SECONDS = 15.0
OPENED = b": open\n\n"
PING = b": ping\n\n"


class Listener:
    """One client's queue of chunks, already in the format of the stream."""

    def __init__(self, *, queued: int) -> None:
        self._chunks: deque[bytes] = deque([OPENED])
        self._queued = queued
        self._dropped = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._changed.set()

    def put(self, chunk: bytes) -> None:
        if len(self._chunks) >= self._queued:
            self._chunks.popleft()
            self._dropped += 1
        self._chunks.append(chunk)
        self._changed.set()

    def ping(self) -> None:
        """Show the client, and whatever is in between, that the stream is alive."""
        if not self._chunks:
            self.put(PING)

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def next(self) -> bytes | None:
        """Wait for what is to be sent, all at once; None at the end of the stream."""
        await self._changed.wait()
        if self._closed:
            return None
        self._changed.clear()
        chunks = list(self._chunks)
        self._chunks.clear()
        if self._dropped:
            chunks.insert(0, b'event: dropped\ndata: {"dropped":%d}\n\n' % self._dropped)
            self._dropped = 0
        return b"".join(chunks)


class EventStream:
    """Those who listen now. `run` pings them and never ends; `close` ends every stream."""

    def __init__(
        self,
        *,
        prefix: str,
        clock: Clock | None = None,
        listeners: int = LISTENERS,
        queued: int = QUEUED,
    ) -> None:
        self._prefix = prefix
        self._clock = clock or SystemClock()
        self._most = listeners
        self._queued = queued
        self._listeners: set[Listener] = set()
        self._closed = False

    def decided(
        self, announcements: Sequence[Announcement], records: Sequence[Record], now: float
    ) -> None:
        """Listen to the engine."""
        del announcements, now
        self.publish(records)

    def publish(self, records: Sequence[Record]) -> None:
        """Send records to everybody who listens, without waiting for anybody."""
        if not self._listeners:
            return
        for record in records:
            chunk = b"id: %s\nevent: %s\ndata: %s\n\n" % (
                record.id.encode(),
                record.topic.encode(),
                structured(record, self._prefix),
            )
            for listener in self._listeners:
                listener.put(chunk)

    def join(self) -> Listener | None:
        """Return a new listener; None if there are too many, or this is the end."""
        if self._closed or len(self._listeners) >= self._most:
            return None
        listener = Listener(queued=self._queued)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def run(self) -> None:
        """Ping for ever."""
        while True:
            await self._clock.sleep(PING_SECONDS)
            for listener in self._listeners:
                listener.ping()

    def close(self) -> None:
        """End every stream at once; safe to call twice."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
