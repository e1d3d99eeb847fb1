"""What may be asked of a running monitor: the HTTP server's view of the engine."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import ContainerCoverage, ContainerOutline, Outline, Statistics
from monitor.metrics import Metrics, OutboxStatistics
from monitor.wire.report import plain, rfc3339

SHORTEST_LIFE = 0.5
SHARE_OF_THE_LOOP = 0.02
JUDGED = ("covered", "gap", "lost", "unknown", "pending")


class Reported(Protocol):
    """What is asked: the engine."""

    def outline(self) -> Outline: ...

    def container(self, identity: str) -> ContainerCoverage | None: ...

    def explain(self, namespace: str, pod: str) -> Sequence[ContainerExplanation]: ...

    def explain_node(self, name: str) -> NodeExplanation | None: ...

    def statistics(self) -> Statistics: ...

    def missing(self) -> Mapping[str, str]: ...


class CountedOutbox(Protocol):
    """An outbox that says what it holds."""

    def statistics(self) -> OutboxStatistics: ...


class EngineView:
    """Answers of one instant, from an outline that is made anew at most every half second.

    That of a large cluster takes its time, and takes it from the judgement: it is kept so long that
    making it costs no more than a fiftieth of the loop, however many ask. Only the containers that
    are shown are judged pair by pair, when they are shown.
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
        self._outline: Outline | None = None
        self._good_until = 0.0

    def at(self) -> str:
        return rfc3339(self._current().at)

    def summary(self) -> Mapping[str, Any]:
        outline = self._current()
        verdicts = Counter[str](container.verdict for container in outline.containers)
        judged = sum(verdicts[verdict] for verdict in JUDGED)
        return {
            "at": rfc3339(outline.at),
            "cluster": outline.cluster,
            "verdicts": verdicts,
            "coverageRatio": verdicts["covered"] / judged if judged else None,
            "gapsOpen": sum(gap.state == "open" for gap in outline.gaps),
            "incidentsOpen": sum(incident.state == "open" for incident in outline.incidents),
            "findings": Counter[str](finding.code for finding in outline.findings),
            "hostPolicies": Counter[str](
                pair.verdict for node in outline.nodes for pair in node.policies
            ),
        }

    def rows(self, section: str) -> Sequence[Any]:
        rows: Sequence[Any] = getattr(self._current(), section)
        return rows

    def present(self, row: Any) -> Mapping[str, Any] | None:
        if isinstance(row, ContainerOutline):
            row = self._engine.container(row.container_id)
        return None if row is None else plain(row)

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

    def _current(self) -> Outline:
        began = self._monotonic()
        if self._outline is None or began >= self._good_until:
            self._outline = self._engine.outline()
            cost = self._monotonic() - began
            self._good_until = began + max(SHORTEST_LIFE, cost / SHARE_OF_THE_LOOP)
        return self._outline
