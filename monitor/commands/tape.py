"""What was read, as it was read: for a recording that later versions can read more from.

Sources hand on only what the judgement reads of an object or a line. A recording keeps the whole:
the tape holds the raw text of what the API server sent until the observation made of it is
delivered and picks up its own. What nothing picks up (repeats, bookmarks) is forgotten, the oldest
first.
"""

from collections import OrderedDict
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from msgspec import Raw, Struct
from msgspec.json import Decoder

from monitor.clock import Clock
from monitor.core.instants import nanoseconds
from monitor.sources.api_server import ApiServer
from monitor.sources.cluster_access import Credentials
from monitor.sources.lines import LineBuffer
from monitor.wire.kubernetes import sanitised

ENTRIES = 200_000
BYTES = 256 << 20
LINE_BYTES = 8 << 20

T = TypeVar("T")
Key: TypeAlias = tuple[str, str] | tuple[str, int]


class _Metadata(Struct, frozen=True, rename="camel"):
    uid: str = ""
    resource_version: str = ""


class _Object(Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class _Event(Struct, frozen=True):
    object: Raw


class _List(Struct, frozen=True):
    metadata: _Metadata
    items: list[Raw] | None = None


_OBJECT = Decoder(_Object)
_EVENT = Decoder(_Event)
_LIST = Decoder(_List)


class Tape:
    """Raw text by what it is of: an object by uid and version, a line by Pod and stamp."""

    def __init__(self, *, entries: int = ENTRIES, limit: int = BYTES) -> None:
        self.list_versions: dict[str, str] = {}
        self._entries = entries
        self._limit = limit
        self._raw: OrderedDict[Key, bytes] = OrderedDict()
        self._size = 0
        self._message: Any = None

    def put_object(self, raw: bytes) -> None:
        found, raw = _decoded(_OBJECT, raw)
        self._put((found.metadata.uid, found.metadata.resource_version), raw)

    def put_event(self, line: bytes) -> None:
        event, _ = _decoded(_EVENT, line)
        self.put_object(bytes(event.object))

    def put_page(self, resource: str, body: bytes) -> None:
        page, _ = _decoded(_LIST, body)
        self.list_versions[resource] = page.metadata.resource_version
        for item in page.items or ():
            self.put_object(bytes(item))

    def put_line(self, pod: str, line: bytes) -> None:
        stamp, _, _ = line.partition(b" ")
        self._put((pod, nanoseconds(stamp.decode("ascii", "replace"))), line)

    def object(self, uid: str, resource_version: str) -> bytes | None:
        """Pick up an object's JSON; None where it is not here."""
        return self._take((uid, resource_version))

    def line(self, pod: str, stamp: int) -> str | None:
        """Pick up a line of a Pod's output (`namespace/name`) by its stamp in nanoseconds."""
        raw = self._take((pod, stamp))
        return None if raw is None else raw.decode("utf-8", "replace")

    def hear(self, message: Any) -> None:
        """Keep a feed's message for the observation made of it, which is delivered next."""
        self._message = message

    def message(self) -> Any:
        """Pick up the feed's message."""
        message, self._message = self._message, None
        return message

    def _put(self, key: Key, raw: bytes) -> None:
        self._size += len(raw) - len(self._raw.pop(key, b""))
        self._raw[key] = raw
        while len(self._raw) > self._entries or self._size > self._limit:
            _, oldest = self._raw.popitem(last=False)
            self._size -= len(oldest)

    def _take(self, key: Key) -> bytes | None:
        raw = self._raw.pop(key, None)
        self._size -= len(raw or b"")
        return raw


def _decoded(decoder: Decoder[T], raw: bytes) -> tuple[T, bytes]:
    """Decode what was read, repaired where it is no text; raise ValueError or RecursionError."""
    try:
        return decoder.decode(raw), raw
    except ValueError:
        repaired = sanitised(raw)
        return decoder.decode(repaired), repaired


class TapedApiServer(ApiServer):
    """Keeps on the tape what it reads."""

    def __init__(
        self, credentials: Credentials, *, clock: Clock, user_agent: str, tape: Tape
    ) -> None:
        super().__init__(credentials, clock=clock, user_agent=user_agent)
        self._tape = tape
        self._buffers: WeakKeyDictionary[aiohttp.ClientResponse, LineBuffer] = WeakKeyDictionary()

    async def chunk(  # type: ignore[explicit-override]  # typing.override is newer than Python 3.11
        self, response: aiohttp.ClientResponse, *, silence: float
    ) -> bytes:
        raw = await super().chunk(response, silence=silence)
        if _is_of_lines(response):
            buffer = self._buffers.setdefault(response, LineBuffer(limit=LINE_BYTES))
            for line in buffer.feed(raw or b"\n").complete:
                self._keep(response, line)
        return raw

    async def body(  # type: ignore[explicit-override]
        self, response: aiohttp.ClientResponse, *, silence: float, limit: int
    ) -> bytes:
        raw = await super().body(response, silence=silence, limit=limit)
        with suppress(ValueError, RecursionError):
            self._tape.put_page(response.url.name, raw)
        return raw

    def _keep(self, response: aiohttp.ClientResponse, line: bytes) -> None:
        with suppress(ValueError, RecursionError):
            if _is_log(response):
                *_, namespace, _, pod, _ = response.url.parts
                self._tape.put_line(f"{namespace}/{pod}", line)
            else:
                self._tape.put_event(line)


def _is_log(response: aiohttp.ClientResponse) -> bool:
    return response.url.name == "log"


def _is_of_lines(response: aiohttp.ClientResponse) -> bool:
    return _is_log(response) or "watch" in response.url.query
