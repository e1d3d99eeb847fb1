"""Durations, instants, ports and addresses as they are typed."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from monitor.commands.arguments import duration, instant, peer, port, speed


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


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (instant, "1795469290.03", 1795469290.03),
        (instant, "0", 0),
        (speed, "0.5", 0.5),
        (port, "0", 0),
        (port, "65535", 65535),
        (peer, "127.0.0.1:32767", "127.0.0.1:32767"),
        (peer, "[::1]:32767", "[::1]:32767"),
    ],
)
def test_what_is_typed_is_read(kind: Callable[[str], object], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((instant, text) for text in ("", "now", "nan", "inf", "-inf", "1e999")),
        *((speed, text) for text in ("", "fast", "0", "-1", "nan", "inf")),
        *((port, text) for text in ("", "-1", "65536", "1.5", "http", "٣")),
        *((peer, text) for text in ("", "relay", ":32767", "relay:", "relay:65536", "relay:x")),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        kind(text)
