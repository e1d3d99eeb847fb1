"""What is served over HTTP: probes and metrics on one listener, the API and the board on another.

Whatever is asked, the loop stays free: metrics are formatted in a thread, lists are walked and
shown a slice at a time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Protocol, TypeAlias

from aiohttp import web
from msgspec import json

from monitor.errors import ConfigurationError
from monitor.sinks.paging import SECTIONS, page, question_of
from monitor.sinks.stream import EventStream

log = logging.getLogger(__name__)

Address: TypeAlias = tuple[str | None, int]
Reply: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROWS_SHOWN_AT_ONCE = 20
STALLED_SECONDS = 60
SHUTDOWN_SECONDS = 2
COMPRESSED_IN_THREAD = 64 << 10
BOARD_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ListenError(ConfigurationError):
    """An address that cannot be had; `problem` says which and why, the message what to do too."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: configure another address (http.probes, http.api)")
        self.problem = problem


class View(Protocol):
    """What the server may ask, on the loop; every answer is of one instant and cheap to give.

    `rows` returns a section's values in the report's order, as a sequence that will not change;
    `present` returns one of them as plain JSON, as it is now, or None if it is no more.
    """

    def at(self) -> str:
        """Return the instant of the answers, in RFC 3339."""
        ...

    def summary(self) -> Mapping[str, Any]: ...

    def rows(self, section: str) -> Sequence[Any]: ...

    def present(self, row: Any) -> Mapping[str, Any] | None: ...

    def explain(self, namespace: str, pod: str) -> Mapping[str, Any] | None:
        """Return the Pod's containers with all that led to their verdicts, and the instant.

        None if no container of such a Pod is running.
        """
        ...

    def explain_node(self, name: str) -> Mapping[str, Any] | None:
        """Return a node with all that led to its verdict and those of its policies, or None."""
        ...

    async def metrics(self, *, openmetrics: bool) -> bytes: ...

    def missing(self) -> Sequence[str]:
        """Return what has to be read before the service is ready."""
        ...

    def alive(self) -> bool: ...


class Demo(Protocol):
    """A demonstration that holds until it is told to go on."""

    def state(self) -> Mapping[str, Any]: ...

    def go_on(self) -> None: ...


class HttpServer:
    """Both listeners, or one that serves everything where both have the same address."""

    def __init__(
        self,
        view: View,
        *,
        stream: EventStream,
        probes: Address | None,
        api: Address | None,
        demo: Demo | None = None,
        board: Traversable | None = None,
    ) -> None:
        self._view = view
        self._stream = stream
        self._probes = probes
        self._api = api
        self._demo = demo
        self._board = _Board(board or files("monitor") / "board")
        self._runners: list[web.AppRunner] = []
        self.probes_url: str | None = None
        self.api_url: str | None = None

    async def start(self) -> None:
        """Listen. Raises `ListenError` if an address cannot be had."""
        routes = {self._probes: self._probe_routes()}
        routes[self._api] = [*routes.get(self._api, ()), *self._api_routes()]
        urls = {
            address: await self._listen(address, found)
            for address, found in routes.items()
            if address is not None
        }
        self.probes_url = urls.get(self._probes) if self._probes else None
        self.api_url = urls.get(self._api) if self._api else None

    async def stop(self) -> None:
        """End every stream and stop listening; safe to call twice."""
        self._stream.close()
        while self._runners:
            await self._runners.pop().cleanup()

    async def _listen(self, address: Address, routes: Sequence[web.RouteDef]) -> str:
        application = web.Application(middlewares=[_problems], client_max_size=1024)
        application.add_routes(routes)
        application.on_response_prepare.append(_secure)
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._runners.append(runner)
        host, port = address
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await self.stop()
            reason = error.strerror or str(error)
            raise ListenError(f"cannot listen on {host or ''}:{port} ({reason})") from error
        bound = runner.addresses[0]
        return f"http://{_host_in_url(host or '127.0.0.1')}:{bound[1]}/"

    def _probe_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics", self._metrics),
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
        ]

    def _api_routes(self) -> list[web.RouteDef]:
        routes = [
            web.get("/api/v1/summary", self._summary),
            web.get("/api/v1/stream", self._events),
            web.get("/api/v1/explain/{namespace}/{pod}", self._explain),
            web.get("/api/v1/nodes/{node}/explain", self._explain_node),
            *(web.get(f"/api/v1/{section}", self._rows) for section in SECTIONS),
        ]
        if self._demo is not None:
            routes.append(web.get("/api/v1/demo", self._demo_state))
            routes.append(web.post("/api/v1/demo/continue", self._demo_continue))
        return [*routes, *self._board.routes()]

    # --- probes and metrics -----------------------------------------------------------------------

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        openmetrics = OPENMETRICS in request.headers.get("Accept", "")
        body = await self._view.metrics(openmetrics=openmetrics)
        headers = {"Content-Type": OPENMETRICS_TYPE if openmetrics else TEXT_TYPE}
        return _compressed(request, body, headers)

    async def _livez(self, request: web.Request) -> web.StreamResponse:
        alive = self._view.alive()
        return _json(request, {"alive": alive}, status=_ok_or_unavailable(ok=alive))

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        missing = list(self._view.missing())
        body = {"ready": not missing, "missing": missing}
        return _json(request, body, status=_ok_or_unavailable(ok=not missing))

    # --- the API ----------------------------------------------------------------------------------

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        return _json(request, self._view.summary())

    async def _rows(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        question = question_of(request, name)
        at = self._view.at()
        found, token = await page(self._view.rows(name), question)
        items = [item async for item in self._presented(found) if question.admits(item)]
        return _json(request, {"at": at, "items": items, "continue": token})

    async def _presented(self, rows: Sequence[Any]) -> AsyncIterator[Mapping[str, Any]]:
        for number, row in enumerate(rows):
            if number % ROWS_SHOWN_AT_ONCE == 0:
                await asyncio.sleep(0)
            item = self._view.present(row)
            if item is not None:
                yield item

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        namespace, pod = request.match_info["namespace"], request.match_info["pod"]
        explanation = self._view.explain(namespace, pod)
        if explanation is None:
            raise web.HTTPNotFound(text=f"no container of a Pod {namespace}/{pod} is running")
        return _json(request, explanation)

    async def _explain_node(self, request: web.Request) -> web.StreamResponse:
        node = request.match_info["node"]
        explanation = self._view.explain_node(node)
        if explanation is None:
            raise web.HTTPNotFound(text=f"no node {node} is known")
        return _json(request, explanation)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        listener = self._stream.join()
        if listener is None:
            raise web.HTTPServiceUnavailable(text="there are too many streams; try again later")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        try:
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):
                while (chunk := await listener.next()) is not None:
                    async with asyncio.timeout(STALLED_SECONDS):
                        await response.write(chunk)
        finally:
            self._stream.leave(listener)
        return response

    async def _demo_state(self, request: web.Request) -> web.StreamResponse:
        assert self._demo is not None
        return _json(request, self._demo.state())

    async def _demo_continue(self, request: web.Request) -> web.StreamResponse:
        assert self._demo is not None
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(text="only the board itself may do this")
        self._demo.go_on()
        return _json(request, self._demo.state())


class _Board:
    """The page's files, read once."""

    def __init__(self, folder: Traversable) -> None:
        self._files = {
            f"/{file.name}": (file.read_bytes(), kind)
            for file in folder.iterdir()
            if (kind := BOARD_TYPES.get("." + file.name.rpartition(".")[2])) and file.is_file()
        }
        if "/index.html" in self._files:
            self._files["/"] = self._files["/index.html"]

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self._file) for path in self._files]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        body, kind = self._files[request.path]
        tag = f'"{sha256(body).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        return _compressed(request, body, {"Content-Type": kind + charset, **headers})


# --- answers ------------------------------------------------------------------------------------


@web.middleware
async def _problems(request: web.Request, handler: Reply) -> web.StreamResponse:
    """Answer every error as a problem object (RFC 9457)."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        plain = f"{error.status}: {error.reason}"
        detail = error.text if error.text and error.text != plain else None
        return _problem(HTTPStatus(error.status), detail=detail, headers=allow)
    except Exception:
        log.exception("the answer to %s %s failed", request.method, request.path)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail="the log says why", headers={})


def _problem(status: HTTPStatus, *, detail: str | None, headers: Mapping[str, str]) -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value}
    return web.Response(
        status=status,
        body=json.encode(body | ({"detail": detail} if detail else {})),
        headers={"Content-Type": "application/problem+json", **headers},
    )


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def _json(request: web.Request, value: object, *, status: int = HTTPStatus.OK) -> web.Response:
    return _compressed(
        request, json.encode(value), {"Content-Type": "application/json"}, status=status
    )


def _compressed(
    request: web.Request, body: bytes, headers: Mapping[str, str], *, status: int = HTTPStatus.OK
) -> web.Response:
    response = web.Response(
        status=status, body=body, headers=headers, zlib_executor_size=COMPRESSED_IN_THREAD
    )
    response.headers["Vary"] = "Accept, Accept-Encoding"
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def _ok_or_unavailable(*, ok: bool) -> HTTPStatus:
    return HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE


def _host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
