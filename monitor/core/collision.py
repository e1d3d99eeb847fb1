"""Policies of both kinds that bear one name: what a daemon made of it, told by its output.

KubeArmor compares cluster policies by name alone (dossier 5.6, 12.7), so of two namesakes one can
be left out or taken along with the other. Which one follows from the order of the daemon's lines;
where some of them were not read, or name a policy that we never saw, it stays open.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.namesakes import Attachment, NamesakeLine, attachment
from monitor.core.policies import PolicyState
from monitor.core.semantics import DESCRIBED, Behaviour


class Namesakes(Struct, frozen=True):
    """The policies that share a name with one: `others` are expected on the same container.

    `selects` says of every known policy of that name, deleted ones too, whether it selects it.
    """

    others: tuple[PolicyState, ...] = ()
    selects: Mapping[PolicyKey, bool] = {}


ALONE: Final = Namesakes()


def outcome(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    *,
    namesakes: Namesakes,
    behaviour: Behaviour | None,
) -> Attachment | None:
    """Whether that daemon has the policy attached to the container; None where it is open."""
    told = incarnation.names.get(policy.name, ())
    if not incarnation.read_whole or not told:
        return None
    if any(key not in namesakes.selects for _, _, key in told):
        return None
    lines = [
        NamesakeLine(position=position, action=action, key=key)
        for position, action, key in told
        if action != "patched"
    ]
    evaluated = _evaluations(container, incarnation)
    answers = {
        attachment(
            policy.key,
            lines,
            selects=namesakes.selects,
            evaluated=evaluated,
            behaviour=release,
        )
        for release in ((behaviour,) if behaviour is not None else DESCRIBED)
    }
    return answers.pop() if len(answers) == 1 else None


def removed_at(policy: PolicyState, incarnation: Incarnation) -> int:
    """Where a namesake last took the policy's place, or took it along."""
    return max(
        position
        for position, action, key in incarnation.names[policy.name]
        if action != "added" and key != policy.key
    )


def _evaluations(container: ContainerRecord, incarnation: Incarnation) -> list[int]:
    """Where the container's Pod was evaluated since the container has an endpoint."""
    evidence = incarnation.container(container.id)
    if evidence is None or not evidence.first_write:
        return []
    first = incarnation.pod_line_before(container.pod.key, evidence.first_write)
    lines = incarnation.pods.get(container.pod.key, ())
    return [position for position in lines[::2] if position >= first]
