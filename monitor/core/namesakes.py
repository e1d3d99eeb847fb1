"""Whether a policy is attached to one container, where policies of both kinds bear its name.

The daemon compares a cluster policy by name alone (dossier 5.6), so which of the namesakes is
attached follows from the order of its lines: where each was added, modified or deleted, and where
the container's Pod was evaluated. Two short lists are enough to follow it: what of that name is
stored, and what of it is attached.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from monitor.core.daemon_events import CLUSTER_KIND, Action
from monitor.core.evidence import PolicyKey
from monitor.core.semantics import NEWEST, Behaviour

Attachment: TypeAlias = Literal["attached", "not-stored", "removed", "not-attached"]


class Fate(Struct, frozen=True, gc=False):
    """What became of a policy, and where a namesake last did it harm (0: nowhere)."""

    attachment: Attachment
    position: int


class NamesakeLine(Struct, frozen=True, gc=False):
    """A daemon's line about a policy of that name; `position` orders the daemon's stream."""

    position: int
    action: Action
    key: PolicyKey


def fate(
    key: PolicyKey,
    lines: Sequence[NamesakeLine],
    *,
    selects: Mapping[PolicyKey, bool],
    evaluated: Sequence[int],
    behaviour: Behaviour = NEWEST,
) -> Fate:
    """Say whether the policy `key` is attached, and if not whether a namesake is why.

    `lines` are those of all policies of its name in one incarnation, `evaluated` the positions at
    which the Pod was evaluated when its container had an id, both in order; `selects` says which of
    the policies select the container, as its labels and they are now.

    `not-stored`: a namesake kept it out of the daemon's list, so that the container never got it,
    or lost it when its Pod was evaluated again. `removed`: a namesake took its place or took it
    along when it was deleted. `not-attached`: it was not added, was deleted itself, or does not
    select the container.
    """
    name = _Name(key, selects=selects, behaviour=behaviour)
    visits = [(position, None) for position in evaluated]
    events = [*visits, *((line.position, line) for line in lines)]
    for _, line in sorted(events, key=lambda event: event[0]):
        if line is None:
            name.evaluate()
        else:
            name.hear(line)
    return Fate(attachment=name.answer(), position=name.harmed)


class _Name:
    """What a daemon holds of one name: the stored policies, and those attached to a container."""

    def __init__(
        self, key: PolicyKey, *, selects: Mapping[PolicyKey, bool], behaviour: Behaviour
    ) -> None:
        self._key = key
        self._selects = selects
        self._behaviour = behaviour
        self._stored: list[PolicyKey] = []
        self._attached: list[PolicyKey] | None = None
        self._loss: Attachment = "not-attached"
        self.harmed = 0

    def answer(self) -> Attachment:
        if self._key in (self._attached or ()):
            return "attached"
        return self._loss if self._selects.get(self._key) else "not-attached"

    def evaluate(self) -> None:
        if self._attached is None or self._behaviour.relists_modified_pods:
            self._attached = [key for key in self._stored if self._takes(key)]

    def _takes(self, key: PolicyKey) -> bool:
        leaks = self._behaviour.leaks_namespaced and key[0] != CLUSTER_KIND
        return leaks or self._selects.get(key, False)

    def hear(self, line: NamesakeLine) -> None:
        if line.key == self._key and line.action != "modified":
            self._loss = "not-attached"
        added = line.action == "added"
        self._meet(line, _change(self._stored, line.action, line.key, inserts=added))
        fits = self._selects.get(line.key, False)
        widens = line.key[0] == CLUSTER_KIND or self._behaviour.revisits_endpoints
        if self._attached is None or not (widens or fits):
            return
        action: Action = "deleted" if line.action == "modified" and not fits else line.action
        inserts = fits and (added or widens)
        self._meet(line, _change(self._attached, action, line.key, inserts=inserts))

    def _meet(self, line: NamesakeLine, met: PolicyKey | None) -> None:
        """Note what a line did to the policy by meeting a namesake."""
        if met is None or met == line.key:
            return
        if line.action == "added" and line.key == self._key:
            self._loss, self.harmed = "not-stored", line.position
        elif line.action != "added" and met == self._key:
            self._loss, self.harmed = "removed", line.position


def _change(
    among: list[PolicyKey], action: Action, key: PolicyKey, *, inserts: bool
) -> PolicyKey | None:
    """Do to a list what a line does to it; return what the policy was taken for there."""
    by_name = key[0] == CLUSTER_KIND
    index = next((i for i, other in enumerate(among) if by_name or other == key), None)
    if index is None:
        if inserts and action != "deleted":
            among.append(key)
        return None
    met = among[index]
    if action == "deleted":
        del among[index]
    elif action == "modified":
        among[index] = key
    return met
