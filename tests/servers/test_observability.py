"""Every expression of the dashboard and of the alerts, on a real Prometheus that scrapes us."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from msgspec import structs

from monitor.core.model import ContainerTiming, Gap, PolicyReference, PolicyTiming, Statistics
from monitor.metrics import Metrics, OutboxStatistics
from monitor.sinks.http import OPENMETRICS, OPENMETRICS_TYPE, TEXT_TYPE
from tests.deploy.observability import ALERT_CASES, ALERTS, alerts, expressions, measured
from tests.rig.prometheus import Prometheus, promtool
from tests.rig.wait import eventually

ALERT_RULES = {rule["alert"]: rule["expr"] for rule in alerts()}
POLICY = PolicyReference("KubeArmorClusterPolicy", "", "block-pkg-mgr", 1)
TIMING = ContainerTiming(
    container_id="c",
    node="node-a",
    namespace="shop-front",
    pod="nginx",
    container="nginx",
    policies=(POLICY,),
    applied=(40.0, 41.0),
    protection_delay_seconds=(2.0, 3.0),
    recovery_delay_seconds=None,
    exposure_seconds=(2.0, 3.0),
    stages={},
)
RECOVERY = structs.replace(TIMING, protection_delay_seconds=None, recovery_delay_seconds=(4.0, 5.0))
PROPAGATION = PolicyTiming(
    policy=POLICY,
    node="",
    changed=(1.0, 2.0),
    known=(1.5, 2.0),
    propagation_seconds=(0.1, 0.4),
    written=None,
)
CLOSED = Gap(
    id="g",
    state="closed",
    verdict="gap",
    cause="namespace-newer-than-policy",
    incident="i",
    node="node-a",
    namespace="team-b",
    pod="nginx",
    container="nginx",
    container_id="c",
    policies=(POLICY,),
    since=(1.0, 2.0),
    until=(20.0, 21.0),
)


def statistics(step: int) -> Statistics:
    """Return a busy and troubled monitor's numbers; those that count grow with each step."""
    return Statistics(
        coverage_containers={"covered": 90, "gap": 3, "lost": 2, "unknown": 4, "pending": 1},
        gaps_open={"namespace-newer-than-policy": 3, "daemon-replaced": 2},
        gaps_total={"namespace-newer-than-policy": 3 + step, "daemon-replaced": step},
        gaps_withdrawn=step,
        incidents_open={"namespace-newer-than-policy": 1},
        findings_open={"prediction-refuted": 1, "stale-policy": 1},
        sources={
            ("kubernetes", "up"): 8,
            ("kubernetes", "down"): 1,
            ("text", "up"): 2,
            ("text", "down"): 1,
        },
        source_outage_seconds={"text": float(step)},
        source_last_event={"text": 1.0, "kubernetes": 2.0},
        observations={"watch": 100 * step, "text": 40 * step},
        rejected={("text", "too-long"): step},
        unrecognised_lines={"v1.9.0": step},
        exposed_container_seconds=5.0 * step,
        termination_exposure_seconds=0.5 * step,
        pending_ages=(0.4, 70.0, 700.0),
        containers=100,
        pairs=200,
        gaps_paging={"namespace-newer-than-policy": 3, "daemon-replaced": 1},
        host_pairs={"covered": 4, "gap": 1},
    )


class Exporter:
    """What a monitor would export, a little later at each scrape."""

    def __init__(self) -> None:
        self.metrics = Metrics(namespaces=10)
        self.step = 0

    async def answer(self, request: web.Request) -> web.Response:
        self._live_on()
        openmetrics = OPENMETRICS in request.headers.get("Accept", "")
        return web.Response(
            body=await self.metrics.render(openmetrics=openmetrics),
            headers={"Content-Type": OPENMETRICS_TYPE if openmetrics else TEXT_TYPE},
        )

    def _live_on(self) -> None:
        self.step += 1
        for announcement in (TIMING, RECOVERY, PROPAGATION, CLOSED):
            self.metrics.announced(announcement, event_id="e")
        self.metrics.delivered(0.02)
        self.metrics.observe_lag(0.04)
        self.metrics.delivery_failed("timeout")
        self.metrics.source_restarted(kind="text", reason="ended")
        self.metrics.copy(
            statistics(self.step),
            OutboxStatistics(records=7, bytes=4200, dropped=self.step, oldest_age_seconds=90.0),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """Return a Prometheus that has our rules and scrapes a monitor in trouble."""
    exporter = Exporter()
    application = web.Application()
    application.router.add_get("/metrics", exporter.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    folder = tmp_path_factory.mktemp("prometheus")
    probe = asyncio.create_task(exporter.metrics.probe_event_loop())
    async with Prometheus(folder=folder, target=f"{host}:{port}", rule_files=[ALERTS]) as running:
        yield running
    probe.cancel()
    await runner.cleanup()


async def has_data(prometheus: Prometheus, expression: str) -> None:
    async def data() -> bool:
        values = [float(sample["value"][1]) for sample in await prometheus.query(expression)]
        return bool(values) and not any(map(math.isnan, values))

    await eventually(data, within=30)


@pytest.mark.parametrize(("title", "expression"), expressions())
async def test_every_panel_has_data(prometheus: Prometheus, title: str, expression: str) -> None:
    del title
    await has_data(prometheus, expression)


@pytest.mark.parametrize("name", ALERT_RULES)
async def test_every_alert_measures_something(prometheus: Prometheus, name: str) -> None:
    await prometheus.query(ALERT_RULES[name])
    await has_data(prometheus, measured(ALERT_RULES[name]))


async def test_a_lost_record_fires_at_once(prometheus: Prometheus) -> None:
    async def fires() -> bool:
        return "KubeArmorMonitorRecordsLost" in await prometheus.firing()

    await eventually(fires, within=30)


async def test_the_rules_are_well_formed() -> None:
    assert "16 rules found" in await promtool("check", "rules", str(ALERTS))


async def test_every_alert_fires_and_stays_silent_as_its_cases_say() -> None:
    assert "SUCCESS" in await promtool("test", "rules", str(ALERT_CASES))


Spoil = Callable[[str], str]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("values: '0 3x20'", "values: '0x20'"),
        lambda text: text.replace("values: '0 2 0x60'", "values: '0 2x60'"),
    ],
    ids=["must-fire", "must-stay-silent"],
)
async def test_the_cases_notice_when_it_is_otherwise(tmp_path: Path, spoil: Spoil) -> None:
    (tmp_path / ALERTS.name).write_text(ALERTS.read_text())
    cases = tmp_path / ALERT_CASES.name
    cases.write_text(spoil(ALERT_CASES.read_text()))
    with pytest.raises(Exception, match="FAILED"):
        await promtool("test", "rules", str(cases))
