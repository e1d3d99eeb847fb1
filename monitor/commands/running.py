"""The API of a running monitor, as commands ask it."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from monitor.errors import SourceError

ANSWER_SECONDS = 10.0
PAGE = 500


def read(url: str, path: str) -> Mapping[str, Any] | None:
    """Return a JSON answer; None where there is no such thing.

    Raises SourceError for a monitor that does not answer, or not well.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/v1/{path}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise SourceError(f"the monitor at {url} cannot be read: {error}") from error
    finally:
        connection.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise SourceError(f"the monitor at {url} answered {answer.status}")
    document: Mapping[str, Any] = orjson.loads(body)
    return document


def rows(url: str, section: str, **filters: str) -> Iterator[Mapping[str, Any]]:
    """Give all rows of a section, page by page. Raises SourceError as `read`."""
    filtered = "".join(f"&{key}={quote(value, safe='')}" for key, value in filters.items())
    token = ""
    while True:
        after = f"&continue={quote(token, safe='')}" if token else ""
        page = read(url, f"{section}?limit={PAGE}{filtered}{after}") or {"items": ()}
        yield from page["items"]
        token = page.get("continue") or ""
        if not token:
            return
