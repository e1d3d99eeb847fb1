"""The diagnosis and the gate on the real cluster, with the rights that the monitor is given."""

import json

from tests.commands.called import call
from tests.servers.stage import APPLIED, Stage, Staging, State

MISSED = State("gap", "namespace-newer-than-policy")
FINE = (
    "nodes-without-daemon",
    "daemons",
    "enforcers",
    "container-sources",
    "debug",
    "tls",
    "permissions",
    "sources",
    "policy-kinds",
    "api-throttling",
)
NAMESPACE_NEWER = "defect/namespace-newer-than-policy"


async def _diagnosis(stage: Stage) -> tuple[int, dict[str, dict[str, str]]]:
    configuration = stage.monitor.configuration
    ended = await call("doctor", "--config", configuration, "--output", "json")
    assert ended.errors == ""
    return ended.code, {one["code"]: one for one in json.loads(ended.output)["checks"]}


async def test_a_cluster_is_diagnosed_with_the_monitors_own_rights(staging: Staging) -> None:
    async with staging("v1.5.7") as stage:
        await stage.protect()
        code, checks = await _diagnosis(stage)
        assert code == 1
        assert checks["releases"]["found"] == "v1.5.7 on 2 nodes"
        assert checks[NAMESPACE_NEWER]["state"] == "problem"
        assert {code: checks[code]["state"] for code in FINE} == dict.fromkeys(FINE, "ok")
        assert checks["permissions"]["found"] == "all 19 rights needed are granted"
        assert checks["policy-kinds"]["found"].count("kubearmor") == 4
        assert "list" in checks["api-server"]["found"]


async def test_a_pipeline_goes_on_when_the_workload_is_covered(staging: Staging) -> None:
    async with staging("v1.5.7") as stage:
        configuration = stage.monitor.configuration
        old = await stage.namespace()
        await stage.protect()
        await stage.deploy(old)
        options = ("--pods", "2", "--timeout", "30s", "--output", "json")
        passed = await call("wait", f"{old}/web", "--config", configuration, *options)
        assert passed.code == 0, passed
        await stage.monitor.becomes(old, {APPLIED: 2})
        asked = await call("wait", f"{old}/web", "--url", stage.monitor.url, *options)
        assert asked.code == 0, asked
        new = await stage.namespace()
        await stage.deploy(new, replicas=3)
        await stage.monitor.becomes(new, {MISSED: 3})
        for place in (("--config", configuration), ("--url", stage.monitor.url)):
            held = await call("wait", f"{new}/web", *place, "--timeout", "8s", "--output", "json")
            assert held.code == 1, held
            missing = json.loads(held.output)["missing"]
            assert {(one["verdict"], one["cause"]) for one in missing} == {MISSED[:2]}
            assert len(missing) == 3
            assert all("v1.6.0" in one["remedy"] for one in missing)
