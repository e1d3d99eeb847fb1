"""Durations as people write them: `60s`, `2m`, `1m30s`, `90`."""

import re
from argparse import ArgumentTypeError

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
WHOLE = re.compile(rf"\d+(?:\.\d+)?|(?:{PART.pattern})+", re.ASCII)


def duration(text: str) -> float:
    """Return seconds. Raises ArgumentTypeError for what is no duration, or none above zero."""
    if not WHOLE.fullmatch(text):
        raise ArgumentTypeError(f"not a duration such as 60s, 2m or 90: {text!r}")
    parts = PART.findall(text) or [(text, "")]
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ArgumentTypeError(f"not longer than nothing: {text!r}")
    return seconds
