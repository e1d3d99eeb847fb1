"""A daemon's health service, and the certificates that servers present."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from monitor.core.diagnosis.findings import Certificate
from monitor.sources.daemon_health import REQUEST, SERVING, configured, presented, serving
from monitor.wire.certificates import pem_good_until
from tests.rig.ports import free_ports
from tests.sources.certificates import Authority
from tests.sources.scripted_feed import ScriptedFeed

HOST = "127.0.0.1"


@asynccontextmanager
async def answering(answer: bytes | grpc.StatusCode) -> AsyncIterator[int]:
    """Serve grpc.health.v1 with one answer; give the port."""

    async def check(request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
        assert request == REQUEST
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer)
        assert isinstance(answer, bytes)
        return answer

    server = aio.server(options=(("grpc.so_reuseport", 0),))
    handlers: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),)
    )
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (SERVING, ""),
        (b"\x08\x02", "starting"),
        (grpc.StatusCode.NOT_FOUND, "starting"),
        (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED"),
    ],
)
async def test_a_daemon_says_whether_it_serves(
    answer: bytes | grpc.StatusCode, failure: str
) -> None:
    async with answering(answer) as port:
        probe = await serving("node-1", host=HOST, release="v1.7.4", tls=None, port=port)
    assert (probe.name, probe.failure) == ("node-1", failure)


async def test_a_port_where_nobody_listens_is_named() -> None:
    (port,) = free_ports(1)
    probe = await serving("node-1", host=HOST, release=None, tls=None, port=port)
    assert probe.failure == "UNAVAILABLE"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def secure_feed(authority: Authority) -> AsyncIterator[ScriptedFeed]:
    pair = authority.issue("server")
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.certificate.read_bytes())]
    )
    feed = ScriptedFeed(credentials=credentials)
    await feed.start()
    yield feed
    await feed.stop()


async def test_a_servers_certificate_is_read_without_trusting_it(
    secure_feed: ScriptedFeed, authority: Authority, tmp_path: Path
) -> None:
    shown = await presented("relay", host=HOST, port=secure_feed.port, tls=None)
    issued = (tmp_path / "authority" / "server.crt").read_bytes()
    assert shown == Certificate("relay", pem_good_until(issued))
    assert authority.certificate.exists()


async def test_a_server_out_of_reach_is_named() -> None:
    (port,) = free_ports(1)
    shown = await presented("relay", host=HOST, port=port, tls=None)
    assert (shown.name, shown.until) == ("relay", None)
    assert shown.failure


async def test_a_server_that_does_not_speak_tls_is_named() -> None:
    async with answering(SERVING) as port:
        shown = await presented("relay", host=HOST, port=port, tls=None)
    assert shown.until is None
    assert shown.failure


def test_files_are_looked_at_one_by_one(authority: Authority, tmp_path: Path) -> None:
    path, absent = authority.certificate, tmp_path / "absent.crt"
    good, bad = configured([str(path), "", str(absent)])
    assert good == Certificate(str(path), pem_good_until(path.read_bytes()))
    assert (bad.name, bad.until) == (str(absent), None)
