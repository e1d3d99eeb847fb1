"""Policies of both kinds that bear one name: what a daemon made of it, told by its output.

KubeArmor compares cluster policies by name alone (dossier 5.6, 12.7), so of two namesakes one can
be left out or taken along with the other. Which one follows from the order of the daemon's lines,
if each policy of the name selected the container, or did not, throughout. It stays open

- where the release is unknown, or holds Pods against the namespaces of another time (before v1.6.0,
  dossier 7.6);
- where lines were not read, or not all of them are kept, or one names a policy that we never saw;
- where a policy of the name was given another selector since, or means another one in an older
  release, or the daemon's list may hold the container with labels of another time, to which the
  policies of the name are something else.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from monitor.core.containers import ContainerRecord, Labels
from monitor.core.draws import Visit, labels_at, latest_draws, visits
from monitor.core.evidence import HANDLED_WITHIN, LINES_OF_A_NAME_KEPT, Incarnation, PolicyKey
from monitor.core.namesakes import Fate, NamesakeLine, fate
from monitor.core.node_clock import NodeClock
from monitor.core.policies import PolicyState
from monitor.core.reading import keeps_labels
from monitor.core.semantics import Behaviour


class Namesakes(Struct, frozen=True):
    """The policies that share a name with one: `others` are expected on the same container.

    `bearers` are all known policies of that name, deleted ones too; `selects` says of each whether
    it selects the container.
    """

    others: tuple[PolicyState, ...] = ()
    bearers: tuple[PolicyState, ...] = ()
    selects: Mapping[PolicyKey, bool] = {}


ALONE: Final = Namesakes()
HARMED: Final = frozenset({"not-stored", "removed"})


def outcome(
    container: ContainerRecord,
    policy: PolicyState,
    incarnation: Incarnation,
    *,
    namesakes: Namesakes,
    behaviour: Behaviour | None,
    clock: NodeClock,
) -> Fate | None:
    """What that daemon made of the policy on the container; None where it is open."""
    if behaviour is None or not behaviour.refreshes_namespaces:
        return None
    if not incarnation.read_whole or keeps_labels(container, behaviour):
        return None
    if _is_interrupted(container, policy, incarnation):
        return None
    told = incarnation.names.get(policy.name, ())
    if not 0 < len(told) < LINES_OF_A_NAME_KEPT:
        return None
    if any(key not in namesakes.selects for _, _, key in told):
        return None
    if not all(_is_steady(bearer, incarnation, clock) for bearer in namesakes.bearers):
        return None
    lines = [
        NamesakeLine(position=position, action=action, key=key)
        for position, action, key in told
        if action != "patched"
    ]
    evidence = incarnation.container(container.id)
    if (
        evidence is not None
        and incarnation.basis(evidence, container.pod.key) < evidence.latest_write
    ):
        # What the Pod's own event finds is written, whether or not the list keeps it (7.3).
        behaviour = replace(behaviour, relists_modified_pods=True)
    evaluated = visits(container, incarnation)
    positions = [visit.position for visit in evaluated]
    found, at_first = (
        fate(policy.key, lines, selects=namesakes.selects, evaluated=some, behaviour=behaviour)
        for some in (positions, positions[:1])
    )
    # Of several containers each event of the Pod reaches but one, by lot.
    is_drawn = len(container.pod.containers) == 1 or found.attachment == at_first.attachment
    if not is_drawn:
        return None
    drawn = _selections(container, incarnation, evaluated, namesakes=namesakes)
    if drawn is None:
        return None if found.attachment in HARMED else found
    former = [
        fate(policy.key, lines, selects=selects, evaluated=[position], behaviour=behaviour)
        for position, selects in drawn
    ]
    return _agreed(found, former)


def _selections(
    container: ContainerRecord,
    incarnation: Incarnation,
    evaluated: list[Visit],
    *,
    namesakes: Namesakes,
) -> list[tuple[int, Mapping[PolicyKey, bool]]] | None:
    """Where the daemon's list may have the container from, and what selects it by those labels.

    None if nobody can tell, nothing if no change of labels ever made a difference to the name.
    """
    changes = container.pod.former_labels
    if all(_selects(container, former, namesakes) == namesakes.selects for _, former in changes):
        return []
    drawn = latest_draws(container, incarnation, evaluated)
    if drawn is None:
        return None
    found: list[tuple[int, Mapping[PolicyKey, bool]]] = []
    for visit in drawn:
        for labels in labels_at(container, visit):
            if labels is None:
                return None
            found.append((visit.position, _selects(container, labels, namesakes)))
    return found


def _selects(
    container: ContainerRecord, labels: Labels, namesakes: Namesakes
) -> Mapping[PolicyKey, bool]:
    return {
        bearer.key: bearer.selector.selects(
            namespace=container.pod.namespace,
            identities=labels.identities,
            container=container.name,
        )
        for bearer in namesakes.bearers
    }


def _agreed(found: Fate, former: list[Fate]) -> Fate | None:
    """What is so by its present labels, unless those that the daemon has say otherwise.

    That the daemon's labels do not select it is no matter of names: other rules tell that.
    """
    attachments = {one.attachment for one in former}
    if found.attachment in HARMED and "attached" in attachments:
        return former[0] if attachments == {"attached"} else None
    if found.attachment == "attached" and attachments & HARMED:
        return None
    return found


def shares_its_name(policy: PolicyState, incarnation: Incarnation, *, namesakes: Namesakes) -> bool:
    """Whether a daemon can have met another policy of that name.

    Not so if all others were deleted before it began to run, and it never named one.
    """
    began = incarnation.running
    if began is None or any(
        key != policy.key for _, _, key in incarnation.names.get(policy.name, ())
    ):
        return True
    return any(
        other.deleted_at is None or other.deleted_at >= began[0]
        for other in namesakes.bearers
        if other.key != policy.key
    )


def _is_interrupted(
    container: ContainerRecord, policy: PolicyState, incarnation: Incarnation
) -> bool:
    """Whether a line about the name came while the Pod may have been under evaluation.

    The Pod's line comes first, then its policies are looked up, then they are written (7.2); a
    policy that comes in between may be in either of them, or in neither (5.6).
    """
    evidence = incarnation.container(container.id)
    if evidence is None or not evidence.latest_write:
        return False
    seen = incarnation.pod_line_before(container.pod.key, evidence.latest_write)
    writes = (evidence.first_write, evidence.previous_write, evidence.latest_write)
    done = min(write for write in writes if write > seen)
    within = (
        position
        for position, _, _ in incarnation.names.get(policy.name, ())
        if seen < position < done and position - seen < HANDLED_WITHIN
    )
    return any(within)


def _is_steady(policy: PolicyState, incarnation: Incarnation, clock: NodeClock) -> bool:
    """Whether the policy has had its selector since the daemon first heard of it."""
    if policy.varies:
        return False
    heard = [
        position for position, _, key in incarnation.names.get(policy.name, ()) if key == policy.key
    ]
    if policy.reselected is None or not heard:
        return True
    return policy.reselected < clock.instant(heard[0])[0]
