"""Roll-outs: daemons that are replaced because their DaemonSet's template is another one now.

On each node a roll-out does what a person does who restarts the daemon, and leaves its containers
as unprotected; but it is meant so, and a hundred nodes are one event. Which ends of daemons belong
to one is told from the facts alone, so the order of their arrival does not matter: the next daemon
Pod of the node has another controller revision; or there is no next one yet, and the Pod that goes
is outdated: its DaemonSet says that not all of its Pods are of the present template, or has made
a Pod of another one since.

A roll-out is named by its DaemonSet and the generation of the template, which the API server counts
on the DaemonSet and the controller writes on each Pod; where neither says it, by the DaemonSet's
own generation, and where the DaemonSet cannot be read, by the revision's hash. A generation never
comes back, so whatever bears it is one roll-out, however long it takes from node to node.
"""

from typing import Final

from msgspec import Struct

from monitor.core.evidence import Incarnation
from monitor.core.kubernetes import DaemonSet
from monitor.core.model import Interval
from monitor.core.nodes import DaemonPod, NodeState, Phase

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"


class Rollout(Struct, frozen=True, gc=False):
    """What took a node's daemon away.

    `lasting`: whether the scope names this roll-out and never another one; `ended`: when the
    daemon ended.
    """

    scope: str
    lasting: bool
    ended: Interval


class Fleet:
    """KubeArmor's DaemonSets by `namespace/name`, and the youngest Pod of each."""

    def __init__(self) -> None:
        self.daemon_sets: dict[str, DaemonSet] = {}
        self.youngest: dict[str, DaemonPod] = {}

    def take(self, daemon_set: DaemonSet, *, deleted: bool) -> bool:
        """Note its present state; whether that can tell another story of its Pods' ends."""
        name = f"{daemon_set.metadata.namespace}/{daemon_set.metadata.name}"
        known = self.daemon_sets.pop(name, None)
        if not deleted:
            self.daemon_sets[name] = daemon_set
        return deleted or known is None or _progress(known) != _progress(daemon_set)

    def note(self, pod: DaemonPod) -> bool:
        """Note a daemon's Pod; whether it is the first of another revision."""
        if pod.daemon_set is None:
            return False
        known = self.youngest.get(pod.daemon_set)
        if known is not None and pod.created <= known.created:
            return False
        self.youngest[pod.daemon_set] = pod
        return known is not None and known.revision != pod.revision


def _progress(daemon_set: DaemonSet) -> tuple[int, bool]:
    return daemon_set.metadata.generation, _is_rolling(daemon_set)


def _is_rolling(daemon_set: DaemonSet) -> bool:
    """Whether some of its Pods are, or may be, still those of an older template."""
    status = daemon_set.status
    return (
        status.observed_generation < daemon_set.metadata.generation
        or status.updated_number_scheduled < status.desired_number_scheduled
    )


def opening_of(incarnation: Incarnation) -> str:
    """What opens the gaps of the containers that an incarnation leaves unprotected at its end."""
    return "daemon:{}:{}".format(*incarnation.identity)


def rollout_of(node: NodeState, incarnation: Incarnation, fleet: Fleet) -> Rollout | None:
    """The roll-out that ended an incarnation; None if it ended otherwise, or runs."""
    pod = node.daemon_pods.get(incarnation.pod_uid)
    if pod is None or incarnation.ended is None or node.ran_again(incarnation):
        return None
    following = successor = node.successor(pod)
    if successor is None:
        goes = pod.deleting or incarnation.terminated
        successor = fleet.youngest.get(pod.daemon_set or "")
        if successor is None or not (goes and _is_outdated(pod, successor, fleet)):
            return None
    elif (successor.daemon_set, successor.revision) == (pod.daemon_set, pod.revision):
        return None
    if not (pod.revision and successor.daemon_set and successor.revision):
        return None
    daemon_set = fleet.daemon_sets.get(successor.daemon_set)
    scope, lasting = _name(successor, daemon_set, is_there=following is not None)
    return Rollout(scope=scope, lasting=lasting, ended=incarnation.ended)


def latest_rollout(node: NodeState, fleet: Fleet) -> Rollout | None:
    """The roll-out from which the node has not had a daemon that was ready since."""
    for incarnation in node.past():
        found = rollout_of(node, incarnation, fleet)
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


def _is_outdated(pod: DaemonPod, youngest: DaemonPod, fleet: Fleet) -> bool:
    """Whether its DaemonSet would not make such a Pod any more."""
    if youngest.created > pod.created and youngest.revision != pod.revision:
        return True
    daemon_set = fleet.daemon_sets.get(pod.daemon_set or "")
    if daemon_set is None or not _is_rolling(daemon_set):
        return False
    return not pod.template or pod.template != _template(daemon_set)


def _name(pod: DaemonPod, daemon_set: DaemonSet | None, *, is_there: bool) -> tuple[str, bool]:
    """Scope of the roll-out, and whether it is its own for ever.

    `pod` is the one that the node got, or while it got none yet (`is_there`) the youngest anywhere.
    """
    name = f"daemonset/{pod.daemon_set}"
    if daemon_set is None:
        return f"{name}@{pod.template or pod.revision}", bool(pod.template)
    template = _template(daemon_set)
    if not template:
        return f"{name}@{daemon_set.metadata.generation}", _is_rolling(daemon_set)
    return f"{name}@{(is_there and pod.template) or template}", True


def _template(daemon_set: DaemonSet) -> str:
    return (daemon_set.metadata.annotations or {}).get(TEMPLATE_GENERATION, "")
