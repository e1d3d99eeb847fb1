"""Running a source for the length of a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.retry import cancelled
from monitor.sources import Source
from monitor.sources.api_server import ApiServer
from monitor.sources.cluster_access import Access, Credentials
from tests.clock import ManualClock


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[asyncio.Task[None]]:
    """Run a source; it must neither end nor fail by itself."""
    task = asyncio.create_task(source.run())
    try:
        yield task
        assert not task.done(), f"{source.name} ended by itself"
    finally:
        await cancelled(task)


@asynccontextmanager
async def connected(
    url: str, *, clock: ManualClock, credentials: Credentials | None = None
) -> AsyncIterator[ApiServer]:
    async with ApiServer(
        credentials or Credentials(Access(server=url)), clock=clock, user_agent="monitor-test"
    ) as server:
        yield server
