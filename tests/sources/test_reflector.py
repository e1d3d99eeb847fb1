"""List and watch without a network: what is asked, what is delivered, what is waited for."""

import json

import pytest

from monitor.core.kubernetes import Pod, Policy
from monitor.core.model import Changed, Listed, Observation, SourceDown, SourceUp
from monitor.sources.failures import Failure
from monitor.sources.lines import Lines
from monitor.sources.reflector import ListRequest, Outcome, Reflector, Rejection, WatchRequest
from monitor.wire.kubernetes import decode_object
from tests.sources.chance import chance
from tests.sources.scripted_api import bookmark, error_event, event, pod

UP = SourceUp("kubernetes/pods", "listed")
RESUMED = SourceUp("kubernetes/pods", "resumed")
NOW = 1000.0


def reflector(*, optional: bool = False) -> Reflector:
    return Reflector(
        resource="kubearmorpolicies" if optional else "pods", optional=optional, random=chance()
    )


def body(*names: str, version: str = "10", token: str = "") -> bytes:
    metadata = {"resourceVersion": version, "continue": token}
    return json.dumps({"metadata": metadata, "items": [pod(name) for name in names]}).encode()


def objects(*names: str) -> tuple[Pod, ...]:
    made = [decode_object("pods", json.dumps(pod(name)).encode()) for name in names]
    return tuple(one for one in made if isinstance(one, Pod))


def listed(*names: str) -> Listed:
    return Listed("pods", objects(*names))


def feed(reflector: Reflector, *lines: bytes, now: float = NOW) -> Outcome:
    return reflector.lines(Lines(list(lines), []), now=now)


def watching(*, now: float = NOW, version: str = "10") -> Reflector:
    """Make a reflector whose watch stands."""
    made = reflector()
    made.page(body("a", version=version), now=now)
    made.opened(now=now)
    return made


def asks(reflector: Reflector) -> tuple[str, str]:
    """Return what is asked for next: a list and its token, or a watch and its version."""
    request = reflector.request()
    if isinstance(request, ListRequest):
        return ("list", request.continue_token)
    return ("watch", request.resource_version)


def test_it_begins_with_a_list_in_pages_of_500_at_once() -> None:
    assert reflector().request() == ListRequest(
        delay=0.0, renew_credentials=False, limit=500, continue_token=""
    )


def test_pages_become_one_list_when_the_last_one_is_there() -> None:
    source = reflector()

    first = source.page(body("a", token="t1"), now=NOW)
    assert asks(source) == ("list", "t1")
    second = source.page(body("b", token="t2"), now=NOW)
    last = source.page(body("c"), now=NOW)

    assert (first.observations, second.observations) == ([], [])
    assert last.observations == [UP, listed("a", "b", "c")]


def test_the_watch_begins_at_the_lists_version_for_four_to_eight_minutes() -> None:
    source = reflector()
    source.page(body("a", version="17"), now=NOW)

    requests = [source.request() for _ in range(300)]

    assert all(isinstance(request, WatchRequest) for request in requests)
    seconds = {r.timeout_seconds for r in requests if isinstance(r, WatchRequest)}
    assert {r.resource_version for r in requests if isinstance(r, WatchRequest)} == {"17"}
    assert 240 <= min(seconds) < 260
    assert 460 < max(seconds) <= 480


def test_changes_are_delivered_together_and_move_the_version_on() -> None:
    source = watching()

    outcome = feed(
        source,
        event("ADDED", pod("b", version="11")),
        b"",
        event("DELETED", pod("a", version="12")),
        bookmark("15"),
    )

    assert [(o.type, o.object.metadata.name) for o in outcome.observations
            if isinstance(o, Changed)] == [("ADDED", "b"), ("DELETED", "a")]  # fmt: skip
    assert outcome.rejections == []
    assert asks(source) == ("watch", "15")


@pytest.mark.parametrize(
    ("failure", "then"),
    [
        (Failure("cut", "cut"), ("watch", "10")),
        (Failure("silent", "silent"), ("watch", "10")),
        (Failure("unreachable", "gone"), ("watch", "10")),
        (Failure("unavailable", "HTTP 503"), ("watch", "10")),
        (Failure("unauthorized", "HTTP 401"), ("watch", "10")),
        (Failure("forbidden", "HTTP 403"), ("watch", "10")),
        (Failure("expired", "HTTP 410"), ("list", "")),
        (Failure("refused", "HTTP 400"), ("list", "")),
        (Failure("absent", "HTTP 404"), ("list", "")),
    ],
)
def test_a_watch_that_fails_is_down_and_goes_on_where_that_is_possible(
    failure: Failure, then: tuple[str, str]
) -> None:
    source = watching()

    outcome = source.failed(failure, now=NOW)

    assert outcome.observations == [SourceDown("kubernetes/pods", failure.reason)]
    assert asks(source) == then


@pytest.mark.parametrize(
    ("failure", "then"),
    [
        (Failure("unavailable", "HTTP 429"), ("list", "t1")),
        (Failure("cut", "cut"), ("list", "t1")),
        (Failure("too-large", "too large"), ("list", "t1")),
        (Failure("expired", "HTTP 410"), ("list", "")),
        (Failure("absent", "HTTP 404"), ("list", "")),
    ],
)
def test_a_list_that_is_aborted_delivers_nothing_of_it(
    failure: Failure, then: tuple[str, str]
) -> None:
    source = reflector()
    source.page(body("a", token="t1"), now=NOW)

    outcome = source.failed(failure, now=NOW)

    assert outcome.observations == [SourceDown("kubernetes/pods", failure.reason)]
    assert asks(source) == then


def test_after_an_expired_list_the_next_one_is_complete_by_itself() -> None:
    source = reflector()
    source.page(body("a", token="t1"), now=NOW)
    source.failed(Failure("expired", "HTTP 410"), now=NOW)

    assert source.page(body("b"), now=NOW).observations == [UP, listed("b")]


def test_a_watch_that_resumes_is_up_when_it_has_stood_for_a_while_without_a_word() -> None:
    source = watching()
    source.failed(Failure("cut", "cut"), now=NOW)
    source.opened(now=NOW)

    assert source.settled().observations == [RESUMED]
    assert source.settled().observations == []


@pytest.mark.parametrize("line", [bookmark("11"), event("ADDED", pod("b"))])
def test_a_watch_that_resumes_is_up_before_its_first_line(line: bytes) -> None:
    source = watching()
    source.failed(Failure("cut", "cut"), now=NOW)
    source.opened(now=NOW)

    assert feed(source, line).observations[0] == RESUMED


def test_a_watch_that_is_refused_in_its_answer_was_never_up() -> None:
    source = watching()
    source.failed(Failure("cut", "cut"), now=NOW)
    source.opened(now=NOW)

    outcome = feed(source, error_event(410, "Expired"))

    assert outcome.observations == [SourceDown("kubernetes/pods", "the version expired")]


def test_a_watch_that_ends_in_order_after_its_time_was_never_away() -> None:
    source = watching(now=NOW)

    ended = source.ended(remainder=b"", now=NOW + 300)
    request = source.request()
    source.opened(now=NOW + 300)

    assert (ended.observations, source.settled().observations) == ([], [])
    assert isinstance(request, WatchRequest)
    assert (request.delay, request.answer_within) == (0.0, 10.0)


def test_a_renewal_that_is_not_answered_is_an_outage() -> None:
    source = watching(now=NOW)
    source.ended(remainder=b"", now=NOW + 300)

    outcome = source.failed(Failure("silent", "silent"), now=NOW + 310)

    assert outcome.observations == [SourceDown("kubernetes/pods", "silent")]


def test_a_watch_that_ends_at_once_is_an_outage_and_the_next_waits_longer_and_longer() -> None:
    source = watching()
    delays = []
    for _ in range(200):
        source.ended(remainder=b"", now=NOW)
        delays.append(source.request().delay)
        source.opened(now=NOW)

    assert max(delays[:3]) <= 2.0
    assert max(delays) > 25.0


def test_the_delay_begins_again_after_a_minute_of_health() -> None:
    source = watching()
    for _ in range(20):
        source.failed(Failure("cut", "cut"), now=NOW)
    source.opened(now=NOW)

    source.failed(Failure("cut", "cut"), now=NOW + 60)

    assert source.request().delay <= 0.5


def test_half_a_line_at_the_end_is_counted_and_comes_again() -> None:
    source = watching()

    outcome = source.ended(remainder=b'{"type":"ADD', now=NOW + 300)

    assert outcome.rejections == [Rejection("truncated", '\'{"type":"ADD\'')]
    assert asks(source) == ("watch", "10")


@pytest.mark.parametrize(
    "lines",
    [
        Lines([b"<html>"], []),
        Lines([b'{"type":"ADDED","object":{'], []),
        Lines([], [b'{"type":"ADDED"']),
    ],
    ids=["no JSON", "torn", "too long"],
)
def test_a_line_that_cannot_be_read_may_hide_a_change_so_all_is_listed_again(lines: Lines) -> None:
    source = watching()

    outcome = source.lines(lines, now=NOW)

    assert outcome.abandon
    assert len(outcome.rejections) == 1
    assert [type(one) for one in outcome.observations] == [SourceDown]
    assert asks(source) == ("list", "")
    assert source.page(body("b"), now=NOW).observations == [UP, listed("b")]


def test_what_came_before_an_unreadable_line_is_delivered() -> None:
    source = watching()

    outcome = feed(source, event("ADDED", pod("b")), b"<html>", event("ADDED", pod("c")))

    assert [type(one) for one in outcome.observations] == [Changed, SourceDown]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (event("ADDED", {"metadata": {"name": "no-uid"}}), "invalid"),
        (event("ADDED", {"metadata": {"uid": 7}}), "invalid"),
        (b'{"type":"ADDED","object":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}", "too-deep"),
    ],
    ids=["no uid", "wrong type", "too deep"],
)
def test_an_object_that_no_list_would_make_usable_is_rejected_and_the_watch_goes_on(
    line: bytes, reason: str
) -> None:
    source = watching()

    outcome = feed(source, line, event("ADDED", pod("b", version="12")))

    assert [rejection.reason for rejection in outcome.rejections] == [reason]
    assert [type(one) for one in outcome.observations] == [Changed]
    assert not outcome.abandon
    assert asks(source) == ("watch", "12")


def test_an_object_that_holds_no_text_is_repaired_and_counted() -> None:
    source = watching()
    line = event("ADDED", pod("b", version="12")).replace(b'"web"', rb'"w\ud800b"')

    outcome = feed(source, line)

    assert [rejection.reason for rejection in outcome.rejections] == ["text-repaired"]
    (change,) = outcome.observations
    assert isinstance(change, Changed)
    assert change.object.metadata.namespace == "w\ufffdb"


def test_an_expired_version_in_the_stream_means_a_new_list() -> None:
    source = watching()

    outcome = feed(source, error_event(410, "Expired"))

    assert outcome.observations == [SourceDown("kubernetes/pods", "the version expired")]
    assert asks(source) == ("list", "")


def test_a_version_that_expired_during_an_outage_is_listed_again_soon() -> None:
    source = watching()
    for _ in range(20):
        source.failed(Failure("unreachable", "gone"), now=NOW)

    source.failed(Failure("expired", "HTTP 410"), now=NOW)

    assert source.request().delay <= 0.5


def test_versions_that_expire_again_and_again_are_listed_less_and_less_often() -> None:
    source, delays = reflector(), []
    for _ in range(50):
        source.page(body("a"), now=NOW)
        source.opened(now=NOW)
        feed(source, error_event(410, "Expired"))
        delays.append(source.request().delay)

    assert max(delays) > 20.0


def test_a_server_that_goes_on_refusing_a_version_is_listed_again() -> None:
    source = watching()
    asked = []
    for _ in range(3):
        source.opened(now=NOW)
        feed(source, error_event(500, "InternalError"))
        asked.append(asks(source)[0])

    assert asked == ["watch", "watch", "list"]


def test_a_refused_token_is_read_again_before_the_next_try_only() -> None:
    source = reflector()

    source.failed(Failure("unauthorized", "HTTP 401"), now=NOW)
    refused = source.request().renew_credentials
    source.page(body("a"), now=NOW)

    assert (refused, source.request().renew_credentials) == (True, False)


def test_the_server_says_when_to_come_again() -> None:
    source = reflector()

    source.failed(Failure("unavailable", "HTTP 429", retry_after=42.0), now=NOW)

    assert source.request().delay == 42.0


@pytest.mark.parametrize("kind", ["forbidden", "absent"])
def test_what_only_a_person_can_change_is_asked_for_once_a_minute(kind: str) -> None:
    source = reflector()
    failure = Failure("forbidden" if kind == "forbidden" else "absent", "no")

    first = source.failed(failure, now=NOW)
    second = source.failed(failure, now=NOW)

    assert source.request().delay == 60.0
    assert first.observations == [SourceDown("kubernetes/pods", "no")]
    assert second.observations == []


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones() -> None:
    source = reflector()
    limits = []
    for _ in range(6):
        source.failed(Failure("too-large", "too large"), now=NOW)
        request = source.request()
        assert isinstance(request, ListRequest)
        limits.append(request.limit)

    assert limits == [125, 31, 7, 1, 1, 1]


@pytest.mark.parametrize(
    "raw", [b"<html>", b'{"items":[]}', b'{"metadata":{"resourceVersion":""},"items":[]}']
)
def test_an_answer_that_is_no_list_empties_nothing(raw: bytes) -> None:
    source = reflector()

    outcome = source.page(raw, now=NOW)

    assert [type(one) for one in outcome.observations] == [SourceDown]
    assert len(outcome.rejections) == 1
    assert asks(source) == ("list", "")


NAME = "kubernetes/kubearmorpolicies"
ABSENT = Failure("absent", "HTTP 404")
NOT_INSTALLED: list[Observation] = [
    SourceUp(NAME, "not installed"),
    Listed("kubearmorpolicies", ()),
]


def test_a_resource_that_is_not_installed_is_empty_and_its_installation_is_noticed() -> None:
    source = reflector(optional=True)

    absent = [source.failed(ABSENT, now=NOW).observations for _ in range(3)]
    delay = source.request().delay
    installed = source.page(
        b'{"metadata":{"resourceVersion":"3"},"items":[{"metadata":{"uid":"p"}}]}', now=NOW
    ).observations

    assert (absent, delay) == ([NOT_INSTALLED, [], []], 60.0)
    (up, policies) = installed
    assert up == SourceUp(NAME, "listed")
    assert isinstance(policies, Listed)
    assert [type(item) for item in policies.items] == [Policy]


def test_a_resource_that_is_removed_is_listed_before_it_counts_as_not_installed() -> None:
    source = reflector(optional=True)
    source.page(b'{"metadata":{"resourceVersion":"3"},"items":[]}', now=NOW)
    source.opened(now=NOW)

    watch = source.failed(ABSENT, now=NOW).observations
    again = asks(source)
    list_ = source.failed(ABSENT, now=NOW).observations

    assert watch == [SourceDown(NAME, "HTTP 404")]
    assert again == ("list", "")
    assert list_ == NOT_INSTALLED


def test_what_is_not_installed_is_unknown_while_the_server_is_away() -> None:
    source = reflector(optional=True)
    source.failed(ABSENT, now=NOW)

    away = source.failed(Failure("unreachable", "gone"), now=NOW).observations
    back = source.failed(ABSENT, now=NOW).observations

    assert away == [SourceDown(NAME, "gone")]
    assert back == NOT_INSTALLED
