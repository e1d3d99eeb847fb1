"""What the words of a selector mean to somebody who writes them: the reading behind `core.intent`.

Each function takes what stands in a manifest, however it is written, and returns what is clearly
meant by it, or None. Nothing here knows what KubeArmor does with it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

Path: TypeAlias = tuple[str | int, ...]
Subject: TypeAlias = Literal["namespace", "label", "container"]
Operator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist"]

LABELS_PATH: Final[Path] = ("spec", "selector", "matchLabels")
EXPRESSIONS_PATH: Final[Path] = ("spec", "selector", "matchExpressions")
OPERATORS: Final[Mapping[str, Operator]] = {
    "in": "In",
    "notin": "NotIn",
    "exists": "Exists",
    "doesnotexist": "DoesNotExist",
}
_PAIR: Final = re.compile(r"\s*([A-Za-z0-9./_-]+)\s*(?:==|=|:)\s*(\S*)\s*$")


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def text_of(value: object) -> str:
    """A scalar as it is written in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def meant_pair(value: object) -> str | None:
    """The label `k=v` that a value of an expression means; None where it means no pair."""
    if isinstance(value, Mapping) and len(value) == 1:
        key, held = next(iter(value.items()))
        return f"{text_of(key)}={text_of(held)}"
    match = _PAIR.match(text_of(value))
    return f"{match[1]}={match[2]}" if match else None


def meant_containers(value: object) -> tuple[str, ...]:
    """The names in a container list, however its brackets and quotes are written."""
    parts = value if isinstance(value, list) else text_of(value).strip("[](){} ").split(",")
    names = (text_of(part).strip(" '\"") for part in parts)
    return tuple(name for name in names if name)


def meant_operator(value: object) -> Operator | None:
    """The operator that a word means; None where it means none."""
    return OPERATORS.get(text_of(value).replace(" ", "").replace("_", "").lower())


class Expression(Struct, frozen=True):
    """An item of matchExpressions as it is meant; `key` is what is written."""

    path: Path
    key: str
    subject: Subject
    operator: Operator
    values: tuple[str, ...]


def raw_values(item: Mapping[str, Any]) -> list[object]:
    """The values as they are written; a single one may stand without a list."""
    values = item.get("values")
    if values is None:
        return []
    return list(values) if isinstance(values, list) else [values]


def expressions(spec: Mapping[str, Any]) -> tuple[Expression, ...]:
    """The items of a selector's matchExpressions, as meant."""
    items = mapping(spec.get("selector")).get("matchExpressions")
    if not isinstance(items, list):
        return ()
    return tuple(
        _expression((*EXPRESSIONS_PATH, index), item)
        for index, item in enumerate(items)
        if isinstance(item, Mapping)
    )


def _expression(path: Path, item: Mapping[str, Any]) -> Expression:
    key = text_of(item.get("key"))
    values = raw_values(item)
    operator = meant_operator(item.get("operator")) or "In"
    pairs = [meant_pair(value) for value in values]
    subject: Subject = "label"
    if key == "namespace" or (not key and values and None in pairs):
        subject = "namespace"
        meant = [text_of(value).rpartition("=")[2].strip() for value in values]
    elif key in {"", "label"} and operator in {"In", "NotIn"}:
        meant = [pair or text_of(value) for pair, value in zip(pairs, values, strict=True)]
    elif operator in {"Exists", "DoesNotExist"}:
        meant = [key] if key not in {"", "label"} else [text_of(value) for value in values]
    else:
        meant = [f"{key}={text_of(value)}" for value in values]
    return Expression(path=path, key=key, subject=subject, operator=operator, values=tuple(meant))
