"""Which containers a policy object means, as KubeArmor's releases read it."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.emulator.releases import Release

NAMESPACED = "KubeArmorPolicy"
CLUSTER = "KubeArmorClusterPolicy"
CONTAINER_KEY = "kubearmor.io/container.name"
HASH_LABELS = frozenset(
    {"pod-template-hash", "pod-template-generation", "controller-revision-hash"}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in the daemon's own form: the namespace list is that of the moment it was read."""

    kind: str
    namespace: str
    name: str
    identities: tuple[str, ...]
    containers: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    names_namespaces: bool
    excluded_namespaces: frozenset[str]
    namespaces: tuple[str, ...]
    spec: Mapping[str, Any]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def lists_namespaces(self) -> bool:
        """Whether the API's list of namespaces decides what it covers."""
        return self.kind == CLUSTER and not self.names_namespaces


def parse(
    policy: Mapping[str, Any], *, known_namespaces: Iterable[str], release: Release
) -> Policy:
    """Read a policy object; `known_namespaces` is what the API lists now."""
    metadata, spec = policy["metadata"], policy.get("spec") or {}
    selector = spec.get("selector") or {}
    labels = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    positive, negative = _labels(expressions) if release.knows_expressions else ((), ())
    namespace = metadata.get("namespace") or ""
    if policy["kind"] == NAMESPACED:
        identities = [f"namespaceName={namespace}"]
        identities += [f"{key}={value}" for key, value in labels.items() if key != CONTAINER_KEY]
        return Policy(
            kind=NAMESPACED,
            namespace=namespace,
            name=metadata["name"],
            identities=tuple(sorted(identities)),
            containers=container_names(labels.get(CONTAINER_KEY, "")),
            positive=positive,
            negative=negative,
            names_namespaces=False,
            excluded_namespaces=frozenset(),
            namespaces=(),
            spec=spec,
        )
    named, excluded = _namespaces(expressions)
    listed = (name for name in known_namespaces if name not in excluded)
    return Policy(
        kind=CLUSTER,
        namespace="",
        name=metadata["name"],
        identities=(),
        containers=(),
        positive=positive,
        negative=negative,
        names_namespaces=named is not None,
        excluded_namespaces=excluded,
        namespaces=tuple(listed if named is None else named),
        spec=spec,
    )


def container_names(value: str) -> tuple[str, ...]:
    """Read the container selector: the first and the last character are dropped unread."""
    if len(value) <= 2:
        return ()
    return tuple(name.strip() for name in value[1:-1].split(",") if name)


def _labels(expressions: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    positive: list[str] = []
    negative: list[str] = []
    for expression in expressions:
        if expression.get("key") != "label":
            continue
        values = expression.get("values") or []
        if expression.get("operator") == "In":
            positive += values
        elif expression.get("operator") == "NotIn" and not positive:
            negative += values
    return tuple(positive), tuple(negative)


def _namespaces(
    expressions: Sequence[Mapping[str, Any]],
) -> tuple[list[str] | None, frozenset[str]]:
    named: list[str] | None = None
    excluded: set[str] = set()
    for expression in expressions:
        if expression.get("key") != "namespace":
            continue
        values = expression.get("values") or []
        if expression.get("operator") == "In":
            named = [*(named or []), *values]
        elif expression.get("operator") == "NotIn" and named is None:
            excluded.update(values)
    return named, frozenset(excluded)


def identities_of(namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a Pod is matched by: its namespace and its labels but the hashes."""
    pairs = [f"{key}={value}" for key, value in labels.items() if key not in HASH_LABELS]
    return tuple(sorted([f"namespaceName={namespace}", *pairs]))


def matches_identities(
    required: Sequence[str], identities: Sequence[str], *, release: Release
) -> bool:
    """Say whether every required pair is there; a cluster policy requires none and never is."""
    return bool(required) and all(_has(pair, identities, release) for pair in required)


def _has(pair: str, identities: Sequence[str], release: Release) -> bool:
    if CONTAINER_KEY in pair:
        return _pattern_matches(CONTAINER_KEY, pair, identities)
    if release.matches_hostnames == "lists":
        if pair.startswith(("kubearmor.io/hostnamereg=", "kubernetes.io/hostnamereg=")):
            key, _, pattern = pair.partition("reg=")
            expression = re.escape(key) + "=" + pattern.replace("*", ".*")
            return _pattern_matches(key, expression, identities)
        if pair.startswith(("kubearmor.io/hostname=", "kubernetes.io/hostname=")):
            return _hostname_listed(pair, identities)
    elif "kubearmor.io/hostname" in pair:
        return _pattern_matches("kubearmor.io/hostname", pair, identities)
    elif release.matches_hostnames == "both-patterns" and "kubernetes.io/hostname" in pair:
        return _pattern_matches("kubernetes.io/hostname", pair, identities)
    return pair in identities


def _hostname_listed(pair: str, identities: Sequence[str]) -> bool:
    key, _, hosts = pair.partition("=")
    return any(
        any(identity.startswith(f"{key}=") for identity in identities)
        if host == "*"
        else f"{key}={host}" in identities
        for host in hosts.split(",")
    )


def _pattern_matches(key: str, pattern: str, identities: Sequence[str]) -> bool:
    """Search the first identity with the key; without one the pattern counts as matched."""
    for identity in identities:
        if key in identity:
            try:
                return re.search(pattern, identity) is not None
            except re.error:
                return False
    return True


def matches_labels(policy: Policy, identities: Collection[str]) -> bool:
    """Evaluate the label expressions; with exclusions the inclusions have no say."""
    if policy.negative:
        return not any(pair in identities for pair in policy.negative)
    return not policy.positive or any(pair in identities for pair in policy.positive)


def matches_namespaced(policy: Policy, identities: Sequence[str], *, release: Release) -> bool:
    return matches_identities(policy.identities, identities, release=release) and matches_labels(
        policy, identities
    )


def matches_cluster(policy: Policy, namespace: str, identities: Collection[str]) -> bool:
    return namespace in policy.namespaces and matches_labels(policy, identities)


def names_container(policy: Policy, container: str) -> bool:
    return not policy.containers or container in policy.containers


def applies(
    policy: Policy,
    *,
    namespace: str,
    identities: Sequence[str],
    known_namespaces: Collection[str],
    release: Release,
) -> bool:
    """Say what a daemon answers when it evaluates a Pod against one stored policy."""
    if policy.kind == NAMESPACED:
        return matches_namespaced(policy, identities, release=release)
    if matches_cluster(policy, namespace, identities):
        return True
    if policy.names_namespaces or release.refreshes_namespaces_of_a_copy:
        return False
    current = [name for name in known_namespaces if name not in policy.excluded_namespaces]
    if release.matches_all_after_new_namespace:
        return any(name not in policy.namespaces for name in current)
    return namespace in current and matches_labels(policy, identities)
