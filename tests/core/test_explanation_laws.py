"""What holds of every explanation, whatever happened."""

from collections.abc import Iterator
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from monitor.core.causes import CAUSES
from monitor.core.explanation import ContainerExplanation
from monitor.core.explanation.deciding import BY_CAUSE, OF_NODE
from monitor.core.model import ContainerCoverage
from tests.core.histories import STEPS, Life, Step

RELEASES: Final = st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"])


def lived(release: str, steps: list[Step], *, wait: float) -> Life:
    life = Life(release=release)
    life.live(steps)
    life.story.wait(wait)
    return life


def explanations(life: Life) -> Iterator[tuple[ContainerCoverage, ContainerExplanation]]:
    """What the report says of each container, and its explanation."""
    for coverage in life.story.report().containers:
        found = life.story.core.explain(
            coverage.namespace, coverage.pod, coverage.container, at=life.story.now
        )
        yield from ((coverage, one) for one in found if one.container_id == coverage.container_id)


def part(value: Struct, like: Struct) -> dict[str, object]:
    """The members of a value that another has too, its policies left out."""
    return {name: getattr(value, name) for name in like.__struct_fields__ if name != "policies"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, wait=st.sampled_from([0.0, 5.0, 60.0]))
def test_an_explanation_says_what_the_report_says(
    release: str, steps: list[Step], wait: float
) -> None:
    for coverage, explained in explanations(lived(release, steps, wait=wait)):
        assert part(explained, coverage) == part(coverage, coverage)
        pairs = zip(explained.policies, coverage.policies, strict=True)
        assert [part(one, pair) for one, pair in pairs] == [
            part(pair, pair) for pair in coverage.policies
        ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, wait=st.sampled_from([0.0, 5.0, 60.0]))
def test_every_trail_ends_with_the_one_step_that_decides(
    release: str, steps: list[Step], wait: float
) -> None:
    for _, explained in explanations(lived(release, steps, wait=wait)):
        for pair in explained.policies:
            assert [step.decides for step in pair.trail] == [
                *([False] * (len(pair.trail) - 1)),
                True,
            ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_what_is_in_force_by_its_lines_is_attached_by_the_model(
    release: str, steps: list[Step]
) -> None:
    for _, explained in explanations(lived(release, steps, wait=60)):
        for pair in explained.policies:
            if pair.grade == "applied":
                assert pair.meanings.predicted.attached is True


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_explaining_changes_nothing(release: str, steps: list[Step]) -> None:
    life = lived(release, steps, wait=5)
    before, deadline = life.story.report(), life.story.core.next_deadline()
    assert len(list(explanations(life))) == len(before.containers)
    assert (life.story.report(), life.story.core.next_deadline()) == (before, deadline)


def test_the_causes_that_questions_find_are_in_the_table() -> None:
    assert {*BY_CAUSE, *OF_NODE} <= CAUSES.keys()
