"""The rule maps that a daemon fills: one of at most 256 entries per container, 256 in all.

Only the shape of BPF-LSM's maps is kept: what becomes an entry, what does not, what an attempted
action meets there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.selection import Policy

INNER_LIMIT = 256
OUTER_LIMIT = 256
MAP_FULL = "update: key too big for map: argument list too long"
CLASSES = ("process", "file", "network", "capabilities")
_NETWORK_KINDS = frozenset(
    {"ICMP", "TCP", "UDP", "ICMPV6", "SCTP", "STREAM", "DGRAM", "RAW", "RDM", "SEQPACKET"}
)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule as the kernel has it; `directory` and `recursive` say how far its path reaches."""

    path: str
    source: str
    denies: bool
    directory: bool = False
    recursive: bool = False
    owner_only: bool = False
    read_only: bool = False
    hint: bool = False

    def covers(self, path: str) -> bool:
        if self.hint or self.source:
            return False
        if not self.directory:
            return path == self.path
        if not path.startswith(self.path):
            return False
        return self.recursive or "/" not in path.removeprefix(self.path)


@dataclass(slots=True)
class RuleSet:
    """The entries that a container's policies come to, by class, and which classes allow-list."""

    entries: dict[str, dict[Key, Entry]] = field(
        default_factory=lambda: {name: {} for name in CLASSES}
    )
    allow_lists: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return sum(len(entries) for entries in self.entries.values())

    def denies(self, path: str, *, operation: str, blocking: bool) -> bool:
        entries = self.entries[operation].values()
        found = [entry for entry in entries if entry.covers(path)]
        if any(e.denies and not e.owner_only and not e.read_only for e in found):
            return True
        return blocking and operation in self.allow_lists and not found


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy with what it inherits filled in."""

    operation: str
    shape: str
    value: str
    action: str
    severity: int
    tags: tuple[str, ...]
    message: str
    raw: Mapping[str, Any]

    def names(self, path: str) -> bool:
        """Say whether user space would attribute `path` to this rule."""
        if self.shape == "matchPaths":
            return path == self.value
        if self.shape == "matchDirectories":
            below = path.removeprefix(self.value)
            return path.startswith(self.value) and (self.raw.get("recursive") or "/" not in below)
        return False


_SHAPES = {
    "process": {"matchPaths": "path", "matchDirectories": "dir", "matchPatterns": "pattern"},
    "file": {"matchPaths": "path", "matchDirectories": "dir", "matchPatterns": "pattern"},
    "network": {"matchProtocols": "protocol"},
    "capabilities": {"matchCapabilities": "capability"},
    "syscalls": {"matchSyscalls": "syscall", "matchPaths": "path"},
}


def rules(policy: Policy) -> Iterator[Rule]:
    """Yield every rule of a policy; action, severity, tags and message go down level by level."""
    spec = policy.spec
    for operation, shapes in _SHAPES.items():
        section = spec.get(operation) or {}
        for shape, value in shapes.items():
            for raw in section.get(shape) or []:
                levels = (raw, section, spec)
                yield Rule(
                    operation=operation,
                    shape=shape,
                    value=str(raw.get(value, "")),
                    action=str(_first(levels, "action") or "Block").capitalize(),
                    severity=int(_first(levels, "severity") or 0),
                    tags=tuple(_first(levels, "tags") or ()),
                    message=str(_first(levels, "message") or ""),
                    raw=raw,
                )


def _first(levels: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((level[name] for level in levels if level.get(name)), None)


def compile_rules(policies: Sequence[Policy]) -> RuleSet:
    """Return the entries of all policies: audit rules, patterns and syscalls have none."""
    compiled = RuleSet()
    for policy in policies:
        for rule in rules(policy):
            if rule.action in {"Block", "Allow"} and rule.operation in CLASSES:
                _add(compiled, rule)
    return compiled


def _add(compiled: RuleSet, rule: Rule) -> None:
    sources = [str(source["path"]) for source in rule.raw.get("fromSource") or []] or [""]
    for source in sources:
        entries = list(_entries(rule, source))
        if entries and rule.action == "Allow":
            compiled.allow_lists.add(rule.operation)
        for entry in entries:
            compiled.entries[rule.operation][entry.path, entry.source] = entry


def _entries(rule: Rule, source: str) -> Iterator[Entry]:
    denies = rule.action == "Block"
    common: dict[str, Any] = {
        "source": source,
        "denies": denies,
        "owner_only": bool(rule.raw.get("ownerOnly")),
        "read_only": bool(rule.raw.get("readOnly")),
    }
    if rule.shape == "matchDirectories":
        recursive = bool(rule.raw.get("recursive"))
        parts = rule.value.split("/")
        yield Entry(path="/".join(parts[:-1]), **common)
        yield Entry(path=rule.value, directory=True, recursive=recursive, **common)
        for depth in range(1, len(parts) - 1):
            yield Entry(path="/".join(parts[:depth]) + "/", hint=True, **common)
    elif rule.shape == "matchProtocols":
        known = rule.value.upper()
        yield Entry(path=f"network:{known if known in _NETWORK_KINDS else ''}", **common)
    elif rule.shape == "matchCapabilities":
        yield Entry(path=f"capability:{rule.value.upper().removeprefix('CAP_')}", **common)
    elif rule.shape == "matchPaths":
        yield Entry(path=rule.value[:200], **common)


@dataclass(slots=True)
class ContainerMap:
    """A registered container; `rules` is None while it has no inner map."""

    pid_namespace: int
    mount_namespace: int
    rules: RuleSet | None = None
    in_kernel: bool = False


@dataclass(slots=True)
class Kernel:
    """All maps of one daemon; they live no longer than its process."""

    outer_limit: int = OUTER_LIMIT
    containers: dict[str, ContainerMap] = field(default_factory=dict)

    def register(self, container: str, *, pid_namespace: int, mount_namespace: int) -> None:
        self.containers[container] = ContainerMap(pid_namespace, mount_namespace)

    def unregister(self, container: str) -> None:
        self.containers.pop(container, None)

    def update(self, container: str, policies: Sequence[Policy]) -> list[tuple[str, str]]:
        """Write a container's rules; return the lines (level, text) that the daemon prints."""
        held = self.containers.get(container)
        if held is None:
            return []
        compiled = compile_rules(policies)
        if not len(compiled):
            held.rules, held.in_kernel = None, False
            return [("INFO", f"Deleting inner map for {container}")]
        lines: list[tuple[str, str]] = []
        if held.rules is None:
            lines.append(("INFO", f"Creating inner map for {container}"))
            held.in_kernel = self._in_kernel() < self.outer_limit
            if not held.in_kernel:
                text = f"error adding container {container} to outer map: {MAP_FULL}"
                lines.append(("ERROR", text))
        lines += self._fill(container, held, compiled)
        return lines

    def _in_kernel(self) -> int:
        return sum(held.in_kernel for held in self.containers.values())

    @staticmethod
    def _fill(container: str, held: ContainerMap, compiled: RuleSet) -> list[tuple[str, str]]:
        kept = RuleSet(allow_lists=compiled.allow_lists)
        old = held.rules or RuleSet()
        refused = 0
        wanted = [
            (operation, key, entry)
            for operation, entries in compiled.entries.items()
            for key, entry in entries.items()
        ]
        wanted.sort(key=lambda item: item[1] not in old.entries[item[0]])
        for operation, key, entry in wanted:
            if len(kept) < INNER_LIMIT:
                kept.entries[operation][key] = entry
            else:
                refused += 1
        held.rules = kept
        text = f"error adding rule to map for container {container}: {MAP_FULL}"
        return [("ERROR", text)] * refused

    def entries(self, container: str) -> int:
        """Return the size of a container's map, -1 if it has none."""
        held = self.containers.get(container)
        return -1 if held is None or held.rules is None else len(held.rules)

    def denies(self, container: str, path: str, *, operation: str, blocking: bool) -> bool:
        held = self.containers.get(container)
        if held is None or held.rules is None or not held.in_kernel:
            return False
        if not held.pid_namespace:
            return False
        return held.rules.denies(path, operation=operation, blocking=blocking)
