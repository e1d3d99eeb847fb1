"""The ways in which a daemon can fail on purpose."""

from dataclasses import dataclass

NEVER = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Failures:
    """Every switch is off by default; they may be exchanged while a daemon runs.

    Policies are named `namespace/name`, cluster policies `name`.
    """

    no_enforcer: bool = False
    """No LSM on the node: the daemon observes only."""

    enforcer: str = "BPFLSM"
    """What the order of LSMs falls through to: BPFLSM, AppArmor or SELinux."""

    container_source_dead: bool = False
    """The runtime's socket cannot be used at start: no container is ever announced."""

    runtime_silent: bool = False
    """The runtime connection stands, but its events are lost."""

    cluster_policy_watch_dead: bool = False
    """The cluster policies' definition was not found in time: they are never watched."""

    pod_informer_failed: bool = False
    """No Pod event ever arrives."""

    stuck_at_start: bool = False
    """It waits for its node's record for ever: nothing after that is started."""

    definitions_missing: bool = False
    """It waits for the definitions of its policies: nothing after that is started."""

    hung: bool = False
    """Its handlers stand still; what is in the kernel stays there."""

    namespace_list_fails: bool = False
    """Every list of the namespaces is refused."""

    unseen_policies: frozenset[str] = NEVER
    """Their ADDED event is lost."""

    rejected_policies: frozenset[str] = NEVER
    """Refused when they are added (`Error ADD`); never tried again."""

    overwritten_policies: frozenset[str] = NEVER
    """Another handler writes its copy of the endpoints over theirs: they reach no container."""

    unread_ids: frozenset[str] = NEVER
    """Pods (`namespace/name`) whose containers' kernel namespaces cannot be read."""

    foreign_profiles: frozenset[str] = NEVER
    """AppArmor profiles that exist on the node and are not KubeArmor's."""

    unparsable_policies: frozenset[str] = NEVER
    """The AppArmor parser refuses a profile with their rules: the one before stays."""

    host_policies: bool = False
    """The configuration has enableKubeArmorHostPolicy on: host policies are watched."""

    outer_map_limit: int = 256
    """How many containers of the node can have rules in the kernel."""

    seconds_per_request: float = 0.0
    """Added to every request to the API server: slow handling."""
