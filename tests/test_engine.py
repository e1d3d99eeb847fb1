"""The engine: decisions are made at once, in order, at their own instants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import (
    Announcement,
    ContainerCoverage,
    ContainerGone,
    Observation,
    Outline,
    Report,
    SourceDown,
    SourceUp,
    Statistics,
)
from monitor.engine import Engine
from monitor.wire.events import Record
from tests.clock import ManualClock

START = 1000.0
EMPTY_STATISTICS = Statistics(
    coverage_containers={},
    gaps_open={},
    gaps_total={},
    gaps_withdrawn=0,
    incidents_open={},
    findings_open={},
    sources={},
    source_outage_seconds={},
    source_last_event={},
    observations={},
    rejected={},
    unrecognised_lines={},
    exposed_container_seconds=0,
    termination_exposure_seconds=0,
    pending_ages=(),
    containers=0,
    pairs=0,
)


class ScriptedCore:
    """Announces each source that goes up; announces one that is down for `patience` seconds."""

    def __init__(self, *, patience: float = 10) -> None:
        self.patience = patience
        self.decisions: list[tuple[str, float]] = []
        self.deadlines: dict[str, float] = {}
        self.stuck = False

    def observe(self, observation: Observation, now: float) -> Sequence[Announcement]:
        if isinstance(observation, SourceUp):
            self.deadlines.pop(observation.name, None)
            return [self.decided(f"up {observation.name}", now)]
        assert isinstance(observation, SourceDown)
        if observation.reason == "poison":
            raise KeyError(observation.name)
        self.deadlines[observation.name] = now + self.patience
        return []

    def tick(self, now: float) -> Sequence[Announcement]:
        due = sorted(name for name, at in self.deadlines.items() if at <= now)
        for name in () if self.stuck else due:
            del self.deadlines[name]
        return [self.decided(f"late {name}", now) for name in due]

    def decided(self, what: str, now: float) -> Announcement:
        self.decisions.append((what, now))
        return ContainerGone(pod_uid=what, container=f"{now:g}", container_id="")

    def next_deadline(self) -> float | None:
        return min(self.deadlines.values(), default=None)

    def statistics(self, now: float) -> Statistics:
        assert now
        return EMPTY_STATISTICS

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

    def outline(self, at: float) -> Outline:
        return Outline(
            at=at,
            cluster="c",
            containers=(),
            nodes=(),
            gaps=(),
            incidents=(),
            findings=(),
            sources=(),
        )

    def container(self, identity: str, *, at: float) -> ContainerCoverage | None:
        self.decisions.append((f"show {identity}", at))
        return None

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> Sequence[ContainerExplanation]:
        self.decisions.append((f"explain {namespace}/{pod}/{container}", at))
        return ()

    def explain_node(self, name: str, *, at: float) -> NodeExplanation | None:
        self.decisions.append((f"explain {name}", at))
        return None


class ListedOutbox:
    """Keeps records in a list; has room for so many."""

    def __init__(self, room_for: int = 1000) -> None:
        self.records: list[Record] = []
        self.room_for = room_for
        self.made_room = asyncio.Event()

    def append(self, records: Sequence[Record]) -> None:
        self.records.extend(records)

    async def room(self) -> None:
        while len(self.records) >= self.room_for:
            await self.made_room.wait()

    async def take(self, limit: int) -> list[tuple[int, Record]]:
        return list(enumerate(self.records[:limit]))

    async def acknowledge(self, sequence: int) -> None:
        del self.records[: sequence + 1]
        self.made_room.set()

    async def close(self) -> None:
        self.room_for = 0


class Unheard:
    """An intake to which nothing is said."""

    def deliver(self, observations: Sequence[Observation]) -> None:
        raise AssertionError(observations)

    async def room(self) -> None:
        raise AssertionError

    def reject(self, *, kind: str, reason: str, detail: str) -> None:
        raise AssertionError((kind, reason, detail))


def translation(announcement: Announcement) -> list[Record]:
    assert isinstance(announcement, ContainerGone)
    return [
        Record(
            topic="health",
            key=announcement.pod_uid,
            id=f"{announcement.pod_uid} at {announcement.container}",
            type="t",
            source="s",
            subject="",
            data=None,
        )
    ]


class Heard:
    def __init__(self) -> None:
        self.records: list[tuple[str, float]] = []

    def decided(
        self, announcements: Sequence[Announcement], records: Sequence[Record], now: float
    ) -> None:
        assert len(announcements) == len(records)
        self.records.extend((record.key, now) for record in records)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def core() -> ScriptedCore:
    return ScriptedCore()


@pytest.fixture
def outbox() -> ListedOutbox:
    return ListedOutbox()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def engine(
    clock: ManualClock, core: ScriptedCore, outbox: ListedOutbox, heard: Heard
) -> Engine:
    return Engine(core=core, outbox=outbox, clock=clock, translation=translation, listeners=[heard])


@contextlib.asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    task = asyncio.create_task(engine.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def ids(outbox: ListedOutbox) -> list[str]:
    return [record.id for record in outbox.records]


async def test_what_is_announced_is_in_the_outbox_and_told_when_deliver_returns(
    engine: Engine, outbox: ListedOutbox, heard: Heard
) -> None:
    engine.deliver([SourceUp("a"), SourceDown("b"), SourceUp("c")])
    assert ids(outbox) == ["up a at 1000", "up c at 1000"]
    assert heard.records == [("up a", START), ("up c", START)]


@pytest.mark.parametrize("turns", range(9, 20))
async def test_a_cancellation_ends_it_at_whatever_turn_it_comes(
    engine: Engine, clock: ManualClock, turns: int
) -> None:
    engine.deliver([SourceDown("a")])
    task = asyncio.create_task(engine.run())
    passing = asyncio.create_task(clock.advance(10))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=1)
    assert ended == {task}
    assert task.cancelled()
    await passing


async def test_a_deadline_fires_at_its_own_instant(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    async with running(engine):
        engine.deliver([SourceDown("a")])
        await clock.advance(9.999)
        assert core.decisions == []
        await clock.advance(100)
        assert core.decisions == [("late a", START + 10)]


async def test_an_earlier_deadline_than_the_one_slept_for_is_not_missed(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    async with running(engine):
        engine.deliver([SourceDown("a")])
        await clock.advance(1)
        core.patience = 2
        engine.deliver([SourceDown("b")])
        await clock.advance(30)
        assert core.decisions == [("late b", START + 3), ("late a", START + 10)]


async def test_nothing_wakes_the_engine_while_nothing_is_due(
    engine: Engine, clock: ManualClock
) -> None:
    async with running(engine):
        await clock.advance(0)
        assert list(clock.sleepers) == []
        engine.deliver([SourceDown("a")])
        await clock.advance(0)
        assert list(clock.sleepers) == [10]


async def test_deadlines_that_passed_unnoticed_fire_before_what_is_observed_after_them(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    engine.deliver([SourceDown("a")])
    await clock.advance(15)
    engine.deliver([SourceUp("a")])
    assert core.decisions == [("late a", START + 10), ("up a", START + 15)]


async def test_a_clock_that_is_set_back_does_not_turn_the_judgement_back(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    engine.deliver([SourceUp("a")])
    clock._now -= 3600
    engine.deliver([SourceUp("b")])
    assert core.decisions == [("up a", START), ("up b", START)]


async def test_a_deadline_that_does_not_go_away_is_a_fault_that_ends_the_loop(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    core.stuck = True
    engine.deliver([SourceDown("a")])
    task = asyncio.create_task(engine.run())
    await clock.advance(10)
    with pytest.raises(RuntimeError, match="did not go away"):
        await task


async def test_sources_wait_while_the_outbox_is_full(
    engine: Engine, outbox: ListedOutbox, clock: ManualClock
) -> None:
    outbox.room_for = 1
    engine.deliver([SourceUp("a")])
    waiting = asyncio.create_task(engine.room())
    await clock.advance(0)
    assert not waiting.done()
    await outbox.acknowledge(0)
    await waiting


async def test_an_observation_that_the_judgement_chokes_on_is_rejected_and_the_next_is_judged(
    engine: Engine, outbox: ListedOutbox
) -> None:
    engine.deliver([SourceDown("a", reason="poison"), SourceUp("b")])
    assert ids(outbox) == ["up b at 1000"]
    assert engine.statistics().rejected == {("SourceDown", "core-KeyError"): 1}
    assert engine.failed() == 1


async def test_rejected_input_is_counted_and_said_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    for line in ("{\n", "[", "{"):
        engine.reject(kind="pods", reason="malformed", detail=line)
    engine.reject(kind="pods", reason="invalid", detail="x" * 100_000)
    assert engine.statistics().rejected == {("pods", "malformed"): 3, ("pods", "invalid"): 1}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].endswith("'{\\n'")
    assert len(said[1]) < 300


async def test_reasons_without_number_share_one_count(engine: Engine) -> None:
    for number in range(1000):
        engine.reject(kind="pods", reason=f"reason {number}", detail="")
    assert len(engine.statistics().rejected) == 201
    assert engine.statistics().rejected["pods", "other"] == 800


async def test_the_engine_is_synced_when_every_required_source_was_up(
    clock: ManualClock, core: ScriptedCore, outbox: ListedOutbox
) -> None:
    engine = Engine(
        core=core, outbox=outbox, clock=clock, translation=translation, required=["a", "b"]
    )
    engine.deliver([SourceUp("a"), SourceDown("b", reason="refused")])
    assert engine.missing() == {"b": "refused"}
    assert not engine.synced.is_set()
    engine.deliver([SourceUp("b"), SourceDown("a")])
    assert engine.missing() == {}
    assert engine.synced.is_set()


async def test_observers_see_what_was_judged(
    clock: ManualClock, core: ScriptedCore, outbox: ListedOutbox
) -> None:
    seen: list[Observation] = []
    engine = Engine(
        core=core, outbox=outbox, clock=clock, translation=translation, observers=[seen.append]
    )
    engine.deliver([SourceDown("a", reason="poison"), SourceUp("b")])
    assert seen == [SourceUp("b")]


async def test_a_report_is_of_now(engine: Engine, clock: ManualClock) -> None:
    await clock.advance(5)
    assert engine.report().at == START + 5
    assert engine.outline().at == START + 5
    assert engine.statistics() == EMPTY_STATISTICS


async def test_a_container_is_shown_as_it_is_now(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    await clock.advance(5)
    assert engine.container("cafe") is None
    assert core.decisions == [("show cafe", START + 5)]


async def test_an_explanation_is_of_now(
    engine: Engine, clock: ManualClock, core: ScriptedCore
) -> None:
    await clock.advance(5)
    engine.explain("shop", "cart", "app")
    engine.explain_node("node-a")
    asked = ["explain shop/cart/app", "explain node-a"]
    assert core.decisions == [(one, START + 5) for one in asked]
