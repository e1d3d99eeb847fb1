"""The objects of a cluster that policies are read beside, listed once."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from monitor import config
from monitor.clock import SystemClock
from monitor.core.kubernetes import POLICY_KINDS, ConfigMap, Namespace, Node, Pod, Resource
from monitor.core.lint.cluster import Cluster, PodShape
from monitor.core.lint.remarks import Manifest
from monitor.core.model import Observation, SourceDown
from monitor.core.nodes import DAEMON_LABEL, DaemonPod
from monitor.core.objects import Objects
from monitor.core.selector import UNSEEN_LABELS
from monitor.errors import SourceError
from monitor.live import REQUIRED, api_server, collections
from monitor.retry import cancelled
from monitor.sources.kubernetes import KubernetesSource


class Inventory:
    """An intake that is complete with the first list of each resource.

    What is not required counts as read when reading it has failed: then it is not known.
    """

    def __init__(self, awaited: Iterable[Resource]) -> None:
        self.objects = Objects()
        self.reasons: dict[str, str] = {}
        self.complete = asyncio.Event()
        self._awaited = frozenset(awaited)
        self._required: frozenset[str] = frozenset({*REQUIRED, *POLICY_KINDS})

    def deliver(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            self.objects.observe(observation)
            if isinstance(observation, SourceDown):
                self.reasons[observation.name.partition("/")[2]] = observation.reason
        if not self._missing() and self._awaited <= {*self.objects.resources, *self.reasons}:
            self.complete.set()

    async def room(self) -> None:
        """Return at once: a list is kept whole."""

    def reject(self, *, kind: str, reason: str, detail: str) -> None:
        self.reasons.setdefault(kind.partition("/")[2], f"{reason}: {detail}")

    def _missing(self) -> list[str]:
        return sorted(self._awaited & self._required - self.objects.resources)

    @property
    def missing(self) -> str:
        """What is required and could not be read, with the reason of each; empty if nothing."""
        return "; ".join(
            f"{name}: {self.reasons.get(name, 'no answer')}" for name in self._missing()
        )


async def read_inventory(configuration: config.Configuration, *, seconds: float) -> Objects:
    """List a cluster's objects once; raise SourceError if that takes longer or is refused."""
    clock = SystemClock()
    wanted = collections(configuration)
    inventory = Inventory(collection.resource for collection in wanted)
    async with api_server(configuration.kubernetes, clock) as server:
        sources = [
            KubernetesSource(one, server=server, intake=inventory, clock=clock, random=Random())
            for one in wanted
        ]
        tasks = [asyncio.create_task(source.run()) for source in sources]
        try:
            await _completed(inventory, tasks, seconds=seconds)
        finally:
            await cancelled(*tasks)
    if inventory.missing:
        reasons = inventory.missing
        raise SourceError(f"the cluster could not be read within {seconds:g} s: {reasons}")
    return inventory.objects


async def _completed(
    inventory: Inventory, tasks: Sequence[asyncio.Task[None]], *, seconds: float
) -> None:
    complete = asyncio.create_task(inventory.complete.wait())
    try:
        await asyncio.wait({complete, *tasks}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await cancelled(complete)


def policies_of(objects: Objects) -> tuple[Manifest, ...]:
    """The policies of all kinds."""
    return tuple(
        Manifest(
            kind=kind,
            namespace=one.metadata.namespace,
            name=one.metadata.name,
            spec=one.spec or {},
        )
        for kind, one in objects.policies
    )


def cluster_of(objects: Objects, *, daemons_in: str) -> Cluster:
    """What policies are read beside; `daemons_in` is the namespace of KubeArmor."""
    pods: dict[str, dict[tuple[object, ...], PodShape]] = defaultdict(dict)
    for pod in objects.of("pods", Pod):
        shape = _shape(pod)
        key = (*sorted(shape.labels.items()), shape.containers)
        pods[pod.metadata.namespace][key] = shape
    settings = objects.of("configmaps", ConfigMap)
    return Cluster(
        namespaces={
            one.metadata.name: one.metadata.annotations or {}
            for one in objects.of("namespaces", Namespace)
        },
        pods={name: tuple(shapes.values()) for name, shapes in pods.items()},
        nodes={one.metadata.name: one.metadata.labels or {} for one in objects.of("nodes", Node)},
        settings=(settings[0].data or {}) if settings else None,
        releases=frozenset(_releases(objects.of("pods", Pod), daemons_in)),
    )


def _shape(pod: Pod) -> PodShape:
    """What selectors see: without the labels that would make every replica set a shape."""
    labels = pod.metadata.labels or {}
    return PodShape(
        labels={key: value for key, value in labels.items() if key not in UNSEEN_LABELS},
        containers=tuple(container.name for container in pod.spec.containers or ()),
    )


def _releases(pods: Iterable[Pod], namespace: str) -> Iterator[str]:
    key, value = DAEMON_LABEL
    for pod in pods:
        if pod.metadata.namespace == namespace and (pod.metadata.labels or {}).get(key) == value:
            release = DaemonPod(pod).image_release
            if release is not None:
                yield release
