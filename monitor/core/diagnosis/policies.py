"""Policies that the daemons' defaults leave without effect (dossier 4.5, 6.1, 6.3, F20, F39, F40).

The ConfigMap kubearmor-config is followed live and wins over what a daemon was started with; an
annotation of the namespace wins over both.
"""

from collections.abc import Iterator
from typing import Final

from monitor.core.defaults import POSTURE_ANNOTATIONS, POSTURE_KEYS, VISIBILITY
from monitor.core.diagnosis.findings import Check, Cluster, State, counted, some
from monitor.core.kubernetes import Policy
from monitor.core.rules import CLASSES, Operation, Rules, read_rules

KINDS: Final[dict[Operation, str]] = {operation: operation.lower() for operation in CLASSES}
POSTURES: Final[dict[Operation, tuple[str, str]]] = {
    operation: (POSTURE_KEYS[kind], POSTURE_ANNOTATIONS[kind])
    for operation, kind in CLASSES.items()
}
OF_CONTAINERS: Final = ("kubearmorpolicies", "kubearmorclusterpolicies")


def _silent_audits(cluster: Cluster) -> Iterator[Check]:
    visible = _default(cluster, "visibility")
    silent = [
        f"{_name(policy)} ({', '.join(hidden)})"
        for policy, rules in _policies(cluster)
        if (hidden := _hidden(policy, rules, cluster, visible))
    ]
    yield _answer(
        cluster,
        "audit-rules",
        known=visible is not None or not _any_rule(cluster, "Audit"),
        found=silent,
        fault=f"with visibility {visible or 'not known'}, audit rules are silent",
        remedy="Add the class to `visibility` in the ConfigMap kubearmor-config or to the "
        f"annotation {VISIBILITY} of the namespace: rules that only audit have no other effect.",
        fine="every audit rule's class is visible",
    )


def _hidden(policy: Policy, rules: Rules, cluster: Cluster, visible: str | None) -> list[str]:
    """Return the classes of audit rules that nothing is traced of."""
    classes = {KINDS[r.operation] for r in rules.rules if _is(r.action, "Audit", r.operation)}
    shown = _annotation(policy, cluster, VISIBILITY) or visible
    if shown is None:
        return []
    return sorted(classes - {name.strip() for name in shown.split(",")})


def _toothless_lists(cluster: Cluster) -> Iterator[Check]:
    defaults = [_default(cluster, key) for key, _ in POSTURES.values()]
    toothless = [
        f"{_name(policy)} ({', '.join(classes)})"
        for policy, rules in _policies(cluster)
        if (classes := _toothless(policy, rules, cluster))
    ]
    yield _answer(
        cluster,
        "allow-lists",
        known=None not in defaults or not _any_rule(cluster, "Allow"),
        found=toothless,
        fault="under the posture audit, what an allow-list does not name is only reported",
        remedy="Annotate the namespace with kubearmor-file-posture=block (or -network-, "
        "-capabilities-), or set the default in kubearmor-config; try it in audit first.",
        fine="no allow-list is under the posture audit",
    )


def _toothless(policy: Policy, rules: Rules, cluster: Cluster) -> list[str]:
    """Return the classes of allow rules whose posture only audits."""
    found = set()
    for rule in rules.rules:
        if _is(rule.action, "Allow", rule.operation):
            key, annotation = POSTURES[rule.operation]
            posture = _annotation(policy, cluster, annotation) or _default(cluster, key)
            if posture == "audit":
                found.add(KINDS[rule.operation])
    return sorted(found)


def _any_rule(cluster: Cluster, action: str) -> bool:
    return any(
        _is(rule.action, action, rule.operation)
        for _, rules in _policies(cluster)
        for rule in rules.rules
    )


def _is(action: str, wanted: str, operation: Operation) -> bool:
    return action == wanted and operation in KINDS


def _policies(cluster: Cluster) -> Iterator[tuple[Policy, Rules]]:
    for resource in OF_CONTAINERS:
        for policy in cluster.policies.get(resource, ()):
            yield policy, read_rules(policy.spec or {})


def _annotation(policy: Policy, cluster: Cluster, key: str) -> str | None:
    """Return what the policy's own namespace is annotated with; a cluster policy has none."""
    for namespace in cluster.namespaces or ():
        if namespace.metadata.name == policy.metadata.namespace:
            return (namespace.metadata.annotations or {}).get(key)
    return None


def _default(cluster: Cluster, key: str) -> str | None:
    """Return a default: the ConfigMap's, else the daemons' if they agree; None if not known."""
    in_map = (cluster.config or {}).get(key)
    if in_map is not None:
        return in_map
    printed = {one.settings.get(key[:1].upper() + key[1:]) for one in cluster.daemons}
    return printed.pop() if len(printed) == 1 else None


def _answer(
    cluster: Cluster,
    code: str,
    *,
    known: bool,
    found: list[str],
    fault: str,
    remedy: str,
    fine: str,
) -> Check:
    unread = [one for one in OF_CONTAINERS if one not in cluster.policies]
    if found:
        return Check(code, "warning", f"{fault}: {some(found)}", remedy)
    if unread or not known:
        what = some(unread) if unread else "the daemons' defaults"
        return Check(code, "unknown", f"{what} could not be read", "See the permissions.")
    return Check(code, "ok", fine)


def _host_policies(cluster: Cluster) -> Iterator[Check]:
    policies = cluster.policies.get("kubearmorhostpolicies", ())
    if not policies or not cluster.daemons:
        return
    off = [one.node for one in cluster.daemons if one.settings.get("HostPolicy") == "false"]
    unread = [one.node for one in cluster.daemons if "HostPolicy" not in one.settings]
    state: State = "problem" if off else "unknown" if unread else "ok"
    number = counted(len(policies), "KubeArmorHostPolicy").replace("ys", "ies")
    found = f"{number}, host policies are off at {some(off)}" if off else number
    yield Check(
        "host-policies",
        state,
        f"{found}; not read at {some(unread)}" if unread else found,
        "" if state == "ok" else "Set enableKubeArmorHostPolicy in the daemons' configuration.",
    )


def _name(policy: Policy) -> str:
    namespace = policy.metadata.namespace
    return f"{namespace}/{policy.metadata.name}" if namespace else policy.metadata.name


CHECKS = (_silent_audits, _toothless_lists, _host_policies)
