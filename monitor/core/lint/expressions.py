"""Items of matchExpressions that KubeArmor ignores, refuses or takes for something else (F18)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.core.lint.remarks import Manifest, Remark, Rewrite, expected_of, mistake, quoted
from monitor.core.meant import (
    EXPRESSIONS_PATH,
    Expression,
    Path,
    expressions,
    meant_operator,
    meant_pair,
    raw_values,
    text_of,
)
from monitor.core.selector import CONTAINER_LABEL, UNSEEN_LABELS

LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def expression_mistakes(manifest: Manifest, items: object) -> Iterator[Remark]:
    if not isinstance(items, list):
        yield mistake(
            manifest,
            EXPRESSIONS_PATH,
            "matchExpressions is no list: the API server refuses the policy.",
            Rewrite(EXPRESSIONS_PATH, [items]) if isinstance(items, Mapping) else None,
        )
        return
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            path = (*EXPRESSIONS_PATH, index)
            yield mistake(manifest, path, "This is no expression: the API server refuses it.")
    for expression in expressions(manifest.spec):
        item = items[int(expression.path[-1])]
        shape = list(_shape_mistakes(manifest, expression, item))
        yield from shape or _value_mistakes(manifest, expression, item)


def _corrected(expression: Expression) -> Rewrite | None:
    if expression.operator not in {"In", "NotIn"}:
        return None
    value = {
        "key": expression.subject,
        "operator": expression.operator,
        "values": list(expression.values),
    }
    return Rewrite(expression.path, value)


def _shape_mistakes(
    manifest: Manifest, expression: Expression, item: Mapping[str, Any]
) -> Iterator[Remark]:
    """Key, operator and values as such: what is wrong here is refused or ignored as a whole."""
    keys = ("label",) if manifest.kind == "KubeArmorPolicy" else ("label", "namespace")
    path, corrected = expression.path, _corrected(expression)
    key, operator = expression.key, text_of(item.get("operator"))
    foreign = expression.subject not in keys
    if not key:
        reason = "An expression without a key is ignored: the policy selects more than it says."
        yield mistake(manifest, path, reason, None if foreign else corrected)
    elif foreign:
        reason = (
            "A KubeArmorPolicy selects in its own namespace only and has no key `namespace`: the "
            "API server refuses it. Use a KubeArmorClusterPolicy, or one policy per namespace."
        )
        yield mistake(manifest, (*path, "key"), reason)
    elif key not in keys:
        reason = (
            f"The API server refuses the key `{key}`: the key says what is compared ("
            f"{' or '.join(keys)}), and a label stands among the values as `{key}=VALUE`."
        )
        yield mistake(manifest, (*path, "key"), reason, corrected)
    if not operator:
        reason = "An expression without an operator is ignored: say In or NotIn."
        yield mistake(manifest, path, reason, corrected)
    elif operator not in {"In", "NotIn"}:
        reason = f"The API server refuses the operator `{operator}`: there are In and NotIn."
        known = meant_operator(operator) in {"In", "NotIn"}
        yield mistake(manifest, (*path, "operator"), reason, corrected if known else None)
    yield from _missing_values(manifest, expression, item)


def _missing_values(
    manifest: Manifest, expression: Expression, item: Mapping[str, Any]
) -> Iterator[Remark]:
    values = item.get("values")
    if values is not None and not isinstance(values, list):
        reason = "The values are no list: the API server refuses the policy."
        yield mistake(manifest, (*expression.path, "values"), reason, _corrected(expression))
    elif values:
        return
    elif expression.operator == "NotIn":
        reason = "The expression has no values and excludes nothing."
        yield mistake(manifest, expression.path, reason, severity="warning")
    elif expression.operator == "In" and expression.subject == "label":
        reason = "Without values a label In is ignored: the policy selects more than it says."
        yield mistake(manifest, expression.path, reason)
    elif expression.operator == "In" and expected_of(manifest).namespaces:
        reason = "Without values a namespace In is ignored beside others that have some."
        yield mistake(manifest, expression.path, reason)


def _value_mistakes(
    manifest: Manifest, expression: Expression, item: Mapping[str, Any]
) -> Iterator[Remark]:
    never = "excludes nothing" if expression.operator == "NotIn" else "never matches"
    for index, (raw, meant) in enumerate(zip(raw_values(item), expression.values, strict=True)):
        path = (*expression.path, "values", index)
        if expression.subject == "namespace":
            problem, rewrite = _namespace_problem(path, raw, meant)
        else:
            problem, rewrite = _pair_problem(path, raw)
        if problem:
            yield mistake(manifest, path, f"{problem}: the value {never}.", rewrite)
    keys = {value.partition("=")[0] for value in expression.values}
    if expression.subject == "label" and expression.operator == "In" and len(keys) > 1:
        yield mistake(
            manifest,
            expression.path,
            f"A Pod with any one of the labels {quoted(expression.values)} is selected. To require "
            "several labels, write them as matchLabels of a KubeArmorPolicy.",
            severity="note",
        )


def _namespace_problem(path: Path, raw: object, meant: str) -> tuple[str, Rewrite | None]:
    valid = _NAMESPACE.fullmatch(meant) is not None
    if raw == meant and valid:
        return "", None
    written = text_of(raw)
    reason = f"`{written}` is no name of a namespace, and KubeArmor compares it as it is written"
    return reason, Rewrite(path, meant) if valid else None


def _pair_problem(path: Path, raw: object) -> tuple[str, Rewrite | None]:
    pair = meant_pair(raw)
    if pair is None:
        return f"KubeArmor compares `{text_of(raw)}` with labels written `key=value`", None
    if raw != pair:
        written = "a mapping" if isinstance(raw, Mapping) else f"`{text_of(raw)}`"
        return f"KubeArmor compares {written} with labels written `key=value`", Rewrite(path, pair)
    key, _, value = pair.partition("=")
    if key in UNSEEN_LABELS:
        return f"KubeArmor does not see the label `{key}`, which a controller stamps", None
    if key == CONTAINER_LABEL:
        return "Containers are selected by name in matchLabels only", None
    if not LABEL_VALUE.fullmatch(value):
        return f"No Pod can have the label value `{value}`; there are no wildcards", None
    return "", None
