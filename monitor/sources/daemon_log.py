"""The daemons' text: the output of every KubeArmor daemon, followed through pods/log.

One source for each node, `text/NODE`, reads that node's daemons one after the other as far as the
living need not wait for the dead.
"""

import asyncio
from random import Random

from monitor.clock import Clock
from monitor.sources import Intake
from monitor.sources.api_server import ApiServer
from monitor.sources.container_log import DaemonTarget
from monitor.sources.crew import Crew
from monitor.sources.incarnation_log import Means
from monitor.sources.node_log import NodeLog

OPENINGS = 24
OTHER_OPENINGS = 8
"""Together 32, which are not too many for an API server that hands each on to a kubelet."""

__all__ = ["DaemonLog", "DaemonTarget"]


class DaemonLog:
    """Observes the text of all daemons that it is told to follow."""

    name = "text"

    def __init__(self, *, server: ApiServer, intake: Intake, clock: Clock, random: Random) -> None:
        self._means = Means(
            server=server,
            intake=intake,
            clock=clock,
            random=random,
            openings=asyncio.Semaphore(OPENINGS),
            other_openings=asyncio.Semaphore(OTHER_OPENINGS),
        )
        self._crew = Crew()
        self._nodes: dict[str, NodeLog] = {}

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes whose daemons are read, or read to their end."""
        return frozenset(self._nodes)

    def follow(self, targets: frozenset[DaemonTarget]) -> None:
        """Read these containers from now on; what is left out is read to its end."""
        wanted: dict[str, list[DaemonTarget]] = {node: [] for node in self._nodes}
        for target in targets:
            wanted.setdefault(target.node, []).append(target)
        for node, of_node in wanted.items():
            if node not in self._nodes:
                self._nodes[node] = NodeLog(node, means=self._means)
            self._nodes[node].want(of_node)
        self._nodes = {
            node: log for node, log in self._nodes.items() if wanted[node] or not log.idle
        }
        self._crew.assign(self._nodes)

    async def run(self) -> None:
        await self._crew.run()
