"""Laws that hold for every history (design, section 3: facts merge)."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.model import CoverageState, DaemonLine, Gap, Incident, Report
from tests.core.histories import (
    BLOCKING,
    RULES,
    STEPS,
    Heard,
    Life,
    Step,
    ending,
    interleaved,
    repeated,
)

Aspect = Callable[[Report], object]

RELEASES: Final = st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"])
PICKS: Final = st.lists(st.integers(0, 4), max_size=80)
TURNS: Final = st.integers(0, 250)
AFTERWARDS: Final = 600.0
EXAMPLES: Final = 60


def lived(release: str, steps: Sequence[Step]) -> Life:
    return _lived(release, tuple(steps))


@lru_cache(maxsize=1000)
def _lived(release: str, steps: tuple[Step, ...], *, blocking: bool = False) -> Life:
    life = Life(release=release, rules=BLOCKING if blocking else RULES)
    life.live(steps)
    life.story.wait(AFTERWARDS)
    return life


@lru_cache(maxsize=1000)
def shuffled(
    release: str, steps: tuple[Step, ...], picks: tuple[int, ...], after: int, *, in_time: bool
) -> tuple[Report, Report]:
    """How a history ends as it was heard, and in another order of its sources."""
    life = _lived(release, steps, blocking=in_time)
    heard, head = life.story.history, life.head
    other = [*heard[:head], *interleaved(heard[head:], picks, after=after, in_time=in_time)]
    report = ending(other, started=heard[0][0], until=life.story.now).report
    return life.story.report(), report


def verdicts(report: Report) -> object:
    return [
        (c.container_id, c.verdict, c.cause, p.name, p.generation, p.predicted, p.verdict, p.grade)
        for c in report.containers
        for p in c.policies
    ]


def rounded(value: Any) -> Any:
    """Instants as far as the node's clock tells them: the more was heard, the better it is known.

    In these histories a line takes a millisecond, give or take what a float cannot hold.
    """
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, tuple | list):
        return [rounded(one) for one in value]
    if isinstance(value, Gap):
        return rounded([getattr(value, field) for field in value.__struct_fields__])
    return value


def instants(report: Report) -> object:
    return rounded(
        [(c.container_id, p.name, p.since) for c in report.containers for p in c.policies]
    )


def times(report: Report) -> object:
    return rounded(
        [
            (c.container_id, p.name, p.delay_seconds, c.exposure_seconds)
            for c in report.containers
            for p in c.policies
        ]
    )


def open_gaps(report: Report) -> object:
    return rounded([gap for gap in report.gaps if gap.state == "open"])


def ended_gaps(report: Report) -> object:
    """Withdrawn ones bear witness of the order: in another one they were never announced."""
    return rounded([gap for gap in report.gaps if gap.state == "closed"])


def nodes(report: Report) -> object:
    return report.nodes


def sources(report: Report) -> object:
    return report.sources


ALWAYS: Final = (verdicts, instants, open_gaps, nodes, sources)
IN_TIME: Final = (times, ended_gaps)


def assert_it_ends_alike(life: Life, otherwise: Iterable[Heard]) -> None:
    """A history that is heard otherwise ends with the same report."""
    heard = life.story.history
    started, until = heard[0][0], life.story.now
    assert (
        ending(otherwise, started=started, until=until).report
        == ending(heard, started=started, until=until).report
    )


LOST_IN_DELETION: Final[list[Step]] = [
    ("pod", 4, 6, 0.01),
    ("cluster policy", 3, 5, 0.01),
    ("terminate", 1, 2, 2.0),
    ("kill", 4, 3, 0.3),
]
PUSHED_BEFORE_DELETION: Final[list[Step]] = [
    ("cluster policy", 0, 3, 2.0),
    ("pod", 0, 6, 70.0),
    ("policy", 5, 7, 0.01),
    ("policy", 6, 2, 70.0),
    ("terminate", 0, 0, 70.0),
]
SILENT_UNTIL_DELETION: Final[list[Step]] = [
    ("cluster policy", 0, 2, 70.0),
    ("policy", 7, 3, 70.0),
    ("pod", 2, 3, 0.01),
    ("pod", 3, 1, 0.3),
    ("terminate", 7, 0, 15.0),
    ("remove policy", 7, 4, 0.3),
]


def _assert_alike(
    aspect: Aspect,
    release: str,
    steps: Sequence[Step],
    picks: Sequence[int],
    after: int,
    *,
    in_time: bool,
) -> None:
    usual, other = shuffled(release, tuple(steps), tuple(picks), after, in_time=in_time)
    assert aspect(other) == aspect(usual)


@pytest.mark.parametrize("aspect", ALWAYS)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, picks=PICKS, after=TURNS)
@example(release="v1.5.7", steps=LOST_IN_DELETION, picks=[2, 4, 0, 3], after=22)
@example(release="v1.6.4", steps=PUSHED_BEFORE_DELETION, picks=[3], after=41)
@example(release="v1.5.7", steps=SILENT_UNTIL_DELETION, picks=[4, 7, 6, 2, 5, 3, 1], after=39)
def test_the_order_of_the_sources_does_not_matter(
    aspect: Aspect, release: str, steps: list[Step], picks: list[int], after: int
) -> None:
    """Verdicts, their instants and what stands open: in any order, however late a source is."""
    _assert_alike(aspect, release, steps, picks, after, in_time=False)


@pytest.mark.parametrize("aspect", IN_TIME)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, picks=PICKS, after=TURNS)
def test_what_is_over_does_not_depend_on_the_order_either(
    aspect: Aspect, release: str, steps: list[Step], picks: list[int], after: int
) -> None:
    """Delays, exposures and ended gaps, where the sources are in step.

    They tell of what was, and what was is judged when it is heard. So there are four exceptions,
    which concern these alone: (1) a source that is late by the grace or more has gaps announced for
    its silence, which its lines withdraw only while the pair is still the same; (2) a pair that is
    changed or ended (a revision or deletion of its policy, labels or mode of its Pod, the Pod's
    deletion, its container's end) keeps the delay, exposure and gaps that were heard of until then,
    and lines that are heard before the change that caused them are taken to be about what was
    before; (3) a loss that is heard of only when an effect has shown that it is over is not told;
    (4) rules that only audit, which no line dates, are timed by the latest push that was read when
    they were taken to be there.
    """
    _assert_alike(aspect, release, steps, picks, after, in_time=True)


@pytest.mark.thorough
@settings(max_examples=3000, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, picks=PICKS, after=TURNS)
def test_the_order_does_not_matter_in_thousands_of_histories(
    release: str, steps: list[Step], picks: list[int], after: int
) -> None:
    for in_time, aspects in ((False, ALWAYS), (True, IN_TIME)):
        for aspect in aspects:
            _assert_alike(aspect, release, steps, picks, after, in_time=in_time)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS, stream=st.integers(0, 11), length=st.integers(0, 60))
@example(
    release="v1.5.7",
    steps=[
        ("pod", 0, 0, 0.01), ("cluster policy", 0, 0, 0.01),
        ("terminate", 0, 0, 0.01), ("cluster policy", 0, 0, 0.01),
    ],
    stream=0,
    length=2,
)  # fmt: skip
@example(
    release="v1.6.4",
    steps=[
        ("pod", 0, 1, 2.0), ("cluster policy", 3, 6, 0.01),
        ("remove policy", 4, 2, 70.0), ("annotate", 0, 6, 15.0),
    ],
    stream=1,
    length=19,
)  # fmt: skip
@example(
    release="v1.6.4",
    steps=[
        ("pod", 3, 3, 0.3), ("cluster policy", 4, 6, 0.01),
        ("delete", 4, 0, 70.0), ("namespace", 0, 4, 70.0),
    ],
    stream=11,
    length=10,
)  # fmt: skip
def test_the_end_of_a_stream_delivered_again_changes_nothing(
    release: str, steps: list[Step], stream: int, length: int
) -> None:
    life = lived(release, steps)
    heard = life.story.history
    twice = repeated(heard, stream=stream, length=length, head=life.head)
    assert_it_ends_alike(life, twice)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_lines_said_twice_change_nothing(release: str, steps: list[Step]) -> None:
    life = lived(release, steps)
    heard = life.story.history
    twice = [one for one in heard for _ in range(1 + isinstance(one[1], DaemonLine))]
    assert_it_ends_alike(life, twice)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_one_history_has_one_report(release: str, steps: list[Step]) -> None:
    life = lived(release, steps)
    heard = life.story.history
    again = ending(heard, started=heard[0][0], until=life.story.now)
    assert again.report == life.story.report()
    assert again.ticks < 10 * len(heard)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_no_container_is_covered_whose_rules_are_not_live(release: str, steps: list[Step]) -> None:
    life = lived(release, steps)
    live = {identity for daemon in life.daemons.values() for identity in daemon.live}
    blocking = {policy.name for policy in life.story.policies if policy.spec["action"] == "Block"}
    terminating = {pod.uid for pod in life.pods if pod.deleting}
    assert [
        (coverage.pod, pair.name, pair.verdict)
        for coverage in life.story.report().containers
        for pair in coverage.policies
        if pair.verdict == "covered"
        and pair.name in blocking
        and coverage.container_id not in live
        and coverage.pod_uid not in terminating
    ] == []


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_no_gap_stands_where_the_daemon_wrote_all_that_is_expected(
    release: str, steps: list[Step]
) -> None:
    life = lived(release, steps)
    in_force = life.in_force()
    assert [
        (coverage.pod, pair.name, pair.verdict, pair.cause)
        for coverage in life.story.report().containers
        for pair in coverage.policies
        if pair.verdict in {"gap", "lost"} and pair.name in in_force.get(coverage.container_id, ())
    ] == []


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_what_is_announced_adds_up_to_the_report(release: str, steps: list[Step]) -> None:
    story = lived(release, steps).story
    report = story.report()
    gaps = {one.id: one for one in story.announced if isinstance(one, Gap)}
    incidents = {one.id: one for one in story.announced if isinstance(one, Incident)}
    states = {one.container_id: one for one in story.announced if isinstance(one, CoverageState)}
    assert gaps == {gap.id: gap for gap in report.gaps}
    assert incidents == {incident.id: incident for incident in report.incidents}
    for coverage in report.containers:
        said = states.get(coverage.container_id)
        latest = (said.verdict, said.cause) if said else ("unpoliced", None)
        assert latest == (coverage.verdict, coverage.cause)


def test_the_core_is_judged_by_the_time_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every clock of the machine broken a history ends as it does otherwise."""
    steps: list[Step] = [("cluster policy", 0, 0, 2.0), ("pod", 0, 2, 15.0), ("kill", 0, 0, 70.0)]
    life = lived("v1.7.4", steps)
    heard, until = life.story.history, life.story.now

    def broken(*_: Any, **__: Any) -> float:  # whatever a clock is called with
        raise AssertionError("the core looked at a clock")

    for clock in ("time", "monotonic", "time_ns", "monotonic_ns", "perf_counter", "sleep"):
        monkeypatch.setattr(f"time.{clock}", broken)
    report = ending(heard, started=heard[0][0], until=until).report
    monkeypatch.undo()
    assert report == life.story.report()
