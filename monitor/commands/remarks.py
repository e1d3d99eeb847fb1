"""Remarks on policies, with the file and line they are about, for people and for programs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

from monitor.core.lint.remarks import Manifest, Remark, Rewrite, Severity, dotted

Json: TypeAlias = dict[str, Any]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Located(Struct, frozen=True):
    """A remark and where it was read; the file is empty for a policy of a cluster."""

    remark: Remark
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.file else self.remark.policy.title


def render(found: Sequence[Located], *, policies: int) -> str:
    """Return each remark with its place, reason and rewrite, and a line that counts them."""
    blocks = [_block(one) for one in found]
    counted = Counter(one.remark.severity for one in found)
    counts = ", ".join(
        _count(counted[severity], severity) for severity in SEVERITIES if counted[severity]
    )
    blocks.append(f"{_count(policies, 'policy')} read: {counts or 'nothing to remark'}")
    return "\n\n".join(blocks) + "\n"


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def _block(one: Located) -> str:
    remark = one.remark
    about = f"{remark.policy.title}, {dotted(remark.path)}" if one.file else dotted(remark.path)
    lines = [f"{one.where}: {remark.severity}: {remark.code} ({about})", f"  {remark.reason}"]
    if remark.rewrite is not None:
        lines.append(f"  {rewrite_title(remark.rewrite)}")
        lines.extend(f"    {line}" for line in rewrite_yaml(remark.rewrite).splitlines())
    return "\n".join(lines)


def rewrite_title(rewrite: Rewrite) -> str:
    """Say where the YAML of a rewrite belongs."""
    of = f" of the {rewrite.of}" if rewrite.of else ""
    return f"instead, in {dotted(rewrite.path[:-1]) or 'the document'}{of}:"


def rewrite_yaml(rewrite: Rewrite) -> str:
    """Return the corrected part as it stands in a manifest."""
    last = rewrite.path[-1]
    part = [rewrite.value] if isinstance(last, int) else {last: rewrite.value}
    return str(yaml.safe_dump(part, sort_keys=False, width=100)).rstrip("\n")


def as_json(found: Sequence[Located], *, policies: int, skipped: int) -> Json:
    """Return the remarks as plain JSON."""
    return {
        "policies": policies,
        "skipped": skipped,
        "findings": [_finding(one) for one in found],
    }


def _finding(one: Located) -> Json:
    remark, rewrite = one.remark, one.remark.rewrite
    return {
        "code": remark.code,
        "severity": remark.severity,
        "policy": _policy(remark.policy),
        "file": one.file or None,
        "line": one.line or None,
        "path": dotted(remark.path),
        "reason": remark.reason,
        "rewrite": None
        if rewrite is None
        else {
            "of": rewrite.of or remark.policy.kind,
            "path": dotted(rewrite.path),
            "value": rewrite.value,
        },
    }


def _policy(policy: Manifest) -> Json:
    return {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name}
