"""What breaks on real servers, and that nothing is lost, invented or said twice because of it."""

from tests.rig.api import DEPLOYMENTS
from tests.rig.wait import eventually
from tests.servers.stage import APPLIED, SECONDS, Stage, Staging, State, ids, on

RELAY = ("alerts/relay", "logs/relay", "messages/relay")
PATIENT = {"grace": 120.0}


async def test_a_killed_daemon_loses_its_node_s_containers_until_it_is_back(
    staging: Staging,
) -> None:
    async with staging("v1.7.4") as stage:
        namespace = await stage.namespace()
        pods = await stage.deploy(namespace, replicas=4)
        await stage.protect()
        await stage.monitor.becomes(namespace, {APPLIED: 4})
        orphans = on("node-1", pods)

        await stage.kubearmor.kill("node-1")
        await stage.monitor.becomes(namespace, {State("lost", "daemon-down"): 2, APPLIED: 2})
        await stage.told(orphans, "lost", cause="daemon-down")
        await _gaps_are(stage, dict.fromkeys(ids(orphans), "open"))
        await _one_incident(stage, state="open")

        await stage.restart_daemon("node-1")
        await stage.monitor.becomes(namespace, {APPLIED: 4})
        await stage.told(orphans, "covered")
        await _gaps_are(stage, dict.fromkeys(ids(orphans), "closed"))
        await _one_incident(stage, state="closed")


async def test_a_killed_relay_is_a_source_that_is_down_and_no_gap(staging: Staging) -> None:
    async with staging("v1.7.4") as stage:
        await stage.protect()
        await stage.monitor.sees(dict.fromkeys(RELAY, "up"))
        namespace, later = await stage.namespace(), await stage.namespace()
        pods = await stage.deploy(namespace)
        await stage.monitor.becomes(namespace, {APPLIED: 2})

        await stage.kubearmor.stop_relay()
        await stage.monitor.sees(dict.fromkeys(RELAY, "down"))
        pods += await stage.deploy(later)
        await stage.monitor.becomes(later, {APPLIED: 2})
        await stage.monitor.becomes(namespace, {APPLIED: 2})
        await stage.kubearmor.start_relay()
        await stage.monitor.sees(dict.fromkeys(RELAY, "up"))

        await stage.told(pods, "covered")
        await stage.timed(pods)
        assert await stage.topics.read("gaps") == []
        assert await _health(stage, *RELAY) == {name: ["up", "down", "up"] for name in RELAY}


async def test_a_policy_change_that_nothing_can_show_is_pending_and_then_unknown(
    staging: Staging,
) -> None:
    quick = {"grace": 3.0}
    async with staging("v1.7.4", kubearmor={"text": False}, judgement=quick) as stage:
        namespace = await stage.namespace()
        pods = await stage.deploy(namespace)
        await stage.protect()
        await stage.monitor.sees(dict.fromkeys(RELAY, "up"))
        await stage.refused(pods)
        await stage.monitor.becomes(namespace, {State("covered", grade="proven"): 2})
        await stage.told(pods, "covered")
        before = await stage.history(pods)

        await stage.kubearmor.stop_relay()
        await stage.monitor.sees(dict.fromkeys(RELAY, "down"))
        await stage.protect(paths=("/usr/bin/apt", "/usr/bin/apt-get"))
        await stage.told(pods, "unknown", cause="no-evidence-source")
        since = {
            id_: stood[len(before[id_]) :] for id_, stood in (await stage.history(pods)).items()
        }
        expected = [("pending", None), ("unknown", "no-evidence-source")]
        assert since == dict.fromkeys(ids(pods), expected)
        assert await stage.topics.read("gaps") == []


async def test_a_restart_of_the_api_server_loses_nothing_and_repeats_nothing(
    staging: Staging,
) -> None:
    async with staging("v1.7.4", judgement=PATIENT) as stage:
        await stage.protect()
        namespace = await stage.namespace()
        pods = await stage.deploy(namespace)
        await stage.told(pods, "covered")
        before = await stage.history(pods)

        await stage.cluster.kill_apiserver()
        await stage.monitor.sees({"kubernetes/pods": "down", "text/node-1": "down"})
        await stage.cluster.start_apiserver()
        newer = await stage.deploy(await stage.namespace())
        await stage.told(newer, "covered")
        await stage.monitor.becomes(namespace, {APPLIED: 2})

        await stage.timed([*pods, *newer])
        assert await stage.history(pods) == before
        assert await stage.topics.read("gaps") == []


async def test_what_was_deleted_while_a_watch_expired_is_gone_and_nothing_is_repeated(
    staging: Staging,
) -> None:
    async with staging("v1.7.4", judgement=PATIENT) as stage:
        await stage.protect()
        kept, doomed = await stage.namespace(), await stage.namespace()
        pods, gone = await stage.deploy(kept), await stage.deploy(doomed)
        await stage.told([*pods, *gone], "covered")
        before = await stage.history(pods)

        stage.monitor.process.pause()
        await stage.cluster.admin.delete(DEPLOYMENTS, "web", namespace=doomed)
        await stage.cluster.running_pods(namespace=doomed, count=0)
        await stage.cluster.forget_history()
        stage.monitor.process.go_on()
        await stage.monitor.becomes(doomed, {})
        await stage.monitor.becomes(kept, {APPLIED: 2})

        await stage.timed([*pods, *gone])
        await _tombstones_are(stage, sorted(pod["metadata"]["uid"] for pod in gone))
        assert await stage.history(pods) == before
        assert await stage.topics.read("gaps") == []


async def _tombstones_are(stage: Stage, expected: list[str]) -> None:
    """Wait until the coverage of the Pods with these uids has been withdrawn."""

    async def is_so() -> bool:
        events = await stage.topics.read("coverage")
        found = sorted(event.key.split("/")[1] for event in events if event.data is None)
        assert found == expected, found
        return True

    await eventually(is_so, within=SECONDS)


async def _health(stage: Stage, *names: str) -> dict[str, list[str]]:
    states: dict[str, list[str]] = {name: [] for name in names}
    for event in await stage.topics.read("health"):
        if event.facts["name"] in states:
            states[event.facts["name"]].append(event.facts["state"])
    return states


async def _one_incident(stage: Stage, *, state: str) -> None:
    """Wait until this is the one incident that Kafka has."""

    async def is_so() -> bool:
        incidents = (await stage.latest("incidents", "id")).values()
        found = [(each["state"], each["cause"], each["scope"]) for each in incidents]
        assert found == [(state, "daemon-down", "node/node-1")], found
        return True

    await eventually(is_so, within=SECONDS)


async def _gaps_are(stage: Stage, expected: dict[str, str]) -> None:
    """Wait until these containers have one gap each in Kafka, lost and in this state."""

    async def is_so() -> bool:
        gaps = (await stage.latest("gaps", "id")).values()
        found = sorted((gap["containerId"], gap["verdict"], gap["state"]) for gap in gaps)
        assert found == sorted((id_, "lost", state) for id_, state in expected.items()), found
        return True

    await eventually(is_so, within=SECONDS)
