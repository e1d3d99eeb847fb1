"""The seed case on real servers: what a cluster policy reaches, and what it silently misses."""

from pathlib import Path
from typing import Any

from tests.rig.prometheus import Prometheus
from tests.rig.wait import eventually
from tests.servers.stage import APPLIED, NODES, SECONDS, Stage, Staging, State, ids

CAUSE = "namespace-newer-than-policy"
MISSED = State("gap", CAUSE)


async def test_v1_5_7_misses_a_namespace_newer_than_the_policy_until_its_daemons_restart(
    staging: Staging, tmp_path: Path
) -> None:
    async with (
        staging("v1.5.7") as stage,
        Prometheus(folder=tmp_path / "prometheus", target=stage.monitor.probes) as prometheus,
    ):
        old_namespace = await stage.namespace()
        old = await stage.deploy(old_namespace)
        await stage.protect()
        await stage.monitor.becomes(old_namespace, {APPLIED: 2})
        await stage.timed(old)

        new_namespace = await stage.namespace()
        new = await stage.deploy(new_namespace, replicas=3)
        await stage.monitor.becomes(new_namespace, {MISSED: 3})
        incident = await _one_incident(stage, state="open")
        assert "v1.6.0" in incident["remedy"]
        await _gaps_are(stage, dict.fromkeys(ids(new), ("open", "gap", CAUSE, incident["id"])))
        await stage.told(new, "gap", cause=CAUSE)
        await _measures(prometheus, gaps=3, incidents=1, covered=2)

        for node in NODES:
            await stage.kubearmor.kill(node)
            await stage.restart_daemon(node)
        await stage.monitor.becomes(new_namespace, {APPLIED: 3})
        await stage.monitor.becomes(old_namespace, {APPLIED: 2})
        await _one_incident(stage, state="closed")
        await _gaps_are(stage, dict.fromkeys(ids(new), ("closed", "gap", CAUSE, incident["id"])))
        await stage.told(new, "covered")
        await _measures(prometheus, gaps=0, incidents=0, covered=5)
        recovered = old
        await stage.timed([*old, *new, *recovered])


async def test_v1_7_4_covers_a_namespace_newer_than_the_policy_and_no_gap_is_ever_announced(
    staging: Staging,
) -> None:
    async with staging("v1.7.4") as stage:
        old_namespace = await stage.namespace()
        old = await stage.deploy(old_namespace)
        await stage.protect()
        await stage.monitor.becomes(old_namespace, {APPLIED: 2})
        new_namespace = await stage.namespace()
        new = await stage.deploy(new_namespace, replicas=3)
        await stage.monitor.becomes(new_namespace, {APPLIED: 3})
        await stage.timed([*old, *new])
        await stage.told(new, "covered")
        assert await stage.topics.read("gaps") == []
        assert await stage.topics.read("incidents") == []


async def _one_incident(stage: Stage, *, state: str) -> dict[str, Any]:
    """Wait until the one incident of the cause stands so in Kafka, of three, and return it."""
    expected = (state, "KubeArmorClusterPolicy/base@v1.5.7", "v1.5.7", 3)

    async def is_so() -> dict[str, Any]:
        (found,) = (
            facts
            for facts in (await stage.latest("incidents", "id")).values()
            if facts["cause"] == CAUSE
        )
        stands = (found["state"], found["scope"], found["release"], found["containers"])
        assert stands == expected, stands
        return found

    return await eventually(is_so, within=SECONDS, not_yet=(AssertionError, ValueError))


async def _gaps_are(stage: Stage, expected: dict[str, tuple[str, str, str, str]]) -> None:
    """Wait until the containers' gaps of the cause stand so in Kafka."""

    async def is_so() -> bool:
        found = {
            gap["containerId"]: (gap["state"], gap["verdict"], gap["cause"], gap["incident"])
            for gap in (await stage.latest("gaps", "id")).values()
            if gap["cause"] == CAUSE
        }
        assert found == expected, found
        return True

    await eventually(is_so, within=SECONDS)


async def _measures(prometheus: Prometheus, *, gaps: int, incidents: int, covered: int) -> None:
    """Wait until Prometheus has these numbers."""
    expected = {
        f'gaps_open{{cause="{CAUSE}"}}': gaps,
        f'gaps_total{{cause="{CAUSE}"}}': 3,
        f'incidents_open{{cause="{CAUSE}"}}': incidents,
        'coverage_containers{verdict="gap"}': gaps,
        'coverage_containers{verdict="covered"}': covered,
        "coverage_ratio": covered / (covered + gaps),
    }

    async def is_so() -> bool:
        found = {name: await prometheus.value(f"kubearmor_monitor_{name}") for name in expected}
        assert found == expected, found
        return True

    await eventually(is_so, within=SECONDS, every=0.2)
