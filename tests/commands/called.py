"""The command line as its users call it: a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGINT, Signals
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
OURS = "KUBEARMOR_MONITOR_"
SECONDS = 60.0


class Ended(NamedTuple):
    """How a call ended."""

    code: int
    output: str
    errors: str


class Called:
    """A running call."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self, beginning: str) -> str:
        """Wait for a line of output that begins like this."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := (await self._process.stdout.readline()).decode():
                if line.startswith(beginning):
                    return line.rstrip("\n")
        raise AssertionError(f"the output ended before a line that begins with {beginning!r}")

    def signal(self, number: Signals = SIGINT) -> None:
        self._process.send_signal(number)

    async def ended(self) -> Ended:
        async with asyncio.timeout(SECONDS):
            output, errors = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, output.decode(), errors.decode())


@asynccontextmanager
async def calling(*arguments: object, **environment: str) -> AsyncIterator[Called]:
    """Start a call; end it when the context ends, if it has not ended."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor",
        *map(str, arguments),
        cwd=ROOT,
        env={**clean, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Called(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def call(*arguments: object, **environment: str) -> Ended:
    """Call and wait for the end."""
    async with calling(*arguments, **environment) as called:
        return await called.ended()
