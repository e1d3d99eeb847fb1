import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import aiohttp
import msgspec
import pytest

from monitor.core.model import ContainerCoverage, Incident, NodeCoverage, SourceState, Verdict
from monitor.errors import ConfigurationError
from monitor.sinks.http import Address, Demo, HttpServer
from monitor.sinks.stream import PING_SECONDS, EventStream
from tests.clock import ManualClock
from tests.rig.wait import eventually
from tests.sinks.records import record

LOOPBACK: Address = ("127.0.0.1", 0)
OTHER_LOOPBACK: Address = ("127.0.0.2", 0)
AT = "2026-11-23T21:28:09.614020Z"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def node(name: str) -> NodeCoverage:
    return NodeCoverage(
        node=name,
        daemon=None,
        release=None,
        enforcer=None,
        clock_offset_seconds=None,
        verdict="gap",
        cause="daemon-absent",
    )


def container(number: int, *, namespace: str = "team-a", verdict: str = "covered") -> Any:
    return ContainerCoverage(
        node="node-1",
        namespace=namespace,
        pod=f"pod-{number:06d}",
        pod_uid=f"uid-{number}",
        container="app",
        container_id=f"{number:064x}",
        kind="container",
        verdict=verdict,  # type: ignore[arg-type]
        cause=None,
        policies=(),
        exposure_seconds=(0.0, 0.0),
    )


class SmallView:
    """A `View` of rows that a test chose; `since` has, by Pod, what they are by now."""

    def __init__(self, **sections: Sequence[Any]) -> None:
        self.sections: dict[str, tuple[Any, ...]] = {
            name: tuple(rows) for name, rows in sections.items()
        }
        self.since: dict[str, Any] = {}
        self.lacking: list[str] = []
        self.turning = True
        self.broken = False

    def at(self) -> str:
        return AT

    def summary(self) -> Mapping[str, Any]:
        if self.broken:
            raise RuntimeError("no summary today")
        return {"at": AT, "cluster": "test", "verdicts": {"covered": 1}}

    def rows(self, section: str) -> Sequence[Any]:
        return self.sections.get(section, ())

    def present(self, row: Any) -> Mapping[str, Any] | None:
        row = self.since.get(getattr(row, "pod", ""), row)
        if row is None:
            return None
        plain = msgspec.json.decode(msgspec.json.encode(row))
        assert isinstance(plain, dict)
        return plain

    def explain(self, namespace: str, pod: str) -> Mapping[str, Any] | None:
        found = [
            one for one in self.rows("containers") if (one.namespace, one.pod) == (namespace, pod)
        ]
        return {"at": AT, "containers": [self.present(one) for one in found]} if found else None

    def explain_node(self, name: str) -> Mapping[str, Any] | None:
        found = [one for one in self.rows("nodes") if one.node == name]
        return self.present(found[0]) if found else None

    async def metrics(self, *, openmetrics: bool) -> bytes:
        return b"# EOF\n" if openmetrics else b"plain 1\n" * 1000

    def missing(self) -> Sequence[str]:
        return self.lacking

    def alive(self) -> bool:
        return self.turning


class HoldingDemo:
    def __init__(self) -> None:
        self.told = 0

    def state(self) -> Mapping[str, Any]:
        return {"state": "playing" if self.told else "holding"}

    def go_on(self) -> None:
        self.told += 1


class Served:
    """A running server with a client, and what is behind it."""

    def __init__(self, server: HttpServer, stream: EventStream, clock: ManualClock) -> None:
        self.server = server
        self.stream = stream
        self.clock = clock
        self.client = aiohttp.ClientSession()

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.get(f"{self.server.api_url}{path}", headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def pages(self, path: str) -> list[list[Any]]:
        pages: list[list[Any]] = []
        token: str | None = ""
        while token is not None:
            _, body = await self.get(f"{path}&continue={token}")
            pages.append([item["pod"] for item in body["items"]])
            token = body["continue"]
        return pages


@asynccontextmanager
async def serving(
    view: SmallView | None = None,
    *,
    probes: Address | None = LOOPBACK,
    api: Address | None = LOOPBACK,
    demo: Demo | None = None,
    board: Path | None = None,
    listeners: int = 64,
    queued: int = 1000,
) -> AsyncIterator[Served]:
    clock = ManualClock()
    stream = EventStream(prefix="test.", clock=clock, listeners=listeners, queued=queued)
    server = HttpServer(
        view or SmallView(), stream=stream, probes=probes, api=api, demo=demo, board=board
    )
    await server.start()
    served = Served(server, stream, clock)
    pinging = asyncio.create_task(stream.run())
    try:
        yield served
    finally:
        await served.client.close()
        await server.stop()
        await server.stop()
        pinging.cancel()


# --- listeners --------------------------------------------------------------------------------


async def test_two_addresses_serve_probes_and_api_apart() -> None:
    async with serving(probes=LOOPBACK, api=OTHER_LOOPBACK) as served:
        answers = {}
        for url in (served.server.probes_url, served.server.api_url):
            for path in ("livez", "readyz", "metrics", "api/v1/summary", ""):
                async with served.client.get(f"{url}{path}") as response:
                    answers[str(url)[7:16], path] = response.status

    assert answers == {
        ("127.0.0.1", "livez"): 200,
        ("127.0.0.1", "readyz"): 200,
        ("127.0.0.1", "metrics"): 200,
        ("127.0.0.1", "api/v1/summary"): 404,
        ("127.0.0.1", ""): 404,
        ("127.0.0.2", "livez"): 404,
        ("127.0.0.2", "readyz"): 404,
        ("127.0.0.2", "metrics"): 404,
        ("127.0.0.2", "api/v1/summary"): 200,
        ("127.0.0.2", ""): 200,
    }


async def test_one_address_for_both_serves_everything_on_one_port() -> None:
    async with serving() as served:
        statuses = [(await served.get(path))[0] for path in ("livez", "api/v1/summary")]

    assert served.server.probes_url == served.server.api_url
    assert statuses == [200, 200]


@pytest.mark.parametrize("absent", ["probes", "api"])
async def test_a_listener_without_address_is_not_opened(absent: str) -> None:
    addresses = {"probes": LOOPBACK, "api": LOOPBACK} | {absent: None}
    async with serving(probes=addresses["probes"], api=addresses["api"]) as served:
        urls = {"probes": served.server.probes_url, "api": served.server.api_url}

    assert {name for name, url in urls.items() if url is None} == {absent}


async def test_an_address_in_use_is_an_error_that_says_what_to_configure() -> None:
    async with serving() as served:
        port = int(str(served.server.api_url).rpartition(":")[2].strip("/"))

        told = rf"cannot listen on 127.0.0.1:{port} \(.*\): configure another address \(http"
        with pytest.raises(ConfigurationError, match=told):
            async with serving(probes=None, api=("127.0.0.1", port)):
                pass


# --- probes -----------------------------------------------------------------------------------


async def test_ready_says_what_is_missing() -> None:
    view = SmallView()
    view.lacking = ["kubernetes/pods: has not answered yet"]
    async with serving(view) as served:
        before = await served.get("readyz")
        view.lacking = []
        after = await served.get("readyz")

    assert before == (503, {"ready": False, "missing": ["kubernetes/pods: has not answered yet"]})
    assert after == (200, {"ready": True, "missing": []})


async def test_alive_depends_on_nothing_but_the_loop() -> None:
    view = SmallView()
    view.lacking = ["everything"]
    async with serving(view) as served:
        before = await served.get("livez")
        view.turning = False
        after = await served.get("livez")

    assert before == (200, {"alive": True})
    assert after == (503, {"alive": False})


@pytest.mark.parametrize(
    ("accept", "kind", "begins"),
    [
        (
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3,*/*",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            b"# EOF",
        ),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", b"plain"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"plain"),
    ],
)
async def test_metrics_come_in_the_format_that_was_asked_for(
    accept: str, kind: str, begins: bytes
) -> None:
    async with serving() as served:
        url = f"{served.server.probes_url}metrics"
        async with served.client.get(url, headers={"Accept": accept}) as response:
            body = await response.read()

    assert response.headers["Content-Type"] == kind
    assert body.startswith(begins)


async def test_metrics_are_compressed_for_those_who_can_read_it() -> None:
    async with serving() as served:
        url = f"{served.server.probes_url}metrics"
        sizes = []
        for encoding in ("gzip", "identity"):
            headers = {"Accept-Encoding": encoding}
            async with served.client.get(url, headers=headers) as response:
                await response.read()
                sizes.append((response.headers.get("Content-Encoding"), response.content_length))

    (zipped, small), (plain, large) = sizes
    assert (zipped, plain) == ("gzip", None)
    assert small is not None
    assert large is not None
    assert small < large / 10


# --- lists ------------------------------------------------------------------------------------


async def test_a_section_is_a_list_of_an_instant() -> None:
    rows = [container(1), container(2, verdict="gap")]
    view = SmallView(containers=rows)
    async with serving(view) as served:
        answer = await served.get("api/v1/containers")

    assert answer == (
        200,
        {"at": AT, "items": [view.present(row) for row in rows], "continue": None},
    )


@pytest.mark.parametrize("section", ["gaps", "incidents", "findings", "nodes", "sources"])
async def test_every_section_can_be_read_and_be_empty(section: str) -> None:
    async with serving() as served:
        answer = await served.get(f"api/v1/{section}")

    assert answer == (200, {"at": AT, "items": [], "continue": None})


async def test_pages_follow_each_other_and_the_last_one_says_so() -> None:
    view = SmallView(containers=[container(number) for number in range(7)])
    async with serving(view) as served:
        pages = await served.pages("api/v1/containers?limit=3")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [pod for page in pages for pod in page] == [f"pod-{number:06d}" for number in range(7)]


async def test_a_last_page_that_is_full_is_not_followed_by_an_empty_one() -> None:
    view = SmallView(containers=[container(number) for number in range(6)])
    async with serving(view) as served:
        pages = await served.pages("api/v1/containers?limit=3")

    assert [len(page) for page in pages] == [3, 3]


async def test_filters_hold_over_pages() -> None:
    rows = [
        container(
            number, namespace=f"team-{number % 3}", verdict="gap" if number % 2 else "covered"
        )
        for number in range(60)
    ]
    async with serving(SmallView(containers=rows)) as served:
        pages = await served.pages("api/v1/containers?namespace=team-1&verdict=gap&limit=4")

    expected = [f"pod-{number:06d}" for number in range(60) if number % 6 == 1]
    assert [pod for page in pages for pod in page] == expected
    assert [len(page) for page in pages] == [4, 4, 2]


async def test_a_row_that_is_no_more_or_no_longer_what_was_asked_for_is_left_out() -> None:
    view = SmallView(containers=[container(number, verdict="gap") for number in range(4)])
    view.since = {"pod-000001": None, "pod-000002": container(2, verdict="covered")}
    async with serving(view) as served:
        _, body = await served.get("api/v1/containers?verdict=gap")

    assert [item["pod"] for item in body["items"]] == ["pod-000000", "pod-000003"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(range(6), [3, 4, 5], id="nothing changed"),
        pytest.param([9, 8, *range(6)], [3, 4, 5], id="rows came before"),
        pytest.param([2, 3, 4, 5], [3, 4, 5], id="rows before went"),
        pytest.param([0, 1, 3, 4, 5], [4, 5], id="the last row itself went: its place is kept"),
        pytest.param([], [], id="all went"),
    ],
)
async def test_a_page_goes_on_behind_the_last_row_of_the_one_before(
    now: Sequence[int], expected: Sequence[int]
) -> None:
    view = SmallView(containers=[container(number) for number in range(6)])
    async with serving(view) as served:
        _, first = await served.get("api/v1/containers?limit=3")
        view.sections["containers"] = tuple(container(number) for number in now)
        _, second = await served.get(f"api/v1/containers?limit=9&continue={first['continue']}")

    assert [item["pod"] for item in second["items"]] == [f"pod-{one:06d}" for one in expected]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("containers?limit=0", "limit must be a number from 1 to 500"),
        ("containers?limit=501", "limit must be a number from 1 to 500"),
        ("containers?limit=-1", "limit must be a number from 1 to 500"),
        ("containers?limit=many", "limit must be a number from 1 to 500"),
        ("containers?continue=nonsense", "continue is not a token that this server gave"),
        ("containers?continue=e30", "continue is not a token that this server gave"),
        ("containers?continue=%F0%9F%98%80", "continue is not a token that this server gave"),
        (
            "containers?verdict=fine",
            f"no such verdict; there are {', '.join(get_args(Verdict))}",
        ),
        ("incidents?namespace=a", "incidents have no namespace to filter by"),
        ("sources?verdict=gap", "sources have no verdict to filter by"),
    ],
)
async def test_a_question_that_makes_no_sense_is_a_problem_that_says_why(
    query: str, detail: str
) -> None:
    async with serving() as served:
        answer = await served.get(f"api/v1/{query}")

    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}
    assert answer == (400, problem)


async def test_no_question_about_50000_containers_holds_the_loop_up() -> None:
    rows = [
        container(number, verdict="gap" if number == 49_999 else "covered")
        for number in range(50_000)
    ]
    async with serving(SmallView(containers=rows)) as served:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        _, body = await served.get("api/v1/containers?verdict=gap")
        turning.cancel()

    assert [item["pod"] for item in body["items"]] == ["pod-049999"]
    assert turns >= 50_000 / 2000


async def test_other_sections_have_the_names_of_the_report() -> None:
    incident = Incident(
        id="i-1",
        state="open",
        severity="page",
        cause="daemon-down",
        scope="node-1",
        release=None,
        containers=3,
        affected=5,
        since=(1.0, 2.0),
        until=None,
        remedy="restart it",
    )
    source = SourceState(name="text/node-1", state="up", reason="", since=1.0)
    view = SmallView(incidents=[incident], sources=[source])
    async with serving(view) as served:
        _, incidents = await served.get("api/v1/incidents")
        _, sources = await served.get("api/v1/sources")

    assert (incidents["items"], sources["items"]) == (
        [view.present(incident)],
        [view.present(source)],
    )


async def test_explain_tells_a_pods_containers_or_that_there_are_none() -> None:
    view = SmallView(containers=[container(1), container(2)])
    async with serving(view) as served:
        found = await served.get("api/v1/explain/team-a/pod-000002")
        absent = await served.get("api/v1/explain/team-a/nothing")

    assert found == (200, {"at": AT, "containers": [view.present(container(2))]})
    assert (absent[0], absent[1]["detail"]) == (
        404,
        "no container of a Pod team-a/nothing is running",
    )


async def test_explain_tells_a_node_or_that_there_is_none() -> None:
    view = SmallView(nodes=[node("node-1"), node("node-2")])
    async with serving(view) as served:
        found = await served.get("api/v1/nodes/node-2/explain")
        absent = await served.get("api/v1/nodes/node-3/explain")

    assert found == (200, view.present(node("node-2")))
    assert (absent[0], absent[1]["detail"]) == (404, "no node node-3 is known")


# --- errors and safety ------------------------------------------------------------------------


async def test_an_unknown_path_is_a_problem() -> None:
    async with serving() as served:
        answer = await served.get("api/v1/anything")

    assert answer == (404, {"type": "about:blank", "title": "Not Found", "status": 404})


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones() -> None:
    async with serving() as served:
        url = f"{served.server.api_url}api/v1/summary"
        async with served.client.delete(url) as response:
            problem = await response.json(content_type="application/problem+json")

    assert problem == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}
    assert response.headers["Allow"] == "GET,HEAD"


async def test_an_answer_that_fails_is_a_problem_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    view = SmallView()
    view.broken = True
    async with serving(view) as served:
        status, problem = await served.get("api/v1/summary")

    assert (status, problem["detail"]) == (500, "the log says why")
    assert "the answer to GET /api/v1/summary failed" in caplog.text
    assert "no summary today" in caplog.text


@pytest.mark.parametrize("path", ["", "api/v1/summary", "api/v1/nothing", "livez", "api/v1/stream"])
async def test_every_answer_forbids_foreign_content(path: str) -> None:
    async with serving() as served, served.client.get(f"{served.server.api_url}{path}") as response:
        headers = {name: response.headers[name] for name in response.headers}

    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == ("no-cache" if path == "" else "no-store")


# --- the board --------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path: Path) -> Path:
    for name, text in {
        "index.html": "<!doctype html>",
        "board.js": "start()",
        "style.css": "a{}",
        "causes.json": "{}",
        "icon.svg": "<svg/>",
        "notes.txt": "not for the world",
        "code.py": "secret",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("", "text/html; charset=utf-8", "<!doctype html>"),
        ("index.html", "text/html; charset=utf-8", "<!doctype html>"),
        ("board.js", "text/javascript; charset=utf-8", "start()"),
        ("style.css", "text/css; charset=utf-8", "a{}"),
        ("causes.json", "application/json", "{}"),
        ("icon.svg", "image/svg+xml", "<svg/>"),
    ],
)
async def test_the_boards_files_have_their_types(
    board: Path, path: str, kind: str, text: str
) -> None:
    async with serving(board=board) as served:
        url = f"{served.server.api_url}{path}"
        async with served.client.get(url) as response:
            body = await response.text()
        headers = {"If-None-Match": response.headers["ETag"]}
        async with served.client.get(url, headers=headers) as again:
            pass

    assert (response.headers["Content-Type"], body) == (kind, text)
    assert again.status == 304


@pytest.mark.parametrize("path", ["notes.txt", "code.py", "..%2Fcode.py", "%2e%2e/etc/passwd"])
async def test_nothing_but_the_boards_files_is_served(board: Path, path: str) -> None:
    async with serving(board=board) as served:
        status, _ = await served.get(path)

    assert status == 404


async def test_the_shipped_board_is_served_when_no_other_is_named() -> None:
    async with serving() as served, served.client.get(str(served.server.api_url)) as response:
        text = await response.text()

    assert text.lower().startswith("<!doctype html>")


# --- the demonstration ------------------------------------------------------------------------


async def test_without_a_demonstration_there_is_nothing_to_continue() -> None:
    async with serving() as served:
        status, _ = await served.get("api/v1/demo")
        async with served.client.post(f"{served.server.api_url}api/v1/demo/continue") as response:
            pass

    assert (status, response.status) == (404, 404)


async def test_a_demonstration_goes_on_when_the_board_says_so() -> None:
    demo = HoldingDemo()
    async with serving(demo=demo) as served:
        before = await served.get("api/v1/demo")
        url = str(served.server.api_url)
        headers = {"Origin": url.rstrip("/")}
        async with served.client.post(f"{url}api/v1/demo/continue", headers=headers) as response:
            after = await response.json()

    assert (before, after, demo.told) == ((200, {"state": "holding"}), {"state": "playing"}, 1)


async def test_a_foreign_page_cannot_continue_the_demonstration() -> None:
    demo = HoldingDemo()
    async with serving(demo=demo) as served:
        url = f"{served.server.api_url}api/v1/demo/continue"
        headers = {"Origin": "http://elsewhere.example"}
        async with served.client.post(url, headers=headers) as response:
            pass

    assert (response.status, demo.told) == (403, 0)


# --- the stream -------------------------------------------------------------------------------


class Reader:
    """Reads a stream's blocks, each up to its empty line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def block(self) -> list[str]:
        lines: list[str] = []
        async with asyncio.timeout(5):
            while line := (await self._response.content.readline()).decode().rstrip("\n"):
                lines.append(line)
        return lines

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return not await self._response.content.read()


@asynccontextmanager
async def listening(served: Served) -> AsyncIterator[Reader]:
    async with served.client.get(f"{served.server.api_url}api/v1/stream") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        reader = Reader(response)
        assert await reader.block() == [": open"]
        yield reader


async def test_every_record_is_an_event_with_its_id_and_topic() -> None:
    told = record("key", {"text": "line\nbreak"}, topic="incidents")
    async with serving() as served, listening(served) as reader:
        served.stream.decided([], [told], 1.0)
        identity, event, data = await reader.block()

    assert (identity, event) == (f"id: {told.id}", "event: incidents")
    body = json.loads(data.removeprefix("data: "))
    assert (body["id"], body["topic"], body["data"]) == (
        told.id,
        "test.incidents",
        {"state": {"text": "line\nbreak"}},
    )


async def test_a_quiet_stream_is_pinged() -> None:
    async with serving() as served, listening(served) as reader:
        await served.clock.advance(PING_SECONDS)

        assert await reader.block() == [": ping"]


async def test_a_slow_listener_loses_the_oldest_and_is_told_how_many() -> None:
    async with serving(queued=3) as served, listening(served) as reader:
        served.stream.publish([record(f"key-{number}") for number in range(8)])
        blocks = [await reader.block() for _ in range(4)]

    assert blocks[0] == ["event: dropped", 'data: {"dropped":5}']
    keys = [json.loads(block[2].removeprefix("data: "))["partitionkey"] for block in blocks[1:]]
    assert keys == ["key-5", "key-6", "key-7"]


async def test_too_many_listeners_are_told_to_come_back() -> None:
    async with serving(listeners=1) as served, listening(served):
        status, problem = await served.get("api/v1/stream")

    assert (status, problem["detail"]) == (503, "there are too many streams; try again later")


async def test_a_listener_who_left_makes_room() -> None:
    async with serving(listeners=1) as served:
        async with listening(served):
            pass

        async def back() -> bool:
            async with listening(served):
                return True

        assert await eventually(back, within=5, every=0.001)


async def test_streams_end_at_once_when_the_server_stops() -> None:
    async with serving() as served, listening(served) as reader:
        async with asyncio.timeout(1):
            await served.server.stop()

        assert await reader.ended()
