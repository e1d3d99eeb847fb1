"""Whether a daemon serves its feeds, and until when a server's certificate is good.

A health check subscribes to nothing, so that it cannot bring down those releases which a departing
reader of feeds can (dossier 4.1). From v1.7.4 on it has a port of its own, without TLS.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import grpc
from grpc import aio

from monitor.core.diagnosis.findings import Certificate, Probe
from monitor.core.semantics import parse
from monitor.sources.grpc import OPTIONS, FeedTLS, asked_to_stop, secure
from monitor.wire import certificates

HEALTH_PORT = 32766
FEED_PORT = 32767
HEALTH_PORT_SINCE = (1, 7, 4)
ANSWER_SECONDS = 3.0
SERVICE = b"feeder.LogService"
# The protobuf messages of grpc.health.v1: a name in field 1, a status in field 1.
REQUEST = b"\x0a" + bytes([len(SERVICE)]) + SERVICE
SERVING = b"\x08\x01"
NOT_SERVING = (b"", b"\x08\x00", b"\x08\x02", b"\x08\x03")

Place: TypeAlias = tuple[str, FeedTLS | None]


class UnansweredError(Exception):
    """There is no answer, so nothing is known; its text is for people."""


class UnreadableError(UnansweredError):
    """There is an answer, and it is none of a health service."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("no answer of a health service")
        self.answer = answer


def places(host: str, *, release: str | None, tls: FeedTLS | None) -> tuple[Place, ...]:
    """Return where a daemon's health service may be, by address and how it is read.

    It is beside the feeds, and from v1.7.4 on at a port of its own without TLS (dossier 1.3, 1.4).
    Of a release that is not known both are tried, the newer one first.
    """
    own, beside = (_address(host, HEALTH_PORT), None), (_address(host, FEED_PORT), tls)
    version = parse(release or "")
    if version is None:
        return (own, beside)
    return (own,) if version >= HEALTH_PORT_SINCE else (beside,)


async def serves(asked: Sequence[Place], *, within: float | None = None) -> bool:
    """Ask in turn until one answers: whether the feeds are served; else it is starting.

    `within` seconds, None for no limit. Raises UnansweredError where none answers.
    """
    *others, last = asked
    for address, tls in others:
        with suppress(UnansweredError):
            return await _ask(address, tls=tls, within=within)
    return await _ask(last[0], tls=last[1], within=within)


async def _ask(address: str, *, tls: FeedTLS | None, within: float | None) -> bool:
    try:
        channel = (
            aio.insecure_channel(address, options=OPTIONS) if tls is None else secure(address, tls)
        )
    except OSError as error:
        raise UnansweredError(type(error).__name__) from error
    try:
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None
        )
        answer = await method(REQUEST, timeout=within)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return False
        raise UnansweredError(error.code().name) from error
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        raise UnansweredError("CANCELLED by the peer") from None
    finally:
        await channel.close()
    if answer != SERVING and answer not in NOT_SERVING:
        raise UnreadableError(answer)
    return answer == SERVING


async def serving(
    node: str, *, host: str, release: str | None, tls: FeedTLS | None, port: int | None = None
) -> Probe:
    """Ask a node's daemon whether its feeds are served; `starting` is a failure too."""
    asked = places(host, release=release, tls=tls) if port is None else ((f"{host}:{port}", tls),)
    began = asyncio.get_running_loop().time()
    try:
        failure = "" if await serves(asked, within=ANSWER_SECONDS) else "starting"
    except UnansweredError as error:
        failure = str(error)
    return Probe(node, asyncio.get_running_loop().time() - began, failure)


async def presented(name: str, *, host: str, port: int, tls: FeedTLS | None) -> Certificate:
    """Shake hands with a server and look at its certificate, good or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        if tls is not None and tls.certificate_file:
            context.load_cert_chain(tls.certificate_file, tls.key_file or None)
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return Certificate(name, certificates.good_until(shown or b""))
    except (OSError, ValueError) as error:
        return Certificate(name, None, str(error) or type(error).__name__)


def configured(files: Iterable[str]) -> list[Certificate]:
    """Look at the certificates of files of PEM."""
    return [_of_file(path) for path in files if path]


def _of_file(path: str) -> Certificate:
    try:
        return Certificate(path, certificates.pem_good_until(Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        return Certificate(path, None, str(error))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
