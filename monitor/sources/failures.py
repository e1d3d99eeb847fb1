"""What a failed request to the Kubernetes API means, as a closed set."""

import math
import time
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

RETRY_AFTER_LIMIT_SECONDS = 300.0

FailureKind: TypeAlias = Literal[
    "unauthorized",  # the credentials are refused: read them again
    "forbidden",  # only a change of roles helps
    "absent",  # the API server says that it does not know this resource or object
    "expired",  # the version asked for is gone: list again
    "refused",  # the request itself is not accepted
    "unavailable",  # the server or a proxy asks to come again later
    "unreachable",  # no connection
    "cut",  # the connection ended in the middle
    "silent",  # nothing came for too long
    "unreadable",  # an answer that is not what it should be
    "too-large",  # an answer beyond the bound of memory
]


class Failure(Struct, frozen=True):
    """`reason` is for people; `retry_after` seconds are what the server asked for."""

    kind: FailureKind
    reason: str
    retry_after: float = 0.0


class Status(Struct, frozen=True):
    """The Status object of the Kubernetes API."""

    kind: str = ""
    reason: str = ""
    message: str = ""
    code: int = 0


def refusal(status: int, *, retry_after: str | None, body: bytes) -> Failure:
    """Return what an answer other than 200 means.

    Only the API server's own words for "not found" make a resource `absent`: a 404 of a proxy in
    front of it must not empty the world.
    """
    said = _status(body)
    reason = f"HTTP {status} {said.reason}".rstrip()
    if status == 404 and (said.reason == "NotFound" or body.strip() == b"404 page not found"):
        return Failure("absent", reason)
    if status in {408, 429} or status >= 500:
        return Failure("unavailable", reason, seconds_until(retry_after))
    known: dict[int, FailureKind] = {401: "unauthorized", 403: "forbidden", 410: "expired"}
    return Failure(known.get(status, "refused"), reason)


def seconds_until(retry_after: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, zero where it says nothing usable."""
    if not retry_after:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until_date(retry_after)
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS) if math.isfinite(seconds) else 0.0


def _seconds_until_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0


def _status(body: bytes) -> Status:
    try:
        return msgspec.json.decode(body, type=Status)
    except (ValueError, RecursionError):
        return Status()
