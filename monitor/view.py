"""What may be asked of a running monitor: the HTTP server's view of the engine."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import Report, Statistics
from monitor.metrics import Metrics, OutboxStatistics
from monitor.wire.report import plain, rfc3339

SHORTEST_LIFE = 0.5
SHARE_OF_THE_LOOP = 0.02
JUDGED = ("covered", "gap", "lost", "unknown", "pending")


class Reported(Protocol):
    """What is asked: the engine."""

    def report(self) -> Report: ...

    def explain(self, namespace: str, pod: str) -> Sequence[ContainerExplanation]: ...

    def explain_node(self, name: str) -> NodeExplanation | None: ...

    def statistics(self) -> Statistics: ...

    def missing(self) -> Mapping[str, str]: ...


class CountedOutbox(Protocol):
    """An outbox that says what it holds."""

    def statistics(self) -> OutboxStatistics: ...


class EngineView:
    """Answers of one instant, from a report that is made anew at most every half second.

    A report of a large cluster takes its time, and takes it from the judgement: it is kept so long
    that making it costs no more than a fiftieth of the loop, however many ask.
    """

    def __init__(
        self,
        engine: Reported,
        *,
        metrics: Metrics,
        outbox: CountedOutbox,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._engine = engine
        self._metrics = metrics
        self._outbox = outbox
        self._report: Report | None = None
        self._good_until = 0.0

    def at(self) -> str:
        return rfc3339(self._current().at)

    def summary(self) -> Mapping[str, Any]:
        report = self._current()
        verdicts = Counter[str](container.verdict for container in report.containers)
        judged = sum(verdicts[verdict] for verdict in JUDGED)
        return {
            "at": rfc3339(report.at),
            "cluster": report.cluster,
            "verdicts": verdicts,
            "coverageRatio": verdicts["covered"] / judged if judged else None,
            "gapsOpen": sum(gap.state == "open" for gap in report.gaps),
            "incidentsOpen": sum(incident.state == "open" for incident in report.incidents),
            "findings": Counter[str](finding.code for finding in report.findings),
            "hostPolicies": Counter[str](
                pair.verdict for node in report.nodes for pair in node.policies
            ),
        }

    def rows(self, section: str) -> Sequence[Any]:
        rows: Sequence[Any] = getattr(self._current(), section)
        return rows

    def present(self, row: Any) -> Mapping[str, Any]:
        return plain(row)

    def explain(self, namespace: str, pod: str) -> Mapping[str, Any] | None:
        found = self._engine.explain(namespace, pod)
        if not found:
            return None
        return {"at": rfc3339(found[0].at), "containers": [plain(one) for one in found]}

    def explain_node(self, name: str) -> Mapping[str, Any] | None:
        found = self._engine.explain_node(name)
        return None if found is None else plain(found)

    async def metrics(self, *, openmetrics: bool) -> bytes:
        self._metrics.copy(self._engine.statistics(), self._outbox.statistics())
        return await self._metrics.render(openmetrics=openmetrics)

    def missing(self) -> Sequence[str]:
        return [f"{name}: {reason}" for name, reason in self._engine.missing().items()]

    def alive(self) -> bool:
        """Answering is the proof: the loop turns."""
        return True

    def _current(self) -> Report:
        began = self._monotonic()
        if self._report is None or began >= self._good_until:
            self._report = self._engine.report()
            cost = self._monotonic() - began
            self._good_until = began + max(SHORTEST_LIFE, cost / SHARE_OF_THE_LOOP)
        return self._report
