"""What a cluster and KubeArmor show, written as a trace."""

import asyncio
import gzip
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO, Any, cast

import msgspec
import orjson
import zstandard
from google.protobuf.json_format import MessageToDict
from msgspec import structs

from monitor import app, config
from monitor.clock import Clock, SystemClock
from monitor.commands import cluster
from monitor.commands.arguments import duration, peer
from monitor.commands.tape import Tape, TapedApiServer
from monitor.core.kubernetes import Object
from monitor.core.model import (
    Alert,
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Log,
    Message,
    Observation,
    SourceDown,
    SourceUp,
)
from monitor.errors import ConfigurationError, SourceError
from monitor.live import USER_AGENT, LiveSources, credentials
from monitor.retry import cancelled

EXAMPLES = """\
examples:
  kubearmor-monitor record trace.jsonl.zst
  kubearmor-monitor record trace.jsonl.zst --relay 127.0.0.1:32767 --seconds 300
  kubearmor-monitor record trace.jsonl.zst --seconds 5m --output json | jq .observations
  kubearmor-monitor replay trace.jsonl.zst

Objects, lines and messages are written whole, as they came. From outside of the cluster the relay
is reached through a port-forward and --relay; without --relay, and without one in the
configuration file, alerts and logs are left out. A trace holds names, labels, annotations and
command lines of the cluster: look through it before you give it away.
Ctrl-C ends the recording. With --output json it then prints one JSON object: the file, how many
seconds and how many observations of each kind it holds, and what could not be read.
"""
PROGRESS_SECONDS = 1.0
KINDS: Mapping[type[Alert | Log | Message], str] = {Alert: "alert", Log: "log", Message: "message"}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="TRACE", help="new file, also .gz or .zst")
    cluster.add_arguments(parser)
    parser.add_argument("--relay", type=peer, metavar="HOST:PORT", help="KubeArmor's relay")
    parser.add_argument(
        "--seconds", type=duration, metavar="N", help="end by itself after so long (also 5m)"
    )
    parser.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="what is printed at the end",
    )


def run(options: Namespace) -> int:
    configuration = cluster.configuration(options)
    if options.relay or options.config is None:
        relay = options.relay or ""
        kubearmor = structs.replace(configuration.kubearmor, relay=relay)
        configuration = structs.replace(configuration, kubearmor=kubearmor)
    recorder = asyncio.run(_record(configuration, options.trace, seconds=options.seconds))
    if options.output == "json":
        _say("")
        written = {"file": str(options.trace), **recorder.summary()}
        sys.stdout.write(orjson.dumps(written, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _say(f"{options.trace}: {recorder.progress()}", end="\n")
    if not recorder.heard:
        raise SourceError(f"nothing could be read: {options.trace} says no more than that")
    return 0


class Recorder:
    """An intake that writes observations down."""

    def __init__(
        self,
        *,
        write: Callable[[Mapping[str, Any]], None],
        tape: Tape,
        clock: Clock,
        observer: Callable[[Observation], None],
    ) -> None:
        self.lost = 0
        self.kinds: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.sources: dict[str, str] = {}
        self.heard = False
        self._write = write
        self._tape = tape
        self._clock = clock
        self._observer = observer
        self._started = self._last = clock.now()

    def deliver(self, observations: Sequence[Observation]) -> None:
        self._last = max(self._last, self._clock.now())
        for observation in observations:
            self._observer(observation)
            members = self._members(observation)
            if members is None:
                self.lost += 1
            else:
                self.kinds[members["kind"]] += 1
                self._write({"at": round(self._last, 6), **members})

    async def room(self) -> None:
        """Return at once: a file takes what comes."""

    def reject(self, *, kind: str, reason: str, detail: str) -> None:
        del detail
        self.rejected[kind, reason] += 1

    def _members(self, observation: Observation) -> dict[str, Any] | None:
        match observation:
            case SourceUp() | SourceDown():
                return self._source(observation)
            case Listed(resource=resource, items=items):
                return {
                    "kind": "list",
                    "resource": resource,
                    "resourceVersion": self._tape.list_versions.get(resource, ""),
                    "items": [self._object(item) for item in items],
                }
            case Changed(resource=resource, type=kind, object=changed):
                event = {"type": kind, "object": self._object(changed)}
                return {"kind": "watch", "resource": resource, "event": event}
            case DaemonLine():
                return self._text(observation)
            case Alert() | Log() | Message():
                return self._feed(observation)
            case HealthAnswered():
                return _health(observation)

    def _source(self, state: SourceUp | SourceDown) -> dict[str, Any]:
        word = "up" if isinstance(state, SourceUp) else "down"
        self.sources[state.name] = word
        self.heard |= isinstance(state, SourceUp)
        return {"kind": "source", "name": state.name, "state": word, "reason": state.reason}

    def _object(self, item: Object) -> object:
        metadata = item.metadata
        raw = self._tape.object(metadata.uid, metadata.resource_version)
        return orjson.Fragment(raw or msgspec.json.encode(item))

    def _text(self, line: DaemonLine) -> dict[str, Any] | None:
        text = self._tape.line(line.pod, line.stamp)
        if text is None:
            return None
        return {
            "kind": "text",
            "node": line.node,
            "pod": line.pod,
            "podUid": line.pod_uid,
            "restart": line.restart,
            "container": line.container,
            "line": text,
        }

    def _feed(self, observation: Alert | Log | Message) -> dict[str, Any]:
        data = MessageToDict(self._tape.message(), preserving_proto_field_name=True)
        return {"kind": KINDS[type(observation)], "via": observation.via, "data": data}

    def progress(self) -> str:
        up = sum(state == "up" for state in self.sources.values())
        down = self._down()
        text = f"{self.kinds.total()} lines, {up} sources up"
        if down:
            text += f", down: {', '.join(down[:3])}{' …' if len(down) > 3 else ''}"
        if unreadable := self.rejected.total() + self.lost:
            text += f", {unreadable} unreadable"
        return text

    def summary(self) -> dict[str, Any]:
        """What is in the file by now, and what is not: sources that are down, input that was lost.

        `lost` are observations whose text was gone when they were to be written.
        """
        rejected = [
            {"kind": kind, "reason": reason, "count": count}
            for (kind, reason), count in sorted(self.rejected.items())
        ]
        return {
            "seconds": round(self._clock.now() - self._started, 6),
            "observations": dict(sorted(self.kinds.items())),
            "unreadable": {"sources": self._down(), "rejected": rejected, "lost": self.lost},
        }

    def _down(self) -> list[str]:
        return sorted(name for name, state in self.sources.items() if state == "down")


def _health(answer: HealthAnswered) -> dict[str, Any]:
    return {
        "kind": "health",
        "node": answer.node,
        "podUid": answer.pod_uid,
        "restart": answer.restart,
        "serving": answer.serving,
    }


async def _record(
    configuration: config.Configuration, path: Path, *, seconds: float | None
) -> Recorder:
    clock, tape = SystemClock(), Tape()
    access = await credentials(configuration.kubernetes)
    with app.stopped_by_signals() as stop, _created(path) as file:
        write = _line_writer(file)
        write({"trace": 1, "cluster": configuration.cluster.name, "started": clock.now()})
        async with TapedApiServer(access, clock=clock, user_agent=USER_AGENT, tape=tape) as server:
            live = LiveSources(
                configuration,
                server=server,
                clock=clock,
                random=Random(),
                tap=tape.hear,
            )
            recorder = Recorder(write=write, tape=tape, clock=clock, observer=live.observe)
            runs = [source.run() for source in live.build(recorder)]
            work: list[Coroutine[Any, Any, object]] = [
                *runs,
                _progress(recorder, file),
                stop.wait(),
            ]
            tasks = [asyncio.create_task(one) for one in work]
            try:
                done, _ = await asyncio.wait(
                    tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
            finally:
                await cancelled(*tasks)
    return recorder


def _say(text: str, *, end: str = "") -> None:
    """Write over the progress line, where there is a terminal."""
    line = f"\r{text}\x1b[K" if sys.stderr.isatty() else text
    sys.stderr.write(line + end)
    sys.stderr.flush()


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """Make a new file that takes bytes, compressed as its name says."""
    try:
        raw = path.open("xb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    with raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="wb") as file:
                yield cast("IO[bytes]", file)
        elif path.suffix == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as writer:
                yield cast("IO[bytes]", writer)
        else:
            yield raw


def _line_writer(file: IO[bytes]) -> Callable[[Mapping[str, Any]], None]:
    def write(members: Mapping[str, Any]) -> None:
        file.write(orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE))

    return write


async def _progress(recorder: Recorder, file: IO[bytes]) -> None:
    """Say how far it is, and make sure that so much is in the file."""
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        file.flush()
        if sys.stderr.isatty():
            _say(f"recording: {recorder.progress()} (Ctrl-C ends it)")
