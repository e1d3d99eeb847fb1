"""A view of a node that is kept is the one that a new look would give."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.circumstances import NodeView
from monitor.core.views import Views
from tests.core.histories import STEPS, Life, Step, begun
from tests.core.losses import LOSSES, Loss

pytestmark = pytest.mark.thorough


@settings(max_examples=150, deadline=None, derandomize=True)
@given(release=st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"]), steps=STEPS, loss=LOSSES)
def test_a_kept_view_is_as_good_as_a_new_one(release: str, steps: list[Step], loss: Loss) -> None:
    life = Life(release=release)
    life.live(steps)
    heard = loss.taken_from(life.story.history, head=life.head)
    stale: list[tuple[NodeView, NodeView]] = []
    kept = Views.of

    def compared(views: Views, name: str, *, now: float) -> NodeView:
        view, new = kept(views, name, now=now), views.look(name, now=now)
        if view != new:
            stale.append((view, new))
        return view

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Views, "of", compared)
        play = begun(heard[0][0])
        for one in heard:
            play.hear([one])
            play.core.report(play.now)
        play.advance(life.story.now + 60.0)
        play.core.report(life.story.now + 60.0)
    assert stale == []
