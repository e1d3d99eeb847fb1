"""When a source could not be seen: the intervals in which silence says nothing.

Every source is blind from the start of observation to its first `up`, and from each first `down` to
the next `up`. Instants are receive times.
"""

from collections.abc import Callable, Mapping
from typing import Final

from monitor.core.model import SourceState

OUTAGES_KEPT: Final = 1_000
"""Of one source; of older ones only the sum of their seconds is kept."""


class Source:
    """One source's history; `turned` is called when it becomes blind or sees again."""

    __slots__ = (
        "_ended_seconds",
        "_turned",
        "awaits_list",
        "last_event",
        "name",
        "outages",
        "reason",
        "restarts",
        "since",
        "up",
    )

    def __init__(self, *, name: str, started: float, turned: Callable[[], None]) -> None:
        self.name = name
        self._turned = turned
        self.up = False
        self.since = started
        self.reason = "not seen yet"
        self.outages: list[tuple[float, float]] = []
        self._ended_seconds = 0.0
        self.last_event = 0.0
        self.awaits_list: float | None = None
        self.restarts = 0

    def rise(self, *, at: float, reason: str) -> bool:
        """Note an `up`; return whether that is news."""
        self.reason = reason
        if self.up:
            return False
        self.outages.append((self.since, at))
        self._ended_seconds += at - self.since
        del self.outages[:-OUTAGES_KEPT]
        if self.name.startswith("kubernetes/") and reason != "resumed":
            self.awaits_list = self.since
        self.restarts += 1
        self.up, self.since = True, at
        self._turned()
        return True

    def hear(self, at: float) -> bool:
        """Something came from it; return whether that ended the wait for its list."""
        self.last_event = at
        if self.awaits_list is None:
            return False
        self.awaits_list = None
        self._turned()
        return True

    @property
    def blind_since(self) -> float | None:
        """Since when what it shows may be out of date: down, or up again and not yet listed."""
        return self.awaits_list if self.up else self.since

    def fall(self, *, at: float, reason: str) -> bool:
        """Note a `down`; only the first of several counts."""
        if not self.up:
            return False
        self.up, self.since, self.reason = False, at, reason
        self._turned()
        return True

    def blind_seconds(self, now: float) -> float:
        """How long it could not be seen, all outages together."""
        return self._ended_seconds + (0.0 if self.up else now - self.since)

    def state(self) -> SourceState:
        """What the report says of it."""
        outages: list[tuple[float, float | None]] = [*self.outages]
        if not self.up:
            outages.append((self.since, None))
        return SourceState(
            name=self.name,
            state="up" if self.up else "down",
            reason=self.reason,
            since=self.since,
            outages=tuple(outages),
        )


class Sources:
    """All sources by name; kinds are the part before the slash."""

    def __init__(self, *, started: float) -> None:
        self.started = started
        self.by_name: dict[str, Source] = {}
        self.collections: dict[str, Source] = {}
        """Those of the API server's objects, by resource."""
        self.turns = 0
        """How many times one of them became blind or saw again."""
        self._blind: Mapping[str, float] | None = None

    def get(self, name: str) -> Source:
        """Return the source, blind since the start of observation if it is new."""
        found = self.by_name.get(name)
        if found is None:
            found = Source(name=name, started=self.started, turned=self._note_turn)
            self.by_name[name] = found
            kind, _, resource = name.partition("/")
            if kind == "kubernetes":
                self.collections[resource] = found
            self._note_turn()
        return found

    def of(self, resource: str) -> Source:
        """The source of the API server's objects of a kind."""
        return self.collections.get(resource) or self.get(f"kubernetes/{resource}")

    def blind(self) -> Mapping[str, float]:
        """Since when those of the API server's objects cannot be seen that cannot, by resource.

        The same mapping until one of them turns.
        """
        if self._blind is None:
            self._blind = {
                resource: since
                for resource, source in self.collections.items()
                if (since := source.blind_since) is not None
            }
        return self._blind

    def _note_turn(self) -> None:
        self.turns += 1
        self._blind = None

    def known(self, name: str) -> Source | None:
        """Return the source if anything was ever heard of it."""
        return self.by_name.get(name)
