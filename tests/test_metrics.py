import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor.core.model import (
    Announcement,
    ContainerTiming,
    Gap,
    Interval,
    PolicyReference,
    PolicyTiming,
    SourceState,
    Statistics,
)
from monitor.metrics import NAMESPACE_IDLE_SECONDS, Metrics, OutboxStatistics
from tests.clock import ManualClock

PREFIX = "kubearmor_monitor_"
POLICY = PolicyReference(kind="KubeArmorPolicy", namespace="a", name="p", generation=1)

STATISTICS = Statistics(
    coverage_containers={"covered": 6, "gap": 1, "unknown": 1, "exempt": 4},
    gaps_open={"daemon-down": 1},
    gaps_total={"daemon-down": 3, "unexplained": 2},
    gaps_withdrawn=1,
    incidents_open={"daemon-down": 1},
    findings_open={"selector-mistake": 2},
    sources={("text", "up"): 3, ("text", "down"): 1},
    source_outage_seconds={"text": 12.5},
    source_last_event={"text": 1_800_000_000.25},
    observations={"Changed": 1000},
    rejected={("Changed", "malformed"): 2},
    unrecognised_lines={"v1.7.4": 5},
    exposed_container_seconds=99.5,
    termination_exposure_seconds=1.5,
    pending_ages=(0.2, 0.3, 40.0, 5000.0),
    containers=12,
    pairs=30,
    gaps_paging={"daemon-down": 1},
    host_pairs={"covered": 5, "gap": 2},
)
OUTBOX = OutboxStatistics(records=7, bytes=4096, dropped=2, oldest_age_seconds=1.5)


def timing(
    *,
    namespace: str = "team-a",
    protection: Interval | None = (1.0, 3.0),
    recovery: Interval | None = None,
    exposure: Interval = (2.0, 2.0),
) -> ContainerTiming:
    return ContainerTiming(
        container_id="c",
        node="n",
        namespace=namespace,
        pod="p",
        container="app",
        policies=(POLICY,),
        applied=(0.0, 0.0),
        protection_delay_seconds=protection,
        recovery_delay_seconds=recovery,
        exposure_seconds=exposure,
        stages={},
    )


def gap(*, state: Any = "closed", until: Interval | None = (70.0, 72.0)) -> Gap:
    return Gap(
        id="g",
        state=state,
        verdict="gap",
        cause="daemon-down",
        incident="i",
        node="n",
        namespace="team-a",
        pod="p",
        container="app",
        container_id="c",
        policies=(POLICY,),
        since=(10.0, 12.0),
        until=until,
    )


def propagated(
    node: str, seconds: float, *, written: tuple[float, float] | None = None
) -> PolicyTiming:
    return PolicyTiming(
        policy=POLICY,
        node=node,
        changed=(0.0, 0.0),
        known=(seconds, seconds),
        propagation_seconds=(seconds, seconds),
        written=written,
    )


async def samples(metrics: Metrics, *, openmetrics: bool = False) -> dict[str, float]:
    """Return the project's samples by name and labels, without zero buckets."""
    text = (await metrics.render(openmetrics=openmetrics)).decode()
    parse = parse_openmetrics if openmetrics else parse_text
    return {
        name: sample.value
        for family in parse(text)
        for sample in family.samples
        if (name := _shown(sample.name, sample.labels)).startswith(PREFIX)
    }


def _shown(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if value)
    return f"{name}{{{inside}}}" if inside else name


async def about(metrics: Metrics, *names: str) -> dict[str, float]:
    """Return the samples of these metrics, prefix left out."""
    found = await samples(metrics)
    return {
        sample.removeprefix(PREFIX): value
        for sample, value in found.items()
        if sample.removeprefix(PREFIX).partition("{")[0] in names
    }


async def test_copied_numbers_are_shown_as_they_were() -> None:
    metrics = Metrics()
    metrics.copy(STATISTICS, OUTBOX)

    found = await samples(metrics)

    buckets = {name for name in found if "_bucket" in name or name.endswith(("_sum", "_count"))}
    infos = {name for name in found if "build_info" in name}
    shown = {name.removeprefix(PREFIX): found[name] for name in set(found) - buckets - infos}
    assert shown == {
        "coverage_containers{verdict=covered}": 6,
        "coverage_containers{verdict=gap}": 1,
        "coverage_containers{verdict=lost}": 0,
        "coverage_containers{verdict=unknown}": 1,
        "coverage_containers{verdict=pending}": 0,
        "coverage_containers{verdict=exempt}": 4,
        "coverage_containers{verdict=unsupported}": 0,
        "coverage_containers{verdict=unpoliced}": 0,
        "coverage_ratio": 0.75,
        "host_policies{verdict=covered}": 5,
        "host_policies{verdict=gap}": 2,
        "host_policies{verdict=lost}": 0,
        "host_policies{verdict=unknown}": 0,
        "host_policies{verdict=pending}": 0,
        "host_policies{verdict=exempt}": 0,
        "host_policies{verdict=unsupported}": 0,
        "gaps_open{cause=daemon-down}": 1,
        "gaps_open{cause=unexplained}": 0,
        "gaps_paging{cause=daemon-down}": 1,
        "gaps_paging{cause=unexplained}": 0,
        "gaps_total{cause=daemon-down}": 3,
        "gaps_total{cause=unexplained}": 2,
        "gaps_withdrawn_total": 1,
        "incidents_open{cause=daemon-down}": 1,
        "incidents_open{cause=unexplained}": 0,
        "incidents_open{cause=rollout}": 0,
        "findings_open{code=selector-mistake}": 2,
        "exposed_container_seconds_total": 99.5,
        "termination_exposure_seconds_total": 1.5,
        "pending_age_seconds_gcount": 4,
        "pending_age_seconds_gsum": 5040.5,
        "sources{kind=text,state=up}": 3,
        "sources{kind=text,state=down}": 1,
        "source_outage_seconds_total{kind=text}": 12.5,
        "source_last_event_timestamp_seconds{kind=text}": 1_800_000_000.25,
        "observations_total{kind=Changed}": 1000,
        "observations_rejected_total{kind=Changed,reason=malformed}": 2,
        "unrecognised_lines_total{release=v1.7.4}": 5,
        "containers": 12,
        "pairs": 30,
        "outbox_records": 7,
        "outbox_bytes": 4096,
        "outbox_oldest_age_seconds": 1.5,
        "outbox_dropped_total": 2,
        "leader": 1,
    }


async def test_waiting_pairs_are_a_histogram_of_their_ages_now() -> None:
    metrics = Metrics()
    metrics.copy(STATISTICS, None)

    found = await about(metrics, "pending_age_seconds_bucket")

    counts = {name.partition("le=")[2].rstrip("}"): value for name, value in found.items()}
    assert counts == {
        "0.05": 0, "0.1": 0, "0.25": 1, "0.5": 2, "1.0": 2, "2.5": 2, "5.0": 2, "10.0": 2,
        "20.0": 2, "30.0": 2, "60.0": 3, "120.0": 3, "300.0": 3, "600.0": 3, "1200.0": 3,
        "3600.0": 3, "+Inf": 4,
    }  # fmt: skip


async def test_what_changes_after_the_copy_is_not_shown() -> None:
    metrics = Metrics()
    observations = {"Changed": 1}
    metrics.copy(structs.replace(STATISTICS, observations=observations), None)
    observations["Changed"] = 2

    assert await about(metrics, "observations_total") == {"observations_total{kind=Changed}": 1}


async def test_without_judged_containers_there_is_no_ratio() -> None:
    metrics = Metrics()
    metrics.copy(structs.replace(STATISTICS, coverage_containers={"exempt": 2}), None)

    assert await about(metrics, "coverage_ratio") == {}


async def test_only_a_leader_shows_what_it_judges() -> None:
    metrics = Metrics()
    metrics.copy(STATISTICS, OUTBOX)
    metrics.leads(leader=False)

    names = ("leader", "coverage_ratio", "gaps_total", "containers", "outbox_records")
    assert await about(metrics, *names) == {"leader": 0, "containers": 12, "outbox_records": 7}


@pytest.mark.parametrize(
    ("announcement", "sums"),
    [
        (
            timing(protection=(1.0, 3.0), exposure=(2.0, 5.0)),
            {"protection_delay_seconds_sum": 2.0, "exposure_seconds_sum": 3.5},
        ),
        (
            timing(protection=None, recovery=(8.0, 9.0)),
            {"recovery_delay_seconds_sum": 8.5, "exposure_seconds_sum": 2.0},
        ),
        (propagated("node-1", 0.5), {"policy_propagation_seconds_sum{scope=node}": 0.5}),
        (propagated("node-1", 0.5, written=(0.7, 0.7)), {}),
        (propagated("", 4.5), {"policy_propagation_seconds_sum{scope=cluster}": 4.5}),
        (gap(), {"gap_seconds_sum": 60.0}),
        (gap(state="open", until=None), {}),
        (gap(state="withdrawn"), {}),
        (SourceState(name="text/n", state="up", reason="", since=0.0), {}),
    ],
    ids=str,
)
async def test_an_announcement_is_measured_at_the_middle_of_its_interval(
    announcement: Announcement, sums: dict[str, float]
) -> None:
    metrics = Metrics()
    metrics.announced(announcement)

    found = await about(
        metrics,
        "protection_delay_seconds_sum",
        "exposure_seconds_sum",
        "recovery_delay_seconds_sum",
        "policy_propagation_seconds_sum",
        "gap_seconds_sum",
    )
    assert {name: value for name, value in found.items() if value} == sums


async def test_the_event_is_the_exemplar_of_what_was_measured() -> None:
    metrics = Metrics()
    metrics.announced(timing(), event_id="0123abcd")
    metrics.announced(gap())

    text = (await metrics.render(openmetrics=True)).decode()

    exemplars = {
        family.name.removeprefix(PREFIX): sample.exemplar.labels
        for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {
        "protection_delay_seconds": {"event_id": "0123abcd"},
        "exposure_seconds": {"event_id": "0123abcd"},
    }


async def test_what_the_pipeline_measures_is_shown() -> None:
    metrics = Metrics()
    metrics.delivered(0.25)
    metrics.observe_lag(0.5)
    metrics.delivery_failed("timeout")
    metrics.delivery_failed("timeout")
    metrics.source_restarted(kind="text", reason="cut")
    metrics.anomaly("latency")

    found = await about(
        metrics,
        "delivery_seconds_sum",
        "pipeline_lag_seconds_sum",
        "delivery_failures_total",
        "source_restarts_total",
        "anomalies_total",
    )
    assert found == {
        "delivery_seconds_sum": 0.25,
        "pipeline_lag_seconds_sum": 0.5,
        "delivery_failures_total{reason=timeout}": 2,
        "source_restarts_total{kind=text,reason=cut}": 1,
        "anomalies_total{kind=latency}": 1,
    }


async def test_reasons_of_restarts_are_bounded() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.source_restarted(kind="text", reason=f"reason {number}")

    found = await about(metrics, "source_restarts_total")

    assert len(found) == 21
    assert found["source_restarts_total{kind=text,reason=_other_}"] == 80


async def test_by_default_no_series_has_a_namespace() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.announced(timing(namespace=f"team-{number}"))

    assert await about(metrics, "exposure_seconds_count") == {"exposure_seconds_count": 100}


async def test_namespaces_beyond_the_cap_share_a_series() -> None:
    metrics = Metrics(namespaces=2, clock=ManualClock())
    for namespace in ("a", "b", "c", "d", "a"):
        metrics.announced(timing(namespace=namespace))

    assert await about(metrics, "exposure_seconds_count") == {
        "exposure_seconds_count{namespace=a}": 2,
        "exposure_seconds_count{namespace=b}": 1,
        "exposure_seconds_count{namespace=_other_}": 2,
    }


async def test_a_namespace_not_heard_of_for_an_hour_gives_its_place_away() -> None:
    clock = ManualClock()
    metrics = Metrics(namespaces=2, clock=clock)
    metrics.announced(timing(namespace="old"))
    metrics.announced(timing(namespace="living"))
    await clock.advance(NAMESPACE_IDLE_SECONDS / 2)
    metrics.announced(timing(namespace="living"))
    await clock.advance(NAMESPACE_IDLE_SECONDS / 2)
    for namespace in ("new", "newer"):
        metrics.announced(timing(namespace=namespace))

    assert await about(metrics, "exposure_seconds_count") == {
        "exposure_seconds_count{namespace=living}": 2,
        "exposure_seconds_count{namespace=new}": 1,
        "exposure_seconds_count{namespace=_other_}": 1,
    }


async def test_series_stay_below_10000_whatever_the_cluster() -> None:
    metrics = Metrics(namespaces=10_000)
    causes = {f"cause-{number}": 1 for number in range(60)}
    metrics.copy(structs.replace(STATISTICS, gaps_open=causes, gaps_total=causes), OUTBOX)
    for number in range(2000):
        metrics.announced(timing(namespace=f"team-{number}"))
        metrics.announced(structs.replace(gap(), namespace=f"team-{number}"))

    text = (await metrics.render(openmetrics=False)).decode()

    assert sum(not line.startswith("#") for line in text.splitlines()) < 10_000


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_no_series_says_when_it_was_created(*, openmetrics: bool) -> None:
    metrics = Metrics()
    metrics.announced(timing())
    metrics.delivery_failed("timeout")

    found = await samples(metrics, openmetrics=openmetrics)

    assert not [name for name in found if "_created" in name]


async def test_both_formats_tell_the_same() -> None:
    metrics = Metrics()
    metrics.copy(STATISTICS, OUTBOX)
    metrics.announced(timing())

    assert await samples(metrics) == await samples(metrics, openmetrics=True)


async def test_the_build_is_named() -> None:
    found = await samples(Metrics())

    (build,) = (name for name in found if name.startswith(f"{PREFIX}build_info"))
    assert "python=3." in build
    assert "version=" in build


async def test_a_late_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.metrics.LOOP_PROBE_SECONDS", 0.0)
    metrics = Metrics()
    probe = asyncio.create_task(metrics.probe_event_loop())
    for _ in range(20):
        await asyncio.sleep(0)
    probe.cancel()

    (count,) = (await about(metrics, "event_loop_lag_seconds_count")).values()
    assert count > 0


def test_two_monitors_in_one_process_do_not_share_series() -> None:
    first, second = Metrics(), Metrics()
    first.delivered(1.0)

    assert list(_delivered(first)) == [1.0]
    assert list(_delivered(second)) == [0.0]


def _delivered(metrics: Metrics) -> Iterator[float]:
    value = metrics.registry.get_sample_value(f"{PREFIX}delivery_seconds_sum")
    assert value is not None
    yield value
