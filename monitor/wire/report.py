"""The report as JSON: camelCase, times in RFC 3339 UTC with microseconds (design, 6.3).

What is written of a type is worked out once: most of what is announced are pairs, twenty and more
to a container, and their times repeat.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import msgspec
import orjson
from msgspec import Struct

from monitor.core.model import Report

INSTANTS: Final = frozenset(
    {"at", "since", "until", "applied", "changed", "known", "written", "outages"}
)
FIRST_INSTANT: Final = -62_135_596_800.0
LAST_INSTANT: Final = 253_402_300_799.0
INTERVALS: Final = frozenset({"stages"})
SPELLED_ALREADY: Final = frozenset({str, int, float, bool, type(None)})

Spelling: TypeAlias = Callable[[Any], Any]


@lru_cache(maxsize=4096)
def rfc3339(instant: float) -> str:
    """Unix seconds as RFC 3339 UTC with microseconds; its years are 1 to 9999."""
    within = min(max(instant, FIRST_INSTANT), LAST_INSTANT)
    return datetime.fromtimestamp(within, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def plain(value: Struct) -> dict[str, Any]:
    """A value of the core as plain JSON members, its instants spelled out."""
    return {
        name: spell(getattr(value, attribute)) for attribute, name, spell in _members(type(value))
    }


def encode(report: Report) -> bytes:
    """The whole report, byte-identical for equal reports."""
    return orjson.dumps(plain(report), option=orjson.OPT_APPEND_NEWLINE)


@cache
def _members(kind: type[Struct]) -> tuple[tuple[str, str, Spelling], ...]:
    return tuple(
        (field.name, field.encode_name, _spelling(field.encode_name))
        for field in msgspec.structs.fields(kind)
    )


def _spelling(name: str) -> Spelling:
    if name in INSTANTS:
        return _times
    return _stages if name in INTERVALS else _spell


def _spell(value: Any) -> Any:  # any JSON value
    if type(value) in SPELLED_ALREADY:
        return value
    if isinstance(value, tuple):
        return [_spell(member) for member in value]
    if isinstance(value, Struct):
        return plain(value)
    if isinstance(value, dict):
        return {key: _spelling(key)(member) for key, member in value.items()}
    return value


def _stages(stages: dict[str, Any]) -> dict[str, Any]:
    return {stage: _times(interval) for stage, interval in stages.items()}


def _times(value: Any) -> Any:  # an instant, or lists of them
    if isinstance(value, tuple):
        return [_times(member) for member in value]
    return rfc3339(value) if isinstance(value, int | float) else value
