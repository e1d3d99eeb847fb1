"""Which evaluation of its Pod is the one that a daemon's list has of a container.

Each event of a Pod reaches one of its containers, drawn by lot; the others go on with the labels
that the Pod had when they were last drawn (dossier 7.3). The container that is drawn is written
soon after the Pod's line. Where a policy was handled at about the same time, which makes the daemon
write all that it lists, nobody can tell whom the event reached.
"""

from msgspec import Struct

from monitor.core.containers import ContainerRecord, Labels
from monitor.core.evidence import HANDLED_WITHIN, POD_LINES_KEPT, Incarnation
from monitor.core.policies import CONTAINER_KINDS, SLACK


class Visit(Struct, frozen=True, gc=False):
    """A line about the Pod; `at`: when it was received."""

    position: int
    at: float


def visits(container: ContainerRecord, incarnation: Incarnation) -> list[Visit]:
    """The evaluations of its Pod since the daemon lists the container."""
    evidence = incarnation.container(container.id)
    if evidence is None or not evidence.first_write:
        return []
    first = incarnation.pod_line_before(container.pod.key, evidence.first_write)
    lines = incarnation.pods.get(container.pod.key, ())
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [Visit(position, at / 1e9) for position, at in pairs if position >= first]


def latest_draws(
    container: ContainerRecord, incarnation: Incarnation, known: list[Visit]
) -> list[Visit] | None:
    """Those of the visits of which each can be the last that reached it; None if others can."""
    evidence = incarnation.container(container.id)
    if len(container.pod.containers) == 1 or evidence is None:
        return known[-1:]
    found: list[Visit] = []
    for visit in reversed(known[1:]):
        if visit.position == evidence.drawn:
            return [*found, visit]
        if visit.position < evidence.drawn or _is_disturbed(visit, incarnation):
            found.append(visit)
    return None if len(known) >= POD_LINES_KEPT else [*found, *known[:1]]


def _is_disturbed(visit: Visit, incarnation: Incarnation) -> bool:
    """Whether a policy was handled so close to it that its write cannot be told from others."""
    return any(
        abs(line.position - visit.position) <= HANDLED_WITHIN
        for key, lines in incarnation.policies.items()
        if key[0] in CONTAINER_KINDS
        for line in lines
    )


def labels_at(container: ContainerRecord, visit: Visit) -> set[Labels | None]:
    """The labels that the Pod may have had by a visit; None for those that nobody saw."""
    pod = container.pod
    return {pod.labels_at(visit.at), pod.labels_at(visit.at + SLACK)}
