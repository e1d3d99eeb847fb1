"""What was covered and is not any more (design, sections 3 and 5)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from tests.core.stories import (
    AUDIT_APT,
    BLOCK_APT,
    BLOCK_PATTERN,
    BLOCK_YUM,
    PodOf,
    PolicyOf,
    Story,
    covered,
    ready,
)


def protected(*, release: str = "v1.7.4", settled: float = 20) -> tuple[Story, PodOf]:
    """A story with one covered container, some time after its start."""
    story = ready(release=release)
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(settled)
    return story, pod


# --- the daemon ends ----------------------------------------------------------------------------


def test_a_killed_daemon_loses_its_containers_at_once() -> None:
    story, pod = protected()
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"
    assert story.gaps() == ["open lost daemon-down shop/cart/app"]


def test_a_daemon_that_says_that_it_terminates_has_ended() -> None:
    """Lines after it prove nothing."""
    story, pod = protected()
    story.say("Got a signal to terminate KubeArmor")
    assert story.pair(pod).verdict == "lost"
    story.push(pod)
    assert story.pair(pod).verdict == "lost"


def test_a_loss_begins_when_the_incarnation_ended() -> None:
    story, _ = protected()
    story.kill()
    (gap,) = story.open_gaps()
    assert gap.since[0] == story.now


@pytest.mark.parametrize("settled", [0, 5, 60])
def test_a_loss_needs_no_grace(settled: float) -> None:
    story, pod = protected(settled=settled)
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"


def test_a_loss_keeps_its_cause_until_the_first_new_evidence() -> None:
    story, pod = protected()
    story.kill()
    story.wait(3)
    story.revive()
    story.begin()
    story.wait(20)
    assert story.verdict(pod) == "lost daemon-down"
    story.boot()
    assert story.verdict(pod) == "lost daemon-down"
    story.see(pod)
    assert story.verdict(pod) == "lost daemon-down"
    story.push(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == ["closed lost daemon-down shop/cart/app"]


@pytest.mark.parametrize("end", [Story.delete, Story.restart])
def test_a_container_that_ends_after_a_daemons_restart_is_not_lost_to_it_again(
    end: Callable[[Story, PodOf], object],
) -> None:
    """The runtime's word of its end comes before the API server's."""
    story, pod = protected()
    story.kill()
    story.wait(3)
    story.revive()
    story.boot()
    story.write(pod)
    story.wait(30)
    story.unregister(pod)
    story.wait(0.5)
    end(story, pod)
    (gap,) = story.report().gaps
    assert (gap.state, gap.reopened) == ("closed", 0)


def test_rules_that_are_said_to_be_removed_once_more_were_removed_once() -> None:
    """A push of no rules deletes a map that is no more."""
    story, pod = protected()
    story.strip(pod)
    (gap,) = story.open_gaps()
    story.wait(5)
    story.strip(pod)
    assert story.open_gaps() == (gap,)
    assert story.gaps() == ["open lost rules-removed shop/cart/app"]


def test_a_daemon_that_was_created_anew_and_is_not_started_yet_has_not_ended() -> None:
    story, pod = protected()
    story.kill()
    story.wait(3)
    story.recreate()
    story.wait(1)
    story.revive()
    story.boot()
    story.see(pod)
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_the_last_lines_of_a_replaced_daemon_may_come_after_the_first_of_its_successor(
    *, late: bool
) -> None:
    story, pod = protected()
    former = story.daemons["node-a"]

    def farewell() -> None:
        successor, story.daemons["node-a"] = story.daemons["node-a"], former
        story.push(pod)
        story.say("Got a signal to terminate KubeArmor", "Terminated KubeArmor")
        story.daemons["node-a"] = successor

    if not late:
        farewell()
    story.terminate(former.pod)
    story.delete(former.pod)
    story.wait(1)
    story.daemon()
    story.boot()
    if late:
        farewell()
    assert story.verdict(pod) == "lost daemon-replaced"
    story.see(pod)
    story.push(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == ["closed lost daemon-replaced shop/cart/app"]


def test_a_daemon_that_does_not_come_back_stays_down() -> None:
    story, pod = protected()
    story.kill()
    story.wait(3600)
    assert story.verdict(pod) == "lost daemon-down"
    assert len(story.gaps()) == 1


def test_a_crash_stays_the_cause_though_the_daemon_is_replaced_after_it_ran_again() -> None:
    story, _ = protected()
    story.kill()
    story.wait(3)
    story.revive()
    story.wait(1)
    story.replace()
    assert story.gaps() == ["open lost daemon-down shop/cart/app"]


def test_a_replaced_daemon_loses_its_containers_until_the_successor_writes() -> None:
    story, pod = protected()
    story.replace()
    assert story.verdict(pod) == "lost daemon-replaced"
    story.boot()
    assert story.verdict(pod) == "lost daemon-replaced"
    story.write(pod)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == ["closed lost daemon-replaced shop/cart/app"]


def test_a_daemons_pod_deleted_for_good_is_lost_too() -> None:
    story, pod = protected()
    story.dismiss()
    story.wait(60)
    assert story.pair(pod).verdict == "lost"


def test_a_successors_first_line_ends_the_one_before() -> None:
    """Even if nobody told us that the old daemon's Pod is gone."""
    story, pod = protected()
    story.down("kubernetes/pods")
    story.daemon()
    story.begin()
    story.up("kubernetes/pods")
    assert story.pair(pod).verdict == "lost"


def test_only_the_node_of_the_daemon_is_concerned() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.cluster_policy()
    story.learn(policy, node="node-a")
    story.learn(policy, node="node-b")
    here = covered(story, name="here", node="node-a")
    there = covered(story, name="there", node="node-b")
    story.kill("node-a")
    assert story.verdict(here) == "lost daemon-down"
    assert story.verdict(there) == "covered applied"


def test_a_container_never_covered_is_a_gap_when_the_daemon_ends() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(3)
    story.kill()
    story.wait(10)
    assert story.verdict(pod) == "gap daemon-down"


def test_a_successor_that_does_not_write_leaves_the_loss_open() -> None:
    story, pod = protected()
    story.kill()
    story.revive()
    story.boot()
    story.wait(120)
    assert story.pair(pod).verdict == "lost"
    assert len(story.open_gaps()) == 1


def test_a_successor_without_enforcer_is_lost_or_gap_by_its_cause() -> None:
    story, pod = protected()
    story.replace()
    story.begin()
    story.say("Disabled KubeArmor Enforcer: none", "Initialized KubeArmor")
    story.wait(15)
    assert story.pair(pod).cause == "enforcer-absent"


# --- the daemon ends, and the Pod's labels or mode change -----------------------------------------


def labelled(
    *, rules: Mapping[str, Any], labels: Mapping[str, str], settled: float = 20, mode: str = ""
) -> tuple[Story, PodOf, PolicyOf]:
    """A container, and a policy for the label `app=db` beside one for all."""
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"}, rules=rules)
    story.learn(base, wanted)
    annotations = {"kubearmor-policy": mode} if mode else {}
    pod = covered(story, labels=labels, annotations=annotations)
    story.wait(settled)
    return story, pod, wanted


RULES: Final = pytest.mark.parametrize("rules", [BLOCK_APT, AUDIT_APT], ids=["block", "audit"])


def replaced(story: Story) -> None:
    story.dismiss()
    story.wait(0.3)


@RULES
@pytest.mark.parametrize("settled", [0.2, 20])
def test_a_policy_that_new_labels_bring_is_not_lost_with_a_daemon_that_ended_before(
    *, rules: Mapping[str, Any], settled: float
) -> None:
    story, pod, wanted = labelled(rules=rules, labels={"app": "web"}, settled=settled)
    replaced(story)
    story.relabel(pod, app="db")
    early = story.verdict(pod, wanted)
    story.daemon()
    story.wait(1)
    story.boot()
    story.wait(15)
    assert (early, story.verdict(pod, wanted)) == ("pending", "gap unexplained")


@RULES
def test_a_policy_that_new_labels_bring_is_not_lost_with_a_daemon_that_did_not_handle_them(
    *, rules: Mapping[str, Any]
) -> None:
    story, pod, wanted = labelled(rules=rules, labels={"app": "web"})
    story.relabel(pod, app="db")
    story.wait(0.1)
    replaced(story)
    assert story.verdict(pod, wanted) == "pending"


@RULES
def test_a_policy_that_new_labels_brought_is_lost_with_a_daemon_that_handled_them(
    *, rules: Mapping[str, Any]
) -> None:
    story, pod, wanted = labelled(rules=rules, labels={"app": "web"})
    story.relabel(pod, app="db")
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    replaced(story)
    assert story.verdict(pod, wanted) == "lost daemon-replaced"


def test_labels_that_change_and_change_back_after_the_end_leave_the_loss() -> None:
    story, pod, wanted = labelled(rules=AUDIT_APT, labels={"app": "db"})
    replaced(story)
    story.relabel(pod, app="web")
    story.wait(1)
    story.relabel(pod, app="db")
    assert story.verdict(pod, wanted) == "lost daemon-replaced"


def test_what_an_alert_proved_for_former_labels_is_not_lost_with_a_later_end() -> None:
    story, pod, wanted = labelled(rules=AUDIT_APT, labels={"app": "db"})
    story.alert(pod, "wanted", Action="Audit", Enforcer="eBPF Monitor", Result="Passed")
    assert story.verdict(pod, wanted) == "covered proven"
    story.relabel(pod, app="web")
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    replaced(story)
    story.relabel(pod, app="db")
    assert story.verdict(pod, wanted) == "pending"


@RULES
def test_a_pod_that_is_enabled_after_the_end_has_lost_nothing(*, rules: Mapping[str, Any]) -> None:
    story, pod, wanted = labelled(rules=rules, labels={"app": "db"}, mode="audited")
    replaced(story)
    story.annotate(pod, kubearmor_policy="enabled")
    assert story.verdict(pod, wanted) == "pending"


def test_labels_that_nobody_read_a_daemon_handle_bring_no_rules() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    story.down("text/node-a")
    wanted = story.policy("wanted", labels={"app": "db"})
    story.learn(wanted)
    story.wait(1)
    story.up("text/node-a")
    story.learn(base)
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.relabel(pod, app="db")
    before = story.verdict(pod, wanted)
    replaced(story)
    assert (before, story.verdict(pod, wanted)) == ("pending", "pending")


# --- the rules are removed ----------------------------------------------------------------------


def test_rules_that_the_daemon_takes_away_are_rules_removed_at_once() -> None:
    story, pod = protected()
    story.strip(pod)
    assert story.verdict(pod) == "lost rules-removed"
    assert story.gaps() == ["open lost rules-removed shop/cart/app"]


def test_rules_that_come_back_close_the_loss() -> None:
    story, pod = protected()
    story.strip(pod)
    story.wait(7)
    story.push(pod)
    assert story.verdict(pod) == "covered applied"
    (gap,) = story.report().gaps
    assert gap.state == "closed"
    assert gap.until is not None
    assert gap.until[0] - gap.since[0] == pytest.approx(7, abs=0.01)


def test_a_container_that_the_runtime_removed_has_lost_its_rules() -> None:
    """Its process may run on: unless its status says within the grace that it ended (F29)."""
    story, pod = protected()
    removed = story.now
    story.unregister(pod)
    assert story.verdict(pod) == "pending"
    story.wait(12)
    assert story.verdict(pod) == "lost rules-removed"
    (gap,) = story.open_gaps()
    assert gap.since[0] == pytest.approx(removed, abs=1.01)


def test_a_covered_container_that_is_stopped_and_started_again_was_never_unprotected() -> None:
    story, pod = protected()
    story.unregister(pod)
    story.restart(pod)
    assert [gap for gap in story.gaps() if "rules-removed" not in gap] == []


def test_the_map_may_go_where_no_rule_with_a_kernel_form_is_expected() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(20)
    story.edit(policy, rules=AUDIT_APT)
    story.learn(policy, action="modified")
    story.strip(pod)
    story.wait(15)
    assert story.verdict(pod) == "covered inferred"


def test_a_policy_edited_to_what_cannot_be_enforced_is_a_gap() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(20)
    story.edit(policy, rules=BLOCK_PATTERN)
    story.learn(policy, action="modified")
    story.strip(pod)
    story.wait(15)
    assert story.verdict(pod) == "gap rule-not-enforceable"


def test_the_rules_of_all_policies_go_together() -> None:
    story = ready()
    one, other = story.cluster_policy("one"), story.cluster_policy("two", rules=BLOCK_YUM)
    story.learn(one, other)
    pod = covered(story)
    story.wait(20)
    story.strip(pod)
    assert {story.verdict(pod, one), story.verdict(pod, other)} == {"lost rules-removed"}
    assert len(story.open_gaps()) == 1


# --- the rules are contradicted -----------------------------------------------------------------


def test_a_forbidden_action_that_passed_after_the_write_contradicts() -> None:
    story, pod = protected()
    story.log(pod)
    assert story.verdict(pod) == "lost contradicted"


def test_it_contradicts_a_proof_before_it_too() -> None:
    story, pod = protected()
    story.alert(pod)
    story.wait(5)
    story.log(pod)
    assert story.verdict(pod) == "lost contradicted"


def test_a_proof_after_it_is_the_later_fact() -> None:
    story, pod = protected()
    story.log(pod)
    story.wait(5)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_a_write_after_it_is_the_later_fact() -> None:
    story, pod = protected()
    story.log(pod)
    story.wait(5)
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def test_the_daemons_stamps_decide_which_is_later_not_the_arrival() -> None:
    story, pod = protected()
    story.alert(pod)
    story.log(pod, ago=5)
    assert story.verdict(pod) == "covered proven"


def test_the_same_action_before_the_write_contradicts_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(1)
    story.log(pod)
    story.wait(4)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "/usr/bin/apt", "fromSource": [{"path": "/bin/sh"}]},
        {"path": "/usr/bin/apt", "ownerOnly": True},
        {"path": "/usr/bin/apt", "readOnly": True},
        {"path": "/usr/bin/yum"},
        {"path": "/usr/bin/apt", "action": "Audit"},
    ],
    ids="/".join,
)
def test_only_an_exact_path_that_is_blocked_without_conditions_is_contradicted(
    rule: dict[str, object],
) -> None:
    story = ready()
    rules = {"process": {"matchPaths": [rule, {"path": "/bin/true"}]}, "action": "Block"}
    story.learn(story.cluster_policy(rules=rules))
    pod = covered(story)
    story.wait(20)
    story.log(pod)
    assert story.verdict(pod) == "covered applied"


@pytest.mark.parametrize(
    "fields",
    [{"Result": "Permission denied"}, {"Operation": "File"}, {"Resource": "/usr/bin/curl x"}],
    ids=lambda fields: ",".join(fields.values()),
)
def test_what_is_no_forbidden_action_contradicts_nothing(fields: dict[str, Any]) -> None:
    story, pod = protected()
    story.log(pod, **fields)
    assert story.verdict(pod) == "covered applied"


def test_an_alert_that_it_would_have_been_blocked_contradicts() -> None:
    """`Audit (Block)` by eBPF Monitor: matched, and not enforced (dossier 4.3)."""
    story, pod = protected()
    story.alert(pod, Action="Audit (Block)", Enforcer="eBPF Monitor", Result="Passed")
    assert story.verdict(pod) == "lost contradicted"


def test_a_contradiction_does_not_outlive_the_daemon() -> None:
    story, pod = protected()
    story.log(pod)
    story.replace()
    story.boot()
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_rules_that_the_next_daemon_takes_away_are_another_loss() -> None:
    story, pod = protected()
    story.kill()
    story.wait(1)
    story.revive()
    story.boot()
    story.learn(*story.policies)
    story.write(pod)
    story.wait(20)
    story.strip(pod)
    story.wait(5)
    assert story.verdict(pod) == "lost rules-removed"
    assert story.gaps() == [
        "closed lost daemon-down shop/cart/app",
        "open lost rules-removed shop/cart/app",
    ]
