"""Durations as they are typed."""

from argparse import ArgumentTypeError

import pytest

from monitor.commands.durations import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("60s", 60),
        ("2m", 120),
        ("1h", 3600),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1.5m", 90),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1d", "s", "1 m", "1m30", "1e3", "nan", "٣s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        duration(text)
