"""The feeds of the daemons themselves, without a relay in between."""

from random import Random

from monitor.clock import Clock
from monitor.sources import Intake
from monitor.sources.crew import Crew
from monitor.sources.grpc import FeedSource, Peer, Tap


class DaemonFeeds:
    """Observes the feeds of the daemons it is told to follow, each on its own connection."""

    name = "feeds/daemons"

    def __init__(
        self, *, intake: Intake, clock: Clock, random: Random, tap: Tap | None = None
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._random = random
        self._tap = tap
        self._crew = Crew()
        self._sources: dict[Peer, FeedSource] = {}

    def follow(self, peers: frozenset[Peer]) -> None:
        """Observe these daemons from now on, and no others."""
        kept = {peer: source for peer, source in self._sources.items() if peer in peers}
        left = [source for peer, source in self._sources.items() if peer not in peers]
        for peer in sorted(peers - kept.keys(), key=lambda peer: (peer.node, peer.address)):
            kept[peer] = FeedSource(
                peer,
                intake=self._intake,
                clock=self._clock,
                random=self._random,
                tap=self._tap,
            )
        self._sources = kept
        self._crew.assign({f"{peer.node} {peer.address}": kept[peer] for peer in kept})
        for source in left:
            source.leave("no longer followed")

    async def run(self) -> None:
        await self._crew.run()
