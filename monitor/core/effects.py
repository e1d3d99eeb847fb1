"""What alerts and logs report of a container: which rules took effect, which did not.

An alert names one policy, without kind and namespace, and the name is user space's guess: it
proves those policies of that name that select the container and have a rule for what happened
(dossier 4.3, 4.4). A log of an action that passed refutes a policy that forbids exactly that.

Only facts are kept here, by what they are about, the latest of each. Which policy, which revision
and which incarnation they concern is asked of them later, so it does not matter when they arrive.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from monitor.core.model import Alert, Log
from monitor.core.rules import Rules

ENFORCERS: Final = ("BPFLSM", "AppArmor", "PRESET-", "NetworkPolicyEnforcer")
HOST_ALERTS: Final = {
    "MatchedHostPolicy": "KubeArmorHostPolicy",
    "MatchedNetworkPolicy": "KubeArmorNetworkPolicy",
}
KINDS_KEPT: Final = 64
POSTURE: Final = "DefaultPosture"
DENIED: Final = "Permission denied"


class Effect(Struct, frozen=True, gc=False):
    """`policy` and `action` (the rule's) are empty for a log; `happened`: it was refused."""

    policy: str
    operation: str
    resource: str
    action: str
    happened: bool


class Effects:
    """The latest time, on the node's clock, of each effect reported of one container."""

    __slots__ = ("_latest", "refuting", "throttled_until")

    def __init__(self) -> None:
        self._latest: dict[Effect, float] = {}
        self.refuting = False
        self.throttled_until = 0.0

    def note(self, effect: Effect, updated: float) -> bool:
        """Keep an effect; return whether it is later than what was known."""
        known = self._latest.pop(effect, 0.0)
        self._latest[effect] = max(known, updated)
        self.refuting = self.refuting or not effect.happened
        if len(self._latest) > KINDS_KEPT:
            del self._latest[next(iter(self._latest))]
        return updated > known

    def happened(self, name: str) -> bool:
        """Whether any effect of a policy of that name was reported."""
        return any(effect.happened and effect.policy == name for effect in self._latest)

    def named(self) -> Iterator[tuple[Effect, float]]:
        """What took effect by a policy's name, with the time of it on the node's clock."""
        for effect, updated in self._latest.items():
            if effect.happened and effect.policy and effect.policy != POSTURE:
                yield effect, updated

    def unattributed(self, rules: Rules) -> float:
        """When something that the rules forbid was last refused and no alert said by what (F42).

        In the node's time; 0 for never.
        """
        named = {(e.operation, e.resource) for e in self._latest if e.policy}
        refused = (
            updated
            for effect, updated in self._latest.items()
            if effect.happened
            and not effect.policy
            and (effect.operation, effect.resource) not in named
            and rules.concern(operation=effect.operation, resource=effect.resource, action="Block")
        )
        return max(refused, default=0.0)

    def latest_proof(self, name: str, rules: Rules) -> float | None:
        """When a rule of a policy of that name was last reported to have taken effect."""
        return max(
            (
                updated
                for effect, updated in self._latest.items()
                if effect.happened
                and effect.policy == name
                and rules.concern(
                    operation=effect.operation, resource=effect.resource, action=effect.action
                )
            ),
            default=None,
        )

    def latest_of(self, name: str) -> float | None:
        """When a policy of that name was last reported to have taken effect, by whichever rule."""
        return max(
            (
                updated
                for effect, updated in self._latest.items()
                if effect.happened and effect.policy == name
            ),
            default=None,
        )

    def latest_refutation(self, name: str, rules: Rules) -> float | None:
        """When what such a policy forbids was last reported to have been done all the same."""
        return max(
            (
                updated
                for effect, updated in self._latest.items()
                if not effect.happened and _refutes(effect, name, rules)
            ),
            default=None,
        )


def _refutes(effect: Effect, name: str, rules: Rules) -> bool:
    if effect.policy:
        return effect.policy == name and rules.concern(
            operation=effect.operation, resource=effect.resource, action=effect.action
        )
    return rules.forbid(operation=effect.operation, resource=effect.resource)


def effect_of(report: Alert | Log) -> Effect | None:
    """What an alert or a log says about a container's rules; None for nothing."""
    if isinstance(report, Log):
        if report.result not in {"Passed", DENIED}:
            return None
        happened = report.result == DENIED
        return Effect("", report.operation, report.resource, "", happened=happened)
    if report.type in HOST_ALERTS:
        return None
    if report.type != "MatchedPolicy" and report.action != "Audit (Block)":
        return None
    return _match(report)


def host_effect_of(alert: Alert) -> tuple[str, Effect] | None:
    """What an alert says about a host or network policy, with its kind; None for nothing."""
    kind = HOST_ALERTS.get(alert.type)
    effect = None if kind is None else _match(alert)
    return None if kind is None or effect is None else (kind, effect)


def _match(report: Alert) -> Effect | None:
    if report.type == "SystemEvent":
        return None
    if report.action == "Audit (Block)" and report.result == "Passed":
        return Effect(report.policy, report.operation, report.resource, "Block", happened=False)
    if not report.policy:
        return None
    blocked = report.result != "Passed" and report.enforcer.startswith(ENFORCERS)
    if report.action == "Block" and blocked:
        return Effect(report.policy, report.operation, report.resource, "Block", happened=True)
    if report.action == "Audit":
        return Effect(report.policy, report.operation, report.resource, "Audit", happened=True)
    return None
