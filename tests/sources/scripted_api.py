"""A Kubernetes API server that answers as a test tells it to, well or badly.

Each request takes the next answer of its route (the path, with `?watch`, `?follow` or `?previous`
where asked for); a route without answers left never answers. An answer is a coroutine function of
the request.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

from aiohttp import web

from tests.sources.recording import becomes

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
PODS = "/api/v1/pods"


class Seen(NamedTuple):
    """A request as it came in."""

    route: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class ScriptedApi:
    """An asynchronous context manager; `url` is where it listens."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self._script: dict[str, deque[Answer]] = defaultdict(deque)
        self._standing: dict[str, Answer] = {}
        self._closing = asyncio.Event()

    def on(self, route: str, *answers: Answer) -> None:
        """Add answers, each for one request."""
        self._script[route] += answers

    def always(self, route: str, answer: Answer) -> None:
        """Answer every request for which nothing else is left like this."""
        self._standing[route] = answer

    def queries(self, route: str) -> list[Mapping[str, str]]:
        return [seen.query for seen in self.seen if seen.route == route]

    async def asked(self, route: str, times: int = 1) -> None:
        """Wait until a route was asked for so many times."""
        await becomes(lambda: len(self.queries(route)) >= times)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        marks = [mark for mark in ("watch", "follow", "previous") if mark in request.query]
        route = request.path + "".join(f"?{mark}" for mark in marks)
        self.seen.append(Seen(route, dict(request.query), dict(request.headers)))
        if self._script[route]:
            return await self._script[route].popleft()(request)
        if route in self._standing:
            return await self._standing[route](request)
        await self._closing.wait()
        return web.Response(status=503)


class Stream:
    """A streamed answer that the test writes piece by piece."""

    def __init__(self, *lines: bytes, end: bool = False) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.send(*lines)
        if end:
            self.end()

    def send(self, *lines: bytes) -> None:
        for line in lines:
            self._pieces.put_nowait(line + b"\n")

    def send_raw(self, piece: bytes) -> None:
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        """End the answer in order."""
        self._pieces.put_nowait(None)

    def reset(self) -> None:
        """Cut the connection under it."""
        assert self._transport is not None
        self._transport.abort()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        self._transport = request.transport
        self.opened.set()
        try:
            while (piece := await self._pieces.get()) is not None:
                await response.write(piece)
        finally:
            self.closed.set()
        return response


def page(items: Iterable[Mapping[str, Any]], *, version: str, continue_token: str = "") -> Answer:
    """Answer with a page of a list."""
    metadata = {"resourceVersion": version}
    if continue_token:
        metadata["continue"] = continue_token
    body = json.dumps({"kind": "List", "metadata": metadata, "items": list(items)}).encode()
    return answer(body=body)


def answer(
    *,
    status: int = 200,
    body: bytes = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    compressed: bool = False,
) -> Answer:
    async def respond(_: web.Request) -> web.StreamResponse:
        response = web.Response(
            status=status, body=body, content_type=content_type, headers=headers
        )
        if compressed:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    return respond


def status(code: int, reason: str, *, retry_after: str | None = None) -> Answer:
    """Answer with a Status object, as the API server refuses."""
    return answer(
        status=code,
        body=json.dumps({"kind": "Status", "code": code, "reason": reason}).encode(),
        headers={"Retry-After": retry_after} if retry_after else None,
    )


def html(code: int) -> Answer:
    """Answer as a proxy refuses."""
    return answer(status=code, body=b"<html>\n<h1>no</h1>\n</html>", content_type="text/html")


async def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def pod(name: str, *, version: str = "1", **metadata: str) -> dict[str, Any]:
    """Make a pod as the API server writes it."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "web",
            "uid": f"uid-{name}",
            "resourceVersion": version,
            **metadata,
        },
        "spec": {"nodeName": "node-a", "containers": [{"name": "nginx", "resources": {}}]},
        "status": {"phase": "Running", "conditions": None},
    }


def event(kind: str, item: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode()


def bookmark(version: str) -> bytes:
    return event(
        "BOOKMARK",
        {"kind": "Pod", "metadata": {"resourceVersion": version, "creationTimestamp": None}},
    )


def error_event(code: int, reason: str) -> bytes:
    return event("ERROR", {"kind": "Status", "metadata": {}, "code": code, "reason": reason})
