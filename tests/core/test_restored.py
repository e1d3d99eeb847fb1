"""A core that is kept, restored and told what comes next goes on as if nothing had happened."""

import copyreg
import io
import pickle
from typing import Final
from weakref import WeakValueDictionary

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.coverage import Coverage
from tests.core.histories import ROLLING_STEPS, Life, Play, Step, begun
from tests.core.stories import covered, ready

pytestmark = pytest.mark.thorough


RELEASES: Final = st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"])
TURNS: Final = st.integers(0, 400)
PAUSES: Final = st.sampled_from([0.0, 3.0, 11.0, 65.0])
AFTERWARDS: Final = 600.0


def kept(core: Coverage) -> bytes:
    """All that it holds."""
    written = io.BytesIO()
    pickler = pickle.Pickler(written)
    pickler.dispatch_table = copyreg.dispatch_table | {
        WeakValueDictionary: lambda held: (WeakValueDictionary, (dict(held),))
    }
    pickler.dump(core)
    return written.getvalue()


def restored(core: Coverage) -> Coverage:
    """The same, out of nothing but bytes."""
    found = pickle.loads(kept(core))  # noqa: S301  # of our own making
    assert isinstance(found, Coverage)
    return found


@settings(max_examples=600, deadline=None, derandomize=True)
@given(release=RELEASES, steps=ROLLING_STEPS, turn=TURNS, pause=PAUSES)
def test_a_restored_core_goes_on_as_the_one_that_was_kept(
    release: str, steps: list[Step], turn: int, pause: float
) -> None:
    life = Life(release=release, deployed=True)
    life.live(steps)
    life.story.wait(AFTERWARDS)
    heard, until = life.story.history, life.story.now
    place = min(turn, len(heard))
    usual = begun(heard[0][0])
    usual.hear(heard[:place])
    usual.advance(min(usual.now + pause, heard[place][0] if place < len(heard) else until))
    usual.announced.clear()
    other = Play(restored(usual.core), now=usual.now)
    assert other.core.next_deadline() == usual.core.next_deadline()
    for play in (usual, other):
        play.hear(heard[place:])
        play.advance(until)
    assert other.announced == usual.announced
    assert other.core.report(until) == usual.core.report(until) == life.story.report()
    assert other.core.statistics(until) == usual.core.statistics(until)


def test_what_is_kept_of_a_policy_that_is_touched_again_and_again_has_an_end() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.keep_touching(story.policies[0], pod, times=700)
    before = len(kept(story.core))
    story.keep_touching(story.policies[0], pod, times=700)
    assert len(kept(story.core)) == pytest.approx(before, rel=0.01)
