"""Clusters as the API describes them: realistic answers for the board to show."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from monitor.core.causes import FINDINGS

Json = dict[str, Any]

AT = "2026-11-23T21:28:09.614020Z"
CLUSTER_POLICY = "block-pkg-mgr"
NODE_OF = {"2whmv": "node-a", "5758b": "node-b", "kk7wg": "node-a"}


@dataclass
class World:
    """What the API answers; lists are paged and filtered by the fake server."""

    at: str = AT
    cluster: str = "rig"
    containers: list[Json] = field(default_factory=list)
    gaps: list[Json] = field(default_factory=list)
    incidents: list[Json] = field(default_factory=list)
    findings: list[Json] = field(default_factory=list)
    nodes: list[Json] = field(default_factory=list)
    sources: list[Json] = field(default_factory=list)
    demo: Json | None = None


def pair(
    *,
    verdict: str,
    name: str = CLUSTER_POLICY,
    kind: str = "KubeArmorClusterPolicy",
    namespace: str = "",
    cause: str | None = None,
    since: str = "2026-11-23T21:28:01.000000Z",
    grade: str | None = None,
    delay: list[float] | None = None,
    reasons: tuple[tuple[str, str], ...] = (),
) -> Json:
    return {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "generation": 1,
        "expected": True,
        "predicted": cause != "namespace-newer-than-policy",
        "verdict": verdict,
        "grade": grade,
        "cause": cause,
        "since": [since, since.replace(".000000Z", ".999999Z")],
        "delaySeconds": delay,
        "rulesWithoutKernelForm": 0,
        "reasons": [{"cause": cause, "evidence": evidence} for cause, evidence in reasons],
    }


def host_pair(name: str, *, verdict: str, cause: str | None = None) -> Json:
    grade = "inferred" if verdict == "covered" else None
    return pair(kind="KubeArmorHostPolicy", name=name, verdict=verdict, cause=cause, grade=grade)


def finding(
    code: str, subject: str, *, detail: str, remedy: str | None = None, since: str | None = None
) -> Json:
    kind = FINDINGS.get(code)
    moment = since or "2026-11-23T21:25:40.000000Z"
    return {
        "id": hashlib.sha256(f"{code} {subject}".encode()).hexdigest(),
        "state": "open",
        "code": code,
        "kind": kind.kind if kind else "intent",
        "subject": subject,
        "since": [moment, moment],
        "detail": detail,
        "remedy": remedy or (kind.remedy if kind else ""),
    }


def container(
    *,
    namespace: str,
    pod: str,
    node: str,
    verdict: str,
    name: str = "nginx",
    cause: str | None = None,
    policies: list[Json] | None = None,
    exposure: tuple[float, float] = (0.0, 0.0),
    kind: str = "container",
) -> Json:
    return {
        "node": node,
        "namespace": namespace,
        "pod": pod,
        "podUid": f"uid-of-{namespace}-{pod}",
        "container": name,
        "containerId": hashlib.sha256(f"{namespace}/{pod}/{name}".encode()).hexdigest(),
        "kind": kind,
        "verdict": verdict,
        "cause": cause,
        "policies": policies or [],
        "exposureSeconds": list(exposure),
    }


def node(
    name: str, *, release: str | None = "v1.5.7", verdict: str = "covered", **other: object
) -> Json:
    return {
        "node": name,
        "daemon": {"pod": f"kubearmor/kubearmor-{name[-1]}q4tw", "podUid": name, "restart": 0},
        "release": release,
        "enforcer": "BPFLSM",
        "clockOffsetSeconds": [-0.2, 0.011],
        "verdict": verdict,
        "cause": None,
        "policies": [],
        **other,
    }


def source(name: str, *, state: str = "up", reason: str = "", since: str = AT) -> Json:
    outages: list[list[str | None]] = [
        ["2026-11-23T21:27:36.213593Z", "2026-11-23T21:27:36.238272Z"]
    ]
    if state == "down":
        outages.append([since, None])
    return {"name": name, "state": state, "reason": reason, "since": since, "outages": outages}


RESOURCES = (
    "pods",
    "namespaces",
    "nodes",
    "daemonsets",
    "configmaps",
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "kubearmornetworkpolicies",
)


def sources(*nodes: str, down: tuple[str, ...] = ()) -> list[Json]:
    names = [f"kubernetes/{resource}" for resource in RESOURCES]
    names += [f"text/{name}" for name in nodes] + ["alerts/relay", "logs/relay", "messages/relay"]
    return [
        source(name, state="down", reason="connection refused", since="2026-11-23T21:27:58.400000Z")
        if name in down
        else source(name)
        for name in names
    ]


def _missed(pod: str) -> Json:
    cause = "namespace-newer-than-policy"
    return container(
        namespace="team-b",
        pod=f"nginx-85f7d4dd78-{pod}",
        node=NODE_OF[pod],
        verdict="gap",
        cause=cause,
        policies=[pair(verdict="gap", cause=cause)],
        exposure=(7.614, 8.614),
    )


def _reached(pod: str, *, node_name: str) -> Json:
    applied = pair(verdict="covered", grade="proven", delay=[0.412, 1.412])
    return container(
        namespace="shop-front",
        pod=f"nginx-85f7d4dd78-{pod}",
        node=node_name,
        verdict="covered",
        policies=[applied],
        exposure=(18.3, 19.3),
    )


REMEDY = (
    "Upgrade KubeArmor to v1.6.0 or later: it is corrected there (the roll-out restarts each "
    "node's daemon once and leaves that node unprotected for seconds). Until then touch the policy "
    "after creating a namespace, which costs no protection: `kubectl annotate "
    'kubearmorclusterpolicy NAME kubearmor-monitor/touched="$(date +%s)" --overwrite`. Restarting '
    "the daemons heals too, at the price of seconds without protection per node."
)


def seed() -> World:
    """A namespace created after the cluster policy, with daemons of v1.5.7."""
    incident = {
        "id": "0d5b2f",
        "state": "open",
        "severity": "page",
        "cause": "namespace-newer-than-policy",
        "scope": f"KubeArmorClusterPolicy/{CLUSTER_POLICY}@v1.5.7",
        "release": "v1.5.7",
        "containers": 3,
        "affected": 3,
        "since": ["2026-11-23T21:28:01.000000Z", "2026-11-23T21:28:02.000000Z"],
        "until": None,
        "remedy": REMEDY,
    }
    kubearmor = [
        container(
            namespace="kubearmor",
            pod=f"kubearmor-{name[-1]}q4tw",
            node=name,
            name="kubearmor",
            verdict="exempt",
            cause="untracked-namespace",
            policies=[pair(verdict="exempt", cause="untracked-namespace")],
        )
        for name in ("node-a", "node-b")
    ]
    return World(
        containers=[
            *kubearmor,
            _reached("gk6wm", node_name="node-a"),
            _reached("phrk2", node_name="node-b"),
            *(_missed(pod) for pod in NODE_OF),
        ],
        incidents=[incident],
        nodes=[node("node-a"), node("node-b")],
        sources=sources("node-a", "node-b"),
        demo={"state": "holding", "text": "Held where the new namespace is uncovered."},
    )


def puzzling() -> World:
    """A gap that two causes fit, each with what shows it."""
    cause = "mode-not-retroactive"
    switched = (
        "the Pod's annotation was changed to enabled at 2026-11-23T21:28:00Z, and the daemon has "
        "not pushed this container's rules since"
    )
    reasons = (
        (cause, switched),
        ("partial-refresh", "after the Pod's change the daemon pushed the rules of `app` only"),
    )
    return World(
        containers=[
            container(
                namespace="mesh",
                pod="cart-0",
                node="node-a",
                name="proxy",
                verdict="gap",
                cause=cause,
                policies=[pair(verdict="gap", cause=cause, reasons=reasons)],
                exposure=(9.614, 10.614),
            )
        ],
        nodes=[node("node-a", release="v1.7.4")],
        sources=sources("node-a"),
    )


def healed() -> World:
    """The seed case after a restart of KubeArmor."""
    world = seed()
    covered = [
        {
            **found,
            "verdict": "covered",
            "cause": None,
            "policies": [pair(verdict="covered", grade="applied")],
        }
        if found["verdict"] == "gap"
        else found
        for found in world.containers
    ]
    closed = [{**incident, "state": "closed", "until": [AT, AT]} for incident in world.incidents]
    return World(
        at="2026-11-23T21:28:29.000000Z",
        containers=covered,
        incidents=closed,
        nodes=world.nodes,
        sources=world.sources,
        demo={"state": "finished", "text": "The recording is over."},
    )


def empty() -> World:
    """A cluster in which nothing runs yet."""
    return World()


HOSTILE = '<img src=x onerror="document.title=1"><script>window.broken=1</script>'


def hostile() -> World:
    """Names that would be markup if they were not shown as text."""
    bad = container(
        namespace=HOSTILE,
        pod=HOSTILE,
        node=HOSTILE,
        name=HOSTILE,
        verdict="gap",
        cause=HOSTILE,
        policies=[
            pair(verdict="gap", name=HOSTILE, cause=HOSTILE, reasons=((HOSTILE, HOSTILE),)),
        ],
    )
    incident = {**seed().incidents[0], "scope": HOSTILE, "remedy": HOSTILE, "cause": HOSTILE}
    return World(
        cluster=HOSTILE,
        containers=[bad],
        incidents=[incident],
        findings=[finding(HOSTILE, HOSTILE, detail=HOSTILE, remedy=HOSTILE)],
        nodes=[node(HOSTILE, policies=[host_pair(HOSTILE, verdict="gap", cause=HOSTILE)])],
        sources=[source(f"text/{HOSTILE}", state="down", reason=HOSTILE)],
    )


BRACKETS = (
    "KubeArmor drops the first and the last character of a container list and splits the rest at "
    "commas: it reads `nginx` as the containers `gin` only. Write plain names between brackets."
)
HANDLED_TOGETHER = (
    "KubeArmorClusterPolicy block-pkg-mgr and KubeArmorPolicy payments/ledger-files were handled "
    "at the same moment: one may have undone what the other wrote."
)


def findings() -> list[Json]:
    """Of every nature; one kind of which there are many, and one whose remedy has two wordings."""
    attaches = "attaches it to shop-front/nginx-85f7d4dd78-gk6wm."
    return [
        finding("lost-update", "payments/ledger-0/ledger", detail=HANDLED_TOGETHER),
        *(
            finding(
                "name-collision",
                f"KubeArmorPolicy team-{number:02d}/default",
                detail="KubeArmorClusterPolicy default bears the same name.",
            )
            for number in range(12)
        ),
        finding(
            "over-match",
            "KubeArmorClusterPolicy audit-all",
            detail=f"v1.5.4 {attaches}",
            remedy="Upgrade to v1.6.0 or later.",
        ),
        finding("over-match", "KubeArmorPolicy shop-front/labelled", detail=f"v1.6.2 {attaches}"),
        finding("selector-mistake", "KubeArmorPolicy shop-front/brackets", detail=BRACKETS),
        finding(
            "stale-policy",
            "KubeArmorPolicy payments/deny-shell",
            detail="It was deleted, and the daemon of node-a never said so.",
        ),
    ]


def unprotected_hosts() -> World:
    """Every container is protected, and a node is not by two of its policies."""
    world = healed()
    cause = "host-policy-inactive"
    policies = [
        host_pair("host-audit-ssh", verdict="covered"),
        host_pair("host-block-mount", verdict="gap", cause=cause),
        host_pair("host-block-ptrace", verdict="gap", cause=cause),
    ]
    return World(
        at=world.at,
        containers=world.containers,
        nodes=[
            node("node-a", policies=[host_pair("host-audit-ssh", verdict="covered")]),
            node("node-b", verdict="gap", cause=cause, policies=policies),
        ],
        sources=world.sources,
    )


def busy() -> World:
    """A cluster of every verdict, with a node down, a blind source and more than one page."""
    lost = [
        container(
            namespace="payments",
            pod=f"ledger-{number}",
            node="node-c",
            name="ledger",
            verdict="lost",
            cause="daemon-down",
            policies=[
                pair(verdict="lost", cause="daemon-down", since="2026-11-23T21:20:40.000000Z"),
                pair(
                    verdict="lost",
                    cause="daemon-down",
                    name="ledger-files",
                    kind="KubeArmorPolicy",
                    namespace="payments",
                    since="2026-11-23T21:20:40.000000Z",
                ),
            ],
            exposure=(449.614, 449.9),
        )
        for number in range(4)
    ]
    unknown = container(
        namespace="batch",
        pod="report-28914",
        node="node-d",
        name="report",
        verdict="unknown",
        cause="source-outage",
        policies=[pair(verdict="unknown", cause="source-outage")],
    )
    pending = container(
        namespace="batch",
        pod="report-28915",
        node="node-a",
        name="report",
        verdict="pending",
        policies=[pair(verdict="pending")],
        exposure=(1.2, 2.2),
    )
    init = container(
        namespace="shop-front",
        pod="nginx-85f7d4dd78-gk6wm",
        node="node-a",
        name="prepare",
        verdict="unsupported",
        cause="init-container",
        policies=[pair(verdict="unsupported", cause="init-container")],
        kind="init",
    )
    many = [_reached(f"{number:05d}", node_name="node-b") for number in range(120)]
    incident = {
        "id": "77aa01",
        "state": "open",
        "severity": "page",
        "cause": "daemon-down",
        "scope": "node/node-c",
        "release": None,
        "containers": 4,
        "affected": 6,
        "since": ["2026-11-23T21:20:40.000000Z", "2026-11-23T21:20:41.000000Z"],
        "until": None,
        "remedy": (
            "Read why it stopped: `kubectl -n kubearmor describe pod POD`, and `kubectl -n "
            "kubearmor logs POD --previous`. Killed for memory: raise its limit."
        ),
    }
    world = seed()
    unpoliced = container(namespace="tools", pod="shell-0", node="node-a", verdict="unpoliced")
    return World(
        cluster="production-eu",
        containers=[*lost, unknown, pending, init, unpoliced, *world.containers, *many],
        incidents=[*world.incidents, incident],
        findings=findings(),
        nodes=[
            *world.nodes,
            node(
                "node-c",
                verdict="lost",
                cause="daemon-down",
                policies=[
                    host_pair(f"host-{what}", verdict="lost", cause="daemon-down")
                    for what in ("audit-ssh", "block-mount", "block-ptrace", "no-raw-sockets")
                ],
            ),
            node("node-d", release=None, verdict="unknown", cause="no-evidence-source"),
            node(
                "node-e",
                daemon=None,
                release=None,
                enforcer=None,
                verdict="gap",
                cause="daemon-absent",
            ),
        ],
        sources=sources(
            "node-a", "node-b", "node-c", "node-d", down=("text/node-d", "alerts/relay")
        ),
    )
