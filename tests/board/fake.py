"""A small API server beside the real page, which can misbehave on purpose."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.board.worlds import World

BOARD = Path(__file__).parents[2] / "monitor" / "board"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class FakeApi:
    """Serves `world`; whatever `broken` names answers 503, and `away` drops every connection.

    Use it as a context manager.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken: set[str] = set()
        self.away = False
        self.continued = 0
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._open = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._misbehave])
        application.router.add_get("/", self._page)
        application.router.add_get("/api/v1/summary", self._summary)
        application.router.add_get("/api/v1/stream", self._stream)
        application.router.add_get("/api/v1/demo", self._demo)
        application.router.add_post("/api/v1/demo/continue", self._continue)
        application.router.add_get("/api/v1/explain/{namespace}/{pod}", self._explain)
        application.router.add_get("/api/v1/{collection}", self._collection)
        application.router.add_static("/", BOARD)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, port = runner.addresses[0][:2]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hang_up()
        await self._open.aclose()

    def tell(self, topic: str, data: dict[str, Any]) -> None:
        """Send one event to every open stream."""
        record = {
            "specversion": "1.0",
            "type": f"kubearmor-monitor.{topic}.v1",
            "id": "1",
            "topic": f"kubearmor-monitor.{topic}",
            "subject": "s",
            "data": data,
        }
        for listener in self._listeners:
            listener.put_nowait(f"event: {topic}\ndata: {json.dumps(record)}\n\n".encode())

    def hang_up(self) -> None:
        """End every open stream."""
        for listener in self._listeners:
            listener.put_nowait(None)

    @web.middleware
    async def _misbehave(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        name = request.path.removeprefix("/api/v1/").split("/")[0]
        if self.away and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if name in self.broken:
            raise web.HTTPServiceUnavailable
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = POLICY
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.FileResponse(BOARD / "index.html")

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        del request
        verdicts = Counter(found["verdict"] for found in self.world.containers)
        judged = sum(verdicts[name] for name in ("covered", "gap", "lost", "unknown", "pending"))
        return web.json_response(
            {
                "at": self.world.at,
                "cluster": self.world.cluster,
                "verdicts": verdicts,
                "coverageRatio": verdicts["covered"] / judged if judged else None,
                "gapsOpen": verdicts["gap"] + verdicts["lost"],
                "incidentsOpen": len(self.world.incidents),
                "findings": Counter(found["code"] for found in self.world.findings),
                "hostPolicies": Counter(
                    pair["verdict"] for node in self.world.nodes for pair in node["policies"]
                ),
            }
        )

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        items = getattr(self.world, request.match_info["collection"])
        for name in ("namespace", "verdict"):
            wanted = request.query.get(name)
            items = [item for item in items if wanted in {None, item.get(name)}]
        start = int(request.query.get("continue", "0"))
        end = start + int(request.query.get("limit", "100"))
        token = str(end) if end < len(items) else None
        return web.json_response(
            {"items": items[start:end], "continue": token, "at": self.world.at}
        )

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        wanted = (request.match_info["namespace"], request.match_info["pod"])
        found = [
            item for item in self.world.containers if (item["namespace"], item["pod"]) == wanted
        ]
        if not found:
            raise web.HTTPNotFound
        return web.json_response({"at": self.world.at, "containers": found})

    async def _demo(self, request: web.Request) -> web.StreamResponse:
        del request
        if self.world.demo is None:
            raise web.HTTPNotFound
        return web.json_response(self.world.demo)

    async def _continue(self, request: web.Request) -> web.StreamResponse:
        del request
        self.continued += 1
        return web.json_response({"state": "playing"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        listener: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1000)
        self._listeners.add(listener)
        try:
            with suppress(ConnectionResetError):
                await response.prepare(request)
                await response.write(b": open\n\n")
                while (chunk := await listener.get()) is not None:
                    await response.write(chunk)
        finally:
            self._listeners.discard(listener)
        return response
