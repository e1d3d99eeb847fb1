"""Policies in YAML files, and the line on which each part of them stands."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from monitor.core.lint.remarks import KINDS, Manifest, dotted
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
        return _line(self.node, place)

    @property
    def is_named(self) -> bool:
        """Whether its name stands in the file, and is not made up when it is created."""
        metadata = _part(self.node, "metadata")
        return metadata is not None and _part(metadata[1], "name") is not None


class Reading(Struct):
    """What some files hold: policies, and how many documents are something else."""

    documents: list[Document]
    problems: list[str]
    files: int = 0
    skipped: int = 0

    def problem(self, file: str, line: int, text: str) -> None:
        """Note what is wrong on a line, counted from 1."""
        self.problems.append(f"{file}:{line}: {text}")


def read_manifests(names: Sequence[str], *, namespace: str) -> Reading:
    """Read files, folders (every YAML and JSON file below) and, for `-`, standard input.

    `namespace` is that of namespaced policies which name none. Raises ConfigurationError with every
    file that cannot be read and every place that is no YAML.
    """
    reading = Reading(documents=[], problems=[])
    known: set[str] = set()
    for name in names:
        for file in _files(name, reading):
            if _identity(file) not in known:
                known.add(_identity(file))
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


def _identity(file: str) -> str:
    """The same for a file that is named twice, by itself and by its folder."""
    return file if file == STANDARD_INPUT else str(Path(file).resolve())


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
            _take_document(file, node, value, namespace, reading)
    except yaml.MarkedYAMLError as error:
        where = f"{file}:{error.problem_mark.line + 1}" if error.problem_mark else file
        reading.problems.append(f"{where}: not YAML: {error.problem}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reading.problems.append(f"{file}:{line}: not YAML: {error.reason}")
    except RecursionError:
        reading.problems.append(f"{file}: nested too deeply")


def _values(text: str) -> Iterator[tuple[Any, object]]:
    """Each document's tree and value, unless it is empty."""
    loader = yaml.SafeLoader(text)
    while loader.check_node():
        node: Any = loader.get_node()
        try:
            value = loader.construct_document(node)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
        if value is not None:
            yield node, _plain(value, {})


def _take_document(file: str, node: Any, value: object, namespace: str, reading: Reading) -> None:
    """Take an object, or those of a list one by one."""
    if not _is_list(mapping(value)):
        _take(file, node, value, namespace, reading)
        return
    items, found = mapping(value).get("items"), _part(node, "items")
    if found is None:
        reading.problem(file, _line(node, ()), "a list without items")
    elif isinstance(items, list):
        for item, held in zip(found[1].value, items, strict=True):
            _take_document(file, item, held, namespace, reading)
    elif items is not None:
        reading.problem(file, _line(node, ("items",)), "items is no list")


def _is_list(document: Mapping[str, Any]) -> bool:
    """Whether it is a list of objects; kinds of other groups may end in the word, too."""
    kind, version = text_of(document.get("kind")), text_of(document.get("apiVersion"))
    if not kind.endswith("List"):
        return False
    ours = version.startswith(GROUP) and kind.removesuffix("List") in KINDS
    return ours or kind == "List" or isinstance(document.get("items"), list)


def _take(file: str, node: Any, value: object, namespace: str, reading: Reading) -> None:
    document = mapping(value)
    kind = text_of(document.get("kind"))
    if not text_of(document.get("apiVersion")).startswith(GROUP) or kind not in KINDS:
        reading.skipped += 1
        return
    misplaced = list(_misplaced(document))
    for place, wanted in misplaced:
        line = _line(node, place)
        reading.problem(file, line, f"{dotted(place)} is no {wanted}")
    if misplaced:
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


def _misplaced(document: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The places without which a policy cannot be read, and what should stand there."""
    for part in ("metadata", "spec"):
        if not isinstance(document.get(part), Mapping | None):
            yield (part,), "mapping"
    metadata = mapping(document.get("metadata"))
    for name in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(name), str | None):
            yield ("metadata", name), "string"


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


def _line(node: Any, place: Place) -> int:
    """The line, from 1, of a place in a tree; of what encloses it, where it is not there."""
    line = node.start_mark.line
    for step in place:
        if (found := _part(node, step)) is None:
            break
        line, node = found
    return int(line) + 1


def _part(node: Any, step: str | int) -> tuple[int, Any] | None:
    """The line and the tree of a member or an item; None where there is none."""
    if isinstance(step, int):
        if node.id != "sequence" or step >= len(node.value):
            return None
        item = node.value[step]
        return item.start_mark.line, item
    if node.id != "mapping":
        return None
    for key, value in reversed(node.value):  # of keys that are written twice the last one counts
        if key.id == "scalar" and key.value == step:
            return key.start_mark.line, value
    return None
