"""Explanations as tests compare them: every member in words, times in seconds of the story."""

from collections.abc import Iterator

from monitor.core.explanation import (
    ContainerExplanation,
    Meanings,
    NodeExplanation,
    PairExplanation,
    Step,
)
from monitor.core.intent import Answer
from monitor.core.model import Interval
from tests.core.stories import ZERO, PodOf, Story

YES = {True: "yes", False: "no", None: "open"}
SIGNS = {"known": "+", "known-not": "-", "unread": "?"}


def explained(story: Story, pod: PodOf, container: str = "app") -> list[str]:
    """The whole explanation of a container of the Pod, a line for each thing that it says."""
    story.until(story.second)
    (found,) = story.core.explain(pod.namespace, pod.name, container, at=story.now)
    return list(_lines(found))


def _lines(found: ContainerExplanation) -> Iterator[str]:
    name = f"{found.namespace}/{found.pod}/{found.container} on {found.node}"
    cause = f" {found.cause}" if found.cause else ""
    yield f"{name}: {found.verdict}{cause}, exposed {_span(found.exposure_seconds)}"
    for pair in found.policies:
        yield from _pair(pair)
    for other in found.others:
        yield f"other {other.kind} {other.namespace}/{other.name}@{other.generation}: {other.text}"
        yield from _meanings(other.meanings)
    yield from (f"gap {one.state} {one.verdict} {one.cause}" for one in found.gaps)
    yield from (f"incident {one.state} {one.cause} {one.scope}" for one in found.incidents)


def explained_node(story: Story, name: str = "node-a") -> list[str]:
    """The whole explanation of a node, a line for each thing that it says."""
    story.until(story.second)
    found = story.core.explain_node(name, at=story.now)
    assert found is not None
    return list(_of_node(found))


def _of_node(found: NodeExplanation) -> Iterator[str]:
    cause = f" {found.cause}, {found.certainty}, {found.runbook}" if found.cause else ""
    since = f" since {_when(found.since)}" if found.since else ""
    yield f"{found.node}: {found.verdict}{cause}"
    yield f"daemon {found.release} {found.enforcer} {found.phase}{since}"
    for pair in found.policies:
        yield from _pair(pair)
    for other in found.others:
        yield f"other {other.kind} {other.name}@{other.generation}: {other.text}"
        yield from _meanings(other.meanings)


def _pair(pair: PairExplanation) -> Iterator[str]:
    reason = pair.grade or pair.cause or ""
    since = f" since {_when(pair.since)}" if pair.since else ""
    revision = f"{pair.kind} {pair.namespace}/{pair.name}@{pair.generation}"
    yield f"{revision}: {pair.verdict} {reason}{since}"
    yield from _meanings(pair.meanings)
    yield from map(_step, pair.trail)
    yield from (f"reason {one.cause}: {one.evidence}" for one in pair.reasons)
    if pair.certainty is not None:
        yield f"{pair.certainty}, {pair.runbook}"


def _meanings(meanings: Meanings) -> Iterator[str]:
    yield f"intended {_answer(meanings.intended)}"
    yield f"expected {_answer(meanings.expected)}"
    yield f"predicted {YES[meanings.predicted.attached]} on {meanings.predicted.release}"
    for told in meanings.predicted.story:
        yield f"  {_when(told.at)} {told.text}" if told.at else f"  {told.text}"


def _answer(answer: Answer) -> str:
    return f"{YES[answer.selected]}: {'; '.join(answer.reasons)}"


def _step(step: Step) -> str:
    at = f" at {_when(step.at)}" if step.at else ""
    decides = " = decides" if step.decides else ""
    return f"{SIGNS[step.knowledge]} {step.question}: {step.text} ({step.source}){at}{decides}"


def _when(interval: Interval) -> str:
    """The latest that is possible: the earliest is mostly a second before."""
    return f"{interval[1] - ZERO:g}"


def _span(interval: Interval) -> str:
    return f"{interval[0]:g} to {interval[1]:g}"
