"""The API server, what the monitor may read there, the daemons' ports, and certificates."""

from collections.abc import Iterator
from typing import Final

from monitor.core.diagnosis.findings import Certificate, Check, Cluster, Probe, State, some
from monitor.core.kubernetes import POLICY_KINDS
from monitor.core.semantics import parse

SLOW_SECONDS: Final = 1.0
STALLED_SECONDS: Final = 5.0
SOON_SECONDS: Final = 30 * 86400.0
TOO_MANY: Final = "HTTP 429"
SINCE: Final = {"kubearmorclusterpolicies": (1, 4, 0), "kubearmornetworkpolicies": (1, 6, 14)}


def _api(cluster: Cluster) -> Iterator[Check]:
    failed = [probe for probe in cluster.api if probe.failure]
    if not cluster.api:
        yield Check("api-server", "unknown", "the API server was not asked")
        return
    slowest = max(cluster.api, key=lambda probe: probe.seconds)
    took = ", ".join(_took(probe) for probe in cluster.api if not probe.failure)
    state: State = "ok"
    if slowest.seconds >= SLOW_SECONDS:
        state = "warning"
    if failed or slowest.seconds >= STALLED_SECONDS:
        state = "problem"
    failures = "; ".join(f"{probe.name}: {probe.failure}" for probe in failed)
    yield Check(
        "api-server",
        state,
        "; ".join(filter(None, (cluster.api_release, took, failures))),
        ""
        if state == "ok"
        else "Look at the API server's load, its store and admission webhooks: a daemon asks it "
        "several times for each Pod event, so its latency is exposure of every new container.",
    )


def _took(probe: Probe) -> str:
    return f"{probe.name} {probe.seconds * 1000:.0f} ms"


def _throttling(cluster: Cluster) -> Iterator[Check]:
    reasons = {probe.name: probe.failure for probe in cluster.api} | dict(cluster.sources)
    throttled = [name for name, reason in reasons.items() if TOO_MANY in reason]
    if throttled:
        yield Check(
            "api-throttling",
            "problem",
            f"refused for too many requests: {some(throttled)}",
            "See API Priority and Fairness (FlowSchemas) for who takes the seats; give KubeArmor's "
            "and the monitor's service accounts a level of their own.",
        )
    elif reasons:
        yield Check("api-throttling", "ok", "no request was refused for too many requests")


def _permissions(cluster: Cluster) -> Iterator[Check]:
    refused = sorted(right for right, granted in cluster.access.items() if not granted)
    forbidden = [name for name, reason in cluster.sources.items() if "HTTP 403" in reason]
    missing = refused or forbidden
    if missing:
        yield Check(
            "permissions",
            "problem",
            f"the monitor may not: {', '.join(missing)}",
            "Apply deploy/base/rights, for the account that the monitor runs under.",
        )
    elif cluster.access:
        yield Check("permissions", "ok", f"all {len(cluster.access)} rights needed are granted")
    else:
        yield Check(
            "permissions",
            "unknown",
            "the API server does not say what the monitor may; nothing was refused",
        )


def _sources(cluster: Cluster) -> Iterator[Check]:
    down = {name: reason for name, reason in cluster.sources.items() if reason}
    if down:
        found = "; ".join(f"{name}: {down[name]}" for name in sorted(down)[:3])
        rest = f"; and {len(down) - 3} more" if len(down) > 3 else ""
        yield Check(
            "sources",
            "problem",
            f"could not be read: {found}{rest}",
            "Restore these: what they would show is unknown meanwhile.",
        )
    elif cluster.sources:
        yield Check("sources", "ok", f"all {len(cluster.sources)} could be read")


def _policy_kinds(cluster: Cluster) -> Iterator[Check]:
    if cluster.served is None:
        yield Check(
            "policy-kinds",
            "unknown",
            "not seen which policy kinds are served",
            "`kubectl api-resources --api-group=security.kubearmor.com`",
        )
        return
    absent = [resource for resource in POLICY_KINDS if resource not in cluster.served]
    wanted = [resource for resource in absent if _is_wanted(resource, cluster)]
    found = f"served: {', '.join(sorted(cluster.served & POLICY_KINDS.keys())) or 'none'}"
    if wanted:
        yield Check(
            "policy-kinds",
            "problem" if "kubearmorpolicies" in wanted else "warning",
            f"{found}; missing: {', '.join(wanted)}",
            "Install KubeArmor's CustomResourceDefinitions, then restart the daemons: what they "
            "did not find at their start they never watch.",
        )
    else:
        yield Check("policy-kinds", "ok", found)


def _is_wanted(resource: str, cluster: Cluster) -> bool:
    """Whether a release that runs here watches the kind."""
    since = SINCE.get(resource)
    if since is None:
        return True
    versions = [parse(daemon.release or "") for daemon in cluster.daemons]
    return any(version is not None and version >= since for version in versions)


def _health(cluster: Cluster) -> Iterator[Check]:
    if not cluster.health:
        return
    serving = [probe for probe in cluster.health if not probe.failure]
    starting = [probe.name for probe in cluster.health if probe.failure == "starting"]
    unreached = [probe for probe in cluster.health if probe.failure not in ("", "starting")]
    found = f"{len(serving)} of {len(cluster.health)} daemons serve their feeds"
    if starting:
        yield Check(
            "health-service",
            "warning",
            f"{found}; not yet: {some(starting)}",
            "Look again in a minute; a daemon that stays so waits for kinds, rights or the API.",
        )
    elif unreached:
        reason = f"{unreached[0].name}: {unreached[0].failure}"
        yield Check(
            "health-service",
            "unknown",
            f"{found}; not reachable from here: {some(probe.name for probe in unreached)} "
            f"({reason})",
            "Nothing if this is not run inside the cluster: the port is 32766 from v1.7.4 on, "
            "32767 before.",
        )
    else:
        yield Check("health-service", "ok", found)


def _certificates(cluster: Cluster) -> Iterator[Check]:
    if not cluster.certificates:
        return
    unread = [one for one in cluster.certificates if one.until is None]
    dated = sorted((one.until, one.name) for one in cluster.certificates if one.until is not None)
    over = [_left(until - cluster.at, name) for until, name in dated if until <= cluster.at]
    soon = [
        _left(until - cluster.at, name)
        for until, name in dated
        if 0 < until - cluster.at <= SOON_SECONDS
    ]
    remedy = (
        "Renew them: KubeArmor's authority lives one year, and when it is over the relay and the "
        "monitor see nothing any more, while policies stay in force."
    )
    if over:
        yield Check("certificates", "problem", "; ".join((*over, *soon)), remedy)
    elif soon:
        yield Check("certificates", "warning", "; ".join(soon), remedy)
    elif unread:
        yield Check("certificates", "unknown", _unread(unread), "See kubearmor.tls and its files.")
    else:
        until, name = dated[0]
        yield Check("certificates", "ok", f"the first to end: {_left(until - cluster.at, name)}")


def _left(seconds: float, name: str) -> str:
    days = seconds / 86400
    return f"{name} ended {-days:.0f} days ago" if days <= 0 else f"{name} ends in {days:.0f} days"


def _unread(certificates: list[Certificate]) -> str:
    named = some(f"{one.name} ({one.failure})" for one in certificates)
    return f"could not be read: {named}"


CHECKS = (
    _api,
    _throttling,
    _permissions,
    _sources,
    _policy_kinds,
    _health,
    _certificates,
)
