"""What a node's output shows of one container's rules for one revision of a policy.

- `written`: rules were written that carry the revision, and the map is live;
- `doubtful`: a write followed, but it may carry what the daemon knew before (a possible race of two
  of its handlers, dossier 5.6), or the policy has no rule that is written at all;
- `resumed`: an `Updating` after an outage without `Deleting`, for a container that was announced;
- `removed`: the last word is that no rule remains, or that the kernel refused the map, although the
  daemon knew the revision by then;
- `stopped`: the runtime reported its end, which comes before its process is told to stop;
- `none`: nothing that counts.
"""

from typing import Literal, TypeAlias

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import ContainerEvidence, Incarnation
from monitor.core.node_clock import NodeClock
from monitor.core.policies import SLACK, Learned, PolicyState

Reading: TypeAlias = Literal["written", "doubtful", "resumed", "removed", "stopped", "none"]


def read(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    learned: Learned | None,
    *,
    clock: NodeClock,
) -> Reading:
    """The present state of the pair, as the lines of this incarnation show it."""
    evidence = incarnation.container(container.id)
    if not policy.rules.enforced:
        return _unenforced(container, incarnation, evidence, learned)
    if evidence is None:
        return "none"
    if evidence.has_stopped and not _stops_with_its_pod(container, evidence, clock):
        return "stopped"
    if learned is None:
        return _without_line(policy, incarnation, evidence)
    return _with_line(container, policy, incarnation, evidence, learned)


def _unenforced(
    container: ContainerRecord,
    incarnation: Incarnation,
    evidence: ContainerEvidence | None,
    learned: Learned | None,
) -> Reading:
    """No rule of the policy is ever written: that the daemon handled both has to do."""
    if learned is None:
        return "none"
    handled = bool(incarnation.pods.get(container.pod.key))
    return "doubtful" if handled or (evidence is not None and evidence.latest_write) else "none"


def _with_line(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    evidence: ContainerEvidence,
    learned: Learned,
) -> Reading:
    basis = incarnation.basis(evidence, container.pod.key)
    if evidence.map_is_live:
        if learned.position < basis and _follows_relabel(container, policy, incarnation, basis):
            raced = _is_raced(container, policy, incarnation, evidence)
            return "doubtful" if raced else "written"
        is_old = policy.key not in (container.since_relabel or {})
        return "doubtful" if is_old and learned.position < evidence.latest_write else "none"
    refused = evidence.refused > max(evidence.created, learned.position)
    last_line = incarnation.policies[policy.key][-1].position
    emptied = evidence.deleted > max(evidence.created, evidence.latest_write) and last_line < basis
    if refused or (emptied and _follows_relabel(container, policy, incarnation, basis)):
        return "removed"
    return _after_hole(incarnation, evidence, knows=learned.position < basis)


def _without_line(
    policy: PolicyState, incarnation: Incarnation, evidence: ContainerEvidence
) -> Reading:
    """The policy's line may stand in a hole: then the daemon knew the revision by its end."""
    ends = [hole[1] for hole in incarnation.holes]
    if not ends or policy.changed[0] >= max(ends) or evidence.write_at < max(ends):
        return "none"
    if evidence.deleted > evidence.latest_write:
        return "removed"
    return _after_hole(incarnation, evidence, knows=True)


def _after_hole(incarnation: Incarnation, evidence: ContainerEvidence, *, knows: bool) -> Reading:
    last_hole = max((hole[1] for hole in incarnation.holes), default=None)
    if last_hole is None or not knows or evidence.write_at < last_hole:
        return "none"
    if evidence.deleted > evidence.latest_write:
        return "none"
    # A container that was never announced gets an `Updating` too, and nothing comes of it (F8).
    return "resumed" if evidence.map_is_live or evidence.registered else "none"


def _stops_with_its_pod(
    container: ContainerRecord, evidence: ContainerEvidence, clock: NodeClock
) -> bool:
    """Whether it was let go because its Pod is being deleted: then what was before stands."""
    since = container.pod.deleting_since
    return since is not None and clock.instant(evidence.removed)[1] >= since - SLACK


def _follows_relabel(
    container: ContainerRecord, policy: PolicyState, incarnation: Incarnation, basis: int
) -> bool:
    """After a change of labels or mode only a Pod-caused write brings what is new."""
    relabelled = (container.since_relabel or {}).get(policy.key)
    if relabelled is None:
        return True
    seen = incarnation.pod_line_since(container.pod.key, relabelled[0] - SLACK)
    return seen is not None and basis >= seen


def _is_raced(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    evidence: ContainerEvidence,
) -> bool:
    """Whether the policy is one of two that were handled at the same moment, and nothing since."""
    if not incarnation.is_raced(evidence, container.pod.key):
        return False
    last = incarnation.policies[policy.key][-1].position
    return evidence.raced_from <= last <= evidence.raced_until
