"""What Prometheus is told.

Two kinds of numbers. Histograms are observed as things are announced, and are safe to read from a
thread. Everything else is a plain number that the core or the outbox counts anyway: it is copied
on the loop (`copy`) and formatted in a thread (`render`), so a scrape never holds the loop up.

No label grows with Pods, containers, nodes or policies. The label `namespace` is empty unless asked
for, and capped then: the names beyond the cap share the series `_other_`; a name not heard of for
an hour gives its place away.
"""

import asyncio
import platform
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from msgspec import Struct, structs
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from monitor.clock import Clock, SystemClock
from monitor.core.joining import ROLLOUT
from monitor.core.model import (
    Announcement,
    ContainerTiming,
    Gap,
    Interval,
    PolicyTiming,
    Statistics,
)

PREFIX = "kubearmor_monitor_"
OVERFLOW = "_other_"
NAMESPACES_AT_MOST = 150
"""With three histograms of 19 series each, what keeps a scrape below 10,000 series."""
NAMESPACE_IDLE_SECONDS = 3600
SOURCE_RESTART_REASONS = 20
EXPOSURE_BUCKETS = (
    0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600,
)  # fmt: skip
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
LOOP_PROBE_SECONDS = 0.25
VERDICTS = ("covered", "gap", "lost", "unknown", "pending", "exempt", "unsupported", "unpoliced")
HOST_VERDICTS = tuple(verdict for verdict in VERDICTS if verdict != "unpoliced")
COVERAGE_RATIO_OF = ("covered", "gap", "lost", "unknown", "pending")


class OutboxStatistics(Struct, frozen=True, gc=False):
    """What an outbox holds, and how many records it had to drop."""

    records: int
    bytes: int
    dropped: int
    oldest_age_seconds: float


class Metrics:
    """All series of one monitor, in a registry of its own."""

    def __init__(self, *, clock: Clock | None = None, namespaces: int = 0) -> None:
        """Register everything; `namespaces` get series of their own, at most so many."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._statistics: Statistics | None = None
        self._outbox: OutboxStatistics | None = None
        self._restart_reasons: set[tuple[str, str]] = set()
        self._namespaces = _NamespaceLabels(
            clock=clock or SystemClock(),
            cap=min(namespaces, NAMESPACES_AT_MOST),
            forget=self._forget_namespace,
        )
        self._register_exposures()
        self._register_pipeline()
        self.registry.register(_Copied(self._families))
        ProcessCollector(registry=self.registry)

    def announced(self, announcement: Announcement, *, event_id: str | None = None) -> None:
        """Observe what an announcement measures; its event becomes the exemplar."""
        exemplar = {"event_id": event_id} if event_id else None
        match announcement:
            case ContainerTiming():
                self._observe_container(announcement, exemplar)
            case PolicyTiming(written=None):
                scope = "node" if announcement.node else "cluster"
                propagation = middle(announcement.propagation_seconds)
                self._propagation.labels(scope).observe(propagation, exemplar)
            case Gap(state="closed", until=until) if until is not None:
                seconds = max(0.0, middle(until) - middle(announcement.since))
                namespace = self._namespaces.label(announcement.namespace)
                self._gap.labels(namespace).observe(seconds, exemplar)
            case _:
                pass

    def delivered(self, seconds: float) -> None:
        """Observe how long one batch took from being sent to being acknowledged."""
        self._delivery.observe(seconds)

    def delivery_failed(self, reason: str) -> None:
        """Count a failed delivery; `reason` comes from a closed set."""
        self._delivery_failures.labels(reason).inc()

    def observe_lag(self, seconds: float) -> None:
        """Observe how long one record took from being decided to being acknowledged."""
        self._pipeline_lag.observe(seconds)

    def source_restarted(self, *, kind: str, reason: str) -> None:
        """Count a source that had to begin again."""
        series = (kind, reason)
        if series not in self._restart_reasons:
            if len(self._restart_reasons) >= SOURCE_RESTART_REASONS:
                series = (kind, OVERFLOW)
            self._restart_reasons.add(series)
        self._source_restarts.labels(*series).inc()

    def anomaly(self, kind: str) -> None:
        """Count an anomaly as it opens."""
        self._anomalies.labels(kind).inc()

    def leads(self, *, leader: bool) -> None:
        """Say whether this process leads; only a leader exports what it judges."""
        self._leader.set(int(leader))
        self._is_leader = leader

    def copy(self, statistics: Statistics | None, outbox: OutboxStatistics | None) -> None:
        """Take the numbers as they are now; called on the loop, before `render`."""
        self._statistics = None if statistics is None else _detached(statistics)
        self._outbox = outbox

    async def render(self, *, openmetrics: bool) -> bytes:
        """Format all series in a thread."""
        generate = generate_openmetrics if openmetrics else generate_latest
        return await asyncio.to_thread(generate, self.registry)

    async def probe_event_loop(self) -> None:
        """Measure for ever how late the loop wakes what is due."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOP_PROBE_SECONDS
            await asyncio.sleep(LOOP_PROBE_SECONDS)
            self._loop_lag.observe(max(0.0, loop.time() - due))

    def _register_exposures(self) -> None:
        self._protection = self._histogram(
            "protection_delay_seconds",
            "From a container's start, or its policy's change, to its rules being written.",
            labels=("namespace",),
        )
        self._exposure = self._histogram(
            "exposure_seconds",
            "How long a container ran while an expected policy was not in force.",
            labels=("namespace",),
        )
        self._gap = self._histogram(
            "gap_seconds", "How long closed gaps had been open.", labels=("namespace",)
        )
        self._recovery = self._histogram(
            "recovery_delay_seconds",
            "From a daemon's start to a container's rules being written again.",
        )
        self._propagation = self._histogram(
            "policy_propagation_seconds",
            "From a policy's change to it being known, by one node or by the whole cluster.",
            labels=("scope",),
        )

    def _register_pipeline(self) -> None:
        self._delivery = self._histogram(
            "delivery_seconds", "From sending a batch to its acknowledgement.", LATENCY_BUCKETS
        )
        self._pipeline_lag = self._histogram(
            "pipeline_lag_seconds",
            "From observing what decided a record to the record's acknowledgement.",
            LATENCY_BUCKETS,
        )
        self._loop_lag = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes what is due.", LATENCY_BUCKETS
        )
        self._delivery_failures = self._counter(
            "delivery_failures_total", "Deliveries that failed.", ("reason",)
        )
        self._source_restarts = self._counter(
            "source_restarts_total", "Sources that had to begin again.", ("kind", "reason")
        )
        self._anomalies = self._counter("anomalies_total", "Anomalies opened.", ("kind",))
        self._leader = Gauge(
            PREFIX + "leader", "Whether this process leads.", registry=self.registry
        )
        self._is_leader = True
        self._leader.set(1)
        build = Gauge(
            PREFIX + "build_info", "This build.", ("version", "python"), registry=self.registry
        )
        build.labels(_version(), platform.python_version()).set(1)

    def _histogram(
        self,
        name: str,
        text: str,
        buckets: Sequence[float] = EXPOSURE_BUCKETS,
        labels: Sequence[str] = (),
    ) -> Histogram:
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _observe_container(self, timing: ContainerTiming, exemplar: dict[str, str] | None) -> None:
        namespace = self._namespaces.label(timing.namespace)
        self._exposure.labels(namespace).observe(middle(timing.exposure_seconds), exemplar)
        if timing.protection_delay_seconds is not None:
            delay = middle(timing.protection_delay_seconds)
            self._protection.labels(namespace).observe(delay, exemplar)
        if timing.recovery_delay_seconds is not None:
            self._recovery.observe(middle(timing.recovery_delay_seconds), exemplar)

    def _forget_namespace(self, namespace: str) -> None:
        for histogram in (self._protection, self._exposure, self._gap):
            histogram.remove_by_labels({"namespace": namespace})

    def _families(self) -> Iterator[Metric]:
        if self._outbox is not None:
            yield from _outbox_families(self._outbox)
        if self._statistics is not None:
            yield from _source_families(self._statistics)
            if self._is_leader:
                yield from _coverage_families(self._statistics)


class _Copied(Collector):
    """Series made of the numbers that were copied last."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:  # type: ignore[explicit-override]
        return self._families()

    def describe(self) -> Iterable[Metric]:
        return ()


class _NamespaceLabels:
    """Which namespaces have a series of their own, the one longest not heard of first."""

    def __init__(self, *, clock: Clock, cap: int, forget: Callable[[str], None]) -> None:
        self._clock = clock
        self._cap = cap
        self._forget = forget
        self._heard: OrderedDict[str, float] = OrderedDict()

    def label(self, namespace: str) -> str:
        if not self._cap:
            return ""
        now = self._clock.now()
        if namespace not in self._heard and not self._has_room(now):
            return OVERFLOW
        self._heard[namespace] = now
        self._heard.move_to_end(namespace)
        return namespace

    def _has_room(self, now: float) -> bool:
        if len(self._heard) < self._cap:
            return True
        oldest, heard = next(iter(self._heard.items()))
        if now - heard < NAMESPACE_IDLE_SECONDS:
            return False
        del self._heard[oldest]
        self._forget(oldest)
        return True


def middle(interval: Interval) -> float:
    """Return the midpoint, which histograms take of an interval."""
    earliest, latest = interval
    return (earliest + latest) / 2


def _detached(statistics: Statistics) -> Statistics:
    fields = {
        name: dict(value)
        for name, value in structs.asdict(statistics).items()
        if isinstance(value, dict)
    }
    return structs.replace(statistics, **fields)


def _outbox_families(outbox: OutboxStatistics) -> Iterator[Metric]:
    yield _gauge("outbox_records", "Records that wait for delivery.", outbox.records)
    yield _gauge("outbox_bytes", "Bytes of the records that wait for delivery.", outbox.bytes)
    yield _gauge(
        "outbox_oldest_age_seconds",
        "How long the oldest record has waited for delivery.",
        outbox.oldest_age_seconds,
    )
    yield _total(
        "outbox_dropped_total", "Records lost because the outbox was full.", outbox.dropped
    )


def _source_families(statistics: Statistics) -> Iterator[Metric]:
    yield _labelled_gauge(
        "sources", "Sources by kind and state.", ("kind", "state"), statistics.sources
    )
    yield _labelled_gauge(
        "source_last_event_timestamp_seconds",
        "When a source of this kind last told something.",
        ("kind",),
        statistics.source_last_event,
    )
    yield _labelled_total(
        "source_outage_seconds_total",
        "Seconds in which sources of this kind could not be read.",
        ("kind",),
        statistics.source_outage_seconds,
    )
    yield _labelled_total(
        "observations_total", "Observations taken in.", ("kind",), statistics.observations
    )
    yield _labelled_total(
        "observations_rejected_total",
        "Input that could not be understood.",
        ("kind", "reason"),
        statistics.rejected,
    )
    yield _labelled_total(
        "unrecognised_lines_total",
        "Lines of KubeArmor's daemons that this monitor has no meaning for.",
        ("release",),
        statistics.unrecognised_lines,
    )
    yield _gauge("containers", "Containers watched.", statistics.containers)
    yield _gauge("pairs", "Pairs of a container and an expected policy.", statistics.pairs)


def _coverage_families(statistics: Statistics) -> Iterator[Metric]:
    containers = dict.fromkeys(VERDICTS, 0) | statistics.coverage_containers
    yield _labelled_gauge(
        "coverage_containers", "Running containers by verdict.", ("verdict",), containers
    )
    hosts = dict.fromkeys(HOST_VERDICTS, 0) | statistics.host_pairs
    yield _labelled_gauge(
        "host_policies",
        "Pairs of a node and a host or network policy that should protect it, by verdict.",
        ("verdict",),
        hosts,
    )
    judged = sum(containers[verdict] for verdict in COVERAGE_RATIO_OF)
    if judged:
        yield _gauge(
            "coverage_ratio",
            "Containers covered, of those a policy should protect.",
            containers["covered"] / judged,
        )
    causes = dict.fromkeys(statistics.gaps_total, 0)
    yield _labelled_gauge(
        "gaps_open", "Open gaps by cause.", ("cause",), causes | statistics.gaps_open
    )
    yield _labelled_gauge(
        "gaps_paging",
        "Open gaps whose incident is to page a person, by cause.",
        ("cause",),
        causes | statistics.gaps_paging,
    )
    yield _labelled_total("gaps_total", "Gaps opened by cause.", ("cause",), statistics.gaps_total)
    yield _total(
        "gaps_withdrawn_total", "Gaps that should not have opened.", statistics.gaps_withdrawn
    )
    yield _labelled_gauge(
        "incidents_open",
        "Open incidents by cause.",
        ("cause",),
        causes | {ROLLOUT: 0} | statistics.incidents_open,
    )
    yield _labelled_gauge(
        "findings_open", "Open findings by code.", ("code",), statistics.findings_open
    )
    yield _total(
        "exposed_container_seconds_total",
        "Container seconds without an expected policy.",
        statistics.exposed_container_seconds,
    )
    yield _total(
        "termination_exposure_seconds_total",
        "Container seconds without an expected policy while terminating.",
        statistics.termination_exposure_seconds,
    )
    yield _ages(statistics.pending_ages)


def _ages(ages: Sequence[float]) -> Metric:
    counts = [0] * (len(EXPOSURE_BUCKETS) + 1)
    for age in ages:
        counts[bisect_left(EXPOSURE_BUCKETS, age)] += 1
    running = 0
    buckets = []
    for bound, count in zip((*EXPOSURE_BUCKETS, float("inf")), counts, strict=True):
        running += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(running)))
    return GaugeHistogramMetricFamily(
        PREFIX + "pending_age_seconds",
        "How long pairs have been waiting that are not decided yet.",
        buckets=buckets,
        gsum_value=sum(ages),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _labelled_gauge(
    name: str,
    text: str,
    labels: Sequence[str],
    values: Mapping[str, float] | Mapping[tuple[str, str], float],
) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(_label_values(key), value)
    return family


def _labelled_total(
    name: str,
    text: str,
    labels: Sequence[str],
    values: Mapping[str, float] | Mapping[tuple[str, str], float],
) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(_label_values(key), value)
    return family


def _label_values(key: str | tuple[str, str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _version() -> str:
    try:
        return version("kubearmor-monitor")
    except PackageNotFoundError:
        return "unknown"
