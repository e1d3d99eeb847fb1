"""Which Pods and containers a policy selects, in KubeArmor's own meaning.

KubeArmor reduces a Pod to identities: `namespaceName=NS` and each label as `k=v`, without the
three labels that controllers stamp. Dossier sections 5.1-5.3; its surprises are deliberate here:

- only expressions with key `label` count (and `namespace`, for cluster policies);
- a label NotIn after a label In with values is ignored; once any NotIn counts, no In does;
- a container list is what stands between the first and the last character of the label's value;
- for a cluster policy one namespace In discards every namespace NotIn.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

CONTAINER_LABEL: Final = "kubearmor.io/container.name"
UNSEEN_LABELS: Final = frozenset(
    {"pod-template-hash", "pod-template-generation", "controller-revision-hash"}
)


class Selector(Struct, frozen=True):
    """A compiled selector. `namespaces` None: all but `not_namespaces`."""

    required: frozenset[str] = frozenset()
    hosts: tuple[tuple[str, frozenset[str]], ...] = ()
    host_pattern: str | None = None
    containers: frozenset[str] = frozenset()
    any_of: frozenset[str] = frozenset()
    none_of: frozenset[str] = frozenset()
    namespaces: frozenset[str] | None = None
    not_namespaces: frozenset[str] = frozenset()

    @property
    def lists_namespaces(self) -> bool:
        """Whether the namespaces are named, so that none can be too young to be known."""
        return self.namespaces is not None

    def selects(self, *, namespace: str, identities: frozenset[str], container: str) -> bool:
        """Whether the container of a Pod with these identities is selected."""
        if self.namespaces is not None:
            if namespace not in self.namespaces:
                return False
        elif namespace in self.not_namespaces:
            return False
        if not self.required <= identities:
            return False
        if (self.hosts or self.host_pattern is not None) and not self._is_on_host(identities):
            return False
        if self.containers and container not in self.containers:
            return False
        if self.none_of:
            return self.none_of.isdisjoint(identities)
        return not self.any_of or not self.any_of.isdisjoint(identities)

    def _is_on_host(self, identities: frozenset[str]) -> bool:
        """The keys of host names: lists, or a pattern that is not anchored (dossier 5.4, 12.12)."""
        for key, names in self.hosts:
            anywhere = f"{key}=*" in names and any(i.startswith(f"{key}=") for i in identities)
            if not anywhere and names.isdisjoint(identities):
                return False
        if self.host_pattern is None:
            return True
        opening = f"{HOST_LABELS[0]}="
        host = next((i.removeprefix(opening) for i in identities if i.startswith(opening)), None)
        return host is None or _matches(self.host_pattern, host)


HOST_LABELS: Final = ("kubernetes.io/hostname", "kubearmor.io/hostname")
HOST_PATTERN_LABEL: Final = "kubernetes.io/hostnamereg"


def identities(*, namespace: str, labels: Mapping[str, str] | None) -> frozenset[str]:
    """What KubeArmor sees of a Pod (dossier 5.1)."""
    seen = {f"{key}={value}" for key, value in (labels or {}).items() if key not in UNSEEN_LABELS}
    seen.add(f"namespaceName={namespace}")
    return frozenset(seen)


def _matches(pattern: str, host: str) -> bool:
    """A pattern of host names as KubeArmor reads it: `*` is anything, the rest a regex."""
    try:
        return re.search(pattern.replace("*", ".*"), host) is not None
    except re.error:
        return False


def namespaced(*, namespace: str, spec: Mapping[str, Any]) -> Selector:
    """Compile the selector of a KubeArmorPolicy (dossier 5.2)."""
    selector = _mapping(spec.get("selector"))
    labels = _mapping(selector.get("matchLabels"))
    any_of, none_of = _label_expressions(selector)
    special = {CONTAINER_LABEL, HOST_PATTERN_LABEL, *HOST_LABELS}
    required = {f"{key}={value}" for key, value in labels.items() if key not in special}
    pattern = labels.get(HOST_PATTERN_LABEL)
    return Selector(
        required=frozenset(required | {f"namespaceName={namespace}"}),
        hosts=tuple(
            (key, frozenset(f"{key}={name.strip()}" for name in str(labels[key]).split(",")))
            for key in HOST_LABELS
            if key in labels
        ),
        host_pattern=None if pattern is None else str(pattern),
        containers=_container_names(str(labels.get(CONTAINER_LABEL, ""))),
        any_of=any_of,
        none_of=none_of,
        namespaces=frozenset({namespace}),
    )


def cluster_wide(*, spec: Mapping[str, Any]) -> Selector:
    """Compile the selector of a KubeArmorClusterPolicy (dossier 5.3)."""
    selector = _mapping(spec.get("selector"))
    any_of, none_of = _label_expressions(selector)
    named: set[str] | None = None
    left_out: set[str] = set()
    for expression in _expressions(selector, key="namespace"):
        if expression.get("operator") == "In":
            named = (named or set()) | set(_values(expression))
        elif expression.get("operator") == "NotIn":
            left_out |= set(_values(expression))
    return Selector(
        any_of=any_of,
        none_of=none_of,
        namespaces=None if named is None else frozenset(named),
        not_namespaces=frozenset() if named is not None else frozenset(left_out),
    )


def _container_names(value: str) -> frozenset[str]:
    if len(value) <= 2:
        return frozenset()
    return frozenset(name.strip() for name in value[1:-1].split(",") if name.strip())


def _label_expressions(selector: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    any_of: set[str] = set()
    none_of: set[str] = set()
    for expression in _expressions(selector, key="label"):
        values = _values(expression)
        if expression.get("operator") == "In":
            any_of |= set(values)
        elif expression.get("operator") == "NotIn" and not any_of:
            none_of |= set(values)
    return frozenset(any_of), frozenset(none_of)


def _expressions(selector: Mapping[str, Any], *, key: str) -> list[Mapping[str, Any]]:
    items = selector.get("matchExpressions")
    if not isinstance(items, list):
        return []
    return [item for item in items if isinstance(item, Mapping) and item.get("key") == key]


def _values(expression: Mapping[str, Any]) -> list[str]:
    values = expression.get("values")
    return [str(value) for value in values] if isinstance(values, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
