"""What the rules of a policy forbid, and which of them have a form that the kernel enforces.

Dossier sections 5.7 (shapes, inherited actions) and 6.8 (rules without kernel form): under BPF-LSM
patterns and system calls are only observed, Audit is tracing, raw AppArmor text is ignored; presets
are enforced outside the container's rule map.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

Operation: TypeAlias = Literal["Process", "File", "Network", "Capabilities", "Syscall", "Preset"]
Form: TypeAlias = Literal[
    "path", "directory", "pattern", "protocol", "capability", "syscall", "preset"
]

KERNEL_FORMS: Final = frozenset({"path", "directory", "protocol", "capability"})
PROFILELESS: Final = frozenset({"syscall", "preset"})
CLASSES: Final[dict[Operation, str]] = {
    "Process": "file",
    "File": "file",
    "Network": "network",
    "Capabilities": "capabilities",
}
_LISTS: Final[tuple[tuple[str, Operation, str, Form, str], ...]] = (
    ("process", "Process", "matchPaths", "path", "path"),
    ("process", "Process", "matchDirectories", "directory", "dir"),
    ("process", "Process", "matchPatterns", "pattern", "pattern"),
    ("file", "File", "matchPaths", "path", "path"),
    ("file", "File", "matchDirectories", "directory", "dir"),
    ("file", "File", "matchPatterns", "pattern", "pattern"),
    ("network", "Network", "matchProtocols", "protocol", "protocol"),
    ("capabilities", "Capabilities", "matchCapabilities", "capability", "capability"),
    ("syscalls", "Syscall", "matchSyscalls", "syscall", "syscall"),
    ("syscalls", "Syscall", "matchPaths", "syscall", "path"),
)


class Rule(Struct, frozen=True, gc=False):
    """One thing that a policy allows, audits or blocks."""

    operation: Operation
    form: Form
    value: str
    action: str
    recursive: bool = False
    conditional: bool = False

    @property
    def in_kernel(self) -> bool:
        """Whether it becomes an entry of a container's rule map."""
        return self.form in KERNEL_FORMS and self.action in {"Block", "Allow"}

    def concerns(self, *, operation: str, resource: str) -> bool:
        """Whether an event of that operation on that resource can be due to this rule."""
        if operation != self.operation:
            return False
        if self.operation == "Network":
            return (
                f"protocol={self.value}".lower() in resource.lower()
                or self.value.lower() in resource.lower()
            )
        target = resource.split(" ", 1)[0]
        if self.form == "path":
            return target == self.value
        if self.form == "directory":
            rest = target.removeprefix(self.value)
            return target.startswith(self.value) and (self.recursive or "/" not in rest)
        return True


class Rules:
    """The rules of one policy revision.

    `enforced`: at least one rule is written to the kernel. `unenforceable`: it means to block or
    allow something, and nothing of that has a kernel form. `without_kernel_form`: how many rules
    that block or allow have none. `profileless`: none of them has a form under AppArmor either.
    `allowing`: the classes of posture that decide what a policy of Allow rules alone forbids.
    `is_plain`: whether it is in force depends on its rules being written, and on nothing else.
    `audited`: the kinds of events that a policy of Audit rules alone is about.
    """

    __slots__ = (
        "allowing",
        "audited",
        "enforced",
        "is_plain",
        "profileless",
        "rules",
        "unenforceable",
        "without_kernel_form",
    )

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        decisive = [rule for rule in rules if rule.action in {"Block", "Allow"}]
        formless = [r for r in decisive if not r.in_kernel and r.form != "preset"]
        self.enforced = any(rule.in_kernel for rule in rules)
        self.unenforceable = bool(decisive) and len(formless) == len(decisive)
        self.without_kernel_form = len(formless)
        self.profileless = bool(decisive) and all(r.form in PROFILELESS for r in decisive)
        only_allows = all(rule.action == "Allow" for rule in decisive)
        self.allowing = frozenset(
            CLASSES[rule.operation]
            for rule in decisive
            if only_allows and rule.operation in CLASSES
        )
        self.is_plain = self.enforced and not self.allowing
        only_audits = all(rule.action == "Audit" for rule in rules)
        self.audited = frozenset(rule.operation.lower() for rule in rules if only_audits)

    def concern(self, *, operation: str, resource: str, action: str) -> bool:
        """Whether an alert with that action can be due to one of the rules."""
        return any(
            rule.action == action and rule.concerns(operation=operation, resource=resource)
            for rule in self.rules
        )

    def forbid(self, *, operation: str, resource: str) -> bool:
        """Whether an exact-path Block rule without any condition forbids exactly that."""
        target = resource.split(" ", 1)[0]
        return any(
            rule.form == "path"
            and rule.action == "Block"
            and not rule.conditional
            and rule.operation == operation
            and rule.value == target
            for rule in self.rules
        )


def read_rules(spec: Mapping[str, Any]) -> Rules:
    """Expand the rules of a spec; an action is the rule's, its class's, the spec's, or Block."""
    return Rules(tuple(_rules(spec)))


def _rules(spec: Mapping[str, Any]) -> Iterator[Rule]:
    default = str(spec.get("action") or "Block")
    for section, operation, member, form, key in _LISTS:
        group = spec.get(section)
        if not isinstance(group, Mapping):
            continue
        inherited = str(group.get("action") or default)
        for item in group.get(member) or ():
            yield from _expand(item, operation=operation, form=form, key=key, inherited=inherited)
    for item in spec.get("presets") or ():
        if isinstance(item, Mapping):
            action = str(item.get("action") or default)
            yield Rule(
                operation="Preset", form="preset", value=str(item.get("name", "")), action=action
            )


def _expand(
    item: object, *, operation: Operation, form: Form, key: str, inherited: str
) -> Iterator[Rule]:
    if not isinstance(item, Mapping):
        return
    values = item.get(key)
    conditional = any(
        item.get(name)
        for name in ("fromSource", "ownerOnly", "readOnly", "allowedArgs", "execname")
    )
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, str):
            yield Rule(
                operation=operation,
                form=form,
                value=value,
                action=str(item.get("action") or inherited),
                recursive=bool(item.get("recursive")),
                conditional=conditional,
            )
