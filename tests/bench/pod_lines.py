"""Watch lines of Pods: most of them change nothing that the judgement reads."""

import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from monitor.wire.kubernetes import decode_event
from tests.bench import pods
from tests.bench.cluster import Scale
from tests.bench.figures import Figure
from tests.bench.fleet import Fleet, settled
from tests.bench.stopwatch import Stopwatch

ROUNDS: Final = 5
UNCHANGED, LIFE_CYCLE = 0.70, 0.25
ALIVE: Final = 100
LINES_A_SECOND: Final = 40_000


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    fleet = settled(scale)
    stream = PodStream(fleet, random.Random(7))
    count = max(200, scale.containers * 2 // 5)
    rounds = [[stream.line() for _ in range(count)] for _ in range(ROUNDS)]
    decoding = Stopwatch().median([partial(_decode, lines) for lines in rounds])
    judging = watch.median([partial(_judge, fleet, lines) for lines in rounds])
    size = sum(len(line) for lines in rounds for line in lines) / (count * ROUNDS)
    return [
        Figure(
            what="Pod watch lines decoded and judged",
            value=count / judging,
            unit="lines/s",
            budget=LINES_A_SECOND,
            note=(
                f"{judging / decoding:.2f} times decode-only time ({count / decoding:,.0f}/s), "
                f"{size:,.0f} bytes a line; 70 % MODIFIED that change no field that is "
                "read, 25 % life cycle, 5 % relabelled"
            ),
        ),
        *(
            Figure(
                what=f"of these, {kind}",
                value=1e6 * seconds,
                unit="µs a line",
            )
            for kind, seconds in _by_kind(fleet, stream, count).items()
        ),
    ]


class PodStream:
    """An endless stream of Pod lines in those proportions; each Pod's own lines are in order."""

    def __init__(self, fleet: Fleet, generator: random.Random) -> None:
        self._random = generator
        self._fleet = fleet
        self._standing = [pod for node in fleet.cluster.nodes for pod in node.pods()]
        self._canaries: set[int] = set()
        self._version = 1
        self._alive: list[Iterator[bytes]] = []

    def line(self) -> bytes:
        chance = self._random.random()
        if chance < UNCHANGED:
            return self.unchanged()
        return self.life_cycle() if chance < UNCHANGED + LIFE_CYCLE else self.relabelled()

    def unchanged(self) -> bytes:
        return self._standing_line(self._random.randrange(len(self._standing)))

    def relabelled(self) -> bytes:
        number = self._random.randrange(len(self._standing))
        self._canaries ^= {number}
        return self._standing_line(number)

    def life_cycle(self) -> bytes:
        """Take the next line of one of the Pods that come and go, many at a time."""
        while True:
            while len(self._alive) < ALIVE:
                self._alive.append(self._life())
            one = self._random.randrange(ALIVE)
            line = next(self._alive[one], None)
            if line is not None:
                return line
            del self._alive[one]

    def _standing_line(self, number: int) -> bytes:
        self._version += 1
        return pods.line(
            "MODIFIED",
            self._standing[number],
            version=self._version,
            track="canary" if number in self._canaries else "stable",
            touched=pods.BEGAN + self._version,
        )

    def _life(self) -> Iterator[bytes]:
        pod = self._fleet.cluster.pod(
            self._random.choice(self._fleet.cluster.nodes), created=self._fleet.now
        )
        yield pods.line("ADDED", pod, stage="created")
        yield pods.line("MODIFIED", pod, stage="bound", version=2)
        yield pods.line("MODIFIED", pod, version=3)
        yield pods.line("MODIFIED", pod, stage="ending", version=4)
        yield pods.line("DELETED", pod, stage="ending", version=5)


def _by_kind(fleet: Fleet, stream: PodStream, count: int) -> dict[str, float]:
    """Return the seconds that a line of each kind takes."""
    lines = count // 5
    kinds = {
        "unchanged": stream.unchanged,
        "life cycle": stream.life_cycle,
        "relabelled": stream.relabelled,
    }
    return {
        kind: Stopwatch().seconds(partial(_judge, fleet, [make() for _ in range(lines)])) / lines
        for kind, make in kinds.items()
    }


def _decode(lines: Sequence[bytes]) -> None:
    for line in lines:
        decode_event("pods", line)


def _judge(fleet: Fleet, lines: Sequence[bytes]) -> None:
    for line in lines:
        fleet.watch("pods", line)
