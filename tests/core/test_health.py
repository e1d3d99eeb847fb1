"""What a daemon's health service shows where its output does not (dossier 1.3, F3)."""

from typing import TypeAlias

import pytest

from monitor.core.coverage import Settings
from monitor.core.health import Answers
from monitor.core.model import HealthAnswered, Interval
from tests.core.stories import PodOf, Story, covered, listening, ready


def unread(*, settings: Settings | None = None) -> tuple[Story, PodOf]:
    """A daemon and a container to be protected start at second 0; the daemon is not read."""
    return _started(listening(text=False, feeds=False, settings=settings))


def starting() -> tuple[Story, PodOf]:
    """The same, but the daemon's output is read from its first line on."""
    story, pod = _started(listening())
    story.begin()
    return story, pod


def _started(story: Story) -> tuple[Story, PodOf]:
    story.cluster_policy()
    story.until(0)
    pod = story.pod()
    story.daemon()
    return story, pod


def asked(story: Story, *, serving: bool, until: float, every: float = 5.0) -> None:
    """The daemon is asked again and again, and always answers so."""
    while story.second < until:
        story.serves(serving=serving)
        story.until(min(until, story.second + every))


# --- starting -----------------------------------------------------------------------------------


def test_a_daemon_that_is_starting_is_a_gap_after_grace() -> None:
    story, pod = unread()
    asked(story, serving=False, until=9.9)
    assert story.verdict(pod) == "pending"
    story.until(12)
    story.serves(serving=False)
    assert story.verdict(pod) == "gap daemon-starting"
    assert story.gaps() == ["open gap daemon-starting shop/cart/app"]
    assert story.incidents() == ["open daemon-starting 1"]


def test_a_daemon_that_was_starting_within_grace_may_be_ready_after_it() -> None:
    """Else every start that is asked about in its middle would announce a gap."""
    story, pod = unread()
    asked(story, serving=False, until=9.9)
    story.until(14)
    assert story.verdict(pod) == "unknown no-evidence-source"
    story.serves()
    assert story.gaps() == []


def test_without_an_answer_nothing_is_known_of_it() -> None:
    story, pod = unread()
    story.until(30)
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_it_goes_on_starting_for_as_long_as_it_says_so() -> None:
    story, pod = unread()
    asked(story, serving=False, until=600)
    assert story.verdict(pod) == "gap daemon-starting"
    assert story.report().nodes[0].cause == "daemon-starting"


@pytest.mark.parametrize("start_assumed", [60.0, 0.0, 300.0])
def test_an_answer_says_nothing_any_more_when_it_was_missed_three_times(
    start_assumed: float,
) -> None:
    story, pod = unread(settings=Settings(cluster="tale", start_assumed=start_assumed))
    asked(story, serving=False, until=200)
    last = 195
    story.until(last + 19.9)
    assert story.verdict(pod) == "gap daemon-starting"
    story.until(last + 31)
    assert story.verdict(pod) == "unknown no-evidence-source"
    assert story.gaps() == ["closed gap daemon-starting shop/cart/app"]


def test_a_daemon_that_is_starting_has_not_yet_healed_what_was_lost() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    story.down("text/node-a")
    story.kill()
    story.wait(2)
    story.revive()
    story.wait(30)
    assert story.verdict(pod) == "unknown source-outage"
    story.serves(serving=False)
    assert story.verdict(pod) == "lost daemon-down"
    story.serves()
    assert story.verdict(pod) == "unknown source-outage"


def test_a_host_policy_waits_for_a_daemon_that_is_starting() -> None:
    story = listening(text=False, feeds=False)
    policy = story.host_policy()
    story.until(0)
    story.daemon()
    asked(story, serving=False, until=20)
    assert story.host(policy) == "gap daemon-starting"


def test_a_host_policy_is_not_known_to_wait_for_a_daemon_that_may_be_ready_by_now() -> None:
    story = listening(text=False, feeds=False)
    policy = story.host_policy()
    story.until(0)
    story.daemon()
    asked(story, serving=False, until=9.9)
    story.until(14)
    assert story.host(policy) == "unknown no-evidence-source"


# --- initialised --------------------------------------------------------------------------------


def test_a_daemon_that_serves_has_initialised() -> None:
    story, pod = unread()
    asked(story, serving=False, until=14)
    assert story.report().nodes[0].cause == "daemon-starting"
    story.serves()
    assert story.report().nodes[0].cause is None
    assert story.gaps() == ["closed gap daemon-starting shop/cart/app"]
    assert story.verdict(pod) == "pending"


def test_serving_covers_nothing() -> None:
    story, pod = unread()
    asked(story, serving=True, until=600)
    assert story.verdict(pod) == "unknown no-evidence-source"
    assert story.gaps() == []


def test_a_daemon_found_serving_long_after_its_start_is_not_taken_for_newly_ready() -> None:
    story, pod = unread()
    story.until(600)
    assert story.verdict(pod) == "unknown no-evidence-source"
    story.serves()
    assert story.verdict(pod) == "unknown no-evidence-source"


Heard: TypeAlias = tuple[float, bool]  # at, whether it serves


@pytest.mark.parametrize(
    ("heard", "ready"),
    [
        ([(12.0, True)], (0.0, 12.0)),
        ([(5.0, False), (12.0, True)], (5.0, 12.0)),
        ([(5.0, False), (8.0, False), (12.0, True), (30.0, True)], (8.0, 12.0)),
        ([(600.0, True)], (0.0, 60.0)),
        ([(90.0, False), (95.0, True)], (90.0, 95.0)),
        ([(12.0, True), (20.0, False)], (0.0, 12.0)),
        ([(5.0, False)], (60.0, 60.0)),
        ([(55.0, False)], (75.0, 75.0)),
    ],
)
def test_when_it_had_initialised_lies_between_the_answers(
    heard: list[Heard], ready: Interval
) -> None:
    for order in (heard, heard[::-1], heard + heard):
        answers = Answers()
        for at, serving in order:
            answers.take(serving=serving, at=at)
        assert answers.ready(began=0.0, assumed=60.0) == ready


# --- what it must not do ------------------------------------------------------------------------


@pytest.mark.parametrize("serving", [True, False])
def test_where_the_output_is_read_whole_it_alone_counts(*, serving: bool) -> None:
    story, pod = starting()
    story.serves(serving=serving)
    story.until(30)
    assert story.verdict(pod) == "gap daemon-starting"
    story.boot()
    story.write(pod)
    story.serves(serving=not serving)
    story.until(60)
    assert story.verdict(pod) == "covered applied"


def test_a_start_that_is_read_needs_no_answer_to_be_a_gap() -> None:
    story, pod = starting()
    story.until(8)
    story.serves(serving=False)
    story.until(12)
    assert story.verdict(pod) == "gap daemon-starting"


def test_a_daemon_that_serves_and_handles_pods_became_ready_in_the_hole_before() -> None:
    story, pod = starting()
    story.down("text/node-a")
    story.until(5)
    story.serves()
    story.up("text/node-a")
    story.learn(*story.policies)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_a_daemon_that_was_read_handling_pods_has_started_whatever_it_answers() -> None:
    story, pod = unread()
    story.until(5)
    story.serves(serving=False)
    story.until(20)
    story.up("text/node-a")
    story.learn(*story.policies)
    story.write(pod)
    story.serves(serving=False)
    assert story.verdict(pod) == "covered applied"


def test_so_has_one_whose_output_has_a_hole_where_it_became_ready() -> None:
    story, pod = starting()
    story.down("text/node-a")
    asked(story, serving=False, until=19)
    assert story.verdict(pod) == "gap daemon-starting"
    story.up("text/node-a")
    story.learn(*story.policies)
    story.write(pod)
    story.until(61)
    story.serves(serving=False)
    assert story.verdict(pod) == "covered applied"


def test_a_daemon_whose_messages_are_heard_has_started_whatever_it_answers() -> None:
    story, pod = unread()
    asked(story, serving=False, until=19)
    assert story.verdict(pod) == "gap daemon-starting"
    story.message("Detected a Security Policy (added/shop/another)")
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_an_effect_proves_more_than_an_answer() -> None:
    story, pod = unread()
    story.until(20)
    story.unheard.discard("alerts/relay")
    story.alert(pod)
    story.serves(serving=False)
    assert story.verdict(pod) == "covered proven"


def test_an_answer_of_an_earlier_incarnation_says_nothing_of_its_successor() -> None:
    story, pod = unread()
    story.until(5)
    story.serves()
    story.kill()
    story.wait(2)
    story.revive()
    story.wait(2)
    assert story.report().nodes[0].cause == "daemon-starting"
    story.wait(20)
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_an_answer_from_before_the_containers_start_is_another_ones() -> None:
    story = listening(text=False, feeds=False)
    story.cluster_policy()
    pod = story.pod()
    story.until(0)
    daemon = story.daemon()
    early = HealthAnswered(node="node-a", pod_uid=daemon.pod.uid, restart=0, serving=False)
    story.observe(early, at=story.now - 5)
    story.until(20)
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_an_answer_that_is_told_again_changes_nothing() -> None:
    story, pod = unread()
    story.until(5)
    story.serves(serving=False)
    heard = story.history[-1]
    story.until(20)
    story.serves()
    story.observe(heard[1], at=heard[0])
    assert story.report().nodes[0].cause is None
    assert story.verdict(pod) == "pending"


def test_answers_of_daemons_long_gone_are_forgotten() -> None:
    story, pod = unread()
    story.until(12)
    story.serves(serving=False)
    assert story.verdict(pod) == "gap daemon-starting"
    for number in range(20):
        gone = HealthAnswered(node="node-a", pod_uid=f"gone-{number}", restart=0, serving=True)
        story.observe(gone)
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_answers_are_counted_and_their_source_is_named() -> None:
    story, _ = unread()
    story.up("health/daemons")
    story.serves(serving=False)
    numbers = story.core.statistics(story.now)
    assert numbers.observations["HealthAnswered"] == 1
    assert numbers.sources["health", "up"] == 1
    assert numbers.source_last_event["health"] == story.now
