"""The report as JSON: camelCase, times in RFC 3339 UTC with microseconds (design, 6.3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct

from monitor.core.model import Report

INSTANTS: Final = frozenset({"at", "since", "until", "applied", "changed", "known", "written"})
INTERVALS_OF_INSTANTS: Final = frozenset({"outages"})


def rfc3339(instant: float) -> str:
    """Unix seconds as RFC 3339 UTC with microseconds."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Struct) -> dict[str, Any]:
    """A value of the core as plain JSON members, its instants spelled out."""
    members = msgspec.to_builtins(value)
    assert isinstance(members, dict)
    return {name: _spell(name, member) for name, member in members.items()}


def encode(report: Report) -> bytes:
    """The whole report, byte-identical for equal reports."""
    return orjson.dumps(plain(report), option=orjson.OPT_APPEND_NEWLINE)


def _spell(name: str, value: Any) -> Any:  # any JSON value
    if name in INSTANTS or name in INTERVALS_OF_INSTANTS:
        return _times(value)
    if name == "stages":
        return {stage: _times(interval) for stage, interval in value.items()}
    if isinstance(value, Mapping):
        return {key: _spell(key, member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_spell("", member) for member in value]
    return value


def _times(value: Any) -> Any:  # an instant, or lists of them
    if isinstance(value, list | tuple):
        return [_times(member) for member in value]
    return rfc3339(value) if isinstance(value, int | float) else value
