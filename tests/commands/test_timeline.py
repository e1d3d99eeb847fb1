"""Traces played: the clock is the trace's, deadlines fire at their own instants."""

from collections.abc import Iterable, Sequence

import pytest

from monitor.commands.timeline import Timeline
from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import Announcement, Observation, Report, SourceDown, SourceUp
from monitor.wire.trace import Moment

START = 100.0
PATIENCE = 10.0


class Diary:
    """Notes what it is told, and makes a deadline of every source that goes down."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.deadlines: list[float] = []

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]:
        assert isinstance(observation, SourceUp | SourceDown)
        self.notes.append(f"{now:g} {observation.name}")
        if isinstance(observation, SourceDown):
            self.deadlines.append(now + float(observation.reason or PATIENCE))
        return []

    def tick(self, now: float) -> Sequence[Announcement]:
        self.notes.append(f"{now:g} tick")
        self.deadlines = [deadline for deadline in self.deadlines if deadline > now]
        return []

    def next_deadline(self) -> float | None:
        return min(self.deadlines, default=None)

    def report(self, at: float) -> Report:
        return Report(
            at=at,
            cluster="c",
            containers=(),
            nodes=(),
            gaps=(),
            incidents=(),
            findings=(),
            sources=(),
        )

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> Sequence[ContainerExplanation]:
        self.notes.append(f"{at:g} explain {namespace}/{pod}/{container}")
        return ()

    def explain_node(self, name: str, *, at: float) -> NodeExplanation | None:
        self.notes.append(f"{at:g} explain {name}")
        return None


MOMENTS = (
    Moment(at=101, observation=SourceDown("down")),
    Moment(at=102, mark="for readers"),
    Moment(at=105, observation=SourceUp("up")),
    Moment(at=111, observation=SourceUp("at the deadline")),
    Moment(at=120, observation=SourceUp("last")),
)


def timeline(moments: Iterable[Moment] = MOMENTS) -> tuple[Timeline, Diary]:
    diary = Diary()
    return Timeline(moments=moments, core=diary, started=START), diary


@pytest.mark.parametrize(
    ("until", "notes", "stopped"),
    [
        (None, ["101 down", "105 up", "111 tick", "111 at the deadline", "120 last"], 120),
        (120, ["101 down", "105 up", "111 tick", "111 at the deadline", "120 last"], 120),
        (110.9, ["101 down", "105 up"], 110.9),
        (101, ["101 down"], 101),
        (99, [], 100),
        (
            500.0,
            ["101 down", "105 up", "111 tick", "111 at the deadline", "120 last"],
            500,
        ),
    ],
)
def test_the_clock_stops_where_it_is_told_to(
    until: float | None, notes: list[str], stopped: float
) -> None:
    played, diary = timeline()
    steps = list(played.play(until))
    assert diary.notes == notes
    assert len(steps) == len(notes)
    assert played.report().at == stopped


def test_deadlines_after_the_last_line_fire_up_to_the_given_instant() -> None:
    played, diary = timeline([Moment(at=101, observation=SourceDown("down"))])
    list(played.play(200))
    assert diary.notes == ["101 down", "111 tick"]


def test_without_an_instant_no_deadline_beyond_the_last_line_fires() -> None:
    played, diary = timeline([Moment(at=101, observation=SourceDown("down"))])
    list(played.play())
    assert diary.notes == ["101 down"]


def test_a_deadline_that_a_line_makes_in_the_past_fires_at_the_line() -> None:
    played, diary = timeline([Moment(at=101, observation=SourceDown("late", reason="-5"))])
    steps = list(played.play())
    assert diary.notes == ["101 late", "101 tick"]
    assert [step.at for step in steps] == [101, 101]


def test_playing_goes_on_where_it_stopped_with_the_same_result() -> None:
    at_once, expected = timeline()
    list(at_once.play())
    in_parts, diary = timeline()
    for until in (100.5, 103, 111, None):
        list(in_parts.play(until))
    assert diary.notes == expected.notes


def test_an_empty_trace_stops_at_its_start() -> None:
    played, diary = timeline([])
    assert list(played.play()) == []
    assert played.report().at == START
    assert diary.notes == []


def test_an_explanation_is_of_where_the_clock_stands() -> None:
    played, diary = timeline()
    list(played.play(110.5))
    played.explain("shop", "cart", "app")
    played.explain_node("node-a")
    assert diary.notes[-2:] == ["110.5 explain shop/cart/app", "110.5 explain node-a"]
