"""Answers of a server that is none, or ceases to be one in the middle: each is a failure, soon."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from monitor.retry import Late
from monitor.sources.api_server import NETWORK_ERRORS, failure_of
from monitor.sources.cluster_access import Access, Credentials
from monitor.sources.failures import Failure
from tests.clock import ManualClock
from tests.sources.recording import becomes
from tests.sources.running import connected
from tests.sources.scripted_api import ScriptedApi

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT = Failure("cut", "the connection was cut")
NO_HTTP = Failure("unreachable", "ClientResponseError")


@asynccontextmanager
async def writing(pieces: Sequence[bytes]) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Listen and answer with these bytes, each when the event is set anew; then say nothing."""
    turn, open_writers = asyncio.Event(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await turn.wait()
            turn.clear()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}", turn
    finally:
        server.close()
        for writer in open_writers:
            turn.set()
            writer.transport.abort()
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"\x00\xff\xfe\r\n\r\n"], NO_HTTP),
        ([b"220 mail.example ESMTP\r\n"], NO_HTTP),
        ([b"\x15\x03\x01\x00\x02\x02\x46"], NO_HTTP),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"], NO_HTTP),
        ([CHUNKED, b"zz\r\n"], CUT),
        ([CHUNKED + b"5\r\nhello\r\n", b"zz\r\n"], CUT),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", b"no gzip"], CUT),
    ],
    ids=["binary", "mail", "tls", "length", "chunk", "later chunk", "compression"],
)
async def test_what_is_no_http_is_a_failure_at_once(pieces: list[bytes], expected: Failure) -> None:
    clock = ManualClock()
    read = b""

    async def ask(url: str, turn: asyncio.Event) -> None:
        nonlocal read
        async with (
            connected(url, clock=clock) as server,
            server.get("/x", query={}, answer_within=30.0, accept="*/*") as response,
        ):
            turn.set()
            while chunk := await server.chunk(response, silence=500.0):
                read += chunk

    async with writing(pieces) as (url, turn):
        asking = asyncio.create_task(ask(url, turn))
        await becomes(asking.done)

    error = asking.exception()
    assert isinstance(error, NETWORK_ERRORS)
    assert failure_of(error) == expected
    assert read == (b"hello" if b"hello" in b"".join(pieces) else b"")
    assert clock.sleepers == ()


async def test_a_connection_that_is_reset_is_a_failure_and_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turn = asyncio.Event()

    async def reset_later(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"hello")
        await turn.wait()
        assert request.transport is not None
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return response

    async with ScriptedApi() as api, connected(api.url, clock=ManualClock()) as server:
        api.on("/x", reset_later)
        async with server.get("/x", query={}, answer_within=30.0, accept="*/*") as response:
            first = await server.chunk(response, silence=1.0)
            turn.set()
            with pytest.raises(aiohttp.ClientPayloadError):
                await server.chunk(response, silence=1.0)
    del response
    gc.collect()

    assert first == b"hello"
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_what_a_silence_interrupts_goes_on() -> None:
    clock = ManualClock()
    pieces = [CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"]
    async with (
        writing(pieces) as (url, turn),
        connected(url, clock=clock) as server,
        server.get("/x", query={}, answer_within=30.0, accept="*/*") as response,
    ):
        reading = asyncio.create_task(server.chunk(response, silence=1.0))
        await becomes(lambda: clock.sleepers == (1.0,))
        await clock.advance(1.0)
        with pytest.raises(Late):
            await reading
        turn.set()
        first = await server.chunk(response, silence=1.0)
        turn.set()
        second = await server.chunk(response, silence=1.0)
        end = await server.chunk(response, silence=1.0)

    assert (first, second, end) == (b"one", b"two", b"")


async def test_a_plugin_that_hangs_costs_a_minute() -> None:
    clock = ManualClock()

    async def renew() -> Access:
        await asyncio.Event().wait()
        return Access(server="")

    credentials = Credentials(Access(server="http://x"), renew=renew)
    async with connected("http://x", clock=clock, credentials=credentials) as server:
        renewing = asyncio.create_task(server.renew_credentials())
        await becomes(lambda: clock.sleepers == (60.0,))
        await clock.advance(60.0)
        with pytest.raises(Late):
            await renewing
