"""Which nodes a host or network policy selects, in the meaning of each release.

KubeArmor reduces a node to identities, each label as `k=v`, and holds the labels that the policy
asks for against them (dossier 5.4). The selector for Pods of a network policy is read in the same
way, against the labels of Pods of any namespace (5.5). No label asked for means that nothing is
selected, the opposite of a KubeArmorPolicy.

Keys of host names are special. From v1.7.4 on their values are lists or `*`, and `…/hostnamereg` is
a pattern in which `*` is anything. It is searched for behind the key, so it is anchored at its
start and not at its end; a dot is any character. Before, the whole label is taken for a pattern.
Either kind of pattern is satisfied by what has no such key at all.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from monitor.core.host_semantics import (
    KUBEARMOR_HOST,
    KUBERNETES_HOST,
    NEWEST,
    HostBehaviour,
)
from monitor.core.selector import compiled

HOSTS: Final = (KUBERNETES_HOST, KUBEARMOR_HOST)
PATTERNS: Final = {f"{key}reg": key for key in HOSTS}


class NodeSelector(Struct, frozen=True):
    """The labels that are asked for, all of them."""

    labels: tuple[tuple[str, str], ...] = ()

    def selects(self, identities: frozenset[str], *, meaning: HostBehaviour = NEWEST) -> bool:
        """Whether what has these identities is selected, as releases of that behaviour read it."""
        return bool(self.labels) and all(
            _is_met(key, value, identities, meaning) for key, value in self.labels
        )


NOTHING: Final = NodeSelector()


def read_labels(selector: object) -> NodeSelector:
    """Compile a `nodeSelector`, or the `selector` of a network policy."""
    labels = selector.get("matchLabels") if isinstance(selector, Mapping) else None
    if not isinstance(labels, Mapping):
        return NOTHING
    return NodeSelector(tuple(sorted((str(key), str(value)) for key, value in labels.items())))


def identities_of(labels: Mapping[str, Any] | None) -> frozenset[str]:
    """What KubeArmor sees of a node."""
    return frozenset(f"{key}={value}" for key, value in (labels or {}).items())


def _is_met(key: str, value: str, identities: frozenset[str], meaning: HostBehaviour) -> bool:
    wanted = f"{key}={value}"
    for special in meaning.pattern_keys:
        if special in wanted:
            return _fits(special, wanted, identities)
    if meaning.names_hosts and key in PATTERNS:
        host = PATTERNS[key]
        pattern = f"{re.escape(host)}={value.replace('*', '.*')}"
        return _fits(host, pattern, identities)
    if meaning.names_hosts and key in HOSTS:
        return any(_is_named(key, name, identities) for name in value.split(","))
    return wanted in identities


def _is_named(key: str, name: str, identities: frozenset[str]) -> bool:
    if name == "*":
        return any(identity.startswith(f"{key}=") for identity in identities)
    return f"{key}={name}" in identities


def _fits(key: str, pattern: str, identities: frozenset[str]) -> bool:
    """Whether the first identity that mentions the key fits; one that is not there does."""
    mentioned = min((identity for identity in identities if key in identity), default=None)
    if mentioned is None:
        return True
    compiled = _compiled(pattern)
    return compiled is not None and compiled.search(mentioned) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    return compiled(pattern)
