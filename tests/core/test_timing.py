"""How long it took: protection, recovery, propagation, exposure (design, section 4)."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.exposure import Exposure, Window
from monitor.core.model import Changed, ContainerTiming, Interval, PolicyTiming, ProofTiming
from tests.core.histories import ending
from tests.core.stories import AUDIT_APT, BLOCK_YUM, Story, covered, listening, ready


def container_timings(story: Story) -> list[ContainerTiming]:
    return [one for one in story.announced if isinstance(one, ContainerTiming)]


def policy_timings(story: Story) -> list[PolicyTiming]:
    return [one for one in story.announced if isinstance(one, PolicyTiming)]


def holds(interval: Interval | None, seconds: float) -> bool:
    """Whether the interval holds the truth and is no wider than what is known of it."""
    assert interval is not None
    return interval[0] - 0.01 <= seconds <= interval[1] + 0.01 and interval[1] - interval[0] <= 2.01


# --- protection and recovery --------------------------------------------------------------------


def test_protection_delay_runs_from_the_containers_start_to_the_write() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.wait(30)
    pod = story.pod()
    story.register(pod)
    story.wait(4)
    story.write(pod)
    (timing,) = container_timings(story)
    assert holds(timing.protection_delay_seconds, 4)
    assert timing.recovery_delay_seconds is None
    assert story.pair(pod).delay_seconds == timing.protection_delay_seconds


def test_protection_delay_runs_from_the_policys_change_where_that_is_later() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(100)
    policy = story.cluster_policy()
    story.wait(3)
    story.learn(policy)
    story.push(pod)
    (timing,) = container_timings(story)
    assert holds(timing.protection_delay_seconds, 3)


def test_the_first_write_of_a_revision_counts() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    before = story.pair(pod).delay_seconds
    story.wait(50)
    story.intend(pod)
    assert story.pair(pod).delay_seconds == before


def test_the_first_write_counts_even_if_later_ones_were_read_before_the_pod_was_seen() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    before = len(story.history)
    pod = covered(story)
    story.wait(50)
    story.intend(pod)
    told = [one for one in story.history[before:] if isinstance(one[1], Changed)]
    heard = [one for one in story.history if one not in told]
    late = ending([*heard, *told], started=heard[0][0], until=story.now).report
    assert late.containers == story.report().containers


def test_each_revision_has_its_own_delay() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(50)
    story.edit(policy)
    story.wait(6)
    story.learn(policy, action="modified")
    story.intend(pod)
    assert holds(story.pair(pod).delay_seconds, 6)


def test_the_first_write_counts_for_rules_that_only_audit() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.register(pod)
    story.wait(2)
    story.see(pod)
    story.intend(pod)
    story.wait(5)
    story.intend(pod)
    story.wait(15)
    assert holds(story.pair(pod).delay_seconds, 2)


def test_a_revision_that_is_newer_than_a_daemons_restart_has_its_own_delay() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(50)
    story.kill()
    story.wait(5)
    story.revive()
    story.boot()
    story.write(pod)
    assert holds(story.pair(pod).delay_seconds, 0)
    story.wait(50)
    story.edit(policy)
    story.wait(6)
    story.learn(policy, action="modified")
    story.intend(pod)
    assert holds(story.pair(pod).delay_seconds, 6)


def test_a_rewrite_after_a_daemons_restart_is_recovery_from_its_start() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(50)
    story.kill()
    story.wait(5)
    story.revive()
    story.wait(2)
    story.boot()
    story.wait(1)
    story.write(pod)
    recovery = container_timings(story)[-1]
    assert holds(recovery.recovery_delay_seconds, 3)
    assert recovery.protection_delay_seconds is None


def test_a_container_older_than_the_daemon_has_no_protection_delay() -> None:
    """Only while a daemon was ready."""
    story = listening()
    pod = story.pod()
    story.until(0)
    story.cluster_policy()
    story.wait(20)
    story.daemon()
    story.wait(2)
    story.boot()
    story.write(pod)
    (timing,) = container_timings(story)
    assert timing.protection_delay_seconds is None
    assert holds(timing.recovery_delay_seconds, 2)


def test_a_container_is_timed_once_when_its_last_policy_is_applied() -> None:
    story = ready()
    one, other = story.cluster_policy("one"), story.cluster_policy("other", rules=BLOCK_YUM)
    story.learn(one)
    pod = story.pod()
    story.register(pod)
    story.wait(1)
    story.write(pod)
    assert container_timings(story) == []
    story.wait(1)
    story.learn(other)
    story.intend(pod)
    (timing,) = container_timings(story)
    assert [policy.name for policy in timing.policies] == ["one", "other"]
    assert holds(timing.protection_delay_seconds, 2)
    story.wait(30)
    story.intend(pod)
    assert len(container_timings(story)) == 1


def test_a_container_that_is_not_covered_is_not_timed() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(60)
    assert container_timings(story) == []


def test_a_restarted_container_is_timed_again() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(30)
    story.restart(pod)
    story.wait(2)
    story.register(pod)
    story.write(pod)
    first, second = container_timings(story)
    assert first.container_id != second.container_id
    assert holds(second.protection_delay_seconds, 2)


def test_the_stages_of_a_container_follow_one_another() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.wait(10)
    pod = story.pod(running=False)
    story.wait(2)
    story.start(pod)
    story.wait(1)
    story.register(pod)
    story.wait(1)
    story.write(pod)
    (timing,) = container_timings(story)
    began = story.now - 4
    assert timing.stages["created"][0] == began
    assert timing.stages["containerStarted"][0] == began + 2
    assert timing.stages["idPublished"] == pytest.approx((began + 2, began + 2), abs=0.01)
    assert holds(timing.stages["runtimeRegistered"], began + 3)
    assert holds(timing.stages["daemonSawPod"], began + 4)
    assert timing.stages["rulesWritten"] == timing.applied


def test_the_first_proof_of_a_container_is_its_last_stage_and_told_once() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(30)
    pod = covered(story)
    for _ in range(2):
        story.wait(5)
        story.alert(pod)
    (proof,) = [one for one in story.announced if isinstance(one, ProofTiming)]
    assert (proof.container_id, proof.policy.name) == (pod.id, policy.name)
    assert list(proof.stages) == ["containerStarted", "firstProof", "rulesWritten"]
    proven, written = proof.stages["firstProof"], proof.stages["rulesWritten"]
    assert holds((proven[0] - written[1], proven[1] - written[0]), 5)


def test_the_instant_of_a_line_is_an_interval_that_ends_before_we_read_it() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    (timing,) = container_timings(story)
    assert timing.applied[0] <= timing.applied[1] <= story.now
    since = story.pair(pod).since
    assert since is not None
    assert since == timing.applied


def test_a_nodes_clock_that_is_ahead_does_not_make_negative_delays() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.write(pod)
    (timing,) = container_timings(story)
    assert timing.protection_delay_seconds is not None
    assert timing.protection_delay_seconds[0] >= 0


# --- exposure -----------------------------------------------------------------------------------


def test_exposure_is_the_time_without_the_rules() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.wait(10)
    pod = story.pod()
    story.register(pod)
    story.wait(7)
    story.write(pod)
    assert holds(story.container(pod).exposure_seconds, 7)


def test_exposures_of_a_container_add_up() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(7)
    story.write(pod)
    story.wait(30)
    story.strip(pod)
    story.wait(5)
    story.push(pod)
    low, high = story.container(pod).exposure_seconds
    assert low - 0.01 <= 12 <= high + 0.01


def test_policies_that_are_missing_at_the_same_time_are_one_exposure() -> None:
    story = ready()
    story.learn(
        story.cluster_policy("block-apt"), story.cluster_policy("block-yum", rules=BLOCK_YUM)
    )
    story.wait(10)
    pod = story.pod()
    story.register(pod)
    story.wait(7)
    story.write(pod)
    assert holds(story.container(pod).exposure_seconds, 7)


def test_a_policy_that_is_deleted_ends_the_exposure_of_its_gap() -> None:
    story = ready(release="v1.5.7")
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(20)
    story.namespace("late")
    pod = story.pod(namespace="late")
    story.register(pod)
    story.see(pod)
    story.wait(40)
    story.remove(policy)
    assert holds(story.container(pod).exposure_seconds, 40)


def test_a_container_that_ends_exposed_is_counted() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.wait(20)
    story.namespace("late")
    pod = story.pod(namespace="late")
    story.register(pod)
    story.see(pod)
    story.wait(40)
    story.stop(pod)
    counted = story.core.statistics(story.now).exposed_container_seconds
    assert counted == pytest.approx(40, abs=1.1)


SPANS: Final = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 9), st.integers(0, 1), st.integers(0, 1)),
    max_size=12,
)


@given(spans=SPANS)
def test_the_order_in_which_exposures_become_known_does_not_matter(
    spans: list[tuple[int, int, int, int]],
) -> None:
    windows: list[Window] = [
        ((start, start + vague), (start + length, start + length + open_end))
        for start, length, vague, open_end in spans
    ]
    at_once, backwards = Exposure(), Exposure()
    grown = at_once.add(windows)
    one_by_one = sum(backwards.add([window]) for window in reversed(windows))
    sure = {s for (_, since), (until, _) in windows for s in range(int(since), int(until))}
    possible = {s for (since, _), (_, until) in windows for s in range(int(since), int(until))}
    assert at_once.ended == backwards.ended == (len(sure), len(possible))
    assert grown == one_by_one == (len(sure) + len(possible)) / 2


def test_exposed_container_seconds_are_the_sum_of_all() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    for name in ("one", "two"):
        pod = story.pod(name)
        story.register(pod)
        story.wait(5)
        story.write(pod)
    counted = story.core.statistics(story.now).exposed_container_seconds
    assert counted == pytest.approx(10, abs=1.1)


def test_waiting_containers_are_counted_by_their_age() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.pod()
    story.wait(4)
    (age,) = story.core.statistics(story.now).pending_ages
    assert age == pytest.approx(4, abs=1.01)


# --- propagation --------------------------------------------------------------------------------


def test_each_nodes_daemon_is_timed_when_it_learns_of_a_policy() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.cluster_policy()
    story.wait(1)
    story.learn(policy, node="node-a")
    story.wait(2)
    story.learn(policy, node="node-b")
    timings = {one.node: one for one in policy_timings(story) if one.node}
    assert set(timings) == {"node-a", "node-b"}
    assert timings["node-a"].propagation_seconds[1] == pytest.approx(1, abs=0.01)
    assert timings["node-b"].propagation_seconds[1] == pytest.approx(3, abs=0.01)
    assert timings["node-a"].policy.name == "block-apt"


def test_a_revision_is_timed_as_a_whole_when_the_last_daemon_knows_it() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.cluster_policy()
    story.wait(1)
    story.learn(policy, node="node-a")
    assert [one for one in policy_timings(story) if not one.node] == []
    story.wait(2)
    story.learn(policy, node="node-b")
    (whole,) = [one for one in policy_timings(story) if not one.node]
    assert whole.propagation_seconds[1] == pytest.approx(3, abs=0.01)


def test_an_edit_is_timed_like_a_new_policy() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(60)
    story.edit(policy)
    story.wait(2)
    story.learn(policy, action="modified")
    latest = [one for one in policy_timings(story) if one.node][-1]
    assert latest.policy.generation == 2
    assert holds(latest.propagation_seconds, 2)


def test_a_touched_policy_is_not_timed_again() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(60)
    story.touch(policy)
    story.learn(policy, action="modified")
    assert len([one for one in policy_timings(story) if one.node]) == 1


def test_a_revision_that_a_node_has_known_is_not_timed_again_after_its_daemon_restarts() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.cluster_policy()
    story.learn(policy, node="node-a")
    story.learn(policy, node="node-b")
    before = policy_timings(story)
    story.wait(60)
    story.replace()
    story.boot()
    assert policy_timings(story) == before


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-30.0, 0.0, 45.0])
def test_the_offset_of_a_nodes_clock_is_found_and_taken_out(skew: float) -> None:
    """Our clock minus the node's; delays are on ours."""
    story = listening()
    story.skews["node-a"] = skew
    story.daemon()
    story.until(-20)
    story.boot()
    story.until(0)
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(3)
    story.write(pod)
    (node,) = story.report().nodes
    assert node.clock_offset_seconds is not None
    assert node.clock_offset_seconds[0] - 0.01 <= -skew <= node.clock_offset_seconds[1] + 0.01
    assert holds(story.pair(pod).delay_seconds, 3)


def test_lines_from_before_we_read_do_not_measure_a_nodes_clock() -> None:
    """A log that has been quiet for eight seconds is no clock that is eight seconds slow."""
    story = listening()
    story.daemon()
    story.say("Initialized BPF-LSM Enforcer", ago=8)
    (node,) = story.report().nodes
    assert node.clock_offset_seconds == pytest.approx((-1.0, 8.0), abs=0.01)
    story.wait(30)
    story.say("Initialized KubeArmor")
    (node,) = story.report().nodes
    assert node.clock_offset_seconds == pytest.approx((-1.0, 0.0), abs=0.01)


def test_a_pods_line_cannot_precede_the_change_that_it_follows() -> None:
    """It bounds the offset from below, within a second."""
    story = ready()
    story.cluster_policy()
    story.wait(30)
    pod = story.pod()
    story.wait(0.1)
    story.see(pod)
    (node,) = story.report().nodes
    assert node.clock_offset_seconds is not None
    assert node.clock_offset_seconds[0] >= -1.2


def test_a_policys_line_long_after_its_change_does_not_widen_the_offset() -> None:
    """A daemon that starts later says of each old policy that it was added."""
    story = listening()
    story.cluster_policy()
    story.until(0)
    story.daemon()
    story.boot()
    (node,) = story.report().nodes
    assert node.clock_offset_seconds is not None
    assert node.clock_offset_seconds[0] >= -1.2
