"""Why a policy that should be in force is not: the causes that fit, with what shows them.

Each rule looks for positive evidence of one failure mode (dossier, section 8) and answers with the
sentence that shows it, or None. Rules are asked in the order in which they are likelier to be the
one: what a daemon says of itself first, then what its lines about the container show, then what
only its silence suggests. The first answer is the cause, the others are told beside it; without any
the gap is `unexplained`.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import SHORT_ID, ContainerEvidence, Incarnation
from monitor.core.instants import spelled
from monitor.core.model import Interval, Reason
from monitor.core.nodes import NodeState
from monitor.core.policies import Learned, PolicyState
from monitor.core.reading import is_drawn
from monitor.core.semantics import Behaviour

CLUSTER_POLICIES: Final = "kubearmorclusterpolicies"
EVALUATION: Final = 5_000_000_000
"""Nanoseconds within which the daemon evaluates a Pod after it has said that it saw it."""
UNEXPLAINED: Final = "unexplained"
REFUSED: Final = frozenset({"policy-rejected", "cluster-policy-watch-dead"})
"""The causes by which a daemon does not have the policy at all: it predicts nothing of it."""


class Case(Struct, frozen=True):
    """A pair without its rules, and all that may tell why."""

    container: ContainerRecord
    policy: PolicyState
    node: NodeState
    incarnation: Incarnation
    evidence: ContainerEvidence | None
    learned: Learned | None
    behaviour: Behaviour | None
    needed: Interval
    relabelled: Interval | None
    behind: bool

    def instant(self, position: int) -> str:
        """A line's time as the output has it: the same for whoever reads it, and whenever."""
        return spelled(position / 1e9)

    def siblings(self) -> list[tuple[ContainerRecord, ContainerEvidence]]:
        """The other containers of its Pod of which the daemon said something."""
        found = []
        for sibling in self.container.pod.containers:
            evidence = self.incarnation.container(sibling.id)
            if sibling is not self.container and evidence is not None:
                found.append((sibling, evidence))
        return found


def reasons(case: Case) -> tuple[Reason, ...]:
    """The causes that fit, the likeliest first; `unexplained` if none does."""
    found = tuple(
        Reason(cause=cause, evidence=shown)
        for cause, rule in RULES
        if (shown := rule(case)) is not None
    )
    return found or (Reason(cause=UNEXPLAINED, evidence=_seen(case)),)


def _seen(case: Case) -> str:
    """What was seen of the container, where no rule knows what to make of it."""
    evidence = case.evidence
    if evidence is None or not (evidence.registered or evidence.latest_write):
        return "the daemon's output does not name the container"
    if evidence.error and evidence.failed > evidence.created:
        return f"the kernel refused its rules: {evidence.error}"
    if evidence.deleted > evidence.latest_write:
        return f"its rule set was empty when it was written at {case.instant(evidence.deleted)}"
    if evidence.latest_write:
        return f"its rules were last pushed at {case.instant(evidence.latest_write)}, to no effect"
    return "the runtime announced it, and no rules were pushed"


# --- what a daemon says of itself -----------------------------------------------------------------


def _cluster_policy_watch_dead(case: Case) -> str | None:
    reason = case.incarnation.dead_watches.get(CLUSTER_POLICIES)
    if reason is None or case.learned is not None or case.policy.namespace:
        return None
    return f"the daemon gave up watching cluster policies: {reason}"


def _pod_informer_failed(case: Case) -> str | None:
    reason = case.incarnation.dead_watches.get("pods")
    return None if reason is None else f"`Error starting pod informer={reason}`"


def _policy_rejected(case: Case) -> str | None:
    """A policy was refused when this one was to be learned, and no line names this one (F16)."""
    refused = _refusal(case)
    if refused is None:
        return None
    position, error = refused
    return f"the daemon refused a policy at {case.instant(position)}, and did not add this: {error}"


def _refusal(case: Case) -> tuple[int, str] | None:
    lines = case.incarnation.policies.get(case.policy.key)
    if case.learned is not None or (lines and lines[0].action == "added"):
        return None
    for position, error in reversed(case.incarnation.refusals):
        if case.node.clock.instant(position)[1] >= case.policy.created[0]:
            return position, error
    return None


def _namespace_list_failed(case: Case) -> str | None:
    """The list of namespaces could not be read when the Pod was evaluated, or the policy added."""
    refused = _refusal(case)
    if refused is not None and "namespace" in refused[1].lower():
        return f"the policy that was refused at {case.instant(refused[0])} was for lack of the list"
    if case.policy.namespace or case.policy.selector.lists_namespaces:
        return None
    for failure in reversed(case.incarnation.list_failures):
        seen = case.incarnation.pod_line_before(case.container.pod.key, failure)
        if seen and failure - seen <= EVALUATION:
            return (
                f"the daemon could not list the namespaces at {case.instant(failure)}, "
                "when it evaluated the Pod"
            )
    return None


# --- what its lines about the container show ------------------------------------------------------


def _namespace_ids_unread(case: Case) -> str | None:
    evidence = case.evidence
    if evidence is None or not evidence.zero_namespaces:
        return None
    return (
        f"the daemon registered it at {case.instant(evidence.registered)} with a namespace id of 0"
    )


def _outer_map_full(case: Case) -> str | None:
    evidence = case.evidence
    if evidence is None or evidence.failed_step != "outer" or evidence.refused < evidence.created:
        return None
    return f"its map was refused at {case.instant(evidence.failed)}: {evidence.error}"


def _inner_map_full(case: Case) -> str | None:
    evidence = case.evidence
    if evidence is None or not evidence.is_incomplete:
        return None
    return f"a rule was refused at {case.instant(evidence.failed)}: {evidence.error}"


def _stale_container_id(case: Case) -> str | None:
    """After a restart the daemon's list keeps the dead container's id (F27, up to v1.6.12)."""
    former = (case.container.pod.former or {}).get(case.container.name)
    if former is None or case.learned is None:
        return None
    if case.behaviour is None or case.behaviour.relists_modified_pods:
        return None
    dead = case.incarnation.container(former)
    if dead is None or dead.latest_write <= case.learned.position:
        return None
    return (
        f"after the policy's line the daemon pushed rules to {former[:SHORT_ID]}, the id that the "
        "container had before its restart"
    )


def _mode_not_retroactive(case: Case) -> str | None:
    """Enabling a Pod's protection reaches one of its containers, drawn at random (F28)."""
    pod = case.container.pod
    if case.relabelled is None or pod.switched_at is None or pod.switched_at < case.relabelled[0]:
        return None
    return (
        "the Pod's annotation was changed to enabled, and the daemon has not pushed this "
        "container's rules since"
    )


def _partial_refresh(case: Case) -> str | None:
    """After a change of labels one container of the Pod is handled, drawn at random (F25)."""
    if case.relabelled is None:
        return None
    pair = (case.container, case.policy, case.incarnation)
    since = case.incarnation.pod_line_since(case.container.pod.key, case.relabelled[0])
    if since is None:
        return None
    drawn = [sibling.name for sibling, told in case.siblings() if told.latest_write > since]
    written = case.evidence is not None and case.evidence.latest_write > since
    if not drawn or (written and is_drawn(*pair, case.behaviour) is not False):
        return None
    return f"after the Pod's change the daemon pushed the rules of {', '.join(drawn)} only"


def _late_container(case: Case) -> str | None:
    """An id that was published after its siblings' is not in the daemon's list (F26)."""
    published = case.container.published
    earlier = [
        sibling.name
        for sibling, told in case.siblings()
        if told.first_write and case.node.clock.instant(told.first_write)[1] < published
    ]
    late = bool(earlier) and case.container.started[0] > min(
        sibling.started[1] for sibling in case.container.pod.containers
    )
    if not late:
        return None
    if case.learned is None or case.learned.position <= _latest(case):
        return None
    return f"its id was published after the daemon had listed the Pod with {', '.join(earlier)}"


def _latest(case: Case) -> int:
    return case.evidence.latest_write if case.evidence is not None else 0


def _container_source_dead(case: Case) -> str | None:
    """No runtime event for a container whose rules the daemon did try to write (F8)."""
    evidence = case.evidence
    if evidence is not None and evidence.registered:
        return None
    if evidence is not None and evidence.latest_write:
        return "the daemon pushed its rules, and never printed `Detected a container` for it"
    source = case.incarnation.container_source
    if source == "started":
        return None
    return f"the daemon's source of container events is {source or 'not started'}"


# --- what its silence suggests --------------------------------------------------------------------


def _event_queue_lag(case: Case) -> str | None:
    return "the daemon is still printing lines about older Pods" if case.behind else None


def _daemon_hung(case: Case) -> str | None:
    """Nothing was printed since the container started, not even a line about its Pod (F4)."""
    if not case.incarnation.lines or case.incarnation.last_at >= case.container.started[0]:
        return None
    return f"the daemon has printed nothing since {case.instant(case.incarnation.last_position)}"


RULES: Final[tuple[tuple[str, Callable[[Case], str | None]], ...]] = (
    ("cluster-policy-watch-dead", _cluster_policy_watch_dead),
    ("pod-informer-failed", _pod_informer_failed),
    ("policy-rejected", _policy_rejected),
    ("namespace-list-failed", _namespace_list_failed),
    ("namespace-ids-unread", _namespace_ids_unread),
    ("outer-map-full", _outer_map_full),
    ("inner-map-full", _inner_map_full),
    ("stale-container-id", _stale_container_id),
    ("mode-not-retroactive", _mode_not_retroactive),
    ("partial-refresh", _partial_refresh),
    ("late-container", _late_container),
    ("container-source-dead", _container_source_dead),
    ("event-queue-lag", _event_queue_lag),
    ("daemon-hung", _daemon_hung),
)
