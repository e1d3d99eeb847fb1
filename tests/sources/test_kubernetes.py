"""List and watch against an API server that misbehaves on purpose."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from monitor.core.kubernetes import Pod
from monitor.core.model import Changed, Listed, SourceDown, SourceUp
from monitor.sources import kubernetes
from monitor.sources.kubernetes import Collection, KubernetesSource
from monitor.wire.kubernetes import decode_object
from tests.clock import ManualClock
from tests.sources.chance import chance
from tests.sources.recording import Recording, becomes, passes
from tests.sources.running import connected, running
from tests.sources.scripted_api import (
    PODS,
    Answer,
    ScriptedApi,
    Stream,
    answer,
    bookmark,
    error_event,
    event,
    html,
    page,
    pod,
    reset,
    status,
)

NAME = "kubernetes/pods"
WATCH = f"{PODS}?watch"
UP = SourceUp(NAME, "listed")
RESUMED = SourceUp(NAME, "resumed")


def listed(*names: str) -> Listed:
    return Listed("pods", tuple(decoded(pod(name)) for name in names))


def changed(kind: str, name: str, *, version: str = "1") -> Changed:
    assert kind in {"ADDED", "MODIFIED", "DELETED"}
    return Changed("pods", kind, decoded(pod(name, version=version)))  # type: ignore[arg-type]


def decoded(item: object) -> Pod:
    made = decode_object("pods", json.dumps(item).encode())
    assert isinstance(made, Pod)
    return made


class Stage:
    """A scripted server, and a source of its pods that runs."""

    def __init__(self) -> None:
        self.api = ScriptedApi()
        self.intake = Recording()
        self.clock = ManualClock()
        self._stack = AsyncExitStack()

    async def start(self, collection: Collection | None = None) -> None:
        server = await self._stack.enter_async_context(connected(self.api.url, clock=self.clock))
        source = KubernetesSource(
            collection or Collection("pods"),
            server=server,
            intake=self.intake,
            clock=self.clock,
            random=chance(),
        )
        await self._stack.enter_async_context(running(source))

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    async with made.api:
        yield made
        await made.stop()


async def test_pages_of_a_list_and_the_changes_that_follow(stage: Stage) -> None:
    stream = Stream()
    stage.api.on(
        PODS,
        page([pod("a")], version="10", continue_token="next&page"),
        page([pod("b")], version="10"),
    )
    stage.api.on(WATCH, stream)
    await stage.start()
    await stage.intake.holds(UP, listed("a", "b"))
    stream.send(event("MODIFIED", pod("b", version="11")), event("DELETED", pod("a")))

    await stage.intake.holds(
        UP, listed("a", "b"), changed("MODIFIED", "b", version="11"), changed("DELETED", "a")
    )
    assert stage.api.queries(PODS) == [
        {"limit": "500"},
        {"limit": "500", "continue": "next&page"},
    ]
    (query,) = stage.api.queries(WATCH)
    assert 240 <= int(query["timeoutSeconds"]) <= 480
    assert query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "10",
        "timeoutSeconds": query["timeoutSeconds"],
    }


async def test_a_node_reads_its_own_pods_only(stage: Stage) -> None:
    stage.api.on(PODS, page([], version="1"))
    await stage.start(Collection("pods", field_selector="spec.nodeName=node-a"))
    await stage.api.asked(WATCH)

    selectors = [query["fieldSelector"] for query in stage.api.queries(PODS)]
    selectors += [query["fieldSelector"] for query in stage.api.queries(WATCH)]

    assert selectors == ["spec.nodeName=node-a"] * 2


async def test_requests_name_the_program_and_take_compressed_answers(stage: Stage) -> None:
    big = [pod(f"pod-{number}") for number in range(300)]
    body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": big}).encode()
    stage.api.on(PODS, answer(body=body, compressed=True))
    await stage.start()
    await becomes(lambda: len(stage.intake.observations) == 2)

    headers = stage.api.seen[0].headers
    assert headers["User-Agent"] == "monitor-test"
    assert "gzip" in headers["Accept-Encoding"]
    (_, everything) = stage.intake.observations
    assert isinstance(everything, Listed)
    assert len(everything.items) == 300


async def test_all_that_can_be_read_at_once_is_delivered_together(stage: Stage) -> None:
    lines = [event("ADDED", pod(f"pod-{number}")) for number in range(50)]
    stage.api.on(PODS, page([], version="1"))
    stream = Stream()
    stage.api.on(WATCH, stream)
    await stage.start()
    await stream.opened.wait()
    stream.send_raw(b"\n".join(lines) + b"\n")
    await becomes(lambda: sum(stage.intake.batches) == 52)

    assert len(stage.intake.batches) <= 4


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (html(503), "HTTP 503"),
        (answer(status=500), "HTTP 500"),
        (status(500, "InternalError"), "HTTP 500 InternalError"),
        (status(429, "TooManyRequests"), "HTTP 429 TooManyRequests"),
        (html(404), "HTTP 404"),
        (status(404, "NotFound"), "HTTP 404 NotFound"),
        (status(403, "Forbidden"), "HTTP 403 Forbidden"),
        (status(401, "Unauthorized"), "HTTP 401 Unauthorized"),
        (answer(status=302, headers={"Location": "http://127.0.0.1:9/"}), "HTTP 302"),
        (html(200), "the list cannot be read"),
        (answer(body=b'{"metadata":{"resourceVersion":"1"},"items":[{'), "the list cannot be read"),
        (reset, "ServerDisconnectedError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_a_list_that_fails_is_asked_for_again(stage: Stage, bad: Answer, reason: str) -> None:
    stage.api.on(PODS, bad, bad, page([pod("a")], version="10"))
    await stage.start()
    await becomes(lambda: stage.intake.observations)
    await passes(stage.clock, lambda: len(stage.intake.observations) == 3, step=10)

    assert stage.intake.observations == [SourceDown(NAME, reason), UP, listed("a")]


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_connection_that_is_cut_in_a_list_delivers_nothing_of_it(
    stage: Stage, *, compressed: bool
) -> None:
    half = Stream()
    half.send_raw(b'{"metadata":{"resourceVersion":"1"},"items":[')
    stage.api.on(PODS, page([pod("z")], version="9", continue_token="t"), half)
    whole = page([pod("b")], version="9")
    stage.api.on(PODS, whole if not compressed else compressed_page())
    await stage.start()
    await half.opened.wait()
    half.reset()
    await passes(stage.clock, lambda: len(stage.intake.observations) == 3)

    assert stage.intake.observations == [
        SourceDown(NAME, "the connection was cut"),
        UP,
        listed("z", "b"),
    ]


def compressed_page() -> Answer:
    body = json.dumps({"metadata": {"resourceVersion": "9"}, "items": [pod("b")]}).encode()
    return answer(body=body, compressed=True)


async def test_a_cut_watch_resumes_where_it_was(stage: Stage) -> None:
    first, second = Stream(event("ADDED", pod("b", version="11"))), Stream()
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, first, second)
    await stage.start()
    await becomes(lambda: len(stage.intake.observations) == 3)
    first.reset()
    await passes(stage.clock, second.opened.is_set)
    second.send(event("ADDED", pod("c", version="12")))

    await stage.intake.holds(
        UP,
        listed(),
        changed("ADDED", "b", version="11"),
        SourceDown(NAME, "the connection was cut"),
        RESUMED,
        changed("ADDED", "c", version="12"),
    )
    assert [query["resourceVersion"] for query in stage.api.queries(WATCH)] == ["10", "11"]
    assert len(stage.api.queries(PODS)) == 1


async def test_a_watch_that_resumes_without_a_word_is_up_after_a_second(stage: Stage) -> None:
    first, second = Stream(), Stream()
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, first, second)
    await stage.start()
    await first.opened.wait()
    first.reset()
    await passes(stage.clock, second.opened.is_set, step=0.1)
    await becomes(lambda: stage.clock.sleepers == (1.0,))
    assert len(stage.intake.observations) == 3
    await stage.clock.advance(1.0)

    await stage.intake.holds(UP, listed(), SourceDown(NAME, "the connection was cut"), RESUMED)


async def test_a_bookmark_moves_the_version_on_without_a_word(stage: Stage) -> None:
    first, second = Stream(bookmark("77")), Stream()
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, first, second)
    await stage.start()
    await first.opened.wait()
    first.end()
    await passes(stage.clock, second.opened.is_set)

    assert stage.api.queries(WATCH)[1]["resourceVersion"] == "77"
    assert stage.intake.rejections == []


@pytest.mark.parametrize("in_stream", [True, False])
async def test_an_expired_version_is_listed_again(stage: Stage, *, in_stream: bool) -> None:
    refused = Stream(error_event(410, "Expired")) if in_stream else status(410, "Expired")
    stage.api.on(PODS, page([pod("a")], version="10"), page([pod("b")], version="20"))
    stage.api.on(WATCH, refused)
    await stage.start()
    await passes(stage.clock, lambda: len(stage.intake.observations) == 5)

    assert stage.intake.observations[3:] == [UP, listed("b")]
    await stage.api.asked(WATCH, 2)
    assert stage.api.queries(WATCH)[1]["resourceVersion"] == "20"


async def test_a_watch_that_says_nothing_longer_than_the_server_may_is_dead(stage: Stage) -> None:
    silent, second = Stream(), Stream()
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, silent, second)
    await stage.start()
    await silent.opened.wait()
    timeout = int(stage.api.queries(WATCH)[0]["timeoutSeconds"])
    await becomes(lambda: stage.clock.sleepers == (1.0,))
    began = stage.clock.now()
    await stage.clock.advance(1.0)
    await becomes(lambda: stage.clock.sleepers == (timeout + 29.0,))

    await stage.clock.advance(timeout + 28.9)
    assert len(stage.intake.observations) == 2
    await passes(stage.clock, lambda: len(stage.intake.observations) == 3, step=0.1)

    assert stage.intake.observations[2] == SourceDown(NAME, "silent for too long")
    assert stage.clock.now() - began == pytest.approx(timeout + 30.0, abs=0.5)
    await passes(stage.clock, second.opened.is_set)


async def test_a_server_that_never_answers_is_given_up_after_half_a_minute(stage: Stage) -> None:
    await stage.start()
    await stage.api.asked(PODS)
    await becomes(lambda: stage.clock.sleepers == (30.0,))

    await stage.clock.advance(29.9)
    assert stage.intake.observations == []
    await stage.clock.advance(0.1)

    await stage.intake.holds(SourceDown(NAME, "silent for too long"))


async def test_a_watch_that_ends_in_its_time_is_renewed_at_once_and_was_never_down(
    stage: Stage,
) -> None:
    first, second = Stream(), Stream(event("ADDED", pod("b")))
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, first, second)
    await stage.start()
    await first.opened.wait()
    await becomes(lambda: stage.clock.sleepers)
    await stage.clock.advance(200.0)
    first.end()

    await stage.intake.holds(UP, listed(), changed("ADDED", "b"))


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (b"<html>\n", "malformed"),
        (b'{"type":"ADDED","object":{"metadata"\n', "malformed"),
        (b'{"type":"ADDED","object":{"metadata":{"name":"' + b"x" * (8 << 20), "too-long"),
    ],
    ids=["html", "torn", "more than 8 MiB"],
)
async def test_a_line_that_cannot_be_read_is_counted_and_everything_is_listed_again(
    stage: Stage, piece: bytes, reason: str
) -> None:
    stream = Stream()
    stage.api.on(PODS, page([pod("a")], version="10"), page([pod("b")], version="20"))
    stage.api.on(WATCH, stream)
    await stage.start()
    await stream.opened.wait()
    stream.send_raw(piece)
    await passes(stage.clock, lambda: len(stage.intake.observations) == 5)

    assert stage.intake.rejections == [(NAME, reason)]
    assert [type(one) for one in stage.intake.observations] == [
        SourceUp, Listed, SourceDown, SourceUp, Listed,
    ]  # fmt: skip
    assert stage.intake.observations[4] == listed("b")


async def test_half_a_line_before_the_end_comes_again_whole(stage: Stage) -> None:
    whole = event("ADDED", pod("b", version="11"))
    first, second = Stream(), Stream(whole)
    first.send_raw(whole[:40])
    first.end()
    stage.api.on(PODS, page([], version="10"))
    stage.api.on(WATCH, first, second)
    await stage.start()
    await passes(stage.clock, lambda: len(stage.intake.observations) == 5)

    assert stage.intake.observations[4] == changed("ADDED", "b", version="11")
    assert stage.intake.rejections == [(NAME, "truncated")]
    assert len(stage.api.queries(PODS)) == 1


@pytest.mark.parametrize("megabytes", [3, 5])
async def test_a_large_object_is_an_object_like_any_other(stage: Stage, megabytes: int) -> None:
    large = pod("b") | {"data": "x" * (megabytes << 20)}
    stage.api.on(PODS, page([large], version="10"))
    stage.api.on(WATCH, Stream(event("MODIFIED", large), event("ADDED", pod("c"))))
    await stage.start()

    await stage.intake.holds(UP, listed("b"), changed("MODIFIED", "b"), changed("ADDED", "c"))
    assert stage.intake.rejections == []


async def test_bad_objects_cost_themselves_only(stage: Stage) -> None:
    nameless = {"metadata": {"name": "no-uid"}}
    deep = b'{"type":"ADDED","object":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}"
    surrogate = event("ADDED", pod("c")).replace(b'"web"', rb'"w\ud800"')
    bad_bytes = event("ADDED", pod("d")).replace(b'"web"', b'"w\xff"')
    newline = event("ADDED", pod("e\nf"))
    stage.api.on(PODS, page([pod("a"), nameless], version="10"))
    stage.api.on(WATCH, Stream(event("ADDED", nameless), deep, surrogate, bad_bytes, newline))
    await stage.start()
    await becomes(lambda: len(stage.intake.observations) == 5)

    assert stage.intake.rejections == [
        (NAME, "invalid"),
        (NAME, "invalid"),
        (NAME, "too-deep"),
        (NAME, "text-repaired"),
        (NAME, "text-repaired"),
    ]
    assert [
        (one.object.metadata.namespace, one.object.metadata.name)
        for one in stage.intake.observations
        if isinstance(one, Changed)
    ] == [("w\ufffd", "c"), ("w\ufffd", "d"), ("web", "e\nf")]
    assert not any("\n" in detail for detail in stage.intake.details)


async def test_a_page_beyond_its_bound_is_asked_for_in_smaller_ones(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "PAGE_BYTES", 1000)
    many = [pod(f"pod-{number}") for number in range(10)]
    stage.api.on(PODS, page(many, version="1"), page([pod("a")], version="1"))
    await stage.start()
    await passes(stage.clock, lambda: len(stage.intake.observations) == 3, step=0.1)

    assert stage.intake.observations == [
        SourceDown(NAME, "a page of the list is too large"),
        UP,
        listed("a"),
    ]
    assert [query["limit"] for query in stage.api.queries(PODS)] == ["500", "125"]


async def test_the_server_says_how_long_to_wait(stage: Stage) -> None:
    stage.api.on(PODS, status(429, "TooManyRequests", retry_after="17"))
    stage.api.on(PODS, page([], version="1"))
    await stage.start()
    await becomes(lambda: stage.clock.sleepers == (17.0,))

    await stage.clock.advance(16.9)
    assert len(stage.api.queries(PODS)) == 1
    await stage.clock.advance(0.1)

    await stage.api.asked(PODS, 2)


async def test_a_kind_that_is_not_installed_is_a_state_and_its_installation_is_noticed(
    stage: Stage,
) -> None:
    path = "/apis/security.kubearmor.com/v1/kubearmorpolicies"
    name = "kubernetes/kubearmorpolicies"
    missing = answer(status=404, body=b"404 page not found\n", content_type="text/plain")
    stage.api.on(path, missing, missing, page([], version="1"))
    await stage.start(Collection("kubearmorpolicies"))
    await becomes(lambda: len(stage.intake.observations) == 2)
    absent = list(stage.intake.observations)
    await becomes(lambda: stage.clock.sleepers == (60.0,))
    await passes(stage.clock, lambda: len(stage.intake.observations) == 4)

    nothing = Listed("kubearmorpolicies", ())
    assert absent == [SourceUp(name, "not installed"), nothing]
    assert stage.intake.observations[2:] == [SourceUp(name, "listed"), nothing]


async def test_a_source_without_room_reads_no_further(stage: Stage) -> None:
    stream = Stream()
    stage.api.on(PODS, page([], version="1"))
    stage.api.on(WATCH, stream)
    await stage.start()
    await becomes(lambda: stream.opened.is_set() and stage.clock.sleepers)
    stage.intake.full = True
    stream.send(event("ADDED", pod("a")))
    await becomes(lambda: len(stage.intake.observations) == 3)
    stream.send(event("ADDED", pod("b")))
    for _ in range(50):
        await asyncio.sleep(0)
    waiting = len(stage.intake.observations)
    stage.intake.full = False

    await stage.intake.holds(UP, listed(), changed("ADDED", "a"), changed("ADDED", "b"))
    assert waiting == 3


@pytest.mark.parametrize(
    ("collection", "path"),
    [
        (Collection("pods"), "/api/v1/pods"),
        (Collection("configmaps", namespace="k"), "/api/v1/namespaces/k/configmaps"),
        (Collection("daemonsets", namespace="k"), "/apis/apps/v1/namespaces/k/daemonsets"),
        (
            Collection("kubearmorclusterpolicies"),
            "/apis/security.kubearmor.com/v1/kubearmorclusterpolicies",
        ),
    ],
)  # fmt: skip
def test_the_path_of_a_collection(collection: Collection, path: str) -> None:
    assert collection.path == path
