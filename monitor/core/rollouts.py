"""Roll-outs: daemons that are replaced because their DaemonSet's template is another one now.

On each node a roll-out does what a person does who restarts the daemon, and leaves its containers
as unprotected; but it is meant so, and a hundred nodes are one event. Which ends of daemons belong
to one is told from the facts alone, so the order of their arrival does not matter: the next daemon
Pod of the node has another controller revision; or there is no next one yet, the Pod that goes is
not of the present template, and its DaemonSet says that not all of its Pods are.

A roll-out is named by its DaemonSet and the generation of the template, which the API server counts
on the DaemonSet and the controller writes on each Pod; where neither says it, by the DaemonSet's
own generation, and where the DaemonSet cannot be read, by the revision's hash. A generation never
comes back, so whatever bears it is one roll-out, however long it takes from node to node.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from monitor.core.evidence import Incarnation
from monitor.core.kubernetes import DaemonSet
from monitor.core.model import Interval
from monitor.core.nodes import DaemonPod, NodeState, Phase

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"

DaemonSets = Mapping[str, DaemonSet]


class Rollout(Struct, frozen=True, gc=False):
    """What took a node's daemon away.

    `lasting`: whether the scope names this roll-out and never another one; `ended`: when the
    daemon ended.
    """

    scope: str
    lasting: bool
    ended: Interval


def is_rolling(daemon_set: DaemonSet) -> bool:
    """Whether some of its Pods are, or may be, still those of an older template."""
    status = daemon_set.status
    return (
        status.observed_generation < daemon_set.metadata.generation
        or status.updated_number_scheduled < status.desired_number_scheduled
    )


def opening_of(incarnation: Incarnation) -> str:
    """What opens the gaps of the containers that an incarnation leaves unprotected at its end."""
    return "daemon:{}:{}".format(*incarnation.identity)


def rollout_of(
    node: NodeState, incarnation: Incarnation, daemon_sets: DaemonSets
) -> Rollout | None:
    """The roll-out that ended an incarnation; None if it ended otherwise, or runs."""
    pod = node.daemon_pods.get(incarnation.pod_uid)
    if pod is None or incarnation.ended is None or node.ran_again(incarnation):
        return None
    successor = node.successor(pod)
    if successor is None:
        return _begun(pod, incarnation, daemon_sets)
    former, latter = (pod.daemon_set, pod.revision), (successor.daemon_set, successor.revision)
    if former == latter or not all((*former, *latter)):
        return None
    scope, lasting = _name(successor, daemon_sets.get(successor.daemon_set or ""))
    return Rollout(scope=scope, lasting=lasting, ended=incarnation.ended)


def latest_rollout(node: NodeState, daemon_sets: DaemonSets) -> Rollout | None:
    """The roll-out from which the node has not had a daemon that was ready since."""
    for incarnation in node.past():
        found = rollout_of(node, incarnation, daemon_sets)
        if found is not None or incarnation.initialized_at is not None:
            return found
    return None


def leaves_at(rollout: Rollout, *, phase: Phase, since: Interval, limit: float) -> float:
    """When the node's gaps are no longer the roll-out's.

    It has the limit for getting a daemon that is ready, and once more for that daemon's writing of
    the rules of all its containers.
    """
    deadline = rollout.ended[1] + limit
    if phase != "ready" or since[1] > deadline:
        return deadline
    return max(since[1], rollout.ended[1]) + limit


def _begun(pod: DaemonPod, incarnation: Incarnation, daemon_sets: DaemonSets) -> Rollout | None:
    """The roll-out that takes a Pod whose successor has not been created yet."""
    daemon_set = daemon_sets.get(pod.daemon_set or "")
    if daemon_set is None or incarnation.ended is None or not is_rolling(daemon_set):
        return None
    if not (pod.deleting or incarnation.terminated):
        return None
    template = _template(daemon_set)
    if template and pod.template == template:
        return None
    scope, lasting = _name(None, daemon_set)
    return Rollout(scope=scope, lasting=lasting, ended=incarnation.ended)


def _name(successor: DaemonPod | None, daemon_set: DaemonSet | None) -> tuple[str, bool]:
    """Scope of the roll-out, and whether it is its own for ever."""
    if daemon_set is None:
        assert successor is not None
        template = successor.template
        return f"daemonset/{successor.daemon_set}@{template or successor.revision}", bool(template)
    metadata = daemon_set.metadata
    template = _template(daemon_set)
    if template and successor is not None and successor.template:
        template = successor.template
    name = f"daemonset/{metadata.namespace}/{metadata.name}"
    return f"{name}@{template or metadata.generation}", bool(template) or is_rolling(daemon_set)


def _template(daemon_set: DaemonSet) -> str:
    return (daemon_set.metadata.annotations or {}).get(TEMPLATE_GENERATION, "")
