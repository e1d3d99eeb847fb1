"""Explanations of the recordings: the model of each daemon tells what the judgement holds."""

from pathlib import Path

import pytest

from monitor.commands.timeline import open_timeline

pytestmark = pytest.mark.thorough


TRACES = sorted(Path(__file__).parent.glob("*/trace.jsonl*"))


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.parent.name)
def test_the_daemons_story_ends_as_the_judgement_predicts(trace: Path) -> None:
    _, timeline = open_timeline(trace)
    list(timeline.play())
    pods = {(one.namespace, one.pod) for one in timeline.report().containers}
    explained = [one for pod in sorted(pods) for one in timeline.explain(*pod)]
    assert len(explained) == len(timeline.report().containers)
    assert [
        (container.pod, pair.name, pair.meanings.predicted)
        for container in explained
        for pair in container.policies
        if pair.predicted not in {None, pair.meanings.predicted.attached}
    ] == []
