"""Rules that the node's enforcer cannot enforce, and allow-lists (dossier 5.4, 5.7, 6.8, F38, F39).

`core.rules` counts such rules for a verdict; here each is named with its place in the manifest, and
a form that is enforced is offered where the rule has one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from monitor.core.lint.remarks import Enforcer, Manifest, Remark, Rewrite, Severity
from monitor.core.meant import Path, mapping, text_of

Class: TypeAlias = Literal["file", "network", "capabilities"]

ENFORCER_NAMES: Final[Mapping[Enforcer, str]] = {"bpf": "BPF-LSM", "apparmor": "AppArmor"}
POSTURE_CLASSES: Final[Mapping[str, Class]] = {
    "process": "file",
    "file": "file",
    "network": "network",
    "capabilities": "capabilities",
}
_LISTS: Final = {
    "process": ("matchPaths", "matchDirectories", "matchPatterns"),
    "file": ("matchPaths", "matchDirectories", "matchPatterns"),
    "network": ("matchProtocols",),
    "capabilities": ("matchCapabilities",),
    "syscalls": ("matchSyscalls", "matchPaths"),
}
_DECISIVE: Final = ("Block", "Allow")


class PlacedRule(NamedTuple):
    """An item of a rule list and where it stands; `action` is its own or what it inherits."""

    path: Path
    section: str
    form: str
    item: Mapping[str, Any]
    action: str


def placed_rules(spec: Mapping[str, Any]) -> Iterator[PlacedRule]:
    """All rules of a spec in the manifest's order; an action is inherited from class and spec."""
    default = text_of(spec.get("action")) or "Block"
    for section, value in spec.items():
        if section == "presets":
            yield from _placed(("spec", "presets"), "presets", "preset", value, default)
        group = mapping(value)
        inherited = text_of(group.get("action")) or default
        for form in _LISTS.get(section, ()):
            path = ("spec", section, form)
            yield from _placed(path, section, form, group.get(form), inherited)


def _placed(
    path: Path, section: str, form: str, items: object, inherited: str
) -> Iterator[PlacedRule]:
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            action = text_of(item.get("action")) or inherited
            yield PlacedRule((*path, index), section, form, item, action)


def unenforceable_rules(manifest: Manifest, *, enforcer: Enforcer) -> Iterator[Remark]:
    """The rules that block or allow in words only; `error` where the policy has no others."""
    rules = [rule for rule in placed_rules(manifest.spec) if rule.action in _DECISIVE]
    hopeless = [(rule, _obstacle(manifest, rule, enforcer)) for rule in rules]
    found = [(rule, why) for rule, why in hopeless if why]
    severity: Severity = "error" if len(found) == len(rules) else "warning"
    for rule, why in found:
        yield Remark(
            code="rule-not-enforceable",
            severity=severity,
            policy=manifest,
            path=rule.path,
            reason=f"{why}: this {rule.action} rule is not enforced.",
            rewrite=_rewritten(rule, manifest.spec),
        )
    if text_of(manifest.spec.get("apparmor")) and enforcer != "apparmor":
        yield Remark(
            code="rule-not-enforceable",
            severity="warning" if len(found) < len(rules) else "error",
            policy=manifest,
            path=("spec", "apparmor"),
            reason=f"With {ENFORCER_NAMES[enforcer]} raw AppArmor text is ignored.",
        )


def _obstacle(manifest: Manifest, rule: PlacedRule, enforcer: Enforcer) -> str:
    """Why the enforcer has no form for a rule; empty where it has one."""
    if rule.section == "syscalls":
        return "System calls are only observed, with any enforcer"
    name = ENFORCER_NAMES[enforcer]
    if enforcer == "bpf":
        if rule.form == "matchPatterns":
            return f"With {name} matchPatterns are ignored"
        if rule.section == "capabilities" and manifest.kind == "KubeArmorHostPolicy":
            return f"With {name} a host policy's capabilities are left out"
        return ""
    if rule.form == "preset":
        return f"With {name} presets are not supported"
    if rule.item.get("allowedArgs"):
        return f"With {name} allowedArgs are not supported"
    if rule.form == "matchProtocols" and text_of(rule.item.get("protocol")).upper() == "ICMP":
        return f"With {name} the protocol ICMP is not matched"
    return ""


def _rewritten(rule: PlacedRule, spec: Mapping[str, Any]) -> Rewrite | None:
    if rule.section == "syscalls":
        others = any(section in spec for section in (*_LISTS, "presets") if section != "syscalls")
        return None if others else Rewrite(("spec", "action"), "Audit")
    if rule.form != "matchPatterns":
        return None
    pattern = text_of(rule.item.get("pattern"))
    folder, _, last = pattern.rpartition("/")
    if not pattern.startswith("/") or any(sign in folder for sign in "*?["):
        return None
    rest = {key: value for key, value in rule.item.items() if key != "pattern"}
    if last in {"*", "**"}:
        recursive = {"recursive": True} if last == "**" else {}
        return _moved(
            rule, spec, to="matchDirectories", item={"dir": f"{folder}/"} | recursive | rest
        )
    if last and not any(sign in last for sign in "*?["):
        return _moved(rule, spec, to="matchPaths", item={"path": pattern} | rest)
    return None


def _moved(
    rule: PlacedRule, spec: Mapping[str, Any], *, to: str, item: Mapping[str, Any]
) -> Rewrite:
    """The rule's section with the rule in another list."""
    section = dict(mapping(spec.get(rule.section)))
    left = [one for one in section.pop(rule.form) if one is not rule.item]
    if left:
        section[rule.form] = left
    others = section.get(to)
    section[to] = [*(others if isinstance(others, list) else ()), item]
    return Rewrite(("spec", rule.section), section)


def allowing_classes(spec: Mapping[str, Any]) -> dict[Class, Path]:
    """The posture classes in which a spec allows something, each with the first such section."""
    found: dict[Class, Path] = {}
    for rule in placed_rules(spec):
        posture = POSTURE_CLASSES.get(rule.section)
        if rule.action == "Allow" and posture is not None:
            found.setdefault(posture, ("spec", rule.section))
    return found
