"""KubeArmor's feeds, from a server that misbehaves on purpose."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import grpc
import pytest

from monitor.core.model import Alert, Log, Message, SourceDown, SourceUp
from monitor.sources.daemon_feeds import DaemonFeeds
from monitor.sources.grpc import FeedSource, FeedTLS, Peer
from monitor.wire.pb import feeder_pb2
from tests.clock import ManualClock
from tests.sources.certificates import Authority
from tests.sources.chance import chance
from tests.sources.recording import Recording, becomes, passes
from tests.sources.running import running
from tests.sources.scripted_feed import ScriptedFeed

STAMP = "2026-11-23T21:31:36.818488Z"
UPS = {SourceUp(f"{kind}/relay", "connected") for kind in ("alerts", "logs", "messages")}


def alert(policy: str) -> feeder_pb2.Alert:
    return feeder_pb2.Alert(PolicyName=policy, UpdatedTime=STAMP)


class Stage:
    """A scripted server of feeds, and a source of them that runs."""

    def __init__(self) -> None:
        self.feed = ScriptedFeed()
        self.intake = Recording()
        self.clock = ManualClock()
        self._stack = AsyncExitStack()

    async def start(self, *, node: str = "") -> None:
        source = FeedSource(
            Peer(self.feed.address, node=node),
            intake=self.intake,
            clock=self.clock,
            random=chance(),
        )
        await self._stack.enter_async_context(running(source))

    async def up(self, *, node: str = "") -> None:
        await self.start(node=node)
        await becomes(lambda: len(self.intake.observations) == 3)

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def policies(self) -> list[str]:
        return [one.policy for one in self.intake.observations if isinstance(one, Alert)]

    @property
    def states(self) -> list[SourceUp | SourceDown]:
        return [o for o in self.intake.observations if isinstance(o, SourceUp | SourceDown)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    async with made.feed:
        yield made
        await made.stop()


async def test_all_three_feeds_are_asked_for_as_the_servers_understand_it(stage: Stage) -> None:
    await stage.up()

    assert {
        kind: [subscriber.filter for subscriber in subscribers]
        for kind, subscribers in stage.feed.subscribers.items()
    } == {"alerts": ["policy"], "logs": ["system"], "messages": ["all"]}
    assert set(stage.intake.observations) == UPS


@pytest.mark.parametrize(("node", "via"), [("", "relay"), ("node-a", "daemon:node-a")])
async def test_messages_say_which_way_they_came(stage: Stage, node: str, via: str) -> None:
    await stage.up(node=node)

    stage.feed.send("alerts", alert("p"))
    stage.feed.send("logs", feeder_pb2.Log(Operation="Process", UpdatedTime=STAMP))
    stage.feed.send("messages", feeder_pb2.Message(Message="Initialized KubeArmor"))
    await becomes(lambda: len(stage.intake.observations) == 6)

    assert {
        type(one): one.via
        for one in stage.intake.observations
        if isinstance(one, Alert | Log | Message)
    } == {Alert: via, Log: via, Message: via}
    assert {state.name for state in stage.states} == {
        f"{kind}/{node or 'relay'}" for kind in ("alerts", "logs", "messages")
    }


async def test_a_source_is_up_only_when_its_subscription_stands(stage: Stage) -> None:
    stage.feed.health = "silent"
    await stage.start()
    await becomes(lambda: stage.feed.probes == 1)
    assert stage.intake.observations == []

    await stage.clock.advance(10.0)
    await becomes(lambda: len(stage.intake.observations) == 3)

    assert set(stage.states) == {
        SourceDown(f"{kind}/relay", "no answer to a health check")
        for kind in ("alerts", "logs", "messages")
    }


async def test_messages_that_cannot_be_used_cost_themselves_only(stage: Stage) -> None:
    await stage.up()
    bad_text = b"\x6a\x01\xff"  # field 13, PolicyName, of one byte that is no text

    stage.feed.send("alerts", b"\xff\xff\xff", bad_text)
    stage.feed.send("alerts", feeder_pb2.Alert(UpdatedTime="yesterday"), alert("good"))
    await becomes(lambda: stage.policies == ["good"])

    assert stage.intake.rejections == [
        ("alerts", "malformed"),
        ("alerts", "malformed"),
        ("alerts", "invalid"),
    ]


async def test_a_message_beyond_16_mib_is_counted_and_its_stream_taken_up_again(
    stage: Stage,
) -> None:
    await stage.up()

    stage.feed.send("alerts", b"\x6a\xff\xff\xff\x0f" + b"x" * (17 << 20))
    await becomes(lambda: stage.intake.rejections)
    await passes(stage.clock, lambda: len(stage.states) == 5, step=0.1)

    assert stage.intake.rejections == [("alerts", "too-long")]
    assert stage.states[3:] == [
        SourceDown("alerts/relay", "RESOURCE_EXHAUSTED"),
        SourceUp("alerts/relay", "connected"),
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.OK, "stream ended"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
    ],
)
async def test_a_stream_that_ends_is_taken_up_again_and_the_others_go_on(
    stage: Stage, code: grpc.StatusCode, reason: str
) -> None:
    await stage.up()

    stage.feed.end("alerts", code)
    await becomes(lambda: len(stage.states) == 4)
    await passes(stage.clock, lambda: len(stage.states) == 5, step=0.1)
    stage.feed.send("alerts", alert("after"))
    await becomes(lambda: stage.policies == ["after"])

    assert stage.states[3:] == [
        SourceDown("alerts/relay", reason),
        SourceUp("alerts/relay", "connected"),
    ]
    assert stage.feed.cancelled == []


async def test_a_feed_that_ends_at_once_is_never_up_and_is_not_asked_for_without_pause(
    stage: Stage,
) -> None:
    stage.feed.refused["alerts"] = grpc.StatusCode.OK
    await stage.start()
    await becomes(lambda: len(stage.states) == 3)
    probes = stage.feed.probes
    for _ in range(20):
        await asyncio.sleep(0.001)

    assert stage.feed.probes == probes
    assert set(stage.states) == {
        SourceDown("alerts/relay", "stream ended"),
        SourceUp("logs/relay", "connected"),
        SourceUp("messages/relay", "connected"),
    }


async def test_a_feed_that_the_server_does_not_have_is_asked_for_once_a_minute(
    stage: Stage,
) -> None:
    stage.feed.refused["logs"] = grpc.StatusCode.UNIMPLEMENTED
    await stage.start()
    await becomes(lambda: SourceDown("logs/relay", "UNIMPLEMENTED") in stage.states)

    assert 60.0 in stage.clock.sleepers


async def test_a_server_that_goes_away_is_down_and_found_again(stage: Stage) -> None:
    await stage.up()

    await stage.feed.stop()
    await becomes(lambda: len(stage.states) == 6)
    await stage.feed.start()
    await passes(stage.clock, lambda: len(stage.states) >= 9, step=0.05)

    assert {type(state) for state in stage.states[3:6]} == {SourceDown}
    assert {state.name for state in stage.states[3:6]} == {up.name for up in UPS}
    assert set(stage.states[-3:]) == UPS


async def test_two_health_checks_without_answer_end_the_connection(stage: Stage) -> None:
    await stage.up()
    stage.feed.health = "silent"
    probes = stage.feed.probes
    await becomes(lambda: stage.clock.sleepers == (10.0,))

    await stage.clock.advance(10.0)
    await becomes(lambda: stage.feed.probes == probes + 1 and stage.clock.sleepers == (5.0,))
    await stage.clock.advance(5.0)
    await becomes(lambda: stage.clock.sleepers == (10.0,))
    assert len(stage.states) == 3
    await stage.clock.advance(10.0)
    await becomes(lambda: stage.feed.probes == probes + 2 and stage.clock.sleepers == (5.0,))
    await stage.clock.advance(5.0)
    await becomes(lambda: len(stage.states) == 6)
    await becomes(lambda: not any(stage.feed.subscribers.values()))

    assert set(stage.states[3:]) == {
        SourceDown(f"{kind}/relay", "no answer to a health check")
        for kind in ("alerts", "logs", "messages")
    }
    assert sorted(stage.feed.cancelled) == ["alerts", "logs", "messages"]


async def test_one_missed_health_check_is_forgiven(stage: Stage) -> None:
    await stage.up()
    await becomes(lambda: stage.clock.sleepers == (10.0,))
    for health in ("refused", "well", "refused", "well"):
        stage.feed.health = health
        probes = stage.feed.probes
        await stage.clock.advance(10.0)
        await becomes(lambda: stage.feed.probes > probes and stage.clock.sleepers == (10.0,))  # noqa: B023

    assert len(stage.states) == 3


@pytest.mark.parametrize("health", ["wrong", "garbage"])
async def test_a_peer_that_echoes_wrongly_is_no_feed(
    stage: Stage, health: Literal["wrong", "garbage"]
) -> None:
    stage.feed.health = health
    await stage.start()
    await becomes(lambda: len(stage.states) == 3)

    assert {state.reason for state in stage.states} == {
        "the health check is answered wrongly: this is no KubeArmor feed"
    }


@pytest.mark.parametrize("health", ["wrong", "garbage", "refused", "silent"])
async def test_a_peer_that_answers_badly_once_is_up_when_it_answers_well(
    stage: Stage, health: Literal["wrong", "garbage", "refused", "silent"]
) -> None:
    stage.feed.health = health
    await stage.start()
    await passes(stage.clock, lambda: len(stage.states) == 3)
    stage.feed.health = "well"
    await passes(stage.clock, lambda: len(stage.states) == 6, step=0.1)

    assert {type(state) for state in stage.states[:3]} == {SourceDown}
    assert set(stage.states[3:]) == UPS


async def test_a_peer_that_comes_five_seconds_late_is_down_until_then(stage: Stage) -> None:
    await stage.feed.stop()
    await stage.start()
    await becomes(lambda: len(stage.states) == 3)
    came = stage.clock.now() + 5.0
    await passes(stage.clock, lambda: stage.clock.now() >= came, step=0.1)
    before = list(stage.states)
    await stage.feed.start()
    await passes(stage.clock, lambda: len(stage.states) == 6, step=0.1)

    assert set(before) == {SourceDown(up.name, "UNAVAILABLE") for up in UPS}
    assert set(stage.states[3:]) == UPS
    assert stage.clock.now() - came <= 8.0


async def test_a_peer_that_dies_within_its_first_second_was_up_and_is_down(stage: Stage) -> None:
    await stage.up()
    await stage.feed.stop()
    await becomes(lambda: len(stage.states) == 6)

    assert {type(state) for state in stage.states[3:]} == {SourceDown}


async def test_stopping_cancels_every_stream(stage: Stage) -> None:
    await stage.up()

    await stage.stop()
    await becomes(lambda: not any(stage.feed.subscribers.values()))

    assert sorted(stage.feed.cancelled) == ["alerts", "logs", "messages"]
    assert len(stage.states) == 3


async def test_a_reader_without_room_loses_nothing_that_it_was_sent(stage: Stage) -> None:
    await stage.up()
    stage.intake.full = True
    names = [f"p{number}" for number in range(100)]

    stage.feed.send("alerts", *map(alert, names))
    await becomes(lambda: stage.policies == ["p0"])
    for _ in range(20):
        await asyncio.sleep(0.001)
    held = len(stage.policies)
    stage.intake.full = False
    await becomes(lambda: len(stage.policies) == 100)

    assert held == 1
    assert stage.policies == names


async def test_each_daemon_is_followed_until_it_is_gone() -> None:
    intake, clock = Recording(), ManualClock()
    feeds = DaemonFeeds(intake=intake, clock=clock, random=chance())
    async with ScriptedFeed() as one, ScriptedFeed() as two, running(feeds):
        of_one = Peer(one.address, node="one", kinds=("alerts",))
        of_two = Peer(two.address, node="two", kinds=("alerts",))
        feeds.follow(frozenset({of_one}))
        await becomes(lambda: len(intake.observations) == 1)
        feeds.follow(frozenset({of_one, of_two}))
        await becomes(lambda: len(intake.observations) == 2)
        subscriber = one.subscribers["alerts"][0]
        feeds.follow(frozenset({of_two}))
        await becomes(lambda: not one.subscribers["alerts"])
        subscriber.pieces.put_nowait(alert("late").SerializeToString())
        two.send("alerts", alert("p"))
        await becomes(lambda: len(intake.observations) == 4)

    assert intake.observations[:3] == [
        SourceUp("alerts/one", "connected"),
        SourceUp("alerts/two", "connected"),
        SourceDown("alerts/one", "no longer followed"),
    ]
    assert isinstance(intake.observations[3], Alert)
    assert intake.observations[3].via == "daemon:two"


@pytest.mark.parametrize("shown", [True, False])
async def test_a_daemon_that_demands_a_certificate_gets_it(tmp_path: Path, *, shown: bool) -> None:
    authority = Authority(tmp_path / "authority")
    server = authority.issue("server", subject_names="DNS:kubearmor.kubearmor.svc")
    client = authority.issue("client")
    credentials = grpc.ssl_server_credentials(
        [(server.key.read_bytes(), server.certificate.read_bytes())],
        root_certificates=authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    tls = FeedTLS(
        ca_file=str(authority.certificate),
        certificate_file=str(client.certificate) if shown else "",
        key_file=str(client.key) if shown else "",
        server_name="kubearmor.kubearmor.svc",
    )
    intake, clock = Recording(), ManualClock()
    async with ScriptedFeed(credentials=credentials) as feed:
        peer = Peer(feed.address, kinds=("alerts",), tls=tls)
        async with running(FeedSource(peer, intake=intake, clock=clock, random=chance())):
            await becomes(lambda: intake.observations)

    expected = SourceUp("alerts/relay", "connected")
    assert intake.observations[:1] == [
        expected if shown else SourceDown("alerts/relay", "UNAVAILABLE")
    ]


async def test_certificates_that_cannot_be_read_are_waited_for(tmp_path: Path) -> None:
    intake, clock = Recording(), ManualClock()
    peer = Peer("127.0.0.1:9", kinds=("alerts",), tls=FeedTLS(ca_file=str(tmp_path / "nowhere")))
    async with running(FeedSource(peer, intake=intake, clock=clock, random=chance())):
        await becomes(lambda: clock.sleepers)

    assert intake.observations == [SourceDown("alerts/relay", "FileNotFoundError")]
