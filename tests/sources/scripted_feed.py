"""A server of KubeArmor's feeds that does as a test tells it to, well or badly."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import grpc
from grpc import aio

from monitor.wire.pb import feeder_pb2

Kind: TypeAlias = Literal["alerts", "logs", "messages"]
METHODS: dict[Kind, str] = {
    "alerts": "WatchAlerts",
    "logs": "WatchLogs",
    "messages": "WatchMessages",
}


class Subscriber(NamedTuple):
    """A stream that a client has open; `pieces` ends with the status to end with."""

    filter: str
    pieces: "asyncio.Queue[bytes | grpc.StatusCode]"


class ScriptedFeed:
    """An asynchronous context manager; `address` is where it listens.

    `health` is how it answers health checks; `refused` are feeds that end at once, with that code.
    """

    def __init__(self, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self.port = 0
        self.health: Literal["well", "silent", "wrong", "refused", "garbage"] = "well"
        self.refused: dict[Kind, grpc.StatusCode] = {}
        self.probes = 0
        self.subscribers: dict[Kind, list[Subscriber]] = {kind: [] for kind in METHODS}
        self.cancelled: list[Kind] = []
        self._credentials = credentials
        self._server: aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def listening(self) -> bool:
        return self._server is not None

    def send(self, kind: Kind, *messages: Any) -> None:
        """Send to every client of a feed."""
        for subscriber in self.subscribers[kind]:
            for message in messages:
                raw = message if isinstance(message, bytes) else message.SerializeToString()
                subscriber.pieces.put_nowait(raw)

    def end(self, kind: Kind, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        """End every stream of a feed."""
        for subscriber in self.subscribers[kind]:
            subscriber.pieces.put_nowait(code)

    async def start(self) -> None:
        """Listen, on the same port as before if it listened before."""
        self._server = aio.server(options=(("grpc.so_reuseport", 0),))
        handlers: dict[str, Any] = {
            method: grpc.unary_stream_rpc_method_handler(
                self._watch(kind),
                request_deserializer=feeder_pb2.RequestMessage.FromString,
                response_serializer=None,
            )
            for kind, method in METHODS.items()
        }
        health: Any = grpc.unary_unary_rpc_method_handler(
            self._health,
            request_deserializer=feeder_pb2.NonceMessage.FromString,
            response_serializer=None,
        )
        self._server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(
                "feeder.LogService", handlers | {"HealthCheck": health}
            ),
        ))  # fmt: skip
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
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

    async def _health(self, request: Any, context: Any) -> Any:
        self.probes += 1
        if self.health == "silent":
            await asyncio.Event().wait()
        if self.health == "refused":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if self.health == "garbage":
            return b"\xff\xff\xff"
        wrong = self.health == "wrong"
        reply = feeder_pb2.ReplyMessage(Retval=request.nonce ^ 1 if wrong else request.nonce)
        return reply.SerializeToString()

    def _watch(self, kind: Kind) -> Any:
        async def watch(request: Any, context: Any) -> AsyncIterator[bytes]:
            if (code := self.refused.get(kind)) is not None:
                await _end(context, code)
                return
            subscriber = Subscriber(request.Filter, asyncio.Queue())
            self.subscribers[kind].append(subscriber)
            try:
                while isinstance(piece := await subscriber.pieces.get(), bytes):
                    yield piece
                await _end(context, piece)
            except asyncio.CancelledError:
                self.cancelled.append(kind)
                raise
            finally:
                self.subscribers[kind].remove(subscriber)

        return watch


async def _end(context: Any, code: grpc.StatusCode) -> None:
    if code is not grpc.StatusCode.OK:
        await context.abort(code, "told to")
