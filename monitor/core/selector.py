"""Which Pods and containers a policy selects, in KubeArmor's own meaning, release by release.

KubeArmor reduces a Pod to identities: `namespaceName=NS` and each label as `k=v`, without the
three labels that controllers stamp. Dossier sections 5.1-5.3; its surprises are deliberate here:

- only expressions with key `label` count (and `namespace`, for cluster policies);
- a label NotIn after a label In with values is ignored; once any NotIn counts, no In does;
- a container list is what stands between the first and the last character of the label's value,
  and a blank between two commas is a name that no container has;
- for a cluster policy one namespace In discards every namespace NotIn;
- the keys of host names are patterns or lists (12.12): a pattern is held against the first of the
  Pod's identities that has the key in it, from there on, and is met where there is none.

What differs between releases follows from `Behaviour`; the default is the newest. Verdicts are
about that one.
"""

import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from monitor.core.semantics import NEWEST, Behaviour

CONTAINER_LABEL: Final = "kubearmor.io/container.name"
OWN_HOST: Final = "kubearmor.io/hostname"
NODE_HOST: Final = "kubernetes.io/hostname"
HOST_LABELS: Final = (NODE_HOST, OWN_HOST)
HOST_PATTERNS: Final = {f"{key}reg": key for key in HOST_LABELS}
"""The keys that hold a pattern of host names, and the keys that these are of."""
UNSEEN_LABELS: Final = frozenset(
    {"pod-template-hash", "pod-template-generation", "controller-revision-hash"}
)
_STACKED: Final = re.compile(r"[*+?]{2,}")
_NOT_POSIX: Final = re.compile(r"\\[A-Za-z0-9]|\(\?")


class Selector(Struct, frozen=True):
    """A compiled selector. `namespaces` None: all but `not_namespaces`.

    `hosts` are lists of identities, one of which a Pod must have (`key=*`: any of that key);
    `patterns` are (part of a key, expression).
    """

    required: frozenset[str] = frozenset()
    hosts: tuple[frozenset[str], ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
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
        return self.admits(container) and self.matches(identities) and self.expects(identities)

    def admits(self, container: str) -> bool:
        """Whether the container list, if there is one, names it."""
        return not self.containers or container in self.containers

    def matches(self, identities: frozenset[str]) -> bool:
        """Whether all of matchLabels hold."""
        if not self.required <= identities:
            return False
        for names in self.hosts:
            if names.isdisjoint(identities) and not _is_anywhere(names, identities):
                return False
        return all(_fits(key, pattern, identities) for key, pattern in self.patterns)

    def expects(self, identities: frozenset[str]) -> bool:
        """Whether the expressions with key `label` hold."""
        if self.none_of:
            return self.none_of.isdisjoint(identities)
        return not self.any_of or not self.any_of.isdisjoint(identities)


def identities(*, namespace: str, labels: Mapping[str, str] | None) -> frozenset[str]:
    """What KubeArmor sees of a Pod (dossier 5.1)."""
    seen = {f"{key}={value}" for key, value in (labels or {}).items() if key not in UNSEEN_LABELS}
    seen.add(f"namespaceName={namespace}")
    return frozenset(seen)


def _is_anywhere(names: frozenset[str], identities: frozenset[str]) -> bool:
    """Whether a list has `*` and the Pod has a label of that key."""
    keys = tuple(name[:-1] for name in names if name.endswith("=*"))
    return any(identity.startswith(keys) for identity in identities)


def _fits(key: str, pattern: str, identities: frozenset[str]) -> bool:
    """Whether the first identity with that key in it fits; none at all fits too."""
    first = min((identity for identity in identities if key in identity), default=None)
    expression = _posix(pattern)
    return first is None or (expression is not None and expression.search(first) is not None)


@lru_cache(maxsize=1024)
def _posix(pattern: str) -> re.Pattern[str] | None:
    """Compile a POSIX expression, None for what is none; repetitions may be stacked in it."""
    if _NOT_POSIX.search(pattern):
        return None
    return compiled(_STACKED.sub(lambda run: run[0][0] if len(set(run[0])) == 1 else "*", pattern))


def compiled(pattern: str) -> re.Pattern[str] | None:
    """Compile what somebody wrote into a policy; None for what is no expression.

    What Python means to read otherwise one day (`[[`) is no matter of whoever wrote it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return re.compile(pattern)
        except re.error:
            return None


class _Labels:
    """The terms of matchLabels, sorted out into what a release does with each."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._host_names = behaviour.host_names
        self.required: set[str] = set()
        self.hosts: list[frozenset[str]] = []
        self.patterns: list[tuple[str, str]] = []

    def add(self, key: str, value: str) -> None:
        identity = f"{key}={value}"
        if CONTAINER_LABEL in identity:
            self.patterns.append((CONTAINER_LABEL, identity))
        elif self._host_names == "list":
            self._add_to_lists(key, value)
        elif OWN_HOST in identity:
            self.patterns.append((OWN_HOST, identity))
        elif self._host_names == "pattern" and NODE_HOST in identity:
            self.patterns.append((NODE_HOST, identity))
        else:
            self.required.add(identity)

    def _add_to_lists(self, key: str, value: str) -> None:
        if key in HOST_LABELS:
            self.hosts.append(frozenset(f"{key}={name}" for name in value.split(",")))
        elif key in HOST_PATTERNS:
            host = HOST_PATTERNS[key]
            opening = host.replace(".", r"\.")
            self.patterns.append((host, f"{opening}={value.replace('*', '.*')}"))
        else:
            self.required.add(f"{key}={value}")


def labels_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The matchLabels of a policy, empty where there are none."""
    return _mapping(_mapping(spec.get("selector")).get("matchLabels"))


def varies_by_release(labels: Mapping[str, Any]) -> bool:
    """Whether releases read these matchLabels in different ways."""
    return any(OWN_HOST in key or NODE_HOST in key for key in labels)


def namespaced(
    *, namespace: str, spec: Mapping[str, Any], behaviour: Behaviour = NEWEST
) -> Selector:
    """Compile the selector of a KubeArmorPolicy (dossier 5.2)."""
    selector = _mapping(spec.get("selector"))
    written = labels_of(spec)
    any_of, none_of = _label_expressions(selector, behaviour)
    labels = _Labels(behaviour)
    labels.required.add(f"namespaceName={namespace}")
    for key, value in sorted(written.items()):
        if key != CONTAINER_LABEL:
            labels.add(key, str(value))
    return Selector(
        required=frozenset(labels.required),
        hosts=tuple(labels.hosts),
        patterns=tuple(labels.patterns),
        containers=_container_names(str(written.get(CONTAINER_LABEL, ""))),
        any_of=any_of,
        none_of=none_of,
        namespaces=frozenset({namespace}),
    )


def cluster_wide(*, spec: Mapping[str, Any], behaviour: Behaviour = NEWEST) -> Selector:
    """Compile the selector of a KubeArmorClusterPolicy (dossier 5.3)."""
    selector = _mapping(spec.get("selector"))
    any_of, none_of = _label_expressions(selector, behaviour)
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
    """The names in a list; KubeArmor counts in bytes."""
    listed = value.encode()[1:-1].decode(errors="replace")
    return frozenset(name.strip() for name in listed.split(",") if name)


def _label_expressions(
    selector: Mapping[str, Any], behaviour: Behaviour
) -> tuple[frozenset[str], frozenset[str]]:
    if not behaviour.reads_label_expressions:
        return frozenset(), frozenset()
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
