import asyncio
import logging
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import ConfigurationError, MonitorError
from monitor.metrics import OutboxStatistics
from monitor.sinks.outbox import MemoryOutbox, SqliteOutbox
from monitor.sinks.pending import Limits
from monitor.wire.events import Record
from tests.clock import ManualClock
from tests.rig.wait import eventually
from tests.sinks.records import record

AT_ONCE = Limits(group_seconds=0.0)
LONGER_THAN_THE_TEST = 3600


@asynccontextmanager
async def opened(
    path: Path, *, limits: Limits = AT_ONCE, clock: ManualClock | None = None
) -> AsyncIterator[SqliteOutbox]:
    outbox = await SqliteOutbox.open(path, limits=limits, clock=clock or ManualClock())
    try:
        yield outbox
    finally:
        await outbox.close()


async def pending(outbox: SqliteOutbox | MemoryOutbox, *, limit: int = 10_000) -> list[Record]:
    """Return everything that can be taken now; fails where `take` would wait."""
    async with asyncio.timeout(5):
        return [taken for _, taken in await outbox.take(limit)]


async def pending_in(path: Path) -> list[Record]:
    async with opened(path) as outbox:
        if not outbox.statistics().records:
            return []
        return await pending(outbox)


async def waits(awaitable: asyncio.Future[object] | asyncio.Task[object]) -> bool:
    """Tell whether it is still waiting after everybody else had many turns."""
    for _ in range(50):
        await asyncio.sleep(0)
    return not awaitable.done()


def states(count: int, *, key: str = "test/uid/app") -> list[Record]:
    return [record(key, state) for state in range(count)]


async def test_what_is_appended_is_taken_in_order(tmp_path: Path) -> None:
    appended = [*states(3), record("other", None), *states(2, key="third")]
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append(appended[:4])
        outbox.append(appended[4:])
        await outbox.durable()

        assert await pending(outbox) == appended


async def test_take_returns_the_oldest_again_until_they_are_acknowledged(tmp_path: Path) -> None:
    first, second, third = states(3)
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append([first, second, third])
        await outbox.durable()
        taken = await outbox.take(2)
        again = await outbox.take(2)
        await outbox.acknowledge(taken[0][0])

        assert [one for _, one in taken] == [first, second]
        assert again == taken
        assert await pending(outbox) == [second, third]


async def test_take_waits_until_there_is_a_record(tmp_path: Path) -> None:
    async with opened(tmp_path / "outbox") as outbox:
        take = asyncio.ensure_future(outbox.take(10))
        assert await waits(take)

        outbox.append([record()])

        assert [one for _, one in await take] == [record()]


async def test_take_stops_at_so_many_bytes(tmp_path: Path) -> None:
    large = [record(state="x" * 3_000_000), record(state="y" * 3_000_000)]
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append(large)
        await outbox.durable()

        assert await pending(outbox) == large[:1]


async def test_reopening_gives_what_was_not_acknowledged(tmp_path: Path) -> None:
    appended = states(5)
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append(appended)
        await outbox.durable()
        taken = await outbox.take(5)
        await outbox.acknowledge(taken[1][0])

    assert await pending_in(tmp_path / "outbox") == appended[2:]


async def test_close_writes_what_is_waiting(tmp_path: Path) -> None:
    async with opened(tmp_path / "outbox", limits=Limits(group_seconds=60)) as outbox:
        outbox.append(states(2500))

    assert await pending_in(tmp_path / "outbox") == states(2500)


async def test_closing_twice_is_fine_and_appending_after_it_is_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "outbox") as outbox:
        await outbox.close()

        with pytest.raises(RuntimeError, match="closed"):
            outbox.append([record()])


@pytest.mark.parametrize(
    ("appended", "kept"),
    [
        pytest.param([("a", 1), ("a", 1)], [("a", 1)], id="the same state told twice"),
        pytest.param(
            [("a", 1), ("a", 2), ("a", 1)],
            [("a", 1), ("a", 2), ("a", 1)],
            id="a state that came back",
        ),
        pytest.param([("a", 1), ("b", 1), ("a", 1)], [("a", 1), ("b", 1)], id="others in between"),
        pytest.param(
            [("a", 1), ("a", None), ("a", 1)],
            [("a", 1), ("a", None), ("a", 1)],
            id="a tombstone in between",
        ),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_record_is_kept_unless_it_repeats_its_entitys_last_one(
    tmp_path: Path,
    appended: Sequence[tuple[str, int | None]],
    kept: Sequence[tuple[str, int | None]],
    *,
    restarted: bool,
) -> None:
    path = tmp_path / "outbox"
    records = [record(key, state, topic="coverage") for key, state in appended]
    async with opened(path) as outbox:
        outbox.append(records[: 1 if restarted else None])
    if restarted:
        async with opened(path) as outbox:
            outbox.append(records[1:])

    assert await pending_in(path) == [record(key, state, topic="coverage") for key, state in kept]


async def test_two_gaps_of_one_container_do_not_hide_each_other(tmp_path: Path) -> None:
    first, second = (record("container", 1, subject=gap) for gap in ("gap-1", "gap-2"))
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append([first, second])
        outbox.append([first, second])

    assert await pending_in(tmp_path / "outbox") == [first, second]


async def test_in_a_compacted_topic_another_subject_is_a_newer_state(tmp_path: Path) -> None:
    told = [
        record("key", 1, topic="coverage", subject="a"),
        record("key", None, topic="coverage", subject="b"),
        record("key", 1, topic="coverage", subject="a"),
    ]
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append(told)

    assert await pending_in(tmp_path / "outbox") == told


async def test_room_waits_while_too_much_is_not_on_the_disk(tmp_path: Path) -> None:
    limits = Limits(memory_records=10, group_seconds=LONGER_THAN_THE_TEST)
    async with opened(tmp_path / "outbox", limits=limits) as outbox:
        outbox.append(states(10))
        await outbox.room()
        outbox.append(states(1, key="more"))
        room = asyncio.ensure_future(outbox.room())
        assert await waits(room)

        await outbox.durable()

        await asyncio.wait_for(room, 5)


async def test_a_full_group_is_written_at_once(tmp_path: Path) -> None:
    limits = Limits(group_records=5, group_seconds=LONGER_THAN_THE_TEST)
    async with opened(tmp_path / "outbox", limits=limits) as outbox:
        outbox.append(states(5))

        assert await pending(outbox) == states(5)


async def test_statistics_count_and_date_what_is_pending(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "outbox", clock=clock) as outbox:
        outbox.append(states(1))
        await clock.advance(7)
        outbox.append(states(1, key="younger"))
        await outbox.durable()
        before = outbox.statistics()
        await clock.advance(3)
        taken = await outbox.take(1)
        await outbox.acknowledge(taken[0][0])
    async with opened(tmp_path / "outbox", clock=clock) as outbox:
        after = outbox.statistics()

    assert (before.records, before.dropped, before.oldest_age_seconds) == (2, 0, 7)
    assert (after.records, after.dropped, after.oldest_age_seconds) == (1, 0, 3)
    assert 0 < after.bytes < before.bytes


async def test_lag_is_measured_from_append_to_acknowledgement(tmp_path: Path) -> None:
    clock = ManualClock()
    lags: list[float] = []
    outbox = await SqliteOutbox.open(
        tmp_path / "outbox", limits=AT_ONCE, clock=clock, observe_lag=lags.append
    )
    outbox.append(states(1))
    await clock.advance(2)
    outbox.append(states(1, key="younger"))
    await outbox.durable()
    taken = await outbox.take(10)
    await clock.advance(0.5)
    await outbox.acknowledge(taken[-1][0])
    await outbox.close()

    assert lags == [2.5, 0.5]


async def test_at_the_byte_limit_the_oldest_give_way_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(disk_bytes=10_000, group_seconds=0.0)
    appended = [record(f"key-{number}", "x" * 1000) for number in range(20)]
    async with opened(tmp_path / "outbox", limits=limits) as outbox:
        for one in appended:
            outbox.append([one])
            await outbox.durable()
        statistics = outbox.statistics()
        kept = await pending(outbox)

    assert kept == appended[-len(kept) :]
    assert statistics.records == len(kept) == 20 - statistics.dropped
    assert 5 <= statistics.records < 10
    assert statistics.bytes <= 10_000
    assert "dropped the 1 oldest records" in caplog.text


async def test_a_name_that_is_no_text_does_not_block_the_rest(tmp_path: Path) -> None:
    async with opened(tmp_path / "outbox") as outbox:
        outbox.append([record("bad-\ud800", 1), record("good", 1)])
        kept = await pending(outbox)

    assert [one.key for one in kept] == ["bad-?", "good"]


# --- a disk that is full ----------------------------------------------------------------------

FULL = Limits(file_bytes=60 * 4096, memory_records=40, group_seconds=0.0)


def large(number: int) -> Record:
    return record(f"key-{number}", "x" * 8000)


async def fill(outbox: SqliteOutbox) -> list[Record]:
    """Append until the disk has no room for the last record, which is in memory then."""
    appended: list[Record] = []
    while not outbox.degraded:
        appended.append(large(len(appended)))
        outbox.append(appended[-1:])
        await settled(outbox)
    return appended


async def settled(outbox: SqliteOutbox) -> None:
    """Wait until the last record is on the disk, or cannot be."""

    durable = asyncio.ensure_future(outbox.durable())

    async def decided() -> bool:
        return outbox.degraded or durable.done()

    await eventually(decided, within=5, every=0.001)
    durable.cancel()


async def test_on_a_full_disk_records_are_offered_from_memory_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "outbox", limits=FULL, clock=clock) as outbox:
        appended = await fill(outbox)
        more = [large(number) for number in range(1000, 1005)]
        outbox.append(more)
        offered: list[Record] = []
        while len(offered) < len(appended) + len(more):
            taken = await asyncio.wait_for(outbox.take(3), 5)
            offered.extend(one for _, one in taken)
            await outbox.acknowledge(taken[-1][0])

        assert offered == [*appended, *more]
        assert [entry.levelno for entry in caplog.records] == [logging.ERROR]
        assert "outbox cannot be written (database or disk is full)" in caplog.text


async def test_the_outbox_recovers_when_the_disk_has_room_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "outbox", limits=FULL, clock=clock) as outbox:
        appended = await fill(outbox)
        taken = await outbox.take(10)
        await outbox.acknowledge(taken[-1][0])
        await clock.advance(FULL.retry_seconds)
        await asyncio.wait_for(outbox.durable(), 5)
        recovered = not outbox.degraded

    assert recovered
    assert "outbox is written again (0 records dropped so far)" in caplog.text
    assert await pending_in(tmp_path / "outbox") == appended[len(taken) :]


async def test_memory_is_bounded_on_a_full_disk_and_nobody_waits(tmp_path: Path) -> None:
    async with opened(tmp_path / "outbox", limits=FULL) as outbox:
        on_disk = (await fill(outbox))[:-1]
        outbox.append([record(f"later-{number}", 1) for number in range(100)])
        await asyncio.wait_for(outbox.room(), 5)
        statistics = outbox.statistics()
        taken = await outbox.take(1000)
        await outbox.acknowledge(taken[-1][0])
        rest = await pending(outbox)

    assert [one for _, one in taken] == on_disk
    assert statistics.dropped == 1 + 100 - 40
    assert [one.key for one in rest] == [f"later-{number}" for number in range(60, 100)]


async def test_a_disk_full_from_the_start_is_waited_for(tmp_path: Path) -> None:
    limits = Limits(file_bytes=4096, group_seconds=0.0)
    async with opened(tmp_path / "outbox", limits=limits) as outbox:
        outbox.append(states(3))

        assert outbox.degraded
        assert await pending(outbox) == states(3)


# --- a file that cannot be used ---------------------------------------------------------------


async def test_a_damaged_file_is_set_aside_and_started_afresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox"
    path.write_bytes(b"this was never a database, whatever it says" * 100)
    async with opened(path) as outbox:
        outbox.append(states(2))

    assert await pending_in(path) == states(2)
    assert (tmp_path / "outbox.corrupt").read_bytes().startswith(b"this was never")
    assert "outbox was damaged: moved to" in caplog.text


async def test_pages_damaged_while_it_was_closed_are_noticed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    async with opened(path) as outbox:
        outbox.append([large(number) for number in range(50)])
    content = bytearray(path.read_bytes())
    content[8192:40_000] = b"\xff" * (40_000 - 8192)
    path.write_bytes(content)

    assert await pending_in(path) == []
    assert (tmp_path / "outbox.corrupt").exists()


async def test_a_file_damaged_while_in_use_is_set_aside_and_what_it_held_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox"
    clock = ManualClock()
    async with opened(path, clock=clock) as outbox:
        outbox.append([large(number) for number in range(600)])
        await outbox.durable()
        for file in (path, path.with_name("outbox-wal")):
            file.write_bytes(b"\xff" * file.stat().st_size)
        take = asyncio.ensure_future(outbox.take(1))
        await eventually(lambda: _sleeps(clock), within=5, every=0.001)
        await clock.advance(AT_ONCE.retry_seconds)
        outbox.append(states(1))
        taken = await asyncio.wait_for(take, 5)
        statistics = outbox.statistics()

    assert [one for _, one in taken] == states(1)
    assert (statistics.records, statistics.dropped) == (1, 600)
    assert "600 records pending in it are not delivered" in caplog.text


async def _sleeps(clock: ManualClock) -> bool:
    return bool(clock.sleepers)


async def test_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    async with opened(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema SET version = 2")
    connection.close()

    with pytest.raises(ConfigurationError, match=r"schema version 2, this release knows 1: run"):
        await SqliteOutbox.open(path)


async def test_a_path_that_cannot_be_written_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="make its folder a writable volume"):
        await SqliteOutbox.open(tmp_path / "file" / "outbox")


# --- another process --------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from monitor.sinks.outbox import SqliteOutbox
from tests.sinks.records import record

async def main():
    outbox = await SqliteOutbox.open(Path(sys.argv[1]))
    number = 0
    while True:
        outbox.append([record(f"key-{number + i}", number + i) for i in range(7)])
        number += 7
        await outbox.durable()
        print(number, flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def writer(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_every_record_reported_durable_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    durable = 0
    async with writer(path) as process:
        assert process.stdout is not None
        while durable < 700:
            durable = int(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        durable = max([durable, *map(int, rest.split())])

    kept = await pending_in(path)

    assert len(kept) >= durable
    assert kept == [record(f"key-{number}", number) for number in range(len(kept))]


async def test_an_outbox_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sinks.outbox_file.BUSY_SECONDS", 0.01)
    path = tmp_path / "outbox"
    async with writer(path) as process:
        assert process.stdout is not None
        await process.stdout.readline()

        with pytest.raises(MonitorError, match="in use by another process"):
            await SqliteOutbox.open(path)


# --- any sequence of calls --------------------------------------------------------------------

Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["append", "take", "acknowledge", "reopen"]), st.integers(1, 7)),
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_no_sequence_of_calls_loses_a_record_or_changes_the_order(plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_follow(plan, Path(folder) / "outbox"))


async def _follow(plan: Sequence[Step], path: Path) -> None:
    outbox = await SqliteOutbox.open(path, limits=AT_ONCE)
    expected: list[Record] = []
    taken: list[tuple[int, Record]] = []
    made = 0
    for verb, amount in plan:
        if verb == "append":
            new = [record(f"key-{(made + i) % 3}", made + i) for i in range(amount)]
            made += amount
            outbox.append(new)
            expected.extend(new)
        elif verb == "take" and expected:
            await outbox.durable()
            taken = await outbox.take(amount)
            assert [one for _, one in taken] == expected[:amount]
        elif verb == "acknowledge" and taken:
            count = min(amount, len(taken))
            await outbox.acknowledge(taken[count - 1][0])
            taken, expected = [], expected[count:]
        elif verb == "reopen":
            await outbox.close()
            outbox = await SqliteOutbox.open(path, limits=AT_ONCE)
            taken = []
    await outbox.durable()
    assert (await pending(outbox) if expected else []) == expected
    await outbox.close()


# --- in memory --------------------------------------------------------------------------------


async def test_in_memory_every_record_is_offered_in_order_even_a_repeated_one() -> None:
    told = [*states(2), *states(2)]
    outbox = MemoryOutbox(clock=ManualClock())
    outbox.append(told)
    await outbox.durable()
    taken = await outbox.take(10)
    await outbox.acknowledge(taken[2][0])

    assert [one for _, one in taken] == told
    assert await pending(outbox) == told[3:]


async def test_in_memory_room_waits_for_acknowledgements() -> None:
    outbox = MemoryOutbox(clock=ManualClock(), limits=Limits(memory_records=2))
    outbox.append(states(3))
    room = asyncio.ensure_future(outbox.room())
    assert await waits(room)
    taken = await outbox.take(1)

    await outbox.acknowledge(taken[0][0])

    await asyncio.wait_for(room, 5)


async def test_in_memory_statistics_and_lag_are_those_of_what_is_pending() -> None:
    clock = ManualClock()
    lags: list[float] = []
    outbox = MemoryOutbox(clock=clock, observe_lag=lags.append)
    outbox.append(states(2))
    await clock.advance(4)
    statistics = outbox.statistics()
    taken = await outbox.take(10)
    await outbox.acknowledge(taken[-1][0])
    await outbox.close()

    assert (statistics.records, statistics.dropped, statistics.oldest_age_seconds) == (2, 0, 4)
    assert lags == [4, 4]
    assert outbox.statistics() == OutboxStatistics(
        records=0, bytes=0, dropped=0, oldest_age_seconds=0
    )
