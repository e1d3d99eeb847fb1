"""Judge a trace: the same verdicts, events and report each time, as fast as the machine goes."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import orjson

from monitor.commands.arguments import instant, speed
from monitor.commands.text import render
from monitor.commands.timeline import Step, open_timeline
from monitor.config import Kafka
from monitor.errors import ConfigurationError, MonitorError
from monitor.wire import report as wire_report
from monitor.wire.events import Translation, structured

PREFIX = Kafka().prefix
EXAMPLES = """\
examples:
  kubearmor-monitor replay trace.jsonl.zst
  kubearmor-monitor replay trace.jsonl.zst --report report.json --events events.jsonl
  kubearmor-monitor replay trace.jsonl.zst --until 1795469290.03 --report -
  kubearmor-monitor replay trace.jsonl --speed 10 --events -

The clock is that of the trace: deadlines fire at their own instants between its lines, and the same
trace gives the same bytes each time. Exit code 1: the report has open gaps.
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="TRACE", help="JSON lines, .gz or .zst")
    parser.add_argument("--report", metavar="FILE", help="write the report there, - for stdout")
    parser.add_argument("--events", metavar="FILE", help="write the events there, - for stdout")
    parser.add_argument(
        "--until", type=instant, metavar="UNIX", help="stop the clock there, not at the last line"
    )
    parser.add_argument(
        "--speed", type=speed, metavar="N", help="N times as fast as recorded; without: at once"
    )
    parser.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="what is printed; json: the report",
    )
    parser.add_argument("--lenient", action="store_true", help="count damaged lines and skip them")


def run(options: Namespace) -> int:
    _require_files_apart(options)
    trace, timeline = open_timeline(options.trace, lenient=options.lenient)
    with ExitStack() as files:
        events = files.enter_context(_writable(options.events))
        document = files.enter_context(_writable(options.report))
        steps = timeline.play(options.until)
        if options.speed:
            steps = _paced(steps, started=trace.header.started, speed=options.speed)
        translation = Translation(cluster=trace.header.cluster)
        for step in steps:
            if events is not None:
                _write_events(step, events, translation)
        report = timeline.report()
        encoded = wire_report.encode(report)
        if document is not None:
            document.write(encoded)
    if "-" not in (options.report, options.events):
        as_json = options.output == "json"
        sys.stdout.write(encoded.decode() if as_json else render(orjson.loads(encoded)))
    if trace.skipped:
        sys.stderr.write(f"{options.trace}: {trace.skipped} damaged lines were skipped\n")
    return int(any(gap.state == "open" for gap in report.gaps))


def _require_files_apart(options: Namespace) -> None:
    """Raise ConfigurationError where a file would be written over the trace or the other one."""
    named = (options.report, options.events)
    files = [Path(name).resolve() for name in named if name not in {None, "-", os.devnull}]
    if options.trace.resolve() in files:
        raise ConfigurationError(f"{options.trace} is the trace itself: name another file")
    to_output = options.events == "-" and (options.report == "-" or options.output == "json")
    if to_output or len(files) > len(set(files)):
        raise ConfigurationError("report and events are two documents: name two files")


def _paced(steps: Iterator[Step], *, started: float, speed: float) -> Iterator[Step]:
    """Hand each step on when its time has come."""
    began = time.monotonic()
    for step in steps:
        time.sleep(max(0.0, began + (step.at - started) / speed - time.monotonic()))
        yield step


def _write_events(step: Step, events: IO[bytes], translation: Translation) -> None:
    for announcement in step.announcements:
        for record in translation(announcement):
            events.write(structured(record, PREFIX) + b"\n")


@contextmanager
def _writable(name: str | None) -> Iterator[IO[bytes] | None]:
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with _created(Path(name)) as file:
            yield file


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    try:
        with file:
            yield file
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error
