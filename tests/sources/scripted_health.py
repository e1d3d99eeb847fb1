"""A health service of a daemon that does as a test tells it to, well or badly."""

import asyncio
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import grpc
from grpc import aio

from monitor.sources.daemon_health import REQUEST

Answer: TypeAlias = bytes | grpc.StatusCode | Literal["silence"]
HOST = "127.0.0.1"


class ScriptedHealth:
    """An asynchronous context manager; `address` is where it listens.

    `answer` are the bytes of a message, the code of an error, or nothing at all.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.asked = 0
        self.waiting = 0
        self._server: aio.Server | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listen, on the same port as before if it listened before."""
        self._server = aio.server(options=(("grpc.so_reuseport", 0),))
        handlers: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),)
        )
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Go away at once."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _check(self, request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
        assert request == REQUEST
        self.asked += 1
        if self.answer == "silence":
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        if isinstance(self.answer, grpc.StatusCode):
            await context.abort(self.answer)
        assert isinstance(self.answer, bytes)
        return self.answer
