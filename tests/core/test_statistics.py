"""The numbers say what the report says."""

from collections import Counter

import pytest

from monitor.core.model import CoverageState, Gap, Report
from tests.core.stories import BLOCK_YUM, Story, covered, listening, ready


def quiet() -> Story:
    return listening()


def mixed() -> Story:
    """One container of nearly every verdict."""
    story = ready(release="v1.5.7", nodes=["node-a", "node-b"])
    story.learn(story.cluster_policy(not_in=[]))
    covered(story, name="covered")
    lost = covered(story, name="lost")
    story.wait(20)
    story.strip(lost)
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    story.pod("gap", namespace="fresh")
    story.pod("exempt", annotations={"kubearmor-policy": "audited"})
    story.pod("unsupported", spec={"hostPID": True})
    story.down("text/node-b")
    story.pod("unknown", node="node-b")
    story.wait(30)
    story.pod("pending")
    return story


def healed() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(15)
    story.write(pod, ago=12)
    other = story.pod("other")
    story.register(other)
    story.wait(15)
    story.write(other)
    story.wait(5)
    story.kill()
    return story


def edited() -> Story:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.edit(policy, rules=BLOCK_YUM)
    story.wait(20)
    story.learn(policy, action="modified")
    story.intend(pod)
    return story


def terminating() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.terminate(pod)
    story.unregister(pod)
    story.wait(3)
    return story


STORIES = (quiet, mixed, healed, edited, terminating)


def told(tell: object) -> tuple[Story, Report]:
    assert callable(tell)
    story = tell()
    assert isinstance(story, Story)
    return story, story.report()


@pytest.mark.parametrize("tell", STORIES)
def test_containers_are_counted_by_verdict(tell: object) -> None:
    story, report = told(tell)
    numbers = story.core.statistics(story.now)
    assert numbers.coverage_containers == Counter(c.verdict for c in report.containers)
    assert numbers.containers == len(report.containers)
    assert numbers.pairs == sum(p.expected for c in report.containers for p in c.policies)


@pytest.mark.parametrize("tell", STORIES)
def test_open_gaps_and_incidents_are_counted_by_cause(tell: object) -> None:
    story, report = told(tell)
    numbers = story.core.statistics(story.now)
    assert numbers.gaps_open == Counter(g.cause for g in report.gaps if g.state == "open")
    assert numbers.incidents_open == Counter(i.cause for i in report.incidents if i.state == "open")


@pytest.mark.parametrize("tell", STORIES)
def test_every_gap_that_was_ever_opened_is_in_the_totals(tell: object) -> None:
    story, report = told(tell)
    numbers = story.core.statistics(story.now)
    assert sum(numbers.gaps_total.values()) == len(report.gaps)
    assert numbers.gaps_withdrawn == sum(g.state == "withdrawn" for g in report.gaps)


@pytest.mark.parametrize("tell", STORIES)
def test_every_pair_that_is_not_in_force_stands_in_an_open_gap(tell: object) -> None:
    _, report = told(tell)
    pairs = {
        (c.container_id, p.kind, p.namespace, p.name)
        for c in report.containers
        for p in c.policies
        if p.verdict in {"gap", "lost"}
    }
    gaps = {
        (g.container_id, p.kind, p.namespace, p.name)
        for g in report.gaps
        if g.state == "open"
        for p in g.policies
    }
    assert gaps == pairs


@pytest.mark.parametrize("tell", STORIES)
def test_an_open_incident_holds_the_containers_of_its_open_gaps(tell: object) -> None:
    _, report = told(tell)
    members: dict[str, set[str]] = {}
    for gap in report.gaps:
        if gap.state == "open":
            members.setdefault(gap.incident, set()).add(gap.container_id)
    assert {i.id: i.containers for i in report.incidents if i.state == "open"} == {
        identity: len(containers) for identity, containers in members.items()
    }


@pytest.mark.parametrize("tell", STORIES)
def test_the_latest_announcement_of_a_container_is_what_the_report_says(tell: object) -> None:
    story, report = told(tell)
    latest = {c.container_id: c for c in story.announced if isinstance(c, CoverageState)}
    said = {
        c.container_id: (c.verdict, c.cause)
        for c in report.containers
        if c.verdict != "unpoliced" or c.container_id in latest
    }
    assert {
        identity: (latest[identity].verdict, latest[identity].cause)
        for identity in said
        if identity in latest
    } == said


@pytest.mark.parametrize("tell", STORIES)
def test_the_latest_announcement_of_a_gap_is_what_the_report_says(tell: object) -> None:
    story, report = told(tell)
    latest = {gap.id: gap for gap in story.announced if isinstance(gap, Gap)}
    assert latest == {gap.id: gap for gap in report.gaps}


def test_sources_are_counted_by_kind_and_state() -> None:
    story = ready(nodes=["node-a", "node-b"])
    story.down("text/node-b", "alerts/relay")
    states = story.core.statistics(story.now).sources
    assert states["text", "up"] == 1
    assert states["text", "down"] == 1
    assert states["kubernetes", "up"] == 9
    assert states["alerts", "down"] == 1


def test_outages_are_summed_while_they_last() -> None:
    story = ready()
    before = story.core.statistics(story.now).source_outage_seconds["alerts"]
    story.down("alerts/relay")
    story.wait(30)
    assert story.core.statistics(story.now).source_outage_seconds["alerts"] == before + 30
    story.up("alerts/relay")
    story.wait(30)
    assert story.core.statistics(story.now).source_outage_seconds["alerts"] == before + 30


def test_the_last_event_of_each_kind_of_source_is_known() -> None:
    story = ready()
    story.wait(10)
    story.pod()
    story.wait(10)
    last = story.core.statistics(story.now).source_last_event
    assert last["kubernetes"] == story.now - 10


def test_lines_that_nobody_has_described_are_counted_by_release() -> None:
    story = ready(release="v1.6.4")
    story.say("Something entirely new")
    story.say("Something entirely new again")
    assert story.core.statistics(story.now).unrecognised_lines == {"v1.6.4": 2}


def test_observations_are_counted_by_kind() -> None:
    story = listening(feeds=False)
    counted = story.core.statistics(story.now).observations
    assert counted == Counter(type(one).__name__ for _, one in story.history)


def test_an_alert_from_an_unknown_container_is_counted_and_changes_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    before = story.container(pod)
    story.alert(pod, ContainerID="f" * 64)
    assert story.container(pod) == before
    assert story.core.statistics(story.now).observations["Alert"] == 1
