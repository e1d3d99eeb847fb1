"""What a refusal of the API server means."""

import json
import time
from email.utils import formatdate

import pytest

from monitor.sources.failures import Failure, refusal, seconds_until


def status_body(reason: str) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason}).encode()


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (401, status_body("Unauthorized"), Failure("unauthorized", "HTTP 401 Unauthorized")),
        (403, status_body("Forbidden"), Failure("forbidden", "HTTP 403 Forbidden")),
        (404, status_body("NotFound"), Failure("absent", "HTTP 404 NotFound")),
        (404, b"404 page not found\n", Failure("absent", "HTTP 404")),
        (404, b"<html>not here</html>", Failure("refused", "HTTP 404")),
        (410, status_body("Expired"), Failure("expired", "HTTP 410 Expired")),
        (400, status_body("BadRequest"), Failure("refused", "HTTP 400 BadRequest")),
        (302, b"", Failure("refused", "HTTP 302")),
        (429, b"", Failure("unavailable", "HTTP 429", 7.0)),
        (500, b"", Failure("unavailable", "HTTP 500", 7.0)),
        (503, b"<html></html>", Failure("unavailable", "HTTP 503", 7.0)),
        (503, b"[" * 5000, Failure("unavailable", "HTTP 503", 7.0)),
    ],
)
def test_a_refusal_is_one_of_a_closed_set(code: int, body: bytes, expected: Failure) -> None:
    assert refusal(code, retry_after="7", body=body) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, 0.0),
        ("", 0.0),
        ("1.5", 1.5),
        ("-1", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("soon", 0.0),
        ("86400", 300.0),
    ],
)
def test_the_wish_to_come_again_later_is_bounded(header: str | None, expected: float) -> None:
    assert seconds_until(header) == expected


def test_the_wish_to_come_again_later_may_be_a_date() -> None:
    assert 25.0 < seconds_until(formatdate(time.time() + 30, usegmt=True)) < 31.0
