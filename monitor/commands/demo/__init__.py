"""The bundled recording through the whole pipeline, with the board."""

import asyncio
import contextlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import as_file, files
from typing import Any

from monitor import app
from monitor.clock import SystemClock
from monitor.commands.arguments import port, speed
from monitor.commands.demo.narration import TEXTS, Lines, Narration, Phase, Words
from monitor.commands.demo.playback import Playback, PlaybackClock
from monitor.config import Cluster, Configuration, Jsonl
from monitor.errors import ConfigurationError
from monitor.logs import logging_to
from monitor.metrics import Metrics
from monitor.retry import cancelled
from monitor.sinks.http import ListenError
from monitor.wire.trace import Trace

RECORDING = "seed.jsonl.zst"
INSTANTS_OF_TRUTH = "truth: "
HOLD_AT = f"{INSTANTS_OF_TRUTH}new namespace"
LONGEST_IDLE_SECONDS = 0.5
LOOPBACK = "127.0.0.1"
EXAMPLES = """\
examples:
  kubearmor-monitor demo
  kubearmor-monitor demo --port 8080
  kubearmor-monitor demo --speed 1 --events events.jsonl
  kubearmor-monitor demo --output json | jq -r 'select(.board) | .board'

The recording is of KubeArmor v1.5.7 on a real API server: a cluster policy protects an old
namespace; a namespace that is created later is missed. It plays at real speed, but stretches in
which nothing happens for longer than half a second are cut to that; with --speed N everything plays
N times as fast as it happened, idle stretches too. It holds where three containers are uncovered:
look at the board, then go on (there, with Enter here, or with curl -X POST on
/api/v1/demo/continue): KubeArmor is restarted and the gaps close. Ctrl-C ends it.

With --output json it prints one JSON object a line: the addresses first, a line for each mark of
the recording, how many containers have which verdict where it holds, and where it has healed.
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--speed", type=speed, metavar="N", help="N times as fast as it happened")
    parser.add_argument("--port", type=port, default=0, help="on 127.0.0.1; without: a free one")
    parser.add_argument(
        "--events", default=os.devnull, metavar="FILE", help="write the events there, as JSON lines"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text")


def run(options: Namespace) -> int:
    with (
        logging_to(sys.stderr, form="text", level="warning"),
        as_file(files(__package__) / RECORDING) as path,
    ):
        asyncio.run(_demonstrate(Trace(path), options))
    return 0


class Demonstration:
    """What the board may ask and tell."""

    def __init__(self) -> None:
        self.playback: Playback | None = None

    def state(self) -> Mapping[str, Any]:
        phase = self._phase()
        state = "finished" if phase == "healed" else phase
        return {"state": state, "text": TEXTS[phase]}

    def _phase(self) -> Phase:
        if self.playback is None:
            return "playing"
        if self.playback.ended.is_set():
            return "healed"
        return "holding" if self.playback.holding else "playing"

    def go_on(self) -> None:
        if self.playback is not None:
            self.playback.go_on()


async def _demonstrate(trace: Trace, options: Namespace) -> None:
    configuration = Configuration(
        cluster=Cluster(name=trace.header.cluster), jsonl=Jsonl(path=options.events)
    )
    started = trace.header.started
    clock, demonstration, metrics = PlaybackClock(started), Demonstration(), Metrics()
    narration = Lines() if options.output == "json" else Words(started=started)
    address = (LOOPBACK, options.port)
    service = app.Service(
        configuration,
        clock=clock,
        outbox=await app.open_outbox(configuration, metrics),
        metrics=metrics,
        listeners=(address, address),
        demo=demonstration,
    )
    demonstration.playback = playback = Playback(
        moments=trace,
        intake=service.engine,
        clock=clock,
        wall=SystemClock(),
        pace=_pace(options.speed),
        hold_at=HOLD_AT,
        tell=lambda at, mark: _tell(narration, at, mark),
    )
    with app.stopped_by_signals() as stop, _enter_goes_on(demonstration):
        narrating = asyncio.create_task(_narrate(narration, service, playback, started=started))
        try:
            await service.run([playback], stop)
        except ListenError as error:
            hint = "choose another with --port, or leave it out for a free one"
            raise ConfigurationError(f"{error.problem}: {hint}") from error
        finally:
            await cancelled(narrating)


def _pace(factor: float | None) -> Callable[[float], float]:
    if factor is None:
        return lambda seconds: min(seconds, LONGEST_IDLE_SECONDS)
    return lambda seconds: seconds / factor


async def _narrate(
    narration: Narration, service: app.Service, playback: Playback, *, started: float
) -> None:
    await service.listening.wait()
    board, metrics = service.http.api_url or "", f"{service.http.probes_url}metrics"
    narration.opens(board=board, metrics=metrics, at=started)
    await playback.held.wait()
    narration.arrives("holding", service.engine.report())
    await playback.ended.wait()
    narration.arrives("healed", service.engine.report())


def _tell(narration: Narration, at: float, mark: str) -> None:
    if not mark.startswith(INSTANTS_OF_TRUTH):
        narration.passes(mark, at=at)


@contextlib.contextmanager
def _enter_goes_on(demonstration: Demonstration) -> Iterator[None]:
    """Let a line on the terminal continue the recording, where there is a terminal."""
    if not sys.stdin.isatty():
        yield
        return

    loop = asyncio.get_running_loop()

    def hear() -> None:
        if sys.stdin.readline():
            demonstration.go_on()
        else:
            loop.remove_reader(sys.stdin)

    loop.add_reader(sys.stdin, hear)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)
