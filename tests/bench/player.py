"""Plays Pods that come and go, each for some seconds, at a steady rate."""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Final, TypeAlias

from tests.bench import pods, text
from tests.bench.cluster import Node
from tests.bench.pods import EventType, Pod, Stage
from tests.bench.scripted import ScriptedCluster

TURN_SECONDS: Final = 0.01
BOUND, ANNOUNCED, RUNNING, WRITTEN, ENDING, GONE = 0.05, 0.4, 1.0, 1.05, 5.0, 6.0
SEEN: Final = text.STARTED[:5]
PROTECTED: Final = text.STARTED[5:]
Step: TypeAlias = tuple[float, int, Callable[[], None]]
WATCH_LINES, TEXT_LINES = 5, len(text.STARTED) + len(text.ENDED)


class Player:
    """`running` has, by the Pod's uid, when the line that says so was sent."""

    def __init__(self, scripted: ScriptedCluster, *, rate: float) -> None:
        self.running: dict[str, float] = {}
        self.played = 0
        self.late = 0.0
        self._scripted = scripted
        self._rate = rate
        self._due: list[Step] = []
        self._order = count()
        self._version = count(2)

    async def play(self, seconds: float) -> None:
        """Begin Pods for so long, and go on until the last of them is gone."""
        began = time.time()
        nodes = self._scripted.cluster.nodes
        while (now := time.time()) < began + seconds or self._due:
            while self.played < min(now - began, seconds) * self._rate:
                created = began + self.played / self._rate
                self._schedule(nodes[self.played % len(nodes)], created)
                self.played += 1
            while self._due and self._due[0][0] <= now:
                due, _, act = heapq.heappop(self._due)
                self.late = max(self.late, now - due)
                act()
            await asyncio.sleep(TURN_SECONDS)

    def _schedule(self, node: Node, created: float) -> None:
        pod = self._scripted.cluster.pod(node, created=created)
        for after, act in (
            (0, lambda: self._tell(pod, "ADDED", "created")),
            (BOUND, lambda: self._tell(pod, "MODIFIED", "bound")),
            (ANNOUNCED, lambda: self._print(node, *text.of_pod(SEEN, pod))),
            (RUNNING, lambda: self._tell(pod, "MODIFIED", "running")),
            (WRITTEN, lambda: self._print(node, *text.of_pod(PROTECTED, pod))),
            (ENDING, lambda: self._tell(pod, "MODIFIED", "ending")),
            (GONE, lambda: self._print(node, *text.of_pod(text.ENDED, pod))),
            (GONE, lambda: self._tell(pod, "DELETED", "ending")),
        ):
            heapq.heappush(self._due, (created + after, next(self._order), act))

    def _tell(self, pod: Pod, kind: EventType, stage: Stage) -> None:
        line = pods.line(kind, pod, stage=stage, version=next(self._version), touched=time.time())
        if stage == "running":
            self.running[pod.uid] = time.time()
        self._scripted.pods.send(line)

    def _print(self, node: Node, *texts: str) -> None:
        self._scripted.print(node, *texts, at=time.time())
