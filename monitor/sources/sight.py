"""What has been said of a source: up or down, and why."""

from monitor.core.model import SourceDown, SourceUp


class Sight:
    """Says of one source only what is new; a source begins unseen, neither up nor down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._said: SourceUp | SourceDown | None = None

    @property
    def is_up(self) -> bool:
        return isinstance(self._said, SourceUp)

    @property
    def is_down(self) -> bool:
        return isinstance(self._said, SourceDown)

    def up(self, reason: str) -> list[SourceUp | SourceDown]:
        """Return what is to be delivered now that the source can be read."""
        return self._say(SourceUp(self.name, reason))

    def down(self, reason: str) -> list[SourceUp | SourceDown]:
        """Return what is to be delivered now that the source cannot be read."""
        return self._say(SourceDown(self.name, reason))

    def _say(self, state: SourceUp | SourceDown) -> list[SourceUp | SourceDown]:
        if state == self._said:
            return []
        self._said = state
        return [state]


class Voice:
    """The part in a sight that has one of several who read for the same source, in turn or beside.

    One that is silent is not asked whether the source can be read.
    """

    def __init__(self, sight: Sight, *, silent: bool) -> None:
        self._sight = sight
        self.silent = silent

    @property
    def is_up(self) -> bool:
        return self.silent or self._sight.is_up

    def up(self, reason: str) -> list[SourceUp | SourceDown]:
        return [] if self.silent else self._sight.up(reason)

    def down(self, reason: str) -> list[SourceUp | SourceDown]:
        return [] if self.silent else self._sight.down(reason)
