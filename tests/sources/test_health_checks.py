"""The health services of daemons, asked over real gRPC in virtual time."""

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from monitor.core.model import HealthAnswered, SourceDown, SourceUp
from monitor.sources.daemon_health import SERVING
from monitor.sources.health_checks import (
    ANSWER_SECONDS,
    AT_ONCE,
    IDLE,
    JITTER,
    NOBODY,
    PERIOD_SECONDS,
    STARTING_SECONDS,
    HealthChecks,
    HealthTarget,
)
from tests.clock import ManualClock
from tests.emulator.test_health import played
from tests.rig.ports import free_ports
from tests.sources.chance import chance
from tests.sources.recording import Recording, becomes, passes
from tests.sources.running import running
from tests.sources.scripted_health import HOST, Answer, ScriptedHealth

UP = SourceUp("health/daemons", "answered")
DOWN = SourceDown("health/daemons", NOBODY)
STARTING = grpc.StatusCode.NOT_FOUND
LATEST = 1.0 + JITTER
STEP = 0.1  # small, so that what is on its way over the loopback is not overtaken by the clock
SLACK = 1.0


class Asking:
    """The checks, their clock, and what they deliver."""

    def __init__(
        self,
        *,
        is_known: Callable[[HealthTarget], bool] = lambda _: False,
        patience: float = 0.0,
    ) -> None:
        self.intake = Recording()
        self.clock = ManualClock()
        self.began = self.clock.now()
        self.checks = HealthChecks(
            intake=self.intake,
            clock=self.clock,
            random=chance(),
            is_known=is_known,
            patience=patience,
        )

    def follow(self, *targets: HealthTarget) -> None:
        self.checks.follow(frozenset(targets))

    @property
    def seconds(self) -> float:
        return self.clock.now() - self.began

    async def passes(self, seconds: float) -> None:
        """Let so much time pass, slowly enough for what is on its way."""
        until = self.clock.now() + seconds
        await passes(self.clock, lambda: self.clock.now() >= until, step=STEP)


def target(*addresses: str, node: str = "node-a", restart: int = 0) -> HealthTarget:
    places = tuple((address, None) for address in addresses)
    return HealthTarget(node=node, pod_uid=f"uid-{node}", restart=restart, places=places)


def answered(*, serving: bool, node: str = "node-a") -> HealthAnswered:
    return HealthAnswered(node=node, pod_uid=f"uid-{node}", restart=0, serving=serving)


async def test_a_daemon_is_asked_until_it_serves_and_not_again() -> None:
    asking = Asking()
    async with ScriptedHealth(STARTING) as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            await asking.intake.holds(UP, answered(serving=False))
            await passes(asking.clock, lambda: health.asked == 2, step=STEP)
            assert asking.seconds <= STARTING_SECONDS * LATEST + SLACK
            health.answer = SERVING
            await passes(asking.clock, lambda: health.asked == 3, step=STEP)
            await asking.intake.holds(
                UP, answered(serving=False), answered(serving=False), answered(serving=True)
            )


async def test_a_daemon_whose_start_is_known_is_not_asked() -> None:
    known = True
    asking = Asking(is_known=lambda _: known)
    async with ScriptedHealth(SERVING) as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            await asking.passes(35)
            assert (health.asked, asking.intake.observations) == (0, [])
            known = False
            await passes(asking.clock, lambda: health.asked, step=STEP)
            assert asking.seconds <= 35 + PERIOD_SECONDS * LATEST + SLACK


async def test_its_own_output_is_waited_for_first() -> None:
    asking = Asking(patience=5.0)
    async with ScriptedHealth(SERVING) as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            await asking.passes(4.5)
            assert health.asked == 0
            await passes(asking.clock, lambda: health.asked, step=STEP)
            assert asking.seconds <= 10.0 + SLACK


NOTHING: dict[str, Answer] = {
    "a service that is not there": grpc.StatusCode.UNIMPLEMENTED,
    "a refusal": grpc.StatusCode.PERMISSION_DENIED,
    "a question that the peer lets go": grpc.StatusCode.CANCELLED,
    "silence": "silence",
    "bytes that are no answer": b"\xff\xff",
    "a status that nobody defined": b"\x08\x09",
}


@pytest.mark.parametrize("what", NOTHING)
async def test_what_is_no_answer_shows_nothing(what: str) -> None:
    asking = Asking()
    async with ScriptedHealth(NOTHING[what]) as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            await passes(asking.clock, lambda: asking.intake.observations, step=STEP)
            await asking.intake.holds(DOWN)
            assert asking.seconds <= ANSWER_SECONDS + SLACK
    unreadable = isinstance(NOTHING[what], bytes)
    assert asking.intake.rejections == [("health", "malformed")] * unreadable


async def test_a_port_that_nobody_listens_at_shows_nothing() -> None:
    asking = Asking()
    (port,) = free_ports(1)
    asking.follow(target(f"{HOST}:{port}"))
    async with running(asking.checks):
        await asking.intake.holds(DOWN)


async def test_a_server_that_takes_the_connection_and_never_speaks_shows_nothing() -> None:
    """As a daemon below v1.7.4 does while it starts, and any proxy that finds nothing behind it."""
    asking = Asking()
    with socket.create_server((HOST, 0)) as mute:
        asking.follow(target(f"{HOST}:{mute.getsockname()[1]}"))
        async with running(asking.checks):
            await passes(asking.clock, lambda: asking.intake.observations, step=STEP)
            await asking.intake.holds(DOWN)
            assert ANSWER_SECONDS <= asking.seconds <= ANSWER_SECONDS + SLACK


async def test_one_that_does_not_answer_is_asked_less_and_less_often() -> None:
    asking = Asking()
    asked: list[float] = []
    async with ScriptedHealth(grpc.StatusCode.UNAVAILABLE) as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            for times in range(1, 7):
                await passes(asking.clock, lambda: health.asked == times, step=STEP)  # noqa: B023
                asked.append(asking.seconds)
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert pauses == [pytest.approx(s, abs=0.1 * s + 1.0) for s in (5, 10, 20, 30, 30)]
    assert asking.intake.observations == [DOWN]


async def test_the_source_is_up_while_any_daemon_answers() -> None:
    asking = Asking()
    (closed,) = free_ports(1)
    async with ScriptedHealth(STARTING) as health:
        asking.follow(target(health.address, node="node-b"))
        async with running(asking.checks):
            await becomes(lambda: health.asked)
            asking.follow(
                target(health.address, node="node-b"), target(f"{HOST}:{closed}", node="node-a")
            )
            await asking.passes(40)
            assert set(asking.intake.observations) == {UP, answered(serving=False, node="node-b")}
            asking.follow(target(f"{HOST}:{closed}", node="node-a"))
            await passes(asking.clock, lambda: DOWN in asking.intake.observations, step=STEP)


async def test_the_source_is_up_again_when_nobody_is_left_to_be_asked() -> None:
    known: set[str] = set()
    asking = Asking(is_known=lambda one: one.node in known)
    (closed,) = free_ports(1)
    asking.follow(*(target(f"{HOST}:{closed}", node=node) for node in ("node-a", "node-b")))
    async with running(asking.checks):
        await asking.intake.holds(DOWN)
        known.add("node-a")
        await asking.passes(PERIOD_SECONDS * LATEST)
        assert asking.intake.observations == [DOWN]
        known.add("node-b")
        await asking.passes(PERIOD_SECONDS * LATEST)
        assert asking.intake.observations == [DOWN, SourceUp("health/daemons", IDLE)]


async def test_five_hundred_closed_ports_are_one_source_that_is_down_once() -> None:
    asking = Asking()
    (closed,) = free_ports(1)
    asking.follow(*(target(f"{HOST}:{closed}", node=f"node-{n}") for n in range(500)))
    async with running(asking.checks):
        await asking.passes(10)
    assert asking.intake.observations == [DOWN]


async def test_not_all_daemons_are_asked_at_once() -> None:
    asking = Asking()
    async with ScriptedHealth("silence") as health:
        asking.follow(*(target(health.address, node=f"node-{n}") for n in range(2 * AT_ONCE)))
        async with running(asking.checks):
            await becomes(lambda: health.waiting == AT_ONCE)
            for _ in range(100):
                await asyncio.sleep(0)
            assert health.asked == AT_ONCE
            await passes(asking.clock, lambda: health.asked == 2 * AT_ONCE, step=STEP)


async def test_a_question_to_a_daemon_that_is_no_longer_followed_is_let_go() -> None:
    asking = Asking()
    async with ScriptedHealth("silence") as health:
        asking.follow(target(health.address))
        async with running(asking.checks):
            await becomes(lambda: health.waiting)
            asking.follow(target(health.address, restart=1))
            await becomes(lambda: (health.asked, health.waiting) == (2, 1))
            health.answer = SERVING
            await passes(asking.clock, lambda: UP in asking.intake.observations, step=STEP)
            successor = HealthAnswered(node="node-a", pod_uid="uid-node-a", restart=1, serving=True)
            await asking.intake.holds(DOWN, UP, successor)


async def test_a_daemon_of_unknown_release_is_asked_at_both_ports() -> None:
    asking = Asking()
    (closed,) = free_ports(1)
    async with ScriptedHealth(SERVING) as health:
        asking.follow(target(f"{HOST}:{closed}", health.address))
        async with running(asking.checks):
            await asking.intake.holds(UP, answered(serving=True))


async def test_an_emulated_daemon_is_seen_starting_and_then_serving(tmp_path: Path) -> None:
    asking = Asking()
    async with played("v1.7.4", tmp_path) as daemon:
        await daemon.until(1.5)
        asking.follow(target(f"{HOST}:{daemon.health_port}"))
        async with running(asking.checks):
            await asking.intake.holds(UP, answered(serving=False))
            await daemon.until(3.0)
            await passes(asking.clock, lambda: len(asking.intake.observations) > 2, step=STEP)
            await asking.intake.holds(UP, answered(serving=False), answered(serving=True))


async def test_an_emulated_daemon_of_an_older_release_is_seen_serving_only(tmp_path: Path) -> None:
    asking = Asking()
    async with played("v1.7.3", tmp_path) as daemon:
        await daemon.until(1.5)
        asking.follow(target(f"{HOST}:{daemon.port}"))
        async with running(asking.checks):
            await passes(asking.clock, lambda: asking.intake.observations, step=STEP)
            await asking.intake.holds(DOWN)
            await daemon.until(3.0)
            await passes(asking.clock, lambda: UP in asking.intake.observations, step=STEP)
            await asking.intake.holds(DOWN, UP, answered(serving=True))
