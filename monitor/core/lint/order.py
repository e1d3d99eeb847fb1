"""Expressions of one selector that cancel each other (dossier 5.2, 5.3, F19).

In Kubernetes every expression must hold. KubeArmor walks the label expressions in order, collects
the values of all In and of those NotIn that no In with values precedes, and lets NotIn decide alone
where it collected one; for namespaces any In discards every NotIn. A remark is made only where that
selects something else than the expressions say.
"""

from collections.abc import Iterator, Sequence

from monitor.core.lint.remarks import Manifest, Remark, Rewrite, quoted
from monitor.core.meant import (
    EXPRESSIONS_PATH,
    Expression,
    expressions,
    mapping,
    meant_containers,
)
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.selector import CONTAINER_LABEL


def selector_order(manifest: Manifest) -> Iterator[Remark]:
    """The expressions of a policy's selector that others cancel."""
    if manifest.kind not in CONTAINER_KINDS:
        return
    usable = [
        one for one in expressions(manifest.spec) if one.values and one.operator in {"In", "NotIn"}
    ]
    if manifest.kind == "KubeArmorClusterPolicy":
        yield from _namespaces(manifest, [one for one in usable if one.subject == "namespace"])
    yield from _labels(manifest, [one for one in usable if one.subject == "label"])


def _remark(
    manifest: Manifest, one: Expression, reason: str, rewrite: Rewrite | None = None
) -> Remark:
    return Remark(
        code="selector-order",
        severity="error",
        policy=manifest,
        path=one.path,
        reason=reason,
        rewrite=rewrite,
    )


# --- namespaces -------------------------------------------------------------------------------


def _namespaces(manifest: Manifest, all_of_them: Sequence[Expression]) -> Iterator[Remark]:
    wanted = [one for one in all_of_them if one.operator == "In"]
    if not wanted:
        return
    named = frozenset().union(*(one.values for one in wanted))
    common = frozenset(wanted[0].values).intersection(*(one.values for one in wanted))
    excluded: frozenset[str] = frozenset().union(
        *(one.values for one in all_of_them if one.operator == "NotIn")
    )
    meant = sorted(common - excluded)
    rewrite = Rewrite(EXPRESSIONS_PATH, _with_namespaces(manifest, meant)) if meant else None
    for one in all_of_them:
        if one.operator == "NotIn" and not named.isdisjoint(one.values):
            both = quoted(named.intersection(one.values))
            reason = (
                "A namespace In discards every namespace NotIn, whatever their order: the policy "
                f"applies in {both}, which this expression excludes."
            )
            if rewrite is None:
                reason += " Say which is meant."
            yield _remark(manifest, one, reason, rewrite)
    if named != common:
        reason = (
            "KubeArmor joins all namespace In into one list: the policy applies in "
            f"{quoted(named)}, not only in what they have in common."
        )
        yield _remark(manifest, wanted[-1], reason, rewrite)


def _with_namespaces(manifest: Manifest, names: Sequence[str]) -> list[object]:
    labels = [_item(one) for one in expressions(manifest.spec) if one.subject == "label"]
    return [{"key": "namespace", "operator": "In", "values": list(names)}, *labels]


def _item(one: Expression) -> dict[str, object]:
    return {"key": one.subject, "operator": one.operator, "values": list(one.values)}


# --- labels -----------------------------------------------------------------------------------


def _labels(manifest: Manifest, all_of_them: Sequence[Expression]) -> Iterator[Remark]:
    wanted = [one for one in all_of_them if one.operator == "In"]
    if not wanted:
        return
    first = all_of_them.index(wanted[0])
    counted = [one for one in all_of_them[:first] if one.operator == "NotIn"]
    ignored = [one for one in all_of_them[first:] if one.operator == "NotIn"]
    rewrite = _rewritten(manifest, all_of_them)
    advice = "" if rewrite else _advice(manifest, wanted)
    for one in ignored:
        if counted or not _follows(wanted, one):
            reason = "A label NotIn that stands after a label In is ignored: it excludes nothing."
            yield _remark(manifest, one, reason + advice, rewrite)
    if counted:
        for one in wanted:
            reason = (
                "Once a label NotIn counts, label In has no influence: every Pod without "
                f"{quoted(value for two in counted for value in two.values)} is selected."
            )
            yield _remark(manifest, one, reason + advice, rewrite)
    elif len({frozenset(one.values) for one in wanted}) > 1:
        joined = quoted({value for one in wanted for value in one.values})
        reason = f"KubeArmor joins all label In into one list: any one of {joined} is enough."
        yield _remark(manifest, wanted[-1], reason + advice, rewrite)


def _follows(wanted: Sequence[Expression], excluding: Expression) -> bool:
    """Whether a Pod that has one of the labels wanted cannot have one excluded anyway."""
    return all(
        _key(value) == _key(other) and value != other
        for one in wanted
        for value in one.values
        for other in excluding.values
    )


def _key(pair: str) -> str:
    return pair.partition("=")[0]


def _advice(manifest: Manifest, wanted: Sequence[Expression]) -> str:
    if manifest.kind == "KubeArmorPolicy" and any(len(one.values) > 1 for one in wanted):
        return " Write one policy for each value of the label In, with that value in matchLabels."
    if manifest.kind == "KubeArmorClusterPolicy":
        return (
            " A cluster policy cannot say this: give the Pods that are meant a label of their own, "
            "or write a KubeArmorPolicy in each namespace."
        )
    return ""


def _rewritten(manifest: Manifest, all_of_them: Sequence[Expression]) -> Rewrite | None:
    """The selector in words that KubeArmor takes as they are meant; None where it has none.

    It takes one In as it is, or one NotIn; whatever must hold besides goes to matchLabels, which
    hold one value each and which a cluster policy does not have.
    """
    wanted = _by_key([one for one in all_of_them if one.operator == "In"])
    if wanted is None:
        return None
    meant = [one for one in all_of_them if one.operator == "In"]
    excluded = {
        value: None
        for one in all_of_them
        if one.operator == "NotIn" and not _follows(meant, one)
        for value in one.values
    }
    kept = () if excluded else _kept(manifest, list(wanted.values()))
    labels = dict(mapping(mapping(manifest.spec.get("selector")).get("matchLabels")))
    if names := meant_containers(labels.get(CONTAINER_LABEL)):
        labels[CONTAINER_LABEL] = f"[{','.join(names)}]"
    for values in wanted.values():
        if values == kept:
            continue
        key, _, value = values[0].partition("=")
        if len(values) > 1 or labels.get(key, value) != value:
            return None
        labels[key] = value
    if labels and manifest.kind == "KubeArmorClusterPolicy":
        return None
    items = [_item(one) for one in expressions(manifest.spec) if one.subject == "namespace"]
    if kept:
        items.append({"key": "label", "operator": "In", "values": list(kept)})
    if excluded:
        items.append({"key": "label", "operator": "NotIn", "values": list(excluded)})
    selector: dict[str, object] = {"matchLabels": labels} if labels else {}
    if items:
        selector["matchExpressions"] = items
    return Rewrite(("spec", "selector"), selector)


def _kept(manifest: Manifest, groups: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The values of the one In that stays an expression."""
    several = [values for values in groups if len(values) > 1]
    if several or manifest.kind == "KubeArmorPolicy":
        return several[0] if several else ()
    return groups[0]


def _by_key(wanted: Sequence[Expression]) -> dict[str, tuple[str, ...]] | None:
    """What all In leave of each label's values; None where that is nothing or no list of one."""
    left: dict[str, tuple[str, ...]] = {}
    for one in wanted:
        keys = {_key(value) for value in one.values}
        if len(keys) > 1:
            return None
        key = keys.pop()
        known = left.get(key, one.values)
        left[key] = tuple(value for value in known if value in one.values)
        if not left[key]:
            return None
    return left
