"""The commands on the real cluster say what the running monitor says."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.commands.called import call, calling
from tests.rig.wait import eventually
from tests.servers.stage import APPLIED, SECONDS, Stage, Staging, State

CAUSE = "namespace-newer-than-policy"
MISSED = State("gap", CAUSE)

Judged = dict[str, tuple[Any, ...]]


async def _seed_case(stage: Stage) -> tuple[str, str]:
    """Let v1.5.7 protect a namespace and miss another; return both."""
    old = await stage.namespace()
    await stage.deploy(old)
    await stage.protect()
    await stage.monitor.becomes(old, {APPLIED: 2})
    new = await stage.namespace()
    await stage.deploy(new, replicas=3)
    await stage.monitor.becomes(new, {MISSED: 3})
    return old, new


async def test_a_check_without_installation_judges_as_the_running_monitor(
    staging: Staging,
) -> None:
    async with staging("v1.5.7") as stage:
        await _seed_case(stage)
        checked = await call("check", "--config", stage.monitor.configuration, "--output", "json")
        assert (checked.code, checked.errors) == (1, "")
        report = json.loads(checked.output)
        assert judged(report["containers"]) == judged(await stage.monitor.rows("containers"))
        assert standing(report["gaps"]) == standing(await stage.monitor.rows("gaps"))


async def test_a_recording_replayed_judges_as_the_running_monitor_did(
    staging: Staging, tmp_path: Path
) -> None:
    trace, report = tmp_path / "trace.jsonl.zst", tmp_path / "report.json"
    async with staging("v1.5.7") as stage:
        configuration = stage.monitor.configuration
        async with calling("record", trace, "--config", configuration) as recording:
            await eventually(partial(_has_begun, trace), within=SECONDS)
            await _seed_case(stage)
            containers = judged(await stage.monitor.rows("containers"))
            gaps = standing(await stage.monitor.rows("gaps"))
            recording.signal()
            assert (await recording.ended()).code == 0
    replayed = await call("replay", trace, "--report", report)
    assert (replayed.code, replayed.errors) == (1, "")
    found = json.loads(report.read_text())
    assert judged(found["containers"]) == containers
    assert standing(found["gaps"]) == gaps


async def test_an_explanation_names_the_cause_and_what_to_do(staging: Staging) -> None:
    async with staging("v1.5.7") as stage:
        _, missed = await _seed_case(stage)
        (first, *_) = await stage.monitor.rows("containers", namespace=missed)
        pod = f"{missed}/{first['pod']}"
        explained = await call("explain", pod, "--url", stage.monitor.url)
        assert (explained.code, explained.errors) == (1, "")
        lines = explained.output.splitlines()
        assert lines[0] == f"{pod}/main on {first['node']}: gap, {CAUSE}"
        (remedy,) = (line for line in lines if "what to do:" in line)
        assert "v1.6.0" in remedy


async def _has_begun(trace: Path) -> bool:
    return bool(await asyncio.to_thread(trace.read_bytes))


def judged(containers: Iterable[Mapping[str, Any]]) -> Judged:
    """Return what is judged of each container, without when."""
    return {
        container["containerId"]: (
            container["namespace"],
            container["verdict"],
            container["cause"],
            [
                (pair["name"], pair["generation"], pair["verdict"], pair["grade"], pair["cause"])
                for pair in container["policies"]
            ],
        )
        for container in containers
    }


def standing(gaps: Iterable[Mapping[str, Any]]) -> Judged:
    """Return how each gap stands, without when."""
    members = ("containerId", "state", "verdict", "cause", "incident")
    return {gap["id"]: tuple(gap[member] for member in members) for gap in gaps}
