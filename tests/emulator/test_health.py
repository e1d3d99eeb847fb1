"""The health service of an emulated daemon, asked over real gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from tests.emulator.daemon import Daemon
from tests.emulator.kubelet import DaemonPod
from tests.emulator.releases import release
from tests.emulator.run import Run
from tests.emulator.switches import Failures
from tests.emulator.world import World
from tests.rig.ports import free_ports

HOST = "127.0.0.1"
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
SERVICE = "feeder.LogService"
SECONDS = 10.0


class Played:
    """A daemon whose time is the test's, and the ports of its servers."""

    def __init__(self, *, version: str, folder: Path, failures: Failures | None) -> None:
        self.port, self.health_port = free_ports(2)
        self.daemon = Daemon(
            release=release(version), node="node-a", world=World(), failures=failures
        )
        pod = DaemonPod(
            namespace="kubearmor",
            name="kubearmor-a",
            uid="u",
            restart=0,
            node="node-a",
            address=HOST,
            image=f"kubearmor/kubearmor:{version}",
            container="kubearmor",
            running=True,
            stopping=False,
        )
        self.run = Run(
            pod=pod,
            daemon=self.daemon,
            file=folder / "kubearmor.log",
            port=self.port,
            health_port=self.health_port,
            zone=timedelta(),
            wake=lambda: None,
        )

    async def until(self, now: float) -> None:
        self.daemon.advance(now)
        await self.run.flush(now)

    async def check(self, port: int, service: str = SERVICE) -> bytes | grpc.StatusCode:
        """Return the answer, or the code of the error; a silent server is past its deadline."""
        name = service.encode()
        request = bytes([0x0A, len(name)]) + name if name else b""
        async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=OPTIONS) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None
            )
            try:
                return await method(request, timeout=SECONDS)
            except grpc.aio.AioRpcError as error:
                return error.code()


@asynccontextmanager
async def played(
    version: str, folder: Path, *, failures: Failures | None = None
) -> AsyncIterator[Played]:
    stage = Played(version=version, folder=folder, failures=failures)
    stage.run.open()
    stage.daemon.start(0.0)
    try:
        yield stage
    finally:
        await stage.run.close()


SERVING = b"\x08\x01"
UNKNOWN = grpc.StatusCode.NOT_FOUND
REFUSED = grpc.StatusCode.UNAVAILABLE


async def test_from_v1_7_4_on_it_has_a_port_of_its_own_and_answers_before_it_serves(
    tmp_path: Path,
) -> None:
    async with played("v1.7.4", tmp_path) as stage:
        assert await stage.check(stage.health_port) is REFUSED
        await stage.until(1.5)
        assert await stage.check(stage.health_port) is UNKNOWN
        assert await stage.check(stage.health_port, "") == SERVING
        await stage.until(3.0)
        assert await stage.check(stage.health_port) == SERVING
        assert await stage.check(stage.port) is grpc.StatusCode.UNIMPLEMENTED
        stage.daemon.terminate(4.0)
        await stage.until(4.0)
        assert await stage.check(stage.health_port) is REFUSED


async def test_before_it_comes_with_the_feeds(tmp_path: Path) -> None:
    async with played("v1.7.3", tmp_path) as stage:
        await stage.until(3.0)
        assert await stage.check(stage.port) == SERVING
        assert await stage.check(stage.port, "policy.PolicyService") is UNKNOWN
        assert await stage.check(stage.health_port) is REFUSED


@pytest.mark.parametrize(
    ("version", "failures", "health"),
    [
        ("v1.7.4", Failures(definitions_missing=True), False),
        ("v1.7.4", Failures(stuck_at_start=True), None),
        ("v1.7.3", Failures(definitions_missing=True), None),
        ("v1.7.3", Failures(), True),
        ("v1.7.4", Failures(), True),
    ],
)
async def test_a_daemon_that_waits_for_ever_answers_as_far_as_it_came(
    version: str, failures: Failures, *, health: bool | None, tmp_path: Path
) -> None:
    async with played(version, tmp_path, failures=failures) as stage:
        await stage.until(50.0)
        assert stage.daemon.health is health
