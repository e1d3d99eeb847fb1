"""A cluster at work, told to the judgement as sources would: by watch lines and lines of text."""

import gc
import json
from collections.abc import Sequence

from monitor.app import GC_THRESHOLDS
from monitor.core.coverage import Coverage, Settings
from monitor.core.kubernetes import TYPES, Resource
from monitor.core.model import (
    Announcement,
    Changed,
    DaemonLine,
    Listed,
    Observation,
    SourceUp,
)
from monitor.wire.daemon_text import read_line
from monitor.wire.kubernetes import decode_event, decode_list
from tests.bench import pods
from tests.bench.cluster import Cluster, Item, Node, Scale

LINE_SECONDS = 2e-6


class Fleet:
    """The cluster and the judgement of it; `now` moves on with each observation."""

    def __init__(self, scale: Scale) -> None:
        self.cluster = Cluster(scale)
        self.now = self.cluster.began
        self.coverage = Coverage(settings=Settings(cluster="bench"), started=self.now)

    def build(self) -> None:
        """Let the cluster be seen from its objects to the last container's rules."""
        for resource in TYPES:
            self.observe(SourceUp(f"kubernetes/{resource}"))
        for resource, items in {**self.cluster.objects(), "pods": []}.items():
            page = decode_list(resource, _page(items))
            self.observe(Listed(resource=resource, items=page.items))
        for node in self.cluster.nodes:
            self.watch("pods", node.daemon.line())
        for node in self.cluster.nodes:
            for pod in node.pods():
                self.watch("pods", pods.line("ADDED", pod))
        for node in self.cluster.nodes:
            self.observe(SourceUp(f"text/{node.name}"))
            for one in self.cluster.start_of(node):
                self.observe(read(node, node.journal.line(one, at=self.now)))

    def observe(self, observation: Observation) -> Sequence[Announcement]:
        self.now += LINE_SECONDS
        return self.coverage.observe(observation, self.now)

    def watch(self, resource: Resource, line: bytes) -> Sequence[Announcement]:
        """Take a line of a watch."""
        event = decode_event(resource, line)
        assert isinstance(event, Changed)
        return self.observe(event)

    def verdicts(self) -> dict[str, int]:
        """Return how many containers have which verdict."""
        return self.coverage.statistics(self.now).coverage_containers


def settled(scale: Scale) -> Fleet:
    """Return a cluster with every container covered, in a process set up as the service is."""
    fleet = Fleet(scale)
    fleet.build()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return fleet


def read(node: Node, line: bytes) -> DaemonLine:
    """Take a line of a node's daemon as its source does."""
    return read_line(
        line,
        node=node.name,
        pod=node.daemon_label,
        pod_uid=node.daemon_uid,
        restart=0,
        container="kubearmor",
    )


def _page(items: list[Item]) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
