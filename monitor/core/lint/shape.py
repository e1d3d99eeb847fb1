"""Values of a type that the definitions of KubeArmor's policies do not admit (dossier 5.7).

The API server refuses such a policy as a whole, so nothing of it is ever in force. A field that the
definition does not have is dropped instead, and so is a null; neither is a matter of types.
What is wrong within the expressions of a selector has words of its own (`lint.expressions`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from monitor.core.lint.remarks import Manifest, Remark, Rewrite
from monitor.core.meant import Path, text_of

Shape: TypeAlias = "str | tuple[Shape] | Mapping[str, Shape]"
"""What may stand in a place: a scalar by its name, a list of something, or a mapping.

A mapping's members have shapes by name, `*` for those that are not named; one without a shape may
be anything.
"""

SEVEREST: Final = 10
ACTIONS: Final = ("Allow", "Audit", "Block")
WANTED: Final[Mapping[str, str]] = {
    "text": "a string",
    "flag": "true or false",
    "severity": f"a whole number from 1 to {SEVEREST}",
    "action": "one of Allow, Audit and Block",
}
_LABELS: Final[Shape] = {"matchLabels": {"*": "text"}}
_TOLD: Final[Mapping[str, Shape]] = {
    "severity": "severity",
    "tags": ("text",),
    "message": "text",
    "action": "action",
}
_SOURCES: Final[Shape] = ({"path": "text", "dir": "text", "recursive": "flag"},)
_RULE: Final[Mapping[str, Shape]] = {
    **_TOLD,
    "fromSource": _SOURCES,
    "ownerOnly": "flag",
    "readOnly": "flag",
    "recursive": "flag",
    "allowedArgs": ("text",),
    "execname": "text",
}


def _rules(*lists: tuple[str, Mapping[str, Shape]]) -> Mapping[str, Shape]:
    return {**_TOLD, **{name: ({**_RULE, **members},) for name, members in lists}}


_FILES: Final = _rules(
    ("matchPaths", {"path": "text"}),
    ("matchDirectories", {"dir": "text"}),
    ("matchPatterns", {"pattern": "text"}),
)
_ENFORCED: Final[Mapping[str, Shape]] = {
    **_TOLD,
    "process": _FILES,
    "file": _FILES,
    "network": _rules(("matchProtocols", {"protocol": "text"})),
    "capabilities": _rules(("matchCapabilities", {"capability": "text"})),
    "syscalls": _rules(
        ("matchSyscalls", {"syscall": ("text",)}),
        ("matchPaths", {"path": "text", "syscall": ("text",)}),
    ),
    "presets": ({**_TOLD, "name": "text"},),
    "apparmor": "text",
}
_SPECS: Final[Mapping[str, Shape]] = {
    "KubeArmorPolicy": {**_ENFORCED, "selector": {"matchLabels": {}}},
    "KubeArmorClusterPolicy": {**_ENFORCED, "selector": {}},
    "KubeArmorHostPolicy": {**_ENFORCED, "nodeSelector": _LABELS},
    "KubeArmorNetworkPolicy": {
        **_TOLD,
        "selector": _LABELS,
        "nodeSelector": _LABELS,
        "ingress": ({},),
        "egress": ({},),
    },
}


def wrong_types(manifest: Manifest) -> Iterator[Remark]:
    """The places of a policy at which something else must stand, in the manifest's order."""
    for path, wanted, value in _misfits(manifest.spec, _SPECS[manifest.kind], ("spec",)):
        yield Remark(
            code="policy-rejected",
            severity="error",
            policy=manifest,
            path=path,
            reason=(
                f"Here must stand {_wanted(wanted)}, not {_found(value)}: the API server refuses "
                "the policy."
            ),
            rewrite=_rewrite(path, wanted, value),
        )


def _misfits(value: object, shape: Shape, path: Path) -> Iterator[tuple[Path, Shape, object]]:
    if isinstance(shape, str):
        if not _is_scalar(value, shape):
            yield path, shape, value
    elif isinstance(shape, tuple):
        if not isinstance(value, list):
            yield path, shape, value
            return
        for index, item in enumerate(value):
            yield from _misfits(item, shape[0], (*path, index))
    elif isinstance(value, Mapping):
        for name, held in value.items():
            wanted = shape.get(name, shape.get("*"))
            if wanted is not None and held is not None:
                yield from _misfits(held, wanted, (*path, text_of(name)))
    else:
        yield path, shape, value


def _is_scalar(value: object, shape: str) -> bool:
    if shape == "flag":
        return isinstance(value, bool)
    if shape == "severity":
        return isinstance(value, int) and value is not True and 1 <= value <= SEVEREST
    return isinstance(value, str) and (shape == "text" or value in ACTIONS)


def _wanted(shape: Shape) -> str:
    if isinstance(shape, str):
        return WANTED[shape]
    return "a list" if isinstance(shape, tuple) else "a mapping"


def _found(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return f"the string `{value}`" if isinstance(value, str) else f"`{text_of(value)}`"


def _rewrite(path: Path, shape: Shape, value: Any) -> Rewrite | None:
    """What is clearly meant: a single item of a list, a scalar that only lacks quotes."""
    meant: object = None
    if isinstance(shape, tuple) and isinstance(value, Mapping if shape[0] != "text" else str):
        meant = [value]
    elif shape == "text" and isinstance(value, bool | int | float):
        meant = text_of(value)
    elif shape == "action" and isinstance(value, str):
        meant = next((one for one in ACTIONS if one.lower() == value.strip().lower()), None)
    elif shape == "severity" and isinstance(value, str) and value.strip().isdecimal():
        meant = int(value) if _is_scalar(int(value), "severity") else None
    elif shape == "flag" and isinstance(value, str):
        meant = {"true": True, "false": False}.get(value.strip().lower())
    return None if meant is None else Rewrite(path, meant)
