"""Histories of which a piece was not heard: a source was down, and what it had to say is gone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from msgspec import Struct

from monitor.core.model import Changed, Listed, SourceDown, SourceUp
from tests.core.histories import Heard, stream_of

if TYPE_CHECKING:
    from monitor.core.kubernetes import Object, Resource


class Loss(Struct, frozen=True):
    """`length` observations of a stream, from the `first` on; `returns`: it can be read again."""

    stream: int
    first: int
    length: int
    returns: bool

    def source(self, heard: Sequence[Heard], *, head: int) -> str:
        """The source that was down."""
        names = sorted({stream_of(one) for _, one in heard[head:]} - {"sources"})
        return names[self.stream % len(names)]

    def taken_from(self, heard: Sequence[Heard], *, head: int) -> list[Heard]:
        """What is heard in spite of it; nothing of the first lists is lost."""
        name = self.source(heard, head=head)
        places = [n for n, (_, one) in enumerate(heard) if n >= head and stream_of(one) == name]
        first = self.first % len(places)
        lost = places[first : first + 1 + self.length]
        end = lost[-1] + 1
        kept = [one for n, one in enumerate(heard) if n not in set(lost)]
        falls = (heard[lost[0]][0], SourceDown(name, "stream ended"))
        after = end - len(lost)
        back = _back(name, heard[:end]) if self.returns else []
        return [*kept[: lost[0]], falls, *kept[lost[0] : after], *back, *kept[after:]]


def _back(name: str, heard: Sequence[Heard]) -> list[Heard]:
    """The source can be read again; a resource is listed as it stands then."""
    at = heard[-1][0]
    rises = (at, SourceUp(name, "connected"))
    if not name.startswith("kubernetes/"):
        return [rises]
    objects: dict[str, Object] = {}
    resource: Resource | None = None
    for _, one in heard:
        if isinstance(one, Listed | Changed) and stream_of(one) == name:
            resource = one.resource
            items = one.items if isinstance(one, Listed) else (one.object,)
            objects = {} if isinstance(one, Listed) else objects
            for item in items:
                objects[item.metadata.uid] = item
            if isinstance(one, Changed) and one.type == "DELETED":
                del objects[one.object.metadata.uid]
    assert resource is not None
    return [rises, (at, Listed(resource, tuple(objects.values())))]


LOSSES: Final = st.builds(
    Loss,
    stream=st.integers(0, 11),
    first=st.integers(0, 120),
    length=st.integers(0, 60),
    returns=st.booleans(),
)
