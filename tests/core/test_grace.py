"""How long a missing proof is waited for (design, section 3: grace)."""

import pytest

from monitor.core.coverage import Settings
from tests.core.stories import BLOCK_YUM, PodOf, Story, covered, listening, ready


def waiting(settings: Settings | None = None) -> tuple[Story, PodOf]:
    """A container that its daemon handled and wrote nothing for."""
    story = ready(settings=settings)
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    return story, pod


def test_grace_is_ten_seconds() -> None:
    story, pod = waiting()
    story.until(9.99)
    assert story.verdict(pod) == "pending"
    story.until(10.01)
    assert story.pair(pod).verdict == "gap"


@pytest.mark.parametrize("grace", [1.0, 30.0])
def test_grace_is_a_setting(grace: float) -> None:
    story, pod = waiting(Settings(cluster="tale", grace=grace))
    story.until(grace - 0.01)
    assert story.verdict(pod) == "pending"
    story.until(grace + 0.01)
    assert story.pair(pod).verdict == "gap"


def test_nothing_is_announced_within_grace() -> None:
    story, _ = waiting()
    story.until(9.99)
    assert story.gaps() == []
    story.until(10.01)
    assert len(story.gaps()) == 1


def test_grace_runs_anew_from_a_change_of_the_policy() -> None:
    story, pod = waiting()
    story.until(8)
    story.edit(story.policies[0])
    story.until(17.9)
    assert story.verdict(pod) == "pending"
    story.until(18.1)
    assert story.pair(pod).verdict == "gap"


def test_grace_runs_from_the_change_of_labels() -> None:
    story = ready()
    story.learn(story.policy(labels={"app": "cart"}))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.until(60)
    story.relabel(pod, app="cart")
    story.until(69.9)
    assert story.verdict(pod) == "pending"
    story.until(70.1)
    assert story.pair(pod).verdict == "gap"


def test_grace_runs_from_the_daemons_initialisation() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.daemon()
    story.until(8)
    story.boot()
    story.until(17.9)
    assert story.verdict(pod) == "pending"
    story.until(18.1)
    assert story.pair(pod).verdict == "gap"


def test_grace_for_one_policy_does_not_prolong_that_of_another() -> None:
    story, pod = waiting()
    story.until(8)
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.until(11)
    assert story.pair(pod, story.policies[0]).verdict == "gap"
    assert story.verdict(pod, late) == "pending"


def test_a_daemon_that_works_through_older_pods_is_waited_for() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod()
    for second in range(1, 30):
        story.until(second)
        story.say(f"Detected a Pod (added/shop/older-{second})")
    assert story.verdict(pod) == "pending"
    assert story.gaps() == []


def test_a_daemon_that_has_stopped_working_is_not_waited_for() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod()
    for second in range(1, 30):
        story.until(second)
        story.say(f"Detected a Pod (added/shop/older-{second})")
    story.wait(30)
    assert story.pair(pod).verdict == "gap"


def test_a_pod_that_was_handled_is_not_waited_for_while_others_are() -> None:
    story, pod = waiting()
    for second in range(1, 15):
        story.until(second)
        story.say(f"Detected a Pod (added/shop/older-{second})")
    assert story.verdict(pod) == "gap unexplained"


def test_two_minutes_are_the_longest_grace() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod()
    for second in range(1, 125):
        story.until(second)
        story.say(f"Detected a Pod (added/shop/older-{second})")
        if second == 119:
            assert story.verdict(pod) == "pending"
        if second == 121:
            assert story.verdict(pod) == "gap event-queue-lag"


def test_a_gap_of_a_lagging_daemon_begins_with_the_containers_start() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.pod()
    began = story.now
    for second in range(1, 125):
        story.until(second)
        story.say(f"Detected a Pod (added/shop/older-{second})")
    (gap,) = story.open_gaps()
    assert gap.since[0] == began


def test_a_write_within_grace_is_never_announced_as_a_gap() -> None:
    story, pod = waiting()
    story.until(9.5)
    story.push(pod)
    story.wait(60)
    assert story.gaps() == []
    assert story.verdict(pod) == "covered applied"


def test_a_container_that_starts_within_another_ones_grace_has_its_own() -> None:
    story, first = waiting()
    story.until(6)
    second = covered(story, name="second")
    story.until(11)
    assert story.pair(first).verdict == "gap"
    assert story.verdict(second) == "covered applied"
