"""The real servers, started once per test run, and one event loop for all that talk to them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.rig.api import NAMESPACES
from tests.rig.kafka import Broker
from tests.rig.kubernetes import ControlPlane
from tests.servers.stage import Stage, prepare, staged

HERE = Path(__file__).parent
NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.servers)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def control_plane(server_folder: Path) -> AsyncIterator[ControlPlane]:
    """Return a cluster with the nodes node-1 (127.0.0.2) and node-2 (127.0.0.3)."""
    folder = server_folder / "kubernetes"
    async with ControlPlane(folder=folder, users=("monitor", "nobody")) as cluster:
        await cluster.add_node("node-1", address="127.0.0.2")
        await cluster.add_node("node-2", address="127.0.0.3")
        yield cluster


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(control_plane: ControlPlane) -> AsyncIterator[str]:
    """Return a namespace of the test's own."""
    name = f"test-{next(NUMBERS)}"
    await control_plane.add_namespace(name)
    yield name
    await control_plane.admin.delete(NAMESPACES, name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker(server_folder: Path) -> AsyncIterator[Broker]:
    async with Broker(folder=server_folder / "kafka") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def armoured_cluster(server_folder: Path) -> AsyncIterator[ControlPlane]:
    """Return a cluster with KubeArmor's kinds, in which no other test plays than those on stage."""
    async with ControlPlane(folder=server_folder / "armoured") as cluster:
        await prepare(cluster)
        yield cluster


@pytest.fixture
def staging(
    armoured_cluster: ControlPlane, broker: Broker, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[Stage]]:
    """Return what opens a stage: `async with staging("v1.7.4", judgement={"grace": 3})`."""

    def opened(release: str, **changes: dict[str, Any]) -> AbstractAsyncContextManager[Stage]:
        return staged(armoured_cluster, broker, tmp_path, release=release, changes=changes)

    return opened


@pytest.fixture
def topic() -> str:
    """Return the name of a topic of the test's own; the test creates it."""
    return f"topic-{next(NUMBERS)}"
