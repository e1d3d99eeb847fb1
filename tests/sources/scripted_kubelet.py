"""pods/log as a kubelet serves it: one pod's container, its runs, and what goes wrong."""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from monitor.sources.transcript import stamp_of

MORNING = 1_795_469_496  # Unix seconds of 2026-11-23T21:31:36Z


def stamped(milliseconds: int, text: str = "Initialized KubeArmor") -> bytes:
    """Make a line whose stamp is so many milliseconds after a certain morning."""
    seconds, rest = divmod(milliseconds, 1000)
    minute, second = divmod(36 + seconds, 60)
    assert minute < 28
    return f"2026-11-23T21:{31 + minute}:{second:02d}.{rest:03d}000000Z {text}".encode()


def at(milliseconds: int) -> int:
    """Return the stamp of such a line in nanoseconds."""
    return MORNING * 1_000_000_000 + milliseconds * 1_000_000


class ScriptedKubelet:
    """The output of one container; it answers requests of all kinds for it.

    `held` makes requests that do not follow wait, to count how many are open at once.
    """

    def __init__(self) -> None:
        self.runs: list[list[bytes]] = [[]]
        self.held: asyncio.Event | None = None
        self.open = 0
        self.most_open = 0
        self._alive = True
        self._news = asyncio.Event()
        self._followers: set[asyncio.Transport] = set()

    @property
    def followed(self) -> bool:
        return bool(self._followers)

    def write(self, *lines: bytes) -> None:
        self.runs[-1] += lines
        self._tell()

    def exit(self) -> None:
        """End the container: streams end when they have given everything."""
        self._alive = False
        self._tell()

    def restart(self, *lines: bytes) -> None:
        """Start the next run of the container."""
        self._alive = False
        self._tell()
        self.runs.append(list(lines))
        self._alive = True

    def rotate(self) -> None:
        """Lose what was written so far, as a rotated file is lost."""
        self.runs[-1] = []

    def cut(self) -> None:
        """Cut every stream that follows."""
        cut, self._followers = self._followers, set()
        for transport in cut:
            transport.abort()
        self._tell()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        run = len(self.runs) - 1
        if "previous" in request.query:
            if run == 0:
                return web.json_response({"kind": "Status", "reason": "BadRequest"}, status=400)
            run -= 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if "follow" in request.query:
                return await self._follow(request, run)
            if self.held is not None:
                await self.held.wait()
            lines = self._selected(request, self.runs[run])
            return web.Response(body=b"".join(line + b"\n" for line in lines))
        finally:
            self.open -= 1

    async def _follow(self, request: web.Request, run: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        transport = request.transport
        self._followers.add(transport)
        try:
            # A run can only grow, except by a rotation, which a test does while nobody follows.
            given = len(self.runs[run]) - len(self._selected(request, self.runs[run]))
            while transport in self._followers:
                news = self._news
                lines = self.runs[run][given:]
                given += len(lines)
                if lines:
                    await response.write(b"".join(line + b"\n" for line in lines))
                elif not self._alive or run < len(self.runs) - 1:
                    return response
                else:
                    await news.wait()
            return response
        finally:
            self._followers.discard(transport)

    def _selected(self, request: web.Request, lines: list[bytes]) -> list[bytes]:
        newest = lines[-int(request.query.get("tailLines", len(lines))) or len(lines) :]
        since = request.query.get("sinceTime")
        return newest if since is None else list(_since(newest, since))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _since(lines: list[bytes], since: str) -> Iterable[bytes]:
    begin = stamp_of(since.encode() + b" ")
    assert begin is not None
    reached = False
    for line in lines:
        reached = reached or (stamp_of(line) or 0) >= begin
        if reached:
            yield line
