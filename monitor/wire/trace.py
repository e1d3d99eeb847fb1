"""Traces: what was observed, as JSON lines (plain, .gz or .zst).

The first line is `{"trace":1,"cluster":NAME,"started":UNIX}`, each further one
`{"at":UNIX,"kind":…}` in the order of what happened (design, 6.2).
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
import orjson
import zstandard
from msgspec import Struct

from monitor.core.kubernetes import TYPES, Object, Resource
from monitor.core.model import (
    Changed,
    HealthAnswered,
    Listed,
    Observation,
    SourceDown,
    SourceUp,
)
from monitor.errors import ConfigurationError
from monitor.wire import kubearmor
from monitor.wire.daemon_text import read_line

VERSION: Final = 1
READING_ERRORS: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)
OBJECT_CHANGES: Final = ("ADDED", "MODIFIED", "DELETED")


class Header(Struct, frozen=True):
    """`started`: when observation began; every source is blind from then to its first `up`."""

    cluster: str
    started: float


class Moment(Struct, frozen=True):
    """One line: an observation, or a mark for readers, or (both None) one that says nothing."""

    at: float
    observation: Observation | None = None
    mark: str | None = None


class Trace:
    """A trace to be read once, in order. `skipped` counts damaged lines that were passed over."""

    def __init__(self, path: Path, *, lenient: bool = False) -> None:
        """Read the header. Raises ConfigurationError that names file, line and column."""
        self.path = path
        self.skipped = 0
        self._lenient = lenient
        self._stream = _open(path)
        try:
            self.header = self._read_header()
        except ConfigurationError:
            self._stream.close()
            raise

    def _read_header(self) -> Header:
        try:
            members = orjson.loads(self._stream.readline())
            return _header(members)
        except READING_ERRORS as error:
            raise self._cut_short(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(1, error) from error

    def __iter__(self) -> Iterator[Moment]:
        """Yield the lines. Raises ConfigurationError for a damaged one, unless lenient.

        A line that is dated before the one above it happened no earlier: the clock never goes back.
        """
        last = self.header.started
        with self._stream:
            for number, line in enumerate(self._lines(), start=2):
                if not line.strip():
                    continue
                try:
                    moment = _moment(orjson.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    if not self._lenient:
                        raise self._damaged(number, error) from error
                    self.skipped += 1
                    continue
                last = max(last, moment.at)
                yield moment if moment.at == last else msgspec.structs.replace(moment, at=last)

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except READING_ERRORS as error:
            if not self._lenient:
                raise self._cut_short(error) from error
            self.skipped += 1

    def _cut_short(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: cannot be read to its end: {error}")

    def _damaged(self, number: int, error: Exception) -> ConfigurationError:
        column = error.colno if isinstance(error, orjson.JSONDecodeError) else 1
        reason = f"no member {error}" if isinstance(error, KeyError) else str(error)
        return ConfigurationError(f"{self.path}:{number}:{column}: {reason}")


def _header(members: Mapping[str, Any]) -> Header:
    if members["trace"] != VERSION:
        raise ValueError(f"trace version {members['trace']} is not {VERSION}")
    return Header(cluster=str(members["cluster"]), started=float(members["started"]))


def _open(path: Path) -> IO[bytes]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if path.suffix == ".gz":
        raw.close()
        return cast("IO[bytes]", gzip.open(path))
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(raw, closefd=True)
        return cast(
            "IO[bytes]", io.BufferedReader(cast("io.RawIOBase", reader), buffer_size=1 << 18)
        )
    return raw


def _moment(members: Mapping[str, Any]) -> Moment:
    at = float(members["at"])
    kind = members["kind"]
    if kind == "mark":
        return Moment(at=at, mark=str(members["text"]))
    return Moment(at=at, observation=_KINDS[kind](members))


def _resource(members: Mapping[str, Any]) -> Resource:
    resource = members["resource"]
    if resource not in TYPES:
        raise ValueError(f"no resource {resource!r} is read")
    return cast("Resource", resource)


def _list(members: Mapping[str, Any]) -> Observation:
    resource = _resource(members)
    return Listed(resource, tuple(_object(resource, item) for item in members["items"] or ()))


def _watch(members: Mapping[str, Any]) -> Observation | None:
    """BOOKMARK and ERROR events say nothing about objects."""
    event = members["event"]
    if event["type"] not in OBJECT_CHANGES:
        return None
    resource = _resource(members)
    return Changed(resource, event["type"], _object(resource, event["object"]))


def _object(resource: Resource, members: Mapping[str, Any]) -> Object:
    return msgspec.convert(members, TYPES[resource])


def _text(members: Mapping[str, Any]) -> Observation:
    return read_line(
        members["line"].encode("utf-8", "replace"),
        node=members["node"],
        pod=members["pod"],
        pod_uid=members["podUid"],
        restart=int(members["restart"]),
        container=members["container"],
    )


def _health(members: Mapping[str, Any]) -> Observation:
    serving = members["serving"]
    if not isinstance(serving, bool):
        raise TypeError(f"serving {serving!r} is neither true nor false")
    return HealthAnswered(
        node=str(members["node"]),
        pod_uid=str(members["podUid"]),
        restart=int(members["restart"]),
        serving=serving,
    )


def _source(members: Mapping[str, Any]) -> Observation:
    name, reason = str(members["name"]), str(members.get("reason", ""))
    if members["state"] == "up":
        return SourceUp(name, reason)
    if members["state"] == "down":
        return SourceDown(name, reason)
    raise ValueError(f"state {members['state']!r} is neither up nor down")


_KINDS: Final[dict[str, Callable[[Mapping[str, Any]], Observation | None]]] = {
    "list": _list,
    "watch": _watch,
    "text": _text,
    "alert": lambda members: kubearmor.alert_from_json(members["data"], via=members["via"]),
    "log": lambda members: kubearmor.log_from_json(members["data"], via=members["via"]),
    "message": lambda members: kubearmor.message_from_json(members["data"], via=members["via"]),
    "health": _health,
    "source": _source,
}
