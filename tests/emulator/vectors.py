"""Plays a selection case on a daemon's handlers, without time."""

from typing import Any

from tests.emulator.beliefs import Beliefs
from tests.emulator.releases import release
from tests.emulator.settings import Settings, Steps
from tests.emulator.switches import Failures
from tests.emulator.world import Object, World, container_id

ALWAYS_THERE = ("default", "kube-system", "kube-public", "kube-node-lease", "kubearmor")


def attached(case: dict[str, Any], version: str) -> dict[str, list[str]]:
    """Return the policies of every container (NS/POD/CONTAINER) after the case's last step."""
    player = _Player(case, version)
    for step in case.get("order") or _default_order(case):
        player.play(step)
    return {
        f"{endpoint.namespace}/{endpoint.pod}/{endpoint.container}": sorted(
            policy.key for policy in endpoint.policies
        )
        for endpoint in player.beliefs.endpoints
    }


def _default_order(case: dict[str, Any]) -> list[str]:
    policies = [f"policy:{_reference(policy)}" for policy in case["policies"]]
    return policies + [f"pod:{pod['namespace']}/{pod['name']}" for pod in case["pods"]]


def _reference(policy: Object) -> str:
    metadata = policy["metadata"]
    return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)


class _Player:
    def __init__(self, case: dict[str, Any], version: str) -> None:
        self.case = case
        self.world = World()
        for name in case.get("namespaces") or self._initial_namespaces():
            self._namespace("ADDED", name)
        settings = Settings(
            release=release(version), world=self.world, say=_silent, failures=Failures
        )
        self.beliefs = Beliefs(
            release=release(version),
            world=self.world,
            settings=settings,
            say=_silent,
            failures=Failures,
            shuffle=lambda _namespace, _pod, ids: ids,
            observes_only=True,
        )

    def _initial_namespaces(self) -> set[str]:
        steps = self.case.get("order") or []
        later = {step.partition(":")[2] for step in steps if step.startswith("namespace:")}
        named = {pod["namespace"] for pod in self.case["pods"]}
        named |= {policy["metadata"].get("namespace") for policy in self.case["policies"]}
        return {name for name in named | set(ALWAYS_THERE) if name} - later

    def _namespace(self, event: str, name: str) -> None:
        self.world.apply("namespaces", event, {"metadata": {"name": name}})

    def play(self, step: str) -> None:
        verb, _, reference = step.partition(":")
        subject, _, change = verb.partition("-")
        event = {"": "ADDED", "update": "MODIFIED", "delete": "DELETED"}[change]
        if subject == "namespace":
            self._namespace(event, reference)
        elif subject == "pod":
            self._pod(event, reference)
        else:
            cluster_only = subject == "cluster"
            self._policy(event, reference, cluster_only=cluster_only)

    def _policy(self, event: str, reference: str, *, cluster_only: bool) -> None:
        found = self.case["updates" if event == "MODIFIED" else "policies"]
        policy = next(
            policy
            for policy in found
            if _reference(policy) == reference
            and (not cluster_only or policy["kind"] == "KubeArmorClusterPolicy")
        )
        _exhaust(self.beliefs.policy_event(event, policy))

    def _pod(self, event: str, reference: str) -> None:
        found = self.case["podUpdates" if event == "MODIFIED" else "pods"]
        pod = next(pod for pod in found if f"{pod['namespace']}/{pod['name']}" == reference)
        if event == "ADDED":
            _exhaust(self.beliefs.pod_event("ADDED", _pod_object(pod, with_ids=False)))
            event = "MODIFIED"
        _exhaust(self.beliefs.pod_event(event, _pod_object(pod, with_ids=True)))


def _pod_object(pod: dict[str, Any], *, with_ids: bool) -> Object:
    uid = f"{pod['namespace']}/{pod['name']}"
    statuses = [
        {"name": name, "containerID": f"containerd://{container_id(uid, name)}"}
        for name in pod["containers"]
    ]
    metadata = {key: pod[key] for key in ("namespace", "name", "labels")}
    return {
        "metadata": metadata,
        "spec": {},
        "status": {"containerStatuses": statuses if with_ids else []},
    }


def _exhaust(steps: Steps) -> None:
    for _ in steps:
        pass


def _silent(level: str, text: str, *, streamed: bool = True) -> None:
    del level, text, streamed
