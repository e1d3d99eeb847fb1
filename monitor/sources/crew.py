"""Sources that come and go, such as one for each node's daemon."""

import asyncio
from collections.abc import Mapping

from monitor.retry import cancelled
from monitor.sources import Source


class Crew:
    """Runs exactly the sources it was last given; a source that fails fails the crew."""

    def __init__(self) -> None:
        self._members: dict[str, Source] = {}
        self._changed = asyncio.Event()

    @property
    def members(self) -> Mapping[str, Source]:
        return self._members

    def assign(self, members: Mapping[str, Source]) -> None:
        """Run these from now on; those that are the same object go on undisturbed."""
        self._members = dict(members)
        self._changed.set()

    async def run(self) -> None:
        tasks: dict[Source, asyncio.Task[None]] = {}
        try:
            while True:
                self._changed.clear()
                await self._reconcile(tasks)
                await self._until_changed(tasks)
        finally:
            await cancelled(*tasks.values())

    async def _reconcile(self, tasks: dict[Source, asyncio.Task[None]]) -> None:
        members = set(self._members.values())
        leaving = [tasks.pop(source) for source in tasks.keys() - members]
        for source in members - tasks.keys():
            tasks[source] = asyncio.create_task(source.run(), name=source.name)
        await cancelled(*leaving)

    async def _until_changed(self, tasks: dict[Source, asyncio.Task[None]]) -> None:
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({changed, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(changed)
        for source, task in tasks.items():
            if task.done():
                task.result()
                raise RuntimeError(f"{source.name} ended by itself")
