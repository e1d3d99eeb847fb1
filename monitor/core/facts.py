"""What a line of a daemon's own output says.

One type for each statement that the judgement uses; dossier section 3.2 has their meaning. A line
that a release is known to print and that says nothing about coverage is `Irrelevant`; a line that
nobody has described yet is `Unrecognised`, which is counted.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

ObjectAction: TypeAlias = Literal["added", "modified", "deleted", "patched"]


class PolicyLearned(Struct, frozen=True, gc=False):
    """`Detected a (Cluster |Host |Network )Security Policy (action/[namespace/]name)`."""

    kind: str
    action: ObjectAction
    namespace: str
    name: str


class PodSeen(Struct, frozen=True, gc=False):
    action: ObjectAction
    namespace: str
    name: str


class ContainerRegistered(Struct, frozen=True, gc=False):
    """The runtime announced a container; `container_id` has its first 12 hex digits only."""

    container_id: str
    pid_namespace: int | None
    mount_namespace: int | None


class ContainerRemoved(Struct, frozen=True, gc=False):
    container_id: str


class RulesUpdating(Struct, frozen=True, gc=False):
    """`Updating container rules for ID`: an intent, printed before anything is checked."""

    container_id: str


class MapCreated(Struct, frozen=True, gc=False):
    container_id: str


class MapDeleted(Struct, frozen=True, gc=False):
    """`Deleting inner map for ID`: the rule set became empty, whether or not there was a map."""

    container_id: str


class MapFailed(Struct, frozen=True, gc=False):
    """An ERROR about a container's map: it could not be made, not be linked, or not take a rule."""

    container_id: str
    step: Literal["create", "outer", "inner"]
    error: str


class NamespaceConfigured(Struct, frozen=True, gc=False):
    namespace: str


class NamespaceUntracked(Struct, frozen=True, gc=False):
    namespace: str


class PolicyRejected(Struct, frozen=True, gc=False):
    """`Error ADD, …`: a policy was refused; the line stands in place of its `Detected a …` line."""

    error: str


class NamespaceListFailed(Struct, frozen=True, gc=False):
    error: str


class ProfileUpdated(Struct, frozen=True, gc=False):
    """`Updated N security rule(s) to NS/POD/PROFILE`: an AppArmor profile carries rules now."""

    namespace: str
    pod: str
    profile: str


class ProfileFailed(Struct, frozen=True, gc=False):
    """An AppArmor profile could not be made, registered or updated."""

    profile: str
    error: str


class EventsLost(Struct, frozen=True, gc=False):
    """The daemon could not hand on events: a buffer or a queue of its was full (F43)."""


class EnforcerReported(Struct, frozen=True, gc=False):
    """`enforcer` is BPFLSM, AppArmor or SELinux; empty where the daemon says that it has none."""

    enforcer: str
    reason: str = ""


class ProtectionReported(Struct, frozen=True, gc=False):
    """Whether the daemon protects its host, or applies network policies, and why it does not."""

    subject: Literal["host", "network"]
    active: bool
    reason: str = ""


class ContainerSourceReported(Struct, frozen=True, gc=False):
    """`dead`: will not come back in this incarnation; `lost`: the daemon tries again."""

    state: Literal["started", "lost", "reconnecting", "reconnected", "dead"]


class ReleaseReported(Struct, frozen=True, gc=False):
    """`first_line`: said by the line that opens the output of an incarnation."""

    release: str
    first_line: bool = False


class ConfigurationReported(Struct, frozen=True, gc=False):
    """`Final Configuration`: its keys with simple values, as printed."""

    settings: tuple[tuple[str, str], ...]


class LifecycleReported(Struct, frozen=True, gc=False):
    phase: Literal["starting", "initialized", "terminating", "terminated"]


class NodeNamed(Struct, frozen=True, gc=False):
    name: str


class NodeModeReported(Struct, frozen=True, gc=False):
    """`Node Annotations: map[…]`: the mode that the daemon takes its node for as it starts."""

    mode: str


class NodeAddressed(Struct, frozen=True, gc=False):
    address: str


class FeedClient(Struct, frozen=True, gc=False):
    """A client came to or left one of the daemon's feeds (normally the relay)."""

    action: Literal["added", "deleted"]
    feed: Literal["alerts", "logs", "messages"]
    client: str


class WatchReported(Struct, frozen=True, gc=False):
    """The daemon started, or gave up, watching a kind of object (`pods` or a policy resource)."""

    resource: str
    state: Literal["started", "dead"]
    reason: str = ""


class Irrelevant(Struct, frozen=True, gc=False):
    pass


class Unrecognised(Struct, frozen=True, gc=False):
    pass


Fact: TypeAlias = (
    PolicyLearned
    | PodSeen
    | ContainerRegistered
    | ContainerRemoved
    | RulesUpdating
    | MapCreated
    | MapDeleted
    | MapFailed
    | NamespaceConfigured
    | NamespaceUntracked
    | PolicyRejected
    | NamespaceListFailed
    | ProfileUpdated
    | ProfileFailed
    | EventsLost
    | EnforcerReported
    | ProtectionReported
    | ContainerSourceReported
    | ReleaseReported
    | ConfigurationReported
    | LifecycleReported
    | NodeNamed
    | NodeModeReported
    | NodeAddressed
    | FeedClient
    | WatchReported
    | Irrelevant
    | Unrecognised
)


def opens(fact: Fact) -> bool:
    """Whether a line that says so is the first that an incarnation prints."""
    if isinstance(fact, LifecycleReported):
        return fact.phase == "starting"
    return isinstance(fact, ReleaseReported) and fact.first_line
