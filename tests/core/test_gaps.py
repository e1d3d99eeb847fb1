"""Why a container is not protected: one story for each cause (design, section 5)."""

import pytest

from monitor.core.causes import CAUSES
from tests.core.stories import (
    AUDIT_APT,
    BLOCK_PATTERN,
    BLOCK_YUM,
    PodOf,
    PolicyOf,
    Story,
    covered,
    listening,
    ready,
)


def late_namespace(story: Story, name: str = "fresh") -> None:
    """A namespace that every daemon hears of after it is ready."""
    story.wait(5)
    story.namespace(name)
    story.wait(0.1)
    for node in story.daemons:
        story.configure_namespaces(name, node=node)


# --- the daemon ---------------------------------------------------------------------------------


def test_a_node_without_a_daemons_pod_is_daemon_absent_after_grace() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.until(9.9)
    assert story.verdict(pod) == "pending"
    story.until(11)
    assert story.verdict(pod) == "gap daemon-absent"


def test_a_daemons_pod_whose_container_does_not_run_is_daemon_down() -> None:
    story = listening()
    daemon = story.daemon()
    story.kill()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.wait(11)
    assert daemon.pod.containers == {}
    assert story.verdict(pod) == "gap daemon-down"


def test_a_daemons_pod_that_never_started_its_container_is_daemon_down() -> None:
    story = listening()
    story.pod(
        "kubearmor-x",
        namespace="kubearmor",
        containers=("kubearmor",),
        labels={"kubearmor-app": "kubearmor"},
        running=False,
    )
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.wait(11)
    assert story.verdict(pod) == "gap daemon-down"


def test_a_daemon_that_has_not_said_that_it_is_initialised_is_daemon_starting() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.daemon()
    story.begin()
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(30)
    assert story.verdict(pod) == "gap daemon-starting"


def test_a_start_that_cannot_be_read_is_assumed_to_take_a_minute() -> None:
    """Grace runs from the daemon's initialisation; unread: its container's start + 60 s."""
    story = listening(text=False, started=-1)
    story.until(0)
    story.daemon()
    story.cluster_policy()
    pod = story.pod()
    story.until(69)
    assert story.verdict(pod) == "pending"


# --- the node -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Disabled KubeArmor Enforcer: no LSM is supported",
        "Initialized SELinux Enforcer",
    ],
)
def test_a_daemon_without_an_enforcer_only_observes(line: str) -> None:
    story = listening()
    story.daemon()
    story.begin()
    story.say(line, "Started to monitor NRI events", "Initialized KubeArmor")
    story.until(0)
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(11)
    assert story.verdict(pod) == "gap enforcer-absent"


def test_apparmor_is_an_enforcer() -> None:
    story = listening()
    story.daemon()
    story.begin()
    story.say("Initialized AppArmor Enforcer", "Initialized KubeArmor")
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.wait(11)
    assert story.pair(pod).cause != "enforcer-absent"


def test_a_container_that_the_runtime_never_announced_is_container_source_dead() -> None:
    """The daemon tries to write the rules and knows no such container (F8)."""
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.see(pod)
    story.intend(pod)
    story.wait(11)
    assert story.verdict(pod) == "gap container-source-dead"


def test_a_daemon_that_lost_the_runtime_misses_new_containers_and_keeps_older_ones() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    older = covered(story)
    story.wait(5)
    story.say("NRI connection lost", "restarting NRI")
    pod = story.pod("late")
    story.see(pod)
    story.intend(pod)
    story.wait(11)
    assert story.verdict(older) == "covered applied"
    assert story.verdict(pod) == "gap container-source-dead"


def test_a_daemon_busy_with_other_pods_has_longer_and_then_lags() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod()
    for second in range(1, 122):
        story.until(second)
        story.say(f"Detected a Pod (modified/shop/other-{second})")
        if second == 100:
            assert story.verdict(pod) == "pending"
    story.until(123)
    assert story.verdict(pod) == "gap event-queue-lag"


def test_a_busy_daemon_that_comes_to_the_pod_in_time_is_no_gap() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    for second in range(1, 60):
        story.until(second)
        story.say(f"Detected a Pod (modified/shop/other-{second})")
    story.write(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


# --- the policy ---------------------------------------------------------------------------------


def test_on_v1_5_7_a_cluster_policy_misses_a_namespace_created_after_it_at_once() -> None:
    """Expected but not predicted needs no deadline (issue 2099, F15)."""
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    late_namespace(story)
    pod = story.pod(namespace="fresh")
    assert story.verdict(pod) == "gap namespace-newer-than-policy"
    assert story.pair(pod).predicted is False


@pytest.mark.parametrize("release", ["v1.6.0", "v1.6.4", "v1.6.19", "v1.7.0", "v1.7.4"])
def test_later_releases_do_not_miss_it(release: str) -> None:
    story = ready(release=release)
    story.learn(story.cluster_policy())
    late_namespace(story)
    pod = covered(story, namespace="fresh")
    assert story.verdict(pod) == "covered applied"
    assert story.pair(pod).predicted is True
    assert story.gaps() == []


@pytest.mark.parametrize("not_in", [["kube-system"], []])
def test_on_v1_5_7_every_cluster_policy_without_namespace_in_misses_it(not_in: list[str]) -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy(not_in=not_in))
    late_namespace(story)
    assert story.verdict(story.pod(namespace="fresh")) == "gap namespace-newer-than-policy"


def test_on_v1_5_7_a_cluster_policy_that_names_the_namespace_does_not_miss_it() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy(only_in=["fresh"]))
    late_namespace(story)
    assert story.verdict(covered(story, namespace="fresh")) == "covered applied"


def test_on_v1_5_7_older_namespaces_are_not_missed() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    assert story.verdict(covered(story)) == "covered applied"


def test_on_v1_5_7_a_namespace_configured_before_the_daemon_was_ready_is_not_newer() -> None:
    """At its start a daemon learns the policies first and the namespaces after them."""
    story = listening()
    story.cluster_policy()
    story.namespace("fresh")
    story.daemon(release="v1.5.7")
    story.until(-20)
    story.boot()
    story.until(0)
    assert story.verdict(covered(story, namespace="fresh")) == "covered applied"


def heal_by_restart(story: Story, policy: PolicyOf, pod: PodOf) -> None:
    assert policy in story.policies
    story.replace()
    story.boot()
    story.see(pod)
    story.push(pod)


def heal_by_touch(story: Story, policy: PolicyOf, pod: PodOf) -> None:
    story.touch(policy)
    story.learn(policy, action="modified")
    story.push(pod)


def heal_by_recreation(story: Story, policy: PolicyOf, pod: PodOf) -> None:
    story.remove(policy)
    story.learn(policy, action="deleted")
    story.wait(1)
    story.create_again(policy)
    story.learn(policy)
    story.push(pod)


def heal_by_upgrade(story: Story, policy: PolicyOf, pod: PodOf) -> None:
    assert policy in story.policies
    story.replace(release="v1.6.0")
    story.boot()
    story.see(pod)
    story.push(pod)


@pytest.mark.parametrize(
    "heal", [heal_by_restart, heal_by_touch, heal_by_recreation, heal_by_upgrade]
)
def test_on_v1_5_7_a_missed_namespace_is_healed(heal: object) -> None:
    story = ready(release="v1.5.7")
    policy = story.cluster_policy()
    story.learn(policy)
    late_namespace(story)
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(20)
    assert callable(heal)
    heal(story, policy, pod)
    assert story.verdict(pod) == "covered applied"
    assert story.open_gaps() == ()


def test_on_v1_5_7_pods_that_come_after_the_touch_are_covered() -> None:
    story = ready(release="v1.5.7")
    policy = story.cluster_policy()
    story.learn(policy)
    late_namespace(story)
    story.touch(policy)
    story.learn(policy, action="modified")
    story.wait(5)
    assert story.verdict(covered(story, namespace="fresh")) == "covered applied"


def test_each_node_is_judged_by_its_own_daemons_release() -> None:
    story = listening(nodes=["node-a", "node-b"])
    story.daemon("node-a", release="v1.5.7")
    story.daemon("node-b", release="v1.7.4")
    story.until(-20)
    story.boot("node-a")
    story.boot("node-b")
    story.until(0)
    policy = story.cluster_policy()
    story.learn(policy, node="node-a")
    story.learn(policy, node="node-b")
    late_namespace(story)
    old = covered(story, name="a", namespace="fresh", node="node-a")
    new = covered(story, name="b", namespace="fresh", node="node-b")
    assert story.verdict(old) == "gap namespace-newer-than-policy"
    assert story.verdict(new) == "covered applied"


def test_what_the_output_says_of_the_release_beats_the_images_tag() -> None:
    story = ready(release="v1.5.7", tag="v1.7.4")
    story.learn(story.cluster_policy())
    late_namespace(story)
    assert story.verdict(story.pod(namespace="fresh")) == "gap namespace-newer-than-policy"


def test_on_v1_5_7_without_a_namespaces_line_the_creation_times_decide() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.wait(30)
    story.namespace("fresh")
    assert story.verdict(story.pod(namespace="fresh")) == "gap namespace-newer-than-policy"


def test_a_policy_without_any_rule_in_kernel_form_is_rule_not_enforceable() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=BLOCK_PATTERN))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(11)
    assert story.verdict(pod) == "gap rule-not-enforceable"


def refused(story: Story) -> PolicyOf:
    """A policy that the daemon refuses; the refusal stands in place of its line."""
    policy = story.cluster_policy("refused")
    story.say("Error ADD, json: cannot unmarshal string into Go value", level="WARN")
    return policy


def test_a_policy_that_the_daemon_refused_is_policy_rejected() -> None:
    story = ready()
    policy = refused(story)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(11)
    assert story.verdict(pod, policy) == "gap policy-rejected"
    assert [reason.cause for reason in story.pair(pod, policy).reasons] == ["policy-rejected"]


def test_a_refusal_for_want_of_the_namespaces_says_so() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.say("Error ADD, unable to fetch namespace list", level="WARN")
    pod = story.pod()
    story.register(pod)
    story.wait(11)
    causes = [reason.cause for reason in story.pair(pod, policy).reasons]
    assert causes == ["policy-rejected", "namespace-list-failed"]


def test_a_refusal_does_not_concern_the_policies_that_were_added() -> None:
    story = ready()
    first, second = story.cluster_policy("first"), story.cluster_policy("second", rules=BLOCK_YUM)
    story.learn(first)
    policy = refused(story)
    story.learn(second)
    pod = covered(story)
    story.wait(11)
    assert story.verdict(pod, first) == "covered applied"
    assert story.verdict(pod, second) == "covered applied"
    assert story.verdict(pod, policy) == "gap policy-rejected"


def test_an_edit_does_not_take_a_refused_policy_to_new_pods() -> None:
    """It was never stored, and a change replaces only what is stored (dossier 5.3, 5.6)."""
    story = ready()
    policy = refused(story)
    story.wait(5)
    story.edit(policy)
    story.learn(policy, action="modified")
    pod = covered(story)
    assert story.verdict(pod, policy) == "gap policy-rejected"


def test_an_edit_takes_a_refused_policy_to_the_containers_that_are_there() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    policy = refused(story)
    story.wait(15)
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    assert story.verdict(pod, policy) == "covered applied"


# --- the container ------------------------------------------------------------------------------


def test_a_container_that_ended_unprotected_is_startup_window() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(3)
    story.stop(pod)
    story.wait(30)
    assert story.gaps() == ["closed gap startup-window shop/cart/app"]
    (gap,) = story.report().gaps
    assert (gap.since[0], gap.until and gap.until[0]) == (story.now - 33, story.now - 30)


def test_a_container_that_ended_before_the_policy_came_is_none_though_its_end_is_heard_later() -> (
    None
):
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.wait(3)
    story.unheard.add("kubernetes/pods")
    story.stop(pod)
    story.unheard.discard("kubernetes/pods")
    story.wait(5)
    story.learn(story.cluster_policy())
    story.relist("pods")
    story.wait(30)
    assert story.gaps() == []


def test_a_container_that_ended_protected_is_none_though_that_is_heard_later() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.unheard.add("text/node-a")
    story.register(pod)
    story.write(pod)
    story.unheard.discard("text/node-a")
    story.wait(1)
    story.stop(pod)
    story.wait(2)
    story.resend()
    story.wait(30)
    assert story.gaps() == []


def test_a_container_that_ended_before_its_audits_were_taken_for_in_force_is_none() -> None:
    """Nothing is ever written of rules that only audit."""
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(3)
    story.stop(pod)
    story.wait(30)
    assert story.gaps() == []


def test_a_container_that_ended_protected_is_none() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(3)
    story.stop(pod)
    story.wait(30)
    assert story.gaps() == []


def test_an_exposure_beyond_grace_that_healed_by_itself_is_startup_window() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(20)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == ["closed gap startup-window shop/cart/app"]


def test_rules_that_do_not_come_although_all_is_read_are_unexplained() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.until(9.9)
    assert story.verdict(pod) == "pending"
    story.until(11)
    assert story.verdict(pod) == "gap unexplained"


def test_a_removed_map_that_should_be_there_needs_no_deadline() -> None:
    """Negative evidence: `Deleting inner map` although rules with a kernel form are expected."""
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    assert story.verdict(pod) == "gap unexplained"


def test_a_removed_map_before_the_policys_line_says_nothing() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(20)
    story.learn(story.cluster_policy())
    assert story.verdict(pod) == "pending"


# --- order --------------------------------------------------------------------------------------


def test_a_cause_of_the_whole_node_comes_before_evidence() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy(rules=BLOCK_PATTERN)
    pod = story.pod()
    story.wait(11)
    assert story.verdict(pod) == "gap daemon-absent"


def test_a_missing_enforcer_comes_before_the_releases_defect() -> None:
    story = listening()
    story.daemon(release="v1.5.7")
    story.begin()
    story.say("Disabled KubeArmor Enforcer: none", "Initialized KubeArmor")
    story.until(0)
    story.learn(story.cluster_policy())
    late_namespace(story)
    pod = story.pod(namespace="fresh")
    story.wait(11)
    assert story.verdict(pod) == "gap enforcer-absent"


def test_among_equals_the_order_of_the_causes_decides_the_containers_cause() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy("b", rules=BLOCK_PATTERN), story.cluster_policy("c"))
    late_namespace(story)
    pod = story.pod(namespace="fresh")
    story.wait(30)
    assert story.overall(pod) == "gap namespace-newer-than-policy"


def test_a_gap_comes_before_a_loss() -> None:
    story = ready()
    policy = story.cluster_policy("b")
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.strip(pod)
    assert story.overall(pod) == "lost rules-removed"
    story.learn(story.cluster_policy("a", rules=BLOCK_PATTERN))
    story.wait(11)
    assert story.overall(pod) == "gap rule-not-enforceable"


# --- what is said of a gap ----------------------------------------------------------------------


def test_a_gap_begins_with_the_exposure_not_with_its_announcement() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(30)
    (gap,) = story.open_gaps()
    assert gap.since[0] == story.now - 30
    assert story.pair(pod).since == gap.since


def test_a_gap_of_a_policys_change_begins_with_the_change() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(99)
    changed = story.now
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.wait(15)
    since = story.pair(pod, late).since
    assert since is not None
    assert since[0] <= changed <= since[1] + 0.001


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("namespace-newer-than-policy", ["v1.6.0", "touch"]),
        ("daemon-absent", ["toleration"]),
        ("container-source-dead", ["Restart"]),
    ],
)
def test_each_cause_says_what_to_do(code: str, words: list[str]) -> None:
    assert all(word in CAUSES[code].remedy for word in words)
