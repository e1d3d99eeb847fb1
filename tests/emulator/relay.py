"""KubeArmor's relay: one feed out of all daemons', with buffers that drop silently.

It connects to each daemon by itself and never says that it lost one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message as ProtoMessage

from monitor.wire.pb import feeder_pb2, feeder_pb2_grpc
from tests.emulator.server import Fan, Feed, Listener

RETRY_SECONDS = 5.0
PUMP_SECONDS = 0.01
BUFFERS = {"messages": 100, "alerts": 1000, "logs": 10_000}
CLIENT_QUEUES = {"messages": 1000, "alerts": 1000, "logs": 10_000}
REQUESTS = {"messages": "all", "alerts": "policy", "logs": "system"}
METHODS = {"messages": "WatchMessages", "alerts": "WatchAlerts", "logs": "WatchLogs"}
CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))

Targets = Callable[[], frozenset[str]]


@dataclass(slots=True)
class _Buffer:
    """The one buffer of a stream, shared by all nodes."""

    limit: int
    fan: Fan
    items: deque[ProtoMessage] = field(default_factory=deque)

    def put(self, item: ProtoMessage) -> None:
        if len(self.items) < self.limit:
            self.items.append(item)

    def pump(self) -> None:
        self.fan.publish(self.items)
        self.items.clear()


class Relay:
    """Start and stop it as often as you like; it keeps its port.

    `targets` are the daemons (`address:port`) that it can discover now.
    """

    def __init__(
        self, *, targets: Targets, port: int, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._targets = targets
        self._retry_seconds = retry_seconds
        self._port = port
        self._running: asyncio.Task[None] | None = None
        self._listener: Listener | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._running is not None

    async def start(self) -> None:
        """Begin with empty buffers and no client."""
        feed = Feed(**{name: Fan(limit) for name, limit in CLIENT_QUEUES.items()})
        self._listener = Listener(
            address="127.0.0.1", port=self._port, feed=feed, client=lambda *_: None
        )
        await self._listener.serve()
        self._port = self._listener.port
        buffers = {name: _Buffer(limit, getattr(feed, name)) for name, limit in BUFFERS.items()}
        self._running = asyncio.create_task(self._run(buffers))

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def _run(self, buffers: dict[str, _Buffer]) -> None:
        """Keep one follower per daemon that can be discovered, and move what they bring."""
        followed: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                targets = self._targets()
                for target in targets - followed.keys():
                    followed[target] = tasks.create_task(self._follow(target, buffers))
                for target in followed.keys() - targets:
                    followed.pop(target).cancel()
                for buffer in buffers.values():
                    buffer.pump()
                await asyncio.sleep(PUMP_SECONDS)

    async def _follow(self, target: str, buffers: dict[str, _Buffer]) -> None:
        while True:
            async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
                stub = feeder_pb2_grpc.LogServiceStub(channel)
                try:
                    nonce = feeder_pb2.NonceMessage(nonce=7)
                    await stub.HealthCheck(nonce, timeout=self._retry_seconds)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(self._retry_seconds)
                    continue
                await _copy_until_one_ends(stub, buffers)


async def _copy_until_one_ends(stub: Any, buffers: Mapping[str, _Buffer]) -> None:
    """Copy a daemon's streams; when one of them breaks, it is the connection that broke.

    A task group would not do: an error of a stream that is broken at the same moment would take
    the place of the cancellation that is to end the relay.
    """
    streams = [asyncio.create_task(_copy(stub, name, buffer)) for name, buffer in buffers.items()]
    try:
        await asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def _copy(stub: Any, name: str, buffer: _Buffer) -> None:
    request = feeder_pb2.RequestMessage(Filter=REQUESTS[name])
    async for item in getattr(stub, METHODS[name])(request):
        buffer.put(item)
