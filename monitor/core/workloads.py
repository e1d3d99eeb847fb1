"""What made a Pod, and whether all of a workload's containers are let through a gate.

A Pod names its controller, which for a Deployment is a ReplicaSet. Kubernetes names that one after
the Deployment and the hash of the Pod's template, which the Pod's label repeats: so the Deployment
is known without reading ReplicaSets.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from monitor.core.kubernetes import Pod
from monitor.core.model import Verdict

TEMPLATE_HASH: Final = "pod-template-hash"
ENDED: Final = ("Succeeded", "Failed")


def workload_of(pod: Pod) -> str:
    """Return `Kind/name` of the workload that a Pod belongs to; a bare Pod is its own."""
    for owner in pod.metadata.owner_references or ():
        if not owner.controller:
            continue
        suffix = f"-{(pod.metadata.labels or {}).get(TEMPLATE_HASH, '')}"
        if owner.kind == "ReplicaSet" and len(suffix) > 1 and owner.name.endswith(suffix):
            return f"Deployment/{owner.name.removesuffix(suffix)}"
        return f"{owner.kind}/{owner.name}"
    return f"Pod/{pod.metadata.name}"


class Started(Struct, frozen=True, gc=False):
    """A container that runs, and what is said of it."""

    node: str
    pod: str
    container: str
    workload: str
    verdict: Verdict
    cause: str | None = None

    def is_of(self, name: str) -> bool:
        """Whether it belongs to a workload, or a Pod, of that name."""
        return name in (self.workload.partition("/")[2], self.pod)


class Missing(Struct, frozen=True, gc=False):
    """A container that is not let through; the verdict is empty for one that does not run yet."""

    node: str
    pod: str
    container: str
    verdict: str
    cause: str | None = None


def belonging(pods: Iterable[Pod], *, namespace: str, name: str) -> Iterator[Pod]:
    """Give the Pods of a workload that are neither over nor about to be."""
    for pod in pods:
        if (
            pod.metadata.namespace == namespace
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in ENDED
            and name in (workload_of(pod).partition("/")[2], pod.metadata.name)
        ):
            yield pod


class Weighed(Struct, frozen=True):
    """A workload at a gate: what holds it back, and how many containers and Pods there are."""

    held: tuple[Missing, ...]
    containers: int
    pods: int


def weigh(
    containers: Iterable[Started],
    *,
    name: str,
    pods: Sequence[Pod] | None,
    allowed: Collection[str],
) -> Weighed:
    """Say which containers of a workload are neither covered nor allowed to be otherwise.

    `pods` are the workload's; each of their regular containers must run, and containers of other
    Pods do not count. None where Pods cannot be seen: then only what runs is looked at.
    """
    running = [one for one in containers if one.is_of(name)]
    names = {one.pod for one in running}
    if pods is not None:
        names = {pod.metadata.name for pod in pods}
        running = [one for one in running if one.pod in names]
    held = [
        Missing(one.node, one.pod, one.container, one.verdict, one.cause)
        for one in running
        if one.verdict != "covered" and one.verdict not in allowed
    ]
    known = {(one.pod, one.container) for one in running}
    awaited = [
        Missing(pod.spec.node_name, pod.metadata.name, container.name, "")
        for pod in pods or ()
        for container in pod.spec.containers or ()
        if (pod.metadata.name, container.name) not in known and not _is_done(pod, container.name)
    ]
    return Weighed(
        held=tuple(sorted(held + awaited, key=lambda one: (one.pod, one.container))),
        containers=len(running) + len(awaited),
        pods=len(names),
    )


def _is_done(pod: Pod, container: str) -> bool:
    """Whether a container ended well: what is over needs no protection."""
    return any(
        status.name == container
        and status.state is not None
        and status.state.terminated is not None
        and status.state.terminated.exit_code == 0
        for status in pod.status.container_statuses or ()
    )
