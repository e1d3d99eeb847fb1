"""A server as a child process: started, awaited, stopped by its own process id."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.rig.wait import eventually

TAIL_LINES = 25


class ServerFailed(Exception):
    """A server died or did not get ready; the message ends with the tail of its log."""


class Child:
    """One server process with its log file; it can be started again after it ended.

    Start children from the main thread: the kernel ends a child together with the thread
    that started it, which is what leaves nothing behind when the test run is killed.
    """

    def __init__(self, *, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ("setpriv", "--pdeathsig", "KILL", "--", *self._command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(
        self,
        probe: Callable[[], Awaitable[bool]],
        *,
        within: float,
        not_yet: tuple[type[Exception], ...] = (AssertionError, OSError),
    ) -> None:
        """Wait until `probe` answers true; fail at once when the process ends before that."""

        async def probe_while_alive() -> bool:
            if not self.running:
                raise ServerFailed(self._obituary(f"ended before it was ready ({self._code()})"))
            return await probe()

        try:
            await eventually(probe_while_alive, within=within, not_yet=not_yet)
        except AssertionError as error:
            raise ServerFailed(self._obituary(f"is not ready: {error}")) from error

    async def stop(self, *, within: float = 15.0) -> None:
        """Ask the process to end, and kill it if it does not."""
        if not self.running:
            return
        self._signalled().terminate()
        try:
            await self._ended(within=within)
        except AssertionError:
            await self.kill()

    async def kill(self) -> None:
        if self.running:
            self._signalled().kill()
            await self._ended(within=10.0)

    def pause(self) -> None:
        """Stand still, connections open, until `go_on`."""
        self._signalled().send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signalled().send_signal(signal.SIGCONT)

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])

    def _signalled(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    async def _ended(self, *, within: float) -> None:
        await eventually(self._is_over, within=within, every=0.01)

    async def _is_over(self) -> bool:
        return not self.running

    def _code(self) -> str:
        return "never started" if self._process is None else f"exit {self._process.returncode}"

    def _obituary(self, what: str) -> str:
        return f"{self.name} {what}\n--- tail of {self.log}\n{self.tail()}"


async def run_once(command: Sequence[str], *, within: float = 60.0) -> str:
    """Run a command to its end and return what it printed; a failure shows all of that."""
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--", *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ServerFailed(f"{command[0]} did not end within {within} s") from None
    text = output.decode(errors="replace")
    if process.returncode:
        raise ServerFailed(f"{' '.join(command)} (exit {process.returncode})\n{text}")
    return text
