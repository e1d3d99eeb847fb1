"""One run of an emulated daemon with everything real around it: its log file and its servers."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.emulator.daemon import Daemon
from tests.emulator.kubelet import DaemonPod
from tests.emulator.lines import LogFile
from tests.emulator.server import Feed, HealthListener, Listener, alert, log, message


class Run:
    """Moves what the daemon puts out into the file and to its clients."""

    def __init__(
        self,
        *,
        pod: DaemonPod,
        daemon: Daemon,
        file: Path,
        port: int,
        health_port: int | None,
        zone: timedelta,
        wake: Callable[[], None],
    ) -> None:
        """`health_port` is where a release with a port for its health service has it."""
        self.pod = pod
        self.daemon = daemon
        self.file = file
        self._log = LogFile(file, zone=zone)
        self._feed = Feed()
        apart = daemon.release.has_health_port
        self._listener = Listener(
            address=pod.address,
            port=port,
            feed=self._feed,
            client=self._client,
            health=not apart,
        )
        self._health = (
            HealthListener(
                address=pod.address, port=health_port, serving=lambda: daemon.health is True
            )
            if apart and health_port is not None
            else None
        )
        self._answers = False
        self._serving = False
        self._wake = wake

    @property
    def target(self) -> str:
        return f"{self._listener.address}:{self._listener.port}"

    def open(self) -> None:
        self._listener.open()

    async def flush(self, now: float) -> None:
        """Write and publish what is new; serve as soon as the daemon does, and no longer."""
        outputs = self.daemon.outputs
        await self._flush_health()
        if self.daemon.serving and not self._serving:
            self._serving = True
            await self._listener.serve()
        for line in outputs.lines:
            self._log.append(line, now=now)
        self._feed.messages.publish(message(fields) for fields in outputs.messages)
        self._feed.alerts.publish(alert(fields) for fields in outputs.alerts)
        self._feed.logs.publish(log(fields) for fields in outputs.logs)
        for put_out in (outputs.lines, outputs.messages, outputs.alerts, outputs.logs):
            put_out.clear()
        if self.daemon.exited or (self._serving and not self.daemon.serving):
            self._serving = False
            await self._listener.close()

    async def _flush_health(self) -> None:
        """Answer as soon as the daemon does, and no longer."""
        answers = self.daemon.health is not None
        if self._health is None or answers == self._answers:
            return
        self._answers = answers
        await (self._health.open() if answers else self._health.close())

    async def close(self) -> None:
        self.daemon.kill()
        await self._flush_health()
        await self._listener.close()

    def _client(self, change: str, detail: str, stream: str) -> None:
        self.daemon.advance(time.time())
        self.daemon.say_client(change, detail, stream=stream)
        self._wake()
