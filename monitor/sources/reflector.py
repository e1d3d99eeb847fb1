"""List and watch of one resource as bookkeeping: no socket, no clock, no task.

`request()` says what to ask the API server next and how long to wait before; what comes back is
told through `page`, `opened`, `lines`, `ended` and `failed`, which return what to deliver.

A list is asked for in pages and becomes one `Listed` when its last page is there; an aborted list
delivers nothing. The watch begins at the list's version and each event or bookmark moves that
version on, so that a watch that is cut resumes where it was: nothing is missed, although the source
is down while it is away. Where something may have been missed (the version expired, a line could
not be read) the resource is listed again, and the second `Listed` replaces the first: what is
missing in it was deleted.

Versions are opaque: they are compared with nothing and never made up.
"""

from random import Random
from typing import TypeAlias

from msgspec import Struct

from monitor.core.kubernetes import Object, Resource
from monitor.core.model import Changed, Listed, Observation
from monitor.retry import HEALTHY_SECONDS, Backoff
from monitor.sources import RejectionReason, quoted
from monitor.sources.failures import Failure
from monitor.sources.lines import Lines
from monitor.sources.sight import Sight
from monitor.wire import kubernetes as wire
from monitor.wire.kubernetes import Bookmark, Undecodable, WatchError

PAGE_ITEMS = 500
WATCH_SECONDS = (240, 480)
ANSWER_SECONDS = 30.0
RENEWAL_SECONDS = 10.0
SLOW_RETRY_SECONDS = 60.0
RESUMES_BEFORE_RELIST = 3

REASONS: dict[wire.FlawReason, RejectionReason] = {
    "malformed": "malformed",
    "invalid": "invalid",
    "too-deep": "too-deep",
    "text": "text-repaired",
}


class ListRequest(Struct, frozen=True):
    """Ask for a page of the list after `delay` seconds."""

    delay: float
    renew_credentials: bool
    limit: int
    continue_token: str
    answer_within: float = ANSWER_SECONDS


class WatchRequest(Struct, frozen=True):
    """Watch from a version after `delay` seconds."""

    delay: float
    renew_credentials: bool
    resource_version: str
    timeout_seconds: int
    answer_within: float = ANSWER_SECONDS


Request: TypeAlias = ListRequest | WatchRequest


class Rejection(Struct, frozen=True):
    reason: RejectionReason
    detail: str


class Outcome(Struct):
    """What to deliver and what to count; `abandon` ends the connection that it came from."""

    observations: list[Observation]
    rejections: list[Rejection]
    abandon: bool = False


class Reflector:
    """Keeps whoever follows its observations equal to the server, whatever is cut or lost.

    With `optional` a resource that the server does not know is empty instead of unreadable: a
    custom resource that is not installed (yet). It is asked for again every minute.
    """

    def __init__(self, *, resource: Resource, optional: bool, random: Random) -> None:
        self._sight = Sight(f"kubernetes/{resource}")
        self._resource: Resource = resource
        self._optional = optional
        self._random = random
        self._backoff = Backoff(random=random)
        self._expiry_backoff = Backoff(random=random)
        self._delay = 0.0
        self._renew_credentials = False
        self._limit = PAGE_ITEMS
        self._listing = True
        self._items: list[Object] = []
        self._continue_token = ""
        self._list_version = ""
        self._version = ""
        self._refused_resumes = 0
        self._opened_at: float | None = None
        self._renewing = False

    @property
    def name(self) -> str:
        return self._sight.name

    def request(self) -> Request:
        if self._listing:
            return ListRequest(
                delay=self._delay,
                renew_credentials=self._renew_credentials,
                limit=self._limit,
                continue_token=self._continue_token,
            )
        return WatchRequest(
            delay=self._delay,
            renew_credentials=self._renew_credentials,
            resource_version=self._version,
            timeout_seconds=self._random.randint(*WATCH_SECONDS),
            answer_within=RENEWAL_SECONDS if self._renewing else ANSWER_SECONDS,
        )

    def page(self, body: bytes, *, now: float) -> Outcome:
        """Take the answer to a `ListRequest`."""
        outcome = Outcome([], [])
        try:
            page = wire.decode_list(self._resource, body)
        except Undecodable as error:
            outcome.rejections.append(Rejection(REASONS[error.reason], quoted(body)))
            return self._fail(Failure("unreadable", "the list cannot be read"), now, outcome)
        if not page.resource_version:
            outcome.rejections.append(Rejection("invalid", "a list without a version"))
            return self._fail(Failure("unreadable", "the list has no version"), now, outcome)
        outcome.rejections += [Rejection(REASONS[flaw.reason], flaw.detail) for flaw in page.flaws]
        self._list_version = self._list_version or page.resource_version
        self._items += page.items
        self._continue_token = page.continue_token
        self._proceed()
        if not page.continue_token:
            self._finish_list(outcome)
        return outcome

    def opened(self, *, now: float) -> None:
        """Take the beginning of the answer to a `WatchRequest`.

        That alone does not make a source up: an expired version is refused within the answer.
        """
        self._opened_at = now
        self._renewing = False
        self._proceed()

    def settled(self) -> Outcome:
        """Take that a watch has stood for a while without a word."""
        outcome = Outcome([], [])
        self._see(outcome)
        return outcome

    def lines(self, lines: Lines, *, now: float) -> Outcome:
        """Take lines of a watch."""
        outcome = Outcome([], [])
        for line in lines.complete:
            if line.strip():
                self._line(line, now, outcome)
            if outcome.abandon:
                return outcome
        if lines.overlong:
            outcome.rejections += [Rejection("too-long", quoted(head)) for head in lines.overlong]
            self._lose("a line is too long", now, outcome)
        return outcome

    def ended(self, *, remainder: bytes, now: float) -> Outcome:
        """Take the end of a watch; one that was well is renewed at once and was never away."""
        outcome = Outcome([], [])
        if remainder.strip():
            outcome.rejections.append(Rejection("truncated", quoted(remainder)))
            return self._fail(Failure("cut", "ended in the middle of a line"), now, outcome)
        if not self._was_healthy(now):
            return self._fail(Failure("cut", "ended early"), now, outcome)
        self._backoff.reset()
        self._opened_at = None
        self._refused_resumes = 0
        self._renewing = True
        return outcome

    def failed(self, failure: Failure, *, now: float) -> Outcome:
        """Take the failure of a request or of a connection."""
        return self._fail(failure, now, Outcome([], []))

    def _line(self, line: bytes, now: float, outcome: Outcome) -> None:
        match self._decoded(line, outcome):
            case Changed() as event:
                self._see(outcome)
                self._advance(event.object.metadata.resource_version)
                outcome.observations.append(event)
            case Bookmark(resource_version=version):
                self._see(outcome)
                self._advance(version)
            case WatchError(code=410):
                self._fail(Failure("expired", "the version expired"), now, outcome)
            case WatchError(code=code, reason=reason):
                said = f"watch error {code} {reason}".rstrip()
                self._fail(Failure("unavailable", said), now, outcome)
            case Undecodable(reason="malformed"):
                self._lose("a line cannot be read", now, outcome)
            case _:
                pass  # a new list would hold that object too, and it would be as unusable there

    def _decoded(
        self, line: bytes, outcome: Outcome
    ) -> Changed | Bookmark | WatchError | Undecodable:
        try:
            return wire.decode_event(self._resource, line)
        except Undecodable as error:
            detail = f"{error}: {quoted(line)}"
            outcome.rejections.append(Rejection(REASONS[error.reason], detail))
            if error.reason != "text":
                return error
        return self._decoded(wire.sanitised(line), outcome)

    def _see(self, outcome: Outcome) -> None:
        if not self._sight.is_up:
            outcome.observations += self._sight.up("resumed")

    def _advance(self, version: str) -> None:
        self._version = version or self._version
        self._refused_resumes = 0
        self._expiry_backoff.reset()

    def _proceed(self) -> None:
        self._delay = 0.0
        self._renew_credentials = False

    def _finish_list(self, outcome: Outcome) -> None:
        outcome.observations += self._sight.up("listed")
        outcome.observations.append(Listed(resource=self._resource, items=tuple(self._items)))
        self._version = self._list_version
        self._restart_list()
        self._listing = False

    def _restart_list(self) -> None:
        self._listing = True
        self._items = []
        self._continue_token = ""
        self._list_version = ""
        self._refused_resumes = 0

    def _lose(self, reason: str, now: float, outcome: Outcome) -> None:
        self._fail(Failure("unreadable", reason), now, outcome)
        self._restart_list()

    def _fail(self, failure: Failure, now: float, outcome: Outcome) -> Outcome:
        outcome.abandon = True
        if self._was_healthy(now):
            self._backoff.reset()
        self._opened_at = None
        self._renewing = False
        absent = failure.kind == "absent" and self._listing
        slow = absent or failure.kind == "forbidden"
        self._delay = SLOW_RETRY_SECONDS if slow else self._next_delay(failure)
        self._renew_credentials = failure.kind == "unauthorized"
        self._choose_next(failure)
        if not (absent and self._optional):
            outcome.observations += self._sight.down(failure.reason)
        elif news := self._sight.up("not installed"):
            outcome.observations += [*news, Listed(resource=self._resource, items=())]
        return outcome

    def _next_delay(self, failure: Failure) -> float:
        """Choose how long to wait; an expired version after an outage is no second outage."""
        backoff = self._expiry_backoff if failure.kind == "expired" else self._backoff
        return max(backoff.next(), failure.retry_after)

    def _choose_next(self, failure: Failure) -> None:
        match failure.kind:
            case "absent" | "expired" | "refused":
                self._restart_list()
            case "too-large":
                self._limit = max(1, self._limit // 4)
            case "unavailable" | "unreadable" if not self._listing:
                # A server that answers and refuses again and again may not know our version,
                # such as one that was restored from a backup.
                self._refused_resumes += 1
                if self._refused_resumes >= RESUMES_BEFORE_RELIST:
                    self._restart_list()
            case _:
                pass

    def _was_healthy(self, now: float) -> bool:
        return self._opened_at is not None and now - self._opened_at >= HEALTHY_SECONDS
