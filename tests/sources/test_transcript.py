"""Where the reading of a container's output goes on."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.transcript import Backlog, Reading, Transcript, stamp_of

MORNING = "2026-11-23T21:31:36"


def line(nanoseconds: int, text: str = "x") -> bytes:
    return f"{MORNING}.{nanoseconds:09d}Z {text}".encode()


@given(st.lists(st.integers(0, 999_999_999), unique=True), st.data())
def test_whatever_is_read_again_and_however_a_clock_goes_each_line_is_given_once(
    stamps: list[int], data: st.DataObject
) -> None:
    lines = [line(stamp) for stamp in stamps]
    transcript = Transcript()
    given_lines: list[bytes] = []
    for _ in range(4):
        reading = Reading(transcript)
        cut = data.draw(st.integers(0, len(lines)))
        middle = data.draw(st.integers(0, cut))
        for part in (lines[:middle], lines[middle:cut]):
            fresh = reading.fresh(part)
            transcript.note(fresh)
            for one in fresh:
                transcript.rising(stamp_of(one) or 0)
            given_lines += fresh
    given_lines += Reading(transcript).fresh(lines)

    assert given_lines == lines


def test_reading_again_begins_at_the_second_of_the_last_line() -> None:
    transcript = Transcript()
    assert transcript.since is None

    transcript.note([line(1), line(999_999_999), b"no stamp"])

    assert transcript.since == f"{MORNING}Z"


def test_a_reading_knows_whether_it_met_the_last_line_that_was_read() -> None:
    transcript = Transcript()
    transcript.note([line(5)])
    same, other = Reading(transcript), Reading(transcript)

    assert same.fresh([line(5), line(7)]) == [line(7)]
    assert other.fresh([line(7)]) == [line(7)]
    assert (same.met_known, other.met_known) == (True, False)


def test_lines_after_a_clock_was_set_back_are_stamped_after_those_before() -> None:
    transcript = Transcript()
    assert [transcript.rising(stamp) for stamp in (5, 9, 3, 4, 12)] == [5, 9, 10, 11, 12]


def test_a_stamp_is_the_kubelets_whatever_its_zone_and_digits() -> None:
    assert stamp_of(b"1970-01-01T00:00:01Z a") == 1_000_000_000
    assert stamp_of(b"1970-01-01T02:00:01.5+02:00 a") == 1_500_000_000
    assert stamp_of(b"1970-01-01T00:00:01Z") is None
    assert stamp_of(b"panic: runtime error") is None
    assert stamp_of(b"") is None


def test_a_backlog_keeps_the_newest_lines_within_its_bytes() -> None:
    backlog = Backlog(limit=10)

    backlog.add([b"aaaa", b"bbbb"])
    backlog.add([b"cccc"])

    assert (backlog.lines, backlog.dropped) == ([b"bbbb", b"cccc"], 1)
