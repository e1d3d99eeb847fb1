"""What a KubeArmor release does with the same objects: one table of switches.

`behaviour` folds the table up to the release that a daemon runs. Only what decides which policy is
attached to which container, host or node is here. A release that nobody has described (older than
v1.4.0, or no version at all) is None: then a policy is predicted only where every described release
would attach it. A release newer than the table behaves as the newest one in it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Version: TypeAlias = tuple[int, int, int]
HostNames: TypeAlias = Literal["own-pattern", "pattern", "list"]

_SEMVER: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?$")


class Behaviour(Struct, frozen=True, gc=False):
    """The switches, each with the section of the dossier that describes it.

    `leaks_namespaced` (5.3): a namespaced policy is attached to every Pod evaluated after it, in
    any namespace.
    `overmatches` (5.3): once a namespace exists that a cluster policy without namespace In neither
    excludes nor listed when it was read, every Pod evaluated from then on gets that policy.
    `refreshes_namespaces` (7.6, upstream issue 2099): a Pod is held against the namespaces of now.
    v1.5.7 refreshes a copy of the list and discards it.
    `reads_label_expressions` (5.2, 5.3, 8 F21): the key `label` and a namespaced policy's
    matchExpressions count; before, they are ignored.
    `revisits_endpoints` (5.6): a namespaced policy's event is held against every endpoint that its
    container list admits, is added and removed there, and all of them are written again. Before,
    only endpoints that its new selector takes are looked at, and an update adds nothing.
    `relists_modified_pods` (7.3): a MODIFIED Pod reaches the endpoint list. Before, only the kernel
    gets what was found for it, and the next policy event writes the stale list again (12.6).
    `host_names` (5.4, 12.12): `own-pattern` reads the key kubearmor.io/hostname as a pattern;
    `pattern` kubernetes.io/hostname too; `list` knows comma lists, `*` and `…/hostnamereg`.
    `filters_untracked` (6.2): nothing is enforced in untracked namespaces.
    `untracked_in_map` (6.2): the configuration map names them.
    `network_policies`, `network_pod_selector` (5.5): KubeArmorNetworkPolicy exists; selects Pods.
    """

    leaks_namespaced: bool
    overmatches: bool
    refreshes_namespaces: bool
    reads_label_expressions: bool
    revisits_endpoints: bool
    relists_modified_pods: bool
    host_names: HostNames
    filters_untracked: bool
    untracked_in_map: bool
    network_policies: bool
    network_pod_selector: bool

    @property
    def reaches_young_namespaces(self) -> bool:
        """Whether a new Pod gets a cluster policy that is older than the Pod's namespace."""
        return self.refreshes_namespaces or self.overmatches


FIRST_DESCRIBED: Final[Version] = (1, 4, 0)
_FIRST: Final = Behaviour(
    leaks_namespaced=True,
    overmatches=True,
    refreshes_namespaces=False,
    reads_label_expressions=False,
    revisits_endpoints=False,
    relists_modified_pods=False,
    host_names="own-pattern",
    filters_untracked=False,
    untracked_in_map=False,
    network_policies=False,
    network_pod_selector=False,
)
_CHANGES: Final[tuple[tuple[Version, Mapping[str, Any]], ...]] = (
    ((1, 4, 1), {"leaks_namespaced": False}),
    ((1, 4, 2), {"filters_untracked": True}),
    (
        (1, 5, 7),
        {"overmatches": False, "reads_label_expressions": True, "revisits_endpoints": True},
    ),
    ((1, 6, 0), {"refreshes_namespaces": True}),
    ((1, 6, 7), {"untracked_in_map": True}),
    ((1, 6, 13), {"relists_modified_pods": True}),
    ((1, 6, 14), {"host_names": "pattern", "network_policies": True}),
    ((1, 7, 4), {"host_names": "list", "network_pod_selector": True}),
)


def parse(release: str) -> Version | None:
    """Split a release or an image tag; None for what is no version (`latest`, a digest)."""
    match = _SEMVER.match(release)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


@lru_cache(maxsize=256)
def behaviour(release: str | None) -> Behaviour | None:
    """What that release does; None where it is not known or not described."""
    version = parse(release) if release else None
    return None if version is None or version < FIRST_DESCRIBED else _of(version)


@lru_cache(maxsize=64)
def _of(version: Version) -> Behaviour:
    return DESCRIBED[sum(since <= version for since, _ in _CHANGES)]


def _fold() -> tuple[Behaviour, ...]:
    """Every behaviour there has been, each as one object."""
    known = [_FIRST]
    for _, change in _CHANGES:
        known.append(replace(known[-1], **change))
    return tuple(known)


DESCRIBED: Final = _fold()
NEWEST: Final = DESCRIBED[-1]
