"""What is worth knowing and is no gap: found in the world as it is, announced when it changes.

Findings are looked for anew each time, from the facts alone, so their order of arrival does not
matter; the ledger remembers only what was announced.
"""

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from monitor.core.causes import FINDINGS
from monitor.core.findings import excess, suspicion
from monitor.core.findings.found import Found
from monitor.core.findings.intent import Intents
from monitor.core.identity import digest
from monitor.core.model import Finding
from monitor.core.world import World


class Findings:
    """All findings: what stands now, and what was announced of it."""

    def __init__(self, *, cluster: str, world: World) -> None:
        self._cluster = cluster
        self._world = world
        self._intents = Intents()
        self._announced: dict[str, Finding] = {}

    def standing(self, *, now: float) -> tuple[Finding, ...]:
        """What is found at `now`, by code and subject."""
        found = [
            *self._intents.findings(self._world),
            *excess.findings(self._world, now=now),
            *suspicion.findings(self._world),
        ]
        return tuple(sorted(map(self._finding, found), key=lambda f: (f.code, f.subject, f.id)))

    def _finding(self, found: Found) -> Finding:
        kind = FINDINGS[found.code]
        return Finding(
            id=digest("finding", self._cluster, found.code, found.subject),
            state="open",
            code=found.code,
            kind=kind.kind,
            subject=found.subject,
            since=found.since,
            detail=found.detail,
            remedy=kind.remedy_on(found.release),
        )

    def settle(self, *, now: float) -> Iterator[Finding]:
        """Yield what differs from what was announced."""
        standing = {finding.id: finding for finding in self.standing(now=now)}
        before, self._announced = self._announced, standing
        yield from _ended(before, standing)
        yield from (one for one in standing.values() if before.get(one.id) != one)


def _ended(before: dict[str, Finding], standing: Collection[str]) -> Iterator[Finding]:
    for identity, finding in before.items():
        if identity not in standing:
            yield replace(finding, state="closed")


def by_code(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each code."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.code] = counts.get(finding.code, 0) + 1
    return counts
