"""The feeds of daemons and relay over real gRPC: what a client gets and what it never learns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from monitor.wire.pb import feeder_pb2, feeder_pb2_grpc
from tests.emulator.relay import Relay
from tests.emulator.server import QUEUE, Feed, Listener, alert, log, message
from tests.rig.wait import eventually

CLIENT_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
SECONDS = 10


def ignore(change: str, detail: str, stream: str) -> None:
    del change, detail, stream


@asynccontextmanager
async def serving(feed: Feed, *, port: int = 0, client: Any = ignore) -> AsyncIterator[Listener]:
    listener = Listener(address="127.0.0.1", port=port, feed=feed, client=client)
    await listener.serve()
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def connected(target: str) -> "AsyncIterator[feeder_pb2_grpc.LogServiceAsyncStub]":
    async with grpc.aio.insecure_channel(target, options=CLIENT_OPTIONS) as channel:
        yield feeder_pb2_grpc.LogServiceStub(channel)


def target(listener: Listener) -> str:
    return f"{listener.address}:{listener.port}"


async def subscribed(feed: Feed, *, count: int = 1) -> None:
    async def there() -> bool:
        return len(feed.alerts.queues) == count

    await eventually(there, within=SECONDS, every=0.01)


def request(filter_: str) -> feeder_pb2.RequestMessage:
    return feeder_pb2.RequestMessage(Filter=filter_)


async def test_a_health_check_answers_its_nonce() -> None:
    async with serving(Feed()) as listener, connected(target(listener)) as stub:
        reply = await stub.HealthCheck(feeder_pb2.NonceMessage(nonce=42))
    assert reply.Retval == 42


async def test_a_client_gets_what_is_published_after_it_came() -> None:
    feed = Feed()
    async with serving(feed) as listener, connected(target(listener)) as stub:
        feed.alerts.publish([alert({"PolicyName": "before"})])
        stream = stub.WatchAlerts(request("policy"))
        await subscribed(feed)
        feed.alerts.publish([alert({"PolicyName": "after", "ATags": ["NIST"]})])
        async with asyncio.timeout(SECONDS):
            got = await stream.read()
        stream.cancel()
    assert got == feeder_pb2.Alert(PolicyName="after", ATags=["NIST"])


@pytest.mark.parametrize("filter_", ["", "system", "everything"])
async def test_a_filter_that_alerts_do_not_know_looks_like_an_empty_stream(filter_: str) -> None:
    async with serving(Feed()) as listener, connected(target(listener)) as stub:
        async with asyncio.timeout(SECONDS):
            assert [item async for item in stub.WatchAlerts(request(filter_))] == []


async def test_messages_ignore_their_filter() -> None:
    feed = Feed()
    async with serving(feed) as listener, connected(target(listener)) as stub:
        stream = stub.WatchMessages(request("anything"))

        async def there() -> bool:
            return bool(feed.messages.queues)

        await eventually(there, within=SECONDS, every=0.01)
        feed.messages.publish([message({"Level": "INFO", "Message": "Initialized KubeArmor"})])
        async with asyncio.timeout(SECONDS):
            got = await stream.read()
        stream.cancel()
    assert got == feeder_pb2.Message(Level="INFO", Message="Initialized KubeArmor")


async def test_what_does_not_fit_into_a_client_s_queue_is_dropped_silently() -> None:
    feed = Feed()
    async with serving(feed) as listener, connected(target(listener)) as stub:
        stream = stub.WatchLogs(request("all"))

        async def there() -> bool:
            return bool(feed.logs.queues)

        await eventually(there, within=SECONDS, every=0.01)
        # The server's sender has no turn while this runs: only the queue can hold them.
        feed.logs.publish(log({"PID": number}) for number in range(QUEUE + 50))
        feed_ends = log({"PID": -1})
        async with asyncio.timeout(SECONDS):
            got = [await process(stream) for _ in range(QUEUE)]
            feed.logs.publish([feed_ends])
            last = await process(stream)
        stream.cancel()
    assert (got, last) == (list(range(QUEUE)), -1)


async def process(stream: Any) -> int:
    return int((await stream.read()).PID)


async def test_a_server_says_who_comes_and_goes() -> None:
    seen: list[tuple[str, str]] = []

    def client(change: str, detail: str, stream: str) -> None:
        seen.append((change, f"{detail.partition(', ')[2]} {stream}"))

    feed = Feed()
    async with serving(feed, client=client) as listener, connected(target(listener)) as stub:
        stream = stub.WatchAlerts(request("policy"))
        await subscribed(feed)
        stream.cancel()
        await subscribed(feed, count=0)
    assert seen == [("Added a new", "policy WatchAlerts"), ("Deleted the", " WatchAlerts")]


async def test_a_starting_daemon_accepts_connections_and_never_answers() -> None:
    listener = Listener(address="127.0.0.1", port=0, feed=Feed(), client=ignore)
    listener.open()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        writer.close()
    finally:
        await listener.close()


async def test_a_relay_passes_on_what_all_daemons_send() -> None:
    feeds = (Feed(), Feed())
    async with serving(feeds[0]) as one, serving(feeds[1]) as two:
        relay = Relay(targets=lambda: frozenset({target(one), target(two)}), port=0)
        await relay.start()
        async with connected(relay.address) as stub:
            for feed in feeds:
                await subscribed(feed)
            stream = stub.WatchAlerts(request("all"))
            got = await passed_on(stream, feeds)
            stream.cancel()
        await relay.stop()
    assert got == {"node-0", "node-1"}


async def passed_on(stream: Any, feeds: tuple[Feed, ...]) -> set[str]:
    """Publish until every feed's alert has come through: a relay keeps nothing for later."""

    async def publish() -> None:
        while True:
            for number, feed in enumerate(feeds):
                feed.alerts.publish([alert({"HostName": f"node-{number}"})])
            await asyncio.sleep(0.05)

    publishing = asyncio.create_task(publish())
    got: set[str] = set()
    async with asyncio.timeout(SECONDS):
        while len(got) < len(feeds):
            got.add((await stream.read()).HostName)
    publishing.cancel()
    return got


async def test_a_relay_follows_a_daemon_that_comes_back() -> None:
    feed = Feed()
    async with serving(feed) as first:
        port = first.port
        relay = Relay(targets=lambda: frozenset({f"127.0.0.1:{port}"}), port=0, retry_seconds=0.05)
        await relay.start()
        await subscribed(feed)
    successor = Feed()
    async with serving(successor, port=port):
        await subscribed(successor)
        await relay.stop()


async def test_a_stopped_relay_comes_back_on_its_port() -> None:
    relay = Relay(targets=frozenset, port=0)
    await relay.start()
    address = relay.address
    await relay.stop()
    async with connected(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.HealthCheck(feeder_pb2.NonceMessage(nonce=1), timeout=SECONDS)
    await relay.start()
    async with connected(address) as stub:
        reply = await stub.HealthCheck(feeder_pb2.NonceMessage(nonce=1), timeout=SECONDS)
    await relay.stop()
    assert reply.Retval == 1


async def test_a_relay_stops_while_its_daemons_break_off() -> None:
    feeds = [Feed() for _ in range(8)]
    listeners = [Listener(address="127.0.0.1", port=0, feed=feed, client=ignore) for feed in feeds]
    for listener in listeners:
        await listener.serve()
    relay = Relay(targets=lambda: frozenset(map(target, listeners)), port=0, retry_seconds=0.05)
    await relay.start()
    for feed in feeds:
        await subscribed(feed)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(relay.stop(), *(listener.close() for listener in listeners))
    assert not relay.running
