"""Scenarios on a real control plane, many at once: each has a node and a namespace of its own."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import singledispatchmethod
from typing import Any, TypeVar

from tests.emulator import steps
from tests.emulator.cluster import KubeArmor
from tests.emulator.scenarios.scenario import STAGE
from tests.emulator.world import Object
from tests.rig.api import CONFIG_MAPS, NAMESPACES, NODES, PODS, ApiError, Manifest
from tests.rig.crds import GROUP, POLICY_KINDS, VERSION
from tests.rig.kubernetes import ControlPlane
from tests.rig.wait import eventually

SYSTEM = "kubearmor"
SECONDS = 60.0
POLICY_PAUSE = 1.6
"""Seconds between policies of different scenarios: those handled at once are a finding."""

Value = TypeVar("Value")


def elsewhere(value: Value, number: int, *, names: frozenset[str]) -> Value:
    """The same on a node and in namespaces of its own; `names` are those that are numbered."""
    renamed: Any = value
    if isinstance(value, str):
        renamed = _renamed(value, number, names=names)
    elif isinstance(value, Mapping):
        pairs = ((elsewhere(k, number, names=names), v) for k, v in value.items())
        renamed = {key: elsewhere(v, number, names=names) for key, v in pairs}
    elif isinstance(value, frozenset):
        renamed = frozenset(elsewhere(one, number, names=names) for one in value)
    elif isinstance(value, tuple):
        items = [elsewhere(one, number, names=names) for one in value]
        renamed = type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    elif isinstance(value, list):
        renamed = [elsewhere(one, number, names=names) for one in value]
    elif is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: elsewhere(getattr(value, field.name), number, names=names)
            for field in fields(value)
        }
        renamed = replace(value, **changed)
    return renamed  # type: ignore[no-any-return]


def _renamed(text: str, number: int, *, names: frozenset[str]) -> str:
    words = "|".join(sorted(names))
    own = re.sub(rf"(?<![\w-])({words})(?![\w-])", rf"\1-{number}", text)
    return own.replace(STAGE, f"node-{number}")


class RealCluster:
    """Performs steps on a control plane with emulated daemons; policies come one at a time."""

    def __init__(self, *, cluster: ControlPlane, kubearmor: KubeArmor) -> None:
        self.cluster = cluster
        self.kubearmor = kubearmor
        self._plans: dict[str, steps.Run] = {}
        self._policies = asyncio.Lock()

    @singledispatchmethod
    async def perform(self, step: steps.Step) -> None:
        """Perform one step, and wait until it is done."""
        raise NotImplementedError(step)

    @perform.register
    async def _(self, step: steps.Wait) -> None:
        """What is waited for in virtual time is waited for by looking."""

    @perform.register
    async def _(self, step: steps.Namespace) -> None:
        try:
            await self.cluster.add_namespace(step.name)
        except ApiError as error:
            if error.status != 409:
                raise
        body = {"metadata": {"annotations": dict(step.annotations)}}
        await self.cluster.admin.patch(NAMESPACES, step.name, body)

    @perform.register
    async def _(self, step: steps.Apply) -> None:
        async with self._policies:
            await self.cluster.admin.apply({"apiVersion": f"{GROUP}/{VERSION}", **step.policy})
            await asyncio.sleep(POLICY_PAUSE)

    @perform.register
    async def _(self, step: steps.Touch) -> None:
        body = {"metadata": {"annotations": {"kubearmor-monitor/touched": "1"}}}
        async with self._policies:
            resource, name, namespace = _place(step.policy)
            await self.cluster.admin.patch(resource, name, body, namespace=namespace)
            await asyncio.sleep(POLICY_PAUSE)

    @perform.register
    async def _(self, step: steps.Delete) -> None:
        async with self._policies:
            resource, name, namespace = _place(step.policy)
            await self.cluster.admin.delete(resource, name, namespace=namespace)
            await asyncio.sleep(POLICY_PAUSE)

    @perform.register
    async def _(self, step: steps.Run) -> None:
        self._plans[step.pod] = step
        namespace, _, name = step.pod.partition("/")
        await self.cluster.admin.create(_pod(step))
        await self._until(namespace, name, "Running")

    @perform.register
    async def _(self, step: steps.Remove) -> None:
        namespace, _, name = step.pod.partition("/")
        await self.cluster.admin.delete(PODS, name, namespace=namespace, grace=0)
        await self._until(namespace, name, None)

    @perform.register
    async def _(self, step: steps.Recreate) -> None:
        await self.perform(steps.Remove(step.pod))
        plan = self._plans[step.pod]
        await self.perform(replace(plan, node=step.node or plan.node))

    @perform.register
    async def _(self, step: steps.Change) -> None:
        namespace, _, name = step.pod.partition("/")
        body = {"metadata": {"labels": dict(step.labels), "annotations": dict(step.annotations)}}
        await self.cluster.admin.patch(PODS, name, body, namespace=namespace)
        plan = self._plans[step.pod]
        kept = {k: v for k, v in {**plan.annotations, **step.annotations}.items() if v is not None}
        self._plans[step.pod] = replace(plan, annotations=kept)

    @perform.register
    async def _(self, step: steps.Fail) -> None:
        self.kubearmor.fail(step.node, step.failures)

    @perform.register
    async def _(self, step: steps.Kill) -> None:
        await self.kubearmor.kill(step.node)

    @perform.register
    async def _(self, step: steps.StartAgain) -> None:
        await self.kubearmor.restart(step.node)

    @perform.register
    async def _(self, step: steps.Replace) -> None:
        before = self.kubearmor.daemon(step.node)
        pods = await self.cluster.admin.items(PODS, namespace=SYSTEM)
        (name,) = (p["metadata"]["name"] for p in pods if p["spec"].get("nodeName") == step.node)
        await self.cluster.admin.delete(PODS, name, namespace=SYSTEM)

        async def replaced() -> bool:
            return (
                step.node in self.kubearmor.nodes and self.kubearmor.daemon(step.node) is not before
            )

        await eventually(replaced, within=SECONDS)

    @perform.register
    async def _(self, step: steps.Act) -> None:
        namespace, _, name = step.pod.partition("/")
        for _number in range(step.times):
            await self.kubearmor.act(namespace, name, step.container, step.path)

    @perform.register
    async def _(self, step: steps.RelabelNode) -> None:
        await self.cluster.admin.patch(
            NODES, step.node, {"metadata": {"labels": dict(step.labels)}}
        )

    @perform.register
    async def _(self, step: steps.Configure) -> None:
        body = {"data": dict(step.data)}
        await self.cluster.admin.patch(CONFIG_MAPS, "kubearmor-config", body, namespace=SYSTEM)

    async def _until(self, namespace: str, name: str, phase: str | None) -> None:
        """Wait until a Pod is in a phase, or gone."""

        async def is_so() -> bool:
            try:
                pod = await self.cluster.admin.get(PODS, name, namespace=namespace)
            except ApiError as error:
                return error.status == 404 and phase is None
            return bool(pod["status"].get("phase") == phase)

        await eventually(is_so, within=SECONDS)


def _place(policy: Object) -> tuple[Any, str, str | None]:
    metadata = policy["metadata"]
    return POLICY_KINDS[policy["kind"]].resource, metadata["name"], metadata.get("namespace")


def _pod(step: steps.Run) -> Manifest:
    namespace, _, name = step.pod.partition("/")
    containers = [{"name": each, "image": f"{each}:1"} for each in step.containers]
    sidecars = [
        {"name": each, "image": f"{each}:1", "restartPolicy": "Always"} for each in step.sidecars
    ]
    # The runtime announces a container some time before the kubelet publishes it.
    annotations = {"rig/start-delay": "600ms", **step.annotations}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": dict(step.labels),
            "annotations": annotations,
        },
        "spec": {
            "nodeName": step.node,
            "containers": containers,
            **({"initContainers": sidecars} if sidecars else {}),
            **step.spec,
        },
    }
