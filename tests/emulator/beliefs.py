"""What one daemon believes: its list of policies and its list of endpoints.

An endpoint is one container with the policies that the daemon attached to it. Both lists change by
events alone and nothing ever compares them with the cluster again, so a mistake of one handler
stays until another event, or a restart, undoes it. The handlers keep the mistakes of their
release: which of them looks at what, what they forget to store, what they push to whom.

A handler is a generator that yields where the daemon waits for the API server (`get`, `list`);
who runs it decides how long that takes. Everything between two yields is one instant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.emulator import selection
from tests.emulator.endpoints import (
    ENABLED,
    Endpoint,
    KnownContainer,
    PodView,
    namespace_of,
    owner_kind,
    pod_view,
    profile_names,
    unnamed,
)
from tests.emulator.kernel import Kernel
from tests.emulator.profiles import Profiles
from tests.emulator.releases import Release
from tests.emulator.selection import CLUSTER, NAMESPACED, Policy
from tests.emulator.settings import Posture, Say, Settings, Steps
from tests.emulator.switches import Failures
from tests.emulator.world import Object, RuntimeContainer, World

_OWNER_REQUESTS = {"ReplicaSet": 2, "StatefulSet": 1, "DaemonSet": 1, "Job": 1}

Shuffle = Callable[[str, str, Sequence[str]], Sequence[str]]


@dataclass(slots=True)
class Beliefs:
    """The two lists, the kernel's maps behind them, and the handlers."""

    release: Release
    world: World
    settings: Settings
    say: Say
    failures: Callable[[], Failures]
    shuffle: Shuffle
    kernel: Kernel | None = None
    profiles: Profiles | None = None
    observes_only: bool = False
    policies: list[Policy] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    containers: dict[str, KnownContainer] = field(default_factory=dict)
    pods: dict[tuple[str, str], Object] = field(default_factory=dict)
    match_lists: dict[tuple[str, str], list[Policy]] = field(default_factory=dict)

    def policy_event(self, event: str, raw: Object) -> Steps:
        """Handle a policy's ADDED, MODIFIED or DELETED."""
        name = "/".join(part for part in (namespace_of(raw), raw["metadata"]["name"]) if part)
        failures = self.failures()
        if event == "ADDED" and name in failures.unseen_policies:
            return
        policy = selection.parse(raw, known_namespaces=(), release=self.release)
        rejected = name in failures.rejected_policies
        if policy.lists_namespaces:
            yield "list"
            rejected |= failures.namespace_list_fails
            known = self.world.namespaces()
            policy = selection.parse(raw, known_namespaces=known, release=self.release)
        if rejected:
            if failures.namespace_list_fails:
                self.say("ERROR", "unable to fetch namespace list", streamed=False)
            if event == "ADDED":
                self.say("WARN", "Error ADD, the server is currently unable to handle the request")
            return
        self._store(event, policy)
        kind = "Cluster Security Policy" if policy.kind == CLUSTER else "Security Policy"
        self.say("INFO", f"Detected a {kind} ({event.lower()}/{policy.key})")
        if name not in failures.overwritten_policies:
            self._push_policy(event, policy)

    def _store(self, event: str, policy: Policy) -> None:
        index = _index(self.policies, policy)
        if event == "ADDED" and index is None:
            self.policies.append(policy)
        elif event == "MODIFIED" and index is not None:
            self.policies[index] = policy
        elif event == "DELETED" and index is not None:
            del self.policies[index]

    def _push_policy(self, event: str, policy: Policy) -> None:
        for endpoint in list(self.endpoints):
            if not self._reaches(policy, endpoint):
                continue
            endpoint.policies = self._attached(event, policy, endpoint)
            exempt = event == "DELETED" and self.release.reads_untracked_from_config_map
            self.push(endpoint, even_untracked=exempt)

    def _reaches(self, policy: Policy, endpoint: Endpoint) -> bool:
        if policy.kind == CLUSTER:
            names = {held.name for held in endpoint.policies}
            return endpoint.namespace in policy.namespaces or policy.name in names
        if not selection.names_container(policy, endpoint.container):
            return False
        return self.release.pushes_every_endpoint or self._selects(policy, endpoint)

    def _selects(self, policy: Policy, endpoint: Endpoint) -> bool:
        if policy.kind == NAMESPACED:
            return selection.matches_namespaced(policy, endpoint.identities, release=self.release)
        return selection.matches_cluster(policy, endpoint.namespace, endpoint.identities)

    def _attached(self, event: str, policy: Policy, endpoint: Endpoint) -> list[Policy]:
        held = list(endpoint.policies)
        index = _index(held, policy)
        selects = self._selects(policy, endpoint)
        if index is None:
            return [*held, policy] if event != "DELETED" and selects else held
        if event == "MODIFIED" and selects:
            held[index] = policy
        elif event != "ADDED":
            del held[index]
        return held

    def push(self, endpoint: Endpoint, *, even_untracked: bool = False) -> None:
        """Hand an endpoint's policies to the matcher of events and to the kernel."""
        self.match_lists[endpoint.namespace, endpoint.pod] = list(endpoint.policies)
        if endpoint.mode != ENABLED:
            return
        if endpoint.namespace in self.settings.untracked and not even_untracked:
            namespace = endpoint.namespace
            self.say("WARN", f"Policy cannot be enforced in untracked namespace {namespace}")
            return
        self._enforce(endpoint)

    def posture_changed(self, namespace: str, posture: Posture) -> None:
        for endpoint in self.endpoints:
            if endpoint.namespace == namespace and endpoint.posture != posture:
                endpoint.posture = posture
                words = f"{{{posture.file} {posture.network} {posture.capabilities}}}"
                self.say("INFO", f"Updated default posture for {endpoint.pod} with {words}")
                if self.kernel is not None:
                    self.push(endpoint)

    def _enforce(self, endpoint: Endpoint) -> None:
        if self.profiles is not None:
            names = {"namespace": endpoint.namespace, "pod": endpoint.pod}
            for level, text in self.profiles.update(endpoint.profile, endpoint.policies, **names):
                self.say(level, text)
        if self.kernel is None:
            return
        container = endpoint.container_id
        self.say("INFO", f"Updating container rules for {container}")
        for level, text in self.kernel.update(container, endpoint.policies):
            self.say(level, text)
        presets = [p for policy in endpoint.policies for p in policy.spec.get("presets") or []]
        for preset in presets:
            self._say_preset(str(preset.get("name")), container)
        if self.release.has_protect_proc:
            self.say("INFO", f"Updating container preset rules for {container}")
            if not any(preset.get("name") == "protectProc" for preset in presets):
                self._say_protect_proc("deleting", container)

    def _say_preset(self, name: str, container: str) -> None:
        words = {"filelessExec": "fileless exec"}.get(name, name)
        self.say("INFO", f"Container matched for {words} rule: {container}")
        if self.kernel is not None and container not in self.kernel.containers:
            self.say("WARN", f"Container not registered in map: {container}")

    def _say_protect_proc(self, verb: str, container: str) -> None:
        text = f"[ProtectProc] {verb} container with id to protectProc_map exec map: {container}\n"
        self.say("INFO", text)

    def pod_event(self, event: str, raw: Object) -> Steps:
        """Handle one event of this node's Pods."""
        pod = pod_view(raw, observes_only=self.observes_only)
        if event == "ADDED":
            for _ in range(_OWNER_REQUESTS.get(owner_kind(raw), 0)):
                yield "get"
        yield "get"
        key = (pod.namespace, pod.name)
        if event == "ADDED" and key in self.pods:
            event = "MODIFIED"
        if event == "DELETED":
            self.pods.pop(key, None)
        elif event == "ADDED" or key in self.pods:
            self.pods[key] = raw
        if event == "ADDED" and self.profiles is not None:
            for level, text in self.profiles.register(pod.name, profile_names(pod)):
                self.say(level, text)
        self.say("INFO", f"Detected a Pod ({event.lower()}/{pod.namespace}/{pod.name})")
        if event == "DELETED":
            self.endpoints = [e for e in self.endpoints if (e.namespace, e.pod) != key]
            return
        existing = next((e for e in self.endpoints if (e.namespace, e.pod) == key), None)
        if event == "ADDED" or existing is None:
            yield from self._add_endpoints(pod)
        else:
            yield from self._modify_endpoints(pod, existing)

    def _note_containers(self, pod: PodView) -> None:
        for container, name, image in pod.containers:
            known = self.containers.get(container)
            self.containers[container] = KnownContainer(
                pod=pod.raw,
                namespace=pod.namespace,
                pod_name=pod.name,
                name=name,
                image=image,
                mode=pod.mode,
                pid_namespace=known.pid_namespace if known else 0,
                mount_namespace=known.mount_namespace if known else 0,
                profile=pod.profiles.get(name, ""),
            )
            key = (known.pid_namespace, known.mount_namespace) if known else (0, 0)
            self.settings.add_key(pod.namespace, key, container)

    def _evaluate(self, pod: PodView, found: list[Policy]) -> Steps:
        lists = sum(policy.lists_namespaces for policy in self.policies)
        for _ in range(lists):
            yield "list"
        fails = self.failures().namespace_list_fails
        if fails and lists:
            self.say("ERROR", "unable to fetch namespace list", streamed=False)
        known = () if fails else self.world.namespaces()
        found += (
            policy
            for policy in self.policies
            if selection.applies(
                policy,
                namespace=pod.namespace,
                identities=pod.identities,
                known_namespaces=known,
                release=self.release,
            )
        )

    def _endpoint(self, pod: PodView, container: str, found: Sequence[Policy]) -> Endpoint:
        name = next(name for cid, name, _ in pod.containers if cid == container)
        return Endpoint(
            namespace=pod.namespace,
            pod=pod.name,
            container=name,
            container_id=container,
            identities=pod.identities,
            policies=[policy for policy in found if selection.names_container(policy, name)],
            mode=pod.mode,
            posture=self.settings.posture_of(pod.namespace),
            profile=pod.profiles.get(name, ""),
        )

    def _add_endpoints(self, pod: PodView) -> Steps:
        self._note_containers(pod)
        found: list[Policy] = []
        yield from self._evaluate(pod, found)
        added = [self._endpoint(pod, container, found) for container in self._visited(pod)]
        self.endpoints += added
        for endpoint in added:
            self.push(endpoint)

    def _modify_endpoints(self, pod: PodView, existing: Endpoint) -> Steps:
        """Refresh one container of the Pod: the one the map's random order ends with."""
        self._note_containers(pod)
        found: list[Policy] = []
        yield from self._evaluate(pod, found)
        endpoint = existing
        if pod.containers:
            endpoint = self._endpoint(pod, self._visited(pod)[-1], found)
            if not self.release.keeps_endpoints_on_modified:
                self._replace(endpoint)
        self.push(endpoint)

    def _visited(self, pod: PodView) -> Sequence[str]:
        """The Pod's container ids in the order of a walk over a map: a new one every time."""
        return self.shuffle(pod.namespace, pod.name, [cid for cid, _, _ in pod.containers])

    def _replace(self, endpoint: Endpoint) -> None:
        wanted = (endpoint.namespace, endpoint.pod, endpoint.container)
        for index, held in enumerate(self.endpoints):
            if (held.namespace, held.pod, held.container) == wanted:
                self.endpoints[index] = endpoint
                return

    def container_started(self, container: RuntimeContainer) -> Steps:
        """Handle the runtime's announcement of a container that runs."""
        yield "get"
        if self.world.pod(container.namespace, container.pod) is None:
            self._say_no_pod(container.pod)
        known = self.containers.get(container.id)
        if known is not None and (known.pid_namespace or known.mount_namespace):
            return
        if f"{container.namespace}/{container.pod}" in self.failures().unread_ids:
            container = replace(container, pid_namespace=0, mount_namespace=0)
        key = (container.pid_namespace, container.mount_namespace)
        self.containers[container.id] = replace(
            known or unnamed(container), pid_namespace=key[0], mount_namespace=key[1]
        )
        self.settings.add_key(container.namespace, key, container.id)
        if self.kernel is not None:
            self.kernel.register(container.id, pid_namespace=key[0], mount_namespace=key[1])
            self._say_registered("Registered", container.id)
        endpoint = self._endpoint_of(container) if known else None
        if endpoint is not None and endpoint.policies:
            self.match_lists[endpoint.namespace, endpoint.pod] = list(endpoint.policies)
            if endpoint.mode == ENABLED:
                self._enforce(endpoint)
        self._say_container("added", container)

    def container_stopped(self, container: RuntimeContainer) -> Steps:
        """Handle the runtime's announcement that a container is about to be stopped."""
        yield "get"
        if self.world.pod(container.namespace, container.pod) is None:
            self._say_no_pod(container.pod)
        if self.containers.pop(container.id, None) is None:
            return
        key = (container.pid_namespace, container.mount_namespace)
        self.settings.remove_key(container.namespace, key)
        if self.kernel is not None:
            self.kernel.unregister(container.id)
            if self.release.has_protect_proc:
                self._say_protect_proc("deleting", container.id)
            self._say_registered("Unregistered", container.id)
        self._say_container("removed", container)

    def _endpoint_of(self, container: RuntimeContainer) -> Endpoint | None:
        for endpoint in self.endpoints:
            if endpoint.container_id == container.id:
                return endpoint
        return None

    def _say_registered(self, verb: str, container: str) -> None:
        for preset in ("ProtectEnv", "Exec", "AnonMapExec", "FilelessExec"):
            self.say("DEBUG", f"[{preset}] {verb} container with id: {container}\n")
        if self.release.has_protect_proc:
            self.say("INFO", f"[ProtectProc] {verb} container with id: {container}\n")

    def _say_container(self, verb: str, container: RuntimeContainer) -> None:
        namespaces = f"pidns={container.pid_namespace}/mntns={container.mount_namespace}"
        self.say("INFO", f"Detected a container ({verb}/{container.id[:12]}/{namespaces})")

    def _say_no_pod(self, pod: str) -> None:
        empty = "<nil> <nil>" if self.release.has_protect_proc else "<nil>"
        self.say(
            "WARN",
            f"failed to fetch Pod: %!w(*errors.StatusError=&{{{{{{ }} {{   {empty}}} Failure "
            f'pods "{pod}" not found NotFound 0xc000a1b2c3d4 404}}}})\n',
            streamed=False,
        )


def _index(policies: Sequence[Policy], policy: Policy) -> int | None:
    """Find a policy's place: a cluster policy is told from others by its name alone."""
    for index, held in enumerate(policies):
        if held.name == policy.name and (
            policy.kind == CLUSTER or held.namespace == policy.namespace
        ):
            return index
    return None
