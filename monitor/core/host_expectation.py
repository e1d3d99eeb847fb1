"""What host and network policies are expected on a node, and what its daemon says of them.

A daemon holds its host policies against its node whenever one of them is added, modified or
deleted, and at no other time (dossier 5.4); network policies likewise and, from v1.7.4 on, at each
Pod event (5.5).
"""

from typing import Final

from msgspec import Struct

from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.effects import Effects
from monitor.core.evidence import Incarnation
from monitor.core.host_semantics import NEWEST, HostBehaviour, host_behaviour
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.policies import HOST_POLICY, PolicyState
from monitor.core.rules import Rules

NO_ENFORCER: Final = frozenset({"", "SELinux"})


class Selected(Struct, frozen=True):
    """What of a node a policy is held against now.

    `pods`: the running containers whose Pods a network policy selects; `effects`: what alerts say
    of this node's policies of that kind.
    """

    pods: tuple[ContainerRecord, ...] = ()
    effects: tuple[Effects, ...] = ()


def is_expected(policy: PolicyState, view: NodeView, selected: Selected) -> bool:
    """Whether the policy should be in force on the node, as the newest release means it."""
    if policy.pods.labels:
        return bool(selected.pods)
    marks = view.node.marks.latest
    return marks is not None and policy.nodes.selects(marks.identities)


def is_in_excess(policy: PolicyState, view: NodeView, *, deleted: bool = False) -> bool:
    """Whether the node's daemon has a policy in force that is not expected there.

    It does where its release reads the selector otherwise, or where it evaluated before the node
    ceased to be selected. `deleted`: the object is gone, and the daemon has not said so.
    """
    incarnation, meaning = view.incarnation, host_behaviour(view.release)
    lines = incarnation.policies.get(policy.key) if incarnation is not None else None
    if incarnation is None or meaning is None or not lines:
        return False
    if lines[-1].action == "deleted" or is_active(policy.kind, incarnation) is False:
        return False
    if policy.kind == HOST_POLICY and not (
        has_enforcer(incarnation) and incarnation.node_mode in {None, "enabled"}
    ):
        return False
    if not deleted and policy.learned(incarnation, view.node.clock) is None:
        return False
    if policy.pods.labels and meaning.network_selects_pods:
        return False
    return was_selected(policy, view, incarnation, meaning=meaning)


def was_selected(
    policy: PolicyState, view: NodeView, incarnation: Incarnation, *, meaning: HostBehaviour | None
) -> bool:
    """Whether the daemon's last evaluation surely found the node selected, and not exempt."""
    position, at = last_evaluation(policy.kind, incarnation, meaning)
    borne = view.node.marks.during(view.node.clock.instant(position, at=at)) if position else ()
    return bool(borne) and all(
        policy.nodes.selects(marks.identities, meaning=meaning or NEWEST)
        and (policy.kind != HOST_POLICY or marks.mode == "enabled")
        for marks in borne
    )


def is_active(kind: str, incarnation: Incarnation) -> bool | None:
    """Whether that daemon applies policies of the kind at all; None if it was not read (1.8)."""
    subject, setting = (
        ("host", "HostPolicy") if kind == HOST_POLICY else ("network", "NetworkPolicyEnforcer")
    )
    if POLICY_RESOURCES[kind] in incarnation.dead_watches:
        return False
    if incarnation.settings.get(setting) == "false":
        return False
    told = incarnation.protects.get(subject)
    if told is None and incarnation.settings.get(setting) == "true" and kind == HOST_POLICY:
        return True
    return True if told is None and kind in incarnation.last_of_kind else told


def last_evaluation(
    kind: str, incarnation: Incarnation, meaning: HostBehaviour | None
) -> tuple[int, float]:
    """Where that daemon last held policies of the kind against its node, and when we read it."""
    line = incarnation.last_of_kind.get(kind)
    last = (line.position, line.at) if line is not None else (0, 0.0)
    if kind != HOST_POLICY and meaning is not None and meaning.network_selects_pods:
        return max(last, (incarnation.last_pod_position, incarnation.last_pod_at))
    return last


def has_enforcer(incarnation: Incarnation) -> bool:
    """Whether an enforcer is known to be up: it said so, or it has made rule maps."""
    if incarnation.enforcer is not None:
        return incarnation.enforcer not in NO_ENFORCER
    return any(evidence.created for evidence in incarnation.containers.values())


def is_formless(rules: Rules, enforcer: str | None) -> bool:
    """Whether a policy means to block or allow, and nothing of it is enforced on a host.

    Under BPF-LSM host rules leave out capabilities besides what has no kernel form (dossier 5.4).
    """
    decisive = [rule for rule in rules.rules if rule.action in {"Block", "Allow"}]
    left_out = "capability" if enforcer == "BPFLSM" else ""
    return bool(decisive) and all(not rule.in_kernel or rule.form == left_out for rule in decisive)
