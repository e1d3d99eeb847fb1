"""The monitor's own log."""

import io
import json
import logging
import queue
from collections.abc import Iterator
from typing import Literal

import pytest

from monitor.logs import DroppingHandler, JsonLine, TextLine, logging_to

ours = logging.getLogger("monitor.test")
theirs = logging.getLogger("library")


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def written(*, form: Literal["json", "text"], say: str, error: Exception | None = None) -> str:
    stream = io.StringIO()
    with logging_to(stream, form=form, level="info"):
        ours.info("seen %s", say, exc_info=error)
    return stream.getvalue()


def test_json_is_one_object_a_line() -> None:
    line = json.loads(written(form="json", say="two\nlines"))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "monitor.test", "message": "seen two\nlines"}


def test_an_error_is_a_member_of_its_line() -> None:
    line = json.loads(written(form="json", say="it", error=ValueError("why")))
    assert line["error"].endswith("ValueError: why")


def test_text_keeps_what_others_wrote_on_its_line() -> None:
    line = written(form="text", say="two\nlines \x1b[31m")
    assert line.endswith("info    seen two\\nlines \\x1b[31m\n")


@pytest.mark.parametrize("formatter", [JsonLine(), TextLine()])
def test_what_is_no_text_can_be_written(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("monitor", logging.INFO, "", 0, "seen %s", ("\ud800",), None)
    prepared = DroppingHandler(queue.Queue(1)).prepare(record)
    assert formatter.format(prepared).encode().count(b"ud800") == 1


def test_less_severe_lines_are_left_out() -> None:
    stream = io.StringIO()
    with logging_to(stream, form="text", level="warning"):
        ours.info("quiet")
        ours.warning("loud")
    assert stream.getvalue().count("\n") == 1


def test_a_library_says_the_same_thing_once() -> None:
    stream = io.StringIO()
    with logging_to(stream, form="text", level="info"):
        for attempt in range(5):
            theirs.warning("cannot connect to %s (%d)", "broker", attempt)
            ours.warning("ours %d", attempt)
    assert stream.getvalue().count("cannot connect") == 1
    assert stream.getvalue().count("ours") == 5


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(1)
    handler = DroppingHandler(waiting)
    record = logging.LogRecord("monitor", logging.INFO, "", 0, "line", None, None)
    for _ in range(3):
        handler.handle(record)
    waiting.get_nowait()
    handler.handle(record)
    kept = waiting.get_nowait()
    assert kept is not None
    assert kept.__dict__["dropped"] == 2
    assert handler.dropped == 0
