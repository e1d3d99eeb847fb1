"""Instants as text."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.instants import spelled

END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@given(st.floats(min_value=0, max_value=END))
def test_an_instant_is_spelled_as_the_calendar_has_it(instant: float) -> None:
    expected = datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert spelled(instant) == expected
