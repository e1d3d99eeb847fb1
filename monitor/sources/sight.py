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
