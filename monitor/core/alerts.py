"""What an alert or a log proves about the policies of a container (dossier 4.3, 4.4).

An alert names one policy, without kind and namespace, and the name is user space's guess: it proves
those policies of that name that select the container and have a rule for what happened.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.model import Alert, Log
from monitor.core.policies import PolicyState

ENFORCERS: Final = ("BPFLSM", "AppArmor", "PRESET-")
TOO_CLOSE: Final = 1.0


def proven_by(
    alert: Alert,
    *,
    container: ContainerRecord,
    policies: Mapping[PolicyKey, PolicyState],
    incarnation: Incarnation,
) -> bool:
    """Note what an alert proves; return whether it proves anything new."""
    if alert.action == "Audit (Block)" and alert.result == "Passed":
        return _refuted_by_name(
            alert, container=container, policies=policies, incarnation=incarnation
        )
    action = _effect(alert)
    if action is None or not alert.policy or _is_older(alert.updated, incarnation):
        return False
    fitting = [
        key
        for key in container.expected.keys
        if policies[key].name == alert.policy
        and policies[key].rules.concern(
            operation=alert.operation, resource=alert.resource, action=action
        )
    ]
    kinds = {key[0] for key in fitting}
    news = False
    for key in fitting if len(kinds) == 1 else ():
        proof = (incarnation.identity, policies[key].generation, alert.updated)
        container.proven = (container.proven or {}) | {key: proof}
        news = True
    return news


def _refuted_by_name(
    alert: Alert,
    *,
    container: ContainerRecord,
    policies: Mapping[PolicyKey, PolicyState],
    incarnation: Incarnation,
) -> bool:
    """What the policy would have blocked was only observed: it matched and was not enforced."""
    return _refute(
        [
            key
            for key in container.expected.keys
            if policies[key].name == alert.policy
            and policies[key].rules.concern(
                operation=alert.operation, resource=alert.resource, action="Block"
            )
        ],
        updated=alert.updated,
        container=container,
        policies=policies,
        incarnation=incarnation,
    )


def _refute(
    keys: Iterable[PolicyKey],
    *,
    updated: float,
    container: ContainerRecord,
    policies: Mapping[PolicyKey, PolicyState],
    incarnation: Incarnation,
) -> bool:
    news = False
    for key in keys:
        refutation = (incarnation.identity, policies[key].generation, updated)
        container.refuted = (container.refuted or {}) | {key: refutation}
        news = True
    return news


def _effect(alert: Alert) -> str | None:
    """The rule's action whose effect the alert reports; None if it reports no effect of a rule."""
    if (
        alert.action == "Block"
        and alert.result != "Passed"
        and alert.enforcer.startswith(ENFORCERS)
    ):
        return "Block"
    return "Audit" if alert.action == "Audit" and alert.type == "MatchedPolicy" else None


def _is_older(updated: float, incarnation: Incarnation) -> bool:
    """Whether the event belongs to a former incarnation; both times are of the node's clock."""
    return incarnation.running is not None and updated < incarnation.running[0] - TOO_CLOSE


def contradicted_by(
    log: Log,
    *,
    container: ContainerRecord,
    policies: Mapping[PolicyKey, PolicyState],
    incarnation: Incarnation,
) -> bool:
    """Note which policies a log refutes: what an exact rule forbids was done. True if any."""
    return _refute(
        [
            key
            for key in container.expected.keys
            if policies[key].rules.forbid(operation=log.operation, resource=log.resource)
        ],
        updated=log.updated,
        container=container,
        policies=policies,
        incarnation=incarnation,
    )
