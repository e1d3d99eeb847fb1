"""What a node's output shows of one container's rules for one revision of a policy.

- `written`: rules were written that carry the revision, and the map is live;
- `doubtful`: a write followed, but it may carry what the daemon knew before (a possible race of two
  of its handlers, dossier 5.6), or the policy has no rule that is written at all;
- `resumed`: an `Updating` after an outage without `Deleting`, for a container that was announced;
- `removed`: the last word is that no rule remains, or that the kernel refused the map, although the
  daemon knew the revision by then;
- `overwritten`: a policy event wrote a list that the policy is not in, because it was made when
  the Pod had other labels (dossier 7.3, 12.6); `unclear`: it may have been;
- `stopped`: the runtime reported its end, which comes before its process is told to stop;
- `none`: nothing that counts.
"""

from typing import Literal, TypeAlias

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import ContainerEvidence, Incarnation
from monitor.core.node_clock import NodeClock
from monitor.core.policies import SLACK, Learned, PolicyState
from monitor.core.semantics import Behaviour

Reading: TypeAlias = Literal[
    "written", "doubtful", "resumed", "removed", "overwritten", "unclear", "stopped", "none"
]


def read(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    learned: Learned | None,
    *,
    behaviour: Behaviour | None,
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
        found = _without_line(policy, incarnation, evidence)
        return _kept(container, policy, incarnation, clock, found)
    stale = _from_stale_list(container, policy, incarnation, evidence, behaviour)
    if stale is not None:
        return stale
    found = _with_line(container, policy, incarnation, evidence, learned)
    if learned.awaits:
        found = "doubtful" if found in {"written", "doubtful", "resumed"} else "none"
    if found in {"written", "doubtful"}:
        drawn = is_drawn(container, policy, incarnation, behaviour)
        found = found if drawn else "none" if drawn is False else "unclear"
    return _kept(container, policy, incarnation, clock, found)


def _kept(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    clock: NodeClock,
    found: Reading,
) -> Reading:
    """A container that was not written since has the rules that it had when it was selected.

    So it is after a revision that only selects anew, where labels or mode were changed and changed
    back while another container of the Pod was drawn (7.3, F27), and after a change of metadata
    where the line that told of the rules was not read.
    """
    evidence = incarnation.container(container.id)
    if evidence is None or found not in {"none", "resumed"}:
        return found
    relabelled = (container.since_relabel or {}).get(policy.key)
    is_later = relabelled is not None and evidence.write_at >= relabelled[0] - SLACK
    if relabelled is not None and not is_later:
        found = "none"
    if found == "resumed" or is_later or not evidence.map_is_live:
        return found
    if not _was_selected(container, policy, evidence.write_at):
        return found
    basis = incarnation.basis(evidence, container.pod.key)
    known = (policy.learned(incarnation, clock), policy.learned_before(incarnation, clock))
    if any(each and not each.awaits and each.position < basis for each in known):
        return "doubtful"
    if not policy.is_told_unread(incarnation) or evidence.is_incomplete:
        return found
    is_as_before = relabelled is None and not policy.kept
    resumed = _after_hole(incarnation, evidence, knows=True)
    return "doubtful" if resumed == "resumed" and not is_as_before else resumed


def _was_selected(container: ContainerRecord, policy: PolicyState, at: float) -> bool:
    """Whether the revisions with these rules selected the container, as its labels were then."""
    pod = container.pod
    labels = {pod.labels_at(at - SLACK), pod.labels_at(at)} if pod.former_labels else {pod.labels}
    return all(
        each is not None
        and selector.selects(
            namespace=pod.namespace, identities=each.identities, container=container.name
        )
        for each in labels
        for selector in policy.selectors or (policy.selector,)
    )


def keeps_labels(container: ContainerRecord, behaviour: Behaviour | None) -> bool:
    """Whether the daemon's list may hold the container with labels that its Pod has no longer."""
    relists = behaviour is not None and behaviour.relists_modified_pods
    return bool(container.pod.former_labels) and not relists


def _from_stale_list(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    evidence: ContainerEvidence,
    behaviour: Behaviour | None,
) -> Reading | None:
    """Whether the latest write came of a policy event, from a list that the policy is not in."""
    if not keeps_labels(container, behaviour) or not evidence.latest_write:
        return None
    pod = container.pod
    if incarnation.basis(evidence, pod.key) != evidence.latest_write:
        return None
    lines = incarnation.pods.get(pod.key)
    labels = pod.labels_at(lines[1] / 1e9 if lines else incarnation.first_seen)
    if labels is None:
        return "unclear"
    listed = policy.selector.selects(
        namespace=pod.namespace, identities=labels.identities, container=container.name
    )
    if listed:
        return None
    return "unclear" if behaviour is None else "overwritten"


def is_drawn(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    behaviour: Behaviour | None,
) -> bool | None:
    """Whether a write since a change of labels can be the Pod's own; None where it is open.

    Of a Pod's containers one is drawn by lot (dossier 7.3). The others go on with their old list,
    which the next policy event writes.
    """
    pod, evidence = container.pod, incarnation.container(container.id)
    relabelled = (container.since_relabel or {}).get(policy.key)
    if relabelled is None or evidence is None or len(pod.containers) == 1:
        return True
    if pod.switched_at is not None and pod.switched_at >= relabelled[0]:
        return True
    since, rewritten = first_rewrite(container, incarnation, behaviour)
    if rewritten == evidence.latest_write or since < evidence.previous_write < rewritten:
        return True
    missed = any(
        group.verdict == "gap" and policy.key in group.policies for group in container.uncovered
    )
    return False if missed or evidence.previous_write <= since else None


def first_rewrite(
    container: ContainerRecord, incarnation: Incarnation, behaviour: Behaviour | None
) -> tuple[int, int]:
    """The Pod's own latest line, and the one that first made the daemon write its list since."""
    evidence = incarnation.container(container.id)
    assert evidence is not None
    pod = container.pod
    since = incarnation.pod_line_before(pod.key, evidence.latest_write)
    everywhere = behaviour is not None and behaviour.revisits_endpoints
    causes = (
        position
        for (_, namespace, _), lines in incarnation.policies.items()
        if everywhere or namespace in {"", pod.namespace}
        for position in (line.position for line in lines)
        if since < position < evidence.latest_write
    )
    return since, min(causes, default=evidence.latest_write)


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


def has_reached(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    learned: Learned | None,
) -> bool:
    """Whether rules that carry the policy were ever written, though the container has ended."""
    evidence = incarnation.container(container.id)
    if not policy.rules.enforced:
        return _unenforced(container, incarnation, evidence, learned) == "doubtful"
    if evidence is None or learned is None or not evidence.created:
        return False
    return learned.position < evidence.latest_write


def _with_line(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    evidence: ContainerEvidence,
    learned: Learned,
) -> Reading:
    basis = incarnation.basis(evidence, container.pod.key)
    if _may_be_of_another_change(container, policy, incarnation, basis):
        return "unclear"
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
    until = incarnation.last_hole
    if until is None or policy.changed[0] >= until or evidence.write_at < until:
        return "none"
    if evidence.deleted > evidence.latest_write:
        return "removed"
    return _after_hole(incarnation, evidence, knows=True)


def _after_hole(incarnation: Incarnation, evidence: ContainerEvidence, *, knows: bool) -> Reading:
    until = incarnation.last_hole
    if until is None or not knows or evidence.write_at < until:
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


def _may_be_of_another_change(
    container: ContainerRecord, policy: PolicyState, incarnation: Incarnation, basis: int
) -> bool:
    """Whether a Pod of several containers changed so often that its lines are not told apart.

    Of them one is drawn for each change (dossier 7.3); the last line is surely about the last one.
    """
    pod = container.pod
    relabelled = (container.since_relabel or {}).get(policy.key)
    if relabelled is None or len(pod.containers) == 1 or not pod.crowded:
        return False
    first = incarnation.pod_line_since(pod.key, relabelled[0] - SLACK)
    last = incarnation.pod_line_before(pod.key, incarnation.last_position + 1)
    return first is not None and first <= basis < last


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
