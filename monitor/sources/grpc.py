"""KubeArmor's feeds over gRPC: alerts, logs and messages, of the relay or of one daemon.

Four facts about these servers shape this file.

They keep no history and no sequence numbers, and drop silently what a reader does not take in time:
what was not received is lost, so a source counts as up only once its subscription stands. The
servers send nothing that would say so; an echo that is answered after the request of a stream went
out on the same connection is the nearest thing to it.

They forbid pings more frequent than every five minutes and never end an idle stream of their own.
A dead connection is found by asking for an echo on the same connection instead.

A stream that is asked for with a filter they do not know ends at once and "OK". An end is
therefore never good news here: it is a loss, and the next try waits.

A stream that is abandoned without being cancelled stays open for ever. Every call is cancelled in a
`finally`, by the task that made it; a cancellation that nobody asked of that task came from the
peer.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from msgspec import Struct

from monitor.clock import Clock
from monitor.core.model import Observation
from monitor.retry import HEALTHY_SECONDS, Backoff, cancelled, within
from monitor.sources import Intake, quoted
from monitor.sources.sight import Sight
from monitor.wire import kubearmor
from monitor.wire.pb import feeder_pb2, feeder_pb2_grpc

CONNECT_SECONDS = 10.0
PROBE_INTERVAL_SECONDS = 10.0
PROBE_SECONDS = 5.0
PROBES_TO_LOSE = 2
UNKNOWN_METHOD_SECONDS = 60.0
MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS: tuple[tuple[str, str | int], ...] = (
    # Longer than the five minutes that the servers insist on. It is never the ping that counts: the
    # option also bounds how long the kernel waits for the acknowledgement of an echo.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    # A new channel is a new connection, without the waiting time that an earlier one has earned.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.primary_user_agent", "kubearmor-monitor"),
)

Kind: TypeAlias = Literal["alerts", "logs", "messages"]
Tap: TypeAlias = Callable[[Any], None]
ALL_KINDS: tuple[Kind, ...] = ("alerts", "logs", "messages")


class Feed(NamedTuple):
    """One of the three streams: how to ask for it and what its messages mean."""

    method: str
    filter: str
    parse: Callable[[bytes], Any]
    translate: Callable[..., Observation]


FEEDS: dict[Kind, Feed] = {
    "alerts": Feed(
        "/feeder.LogService/WatchAlerts", "policy", feeder_pb2.Alert.FromString, kubearmor.alert
    ),
    "logs": Feed(
        "/feeder.LogService/WatchLogs", "system", feeder_pb2.Log.FromString, kubearmor.log
    ),
    "messages": Feed(
        "/feeder.LogService/WatchMessages", "all", feeder_pb2.Message.FromString, kubearmor.message
    ),
}


class FeedTLS(Struct, frozen=True):
    """Files of PEM; a daemon's certificate names its node's address, the relay's its service.

    `server_name` is the name to expect where the address does not show it.
    """

    ca_file: str
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""


class Peer(Struct, frozen=True):
    """A server of feeds: the relay (`node` is empty) or the daemon of a node.

    `address` is `host:port`.
    """

    address: str
    node: str = ""
    kinds: tuple[Kind, ...] = ALL_KINDS
    tls: FeedTLS | None = None

    @property
    def name(self) -> str:
        return self.node or "relay"

    @property
    def via(self) -> str:
        return f"daemon:{self.node}" if self.node else "relay"


class Lost(Exception):
    """The connection is no good any more."""


class FeedSource:
    """Observes the feeds of one peer.

    `tap` is given each message as it came, just before what it says is delivered.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        intake: Intake,
        clock: Clock,
        random: Random,
        tap: Tap | None = None,
    ) -> None:
        self._peer = peer
        self._tap = tap
        self._intake = intake
        self._clock = clock
        self._random = random
        self._left = False
        self._sights = {kind: Sight(f"{kind}/{peer.name}") for kind in peer.kinds}

    @property
    def name(self) -> str:
        return f"feeds/{self._peer.name}"

    def leave(self, reason: str) -> None:
        """Say that the peer is gone, and say nothing after that; whoever runs it stops it."""
        self._lose(reason)
        self._left = True

    async def run(self) -> None:
        backoff = Backoff(random=self._random)
        while True:
            began = self._clock.now()
            try:
                await self._connection()
            except (Lost, OSError) as error:
                reason = str(error) if isinstance(error, Lost) else type(error).__name__
                self._lose(reason)
            if self._clock.now() - began >= HEALTHY_SECONDS:
                backoff.reset()
            await self._clock.sleep(backoff.next())

    async def _connection(self) -> NoReturn:
        """Use one connection until it is lost; raise `Lost`, or OSError for unreadable files."""
        channel = self._channel()
        try:
            await self._echo(channel, within_seconds=CONNECT_SECONDS)
            await self._use(channel)
        finally:
            await channel.close()

    async def _use(self, channel: aio.Channel) -> NoReturn:
        tasks = [asyncio.create_task(self._probe(channel))]
        tasks += [asyncio.create_task(self._subscribe(channel, kind)) for kind in self._peer.kinds]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(*tasks)
        for task in done:
            task.result()
        raise Lost("ended")

    async def _probe(self, channel: aio.Channel) -> NoReturn:
        missed = 0
        while True:
            await self._clock.sleep(PROBE_INTERVAL_SECONDS)
            try:
                await self._echo(channel, within_seconds=PROBE_SECONDS)
                missed = 0
            except Lost:
                missed += 1
                if missed >= PROBES_TO_LOSE:
                    raise

    async def _echo(self, channel: aio.Channel, *, within_seconds: float) -> None:
        try:
            await within(self._clock, within_seconds, self._ask_for_echo(channel))
        except TimeoutError:
            raise Lost("no answer to a health check") from None
        except aio.AioRpcError as error:
            raise Lost(error.code().name) from None

    async def _ask_for_echo(self, channel: aio.Channel) -> None:
        nonce = self._random.randint(1, 2**31 - 1)
        stub = feeder_pb2_grpc.LogServiceStub(channel)
        call = stub.HealthCheck(feeder_pb2.NonceMessage(nonce=nonce))
        try:
            reply = await call
        finally:
            call.cancel()
        # An answer that cannot be parsed is logged by the library, and None.
        if getattr(reply, "Retval", None) != nonce:
            raise Lost("the health check is answered wrongly: this is no KubeArmor feed")

    async def _subscribe(self, channel: aio.Channel, kind: Kind) -> NoReturn:
        backoff = Backoff(random=self._random)
        while True:
            began = self._clock.now()
            code = await self._read(channel, kind)
            self._deliver(self._sights[kind].down(_reason(code)))
            if code is grpc.StatusCode.UNAVAILABLE:
                raise Lost(code.name)
            if self._clock.now() - began >= HEALTHY_SECONDS:
                backoff.reset()
            unknown = code is grpc.StatusCode.UNIMPLEMENTED
            await self._clock.sleep(UNKNOWN_METHOD_SECONDS if unknown else backoff.next())

    async def _read(self, channel: aio.Channel, kind: Kind) -> grpc.StatusCode | None:
        """Read a stream to its end; return how it ended, None for a cancellation by the peer."""
        call = self._call(channel, kind)
        try:
            await self._echo(channel, within_seconds=PROBE_SECONDS)
            if not call.done():
                self._deliver(self._sights[kind].up("connected"))
            while isinstance(raw := await call.read(), bytes):
                self._receive(kind, raw)
                await self._intake.room()
            return await call.code()
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self._intake.reject(kind=kind, reason="too-long", detail=error.details() or "")
            return error.code()
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            return None
        finally:
            call.cancel()

    def _call(self, channel: aio.Channel, kind: Kind) -> aio.UnaryStreamCall[Any, bytes]:
        feed = FEEDS[kind]
        # Bytes instead of messages: one that cannot be parsed then costs itself, not the stream.
        method: aio.UnaryStreamMultiCallable[Any, bytes] = channel.unary_stream(
            feed.method,
            request_serializer=feeder_pb2.RequestMessage.SerializeToString,
            response_deserializer=None,
        )
        return method(feeder_pb2.RequestMessage(Filter=feed.filter))

    def _receive(self, kind: Kind, raw: bytes) -> None:
        feed = FEEDS[kind]
        try:
            message = feed.parse(raw)
            observation = feed.translate(message, via=self._peer.via)
        except DecodeError:
            self._intake.reject(kind=kind, reason="malformed", detail=quoted(raw))
        except ValueError as error:
            self._intake.reject(kind=kind, reason="invalid", detail=str(error))
        else:
            self._deliver(self._sights[kind].up("connected"))
            if self._tap is not None:
                self._tap(message)
            self._deliver([observation])

    def _lose(self, reason: str) -> None:
        self._deliver([said for sight in self._sights.values() for said in sight.down(reason)])

    def _deliver(self, observations: Sequence[Observation]) -> None:
        if observations and not self._left:
            self._intake.deliver(observations)

    def _channel(self) -> aio.Channel:
        tls = self._peer.tls
        if tls is None:
            return aio.insecure_channel(self._peer.address, options=OPTIONS)
        return secure(self._peer.address, tls)


def secure(address: str, tls: FeedTLS) -> aio.Channel:
    """Return a channel that speaks TLS; raise OSError where a file cannot be read."""
    options = OPTIONS
    if tls.server_name:
        options += (("grpc.ssl_target_name_override", tls.server_name),)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=Path(tls.ca_file).read_bytes(),
        private_key=Path(tls.key_file).read_bytes() if tls.key_file else None,
        certificate_chain=(
            Path(tls.certificate_file).read_bytes() if tls.certificate_file else None
        ),
    )
    return aio.secure_channel(address, credentials, options=options)


def _reason(code: grpc.StatusCode | None) -> str:
    if code is None:
        return "CANCELLED by the peer"
    return "stream ended" if code is grpc.StatusCode.OK else code.name


def asked_to_stop() -> bool:
    """Whether the running task is being cancelled, and not by the peer of its call."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
