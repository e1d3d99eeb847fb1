"""Stories: what happens in a small cluster, in a few lines, told to the judgement as a replay does.

A story has a clock in seconds (its zero is `ZERO`), which only `wait` and `until` turn: every
deadline on the way fires at its own instant. What is said of a node's daemon is said in its own
words, through the translation of real lines.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from monitor.core.coverage import Coverage, Settings
from monitor.core.kubernetes import POLICY_KINDS, TYPES, Object, Resource
from monitor.core.model import (
    Announcement,
    Changed,
    ContainerCoverage,
    Gap,
    HealthAnswered,
    Incident,
    Listed,
    Observation,
    PairState,
    Report,
    SourceDown,
    SourceUp,
)
from monitor.wire import kubearmor
from monitor.wire.daemon_text import read_line

ZERO: Final = 1_767_225_600.0
DAY: Final = 86_400.0
RESOURCES: Final[tuple[Resource, ...]] = (
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
FEEDS: Final = ("alerts/relay", "logs/relay", "messages/relay")
COLOURS: Final = {"INFO": 34, "WARN": 33, "ERROR": 31}
VISIBLE: Final = "{File:true Process:true Network:true Capabilities:true}"

BLOCK_APT: Final[Mapping[str, Any]] = {
    "process": {"matchPaths": [{"path": "/usr/bin/apt"}]},
    "action": "Block",
}
BLOCK_YUM: Final[Mapping[str, Any]] = {
    "process": {"matchPaths": [{"path": "/usr/bin/yum"}]},
    "action": "Block",
}
AUDIT_APT: Final[Mapping[str, Any]] = {**BLOCK_APT, "action": "Audit"}
BLOCK_PATTERN: Final[Mapping[str, Any]] = {
    "process": {"matchPatterns": [{"pattern": "/usr/bin/ap*"}]},
    "action": "Block",
}

RESOURCE_OF: Final[Mapping[str, Resource]] = {
    kind: msgspec.convert(name, Resource) for name, kind in POLICY_KINDS.items()
}
TITLES: Final = {
    "KubeArmorPolicy": "Security Policy",
    "KubeArmorClusterPolicy": "Cluster Security Policy",
    "KubeArmorHostPolicy": "Host Security Policy",
    "KubeArmorNetworkPolicy": "Network Security Policy",
}

Action: TypeAlias = Literal["added", "modified", "deleted"]
Event: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


def iso(instant: float) -> str:
    """As Kubernetes writes a time: whole seconds."""
    return datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hexadecimal(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def namespaces_of(identity: str) -> str:
    """The kernel's namespaces of a container, as a daemon prints them."""
    first = 0xF000_0000 + 2 * int(identity[:6], 16)
    return f"pidns={first}/mntns={first + 1}"


class PolicyOf:
    """A policy as it stands on the API server."""

    def __init__(self, *, kind: str, namespace: str, name: str, spec: dict[str, Any]) -> None:
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.spec = spec
        self.uid = ""
        self.generation = 1
        self.created = 0.0

    @property
    def resource(self) -> Resource:
        return RESOURCE_OF[self.kind]

    @property
    def title(self) -> str:
        """What a daemon's line calls it."""
        return TITLES[self.kind]

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class PodOf:
    """A Pod as it stands on the API server; `containers` maps names to ids, dead ones left out."""

    def __init__(self, *, namespace: str, name: str, node: str, uid: str, created: float) -> None:
        self.namespace = namespace
        self.name = name
        self.node = node
        self.uid = uid
        self.created = created
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.spec: dict[str, Any] = {}
        self.owner: dict[str, Any] | None = None
        self.deleting: str | None = None
        self.containers: dict[str, str] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.fields: dict[str, str] = {}

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def id(self) -> str:
        """The id of its first container."""
        return next(iter(self.containers.values()))

    def ids(self, container: str | None) -> list[str]:
        return [self.containers[container]] if container else list(self.containers.values())


class DaemonOf:
    """One incarnation of a node's daemon: a life of its Pod's container."""

    def __init__(self, *, pod: PodOf, restart: int, release: str) -> None:
        self.pod = pod
        self.restart = restart
        self.release = release
        self.last_stamp = 0
        self.lines: list[bytes] = []


class DaemonSetOf:
    """KubeArmor's DaemonSet: the template that its controller makes Pods of, and how far it is.

    `numbered`: whether templates are counted on it and on its Pods, as the API server does.
    """

    def __init__(self, *, uid: str, name: str, template: str, numbered: bool) -> None:
        self.uid = uid
        self.name = name
        self.template = template
        self.numbered = numbered
        self.generation = 1
        self.observed = 1

    @property
    def labels(self) -> dict[str, str]:
        """What the controller writes on the Pods that it makes of the template."""
        number = {"pod-template-generation": str(self.generation)} if self.numbered else {}
        return {"controller-revision-hash": self.template, **number}

    @property
    def annotations(self) -> dict[str, str]:
        name = "deprecated.daemonset.template.generation"
        return {name: str(self.generation)} if self.numbered else {}


class Story:
    """A cluster, its monitor's sources and its clock."""

    def __init__(self, *, started: float = -60.0, settings: Settings | None = None) -> None:
        self.now = ZERO + started
        self.core = Coverage(settings=settings or Settings(cluster="tale"), started=self.now)
        self.history: list[tuple[float, Observation]] = []
        self.announced: list[Announcement] = []
        self.daemons: dict[str, DaemonOf] = {}
        self.daemon_set: DaemonSetOf | None = None
        self.policies: list[PolicyOf] = []
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.objects: dict[Resource, dict[str, dict[str, Any]]] = {name: {} for name in RESOURCES}
        self.unheard: set[str] = set()
        self.pods: list[PodOf] = []
        self.skews: dict[str, float] = {}
        self.protects_hosts = False
        self.api_clock_ahead = 0.0
        self._version = 100
        self._uids = 0

    # --- the clock ------------------------------------------------------------------------------

    @property
    def second(self) -> float:
        return self.now - ZERO

    def clock(self, node: str) -> float:
        """What that node's clock says: `skews` has by how much each is ahead."""
        return self.now + self.skews.get(node, 0.0)

    def wait(self, seconds: float) -> None:
        """Let time pass; deadlines fire at their own instants."""
        self.until(self.second + seconds)

    def until(self, second: float) -> None:
        """Let time pass until that second of the story."""
        end = ZERO + second
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.announced.extend(self.core.tick(self.now))
            following = self.core.next_deadline()
            assert following is None or following > self.now
        self.now = max(self.now, end)

    def observe(self, observation: Observation, *, at: float | None = None) -> None:
        instant = self.now if at is None else at
        self.history.append((instant, observation))
        self.announced.extend(self.core.observe(observation, instant))

    # --- sources --------------------------------------------------------------------------------

    def up(self, *names: str, reason: str = "connected") -> None:
        """Sources can be read again; a resource is listed at once."""
        for name in names:
            self.unheard.discard(name)
            self.observe(SourceUp(name, reason))
            kind, _, resource = name.partition("/")
            if kind == "kubernetes":
                self.relist(msgspec.convert(resource, Resource))

    def down(self, *names: str, reason: str = "stream ended") -> None:
        """Sources cannot be read: what happens there from now on goes unheard."""
        for name in names:
            self.unheard.add(name)
            self.observe(SourceDown(name, reason))

    def relist(self, resource: Resource) -> None:
        kind = TYPES[resource]
        items = [msgspec.convert(item, kind) for item in self.objects[resource].values()]
        self.observe(Listed(resource, tuple(items)))

    def resend(self, node: str = "node-a", *, former: DaemonOf | None = None) -> None:
        """The whole log of that node's daemon, or of a former one, comes once more."""
        daemon = former or self.daemons[node]
        for raw in daemon.lines:
            self._hear(daemon, raw, node=node)

    # --- objects --------------------------------------------------------------------------------

    def uid(self, name: str) -> str:
        self._uids += 1
        return f"{name}-{self._uids:04d}"

    def change(self, resource: Resource, event: Event, item: dict[str, Any]) -> None:
        """An object is so from now on; its watch event, if that resource is being read."""
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        stored: Object = msgspec.convert(item, TYPES[resource])
        if event == "DELETED":
            self.objects[resource].pop(item["metadata"]["uid"], None)
        else:
            self.objects[resource][item["metadata"]["uid"]] = item
        if f"kubernetes/{resource}" not in self.unheard:
            self.observe(Changed(resource, event, stored))

    def namespace(self, name: str, *, age: float = 0.0) -> None:
        metadata = {
            "uid": self.uid(name),
            "name": name,
            "creationTimestamp": iso(self.now - age),
        }
        self.namespaces[name] = metadata
        self.change("namespaces", "ADDED", {"metadata": metadata})

    def annotate_namespace(self, name: str, **annotations: str) -> None:
        metadata = self.namespaces[name] = {**self.namespaces[name], "annotations": annotations}
        self.change("namespaces", "MODIFIED", {"metadata": metadata})

    def node(self, name: str = "node-a", *, system: str = "linux") -> None:
        labels = {"kubernetes.io/os": system, "kubernetes.io/hostname": name}
        metadata = {"uid": self.uid(name), "name": name, "labels": labels}
        status = {"nodeInfo": {"operatingSystem": system, "kubeletVersion": "v1.34.4"}}
        self.change("nodes", "ADDED", {"metadata": metadata, "status": status})

    def remark(self, name: str = "node-a", *, mode: str | None = None, **labels: str) -> None:
        """The node bears these labels from now on, and that annotation for host policies."""
        (known,) = [n for n in self.objects["nodes"].values() if n["metadata"]["name"] == name]
        own = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
        annotations = {} if mode is None else {"kubearmor-policy": mode}
        metadata = {**known["metadata"], "labels": own | labels, "annotations": annotations}
        self.change("nodes", "MODIFIED", {**known, "metadata": metadata})

    def address_node(self, name: str, address: str) -> None:
        (known,) = [n for n in self.objects["nodes"].values() if n["metadata"]["name"] == name]
        addresses = [{"type": "InternalIP", "address": address}]
        self.change(
            "nodes", "MODIFIED", {**known, "status": known["status"] | {"addresses": addresses}}
        )

    def configure(self, **settings: str) -> None:
        """The settings of KubeArmor's config map."""
        event: Event = "MODIFIED" if self.objects["configmaps"] else "ADDED"
        metadata = {"uid": "config", "name": "kubearmor-config", "namespace": "kubearmor"}
        self.change("configmaps", event, {"metadata": metadata, "data": settings})

    # --- policies -------------------------------------------------------------------------------

    def cluster_policy(
        self,
        name: str = "block-apt",
        *,
        not_in: Sequence[str] = ("kube-system",),
        only_in: Sequence[str] = (),
        rules: Mapping[str, Any] = BLOCK_APT,
    ) -> PolicyOf:
        expressions = [
            {"key": "namespace", "operator": operator, "values": list(values)}
            for operator, values in (("In", only_in), ("NotIn", not_in))
            if values
        ]
        spec = {"selector": {"matchExpressions": expressions}, **rules}
        return self._create_policy(
            PolicyOf(kind="KubeArmorClusterPolicy", namespace="", name=name, spec=spec)
        )

    def policy(
        self,
        name: str = "block-apt",
        *,
        namespace: str = "shop",
        labels: Mapping[str, str] | None = None,
        rules: Mapping[str, Any] = BLOCK_APT,
    ) -> PolicyOf:
        spec = {"selector": {"matchLabels": dict(labels or {})}, **rules}
        return self._create_policy(
            PolicyOf(kind="KubeArmorPolicy", namespace=namespace, name=name, spec=spec)
        )

    def host_policy(
        self,
        name: str = "guard",
        *,
        nodes: Mapping[str, str] | None = None,
        rules: Mapping[str, Any] = BLOCK_APT,
    ) -> PolicyOf:
        """A policy for hosts; unless told otherwise it selects all nodes that run Linux."""
        labels = {"kubernetes.io/os": "linux"} if nodes is None else dict(nodes)
        spec = {"nodeSelector": {"matchLabels": labels}, **rules}
        return self._create_policy(
            PolicyOf(kind="KubeArmorHostPolicy", namespace="", name=name, spec=spec)
        )

    def network_policy(
        self,
        name: str = "fence",
        *,
        nodes: Mapping[str, str] | None = None,
        pods: Mapping[str, str] | None = None,
    ) -> PolicyOf:
        spec: dict[str, Any] = {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}
        if nodes is not None:
            spec["nodeSelector"] = {"matchLabels": dict(nodes)}
        if pods is not None:
            spec["selector"] = {"matchLabels": dict(pods)}
        return self._create_policy(
            PolicyOf(kind="KubeArmorNetworkPolicy", namespace="", name=name, spec=spec)
        )

    def _create_policy(self, policy: PolicyOf) -> PolicyOf:
        policy.uid, policy.created = self.uid(policy.name), self.now + self.api_clock_ahead
        self.policies.append(policy)
        self._tell_policy("ADDED", policy)
        return policy

    def touch(self, policy: PolicyOf) -> None:
        """A change of its metadata only."""
        self._tell_policy("MODIFIED", policy)

    def keep_touching(self, policy: PolicyOf, pod: PodOf, *, times: int) -> None:
        """Something changes its annotations again and again; each time the Pod is pushed."""
        for _ in range(times):
            self.touch(policy)
            self.learn(policy, action="modified")
            self.intend(pod)
            self.wait(0.1)

    def edit(self, policy: PolicyOf, rules: Mapping[str, Any] = BLOCK_YUM) -> None:
        """A new revision."""
        selectors = {k: v for k, v in policy.spec.items() if k in {"selector", "nodeSelector"}}
        policy.spec = {**selectors, **rules}
        policy.generation += 1
        self._tell_policy("MODIFIED", policy)

    def remove(self, policy: PolicyOf) -> None:
        self.policies.remove(policy)
        self._tell_policy("DELETED", policy)

    def create_again(self, policy: PolicyOf) -> None:
        policy.generation = 1
        self._create_policy(policy)

    def _tell_policy(self, event: Event, policy: PolicyOf) -> None:
        metadata = {
            "uid": policy.uid,
            "name": policy.name,
            "generation": policy.generation,
            "creationTimestamp": iso(policy.created),
        }
        if policy.namespace:
            metadata["namespace"] = policy.namespace
        self.change(policy.resource, event, {"metadata": metadata, "spec": policy.spec})

    # --- Pods -----------------------------------------------------------------------------------

    def pod(
        self,
        name: str = "cart",
        *,
        namespace: str = "shop",
        node: str = "node-a",
        containers: Sequence[str] = ("app",),
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        owner: Mapping[str, Any] | None = None,
        field: str = "containerStatuses",
        running: bool = True,
    ) -> PodOf:
        """A Pod on a node; unless told otherwise its containers run from now on."""
        pod = PodOf(namespace=namespace, name=name, node=node, uid=self.uid(name), created=self.now)
        pod.labels, pod.annotations = dict(labels or {}), dict(annotations or {})
        pod.spec = dict(spec or {})
        pod.owner = dict(owner) if owner else None
        for container in containers:
            pod.fields[container] = field
            if running:
                self._run(pod, container)
        self.pods.append(pod)
        self._tell_pod("ADDED", pod)
        return pod

    def start(self, pod: PodOf, *containers: str) -> None:
        """Containers run from now on, and the kubelet says so."""
        for container in containers or pod.fields:
            self._run(pod, container)
        self._tell_pod("MODIFIED", pod)

    def _run(self, pod: PodOf, container: str, *, restart: int = 0) -> None:
        pod.containers[container] = hexadecimal(pod.uid, container, restart)
        pod.states[container] = {
            "name": container,
            "containerID": f"containerd://{pod.containers[container]}",
            "restartCount": restart,
            "state": {"running": {"startedAt": iso(self.now)}},
        }

    def stop(self, pod: PodOf, container: str = "app") -> None:
        """The container has ended, just now."""
        status = pod.states[container]
        status["state"] = {"terminated": self._terminated(status)}
        pod.containers.pop(container)
        self._tell_pod("MODIFIED", pod)

    def restart(self, pod: PodOf, container: str = "app") -> str:
        """The container has ended and the next one runs; return the id of the one that ended."""
        former = pod.states[container]
        former_id = pod.containers[container]
        self._run(pod, container, restart=former["restartCount"] + 1)
        pod.states[container]["lastState"] = {"terminated": self._terminated(former)}
        self._tell_pod("MODIFIED", pod)
        return former_id

    def _terminated(self, status: Mapping[str, Any]) -> dict[str, Any]:
        running = status["state"]["running"]
        return {
            "startedAt": running["startedAt"],
            "finishedAt": iso(self.now),
            "containerID": status["containerID"],
        }

    def relabel(self, pod: PodOf, **labels: str) -> None:
        pod.labels = labels
        self._tell_pod("MODIFIED", pod)

    def annotate(self, pod: PodOf, **annotations: str) -> None:
        """`kubearmor_policy="audited"` and the like."""
        pod.annotations = {key.replace("_", "-"): value for key, value in annotations.items()}
        self._tell_pod("MODIFIED", pod)

    def terminate(self, pod: PodOf) -> None:
        """Someone deleted the Pod; its containers still run."""
        pod.deleting = iso(self.now + 30)
        self._tell_pod("MODIFIED", pod)

    def delete(self, pod: PodOf) -> None:
        """The Pod is gone."""
        self.pods.remove(pod)
        self._tell_pod("DELETED", pod)

    def _tell_pod(self, event: Event, pod: PodOf) -> None:
        metadata = {
            "uid": pod.uid,
            "name": pod.name,
            "namespace": pod.namespace,
            "creationTimestamp": iso(pod.created),
            "deletionTimestamp": pod.deleting,
            "labels": dict(pod.labels),
            "annotations": dict(pod.annotations),
            "ownerReferences": [pod.owner] if pod.owner else None,
        }
        status: dict[str, list[dict[str, Any]]] = {}
        for container, state in pod.states.items():
            status.setdefault(pod.fields[container], []).append(msgspec.to_builtins(state))
        spec = {"nodeName": pod.node, **pod.spec}
        self.change("pods", event, {"metadata": metadata, "spec": spec, "status": status})

    # --- daemons --------------------------------------------------------------------------------

    def deploy(
        self, *, name: str = "kubearmor", template: str = "first", numbered: bool = True
    ) -> None:
        """A DaemonSet of KubeArmor is created; the daemons that come from now on are its Pods."""
        self.daemon_set = DaemonSetOf(
            uid=self.uid(name), name=name, template=template, numbered=numbered
        )
        self._tell_daemon_set("ADDED")

    def roll(self, template: str) -> None:
        """The DaemonSet has another template, and its controller has seen it."""
        assert self.daemon_set is not None
        self.daemon_set.template = template
        self.daemon_set.generation += 1
        self._tell_daemon_set("MODIFIED")
        self.daemon_set.observed += 1
        self._tell_daemon_set("MODIFIED")

    def _tell_daemon_set(self, event: Event) -> None:
        found = self.daemon_set
        assert found is not None
        metadata = {
            "uid": found.uid,
            "name": found.name,
            "namespace": "kubearmor",
            "generation": found.generation,
            "annotations": found.annotations,
        }
        pods = [
            pod["metadata"]["labels"]
            for pod in self.objects["pods"].values()
            if pod["metadata"]["labels"].get("kubearmor-app") == "kubearmor"
        ]
        updated = [one for one in pods if one.items() >= found.labels.items()]
        status = {
            "observedGeneration": found.observed,
            "desiredNumberScheduled": len(self.objects["nodes"]),
            "updatedNumberScheduled": len(updated),
        }
        self.change("daemonsets", event, {"metadata": metadata, "status": status})

    def daemon(
        self,
        node: str = "node-a",
        *,
        release: str = "v1.7.4",
        tag: str | None = None,
        running: bool = True,
    ) -> DaemonOf:
        """A daemon's Pod on the node; its output can be read if its node's is."""
        owner = None
        if self.daemon_set is not None:
            owner = {"kind": "DaemonSet", "name": self.daemon_set.name, "controller": True}
        image = f"kubearmor/kubearmor:{tag or release}"
        pod = self.pod(
            f"kubearmor-{node}-{self._uids}",
            namespace="kubearmor",
            node=node,
            containers=("kubearmor",),
            labels={
                "kubearmor-app": "kubearmor",
                **(self.daemon_set.labels if self.daemon_set else {}),
            },
            spec={"containers": [{"name": "kubearmor", "image": image}]},
            owner=owner,
            running=running,
        )
        self.daemons[node] = DaemonOf(pod=pod, restart=0, release=release)
        if self.daemon_set is not None:
            self._tell_daemon_set("MODIFIED")
        return self.daemons[node]

    def kill(self, node: str = "node-a") -> None:
        """The daemon's container has ended; its Pod stays."""
        self.stop(self.daemons[node].pod, "kubearmor")

    def recreate(self, node: str = "node-a") -> None:
        """The runtime has made the killed daemon's next container and not started it yet."""
        before = self.daemons[node]
        states = before.pod.states
        ended = states["kubearmor"]
        states["kubearmor"] = {
            **ended,
            "containerID": "containerd://next",
            "restartCount": before.restart + 1,
            "state": {"waiting": {}},
            "lastState": ended["state"],
        }
        self._tell_pod("MODIFIED", before.pod)
        states["kubearmor"] = ended

    def revive(self, node: str = "node-a") -> DaemonOf:
        """The killed daemon's container runs again, in the same Pod."""
        before = self.daemons[node]
        former = before.pod.states["kubearmor"]
        self._run(before.pod, "kubearmor", restart=before.restart + 1)
        before.pod.states["kubearmor"]["lastState"] = former["state"]
        self.daemons[node] = DaemonOf(
            pod=before.pod, restart=before.restart + 1, release=before.release
        )
        self._tell_pod("MODIFIED", before.pod)
        return self.daemons[node]

    def dismiss(self, node: str = "node-a") -> None:
        """The daemon's Pod is deleted: it says good-bye and is gone."""
        daemon = self.daemons[node]
        self.terminate(daemon.pod)
        self.say("Got a signal to terminate KubeArmor", "Terminated KubeArmor", node=node)
        self.delete(daemon.pod)

    def replace(self, node: str = "node-a", *, release: str | None = None) -> DaemonOf:
        """The daemon's Pod is deleted and its successor's container runs."""
        release = release or self.daemons[node].release
        self.dismiss(node)
        self.wait(1)
        return self.daemon(node, release=release)

    def boot(self, node: str = "node-a", *, source: str = "Started to monitor NRI events") -> None:
        """The daemon starts and says all that it says until it is ready."""
        self.begin(node)
        subjects = "a host and containers" if self.protects_hosts else "containers"
        self.say(
            "Initialized BPF-LSM Enforcer", f"Started to protect {subjects}", source, node=node
        )
        self.say("Initialized KubeArmor Network Policy Enforcer", node=node)
        watched = [p for p in self.policies if self.protects_hosts or "Host" not in p.kind]
        self.learn(*watched, node=node)
        self.configure_namespaces(*self.namespaces, node=node)
        self.say("Started to monitor Pod events", "Initialized KubeArmor", node=node)

    def begin(self, node: str = "node-a") -> None:
        """The first lines of an incarnation."""
        release = self.daemons[node].release
        if release.startswith("v1.7"):
            self.say(f"BUILD-INFO: version: {release}, branch: , date: ", node=node)
        self.say("Arguments [cluster:default host:node-a]", node=node)
        hosts = str(self.protects_hosts).lower()
        self.say(
            f"Final Configuration [{{Host:{node} HostPolicy:{hosts}"
            " ConfigUntrackedNs:[kube-system kubearmor]}]",
            node=node,
        )
        plugin = f'time="2026-01-01T00:00:00Z" level=info msg="Created plugin 99-kubearmor-{release} (kubearmor-{release}, handles StartContainer,StopContainer)"'  # noqa: E501  # as the library prints it
        self.print(plugin, node=node)

    def configure_namespaces(self, *names: str, node: str = "node-a") -> None:
        spelt = "visibiliy" if self.daemons[node].release == "v1.5.7" else "visibility"
        self.say(*(f"Namespace {name} {spelt} configured {VISIBLE}" for name in names), node=node)

    # --- what a daemon says ---------------------------------------------------------------------

    def say(
        self, *messages: str, node: str = "node-a", level: str = "INFO", ago: float = 0.0
    ) -> None:
        """The node's daemon prints; `ago`: it did so some seconds before we read it."""
        for message in messages:
            moment = datetime.fromtimestamp(self.clock(node) - ago, UTC)
            clock = moment.strftime("%Y-%m-%d %H:%M:%S.%f")
            self.print(
                f"{clock}\t\x1b[{COLOURS[level]}m{level}\x1b[0m\t{message}", node=node, ago=ago
            )

    def print(self, text: str, *, node: str = "node-a", ago: float = 0.0) -> None:
        """The daemon prints that, as it stands."""
        daemon = self.daemons[node]
        milliseconds = round((self.clock(node) - ago) * 1000) - 1
        stamp = max(milliseconds * 1_000_000, daemon.last_stamp + 1)
        daemon.last_stamp = stamp
        whole, rest = divmod(stamp, 1_000_000_000)
        raw = f"{iso(whole)[:-1]}.{rest:09d}Z {text}".encode()
        daemon.lines.append(raw)
        if f"text/{node}" not in self.unheard:
            self._hear(daemon, raw, node=node)

    def _hear(self, daemon: DaemonOf, raw: bytes, *, node: str) -> None:
        self.observe(
            read_line(
                raw,
                node=node,
                pod=daemon.pod.path,
                pod_uid=daemon.pod.uid,
                restart=daemon.restart,
                container="kubearmor",
            )
        )

    def learn(self, *policies: PolicyOf, action: Action = "added", node: str = "node-a") -> None:
        """The daemon says that it has learned of policies."""
        for policy in policies:
            self.say(f"Detected a {policy.title} ({action}/{policy.path})", node=node)

    def see(self, pod: PodOf, *, action: Action = "modified", ago: float = 0.0) -> None:
        """The daemon says that it handles the Pod."""
        self.say(f"Detected a Pod ({action}/{pod.path})", node=pod.node, ago=ago)

    def register(self, pod: PodOf, container: str | None = None) -> None:
        """The runtime tells the daemon of the containers."""
        for identity in pod.ids(container):
            self.say(
                f"Detected a container (added/{identity[:12]}/{namespaces_of(identity)})",
                node=pod.node,
            )

    def unregister(self, pod: PodOf, container: str | None = None) -> None:
        for identity in pod.ids(container):
            self.say(
                f"Detected a container (removed/{identity[:12]}/{namespaces_of(identity)})",
                node=pod.node,
            )

    def intend(self, pod: PodOf, container: str | None = None, *, ago: float = 0.0) -> None:
        for identity in pod.ids(container):
            self.say(f"Updating container rules for {identity}", node=pod.node, ago=ago)

    def push(self, pod: PodOf, container: str | None = None, *, ago: float = 0.0) -> None:
        """The daemon writes rules where there were none."""
        for identity in pod.ids(container):
            self.say(
                f"Updating container rules for {identity}",
                f"Creating inner map for {identity}",
                node=pod.node,
                ago=ago,
            )

    def strip(self, pod: PodOf, container: str | None = None) -> None:
        """The daemon finds no rule to write."""
        for identity in pod.ids(container):
            self.say(
                f"Updating container rules for {identity}",
                f"Deleting inner map for {identity}",
                node=pod.node,
            )

    def write(self, pod: PodOf, container: str | None = None, *, ago: float = 0.0) -> None:
        """The daemon handles the Pod and writes its containers' first rules."""
        self.see(pod, ago=ago)
        self.push(pod, container, ago=ago)

    def fail(self, pod: PodOf, container: str | None = None) -> None:
        """The kernel refuses the containers' maps."""
        for identity in pod.ids(container):
            self.say(
                f"error adding container {identity} to outer map: update: no space left on device",
                node=pod.node,
                level="ERROR",
            )

    # --- alerts and logs ------------------------------------------------------------------------

    def alert(
        self, pod: PodOf, policy: str = "block-apt", *, ago: float = 0.0, **fields: object
    ) -> None:
        """The relay hands on that an action was refused; `fields` say what else was so."""
        members = {
            **self._event(pod, ago=ago),
            "PolicyName": policy,
            "Type": "MatchedPolicy",
            "Enforcer": "BPFLSM",
            "Action": "Block",
            "Result": "Permission denied",
            **fields,
        }
        if "alerts/relay" not in self.unheard:
            self.observe(kubearmor.alert_from_json(members, via="relay"))

    def host_alert(
        self,
        policy: str = "guard",
        *,
        host: str = "node-a",
        ago: float = 0.0,
        via: str = "relay",
        **fields: object,
    ) -> None:
        """A feed hands on that an action of a process of the host was refused."""
        moment = datetime.fromtimestamp(self.now - ago - 0.001, UTC)
        members = {
            "HostName": host,
            "Operation": "Process",
            "Source": "/bin/sh",
            "Resource": "/usr/bin/apt update",
            "UpdatedTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "PolicyName": policy,
            "Type": "MatchedHostPolicy",
            "Enforcer": "BPFLSM",
            "Action": "Block",
            "Result": "Permission denied",
            **fields,
        }
        self.observe(kubearmor.alert_from_json(members, via=via))

    def log(self, pod: PodOf, *, ago: float = 0.0, **fields: object) -> None:
        """The relay hands on that an action went through."""
        members = {
            **self._event(pod, ago=ago),
            "Type": "ContainerLog",
            "Result": "Passed",
            **fields,
        }
        if "logs/relay" not in self.unheard:
            self.observe(kubearmor.log_from_json(members, via="relay"))

    def message(self, *texts: str, node: str = "node-a", **fields: str) -> None:
        """The relay hands on lines of the daemon's output, as it does where debug is on."""
        moment = datetime.fromtimestamp(self.clock(node) - 0.001, UTC)
        for text in texts:
            members = {
                "HostName": node,
                "UpdatedTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "Level": "INFO",
                "Message": text,
                **fields,
            }
            self.observe(kubearmor.message_from_json(members, via="relay"))

    def serves(self, node: str = "node-a", *, serving: bool = True) -> None:
        """The health service of the node's daemon says whether it serves its feeds."""
        daemon = self.daemons[node]
        self.observe(
            HealthAnswered(
                node=node, pod_uid=daemon.pod.uid, restart=daemon.restart, serving=serving
            )
        )

    def _event(self, pod: PodOf, *, ago: float) -> dict[str, object]:
        moment = datetime.fromtimestamp(self.clock(pod.node) - ago - 0.001, UTC)
        return {
            "HostName": pod.node,
            "NamespaceName": pod.namespace,
            "PodName": pod.name,
            "ContainerID": pod.id,
            "ContainerName": next(iter(pod.containers)),
            "Operation": "Process",
            "Source": "/bin/sh",
            "Resource": "/usr/bin/apt update",
            "UpdatedTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "Timestamp": str(int(moment.timestamp())),
        }

    # --- what is judged -------------------------------------------------------------------------

    def report(self) -> Report:
        self.until(self.second)
        return self.core.report(self.now)

    def container(self, pod: PodOf, container: str | None = None) -> ContainerCoverage:
        identity = pod.ids(container)[0]
        return self.by_id(identity)

    def by_id(self, identity: str) -> ContainerCoverage:
        (found,) = [c for c in self.report().containers if c.container_id == identity]
        return found

    def pair(
        self, pod: PodOf, policy: PolicyOf | None = None, container: str | None = None
    ) -> PairState:
        """The state of the policy, or of the only one, on the container, or on the only one."""
        pairs = self.container(pod, container).policies
        if policy is not None:
            wanted = (policy.kind, policy.namespace, policy.name)
            pairs = tuple(p for p in pairs if (p.kind, p.namespace, p.name) == wanted)
        (found,) = pairs
        return found

    def verdict(
        self, pod: PodOf, policy: PolicyOf | None = None, container: str | None = None
    ) -> str:
        """`covered applied`, `gap daemon-absent`, `pending`: a verdict, and grade or cause."""
        pair = self.pair(pod, policy, container)
        return " ".join(filter(None, (pair.verdict, pair.grade or pair.cause)))

    def host(self, policy: PolicyOf, node: str = "node-a") -> str:
        """`covered inferred`: what is judged of a host or network policy; empty for nothing."""
        pairs = [
            pair
            for coverage in self.report().nodes
            if coverage.node == node
            for pair in coverage.policies
            if (pair.kind, pair.name) == (policy.kind, policy.name)
        ]
        return "; ".join(f"{p.verdict} {p.grade or p.cause or ''}".strip() for p in pairs)

    def overall(self, pod: PodOf, container: str | None = None) -> str:
        """The verdict of the whole container and its cause."""
        coverage = self.container(pod, container)
        return " ".join(filter(None, (coverage.verdict, coverage.cause)))

    def gaps(self) -> list[str]:
        """Every gap of the report: `open gap daemon-absent shop/cart/app`."""
        return [told(gap) for gap in self.report().gaps]

    def incidents(self) -> list[str]:
        """Every incident of the report: `open daemon-absent 3`."""
        return [f"{i.state} {i.cause} {i.containers}" for i in self.report().incidents]

    def ever_announced(self, kind: type[Gap | Incident]) -> list[Announcement]:
        return [one for one in self.announced if isinstance(one, kind)]

    def incident(self, cause: str) -> Incident:
        """The only incident of that cause."""
        (found,) = [one for one in self.report().incidents if one.cause == cause]
        return found

    def open_gaps(self) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.report().gaps if gap.state == "open")


def told(gap: Gap) -> str:
    return f"{gap.state} {gap.verdict} {gap.cause} {gap.namespace}/{gap.pod}/{gap.container}"


def listening(
    *,
    started: float = -60.0,
    nodes: Iterable[str] = ("node-a",),
    text: bool = True,
    feeds: bool = True,
    settings: Settings | None = None,
) -> Story:
    """A cluster of nodes and old namespaces without KubeArmor, and all of it is being read."""
    story = Story(started=started, settings=settings)
    story.up(*(f"kubernetes/{name}" for name in RESOURCES), reason="listed")
    for name in ("default", "kube-system", "kubearmor", "shop"):
        story.namespace(name, age=DAY)
    for node in nodes:
        story.node(node)
        if text:
            story.up(f"text/{node}")
        else:
            story.unheard.add(f"text/{node}")
    if feeds:
        story.up(*FEEDS)
    else:
        story.unheard.update(FEEDS)
    return story


def ready(
    *,
    release: str = "v1.7.4",
    tag: str | None = None,
    nodes: Iterable[str] = ("node-a",),
    text: bool = True,
    feeds: bool = True,
    hosts: bool = False,
    settings: Settings | None = None,
) -> Story:
    """The same cluster with a daemon on each node, ready for twenty seconds at second 0.

    `hosts`: the daemons are told to protect their hosts too.
    """
    nodes = tuple(nodes)
    story = listening(nodes=nodes, text=text, feeds=feeds, settings=settings)
    story.protects_hosts = hosts
    for node in nodes:
        story.daemon(node, release=release, tag=tag)
    story.until(-20)
    for node in nodes:
        story.boot(node)
    story.until(0)
    return story


def covered(story: Story, **pod: Any) -> PodOf:  # the arguments of Story.pod
    """A Pod whose rules are written one second after its start; leaves the clock there."""
    one = story.pod(**pod)
    story.wait(0.5)
    story.register(one)
    story.wait(0.5)
    story.write(one)
    return one
