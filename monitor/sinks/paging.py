"""Lists a page at a time.

A page's `continue` names the last row it had, so that rows that come and go between two pages
neither repeat nor hide others. Long lists are walked in slices, between which the loop turns.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from aiohttp import web
from msgspec import DecodeError, ValidationError, json

from monitor.core.model import Verdict

PAGE = 100
LARGEST_PAGE = 500
ROWS_AT_ONCE = 2000


class Section(NamedTuple):
    """What tells a section's rows apart, and what they can be filtered by."""

    identity: tuple[str, ...]
    filters: tuple[str, ...] = ()


SECTIONS: Mapping[str, Section] = {
    "containers": Section(("pod_uid", "container", "container_id"), ("namespace", "verdict")),
    "gaps": Section(("id",), ("namespace", "verdict")),
    "incidents": Section(("id",)),
    "findings": Section(("id",)),
    "nodes": Section(("node",), ("verdict",)),
    "sources": Section(("name",)),
}


class _Mark(NamedTuple):
    """Where a page ended: the position after its last row, and what that row was."""

    position: int
    row: tuple[str, ...]


class Question(NamedTuple):
    """What a request wants to see of a section."""

    section: Section
    filters: Mapping[str, str]
    limit: int
    after: _Mark | None

    def admits(self, item: Mapping[str, Any]) -> bool:
        """Return whether a row, as it is shown by now, is still what was asked for."""
        return all(item[name] == value for name, value in self.filters.items())


async def page(rows: Sequence[Any], question: Question) -> tuple[list[Any], str | None]:
    """Return the rows of a page, and what `continue` says if there are more."""
    section = question.section
    start = await _position(rows, question.after, section)
    found, end = await _matching(rows, start, limit=question.limit, filters=question.filters)
    if end is None:
        return found, None
    return found, _encoded(_Mark(end, _identity(rows[end - 1], section)))


def question_of(request: web.Request, name: str) -> Question:
    """Read a request's query. Raises `HTTPBadRequest` that says what makes no sense."""
    section = SECTIONS[name]
    return Question(
        section=section,
        filters=_filters(request, name, section),
        limit=_limit(request),
        after=_decoded(request.query.get("continue")),
    )


def _filters(request: web.Request, name: str, section: Section) -> dict[str, str]:
    wanted = {key: request.query[key] for key in ("namespace", "verdict") if request.query.get(key)}
    for key in wanted:
        if key not in section.filters:
            raise web.HTTPBadRequest(text=f"{name} have no {key} to filter by")
    if wanted.get("verdict", "gap") not in get_args(Verdict):
        known = ", ".join(get_args(Verdict))
        raise web.HTTPBadRequest(text=f"no such verdict; there are {known}")
    return wanted


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(PAGE))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    if not 1 <= limit <= LARGEST_PAGE:
        raise web.HTTPBadRequest(text=f"limit must be a number from 1 to {LARGEST_PAGE}")
    return limit


def _identity(row: object, section: Section) -> tuple[str, ...]:
    return tuple(getattr(row, name) for name in section.identity)


def _encoded(mark: _Mark) -> str:
    return urlsafe_b64encode(json.encode(mark)).decode().rstrip("=")


def _decoded(token: str | None) -> _Mark | None:
    if not token:
        return None
    try:
        text = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        mark = json.decode(text, type=_Mark)
    except (ValueError, DecodeError, ValidationError):
        raise web.HTTPBadRequest(text="continue is not a token that this server gave") from None
    return _Mark(max(0, mark.position), mark.row)


async def _position(rows: Sequence[Any], mark: _Mark | None, section: Section) -> int:
    """Return where the next page begins: behind the last row, wherever that is by now."""
    if mark is None:
        return 0
    guess = min(mark.position, len(rows))
    if guess > 0 and _identity(rows[guess - 1], section) == mark.row:
        return guess
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        await asyncio.sleep(0)
        for position, row in enumerate(rows[begin : begin + ROWS_AT_ONCE], begin + 1):
            if _identity(row, section) == mark.row:
                return position
    return guess


async def _matching(
    rows: Sequence[Any], start: int, *, limit: int, filters: Mapping[str, str]
) -> tuple[list[Any], int | None]:
    """Return up to `limit` rows, and where the next page begins if there are more."""
    found: list[Any] = []
    last = start
    for begin in range(start, len(rows), ROWS_AT_ONCE):
        await asyncio.sleep(0)
        for position, row in enumerate(rows[begin : begin + ROWS_AT_ONCE], begin + 1):
            if any(getattr(row, name) != value for name, value in filters.items()):
                continue
            if len(found) == limit:
                return found, last
            found.append(row)
            last = position
    return found, None
