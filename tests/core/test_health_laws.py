"""Laws that hold where only the health service of a node's daemons is heard.

As everywhere (`test_laws`), but the second node's output is never read: its daemons are asked
whether they serve, and answer as they are. What they answer can make a gap, and never a cover.
"""

from functools import lru_cache
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.health import ANSWER_LASTS
from monitor.core.model import HealthAnswered, Report
from tests.core.histories import NODES, STEPS, Heard, Life, Step, ending, interleaved, repeated
from tests.core.test_laws import AFTERWARDS, EXAMPLES, PICKS, RELEASES, TURNS

UNREAD: Final = NODES[1]


def lived(release: str, steps: list[Step]) -> Life:
    return _lived(release, tuple(steps))


@lru_cache(maxsize=1000)
def _lived(release: str, steps: tuple[Step, ...]) -> Life:
    life = Life(release=release, unread=True)
    life.live(steps)
    return life


def ended(life: Life, heard: list[Heard], *, later: float = 0.0) -> Report:
    """How it ends if that is heard, so many seconds after the last step."""
    return ending(heard, started=heard[0][0], until=life.story.now + later).report


@settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=True)
@given(
    release=RELEASES,
    steps=STEPS,
    picks=PICKS,
    after=TURNS,
    later=st.sampled_from([0.0, 20.0, AFTERWARDS]),
)
def test_the_order_of_the_sources_does_not_matter(
    release: str, steps: list[Step], picks: list[int], after: int, later: float
) -> None:
    life = lived(release, steps)
    heard, head = life.story.history, life.head
    other = [*heard[:head], *interleaved(heard[head:], picks, after=after)]
    usual, shuffled = (ended(life, one, later=later) for one in (heard, other))
    assert shuffled.containers == usual.containers
    assert shuffled.nodes == usual.nodes
    assert [gap for gap in shuffled.gaps if gap.state == "open"] == [
        gap for gap in usual.gaps if gap.state == "open"
    ]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, stream=st.integers(0, 11), length=st.integers(0, 60))
def test_the_end_of_a_stream_delivered_again_changes_nothing(
    release: str, steps: list[Step], stream: int, length: int
) -> None:
    life = lived(release, steps)
    heard = life.story.history
    twice = [*repeated(heard, stream=stream, length=length, head=life.head)]
    assert ended(life, twice) == ended(life, heard)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_no_gap_is_ever_announced_because_of_a_start_that_took_a_second(
    release: str, steps: list[Step]
) -> None:
    life = lived(release, steps)
    assert [
        gap.cause
        for gap in ended(life, life.story.history).gaps
        if gap.node == UNREAD and gap.cause == "daemon-starting"
    ] == []


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_an_answer_covers_nothing(release: str, steps: list[Step]) -> None:
    """What is covered with the answers is covered in the same way without them."""
    life = lived(release, steps)
    heard = life.story.history
    silent = [one for one in heard if not isinstance(one[1], HealthAnswered)]
    assert _covered(ended(life, heard)) <= _covered(ended(life, silent))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_no_gap_stands_on_an_unread_node_where_rules_are_in_force(
    release: str, steps: list[Step]
) -> None:
    """Once the last answer that a daemon is starting no longer counts: it may be ready since."""
    life = lived(release, steps)
    in_force = life.in_force()
    assert [
        (coverage.pod, pair.name, pair.verdict, pair.cause)
        for coverage in ended(life, life.story.history, later=ANSWER_LASTS).containers
        for pair in coverage.policies
        if coverage.node == UNREAD
        and pair.verdict in {"gap", "lost"}
        and pair.name in in_force.get(coverage.container_id, ())
    ] == []


def _covered(report: Report) -> set[tuple[str, str, str | None]]:
    return {
        (coverage.container_id, pair.name, pair.grade)
        for coverage in report.containers
        for pair in coverage.policies
        if pair.verdict == "covered"
    }
