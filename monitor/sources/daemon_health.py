"""Whether a daemon serves its feeds, and until when a server's certificate is good.

A health check subscribes to nothing, so that it cannot bring down those releases which a departing
reader of feeds can (dossier 4.1). From v1.7.4 on it has a port of its own, without TLS.
"""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

import grpc
from grpc import aio

from monitor.core.diagnosis.findings import Certificate, Probe
from monitor.core.semantics import parse
from monitor.sources.grpc import FeedTLS, secure
from monitor.wire import certificates

HEALTH_PORT = 32766
FEED_PORT = 32767
HEALTH_PORT_SINCE = (1, 7, 4)
ANSWER_SECONDS = 3.0
SERVICE = b"feeder.LogService"
# The protobuf messages of grpc.health.v1: a name in field 1, a status in field 1.
REQUEST = b"\x0a" + bytes([len(SERVICE)]) + SERVICE
SERVING = b"\x08\x01"


async def serving(
    node: str, *, host: str, release: str | None, tls: FeedTLS | None, port: int | None = None
) -> Probe:
    """Ask a node's daemon whether its feeds are served; `starting` is a failure too."""
    own_port = (parse(release or "") or (0, 0, 0)) >= HEALTH_PORT_SINCE
    address = _address(host, port or (HEALTH_PORT if own_port else FEED_PORT))
    began = asyncio.get_running_loop().time()
    try:
        failure = await _check(address, tls=None if own_port else tls)
    except OSError as error:
        failure = type(error).__name__
    return Probe(node, asyncio.get_running_loop().time() - began, failure)


async def _check(address: str, *, tls: FeedTLS | None) -> str:
    channel = aio.insecure_channel(address) if tls is None else secure(address, tls)
    try:
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None
        )
        answer = await method(REQUEST, timeout=ANSWER_SECONDS)
    except aio.AioRpcError as error:
        return "starting" if error.code() is grpc.StatusCode.NOT_FOUND else error.code().name
    finally:
        await channel.close()
    return "" if answer == SERVING else "starting"


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
