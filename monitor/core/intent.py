"""What the reader of a policy's manifest would expect it to select: the intended set.

The expected set (`core.selector`) is KubeArmor's own meaning of a selector. The intended one is
what the same words mean elsewhere in Kubernetes, written by somebody who has not read KubeArmor's
source (dossier 5.2, 5.3): every requirement must hold, none is dropped for the sake of another, and
what is clearly meant counts as if it were written right:

- a label written `k: v`, as a mapping, or in Kubernetes' own form (`key: app`, `values: [web]`);
- a container list with or without brackets and quotes;
- `*` in a name or a value;
- a label that a controller stamps, like any other label;
- namespaces In, minus those NotIn; `matchLabels` on a cluster policy, although it has none.

Where nothing can be told from the words (a value that is no pair), the intention is taken to be
what KubeArmor does. `meanings` puts both answers for one container side by side.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from monitor.core.meant import (
    LABELS_PATH,
    Expression,
    Operator,
    Path,
    Subject,
    expressions,
    mapping,
    meant_containers,
    text_of,
)
from monitor.core.selector import (
    CONTAINER_LABEL,
    HOST_LABELS,
    HOST_PATTERNS,
    Selector,
    cluster_wide,
    identities,
    namespaced,
)


class Requirement(Struct, frozen=True):
    """One thing that must hold of a container, its Pod or its Pod's namespace.

    `values` are names of namespaces or containers, pairs `k=v` of labels, or (Exists and
    DoesNotExist) keys of labels; `*` in one stands for anything.
    """

    path: Path
    subject: Subject
    operator: Operator
    values: frozenset[str]

    def holds(self, *, namespace: str, pairs: frozenset[str], container: str) -> bool:
        """Whether it does; `pairs` are the Pod's labels as `k=v`."""
        if self.subject == "label":
            found = pairs
        else:
            found = frozenset((namespace if self.subject == "namespace" else container,))
        if self.operator in {"Exists", "DoesNotExist"}:
            found = frozenset(pair.partition("=")[0] for pair in found)
        met = not self.values.isdisjoint(found) or any(
            fnmatchcase(one, pattern) for pattern in self.values if "*" in pattern for one in found
        )
        return met == (self.operator in {"In", "Exists"})

    @property
    def text(self) -> str:
        listed = ", ".join(sorted(self.values)) or "nothing"
        return f"{self.subject} {self.operator} {listed}"


class Intent(Struct, frozen=True):
    """The requirements of one selector: all of them must hold."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, *, namespace: str, labels: Mapping[str, str], container: str) -> bool:
        """Whether a reader would expect the policy on that container."""
        return self.unmet(namespace=namespace, labels=labels, container=container) is None

    def unmet(
        self, *, namespace: str, labels: Mapping[str, str], container: str
    ) -> Requirement | None:
        """The first requirement that does not hold; None if all do."""
        pairs = pairs_of(namespace=namespace, labels=labels)
        for requirement in self.requirements:
            if not requirement.holds(namespace=namespace, pairs=pairs, container=container):
                return requirement
        return None


class Answer(Struct, frozen=True):
    """Whether a container is selected in one meaning, and because of what."""

    selected: bool
    reasons: tuple[str, ...]


class Meanings(Struct, frozen=True):
    """One policy and one container: what a reader expects and what KubeArmor does."""

    intended: Answer
    expected: Answer


def pairs_of(*, namespace: str, labels: Mapping[str, str]) -> frozenset[str]:
    """All labels of a Pod as `k=v`, and its namespace as KubeArmor writes it."""
    return frozenset(f"{key}={value}" for key, value in labels.items()) | {
        f"namespaceName={namespace}"
    }


def intent_of(*, kind: str, namespace: str, spec: Mapping[str, Any]) -> Intent:
    """Read the selector of a KubeArmorPolicy or a KubeArmorClusterPolicy as it is meant."""
    return Intent(tuple(_requirements(kind, namespace, spec)))


def expected_selector(*, kind: str, namespace: str, spec: Mapping[str, Any]) -> Selector:
    """The same selector in KubeArmor's own meaning."""
    if kind == "KubeArmorPolicy":
        return namespaced(namespace=namespace, spec=spec)
    return cluster_wide(spec=spec)


def meanings(
    *,
    kind: str,
    policy_namespace: str,
    spec: Mapping[str, Any],
    namespace: str,
    labels: Mapping[str, str],
    container: str,
) -> Meanings:
    """Answer for one container of a Pod with those labels, in both meanings, with reasons."""
    intent = intent_of(kind=kind, namespace=policy_namespace, spec=spec)
    unmet = intent.unmet(namespace=namespace, labels=labels, container=container)
    met = tuple(f"meets: {requirement.text}" for requirement in intent.requirements)
    selector = expected_selector(kind=kind, namespace=policy_namespace, spec=spec)
    return Meanings(
        intended=Answer(
            selected=unmet is None,
            reasons=(f"does not meet: {unmet.text}",) if unmet else met or ("requires nothing",),
        ),
        expected=_expected(selector, namespace=namespace, labels=labels, container=container),
    )


def _expected(
    selector: Selector, *, namespace: str, labels: Mapping[str, str], container: str
) -> Answer:
    """The selector's own answer; the reasons follow the order in which KubeArmor decides."""
    seen = identities(namespace=namespace, labels=labels)
    selected = selector.selects(namespace=namespace, identities=seen, container=container)
    obstacles = tuple(_obstacles(selector, namespace=namespace, seen=seen, container=container))
    return Answer(selected=selected, reasons=obstacles or tuple(_grounds(selector)))


def _obstacles(
    selector: Selector, *, namespace: str, seen: frozenset[str], container: str
) -> Iterator[str]:
    if selector.namespaces is not None and namespace not in selector.namespaces:
        yield f"namespace {namespace} is not among {_listed(selector.namespaces)}"
    elif selector.namespaces is None and namespace in selector.not_namespaces:
        yield f"namespace {namespace} is excluded"
    if missing := selector.required - seen - {f"namespaceName={namespace}"}:
        yield from (f"the Pod shows no label {pair}" for pair in sorted(missing) if _is_label(pair))
    if not Selector(hosts=selector.hosts, patterns=selector.patterns).selects(
        namespace=namespace, identities=seen, container=container
    ):
        yield "no label of the Pod names one of the hosts"
    if selector.containers and container not in selector.containers:
        yield f"container {container} is not among {_listed(selector.containers)}"
    if excluded := selector.none_of & seen:
        yield f"label {_listed(excluded)} is excluded"
    elif not selector.none_of and selector.any_of and selector.any_of.isdisjoint(seen):
        yield f"the Pod shows none of the labels {_listed(selector.any_of)}"


def _is_label(pair: str) -> bool:
    return not pair.startswith("namespaceName=")


def _grounds(selector: Selector) -> Iterator[str]:
    if selector.namespaces is None:
        excluded = f" but {_listed(selector.not_namespaces)}" if selector.not_namespaces else ""
        yield f"selects every namespace{excluded}"
    else:
        yield f"selects the namespaces {_listed(selector.namespaces)}"
    if required := {pair for pair in selector.required if _is_label(pair)}:
        yield f"requires the labels {_listed(required)}"
    if selector.containers:
        yield f"selects the containers {_listed(selector.containers)}"
    if selector.none_of:
        ignored = "; label In has no influence then" if selector.any_of else ""
        yield f"excludes the labels {_listed(selector.none_of)}{ignored}"
    elif selector.any_of:
        yield f"one of the labels {_listed(selector.any_of)} is enough"


def _listed(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def requirement_of(expression: Expression) -> Requirement:
    """What an expression requires."""
    return Requirement(
        path=expression.path,
        subject=expression.subject,
        operator=expression.operator,
        values=frozenset(expression.values),
    )


def _requirements(kind: str, namespace: str, spec: Mapping[str, Any]) -> Iterator[Requirement]:
    if kind == "KubeArmorPolicy":
        yield Requirement(
            path=("metadata", "namespace"),
            subject="namespace",
            operator="In",
            values=frozenset({namespace}),
        )
    labels = mapping(mapping(spec.get("selector")).get("matchLabels"))
    for key, value in labels.items():
        if requirement := label_requirement((*LABELS_PATH, key), key, value):
            yield requirement
    for expression in expressions(spec):
        yield requirement_of(expression)


def label_requirement(path: Path, key: str, value: object) -> Requirement | None:
    """What a member of matchLabels requires; None for a container list without a name."""
    if key == CONTAINER_LABEL:
        names = frozenset(meant_containers(value))
        if not names:
            return None
        return Requirement(path=path, subject="container", operator="In", values=names)
    values = [text_of(value)]
    if key in HOST_LABELS:
        values = [name.strip() for name in text_of(value).split(",")]
    label = HOST_PATTERNS.get(key, key)
    pairs = frozenset(f"{label}={one}" for one in values)
    return Requirement(path=path, subject="label", operator="In", values=pairs)
