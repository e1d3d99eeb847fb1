"""Containers on a node whose daemon enforces with AppArmor (dossier 6.5, F36, F37).

A container is confined by the profile that its Pod names for it. The replicas of a workload share
one: the daemon writes the rules of all its policies into it and says so only when they change, so
the line names whichever Pod was the occasion. A daemon that crashes leaves the profiles as they
were, one that is stopped empties them (1.7).
"""

from typing import Final

from msgspec import Struct

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation
from monitor.core.nodes import ENFORCER_LABEL, NodeState

APPARMOR: Final = "AppArmor"
OWN_PROFILE: Final = "kubearmor-"


class Profile(Struct, frozen=True, gc=False):
    """A container's profile: where it was last written and last refused (0: never), and why."""

    name: str
    written: int
    refused: int
    error: str


def profile_of(container: ContainerRecord, incarnation: Incarnation) -> Profile | None:
    """The container's profile as that daemon's output shows it; None if it names none of its."""
    name = (container.pod.profiles or {}).get(container.name, "")
    if not name.startswith(OWN_PROFILE):
        return None
    refused, error = incarnation.failed_profiles.get(name, (0, ""))
    written = incarnation.profiles.get(name, 0)
    return Profile(name=name, written=written, refused=refused, error=error)


def unannotated(node: NodeState) -> tuple[str, str]:
    """Why a Pod there names no profile, and what shows it: cause and evidence."""
    labels = (node.node.metadata.labels or {}) if node.node is not None else {}
    label = labels.get(ENFORCER_LABEL, "")
    if label == "bpf":
        shown = f"the node is labelled {ENFORCER_LABEL}=bpf, and its daemon enforces with AppArmor"
        return "enforcer-mismatch", f"{shown}; the Pod names no profile of KubeArmor"
    return "apparmor-unannotated", "the Pod names no profile of KubeArmor for the container"


def outlives(incarnation: Incarnation) -> bool:
    """Whether what a daemon wrote may go on after its end: profiles, unless it was stopped."""
    return incarnation.enforcer == APPARMOR and not incarnation.terminated
