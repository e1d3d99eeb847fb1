"""When a pair is covered, and how surely (design, section 3: grades, evidence, revisions)."""

from typing import Any

import pytest

from tests.core.stories import (
    AUDIT_APT,
    BLOCK_APT,
    BLOCK_PATTERN,
    BLOCK_YUM,
    FEEDS,
    covered,
    ready,
)

BLOCK_APT_AND_A_PATTERN = {
    "process": {
        "matchPaths": [{"path": "/usr/bin/apt"}],
        "matchPatterns": [{"pattern": "/usr/bin/ap*"}],
    },
    "action": "Block",
}


def test_a_write_that_follows_the_policys_line_is_applied() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    assert story.verdict(pod) == "covered applied"
    assert story.overall(pod) == "covered"
    assert story.gaps() == []


def test_a_policy_pushed_to_a_running_container_is_applied() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(30)
    assert story.overall(pod) == "unpoliced"
    story.learn(story.cluster_policy())
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


def test_a_namespaced_policy_is_applied_like_a_cluster_policy() -> None:
    story = ready()
    policy = story.policy(labels={"app": "cart"})
    story.learn(policy)
    pod = covered(story, labels={"app": "cart"})
    assert story.verdict(pod) == "covered applied"


def test_status_first_the_write_at_the_runtimes_event_is_applied() -> None:
    """Dossier 12.4: the first Updating has no result, the second one comes with the event."""
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.see(pod)
    story.intend(pod)
    story.wait(0.3)
    assert story.verdict(pod) == "pending"
    story.push(pod)
    story.register(pod)
    assert story.verdict(pod) == "covered applied"


# --- which writes count -------------------------------------------------------------------------


def test_a_write_that_precedes_the_policys_line_does_not_count_for_it() -> None:
    story = ready()
    story.learn(story.cluster_policy("block-apt"))
    pod = covered(story)
    late = story.cluster_policy("block-yum", rules=BLOCK_YUM)
    story.wait(1)
    story.learn(late)
    assert story.verdict(pod, late) == "pending"


def test_a_write_caused_by_a_pod_line_before_the_policys_line_is_not_applied() -> None:
    """The Pod's policies were looked up before: the new one may be in neither set (F24)."""
    story = ready()
    story.learn(story.cluster_policy("old"))
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.learn(late)
    story.push(pod)
    story.wait(30)
    assert story.verdict(pod, late) in {"pending", "covered inferred"}


def test_a_later_write_caused_by_the_policy_makes_it_applied() -> None:
    story = ready()
    story.learn(story.cluster_policy("old"))
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.learn(late)
    story.push(pod)
    story.intend(pod)
    assert story.verdict(pod, late) == "covered applied"


def test_a_bare_updating_keeps_a_live_map_live() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    late = story.cluster_policy("block-yum", rules=BLOCK_YUM)
    story.learn(late)
    story.intend(pod)
    assert story.verdict(pod, late) == "covered applied"


def test_a_bare_updating_makes_no_map() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.see(pod)
    story.intend(pod)
    story.wait(5)
    assert story.verdict(pod) == "pending"
    story.wait(30)
    assert story.verdict(pod).startswith("gap")


def test_a_map_that_the_kernel_refused_is_not_live() -> None:
    """An error line is negative evidence and needs no deadline."""
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.fail(pod)
    assert story.pair(pod).verdict in {"gap", "lost"}
    story.wait(30)
    assert story.pair(pod).verdict in {"gap", "lost"}


def test_a_map_made_after_a_refusal_is_live() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.fail(pod)
    story.wait(20)
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


def test_an_error_for_another_container_changes_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    other = covered(story, name="other")
    story.fail(other)
    assert story.verdict(pod) == "covered applied"


def test_a_rule_that_did_not_fit_leaves_older_revisions_their_grade() -> None:
    """`error adding rule to map`: entries that are in the map stay (F35)."""
    story = ready()
    old = story.cluster_policy("old")
    story.learn(old)
    pod = covered(story)
    story.wait(20)
    story.learn(story.cluster_policy("big", rules=BLOCK_YUM))
    story.intend(pod)
    story.say(f"error adding rule to map for container {pod.id}: no space", level="ERROR")
    assert story.verdict(pod, old) == "covered applied"


def test_the_prediction_is_needed_a_map_alone_proves_nothing_about_a_policy() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.learn(story.policy("by-name", namespace="fresh"))
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = covered(story, namespace="fresh")
    verdicts = {p.name: p.verdict for p in story.container(pod).policies}
    assert verdicts == {"block-apt": "gap", "by-name": "covered"}


# --- grades -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "enforcer",
    ["BPFLSM", "AppArmor", "PRESET-ExecPreset"],
)
def test_a_refusal_proves_the_policy(enforcer: str) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(5)
    story.alert(pod, Enforcer=enforcer)
    assert story.verdict(pod) == "covered proven"


@pytest.mark.parametrize(
    "fields",
    [
        {"PolicyName": "DefaultPosture", "Enforcer": "eBPF Monitor", "Action": "Audit"},
        {"PolicyName": "another"},
        {"Resource": "/usr/bin/curl"},
        {"Operation": "File"},
        {"Type": "SystemEvent", "Operation": "AlertThreshold", "Result": "Passed"},
        {"PolicyName": ""},
        {"Result": "Passed"},
        {"Enforcer": "SELinux"},
    ],
    ids=lambda fields: ",".join(fields.values()),
)
def test_what_is_no_refusal_by_a_rule_of_the_policy_proves_nothing(fields: dict[str, Any]) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(5)
    story.alert(pod, **fields)
    assert story.verdict(pod) == "covered applied"


def test_an_alert_from_another_container_proves_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod, other = covered(story), covered(story, name="other")
    story.alert(other)
    assert story.verdict(pod) == "covered applied"


def test_a_proof_counts_without_any_line_of_the_container() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(3)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_a_proof_is_void_when_the_daemon_has_ended() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.alert(pod)
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"
    story.wait(1)
    story.revive()
    story.boot()
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_an_alert_of_the_former_incarnation_that_comes_late_proves_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(5)
    story.kill()
    story.wait(5)
    story.revive()
    story.boot()
    story.alert(pod, ago=8)
    assert story.verdict(pod) == "lost daemon-down"


def test_a_proof_is_of_one_revision() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.alert(pod)
    story.wait(5)
    story.edit(policy)
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def test_one_name_of_several_policies_is_proven_where_the_rule_fits() -> None:
    """The alert proves those policies of that name that have a rule for what happened."""
    story = ready()
    story.learn(story.policy("apt"), story.policy("yum", rules=BLOCK_YUM))
    pod = covered(story)
    story.alert(pod, policy="apt")
    verdicts = {p.name: p.grade for p in story.container(pod).policies}
    assert verdicts == {"apt": "proven", "yum": "applied"}


def test_a_proof_does_not_outlive_a_policy_of_the_other_kind_and_the_same_name() -> None:
    """Deleting one of the two takes the rules of both away (dossier 5.6)."""
    story = ready(text=False)
    story.policy()
    namesake = story.cluster_policy(rules=BLOCK_YUM)
    pod = story.pod()
    story.wait(5)
    story.alert(pod)
    assert {p.kind: p.verdict for p in story.container(pod).policies}["KubeArmorPolicy"] == (
        "covered"
    )
    story.wait(5)
    story.remove(namesake)
    story.wait(60)
    assert story.verdict(pod) == "unknown no-evidence-source"
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_rules_that_only_audit_are_inferred_when_policy_and_pod_were_handled() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(15)
    assert story.verdict(pod) == "covered inferred"


def test_rules_that_only_audit_are_no_gap_because_the_map_is_deleted() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(60)
    assert story.gaps() == []


def test_an_audit_alert_proves_a_rule_that_audits() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.see(pod)
    story.strip(pod)
    story.wait(5)
    story.alert(pod, Action="Audit", Enforcer="eBPF Monitor", Result="Passed")
    assert story.verdict(pod) == "covered proven"


def test_a_proven_rule_that_audits_is_not_unproven_because_no_map_is_needed() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = story.pod()
    story.see(pod)
    story.strip(pod)
    story.wait(5)
    story.alert(pod, Action="Audit", Enforcer="eBPF Monitor", Result="Passed")
    story.wait(5)
    story.strip(pod)
    assert story.verdict(pod) == "covered proven"


def test_some_rules_without_kernel_form_are_counted_and_the_rest_judged() -> None:
    story = ready()
    story.learn(story.cluster_policy(rules=BLOCK_APT_AND_A_PATTERN))
    pod = covered(story)
    assert story.verdict(pod) == "covered applied"
    assert story.pair(pod).rules_without_kernel_form == 1


def test_namespaced_and_cluster_policies_that_interleave_with_writes_are_inferred() -> None:
    """A possible lost update (F24): never better than inferred."""
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    one, other = story.policy("apt"), story.cluster_policy("yum", rules=BLOCK_YUM)
    story.learn(one, other)
    story.intend(pod)
    story.intend(pod)
    story.wait(15)
    assert {story.verdict(pod, one), story.verdict(pod, other)} == {"covered inferred"}


# --- revisions ----------------------------------------------------------------------------------


def test_the_kth_modified_line_is_about_the_kth_modified_event() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.edit(policy, rules=BLOCK_YUM)
    story.wait(0.1)
    story.edit(policy, rules=BLOCK_APT)
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "pending"
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.pair(pod).generation == 3


def test_events_that_change_only_metadata_count_too() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.touch(policy)
    story.edit(policy, rules=BLOCK_YUM)
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "pending"
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def test_touching_a_policy_keeps_what_is_covered() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.touch(policy)
    story.wait(30)
    assert story.verdict(pod) == "covered applied"


def test_an_edit_makes_the_pair_pending_until_the_write_for_it() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.edit(policy)
    assert story.verdict(pod) == "pending"
    story.wait(12)
    assert story.pair(pod).verdict == "gap"
    story.learn(policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def test_an_added_line_of_a_fresh_incarnation_carries_the_current_revision() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.edit(policy)
    story.wait(1)
    story.replace()
    story.boot()
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_text_can_precede_our_watch_event_of_the_same_change() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.learn(policy, action="modified")
    story.intend(pod)
    story.wait(0.2)
    story.edit(policy)
    assert story.verdict(pod) == "covered applied"


def test_a_policy_created_again_is_another_policy() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.remove(policy)
    story.learn(policy, action="deleted")
    story.strip(pod)
    story.wait(5)
    story.create_again(policy)
    assert story.verdict(pod) == "pending"
    story.learn(policy)
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


def test_after_a_relist_the_count_restarts_and_a_new_revision_is_inferred_at_least() -> None:
    """In doubt the older revision, and rather inferred than pending for ever."""
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.down("kubernetes/kubearmorclusterpolicies")
    story.touch(policy)
    story.edit(policy, rules=BLOCK_YUM)
    story.edit(policy, rules=BLOCK_APT)
    story.learn(*[policy] * 3, action="modified")
    story.intend(pod)
    story.wait(5)
    story.up("kubernetes/kubearmorclusterpolicies")
    story.wait(30)
    assert story.verdict(pod) in {"covered inferred", "covered applied"}


def test_a_relist_that_shows_nothing_new_changes_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    before = story.pair(pod)
    story.relist("kubearmorclusterpolicies")
    story.relist("pods")
    story.relist("namespaces")
    story.wait(30)
    assert story.pair(pod) == before


def test_a_re_push_of_what_is_applied_is_no_news() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    said = len(story.announced)
    for _ in range(5):
        story.say("Detected a Security Policy (modified/elsewhere/unrelated)")
        story.intend(pod)
    assert story.announced[said:] == []
    assert story.verdict(pod) == "covered applied"


# --- several containers, several policies -------------------------------------------------------


def test_each_container_of_a_pod_is_judged_for_itself() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod(containers=("app", "proxy"))
    story.register(pod)
    story.write(pod, "app")
    story.wait(15)
    assert story.verdict(pod, container="app") == "covered applied"
    assert story.verdict(pod, container="proxy").startswith("gap")


def test_a_policy_for_one_container_is_not_expected_on_the_other() -> None:
    story = ready()
    story.learn(story.policy(labels={"kubearmor.io/container.name": "[app]"}))
    pod = story.pod(containers=("app", "proxy"))
    story.register(pod)
    story.write(pod, "app")
    assert story.overall(pod, "app") == "covered"
    assert story.overall(pod, "proxy") == "unpoliced"


def test_the_worst_pair_is_the_containers_verdict() -> None:
    story = ready()
    story.learn(story.cluster_policy("block-apt"))
    pod = covered(story)
    story.wait(5)
    story.cluster_policy("block-yum", rules=BLOCK_YUM)
    assert story.overall(pod) == "pending"
    story.cluster_policy("patterns", rules=BLOCK_PATTERN)
    assert story.overall(pod) == "gap rule-not-enforceable"


def test_a_container_without_expected_policy_is_unpoliced() -> None:
    story = ready()
    story.cluster_policy(only_in=["elsewhere"])
    pod = story.pod()
    story.wait(60)
    assert story.overall(pod) == "unpoliced"
    assert story.container(pod).policies == ()


def test_alerts_alone_cover_where_no_text_is_read() -> None:
    story = ready(text=False)
    story.cluster_policy()
    pod = story.pod()
    story.wait(100)
    story.alert(pod, KubeArmorVersion="v1.7.4")
    assert story.verdict(pod) == "covered proven"


def test_a_standing_proof_outlives_an_outage_of_alerts_and_text() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.alert(pod)
    story.down("text/node-a", *FEEDS)
    story.wait(600)
    assert story.verdict(pod) == "covered proven"


def test_a_policy_that_was_touched_for_months_is_judged_as_ever() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.keep_touching(story.policies[0], pod, times=700)
    assert story.verdict(pod) == "covered applied"
    story.edit(story.policies[0])
    assert story.verdict(pod) == "pending"
    story.keep_touching(story.policies[0], pod, times=700)
    assert story.verdict(pod) == "covered applied"


def test_a_list_has_the_labels_with_which_the_daemon_first_saw_the_pod() -> None:
    story = ready(release="v1.5.7")
    pod = story.pod(labels={"app": "web"})
    story.wait(1)
    story.relabel(pod, app="db")
    story.wait(1)
    story.register(pod)
    story.see(pod)
    story.intend(pod)
    story.wait(5)
    policy = story.policy("guard", labels={"app": "db"})
    story.learn(policy)
    story.push(pod)
    story.wait(15)
    assert story.verdict(pod, policy) == "covered applied"
