"""Policies in YAML files, and the line on which each part of them stands."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from monitor.core.lint.remarks import KINDS, Manifest
from monitor.core.meant import Path as Place
from monitor.core.meant import mapping, text_of
from monitor.errors import ConfigurationError

GROUP = "security.kubearmor.com/"
SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = "-"


class Document(Struct, frozen=True):
    """A policy and where it was read; `node` is its YAML tree."""

    manifest: Manifest
    file: str
    node: Any

    def line(self, place: Place) -> int:
        """The line of a part of the policy; of what encloses it, where it is not there."""
        node, line = self.node, self.node.start_mark.line
        for step in place:
            if (found := _part(node, step)) is None:
                break
            line, node = found
        return int(line) + 1


class Reading(Struct):
    """What some files hold: policies, and how many documents are something else."""

    documents: list[Document]
    problems: list[str]
    files: int = 0
    skipped: int = 0


def read_manifests(names: Sequence[str], *, namespace: str) -> Reading:
    """Read files, folders (every YAML and JSON file below) and, for `-`, standard input.

    `namespace` is that of namespaced policies which name none. Raises ConfigurationError with every
    file that cannot be read and every place that is no YAML.
    """
    reading = Reading(documents=[], problems=[])
    for name in names:
        for file in _files(name, reading):
            _read(file, namespace, reading)
    if reading.problems:
        listed = "\n".join(f"  {problem}" for problem in reading.problems)
        raise ConfigurationError(f"not everything can be read:\n{listed}")
    return reading


def skipped(reading: Reading) -> str:
    """Say how many documents were passed over; nothing if none was."""
    if not reading.skipped:
        return ""
    one = reading.skipped == 1
    are = (
        "document is no KubeArmor policy and was"
        if one
        else ("documents are no KubeArmor policies and were")
    )
    return f"{reading.skipped} {are} skipped\n"


def _files(name: str, reading: Reading) -> Iterator[str]:
    path = Path(name)
    if name == STANDARD_INPUT or not path.is_dir():
        yield name
        return
    found = [
        str(one) for one in sorted(path.rglob("*")) if one.suffix in SUFFIXES and one.is_file()
    ]
    if not found:
        reading.problems.append(f"{name}: no YAML file in this folder")
    yield from found


def _read(file: str, namespace: str, reading: Reading) -> None:
    try:
        if file == STANDARD_INPUT:
            text = sys.stdin.buffer.read().decode()
        else:
            text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        reading.problems.append(f"{file}: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        reading.problems.append(f"{file}: no UTF-8 text: {error.reason}")
        return
    reading.files += 1
    try:
        for node, value in _values(text):
            _take(file, node, value, namespace, reading)
    except yaml.MarkedYAMLError as error:
        where = f"{file}:{error.problem_mark.line + 1}" if error.problem_mark else file
        reading.problems.append(f"{where}: not YAML: {error.problem}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reading.problems.append(f"{file}:{line}: not YAML: {error.reason}")
    except RecursionError:
        reading.problems.append(f"{file}: nested too deeply")


def _values(text: str) -> Iterator[tuple[Any, object]]:
    """Each document's tree and value; those of a list of objects one by one."""
    loader = yaml.SafeLoader(text)
    while loader.check_node():
        node: Any = loader.get_node()
        try:
            value = loader.construct_document(node)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
        value = _plain(value, {})
        if text_of(mapping(value).get("kind")).endswith("List"):
            yield from _items(node, value)
        elif value is not None:
            yield node, value


def _items(node: Any, value: object) -> Iterator[tuple[Any, object]]:
    items = mapping(value).get("items")
    found = _part(node, "items")
    if isinstance(items, list) and found is not None:
        yield from zip(found[1].value, items, strict=True)


def _take(file: str, node: Any, value: object, namespace: str, reading: Reading) -> None:
    document = mapping(value)
    kind = text_of(document.get("kind"))
    if not text_of(document.get("apiVersion")).startswith(GROUP) or kind not in KINDS:
        reading.skipped += 1
        return
    for part in ("metadata", "spec"):
        if not isinstance(document.get(part, {}), Mapping | None):
            found = _part(node, part)
            line = (found[0] if found else node.start_mark.line) + 1
            reading.problems.append(f"{file}:{line}: {part} is no mapping")
            return
    metadata = mapping(document.get("metadata"))
    named = text_of(metadata.get("namespace")) or namespace
    manifest = Manifest(
        kind=kind,
        namespace=named if kind == "KubeArmorPolicy" else "",
        name=text_of(metadata.get("name")) or text_of(metadata.get("generateName")),
        spec=mapping(document.get("spec")),
    )
    reading.documents.append(Document(manifest=manifest, file=file, node=node))


def _plain(value: object, known: dict[int, object]) -> Any:
    """The value as JSON has it: keys are strings. What is shared in YAML stays shared."""
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, dict):
        plain: object = {text_of(key): _plain(held, known) for key, held in value.items()}
    elif isinstance(value, list):
        plain = [_plain(held, known) for held in value]
    elif value is None or isinstance(value, str | bool | int | float):
        return value
    else:
        return text_of(value)
    known[id(value)] = plain
    return plain


def _part(node: Any, step: str | int) -> tuple[int, Any] | None:
    """The line and the tree of a member or an item; None where there is none."""
    if isinstance(step, int):
        if node.id != "sequence" or step >= len(node.value):
            return None
        item = node.value[step]
        return item.start_mark.line, item
    if node.id != "mapping":
        return None
    for key, value in node.value:
        if key.id == "scalar" and key.value == step:
            return key.start_mark.line, value
    return None
