"""The monitor killed with -9 on real servers: what it decided arrives, and is told apart by ids."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.sinks.outbox import SqliteOutbox
from monitor.wire.events import Record
from tests.rig.kafka import Broker
from tests.rig.wait import eventually
from tests.servers.stage import SECONDS, TOPICS, Event, Stage, Staging, State

CAUSE = "namespace-newer-than-policy"
MISSED = State("gap", CAUSE)


async def test_what_was_decided_while_kafka_was_away_arrives_though_the_monitor_was_killed(
    staging: Staging, broker: Broker
) -> None:
    async with staging("v1.5.7") as stage:
        gaps, decided = await _decided_unheard(stage, broker)
        await stage.monitor.start()
        await _arrive(stage, decided)
        await _empty(stage)
        assert (await stage.latest("gaps", "id")).keys() == gaps


async def test_what_arrived_and_was_not_crossed_out_in_time_comes_again_under_the_same_ids(
    staging: Staging, broker: Broker
) -> None:
    async with staging("v1.5.7") as stage:
        _, decided = await _decided_unheard(stage, broker)
        before = stage.monitor.outbox.read_bytes()
        await stage.monitor.start()
        await _arrive(stage, decided)

        await stage.monitor.kill()
        for file in stage.monitor.outbox.parent.glob(f"{stage.monitor.outbox.name}*"):
            file.unlink()
        stage.monitor.outbox.write_bytes(before)
        await stage.monitor.start()
        await _arrive(stage, decided, times=2)


async def test_a_restarted_monitor_knows_gaps_and_incidents_by_the_ids_they_had(
    staging: Staging,
) -> None:
    async with staging("v1.5.7") as stage:
        await stage.protect()
        namespace = await stage.namespace()
        pods = await stage.deploy(namespace, replicas=3)
        await stage.monitor.becomes(namespace, {MISSED: 3})
        await stage.told(pods, "gap", cause=CAUSE)
        await _empty(stage)
        gaps, incidents = await stage.latest("gaps", "id"), await stage.latest("incidents", "id")
        assert (len(gaps), len(incidents)) == (3, 1)

        await stage.monitor.kill()
        await stage.monitor.start()
        await stage.monitor.becomes(namespace, {MISSED: 3})
        await _empty(stage)
        assert (await stage.latest("gaps", "id")).keys() == gaps.keys()
        assert (await stage.latest("incidents", "id")).keys() == incidents.keys()
        events = await _events(stage)
        assert [event.id for event in events] == [_id_of_facts(event) for event in events]


@asynccontextmanager
async def _away(broker: Broker) -> AsyncIterator[None]:
    await broker.kill()
    try:
        yield
    finally:
        await broker.start()


async def _decided_unheard(stage: Stage, broker: Broker) -> tuple[set[str], list[Record]]:
    """Let the monitor decide three gaps while Kafka is away, and kill it.

    Return the ids of its gaps, and the records that it left in its outbox.
    """
    await stage.protect()
    namespace = await stage.namespace()
    async with _away(broker):
        await stage.deploy(namespace, replicas=3)
        await stage.monitor.becomes(namespace, {MISSED: 3})
        gaps = {gap["id"] for gap in await stage.monitor.rows("gaps")}
        await stage.monitor.kill()
    decided = await _waiting(stage)
    assert (len(gaps), bool(decided)) == (3, True)
    return gaps, decided


async def _waiting(stage: Stage) -> list[Record]:
    """Return what the killed monitor's outbox holds."""
    outbox = await SqliteOutbox.open(stage.monitor.outbox)
    try:
        return [record for _, record in await outbox.take(10_000)]
    finally:
        await outbox.close()


async def _arrive(stage: Stage, decided: list[Record], *, times: int = 1) -> None:
    """Wait until Kafka has each of these so many times or more, those of a topic in order."""

    async def is_so() -> bool:
        for topic in TOPICS:
            wanted = [record.id for record in decided if record.topic == topic]
            arrived = Counter(event.id for event in await stage.topics.read(topic))
            assert [each for each in arrived if each in wanted] == wanted
            assert all(arrived[each] >= times for each in wanted)
        return True

    await eventually(is_so, within=SECONDS, every=0.2)


async def _empty(stage: Stage) -> None:
    """Wait until the monitor has delivered everything."""

    async def is_so() -> bool:
        return await stage.monitor.metric("outbox_records") == 0

    await eventually(is_so, within=SECONDS, every=0.2)


async def _events(stage: Stage) -> list[Event]:
    return [event for topic in TOPICS for event in await stage.topics.read(topic)]


def _id_of_facts(event: Event) -> str:
    """Compute the id from what a consumer sees; that of a tombstone names what is gone."""
    if event.data is None:
        return event.id
    facts = json.dumps(event.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{event.type}\n{event.key}\n{facts}".encode()).hexdigest()
