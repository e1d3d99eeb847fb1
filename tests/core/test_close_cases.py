"""Verdicts that hang on one fact: each story is a plainer one with that fact changed."""

import pytest

from monitor.core.model import CoverageState
from tests.core.stories import (
    AUDIT_APT,
    BLOCK_APT,
    BLOCK_YUM,
    FEEDS,
    PodOf,
    PolicyOf,
    Story,
    covered,
    listening,
    ready,
)


def protected() -> tuple[Story, PolicyOf, PodOf]:
    """A Pod whose rules were written twenty seconds ago."""
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(20)
    return story, policy, pod


# --- what was lost, and what was never there ----------------------------------------------------


def test_what_only_an_alert_proved_is_lost_with_the_daemon() -> None:
    story = ready(text=False)
    story.cluster_policy()
    story.wait(100)
    pod = story.pod()
    story.wait(5)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"


def test_a_policy_that_was_inferred_for_it_only_audits_is_lost_with_the_daemon() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = covered(story)
    story.wait(11)
    assert story.verdict(pod) == "covered inferred"
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"


def test_a_policy_that_the_daemon_missed_is_not_lost_with_it() -> None:
    story = ready(release="v1.5.7")
    missed = story.cluster_policy()
    story.learn(missed)
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    own = story.policy("own", namespace="fresh", rules=BLOCK_YUM)
    story.learn(own)
    pod = covered(story, namespace="fresh")
    story.wait(20)
    story.kill()
    story.wait(11)
    assert [story.verdict(pod, policy) for policy in (missed, own)] == [
        "gap daemon-down",
        "lost daemon-down",
    ]


def test_a_pod_of_the_same_name_has_not_lost_what_its_predecessor_had() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    former = covered(story, name="db-0")
    story.wait(20)
    story.delete(former)
    story.kill()
    story.wait(20)
    pod = story.pod("db-0")
    story.wait(11)
    assert story.verdict(pod) == "gap daemon-down"


def test_a_policy_newer_than_the_daemons_end_is_not_lost_with_it() -> None:
    story, _, pod = protected()
    story.kill()
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.wait(11)
    assert story.verdict(pod, late) == "gap daemon-down"


def test_a_successor_that_finds_no_rule_to_write_leaves_the_loss_open() -> None:
    story, _, pod = protected()
    story.kill()
    story.wait(1)
    story.revive()
    story.boot()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    assert story.verdict(pod) == "lost daemon-down"


def test_a_loss_is_unknown_where_the_successors_output_is_unread() -> None:
    story, _, pod = protected()
    story.kill()
    story.down("text/node-a", *FEEDS)
    story.wait(1)
    story.revive()
    story.wait(65)
    assert story.verdict(pod) == "unknown source-outage"


@pytest.mark.parametrize("covered_before", [True, False])
def test_a_daemon_whose_pod_is_being_deleted_is_replaced(*, covered_before: bool) -> None:
    story, _, pod = protected()
    daemon = story.daemons["node-a"].pod
    if not covered_before:
        story.restart(pod)
    story.terminate(daemon)
    story.stop(daemon, "kubearmor")
    story.wait(15)
    verdict = "lost" if covered_before else "gap"
    assert story.verdict(pod) == f"{verdict} daemon-replaced"


def test_a_daemon_whose_successor_does_not_run_yet_is_replaced() -> None:
    story, _, pod = protected()
    story.restart(pod)
    story.dismiss()
    story.daemon(running=False)
    story.wait(15)
    assert story.verdict(pod) == "gap daemon-replaced"


# --- proofs and what refutes them ---------------------------------------------------------------


def test_an_alert_that_either_of_two_namesakes_would_cause_proves_neither() -> None:
    story = ready()
    twins = [story.policy("twin"), story.cluster_policy("twin")]
    story.learn(*twins)
    pod = covered(story)
    story.wait(5)
    story.alert(pod, policy="twin")
    assert [story.pair(pod, policy).grade == "proven" for policy in twins] == [False, False]


def test_what_passed_under_a_former_revision_contradicts_nothing_of_this_one() -> None:
    story, policy, pod = protected()
    story.log(pod)
    assert story.verdict(pod) == "lost contradicted"
    story.wait(5)
    story.edit(policy, rules=BLOCK_APT)
    story.wait(0.1)
    story.learn(policy, action="modified")
    assert story.verdict(pod) == "pending"


# --- what may stand where nobody read -----------------------------------------------------------


def test_output_that_can_be_read_only_now_gives_time_to_read_it() -> None:
    story = ready(text=False)
    story.cluster_policy()
    pod = story.pod()
    story.wait(100)
    assert story.verdict(pod) == "unknown no-evidence-source"
    story.up("text/node-a")
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(2)
    assert story.verdict(pod) == "unknown source-outage"


def test_a_policys_line_may_stand_in_a_hole_before_the_container() -> None:
    story = ready()
    story.down("text/node-a", *FEEDS)
    story.cluster_policy()
    story.wait(5)
    story.up("text/node-a", *FEEDS)
    story.configure_namespaces("shop")
    story.wait(60)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(15)
    assert story.verdict(pod) == "unknown source-outage"


def test_while_the_world_may_be_half_new_a_missing_daemon_is_no_gap() -> None:
    story = listening()
    story.cluster_policy()
    pod = story.pod()
    story.down("kubernetes/daemonsets", "kubernetes/configmaps")
    story.wait(15)
    assert story.verdict(pod) == "unknown source-outage"
    story.up("kubernetes/daemonsets", "kubernetes/configmaps")
    story.wait(15)
    assert story.verdict(pod) == "gap daemon-absent"


# --- from when on -------------------------------------------------------------------------------


def test_a_container_that_the_runtime_took_away_has_its_grace_from_then_on() -> None:
    story, _, pod = protected()
    story.unregister(pod)
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(2)
    assert story.verdict(pod) == "lost rules-removed"


def test_two_revisions_that_no_daemon_names_open_two_gaps() -> None:
    story, policy, _ = protected()
    for _ in range(2):
        story.edit(policy)
        story.wait(15)
    gaps = story.report().gaps
    assert len({gap.id for gap in gaps}) == 2


def test_a_change_of_labels_opens_a_gap_of_its_own() -> None:
    story, _, pod = protected()
    story.learn(story.policy("labelled", labels={"app": "cart"}, rules=BLOCK_YUM))
    for labels in ({"app": "cart"}, {}, {"app": "cart", "tier": "a"}):
        story.relabel(pod, **labels)
        story.wait(15)
    gaps = story.report().gaps
    assert ([gap.state for gap in gaps], len({gap.id for gap in gaps})) == (["closed", "open"], 2)


def test_grace_runs_from_the_line_by_which_the_daemon_learned_the_policy() -> None:
    story, _, pod = protected()
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.wait(8)
    story.learn(late)
    story.wait(9)
    assert story.verdict(pod, late) == "pending"
    story.wait(2)
    assert story.verdict(pod, late) == "gap unexplained"


def test_a_container_that_was_written_once_does_not_wait_for_the_daemons_queue() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.push(pod)
    story.wait(20)
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.learn(late)
    for _ in range(4):
        story.wait(3)
        story.say("Detected a Pod (modified/shop/another)")
    assert story.verdict(pod, late) == "gap unexplained"


# --- what a release does ------------------------------------------------------------------------


def test_on_v1_5_7_a_namespace_of_the_same_second_as_the_policys_line_leaves_it_open() -> None:
    story = ready(release="v1.5.7")
    story.namespace("fresh")
    story.learn(story.cluster_policy())
    pod = covered(story, namespace="fresh")
    story.wait(15)
    assert story.verdict(pod) == "unknown no-evidence-source"


def test_before_v1_5_7_an_edited_cluster_policy_reaches_what_it_did_not_select() -> None:
    story = ready(release="v1.5.6")
    policy = story.cluster_policy(not_in=["shop"])
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    policy.spec["selector"]["matchExpressions"][0]["values"] = ["kube-system"]
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


def test_from_v1_5_7_on_an_edited_policy_reaches_what_it_did_not_select() -> None:
    story = ready(release="v1.7.3")
    labels = {"kubernetes.io/hostname": "n1"}
    policy = story.policy(labels={**labels, "app": "other"})
    story.learn(policy)
    pod = covered(story, labels={**labels, "app": "cart"})
    story.wait(5)
    policy.spec["selector"]["matchLabels"]["app"] = "cart"
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


def test_a_daemon_that_never_says_that_it_is_ready_is_starting_for_ever() -> None:
    story = listening()
    story.cluster_policy()
    pod = story.pod()
    story.daemon()
    story.begin()
    story.wait(300)
    assert story.verdict(pod) == "gap daemon-starting"


def test_a_daemon_that_ended_and_stays_beside_a_younger_pod_is_replaced() -> None:
    story, _, pod = protected()
    story.restart(pod)
    story.kill()
    story.wait(5)
    story.daemon(running=False)
    story.wait(15)
    assert story.verdict(pod) == "gap daemon-replaced"


# --- what a daemon was not told -----------------------------------------------------------------


def test_a_policy_that_only_audits_is_not_in_force_before_the_daemon_names_it() -> None:
    story = ready()
    story.cluster_policy(rules=AUDIT_APT)
    pod = covered(story)
    story.wait(15)
    assert story.verdict(pod) == "gap unexplained"


def test_after_the_edit_of_a_refused_policy_only_later_pods_miss_it_at_once() -> None:
    story = ready()
    policy = story.cluster_policy("refused")
    story.say("Error ADD, json: cannot unmarshal string into Go value", level="WARN")
    earlier = story.pod("earlier")
    story.wait(5)
    story.edit(policy)
    story.learn(policy, action="modified")
    story.wait(5)
    later = story.pod("later")
    assert [story.verdict(pod) for pod in (earlier, later)] == ["pending", "gap policy-rejected"]


def test_a_namesake_that_we_never_saw_leaves_both_open() -> None:
    story = ready()
    own = story.policy("guard")
    story.learn(own)
    story.say("Detected a Security Policy (added/books/guard)")
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(everywhere)
    pod = covered(story)
    story.wait(40)
    assert [story.pair(pod, one).verdict for one in (own, everywhere)] == ["unknown", "unknown"]


def test_a_change_counts_though_the_line_of_the_addition_was_not_read() -> None:
    story = ready()
    story.down("text/node-a")
    policy = story.cluster_policy()
    story.wait(1)
    story.up("text/node-a")
    story.configure_namespaces("shop")
    story.wait(30)
    pod = covered(story)
    story.wait(5)
    story.edit(policy)
    story.wait(0.02)
    story.learn(policy, action="modified")
    story.intend(pod)
    story.wait(15)
    assert story.verdict(pod) == "covered applied"


@pytest.mark.parametrize(
    ("when", "verdict"), [("since", "unknown dropped"), ("before", "unknown source-outage")]
)
def test_events_that_the_daemon_lost_since_the_container_started_may_have_proved_it(
    when: str, verdict: str
) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    if when == "before":
        story.say("Lost Perf Events Count : 7", level="WARN")
        story.wait(30)
    pod = story.pod()
    story.wait(1)
    if when == "since":
        story.say("Lost Perf Events Count : 7", level="WARN")
    story.down("text/node-a", *FEEDS)
    story.wait(15)
    assert story.verdict(pod) == verdict


def test_that_events_were_lost_is_told_of_what_is_unknown() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(1)
    story.down("text/node-a", *FEEDS)
    story.wait(15)
    story.up("text/node-a")
    story.configure_namespaces("shop")
    story.wait(15)
    assert story.verdict(pod) == "unknown source-outage"
    story.say("Lost Perf Events Count : 7", level="WARN")
    assert story.verdict(pod) == "unknown dropped"
    told = [one for one in story.announced if isinstance(one, CoverageState)]
    assert (told[-1].pod, told[-1].verdict, told[-1].cause) == (pod.name, "unknown", "dropped")
