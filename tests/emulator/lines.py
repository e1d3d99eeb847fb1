"""How a daemon's output is written, and the log file format in which a kubelet keeps it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLOURS = {"DEBUG": 35, "INFO": 34, "WARN": 33, "ERROR": 31}
VERBATIM = "RAW"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a daemon's output at Unix seconds; a VERBATIM one has no stamp of its own."""

    at: float
    level: str
    text: str


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(at * 1e6))


def written(line: Line, *, zone: timedelta = timedelta()) -> list[str]:
    """Return the lines of text that an entry comes to; `zone` is the offset of local time."""
    if line.level == VERBATIM:
        return line.text.split("\n")
    stamp = (_time(line.at) + zone).strftime("%Y-%m-%d %H:%M:%S.%f")
    level = f"\x1b[{COLOURS[line.level]}m{line.level}\x1b[0m"
    return f"{stamp}\t{level}\t{line.text}".split("\n")


def cri_entry(text: str, *, microseconds: int) -> str:
    """Return one line of a container's log file."""
    stamp = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    return f"{stamp.strftime('%Y-%m-%dT%H:%M:%S.%f')}000Z stderr F {text}\n"


def updated_time(at: float) -> str:
    """Return the UpdatedTime of an alert, a log or a message."""
    return _time(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LogFile:
    """The log file of one container; the kubelet's stamps rise strictly."""

    def __init__(self, path: Path, *, zone: timedelta = timedelta()) -> None:
        self.path = path
        self._zone = zone
        self._last = 0
        path.touch()

    def append(self, line: Line, *, now: float) -> None:
        entries: list[str] = []
        for text in written(line, zone=self._zone):
            self._last = max(round(now * 1e6), self._last + 1)
            entries.append(cri_entry(text, microseconds=self._last))
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(entries))
