"""Selectors that do not select what they seem to (dossier 5.2-5.5, F18): what one spec shows.

Every remark follows from the manifest alone. What KubeArmor makes of a selector is asked of
`core.selector`, what is meant by it of `core.meant`; a remark is made where the two differ.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from monitor.core.lint.expressions import LABEL_VALUE, expression_mistakes
from monitor.core.lint.remarks import (
    Manifest,
    Remark,
    Rewrite,
    expected_of,
    mistake,
    quoted,
)
from monitor.core.meant import (
    EXPRESSIONS_PATH,
    LABELS_PATH,
    Path,
    expressions,
    mapping,
    meant_containers,
    text_of,
)
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.selector import CONTAINER_LABEL, HOST_LABELS, HOST_PATTERNS, UNSEEN_LABELS

SELECTOR_PATH: Final[Path] = ("spec", "selector")
NODES_PATH: Final[Path] = ("spec", "nodeSelector")
_FIELDS: Final = ("matchLabels", "matchExpressions")


def selector_mistakes(manifest: Manifest) -> Iterator[Remark]:
    """The mistakes in a policy's selector, in the order of the manifest."""
    if manifest.kind == "KubeArmorHostPolicy":
        yield from _node_mistakes(manifest)
        return
    selector = mapping(manifest.spec.get("selector"))
    yield from _unknown_fields(manifest, selector)
    labels = mapping(selector.get("matchLabels"))
    if manifest.kind == "KubeArmorClusterPolicy":
        if selector.get("matchLabels"):
            yield _labels_of_cluster_policy(manifest, selector, labels)
    elif manifest.kind in CONTAINER_KINDS:
        for key, value in labels.items():
            yield from _label_mistakes(manifest, text_of(key), value, labels)
    items = selector.get("matchExpressions")
    if manifest.kind == "KubeArmorNetworkPolicy":
        if items:
            yield mistake(
                manifest,
                EXPRESSIONS_PATH,
                "A network policy's matchExpressions are not used: only matchLabels select Pods.",
            )
    elif items is not None:
        yield from expression_mistakes(manifest, items)


def _unknown_fields(manifest: Manifest, selector: Mapping[str, Any]) -> Iterator[Remark]:
    for field in selector:
        name = text_of(field)
        if name in _FIELDS:
            continue
        near = get_close_matches(name.lower(), [known.lower() for known in _FIELDS], n=1)
        meant = next((known for known in _FIELDS if known.lower() in near), None)
        free = meant is not None and meant not in selector
        renamed = {(meant if one == field else one): value for one, value in selector.items()}
        yield mistake(
            manifest,
            (*SELECTOR_PATH, name),
            f"A selector has no field `{name}`: it is dropped, and the policy selects more than it "
            "says.",
            Rewrite(SELECTOR_PATH, renamed) if free else None,
        )


# --- matchLabels ------------------------------------------------------------------------------


def _labels_of_cluster_policy(
    manifest: Manifest, selector: Mapping[str, Any], labels: Mapping[str, Any]
) -> Remark:
    reason = (
        "A KubeArmorClusterPolicy has no matchLabels: they are dropped, and the policy applies to "
        "Pods with any labels."
    )
    if not labels:
        return mistake(manifest, LABELS_PATH, reason)
    items = selector.get("matchExpressions") or []
    by_label = any(one.subject == "label" for one in expressions(manifest.spec))
    if CONTAINER_LABEL in labels:
        reason += " It cannot be limited to containers by name either: use a KubeArmorPolicy."
    elif len(labels) > 1 or by_label or not isinstance(items, list):
        reason += (
            " It cannot require several labels at once (label In is met by any of its values): "
            "use a KubeArmorPolicy in each namespace."
        )
    else:
        pairs = [f"{key}={text_of(value)}" for key, value in labels.items()]
        added = {"key": "label", "operator": "In", "values": pairs}
        rewrite = Rewrite(SELECTOR_PATH, {"matchExpressions": [*items, added]})
        return mistake(manifest, LABELS_PATH, reason, rewrite)
    return mistake(manifest, LABELS_PATH, reason)


def _label_mistakes(
    manifest: Manifest, key: str, value: object, labels: Mapping[str, Any]
) -> Iterator[Remark]:
    path = (*LABELS_PATH, key)
    if key == CONTAINER_LABEL:
        yield from _container_list_mistakes(manifest, path, value)
    elif key in UNSEEN_LABELS:
        rest = {one: held for one, held in labels.items() if one != key}
        yield mistake(
            manifest,
            path,
            f"KubeArmor does not see the label `{key}`, which a controller stamps: the policy "
            "never matches.",
            Rewrite(LABELS_PATH, rest),
        )
    elif not isinstance(value, str):
        scalar = isinstance(value, bool | int | float)
        yield mistake(
            manifest,
            path,
            f"The value of the label `{key}` is no string: the API server refuses the policy.",
            Rewrite(path, text_of(value)) if scalar else None,
        )
    elif key not in {*HOST_LABELS, *HOST_PATTERNS} and not LABEL_VALUE.fullmatch(value):
        yield mistake(
            manifest,
            path,
            f"No Pod can have the label value `{value}`, and KubeArmor compares it as it is "
            "written, without wildcards or lists: the policy never matches.",
        )


def _container_list_mistakes(manifest: Manifest, path: Path, value: object) -> Iterator[Remark]:
    meant = meant_containers(value)
    rewrite = Rewrite(path, f"[{','.join(meant)}]") if meant else None
    if not isinstance(value, str):
        yield mistake(
            manifest,
            path,
            "The container list is no string: the API server refuses the policy. Quote it.",
            rewrite,
        )
        return
    read = expected_of(manifest).containers
    if read == frozenset(meant):
        return
    understood = f"the containers {quoted(read)} only" if read else "all containers"
    yield mistake(
        manifest,
        path,
        "KubeArmor drops the first and the last character of a container list and splits the rest "
        f"at commas: it reads `{value}` as {understood}. Write plain names between brackets.",
        rewrite,
    )


# --- nodes ------------------------------------------------------------------------------------


def _node_mistakes(manifest: Manifest) -> Iterator[Remark]:
    nodes = mapping(manifest.spec.get("nodeSelector"))
    if manifest.spec.get("selector"):
        reason = "A host policy selects nodes by nodeSelector: its selector is dropped."
        yield mistake(manifest, SELECTOR_PATH, reason)
    if nodes.get("matchExpressions"):
        reason = "A host policy's nodeSelector has no matchExpressions: they are dropped."
        yield mistake(manifest, (*NODES_PATH, "matchExpressions"), reason)
    if not nodes.get("matchLabels"):
        everywhere = {"matchLabels": {HOST_LABELS[0]: "*"}}
        yield mistake(
            manifest,
            NODES_PATH,
            "Without matchLabels a host policy applies to no node (a KubeArmorPolicy would apply "
            "everywhere). To select every node, say so.",
            Rewrite(NODES_PATH, everywhere),
        )
