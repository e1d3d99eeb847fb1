"""A daemon's health service, and the certificates that servers present."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from monitor.core.diagnosis.findings import Certificate
from monitor.sources.daemon_health import SERVING, configured, places, presented, serving
from monitor.sources.grpc import FeedTLS
from monitor.wire.certificates import pem_good_until
from tests.rig.ports import free_ports
from tests.sources.certificates import Authority
from tests.sources.scripted_feed import ScriptedFeed
from tests.sources.scripted_health import HOST, ScriptedHealth

TLS = FeedTLS(ca_file="ca.crt")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (SERVING, ""),
        (b"\x08\x02", "starting"),
        (grpc.StatusCode.NOT_FOUND, "starting"),
        (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED"),
        (b"\xff", "no answer of a health service"),
    ],
)
async def test_a_daemon_says_whether_it_serves(
    answer: bytes | grpc.StatusCode, failure: str
) -> None:
    async with ScriptedHealth(answer) as health:
        probe = await serving("node-1", host=HOST, release="v1.7.4", tls=None, port=health.port)
    assert (probe.name, probe.failure) == ("node-1", failure)


async def test_a_port_where_nobody_listens_is_named() -> None:
    (port,) = free_ports(1)
    probe = await serving("node-1", host=HOST, release=None, tls=None, port=port)
    assert probe.failure == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("v1.7.4", [("10.0.0.7:32766", None)]),
        ("v1.8.0", [("10.0.0.7:32766", None)]),
        ("v1.7.3", [("10.0.0.7:32767", TLS)]),
        (None, [("10.0.0.7:32766", None), ("10.0.0.7:32767", TLS)]),
        ("stable", [("10.0.0.7:32766", None), ("10.0.0.7:32767", TLS)]),
    ],
)
def test_the_release_tells_the_port_and_whether_it_speaks_tls(
    release: str | None, expected: list[tuple[str, FeedTLS | None]]
) -> None:
    assert list(places("10.0.0.7", release=release, tls=TLS)) == expected


def test_an_address_of_version_six_is_bracketed() -> None:
    assert places("fd00::7", release="v1.7.4", tls=None) == (("[fd00::7]:32766", None),)


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
    async with ScriptedHealth(SERVING) as health:
        shown = await presented("relay", host=HOST, port=health.port, tls=None)
    assert shown.until is None
    assert shown.failure


def test_files_are_looked_at_one_by_one(authority: Authority, tmp_path: Path) -> None:
    path, absent = authority.certificate, tmp_path / "absent.crt"
    good, bad = configured([str(path), "", str(absent)])
    assert good == Certificate(str(path), pem_good_until(path.read_bytes()))
    assert (bad.name, bad.until) == (str(absent), None)
