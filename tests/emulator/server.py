"""LogService over real gRPC, as daemons and the relay serve it: no history, silent drops."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message as ProtoMessage

from monitor.wire.pb import feeder_pb2, feeder_pb2_grpc

QUEUE = 1000
FILTERS = {"WatchAlerts": frozenset({"all", "policy"}), "WatchLogs": frozenset({"all", "system"})}
SERVICE = "feeder.LogService"
SERVING = b"\x08\x01"
SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 300_000),
)

Proto = TypeVar("Proto", bound=ProtoMessage)
Client = Callable[[str, str, str], None]


def alert(fields: Mapping[str, Any]) -> feeder_pb2.Alert:
    return ParseDict(dict(fields), feeder_pb2.Alert())


def log(fields: Mapping[str, Any]) -> feeder_pb2.Log:
    return ParseDict(dict(fields), feeder_pb2.Log())


def message(fields: Mapping[str, Any]) -> feeder_pb2.Message:
    return ParseDict(dict(fields), feeder_pb2.Message())


@dataclass(slots=True)
class Fan:
    """One stream's subscribers; what does not fit into a subscriber's queue is gone."""

    limit: int = QUEUE
    queues: dict[str, asyncio.Queue[Any]] = field(default_factory=dict)

    def publish(self, items: Iterable[ProtoMessage]) -> None:
        for item in items:
            for queue in self.queues.values():
                if not queue.full():
                    queue.put_nowait(item)


@dataclass(slots=True)
class Feed:
    """The three streams of one server."""

    messages: Fan = field(default_factory=Fan)
    alerts: Fan = field(default_factory=Fan)
    logs: Fan = field(default_factory=Fan)


class LogServer(feeder_pb2_grpc.LogServiceServicer):
    """Answers from a feed; `client` is told who comes and goes (change, detail, stream)."""

    def __init__(self, feed: Feed, *, client: Client) -> None:
        self._feed = feed
        self._client = client

    async def HealthCheck(  # type: ignore[explicit-override]  # noqa: N802 - the service's name
        self,
        request: feeder_pb2.NonceMessage,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> feeder_pb2.ReplyMessage:
        return feeder_pb2.ReplyMessage(Retval=request.nonce)

    async def WatchMessages(  # type: ignore[explicit-override]  # noqa: N802
        self,
        request: feeder_pb2.RequestMessage,  # noqa: ARG002 - the filter is ignored
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[feeder_pb2.Message]:
        async for item in self._items(self._feed.messages, "WatchMessages", ""):
            yield item

    async def WatchAlerts(  # type: ignore[explicit-override]  # noqa: N802
        self,
        request: feeder_pb2.RequestMessage,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[feeder_pb2.Alert]:
        async for item in self._items(self._feed.alerts, "WatchAlerts", request.Filter):
            yield item

    async def WatchLogs(  # type: ignore[explicit-override]  # noqa: N802
        self,
        request: feeder_pb2.RequestMessage,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[feeder_pb2.Log]:
        async for item in self._items(self._feed.logs, "WatchLogs", request.Filter):
            yield item

    async def _items(self, fan: Fan, stream: str, filter_: str) -> AsyncIterator[Any]:
        """Yield from now on; a filter that the stream does not know ends it at once, well."""
        if stream in FILTERS and filter_ not in FILTERS[stream]:
            return
        uid = str(uuid.uuid4())
        queue: asyncio.Queue[Any] = asyncio.Queue(fan.limit)
        fan.queues[uid] = queue
        detail = f"{uid}, {filter_}" if stream in FILTERS else uid
        self._client("Added a new", detail, stream)
        try:
            while True:
                yield await queue.get()
        finally:
            del fan.queues[uid]
            self._client("Deleted the", uid, stream)


class HealthService:
    """grpc.health.v1 as daemons have it: the server as a whole is well from its creation on.

    `serving` tells whether LogService is: until then it is a service that nobody knows.
    """

    def __init__(self, serving: Callable[[], bool]) -> None:
        self._serving = serving

    def join(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),)
        )

    async def _check(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        # One field of the message: its tag, its length, the service's name.
        service = request[2:].decode()
        if service and not (service == SERVICE and self._serving()):
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return SERVING


class HealthListener:
    """The health service at a port of its own, which is there before the feeds are."""

    def __init__(self, *, address: str, port: int, serving: Callable[[], bool]) -> None:
        self.address = address
        self.port = port
        self._service = HealthService(serving)
        self._server: grpc.aio.Server | None = None

    async def open(self) -> None:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        self._service.join(server)
        self.port = server.add_insecure_port(f"{self.address}:{self.port}")
        await server.start()
        self._server = server

    async def close(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace=None)


class Listener:
    """A LogServer on one address; before `serve` it accepts connections and never answers.

    `health`: whether the health service is here too.
    """

    def __init__(
        self, *, address: str, port: int, feed: Feed, client: Client, health: bool = False
    ) -> None:
        self.address = address
        self.port = port
        self._health = HealthService(lambda: True) if health else None
        self._servicer = LogServer(feed, client=client)
        self._mute: socket.socket | None = None
        self._server: grpc.aio.Server | None = None

    def open(self) -> None:
        """Bind and listen without ever reading, as a daemon does while it starts."""
        mute = socket.socket()
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind((self.address, self.port))
        mute.listen()
        self.port = mute.getsockname()[1]
        self._mute = mute

    async def serve(self) -> None:
        self._unmute()
        server = grpc.aio.server(options=SERVER_OPTIONS)
        feeder_pb2_grpc.add_LogServiceServicer_to_server(self._servicer, server)
        if self._health is not None:
            self._health.join(server)
        self.port = server.add_insecure_port(f"{self.address}:{self.port}")
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Drop every client at once."""
        self._unmute()
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace=None)

    def _unmute(self) -> None:
        if self._mute is not None:
            self._mute.close()
            self._mute = None
