"""The daemons' text: every line once, in order, of the right incarnation, whatever is cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from monitor.core.facts import LifecycleReported
from monitor.core.model import DaemonLine, SourceDown, SourceUp
from monitor.sources.cluster_access import Access, Credentials
from monitor.sources.container_log import Incarnation
from monitor.sources.daemon_log import DaemonLog, DaemonTarget
from tests.clock import ManualClock
from tests.sources.chance import chance
from tests.sources.recording import Recording, becomes, passes
from tests.sources.running import connected, running
from tests.sources.scripted_api import Answer, ScriptedApi, Stream, answer, reset, status
from tests.sources.scripted_kubelet import ScriptedKubelet, at, stamped

LOG = "/api/v1/namespaces/kubearmor/pods/{}/log"
NAME = "text/node-a"
UP = SourceUp(NAME, "kubearmor/daemon-1")
ENDED = SourceDown(NAME, "container ended")
TARGET = DaemonTarget(
    node="node-a",
    namespace="kubearmor",
    pod="daemon-1",
    uid="uid-1",
    restart=0,
    container="kubearmor",
    running=True,
)


class Stage:
    """An API server with the output of one daemon, and the source of text, which runs."""

    def __init__(self) -> None:
        self.api = ScriptedApi()
        self.kubelet = ScriptedKubelet()
        self.intake = Recording()
        self.clock = ManualClock()
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        await self._stack.enter_async_context(self.api)
        server = await self._stack.enter_async_context(connected(self.api.url, clock=self.clock))
        self.source = DaemonLog(
            server=server, intake=self.intake, clock=self.clock, random=chance()
        )
        self.serve("daemon-1", self.kubelet)
        await self._stack.enter_async_context(running(self.source))

    def serve(self, pod: str, kubelet: ScriptedKubelet) -> None:
        for kind in ("", "?follow", "?previous"):
            self.api.always(LOG.format(pod) + kind, kubelet)

    def follow(self, *targets: DaemonTarget) -> None:
        self.source.follow(frozenset(targets))

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def states(self) -> list[SourceUp | SourceDown]:
        return [o for o in self.intake.observations if isinstance(o, SourceUp | SourceDown)]

    @property
    def stamps(self) -> list[tuple[int, int]]:
        """Restart count and milliseconds of every line."""
        return [(restart, (stamp - at(0)) // 1_000_000) for restart, stamp in self.intake.lines]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.start()
    yield made
    await made.stop()


async def test_what_was_written_and_what_is_written_each_once(stage: Stage) -> None:
    stage.kubelet.write(stamped(1), stamped(2))
    stage.follow(TARGET)
    await becomes(lambda: len(stage.stamps) == 2 and stage.kubelet.followed)
    stage.kubelet.write(stamped(3), stamped(4))
    await becomes(lambda: len(stage.stamps) == 4)

    assert stage.intake.observations[:2] == [
        UP,
        DaemonLine(
            node="node-a",
            pod="kubearmor/daemon-1",
            pod_uid="uid-1",
            restart=0,
            container="kubearmor",
            stamp=at(1),
            fact=stage.intake.observations[1].fact,  # type: ignore[union-attr]
        ),
    ]
    assert stage.stamps == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert stage.states == [UP]
    first, second = (query for route, query, _ in stage.api.seen)
    assert first == {"container": "kubearmor", "timestamps": "true", "tailLines": "16384"}
    assert second == {
        "container": "kubearmor",
        "timestamps": "true",
        "follow": "true",
        "sinceTime": "2026-11-23T21:31:36Z",
    }


async def test_lines_say_what_they_say(stage: Stage) -> None:
    stage.kubelet.write(
        stamped(1, "2026-11-23 21:31:36.000500\t\x1b[34mINFO\x1b[0m\tInitialized KubeArmor")
    )
    stage.follow(TARGET)
    await becomes(lambda: stage.stamps)

    (line,) = (one for one in stage.intake.observations if isinstance(one, DaemonLine))
    assert line.fact == LifecycleReported("initialized")


async def test_a_daemon_that_has_said_nothing_yet_is_up_when_its_stream_stands(
    stage: Stage,
) -> None:
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed and 1.0 in stage.clock.sleepers)
    assert stage.states == []

    await stage.clock.advance(1.0)

    await stage.intake.holds(UP)


async def test_a_stream_that_is_cut_goes_on_without_loss_and_without_repetition(
    stage: Stage,
) -> None:
    stage.kubelet.write(stamped(1), stamped(2))
    stage.follow(TARGET)
    await becomes(lambda: len(stage.stamps) == 2 and stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: not stage.kubelet.followed)
    stage.kubelet.write(stamped(3))
    await passes(stage.clock, lambda: len(stage.stamps) == 3, step=0.1)

    assert stage.stamps == [(0, 1), (0, 2), (0, 3)]
    assert stage.states == [UP, SourceDown(NAME, "the connection was cut"), UP]


async def test_a_stream_that_is_cut_while_nothing_is_said_is_up_again(stage: Stage) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: len(stage.states) == 2)
    await passes(stage.clock, lambda: len(stage.states) == 3, step=0.1)

    assert stage.stamps == [(0, 1)]
    assert stage.states[2] == UP


async def test_after_a_restart_the_former_run_is_completed_and_the_next_read_from_its_first_line(
    stage: Stage,
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: len(stage.states) == 2)
    stage.kubelet.write(stamped(2))
    stage.kubelet.restart(stamped(3), stamped(4))
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: len(stage.stamps) == 4, step=0.1)

    assert stage.stamps == [(0, 1), (0, 2), (1, 3), (1, 4)]
    assert stage.states == [UP, SourceDown(NAME, "the connection was cut"), ENDED, UP, ENDED, UP]
    assert len(stage.api.queries(LOG.format("daemon-1") + "?previous")) == 1


async def test_a_run_that_ended_in_order_has_nothing_to_complete(stage: Stage) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.exit()
    stage.follow(structs.replace(TARGET, running=False))
    await becomes(lambda: ENDED in stage.states)
    stage.kubelet.restart(stamped(2))
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: len(stage.stamps) == 2, step=0.1)

    assert stage.stamps == [(0, 1), (1, 2)]
    assert stage.states == [UP, ENDED, UP]


async def test_a_new_runs_lines_are_not_taken_for_the_old_ones_while_the_status_is_late(
    stage: Stage,
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.restart(stamped(2000), stamped(2001))
    await passes(stage.clock, lambda: 5.0 in stage.clock.sleepers, step=0.1)
    await stage.clock.advance(4.9)
    before_the_status = list(stage.stamps)
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: len(stage.stamps) == 3, step=0.1)

    assert before_the_status == [(0, 1)]
    assert stage.stamps == [(0, 1), (1, 2000), (1, 2001)]


async def test_a_new_run_that_says_nothing_at_first_is_not_taken_for_the_old_one_either(
    stage: Stage,
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.restart()
    await becomes(lambda: len(stage.states) == 2)
    await passes(stage.clock, lambda: stage.kubelet.followed, step=0.1)
    stage.kubelet.write(stamped(2000))
    await passes(stage.clock, lambda: 5.0 in stage.clock.sleepers, step=0.1)
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: len(stage.stamps) == 2, step=0.1)

    assert stage.stamps == [(0, 1), (1, 2000)]


async def test_a_rotated_file_leaves_a_gap_that_is_named(stage: Stage) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: not stage.kubelet.followed)
    stage.kubelet.rotate()
    stage.kubelet.write(stamped(2000))
    await passes(stage.clock, lambda: len(stage.stamps) == 2, step=0.1)

    assert stage.states[-1] == SourceUp(NAME, "kubearmor/daemon-1, older lines unread")


async def test_a_container_that_does_not_run_is_read_to_its_end_once(stage: Stage) -> None:
    stage.kubelet.write(stamped(1), stamped(2))
    stage.kubelet.exit()
    dead = structs.replace(TARGET, running=False)
    stage.follow(dead)
    await becomes(lambda: ENDED in stage.states)
    stage.follow(dead)
    await stage.clock.advance(100.0)

    assert stage.stamps == [(0, 1), (0, 2)]
    assert stage.states == [UP, ENDED]
    assert len(stage.api.queries(LOG.format("daemon-1"))) == 1


async def test_a_pod_that_is_replaced_is_read_to_its_end_before_its_successor(
    stage: Stage,
) -> None:
    successor = ScriptedKubelet()
    successor.write(stamped(5))
    stage.serve("daemon-2", successor)
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.write(stamped(2))
    stage.kubelet.exit()
    stage.follow(structs.replace(TARGET, uid="uid-2", pod="daemon-2"))
    await passes(stage.clock, lambda: successor.followed, step=0.1)

    lines = [one for one in stage.intake.observations if isinstance(one, DaemonLine)]
    assert [(one.pod_uid, one.stamp) for one in lines] == [
        ("uid-1", at(1)),
        ("uid-1", at(2)),
        ("uid-2", at(5)),
    ]
    assert stage.states == [UP, ENDED, SourceUp(NAME, "kubearmor/daemon-2")]


async def test_a_stream_that_outlives_its_container_is_left_after_ten_seconds(
    stage: Stage,
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.follow()
    await becomes(lambda: 10.0 in stage.clock.sleepers)
    stage.api.on(LOG.format("daemon-1"), status(404, "NotFound"))

    await stage.clock.advance(9.9)
    assert stage.states == [UP]
    await stage.clock.advance(0.1)
    await becomes(lambda: stage.states == [UP, ENDED])
    await becomes(lambda: not stage.kubelet.followed)


async def test_a_backlog_beyond_2_mib_is_read_from_its_newest_end(stage: Stage) -> None:
    stage.kubelet.write(*(stamped(number, "x" * 970) for number in range(1, 4001)))
    stage.follow(TARGET)
    await becomes(lambda: len(stage.stamps) > 2000)
    await becomes(lambda: stage.kubelet.followed)

    size = len(stamped(1, "x" * 970))
    assert stage.states == [SourceUp(NAME, "kubearmor/daemon-1, older lines unread")]
    assert stage.stamps[-1] == (0, 4000)
    assert len(stage.stamps) == (2 << 20) // size
    assert max(stage.intake.batches) <= 500


async def test_a_backlog_of_more_lines_than_are_asked_for_says_so(stage: Stage) -> None:
    stage.kubelet.write(*(stamped(number, "x") for number in range(1, 17001)))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)

    assert stage.states == [SourceUp(NAME, "kubearmor/daemon-1, older lines unread")]
    assert len(stage.stamps) == 16384


async def test_no_more_than_32_are_opened_at_a_time(stage: Stage) -> None:
    stage.kubelet.held = asyncio.Event()
    stage.follow(
        *(
            structs.replace(TARGET, node=f"node-{number}", uid=f"uid-{number}", running=number < 40)
            for number in range(60)
        )
    )
    await becomes(lambda: stage.kubelet.open == 32)
    for _ in range(50):
        await asyncio.sleep(0)
    most = stage.kubelet.most_open
    stage.kubelet.held.set()
    await becomes(lambda: len([seen for seen in stage.api.seen if "follow" in seen.query]) == 40)

    assert most == 32


async def test_lines_that_cannot_be_used_cost_themselves_only(stage: Stage) -> None:
    stage.kubelet.write(stamped(1), b"no stamp", stamped(2, "x" * (1 << 20)), stamped(3, "y" * 900))
    stage.kubelet.write(stamped(4, "\x00\udcff".encode(errors="surrogatepass").decode("latin-1")))
    stage.follow(TARGET)
    await becomes(lambda: len(stage.stamps) == 3)

    assert stage.stamps == [(0, 1), (0, 3), (0, 4)]
    assert sorted(stage.intake.rejections) == [("text", "malformed"), ("text", "too-long")]


async def test_a_line_from_the_far_future_does_not_hide_those_that_follow(stage: Stage) -> None:
    stage.kubelet.write(stamped(1), b"9999-12-31T23:59:59.999999999Z text", stamped(2))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: not stage.kubelet.followed)
    stage.kubelet.write(stamped(3))
    await passes(stage.clock, lambda: len(stage.stamps) == 3, step=0.1)

    assert stage.stamps == [(0, 1), (0, 2), (0, 3)]
    assert set(stage.intake.rejections) == {("text", "invalid")}


async def test_a_quiet_daemon_is_asked_again_each_minute_and_was_never_down(stage: Stage) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    await becomes(lambda: 60.0 in stage.clock.sleepers)
    asked = len(stage.api.seen)

    await stage.clock.advance(60.0)
    await becomes(lambda: len(stage.api.seen) == asked + 2 and stage.kubelet.followed)
    stage.kubelet.write(stamped(2))
    await becomes(lambda: len(stage.stamps) == 2)

    assert stage.states == [UP]


@pytest.mark.parametrize(
    ("code", "reason", "waits"),
    [(403, "Forbidden", 60.0), (503, "ServiceUnavailable", 21.0), (429, "TooManyRequests", 21.0)],
)
async def test_a_log_that_is_refused_is_asked_for_again(
    stage: Stage, code: int, reason: str, waits: float
) -> None:
    stage.api.on(LOG.format("daemon-1"), status(code, reason, retry_after="21"))
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.clock.sleepers == (waits,))
    await stage.clock.advance(waits)
    await becomes(lambda: stage.stamps)

    assert stage.states == [SourceDown(NAME, f"HTTP {code} {reason}"), UP]


async def test_a_log_that_cannot_be_reached_is_asked_for_again(stage: Stage) -> None:
    stage.api.on(LOG.format("daemon-1"), reset, reset, answer(status=500))  # one is retried at once
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await passes(stage.clock, lambda: stage.stamps, step=0.1)

    assert stage.states == [
        SourceDown(NAME, "ServerDisconnectedError"),
        SourceDown(NAME, "HTTP 500"),
        UP,
    ]


async def test_a_refused_token_is_read_again() -> None:
    stage, renewed = Stage(), []

    async def renew() -> Access:
        renewed.append(True)
        return Access(server=stage.api.url)

    async with stage.api:
        credentials = Credentials(Access(server=stage.api.url), renew=renew)
        async with connected(stage.api.url, clock=stage.clock, credentials=credentials) as server:
            stage.source = DaemonLog(
                server=server, intake=stage.intake, clock=stage.clock, random=chance()
            )
            stage.serve("daemon-1", stage.kubelet)
            stage.api.on(LOG.format("daemon-1"), status(401, "Unauthorized"))
            stage.kubelet.write(stamped(1))
            async with running(stage.source):
                stage.follow(TARGET)
                await passes(stage.clock, lambda: stage.stamps, step=0.1)

    assert renewed == [True]


async def test_nodes_without_a_daemon_are_forgotten(stage: Stage) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.api.on(LOG.format("daemon-1"), status(404, "NotFound"))
    stage.follow()
    stage.kubelet.exit()
    await becomes(lambda: stage.states == [UP, ENDED])

    def forgotten() -> bool:
        stage.follow()
        return not stage.source.nodes

    await becomes(forgotten)


@pytest.mark.parametrize(
    ("refusals", "completed"),
    [
        ([status(503, "ServiceUnavailable")], True),
        ([status(503, "ServiceUnavailable")] * 3, False),
        ([status(400, "BadRequest")], False),
    ],
)
async def test_a_former_run_that_cannot_be_read_holds_up_nothing(
    stage: Stage, refusals: list[Answer], *, completed: bool
) -> None:
    stage.api.on(LOG.format("daemon-1") + "?previous", *refusals)
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: len(stage.states) == 2)
    stage.kubelet.write(stamped(2))
    stage.kubelet.restart(stamped(3))
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: (1, 3) in stage.stamps, step=0.1)

    assert stage.stamps == [(0, 1), *([(0, 2)] if completed else []), (1, 3)]


def failing(*, silent: bool = False, code: int = 0, reason: str = "") -> Answer:
    """Answer as what can no longer be read: never, or with a refusal."""

    async def respond(request: web.Request) -> web.StreamResponse:
        if silent:
            await asyncio.Event().wait()
        return await status(code, reason)(request)

    return respond


GONE: dict[str, Answer] = {
    "the Pod is deleted": failing(code=404, reason="NotFound"),
    "the kubelet is silent": failing(silent=True),
    "the container is not found": failing(code=500, reason="InternalError"),
    "the kubelet is away": failing(code=503, reason="ServiceUnavailable"),
    "it never started": failing(code=400, reason="BadRequest"),
    "the rights are missing": failing(code=403, reason="Forbidden"),
}
SUCCESSOR = structs.replace(TARGET, uid="uid-2", pod="daemon-2")
SUCCEEDED = SourceUp(NAME, "kubearmor/daemon-2")


class Succession:
    """A stage on which daemon-2 follows daemon-1."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kubelet = ScriptedKubelet()
        stage.serve("daemon-2", self.kubelet)

    @property
    def lines(self) -> list[tuple[str, int]]:
        """Pod and milliseconds of every line."""
        return [
            (line.pod_uid, (line.stamp - at(0)) // 1_000_000)
            for line in self.stage.intake.observations
            if isinstance(line, DaemonLine)
        ]

    async def begins(self) -> float:
        """Return the seconds until the output of daemon-2 is followed."""
        clock = self.stage.clock
        began = clock.now()
        await passes(clock, lambda: self.kubelet.followed, step=0.1)
        return clock.now() - began


@pytest.fixture
def succession(stage: Stage) -> Succession:
    return Succession(stage)


def _break(stage: Stage, answers: Answer) -> None:
    for kind in ("", "?follow", "?previous"):
        stage.api.always(LOG.format("daemon-1") + kind, answers)


@pytest.mark.parametrize("answers", GONE.values(), ids=GONE)
async def test_the_living_waits_two_seconds_at_most_for_a_dead_pod_that_cannot_be_read(
    stage: Stage, succession: Succession, answers: Answer
) -> None:
    _break(stage, answers)
    succession.kubelet.write(stamped(5))
    stage.follow(structs.replace(TARGET, running=False), SUCCESSOR)

    assert await succession.begins() <= 2.1
    assert succession.lines == [("uid-2", 5)]
    assert stage.states[-1] == SUCCEEDED


@pytest.mark.parametrize("answers", GONE.values(), ids=GONE)
async def test_the_living_waits_two_seconds_at_most_for_one_that_was_never_readable_and_is_deleted(
    stage: Stage, succession: Succession, answers: Answer
) -> None:
    _break(stage, answers)
    stage.follow(TARGET)
    await becomes(lambda: stage.states or 30.0 in stage.clock.sleepers)
    await stage.clock.advance(0.001)
    succession.kubelet.write(stamped(5))
    stage.follow(SUCCESSOR)

    assert await succession.begins() <= 2.1
    assert succession.lines == [("uid-2", 5)]
    assert stage.states[-1] == SUCCEEDED


@pytest.mark.parametrize("answers", GONE.values(), ids=GONE)
async def test_the_living_waits_two_seconds_at_most_for_a_stream_that_outlives_its_container(
    stage: Stage, succession: Succession, answers: Answer
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    _break(stage, answers)
    succession.kubelet.write(stamped(5))
    stage.follow(SUCCESSOR)

    assert await succession.begins() <= 2.1
    assert stage.states == [UP, ENDED, SUCCEEDED]
    await passes(stage.clock, lambda: not stage.kubelet.followed, step=1.0)
    await stage.clock.advance(100.0)
    assert succession.lines == [("uid-1", 1), ("uid-2", 5)]
    assert stage.states == [UP, ENDED, SUCCEEDED]


async def test_what_a_dead_pod_still_gives_comes_beside_the_living_one_each_line_once(
    stage: Stage, succession: Succession
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.follow(SUCCESSOR)
    await succession.begins()
    stage.kubelet.write(stamped(2))
    succession.kubelet.write(stamped(5))
    await becomes(lambda: len(succession.lines) == 3)
    stage.kubelet.write(stamped(3))
    stage.kubelet.exit()
    await becomes(lambda: len(succession.lines) == 4)
    await stage.clock.advance(100.0)

    assert [line for line in succession.lines if line[0] == "uid-1"] == [
        ("uid-1", 1),
        ("uid-1", 2),
        ("uid-1", 3),
    ]
    assert [line for line in succession.lines if line[0] == "uid-2"] == [("uid-2", 5)]
    assert stage.states == [UP, ENDED, SUCCEEDED]


async def test_a_dead_pod_that_could_not_be_read_in_time_is_read_later(
    stage: Stage, succession: Succession
) -> None:
    stage.kubelet.held = asyncio.Event()
    stage.kubelet.write(stamped(1), stamped(2))
    stage.kubelet.exit()
    stage.follow(structs.replace(TARGET, running=False), SUCCESSOR)
    await succession.begins()
    succession.kubelet.write(stamped(5))
    await becomes(lambda: len(succession.lines) == 1)
    stage.kubelet.held.set()
    await becomes(lambda: len(succession.lines) == 3)

    assert succession.lines == [("uid-2", 5), ("uid-1", 1), ("uid-1", 2)]
    assert stage.states == [SUCCEEDED]


async def test_of_many_dead_pods_each_is_read_and_the_living_waits_for_them_once(
    stage: Stage, succession: Succession
) -> None:
    dead = [
        structs.replace(TARGET, uid=f"uid-old-{number}", pod=f"old-{number}", running=False)
        for number in range(5)
    ]
    kubelets = [ScriptedKubelet() for _ in dead]
    for number, (target, kubelet) in enumerate(zip(dead, kubelets, strict=True)):
        kubelet.write(stamped(number + 1))
        kubelet.exit()
        kubelet.held = asyncio.Event()
        stage.serve(target.pod, kubelet)
    stage.follow(*dead, SUCCESSOR)
    waited = await succession.begins()
    opened = sum(kubelet.open for kubelet in kubelets)
    for kubelet in kubelets:
        assert kubelet.held is not None
        kubelet.held.set()
    await becomes(lambda: len(succession.lines) == 5)

    assert waited <= 2.1
    assert opened == 1
    assert succession.lines == [(f"uid-old-{number}", number + 1) for number in range(5)]


async def test_a_pod_that_fails_beside_a_living_one_is_read_when_that_has_ended(
    stage: Stage, succession: Succession
) -> None:
    """Whose lines come is whose daemon runs: a younger one's would end the older one."""
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    succession.kubelet.write(stamped(5))
    succession.kubelet.exit()
    failed = structs.replace(SUCCESSOR, running=False)
    stage.follow(TARGET, failed)
    await stage.clock.advance(100.0)
    before = list(succession.lines)
    stage.kubelet.exit()
    stage.follow(failed)
    await passes(stage.clock, lambda: len(succession.lines) == 2, step=0.1)

    assert before == [("uid-1", 1)]
    assert succession.lines == [("uid-1", 1), ("uid-2", 5)]


@pytest.mark.parametrize("answers", GONE.values(), ids=GONE)
async def test_a_restarted_container_is_read_at_once_whatever_keeps_its_former_run(
    stage: Stage, answers: Answer
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: len(stage.states) == 2)
    stage.kubelet.restart(stamped(2))
    stage.api.always(LOG.format("daemon-1") + "?previous", answers)
    stage.follow(structs.replace(TARGET, restart=1))
    began = stage.clock.now()
    await passes(stage.clock, lambda: stage.kubelet.followed, step=0.1)
    waited = stage.clock.now() - began
    await stage.clock.advance(200.0)

    assert waited <= 3.0
    assert stage.stamps == [(0, 1), (1, 2)]
    assert len(stage.api.queries(LOG.format("daemon-1") + "?previous")) <= 3
    assert stage.states[-1] == UP


async def test_a_stream_that_is_left_for_a_restart_is_completed_from_the_previous_output(
    stage: Stage,
) -> None:
    """The stream stands although its container is gone, and says nothing more."""
    stuck = Stream(stamped(1))
    stage.kubelet.write(stamped(1))
    stage.api.on(LOG.format("daemon-1") + "?follow", stuck)
    stage.follow(TARGET)
    await becomes(lambda: stage.stamps == [(0, 1)] and stuck.opened.is_set())
    stage.kubelet.write(stamped(2))
    stage.kubelet.restart(stamped(3))
    stage.follow(structs.replace(TARGET, restart=1))
    began = stage.clock.now()
    await passes(stage.clock, lambda: len(stage.stamps) == 3, step=0.1)

    assert stage.clock.now() - began <= 2.1
    assert sorted(stage.stamps) == [(0, 1), (0, 2), (1, 3)]
    await becomes(stuck.closed.is_set)


async def test_outputs_that_cannot_be_opened_do_not_keep_other_nodes_from_theirs(
    stage: Stage,
) -> None:
    """More kubelets are silent than outputs may be opened at a time."""
    held = ScriptedKubelet()
    held.held = asyncio.Event()
    stage.serve("gone", held)
    gone = [
        structs.replace(TARGET, node=f"node-{n}", uid=f"gone-{n}", pod="gone", running=False)
        for n in range(100)
    ]
    stage.kubelet.write(stamped(1))
    stage.follow(*gone)
    await becomes(lambda: held.open == 8)
    stage.follow(*gone, TARGET)
    await becomes(lambda: stage.stamps)

    assert held.most_open == 8
    held.held.set()


async def test_nodes_that_are_gone_unnoticed_keep_others_from_theirs_only_once(
    stage: Stage,
) -> None:
    """A node that lost its power is said to run its Pods for minutes."""
    gone = ScriptedKubelet()
    gone.held = asyncio.Event()
    stage.serve("gone", gone)
    lost = [
        structs.replace(TARGET, node=f"node-{n}", uid=f"gone-{n}", pod="gone") for n in range(24)
    ]
    stage.follow(*lost)
    await becomes(lambda: gone.open == 24)
    await stage.clock.advance(30.0)
    await becomes(lambda: len(stage.states) == 24)
    await passes(stage.clock, lambda: gone.open == 8, step=0.1)
    stage.api.on(LOG.format("daemon-1"), status(500, "InternalError"))
    stage.kubelet.write(stamped(1))
    stage.follow(*lost, TARGET)
    await becomes(lambda: SourceDown(NAME, "HTTP 500 InternalError") in stage.states)
    await passes(stage.clock, lambda: stage.stamps, step=0.1)

    assert gone.most_open == 24
    assert gone.open == 8


@pytest.mark.parametrize("told", [True, False], ids=["told of each end", "told of each start only"])
async def test_twenty_restarts_lose_no_last_line_and_ask_for_each_former_run_once(
    stage: Stage, *, told: bool
) -> None:
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    for restart in range(20):
        last = stamped(1000 * restart + 2)
        stage.kubelet.cut()
        await becomes(lambda: not stage.kubelet.followed)
        stage.kubelet.write(last)
        if told:
            stage.kubelet.exit()
            stage.follow(structs.replace(TARGET, restart=restart, running=False))
            await passes(stage.clock, lambda: stage.states[-1] == ENDED, step=0.1)
        stage.kubelet.restart(stamped(1000 * (restart + 1) + 1))
        stage.follow(structs.replace(TARGET, restart=restart + 1))
        wanted = 2 * restart + 3
        await passes(stage.clock, lambda: len(stage.stamps) == wanted, step=0.1)  # noqa: B023
        await passes(stage.clock, lambda: stage.kubelet.followed, step=0.1)

    assert stage.stamps == [
        *((run, 1000 * run + which) for run in range(20) for which in (1, 2)),
        (20, 20_001),
    ]
    assert len(stage.api.queries(LOG.format("daemon-1") + "?previous")) == 20
    assert len(stage.api.seen) <= 4 * 21


async def test_twenty_pods_one_after_the_other_are_each_read_with_a_few_requests(
    stage: Stage,
) -> None:
    """Their streams stand for ever, their Pods are gone."""
    for number in range(20):
        pod = f"pod-{number}"
        kubelet = ScriptedKubelet()
        kubelet.write(stamped(number + 1))
        stage.serve(pod, kubelet)
        stage.follow(structs.replace(TARGET, pod=pod, uid=f"uid-{number}"))
        await passes(stage.clock, lambda: kubelet.followed, step=0.1)  # noqa: B023
        stage.api.always(LOG.format(pod), status(404, "NotFound"))
    await stage.clock.advance(100.0)

    assert [milliseconds for _, milliseconds in stage.stamps] == list(range(1, 21))
    await becomes(lambda: len(stage.api.seen) <= 20 * 4)
    assert not stage.api.queries(LOG.format("pod-0") + "?previous")


async def test_what_the_previous_output_of_a_later_run_says_is_not_taken_for_an_earlier_one_s(
    stage: Stage,
) -> None:
    """The container has been restarted twice, and its status has told of once."""
    stage.kubelet.write(stamped(1))
    stage.follow(TARGET)
    await becomes(lambda: stage.kubelet.followed)
    stage.kubelet.cut()
    await becomes(lambda: not stage.kubelet.followed)
    stage.kubelet.restart(stamped(2000))
    stage.kubelet.restart(stamped(3000))
    stage.follow(structs.replace(TARGET, restart=1))
    await passes(stage.clock, lambda: stage.api.queries(LOG.format("daemon-1") + "?previous"))
    stage.follow(structs.replace(TARGET, restart=2))
    await passes(stage.clock, lambda: (2, 3000) in stage.stamps, step=0.1)
    await stage.clock.advance(30.0)

    assert (0, 2000) not in stage.stamps


STEPS = st.lists(
    st.sampled_from(["write", "write", "cut", "restart", "status", "turn", "time"]), max_size=25
)


@settings(max_examples=40)
@given(STEPS)
def test_every_line_comes_once_in_order_and_of_its_own_run(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    stage = Stage()
    await stage.start()
    written: list[tuple[int, int]] = []
    restart = told = 0

    def write() -> bytes:
        written.append((restart, 700 * (len(written) + 1)))
        return stamped(written[-1][1])

    try:
        stage.kubelet.write(write())
        stage.follow(TARGET)
        await becomes(lambda: len(stage.stamps) == 1)
        for step in [*steps, "status"]:
            if step == "write":
                stage.kubelet.write(write())
            elif step == "cut":
                stage.kubelet.cut()
            elif step == "restart" and restart == told:
                restart += 1
                stage.kubelet.restart(write())
            elif step == "status" and told != restart:
                told = restart
                stage.follow(structs.replace(TARGET, restart=restart))
                await passes(stage.clock, lambda: len(stage.stamps) == len(written), step=0.1)
            elif step == "time" and told == restart:  # a status is never late by five seconds
                await stage.clock.advance(1.0)
            for _ in range(20):
                await asyncio.sleep(0)
        await passes(stage.clock, lambda: len(stage.stamps) == len(written), step=0.1)
    finally:
        await stage.stop()

    assert stage.stamps == written


class Play:
    """Pods that replace each other, and restart, on a stage; each keeps what it wrote readable."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kubelet = stage.kubelet
        self.target = TARGET
        self.written: dict[Incarnation, list[int]] = {}
        self._numbers = count(1)
        self.kubelet.write(self._line())
        stage.follow(TARGET)

    @property
    def read(self) -> dict[Incarnation, list[int]]:
        """The milliseconds of the lines of each incarnation."""
        found: dict[Incarnation, list[int]] = {}
        for one in self.stage.intake.observations:
            if isinstance(one, DaemonLine):
                incarnation = Incarnation(one.pod_uid, one.restart, one.container)
                found.setdefault(incarnation, []).append((one.stamp - at(0)) // 1_000_000)
        return found

    async def all_is_read(self) -> None:
        await passes(self.stage.clock, lambda: self.read == self.written, step=0.1)

    async def write(self) -> None:
        self.kubelet.write(self._line())

    async def cut(self) -> None:
        self.kubelet.cut()

    async def wait(self) -> None:
        await self.stage.clock.advance(1.0)

    async def restart(self) -> None:
        await self.all_is_read()
        self.target = structs.replace(self.target, restart=self.target.restart + 1)
        self.kubelet.restart(self._line())
        self.stage.follow(self.target)

    async def replace(self) -> None:
        """Delete the Pod; it says more while its successor runs, and its stream stands."""
        await self.all_is_read()
        former, farewell = self.kubelet, self._line()
        uid = f"{self.target.uid}'"
        self.target = structs.replace(TARGET, uid=uid, pod=f"pod-{len(uid)}")
        self.kubelet = ScriptedKubelet()
        self.stage.serve(self.target.pod, self.kubelet)
        self.kubelet.write(self._line())
        self.stage.follow(self.target)
        former.write(farewell)

    def _line(self) -> bytes:
        number = 700 * next(self._numbers)
        self.written.setdefault(self.target.incarnation, []).append(number)
        return stamped(number)


SCENES = st.lists(
    st.sampled_from([Play.write, Play.cut, Play.wait, Play.restart, Play.replace]), max_size=12
)


@settings(max_examples=25, deadline=None)
@given(SCENES)
@example([Play.wait, Play.wait, Play.cut, Play.replace, Play.restart])
def test_every_line_of_every_pod_comes_once_and_in_its_order(
    scenes: list[Callable[[Play], Awaitable[None]]],
) -> None:
    asyncio.run(_perform(scenes))


async def _perform(scenes: list[Callable[[Play], Awaitable[None]]]) -> None:
    stage = Stage()
    await stage.start()
    try:
        play = Play(stage)
        for scene in scenes:
            await scene(play)
        await play.all_is_read()
        await stage.clock.advance(100.0)
    finally:
        await stage.stop()

    assert play.read == play.written
