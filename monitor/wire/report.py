"""The report as JSON: camelCase, times in RFC 3339 UTC with microseconds (design, 6.3).

What is written of a type is worked out once: most of what is announced are pairs, twenty and more
to a container, and their times repeat.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import orjson
from msgspec import Struct, structs, to_builtins

from monitor.core.model import Report

INSTANTS: Final = frozenset(
    {"at", "since", "until", "applied", "changed", "known", "written", "outages"}
)
FIRST_INSTANT: Final = -62_135_596_800.0
LAST_INSTANT: Final = 253_402_300_799.0
INTERVALS: Final = frozenset({"stages"})
SPELLED_ALREADY: Final = frozenset({str, int, float, bool, type(None)})

Spelling: TypeAlias = Callable[[Any, Any], Any]


@lru_cache(maxsize=4096)
def rfc3339(instant: float) -> str:
    """Unix seconds as RFC 3339 UTC with microseconds; its years are 1 to 9999."""
    within = min(max(instant, FIRST_INSTANT), LAST_INSTANT)
    return datetime.fromtimestamp(within, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def plain(value: Struct) -> dict[str, Any]:
    """A value of the core as plain JSON members, its instants spelled out."""
    members: dict[str, Any] = _spell(value, to_builtins(value))
    return members


def encode(report: Report) -> bytes:
    """The whole report, byte-identical for equal reports."""
    return orjson.dumps(plain(report), option=orjson.OPT_APPEND_NEWLINE)


@cache
def _unspelled(kind: type[Struct]) -> tuple[tuple[str, str, Spelling], ...]:
    """The members of a type whose values are not what they are in JSON."""
    return tuple(
        (field.name, field.encode_name, _spelling(field.encode_name))
        for field in structs.fields(kind)
        if field.encode_name in INSTANTS or not _is_spelled(field.type)
    )


def _is_spelled(annotation: Any) -> bool:
    """Whether values of a type, which are no instants, are JSON as they are."""
    if annotation in SPELLED_ALREADY or annotation is Ellipsis:
        return True
    if get_origin(annotation) in {Union, UnionType, tuple}:
        return all(map(_is_spelled, get_args(annotation)))
    return get_origin(annotation) is Literal


def _spelling(name: str) -> Spelling:
    if name in INSTANTS:
        return _instants
    return _stages if name in INTERVALS else _spell


def _spell(value: Any, told: Any) -> Any:  # any value of the core, and its JSON without instants
    if not value or type(value) in SPELLED_ALREADY:
        return told
    if isinstance(value, Struct):
        for attribute, name, spell in _unspelled(type(value)):
            told[name] = spell(getattr(value, attribute), told[name])
        return told
    if isinstance(value, tuple):
        return tuple(map(_spell, value, told))
    if isinstance(value, dict):
        return {key: _spelling(key)(member, told[key]) for key, member in value.items()}
    return told


def _stages(stages: dict[str, Any], _told: Any) -> dict[str, Any]:
    return {stage: _times(interval) for stage, interval in stages.items()}


def _instants(value: Any, _told: Any) -> Any:
    return _times(value)


@lru_cache(maxsize=4096)
def _times(value: Any) -> Any:  # an instant, or tuples of them
    if isinstance(value, tuple):
        return tuple(map(_times, value))
    return rfc3339(value) if isinstance(value, int | float) else value
