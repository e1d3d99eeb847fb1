"""The API of a running monitor, as commands ask it."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from monitor.errors import ConfigurationError, SourceError

ANSWER_SECONDS = 10.0
PAGE = 500
CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}
EXAMPLE = "http://127.0.0.1:9470"


def read(url: str, path: str) -> Mapping[str, Any] | None:
    """Return a JSON answer; None where the monitor says that there is no such thing.

    Raises SourceError for a monitor that does not answer, or not well, and for what is no monitor;
    ConfigurationError for an address that is none.
    """
    connection, prefix = _connection(url)
    try:
        connection.request("GET", f"{prefix}/api/v1/{path}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise SourceError(f"the monitor at {url} cannot be read: {error}") from error
    finally:
        connection.close()
    document = _document(body)
    if answer.status == 404 and "detail" in document:
        return None
    if answer.status != 200:
        raise SourceError(f"the monitor at {url} answered {answer.status}{_hint(answer.status)}")
    if not document:
        raise SourceError(f"what answers at {url} is not the API of a monitor")
    return document


def _connection(url: str) -> tuple[HTTPConnection, str]:
    """Return a connection, not yet open, and what the paths of the API begin with."""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"not an address of a monitor: {url} ({error})") from error
    if parts.scheme not in CONNECTIONS or not host:
        raise ConfigurationError(f"not an address of a monitor, such as {EXAMPLE}: {url}")
    kind = CONNECTIONS[parts.scheme]
    return kind(host, port, timeout=ANSWER_SECONDS), parts.path.rstrip("/")


def _document(body: bytes) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _hint(status: int) -> str:
    return ": its API has another address than its probes (http.api)" if status == 404 else ""


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
