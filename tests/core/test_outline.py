"""The outline leaves out of the report only what costs: the pairs of containers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.model import Report
from tests.core.histories import STEPS, Life, Step


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    release=st.sampled_from(["v1.5.7", "v1.6.4", "v1.7.4"]),
    steps=STEPS,
    wait=st.sampled_from([0.0, 1.0, 600.0]),
)
def test_the_outline_with_each_container_is_the_report(
    release: str, steps: list[Step], wait: float
) -> None:
    life = Life(release=release)
    life.live(steps)
    life.story.wait(wait)
    core, now = life.story.core, life.story.now
    outline = core.outline(now)
    containers = [core.container(one.container_id, at=now) for one in outline.containers]
    assert [(one.verdict, one.pod_uid, one.container) for one in outline.containers] == [
        (one.verdict, one.pod_uid, one.container) for one in containers if one is not None
    ]
    assert core.report(now) == Report(
        at=outline.at,
        cluster=outline.cluster,
        containers=tuple(one for one in containers if one is not None),
        nodes=outline.nodes,
        gaps=outline.gaps,
        incidents=outline.incidents,
        findings=outline.findings,
        sources=outline.sources,
    )


def test_a_container_that_is_not_running_is_not_shown() -> None:
    story = Life(release="v1.7.4").story
    assert story.core.container("cafe", at=story.now) is None
