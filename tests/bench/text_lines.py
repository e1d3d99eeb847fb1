"""Lines of the daemons' text: most of them push again what is in force already."""

import random
from functools import partial
from itertools import islice
from statistics import median
from typing import Final

from tests.bench import pods, text
from tests.bench.cluster import OWN_NAMESPACE, OWN_POLICY, Node, Scale, policy_event
from tests.bench.figures import Figure
from tests.bench.fleet import LINE_SECONDS, Fleet, read, settled
from tests.bench.pods import Pod
from tests.bench.stopwatch import Stopwatch
from tests.bench.text import Proportions

ROUNDS: Final = 5
NODES_A_ROUND: Final = 0.2
LINES_A_SECOND: Final = 200_000

Line = tuple[float, Node, bytes]


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    fleet = settled(scale)
    changes = Changes(fleet)
    here, recorded = text.on_nodes_of(scale.of_node), text.recorded()
    pushes = Proportions(policies=0, pushed=scale.of_node, started=0, ended=0)
    return [
        Figure(
            what="text lines classified and judged",
            value=_speed(changes, here, watch),
            unit="lines/s",
            budget=LINES_A_SECOND,
            note=(
                f"a policy changes and {scale.of_node} containers a node are pushed again; starts "
                f"and ends as often as in the recording churn-v1.7.4: {_said(here)}"
            ),
        ),
        Figure(
            what="the same as on the recording's small nodes",
            value=_speed(changes, recorded, Stopwatch()),
            unit="lines/s",
            note=_said(recorded),
        ),
        Figure(
            what="pushes of what is in force already, alone",
            value=_speed(changes, pushes, Stopwatch()),
            unit="lines/s",
            note=_said(pushes),
        ),
    ]


class Changes:
    """Lets a policy change, nodes print what follows, and containers come and go meanwhile."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._generation = 1
        self._random = random.Random(7)
        self._leaving = {node.name: list(node.pods()) for node in fleet.cluster.nodes}

    def lines(self, mix: Proportions) -> list[Line]:
        """Return the lines of a round; what the API server tells of it is observed already."""
        fleet = self._fleet
        if mix.policies:
            self._generation += 1
            fleet.watch(
                *policy_event(
                    "MODIFIED",
                    OWN_POLICY,
                    created=fleet.cluster.began - 3600,
                    namespace=OWN_NAMESPACE,
                    generation=self._generation,
                )
            )
        nodes = fleet.cluster.nodes[: max(1, round(len(fleet.cluster.nodes) * NODES_A_ROUND))]
        due = _Due(mix)
        planned = [(node, self._of_node(node, mix, due)) for node in nodes]
        return [self._stamped(node, one) for node, texts in planned for one in texts]

    def read(self, lines: list[Line]) -> None:
        observe = self._fleet.coverage.observe
        for at, node, line in lines:
            observe(read(node, line), at)

    def _of_node(self, node: Node, mix: Proportions, due: "_Due") -> list[str]:
        """Return the pushes with the starts and ends spread among them."""
        texts = [text.of_policy(OWN_POLICY, namespace=OWN_NAMESPACE, action="modified")]
        occasions = [
            *(text.of_pod(text.PUSHED, pod) for pod in islice(node.pods(), round(mix.pushed))),
            *(text.of_pod(text.STARTED, self._start(node)) for _ in range(due.starts())),
            *(text.of_pod(text.ENDED, self._end(node)) for _ in range(due.ends())),
        ]
        self._random.shuffle(occasions)
        return [*texts[: mix.policies], *(one for lines in occasions for one in lines)]

    def _start(self, node: Node) -> Pod:
        pod = self._fleet.cluster.pod(node, created=self._fleet.now)
        self._fleet.watch("pods", pods.line("ADDED", pod))
        return pod

    def _end(self, node: Node) -> Pod:
        pod = self._leaving[node.name].pop()
        self._fleet.watch("pods", pods.line("MODIFIED", pod, stage="ending", version=9))
        return pod

    def _stamped(self, node: Node, one: str) -> Line:
        self._fleet.now += LINE_SECONDS
        return self._fleet.now, node, node.journal.line(one, at=self._fleet.now)


class _Due:
    """Turns how many there are on average into whole numbers."""

    def __init__(self, mix: Proportions) -> None:
        self._mix = mix
        self._started = self._ended = 0.0

    def starts(self) -> int:
        self._started += self._mix.started
        whole, self._started = divmod(self._started, 1)
        return int(whole)

    def ends(self) -> int:
        self._ended += self._mix.ended
        whole, self._ended = divmod(self._ended, 1)
        return int(whole)


def _speed(changes: Changes, mix: Proportions, watch: Stopwatch) -> float:
    speeds = []
    for _ in range(ROUNDS):
        lines = changes.lines(mix)
        speeds.append(len(lines) / watch.seconds(partial(changes.read, lines)))
    return median(speeds)


def _said(mix: Proportions) -> str:
    starts = mix.started * len(text.STARTED) / mix.lines
    policy = "1 policy line, " if mix.policies else ""
    return (
        f"for each node {policy}{mix.pushed:.3g} containers pushed again, {mix.started:.2g} "
        f"started, {mix.ended:.2g} ended; {starts:.0%} of the lines are about a start"
    )
