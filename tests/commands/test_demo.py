"""The demonstration, as its users see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.commands.called import Called, calling
from tests.rig.wait import eventually

SPEED = 20
CAUSE = "namespace-newer-than-policy"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
async def called(events: Path) -> AsyncIterator[Called]:
    async with calling("demo", "--speed", SPEED, "--events", events) as called:
        yield called


@pytest.fixture
async def board(called: Called) -> AsyncIterator[aiohttp.ClientSession]:
    line = await called.line("The board and the API: ")
    async with aiohttp.ClientSession(base_url=line.rpartition(" ")[2]) as session:
        yield session


async def read(board: aiohttp.ClientSession, path: str) -> Any:
    async with board.get(path) as response:
        assert response.status == 200
        return await response.json()


async def state(board: aiohttp.ClientSession, wanted: str) -> str:
    async def probe() -> str | None:
        said: str = (await read(board, "api/v1/demo"))["state"]
        return said if said == wanted else None

    return await eventually(probe, within=30)


async def test_it_holds_at_the_gap_and_heals_when_told_to_go_on(
    called: Called, board: aiohttp.ClientSession, events: Path
) -> None:
    await state(board, "holding")
    uncovered = (await read(board, "api/v1/containers?verdict=gap"))["items"]
    assert {(one["namespace"], one["cause"]) for one in uncovered} == {("team-b", CAUSE)}
    assert len(uncovered) == 3
    (incident,) = (await read(board, "api/v1/incidents"))["items"]
    assert (incident["state"], incident["containers"]) == ("open", 3)
    assert "v1.6.0" in incident["remedy"]
    async with board.get("metrics") as response:
        assert f'kubearmor_monitor_gaps_open{{cause="{CAUSE}"}} 3.0' in await response.text()
    async with board.get("") as response:
        assert response.content_type == "text/html"

    async with board.post("api/v1/demo/continue") as response:
        assert (await response.json())["state"] == "playing"
    await state(board, "finished")
    assert (await read(board, "api/v1/summary"))["verdicts"] == {"covered": 5, "exempt": 2}

    called.signal()
    ended = await called.ended()
    assert (ended.code, ended.errors) == (0, "")
    lines = await asyncio.to_thread(lambda: events.read_text().splitlines())
    topics = [json.loads(line)["topic"] for line in lines]
    assert topics.count("kubearmor-monitor.gaps") >= 6


async def test_a_signal_ends_it_while_it_plays(
    called: Called, board: aiohttp.ClientSession
) -> None:
    assert (await read(board, "livez"))["alive"]
    called.signal()
    ended = await called.ended()
    assert (ended.code, ended.errors) == (0, "")


async def test_as_json_it_prints_a_line_for_all_that_it_announces_and_nothing_else() -> None:
    async with calling("demo", "--speed", SPEED, "--output", "json") as called:
        first = json.loads(await called.line("{"))
        assert first == {
            "phase": "playing",
            "at": "2026-11-23T21:27:36.213593Z",
            "text": "The recording is playing.",
            "board": first["board"],
            "metrics": f"{first['board']}metrics",
        }
        holding = json.loads(await called.line('{"phase":"holding"'))
        assert holding["verdicts"] == {"exempt": 2, "covered": 2, "gap": 3}
        async with aiohttp.ClientSession() as session, session.post(holding["continue"]) as answer:
            assert answer.status == 200
        mark = json.loads(await called.line("{"))
        assert (mark["phase"], mark["text"]) == ("playing", "restart of KubeArmor")
        healed = json.loads(await called.line('{"phase":"healed"'))
        assert healed["verdicts"] == {"exempt": 2, "covered": 5}
        called.signal()
        assert await called.ended() == (0, "", "")


async def test_an_address_that_is_taken_is_named_with_the_option_for_another(
    board: aiohttp.ClientSession,
) -> None:
    assert board._base_url is not None
    port = board._base_url.port
    async with calling("demo", "--port", port) as second:
        ended = await second.ended()
    assert (ended.code, ended.output) == (2, "")
    assert ended.errors.startswith(f"kubearmor-monitor: cannot listen on 127.0.0.1:{port} (")
    assert ended.errors.endswith("): choose another with --port, or leave it out for a free one\n")
