"""The monitor's own log: one line an event, on standard error, never waited for.

Lines are written by a thread of their own behind a bounded queue: a full pipe must not stop the
loop. What does not fit is dropped and counted. Text of untrusted origin stays on its line.
"""

import logging
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Literal, TextIO, TypeAlias

import orjson

Waiting: TypeAlias = "queue.Queue[logging.LogRecord | None]"
WAITING_LINES = 10_000
LAST_LINES_SECONDS = 2.0
REPEAT_SECONDS = 60.0
REMEMBERED_REPEATS = 1000


@contextmanager
def logging_to(stream: TextIO, *, form: Literal["json", "text"], level: str) -> Iterator[None]:
    """Send the root logger's lines there while the context lasts."""
    root = logging.getLogger()
    waiting: Waiting = queue.Queue(WAITING_LINES)
    entrance = DroppingHandler(waiting)
    entrance.addFilter(RepeatedOnce())
    writer = logging.StreamHandler(stream)
    writer.setFormatter(JsonLine() if form == "json" else TextLine())
    thread = threading.Thread(target=_write_all, args=(waiting, writer), name="log", daemon=True)
    root.setLevel(level.upper())
    root.addHandler(entrance)
    thread.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        with suppress(queue.Full):
            waiting.put(None, timeout=LAST_LINES_SECONDS)
            thread.join(timeout=LAST_LINES_SECONDS)


def _write_all(waiting: Waiting, writer: logging.Handler) -> None:
    while (record := waiting.get()) is not None:
        writer.handle(record)


class DroppingHandler(QueueHandler):
    """Queues records; drops what does not fit and says so when there is room again."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:  # type: ignore[explicit-override]  # typing.override is newer than Python 3.11
        """Render here, where the arguments still are what they were."""
        record.message = record.getMessage()
        if record.exc_info:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        record.args = record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:  # type: ignore[explicit-override]
        try:
            if self.dropped:
                record.__dict__["dropped"] = self.dropped
            self.queue.put_nowait(record)
            self.dropped = 0
        except queue.Full:
            self.dropped += 1


class RepeatedOnce(logging.Filter):
    """Lets a library say the same thing once a minute; our own lines always pass."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:  # type: ignore[explicit-override]
        if record.name.partition(".")[0] == "monitor" or record.levelno < logging.WARNING:
            return True
        said, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._passed.get(said, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._passed) >= REMEMBERED_REPEATS:
            self._passed.clear()
        self._passed[said] = now
        return True


class JsonLine(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and error where there is one."""

    def format(self, record: logging.LogRecord) -> str:  # type: ignore[explicit-override]
        members = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.message),
        }
        if record.exc_text:
            members["error"] = _encodable(record.exc_text)
        if dropped := record.__dict__.get("dropped"):
            members["droppedBefore"] = dropped
        return orjson.dumps(members).decode()


class TextLine(logging.Formatter):
    """For people: time, level, message; control characters as escapes."""

    def format(self, record: logging.LogRecord) -> str:  # type: ignore[explicit-override]
        line = f"{_stamp(record)} {record.levelname.lower():7} {_printable(record.message)}"
        dropped = record.__dict__.get("dropped")
        before = f" ({dropped} lines were dropped before this one)" if dropped else ""
        error = f"\n{_encodable(record.exc_text)}" if record.exc_text else ""
        return line + before + error


def _stamp(record: logging.LogRecord) -> str:
    instant = datetime.fromtimestamp(record.created, UTC)
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )
