"""What is not seen makes no verdict better, and none worse: it leads towards unknown.

Two things are left out. A Pod that is being deleted keeps the verdict of the moment in which that
began, whatever was not heard of its policies or of itself since. And no daemon here takes rules
away by itself: a proof outlives an outage (design, section 3), also one in which it was undone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct, convert

from monitor.core.evidence import PolicyKey
from monitor.core.kubernetes import POLICY_KINDS, Pod, Policy
from monitor.core.model import Changed, Observation, PairState, Report
from monitor.core.policies import CONTAINER_KINDS
from tests.core.histories import (
    NAMESPACES,
    RULES,
    UNEVEN_STEPS,
    Heard,
    Life,
    Step,
    begun,
    ending,
)
from tests.core.losses import LOSSES, Loss
from tests.core.stories import RESOURCE_OF

pytestmark = pytest.mark.thorough


PairKey: TypeAlias = tuple[str, str, str, str]  # container id, kind, namespace and name of a policy

RELEASES: Final = st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"])
HISTORIES: Final = st.tuples(st.integers(0, 3), UNEVEN_STEPS).map(
    lambda drawn: [
        ("cluster policy", drawn[0], 0, 0.3),
        ("policy", 1, 2, 0.3),
        ("pod", 0, 2, 15.0),
        ("pod", 3, 3, 0.3),
        *drawn[1],
    ]
)
GRADES: Final = (None, "inferred", "applied", "proven")
FAILED: Final = ("gap", "lost")
AFTERWARDS: Final = 600.0


def lived(release: str, steps: Sequence[Step]) -> Life:
    life = Life(release=release)
    life.live(steps)
    life.story.wait(AFTERWARDS)
    return life


def pairs(report: Report, *, without: frozenset[str] = frozenset()) -> Mapping[PairKey, PairState]:
    return {
        (coverage.container_id, pair.kind, pair.namespace, pair.name): pair
        for coverage in report.containers
        if coverage.container_id not in without
        for pair in coverage.policies
    }


def is_weaker(pair: PairState, other: PairState) -> bool:
    """Whether a grade says no more than another."""
    return GRADES.index(pair.grade) <= GRADES.index(other.grade)


def being_deleted(heard: Sequence[Heard]) -> frozenset[str]:
    """The ids of the containers whose Pod was ever told to go."""
    return frozenset(_dying(heard))


def _dying(heard: Sequence[Heard]) -> Iterator[str]:
    for _, one in heard:
        item = one.object if isinstance(one, Changed) else None
        if isinstance(item, Pod) and item.metadata.deletion_timestamp is not None:
            for status in item.status.container_statuses or ():
                yield status.container_id.rpartition("://")[2]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(release=RELEASES, steps=HISTORIES, loss=LOSSES)
def test_a_piece_that_was_not_heard_leads_to_no_false_word(
    release: str, steps: list[Step], loss: Loss
) -> None:
    life = lived(release, steps)
    heard = life.story.history
    of_objects = loss.source(heard, head=life.head).startswith("kubernetes/")
    dying = being_deleted(heard) if of_objects else frozenset()
    whole = pairs(life.story.report(), without=dying)
    partial = ending(
        loss.taken_from(heard, head=life.head), started=heard[0][0], until=life.story.now
    )
    for key, pair in pairs(partial.report, without=dying).items():
        truth = whole.get(key)
        verdict = truth.verdict if truth is not None else "absent"
        if pair.verdict == "covered":
            assert (verdict, key) in {("covered", key), ("exempt", key)}
            assert truth is None or verdict == "exempt" or is_weaker(pair, truth)
        elif pair.verdict in FAILED:
            assert (verdict, key) != ("covered", key)


class Addition(Struct, frozen=True):
    """A policy that appears and of which no daemon ever says anything.

    `namesake`: the place, among the policies of the history, of the one whose name it bears.
    """

    kind: str
    namespace: str
    namesake: int | None
    rules: int
    turn: int

    def key(self, heard: Sequence[Heard]) -> PolicyKey:
        """Its kind, namespace and name; never those of a policy that the history has."""
        namespace = self.namespace if self.kind == "KubeArmorPolicy" else ""
        known = [key for _, one in heard if (key := _policy_of(one)) is not None]
        name = "another" if self.namesake is None else known[self.namesake % len(known)][2]
        key = (self.kind, namespace, name)
        return key if key not in known else (self.kind, namespace, "another")

    def added_to(self, heard: Sequence[Heard], *, head: int) -> list[Heard]:
        kind, namespace, name = self.key(heard)
        place = head + self.turn % (len(heard) - head)
        metadata = {"uid": "another", "namespace": namespace, "name": name, "generation": 1}
        item = {"metadata": metadata, "spec": {"selector": {}, **RULES[self.rules]}}
        appears = Changed(RESOURCE_OF[kind], "ADDED", convert(item, Policy))
        return [*heard[:place], (heard[place][0], appears), *heard[place:]]


def _policy_of(observation: Observation) -> PolicyKey | None:
    if not isinstance(observation, Changed) or not isinstance(observation.object, Policy):
        return None
    metadata = observation.object.metadata
    return (POLICY_KINDS[observation.resource], metadata.namespace, metadata.name)


ADDITIONS: Final = st.builds(
    Addition,
    kind=st.sampled_from(CONTAINER_KINDS),
    namespace=st.sampled_from(NAMESPACES),
    namesake=st.none() | st.integers(0, 11),
    rules=st.integers(0, 2),
    turn=st.integers(0, 250),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(release=RELEASES, steps=HISTORIES, addition=ADDITIONS)
def test_a_policy_more_without_evidence_covers_nothing(
    release: str, steps: list[Step], addition: Addition
) -> None:
    life = lived(release, steps)
    heard = life.story.history
    before = pairs(life.story.report())
    richer = ending(
        addition.added_to(heard, head=life.head), started=heard[0][0], until=life.story.now
    )
    added, dying = addition.key(heard), being_deleted(heard)
    for key, pair in pairs(richer.report).items():
        if pair.verdict == "covered":
            assert key[1:] != added
            assert (before[key].verdict, key) == ("covered", key)
            assert key[0] in dying or is_weaker(pair, before[key])


WORST_FIRST: Final = ("gap", "lost", "unknown", "pending", "covered", "exempt", "unsupported")


def announced_otherwise(report: Report) -> list[tuple[str, str, str]]:
    """The containers of which something else was announced than their pairs show now."""
    found: list[tuple[str, str, str]] = []
    for coverage in report.containers:
        verdicts = {pair.verdict for pair in coverage.policies}
        worst = next((one for one in WORST_FIRST if one in verdicts), "unpoliced")
        if coverage.verdict != worst:
            found.append((coverage.pod, coverage.verdict, worst))
    return found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(release=RELEASES, steps=HISTORIES, loss=LOSSES)
@example(
    release="v1.5.7",
    steps=[
        ("cluster policy", 0, 0, 0.3), ("policy", 1, 2, 0.3), ("pod", 0, 2, 15.0),
        ("pod", 3, 3, 0.3), ("pod", 0, 0, 0.01), ("kill", 0, 0, 0.01),
    ],
    loss=Loss(stream=6, first=21, length=16, returns=False),
)  # fmt: skip
def test_at_every_moment_a_container_was_announced_as_its_worst_pair(
    release: str, steps: list[Step], loss: Loss
) -> None:
    life = lived(release, steps)
    heard = life.story.history
    play = begun(heard[0][0])
    for at, observation in loss.taken_from(heard, head=life.head):
        play.hear([(at, observation)])
        assert announced_otherwise(play.core.report(at)) == []
    for seconds in range(0, 90, 3):
        play.advance(heard[-1][0] + seconds)
        assert announced_otherwise(play.core.report(play.now)) == []
