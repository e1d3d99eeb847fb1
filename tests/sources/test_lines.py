"""Lines out of chunks."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.lines import LineBuffer, Lines


@given(st.binary(max_size=80), st.lists(st.integers(1, 10)))
def test_lines_do_not_depend_on_how_the_stream_was_cut_into_chunks(
    text: bytes, sizes: list[int]
) -> None:
    buffer = LineBuffer(limit=1000)
    lines: list[bytes] = []
    rest = text
    for size in sizes:
        lines += buffer.feed(rest[:size]).complete
        rest = rest[size:]
    lines += buffer.feed(rest).complete

    assert b"\n".join([*lines, buffer.remainder]) == text


def test_characters_that_some_take_for_the_end_of_a_line_are_none() -> None:
    text = "a\u2028b\u0085c\rd\x0b".encode()

    assert LineBuffer(limit=100).feed(text + b"\n") == Lines([text], [])


def test_a_line_that_gets_too_long_is_named_once_and_dropped_up_to_its_end() -> None:
    buffer = LineBuffer(limit=10)

    fed = [buffer.feed(chunk) for chunk in (b"short\n0123456", b"7890", b"more", b"\nnext\n", b"x")]

    assert fed == [
        Lines([b"short"], []),
        Lines([], [b"01234567890"]),
        Lines([], []),
        Lines([b"next"], []),
        Lines([], []),
    ]
    assert buffer.remainder == b"x"


def test_a_line_of_just_the_limit_is_a_line() -> None:
    assert LineBuffer(limit=3).feed(b"abc\nabcd\nabc\n") == Lines([b"abc", b"abc"], [b"abcd"])
