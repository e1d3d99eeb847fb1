"""Arguments that more than one command takes: durations, instants, factors, ports, addresses."""

import math
import re
from argparse import ArgumentTypeError

from monitor import config

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
WHOLE = re.compile(rf"\d+(?:\.\d+)?|(?:{PART.pattern})+", re.ASCII)
LAST_PORT = 65535


def duration(text: str) -> float:
    """Return the seconds of `60s`, `2m`, `1m30s` or `90`.

    Raises ArgumentTypeError for what is no duration, or none above zero.
    """
    if not WHOLE.fullmatch(text):
        raise ArgumentTypeError(f"not a duration such as 60s, 2m or 90: {text!r}")
    parts = PART.findall(text) or [(text, "")]
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ArgumentTypeError(f"not longer than nothing: {text!r}")
    return seconds


def instant(text: str) -> float:
    """Return Unix seconds. Raises ArgumentTypeError for what is no number, or no finite one."""
    seconds = _number(text)
    if not math.isfinite(seconds):
        raise ArgumentTypeError(f"not an instant in Unix seconds: {text!r}")
    return seconds


def speed(text: str) -> float:
    """Return a factor. Raises ArgumentTypeError for what is no number above zero."""
    factor = _number(text)
    if not 0 < factor < math.inf:
        raise ArgumentTypeError(f"not a number above 0: {text!r}")
    return factor


def port(text: str) -> int:
    """Return the number of a port; 0 for a free one. Raises ArgumentTypeError for any other."""
    if not (text.isascii() and text.isdecimal()) or int(text) > LAST_PORT:
        raise ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


def peer(text: str) -> str:
    """Return an address with a host and a port. Raises ArgumentTypeError for any other."""
    try:
        host, _ = config.endpoint(text)
    except ValueError:
        host = None
    if host is None:
        raise ArgumentTypeError(f"not HOST:PORT: {text!r}")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
