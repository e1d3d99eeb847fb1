"""One HTTP session with the Kubernetes API, shared by everything that reads from it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp

from monitor.clock import Clock
from monitor.errors import SourceError
from monitor.retry import Late, cancelled, within
from monitor.sources.cluster_access import Credentials
from monitor.sources.failures import Failure, refusal

CONNECT_SECONDS = 10.0
RENEWAL_SECONDS = 60.0
READ_BUFFER_BYTES = 256 * 1024
REFUSAL_BYTES = 64 * 1024
JSON = "application/json"

NETWORK_ERRORS = (aiohttp.ClientError, OSError, SourceError)  # TimeoutError is an OSError


class TooLarge(Exception):
    """A body beyond its bound."""


class ApiServer:
    """An asynchronous context manager: requests are made inside it, on one event loop."""

    def __init__(self, credentials: Credentials, *, clock: Clock, user_agent: str) -> None:
        self._credentials = credentials
        self._clock = clock
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=_watched_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent},
            read_bufsize=READ_BUFFER_BYTES,
            # Silence is bounded by whoever reads, on the clock that it was given.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def renew_credentials(self) -> None:
        """Read the credentials again; raise `SourceError` or OSError where that fails.

        A plugin that gives them may ask someone who does not answer: then it raises `Late`.
        """
        await within(self._clock, RENEWAL_SECONDS, self._credentials.renew())

    @asynccontextmanager
    async def get(
        self, path: str, *, query: Mapping[str, str], answer_within: float, accept: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and give the answer when its headers are there; raise one of `NETWORK_ERRORS`."""
        async with self._answered(
            path, query=query, answer_within=answer_within, accept=accept, body=None
        ) as response:
            yield response

    @asynccontextmanager
    async def review(
        self, path: str, *, body: bytes, answer_within: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Put a question that the API takes as an object and keeps nothing of; raise likewise."""
        async with self._answered(
            path, query={}, answer_within=answer_within, accept=JSON, body=body
        ) as response:
            yield response

    @asynccontextmanager
    async def _answered(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        answer_within: float,
        accept: str,
        body: bytes | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        answers: list[aiohttp.ClientResponse] = []

        async def ask() -> None:
            answers.append(await self._ask(path, query, accept, body))

        try:
            await within(self._clock, answer_within, ask())
            yield answers[0]
        finally:
            # Also an answer that came in the moment in which it was given up.
            for response in answers:
                response.close()

    async def chunk(self, response: aiohttp.ClientResponse, *, silence: float) -> bytes:
        """Return what can be read at once, empty at the end; raise `Late` after silence.

        A body that ceases to be HTTP makes the client drop the connection and tell no reader of it:
        whoever reads has to look at the connection too, or would wait until the silence is too
        long. What `Late` interrupts loses nothing: the next call goes on.
        """
        content = response.content
        if (chunk := content.read_nowait()) or _is_dropped(response):
            return chunk or _end_of(response)
        reading = asyncio.ensure_future(content.readany())
        timer = asyncio.ensure_future(self._clock.sleep(silence))
        waits: set[asyncio.Future[Any]] = {reading, timer, *_loss_of(response)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            if timer.done():
                raise Late(f"silent for {silence:g} s")
        finally:
            await cancelled(reading, timer)
        return content.read_nowait() or _end_of(response)

    async def body(self, response: aiohttp.ClientResponse, *, silence: float, limit: int) -> bytes:
        """Return the whole body; raise `TooLarge` beyond `limit` bytes."""
        chunks, size = [], 0
        while chunk := await self.chunk(response, silence=silence):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise TooLarge
        return b"".join(chunks)

    async def refusal(self, response: aiohttp.ClientResponse, *, silence: float) -> Failure:
        """Return what an answer other than 200 means."""
        try:
            body = await self.body(response, silence=silence, limit=REFUSAL_BYTES)
        except TooLarge:
            body = b""
        retry_after = response.headers.get("Retry-After")
        return refusal(response.status, retry_after=retry_after, body=body)

    async def _ask(
        self, path: str, query: Mapping[str, str], accept: str, body: bytes | None
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside its context"
        kind = {} if body is None else {"Content-Type": JSON}
        return await self._session.request(
            "GET" if body is None else "POST",
            self._credentials.server + path,
            params=query,
            data=body,
            headers={"Accept": accept, **kind, **self._credentials.headers()},
            ssl=self._credentials.tls(),
            server_hostname=self._credentials.server_name,
            # A redirect would take the credentials elsewhere.
            allow_redirects=False,
        )


def _loss_of(response: aiohttp.ClientResponse) -> list[asyncio.Future[None]]:
    """Return what tells that the connection under an answer was lost, if it is still needed."""
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    lost = protocol.closed if protocol is not None else None
    if lost is None:
        return []
    # Else the loop logs, for each connection that was reset, that nobody asked why.
    lost.remove_done_callback(asyncio.Future.exception)
    lost.add_done_callback(asyncio.Future.exception)
    return [lost]


def _is_dropped(response: aiohttp.ClientResponse) -> bool:
    """Whether nothing more can come: the connection is lost, and not given back at the end."""
    return response.connection is not None and all(lost.done() for lost in _loss_of(response))


def _end_of(response: aiohttp.ClientResponse) -> bytes:
    """Return what stands for the orderly end; raise where there was none."""
    if response.content.is_eof():
        return b""
    raise aiohttp.ClientPayloadError("the connection was dropped")


def failure_of(error: Exception) -> Failure:
    """Return what one of `NETWORK_ERRORS` means."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure("cut", "the connection was cut")
    if isinstance(error, TimeoutError):
        return Failure("silent", "silent for too long")
    if isinstance(error, SourceError):
        return Failure("unreachable", str(error))
    return Failure("unreachable", type(error).__name__)


def _watched_socket(address: Any) -> socket.socket:
    """Return a socket on which the kernel notices a peer that went away without a word."""
    family, kind, protocol, *_ = address
    watched = socket.socket(family=family, type=kind, proto=protocol)
    watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            watched.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return watched
