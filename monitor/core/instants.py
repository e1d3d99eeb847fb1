"""Instants and intervals.

An instant is Unix seconds as a float. What is known of an instant is an interval
`(earliest, latest)`: Kubernetes gives whole seconds, a line of text lies between the daemon's
stamp and the kubelet's, a watch event has only our receive time as its upper end.
"""

from functools import lru_cache

from monitor.core.model import Interval

DAYS_OF_400_YEARS = 146_097
DAYS_BEFORE_1970 = 719_468
DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


@lru_cache(maxsize=64)
def _midnight(day: str) -> int:
    """Unix seconds of 00:00 UTC of `YYYY-MM-DD`."""
    year, month, date = int(day[:4]), int(day[5:7]), int(day[8:10])
    if not (1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= date <= 31):
        raise ValueError(f"not a date: {day}")
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - 477
    days = (year - 1970) * 365 + leap_days + DAYS_BEFORE_MONTH[month - 1] + date - 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 86400 * (days + (leap and month > 2))


def nanoseconds(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 time in UTC (`…Z`) or with a numeric offset.

    Raises ValueError on anything else.
    """
    if len(text) < 20 or text[10] not in "T ":
        raise ValueError(f"not a time: {text[:40]!r}")
    clock = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    whole, rest = _midnight(text[:10]) + clock, text[19:]
    fraction = 0
    if rest[:1] == ".":
        digits = len(rest) - len(rest[1:].lstrip("0123456789")) - 1
        fraction = int(rest[1 : 1 + min(digits, 9)].ljust(9, "0"))
        rest = rest[1 + digits :]
    if rest != "Z":
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            raise ValueError(f"no time zone: {text[:40]!r}")
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        whole -= offset if rest[0] == "+" else -offset
    return whole * 1_000_000_000 + fraction


def seconds(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises ValueError."""
    return nanoseconds(text) / 1e9


def spelled(instant: float) -> str:
    """An instant in a sentence, in UTC and to the second; by Howard Hinnant's civil_from_days."""
    days, clock = divmod(int(instant), 86400)
    era, day = divmod(days + DAYS_BEFORE_1970, DAYS_OF_400_YEARS)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    date = day - (153 * month + 2) // 5 + 1
    # The year of this reckoning begins in March.
    month, year = (month + 3, year) if month < 10 else (month - 9, year + 1)
    time = f"{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}"
    return f"{400 * era + year:04}-{month:02}-{date:02}T{time}Z"


@lru_cache(maxsize=4096)
def second_of(text: str | None) -> Interval | None:
    """The second that a Kubernetes time names; None for none or for what is no time."""
    if not text:
        return None
    try:
        start = seconds(text)
    except ValueError:
        return None
    return (start, start + 1.0)


def later(one: Interval, other: Interval) -> Interval:
    """The later of two instants."""
    return (max(one[0], other[0]), max(one[1], other[1]))


def difference(end: Interval, start: Interval) -> Interval:
    """How long from `start` to `end`, never negative."""
    return (max(0.0, end[0] - start[1]), max(0.0, end[1] - start[0]))


def plus(one: Interval, other: Interval) -> Interval:
    """The sum of two durations."""
    return (one[0] + other[0], one[1] + other[1])
