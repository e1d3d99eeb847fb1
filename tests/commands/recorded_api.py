"""A Kubernetes API server that shows a recording's cluster as it was at one instant.

Lists are what the recording's lists and watches add up to by then, pods/log is each daemon's text,
and whatever follows or watches waits for news that do not come.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import zstandard
from aiohttp import web

Json: TypeAlias = dict[str, Any]
TRACES = Path(__file__).parents[1] / "traces"


class RecordedApi:
    """An asynchronous context manager; `url` is where it listens."""

    def __init__(self, trace: str | Path, *, until: float = float("inf")) -> None:
        """`trace` is one of the recordings by name, or any file."""
        self.url = ""
        self.objects: dict[str, dict[str, Json]] = defaultdict(dict)
        self.text: dict[str, list[str]] = defaultdict(list)
        self._closing = asyncio.Event()
        if isinstance(trace, Path):
            with trace.open(encoding="utf-8") as lines:
                self._read(lines, until)
            return
        path = TRACES / trace / "trace.jsonl.zst"
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            self._read(TextIOWrapper(stream, encoding="utf-8"), until)

    def _read(self, lines: Iterator[str], until: float) -> None:
        next(lines)
        for line in lines:
            if not line.strip():
                continue
            moment = json.loads(line)
            if moment["at"] > until:
                break
            self._take(moment)

    def _take(self, moment: Json) -> None:
        match moment["kind"]:
            case "list":
                items = moment["items"] or []
                found = {item["metadata"]["uid"]: item for item in items}
                self.objects[moment["resource"]] = found
            case "watch" if moment["event"]["type"] == "DELETED":
                uid = moment["event"]["object"]["metadata"]["uid"]
                self.objects[moment["resource"]].pop(uid, None)
            case "watch" if moment["event"]["type"] in ("ADDED", "MODIFIED"):
                item = moment["event"]["object"]
                self.objects[moment["resource"]][item["metadata"]["uid"]] = item
            case "text":
                known = self.text[moment["pod"]]
                if not known or moment["line"].split(" ")[0] > known[-1].split(" ")[0]:
                    known.append(moment["line"])

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log", self._answer_log
        )
        application.router.add_get("/{path:.*}", self._answer_objects)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
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

    async def _answer_objects(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._wait(request, "")
        _, _, resource = request.path.rpartition("/")
        version = {"resourceVersion": "1000"}
        body = {"metadata": version, "items": list(self.objects[resource].values())}
        return web.json_response(body)

    async def _answer_log(self, request: web.Request) -> web.StreamResponse:
        pod = f"{request.match_info['namespace']}/{request.match_info['pod']}"
        since = request.query.get("sinceTime", "")
        text = "".join(f"{line}\n" for line in self.text[pod] if line >= since)
        if "previous" in request.query:
            raise web.HTTPBadRequest
        if "follow" in request.query:
            return await self._wait(request, text)
        return web.Response(text=text)

    async def _wait(self, request: web.Request, text: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(text.encode())
        await self._closing.wait()
        return response
