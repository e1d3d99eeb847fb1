"""Policies: their revisions as the API server told them, and what a daemon has learned of them.

A revision is (uid, generation). The daemon's lines name the policy only; which revision a line is
about follows from counting (design, section 3): the first line of an incarnation carries the
revision of its moment, the k-th `modified` after it the k-th MODIFIED event after that, those that
changed metadata only included. A line cannot be about an event that we saw more than `SLACK` later.
"""

from typing import Any, Final

from msgspec import Struct

from monitor.core.evidence import Incarnation, LearnedLine, PolicyKey
from monitor.core.instants import second_of
from monitor.core.kubernetes import POLICY_KINDS, Policy
from monitor.core.model import Interval, PolicyReference
from monitor.core.node_clock import NodeClock
from monitor.core.node_selector import NOTHING, NodeSelector, read_labels
from monitor.core.rules import Rules, read_rules
from monitor.core.selector import (
    Selector,
    cluster_wide,
    labels_of,
    namespaced,
    varies_by_release,
)
from monitor.core.semantics import Behaviour

SLACK: Final = 2.0
ROUNDING: Final = 1e-3
KEPT: Final = 8
EVENTS_KEPT: Final = 256
CONTAINER_KINDS: Final = ("KubeArmorPolicy", "KubeArmorClusterPolicy")
HOST_POLICY: Final = "KubeArmorHostPolicy"
NETWORK_POLICY: Final = "KubeArmorNetworkPolicy"


class Event(Struct, frozen=True, gc=False):
    """A change of the object as we saw it: `at` receive time; `generation` what it then was.

    `number`: how many came before; `began`: since when it may have happened, if a list showed it.
    """

    number: int
    at: float
    generation: int
    began: float


class Learned(Struct, frozen=True, gc=False):
    """Where a daemon's output shows that it knows the current revision.

    `awaits`: the line may as well be about the revision before; then another one is to follow it.
    """

    position: int
    at: float
    certain: bool
    awaits: bool = False


class PolicyState:
    """One policy object, from its creation to its deletion.

    `reselected`: when we last saw that policies of this kind and name have another selector;
    `kept`: the selectors of the revisions before this one since which its rules are the same.
    """

    def __init__(self, *, kind: str, policy: Policy, at: float, listed: bool) -> None:
        metadata = policy.metadata
        self.kind = kind
        self.uid = metadata.uid
        self.namespace = metadata.namespace
        self.name = metadata.name
        self.key: PolicyKey = (kind, metadata.namespace, metadata.name)
        self.created = second_of(metadata.creation_timestamp) or (at, at)
        if self.created[0] > at:  # by the API server's clock, which is fast
            self.created = (at - SLACK, at)
        self.deleted_at: float | None = None
        self.events: list[Event] = []
        self.generation = metadata.generation
        self.spec: dict[str, Any] = {}
        self.changed: Interval = (
            self.created[0],
            at if listed and metadata.generation > 1 else min(self.created[1], at),
        )
        self.selector: Selector = Selector()
        self.former: Selector | None = None
        self.reselected: float | None = None
        self.kept: tuple[Selector, ...] = ()
        self.selectors: frozenset[Selector] = frozenset()
        self.labels = labels_of({})
        self.varies = False
        self.nodes: NodeSelector = NOTHING
        self.pods: NodeSelector = NOTHING
        self.rules: Rules = Rules(())
        self.former_spec: dict[str, Any] = policy.spec or {}
        self.listed = listed
        self.counted_from = 0
        self._compile(policy.spec or {})
        first = Event(number=0, at=self.changed[1], generation=self.generation, began=0.0)
        self.events.append(first)

    def _compile(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        if self.kind == "KubeArmorPolicy":
            self.selector = namespaced(namespace=self.namespace, spec=spec)
            self.labels = labels_of(spec)
            self.varies = varies_by_release(self.labels)
        elif self.kind in CONTAINER_KINDS:
            self.selector = cluster_wide(spec=spec)
        else:
            self.nodes = read_labels(spec.get("nodeSelector"))
            if self.kind == NETWORK_POLICY:
                self.pods = read_labels(spec.get("selector"))
        self.rules = read_rules(spec)

    def modify(self, policy: Policy, *, at: float, listed: bool) -> bool:
        """Take a later state of the object; return whether it is a new revision."""
        generation = policy.metadata.generation
        renewed = generation != self.generation
        if listed and not renewed:
            return False
        before = self.events[-1]
        since, number = before.at, before.number + 1
        began = since if listed else at
        self.events.append(Event(number=number, at=at, generation=generation, began=began))
        del self.events[1:-EVENTS_KEPT]
        if listed:
            self.counted_from = number
        if not renewed:
            return False
        self.generation = generation
        self.former = self.selector
        self.changed = (since if listed else at, at)
        self.former_spec = self.spec
        former_rules = self.rules.rules
        self._compile(policy.spec or {})
        alike = self.rules.rules == former_rules
        self.kept = (*self.kept, self.former)[-KEPT:] if alike else ()
        self.selectors = frozenset((self.selector, *self.kept))
        if self.selector != self.former:
            self.reselected = at
        return True

    def succeed(self, former: "PolicyState", *, at: float) -> None:
        """Take the place of a policy of the same kind and name that is no more."""
        self.reselected = former.reselected if self.selector == former.selector else at

    def selects_under(
        self, behaviour: Behaviour, *, identities: frozenset[str], container: str
    ) -> bool:
        """Whether the namespaced policy's labels, as a release reads them, take a container."""
        spec = {"selector": {"matchLabels": self.labels}}
        selector = namespaced(namespace=self.namespace, spec=spec, behaviour=behaviour)
        return selector.admits(container) and selector.matches(identities)

    @property
    def reference(self) -> PolicyReference:
        return PolicyReference(
            kind=self.kind, namespace=self.namespace, name=self.name, generation=self.generation
        )

    def learned(self, incarnation: Incarnation, clock: NodeClock) -> Learned | None:
        """Where that daemon learned the current revision; None if no line shows it."""
        return self._learned(incarnation, clock, current=self._first_event_of(self.generation))

    def learned_before(self, incarnation: Incarnation, clock: NodeClock) -> Learned | None:
        """Where it learned the oldest revision that has the same rules, if there is one before."""
        if not self.kept:
            return None
        first = self._first_event_of(self._oldest_alike())
        return self._learned(incarnation, clock, current=first)

    def is_told_unread(self, incarnation: Incarnation) -> bool:
        """Whether what first told the daemon of these rules may stand in the last hole.

        So it is if they are older than the hole's end, and the lines since are no more than there
        were changes after the one that brought them.
        """
        until = incarnation.last_hole
        if until is None:
            return False
        brought = self._first_event_of(self._oldest_alike())
        since = brought.began if brought.number else self.created[0]
        read = sum(line.at >= until for line in incarnation.policies.get(self.key, ()))
        return since < until and read <= self.events[-1].number - brought.number

    def _oldest_alike(self) -> int:
        """The oldest generation that is known to have the rules of the current one."""
        known = list(dict.fromkeys(event.generation for event in self.events))
        return known[max(-len(known), -1 - len(self.kept))]

    def _learned(
        self, incarnation: Incarnation, clock: NodeClock, *, current: Event
    ) -> Learned | None:
        lines = incarnation.policies.get(self.key)
        if not lines or lines[-1].action == "deleted":
            return None
        if not self._about_this_object(lines[0], clock):
            return None
        if current.number == 0:
            return self._learned_before_us(lines)
        base = self._event_at(lines[0], clock)
        if lines[0].action == "modified" and (incarnation.read_whole or not self.listed):
            # It was refused when it was added, or that line was not read: this is about a change.
            base = max(base, 1)
        newest = max(base, self._event_at_most(lines[0], incarnation))
        newest += self._unread(incarnation)
        uncertain: Learned | None = None
        for line in lines:
            counted = base + line.number
            if counted >= current.number and current.at <= line.at + SLACK:
                return Learned(position=line.position, at=line.at, certain=True)
            vague = current.number == self.counted_from and line.at >= self.changed[0]
            if uncertain is None and (current.at + SLACK <= line.at or vague):
                uncertain = Learned(position=line.position, at=line.at, certain=False)
        last = lines[-1]
        is_told = newest + last.number >= current.number and current.at <= last.at + SLACK
        if uncertain is None and is_told:
            return Learned(position=last.position, at=last.at, certain=False, awaits=True)
        return uncertain

    def was_current(self, updated: float, incarnation: Incarnation, clock: NodeClock) -> bool:
        """Whether something reported then (node's clock) is about the current revision.

        That is so if that incarnation ran and knew the revision by then, as far as can be told.
        """
        stamp = int(updated * 1e9)
        instant = clock.instant(stamp)
        if incarnation.ended is not None and instant[0] > incarnation.ended[1]:
            return False
        learned = self.learned(incarnation, clock)
        if learned is not None:
            return stamp >= learned.position
        if instant[1] < self.changed[0]:
            return False
        if incarnation.first_position and incarnation.opened:
            return stamp >= incarnation.first_position
        return incarnation.running is not None and instant[0] >= incarnation.running[0]

    def _learned_before_us(self, lines: list[LearnedLine]) -> Learned:
        """The revision is the first we saw: edits before that show as `modified` lines at most."""
        edits = self.generation - 1 if self.listed else 0
        line = lines[-1] if edits > 0 else lines[0]
        return Learned(position=line.position, at=line.at, certain=lines[-1].number >= edits)

    def _first_event_of(self, generation: int) -> Event:
        generations = [event.generation for event in self.events]
        return self.events[generations.index(generation)]

    def _about_this_object(self, line: LearnedLine, clock: NodeClock) -> bool:
        """A line older than the object is about an earlier one of the same name."""
        printed = clock.instant(line.position, at=line.at)[1]
        return printed + ROUNDING >= self.created[0]

    def _event_at(self, line: LearnedLine, clock: NodeClock) -> int:
        """The event that was the latest when a first line was printed; in doubt the older."""
        printed = clock.instant(line.position, at=line.at)[0]
        latest = self.events[0]
        for event in self.events[1:]:
            if event.at > printed:
                break
            latest = event
        return latest.number

    def _event_at_most(self, line: LearnedLine, incarnation: Incarnation) -> int:
        """The latest event that a first line can be about: what was listed carries any of them."""
        lists = not 0 < incarnation.initialized < line.position
        if line.action == "added" and not lists:
            return 0
        return max(event.number for event in self.events if event.began <= line.at)

    def _unread(self, incarnation: Incarnation) -> int:
        """How many of the events may have lines in a hole of the output."""
        return sum(
            any(since - SLACK <= event.at <= until + SLACK for since, until in incarnation.holes)
            for event in self.events
        )


def kind_of(resource: str) -> str | None:
    """The policy kind that a resource holds, None for other resources."""
    return POLICY_KINDS.get(resource)
