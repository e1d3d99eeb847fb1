import asyncio
import json
import logging
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.sinks.jsonl import RETRY_SECONDS, JsonLines, OutputClosedError
from monitor.sinks.outbox import MemoryOutbox
from monitor.wire.events import Record
from tests.clock import ManualClock
from tests.rig.wait import eventually
from tests.sinks.records import SOURCE, record

PREFIX = "test."


@asynccontextmanager
async def delivering(
    outbox: MemoryOutbox, path: Path | str, *, clock: ManualClock | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    sink = JsonLines(outbox, str(path), prefix=PREFIX, clock=clock or ManualClock())
    task = asyncio.create_task(sink.deliver())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        sink.close()
        sink.close()


def holding(*records: Record) -> MemoryOutbox:
    outbox = MemoryOutbox(clock=ManualClock())
    outbox.append(records)
    return outbox


def keys(text: str) -> list[str]:
    return [json.loads(line)["partitionkey"] for line in text.splitlines()]


async def drained(outbox: MemoryOutbox) -> None:
    await asyncio.wait_for(outbox.drained(), 5)


async def test_each_record_is_one_line_a_structured_event_with_its_topic(tmp_path: Path) -> None:
    told = [record("a", {"deep": [1, "line\nbreak"]}), record("b", None, topic="coverage")]
    outbox = holding(*told)
    async with delivering(outbox, tmp_path / "events"):
        await drained(outbox)

    first, second = map(json.loads, (tmp_path / "events").read_text().splitlines())
    assert first == {
        "specversion": "1.0",
        "id": told[0].id,
        "source": SOURCE,
        "type": "kubearmor-monitor.gaps.v1",
        "subject": "a",
        "partitionkey": "a",
        "topic": "test.gaps",
        "datacontenttype": "application/json",
        "data": {"state": {"deep": [1, "line\nbreak"]}},
    }
    assert (second["topic"], second["data"]) == ("test.coverage", None)


async def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    for key in "ab":
        outbox = holding(record(key))
        async with delivering(outbox, tmp_path / "events"):
            await drained(outbox)

    assert keys((tmp_path / "events").read_text()) == ["a", "b"]


@pytest.mark.parametrize("torn", ['{"half', "x" * 200_000])
async def test_half_a_line_at_the_end_is_cut_off(tmp_path: Path, torn: str) -> None:
    (tmp_path / "events").write_text('{"partitionkey":"whole"}\n' + torn)
    outbox = holding(record("next"))
    async with delivering(outbox, tmp_path / "events"):
        await drained(outbox)

    assert keys((tmp_path / "events").read_text()) == ["whole", "next"]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_waited_out_in_the_middle_of_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    outbox = holding(*(record(f"key-{number}") for number in range(10)))
    async with delivering(outbox, tmp_path / "events", clock=clock):
        with files_at_most(1000):
            await eventually(lambda: _sleeping(clock), within=5, every=0.001)
        size = (tmp_path / "events").stat().st_size
        pending = outbox.statistics().records
        await clock.advance(RETRY_SECONDS)
        await drained(outbox)

    assert (size, pending) == (1000, 10)
    assert keys((tmp_path / "events").read_text()) == [f"key-{number}" for number in range(10)]
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR, logging.WARNING]


async def _sleeping(clock: ManualClock) -> bool:
    return bool(clock.sleepers)


async def test_failed_attempts_are_told_with_their_reason() -> None:
    clock = ManualClock()
    reasons: list[str] = []
    sink = JsonLines(
        holding(record()), "/dev/full", prefix=PREFIX, clock=clock, failed=reasons.append
    )
    task = asyncio.create_task(sink.deliver())
    await eventually(lambda: _sleeping(clock), within=5, every=0.001)
    task.cancel()
    await asyncio.wait({task})
    sink.close()

    assert reasons == ["ENOSPC"]


async def test_a_reader_that_left_ends_delivery_with_nothing_acknowledged(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader, writer = os.pipe()
    os.close(reader)
    outbox = holding(record())
    sink = JsonLines(outbox, str(fifo), prefix=PREFIX, clock=ManualClock())
    os.dup2(writer, sink._output)
    os.close(writer)

    with pytest.raises(OutputClosedError, match="reader of the output has gone"):
        await asyncio.wait_for(sink.deliver(), 5)
    sink.close()

    assert outbox.statistics().records == 1


async def test_a_reader_that_stalls_does_not_hold_up_the_end_nor_tear_the_next_lines(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    outbox = holding(*(record(f"key-{number}", "x" * 1000) for number in range(200)))
    sink = JsonLines(outbox, str(fifo), prefix=PREFIX, clock=ManualClock())
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    first = asyncio.create_task(sink.deliver())
    await eventually(lambda: _is_full(sink), within=5, every=0.001)
    first.cancel()
    await asyncio.wait({first}, timeout=5)
    second = asyncio.create_task(sink.deliver())
    content = await _read_until(outbox, reader)
    second.cancel()
    await asyncio.wait({second})
    sink.close()
    os.close(reader)

    assert first.cancelled()
    assert keys(content.decode()) == [f"key-{number}" for number in range(200)]


async def _is_full(sink: JsonLines) -> bool:
    return 0 < len(sink._unwritten) < 215_000


async def _read_until(outbox: MemoryOutbox, reader: int) -> bytes:
    content = b""
    drained = asyncio.ensure_future(outbox.drained())
    while not drained.done():
        await asyncio.sleep(0.001)
        content += _read(reader)
    return content + _read(reader)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


async def test_standard_output_is_written_and_left_open(capfd: pytest.CaptureFixture[str]) -> None:
    outbox = holding(record("a"))
    async with delivering(outbox, "-"):
        await drained(outbox)
    os.write(1, b"still open\n")

    lines = capfd.readouterr().out.splitlines()
    assert keys(lines[0]) == ["a"]
    assert lines[1:] == ["still open"]


async def test_a_path_that_cannot_be_opened_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name a file in a writable folder"):
        JsonLines(holding(), str(tmp_path / "no" / "folder"), prefix=PREFIX)
