"""Host and network policies are judged per node (dossier 5.4, 5.5, 6.6; design 3)."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.model import NodeCoverage, PairState
from tests.core.histories import ending, interleaved
from tests.core.stories import (
    AUDIT_APT,
    BLOCK_APT,
    BLOCK_PATTERN,
    BLOCK_YUM,
    ZERO,
    PolicyOf,
    Story,
    covered,
    listening,
    ready,
)

GRACE = 10.0


def guarded(**setting: Any) -> tuple[Story, PolicyOf]:  # the arguments of ready
    """A host policy that the daemon of node-a learned of; read some seconds later."""
    story = ready(hosts=True, **setting)
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    story.wait(5)
    return story, policy


def fenced(**setting: Any) -> tuple[Story, PolicyOf]:  # the arguments of ready
    """A network policy for Linux nodes that the daemon of node-a learned of."""
    story = ready(**setting)
    policy = story.network_policy(nodes={"kubernetes.io/os": "linux"})
    story.wait(0.2)
    story.learn(policy)
    story.wait(5)
    return story, policy


def node(story: Story, name: str = "node-a") -> NodeCoverage:
    (found,) = [one for one in story.report().nodes if one.node == name]
    return found


# --- in force -----------------------------------------------------------------------------------


def test_a_host_policy_is_covered_by_inference_once_the_daemon_named_it() -> None:
    story, policy = guarded()
    (pair,) = node(story).policies
    assert pair.since is not None
    assert pair == PairState(
        kind="KubeArmorHostPolicy",
        namespace="",
        name="guard",
        generation=1,
        expected=True,
        predicted=True,
        verdict="covered",
        grade="inferred",
        since=pair.since,
    )
    assert 0.0 <= pair.since[1] - ZERO < 0.201
    assert story.host(policy) == "covered inferred"


def test_a_network_policy_is_covered_by_inference_once_the_daemon_named_it() -> None:
    story, policy = fenced()
    assert story.host(policy) == "covered inferred"


def test_the_pairs_of_a_node_are_sorted_by_kind_and_name() -> None:
    story = ready(hosts=True)
    for name in ("b", "a"):
        story.network_policy(name, nodes={"kubernetes.io/os": "linux"})
        story.host_policy(name)
    assert [(pair.kind, pair.name) for pair in node(story).policies] == [
        ("KubeArmorHostPolicy", "a"),
        ("KubeArmorHostPolicy", "b"),
        ("KubeArmorNetworkPolicy", "a"),
        ("KubeArmorNetworkPolicy", "b"),
    ]


def test_a_policy_for_other_nodes_is_not_in_the_report_of_this_one() -> None:
    story = ready(hosts=True, nodes=["node-a", "node-b"])
    policy = story.host_policy(nodes={"kubernetes.io/hostname": "node-b"})
    for name in ("node-a", "node-b"):
        story.learn(policy, node=name)
    assert [story.host(policy, name) for name in ("node-a", "node-b")] == ["", "covered inferred"]


def test_a_policy_without_labels_selects_no_node() -> None:
    story = ready(hosts=True)
    story.learn(story.host_policy(nodes={}), story.network_policy(nodes={}))
    assert node(story).policies == ()


PROOFS: dict[str, tuple[dict[str, Any], str]] = {
    "a refusal": ({}, "proven"),
    "a refusal by AppArmor": ({"Enforcer": "AppArmor"}, "proven"),
    "an event that passed": ({"Result": "Passed"}, "inferred"),
    "a match of the tracer": ({"Enforcer": "eBPF Monitor"}, "inferred"),
    "a policy of another name": ({"policy": "other"}, "inferred"),
    "a container's policy": ({"Type": "MatchedPolicy"}, "inferred"),
    "a network policy": ({"Type": "MatchedNetworkPolicy"}, "inferred"),
    "another host": ({"host": "node-b"}, "inferred"),
    "another rule": ({"Resource": "/usr/bin/yum"}, "inferred"),
    "an audit that the policy has no rule for": ({"Action": "Audit"}, "inferred"),
}


@pytest.mark.parametrize("what", PROOFS)
def test_a_host_policy_is_proven_by_an_alert_of_its_effect(what: str) -> None:
    story, policy = guarded()
    fields, grade = PROOFS[what]
    story.host_alert(**fields)
    assert story.host(policy) == f"covered {grade}"


def test_an_audit_rule_is_proven_by_its_alert() -> None:
    story = ready(hosts=True)
    policy = story.host_policy(rules=AUDIT_APT)
    story.learn(policy)
    story.wait(5)
    story.host_alert(Action="Audit", Result="Passed", Enforcer="eBPF Monitor")
    assert story.host(policy) == "covered proven"


@pytest.mark.parametrize(
    "fields", [{}, {"Action": "Audit", "Result": "Passed"}], ids=["Block", "Audit"]
)
def test_a_network_policy_is_proven_by_an_alert_with_its_name(fields: dict[str, Any]) -> None:
    story, policy = fenced()
    story.host_alert(
        "fence",
        **{
            "Type": "MatchedNetworkPolicy",
            "Operation": "NetworkFirewall",
            "Resource": "INGRESS",
            "Enforcer": "NetworkPolicyEnforcer",
            **fields,
        },
    )
    assert story.host(policy) == "covered proven"


def test_an_alert_bears_the_name_that_the_daemon_gave_its_node() -> None:
    story, policy = guarded()
    story.host_alert(host="ip-10-0-0-7")
    assert story.host(policy) == "covered inferred"
    story.say("Node Name: ip-10-0-0-7")
    assert story.host(policy) == "covered proven"


def test_an_alert_of_a_host_that_nobody_knows_makes_no_node() -> None:
    story, _ = guarded()
    story.host_alert(host="nowhere")
    assert [one.node for one in story.report().nodes] == ["node-a"]


def test_an_alert_with_a_name_that_two_nodes_bear_proves_nothing() -> None:
    story, policy = guarded(nodes=["node-a", "node-b"])
    story.say("Node Name: localhost")
    story.say("Node Name: localhost", node="node-b")
    story.host_alert(host="localhost")
    assert story.host(policy) == "covered inferred"
    story.host_alert(host="localhost", via="daemon:node-a")
    assert story.host(policy) == "covered proven"


def test_an_alert_about_an_earlier_revision_proves_nothing_of_the_present_one() -> None:
    story, policy = guarded()
    story.host_alert()
    story.wait(1)
    story.edit(policy, rules=BLOCK_YUM)
    story.wait(0.2)
    story.learn(policy, action="modified")
    assert story.host(policy) == "covered inferred"


def test_a_daemon_that_ended_takes_its_proof_with_it() -> None:
    story, policy = guarded()
    story.host_alert()
    story.wait(1)
    story.kill()
    assert story.host(policy) == "lost daemon-down"
    story.wait(1)
    story.revive()
    story.wait(1)
    story.boot()
    assert story.host(policy) == "covered inferred"


def test_what_passes_against_a_policy_contradicts_it() -> None:
    story, policy = guarded()
    story.host_alert(Action="Audit (Block)", Result="Passed", Enforcer="eBPF Monitor")
    assert story.host(policy) == "gap contradicted"
    story.wait(3)
    story.host_alert()
    assert story.host(policy) == "covered proven"


def test_what_passed_before_a_revision_does_not_contradict_it() -> None:
    story, policy = guarded()
    story.host_alert(Action="Audit (Block)", Result="Passed", Enforcer="eBPF Monitor")
    assert story.host(policy) == "gap contradicted"
    story.wait(3)
    story.edit(policy, {**BLOCK_APT, "message": "no packages"})
    assert story.host(policy) == "pending"


def test_nothing_that_a_process_does_contradicts_a_network_policy() -> None:
    story, policy = fenced()
    story.edit(policy, BLOCK_APT)
    story.learn(policy, action="modified")
    story.wait(5)
    story.host_alert(
        policy.name,
        Type="MatchedNetworkPolicy",
        Action="Audit (Block)",
        Result="Passed",
        Enforcer="eBPF Monitor",
    )
    assert story.host(policy) == "covered inferred"


def test_what_passes_after_a_proof_contradicts_it() -> None:
    story, policy = guarded()
    story.host_alert()
    story.wait(3)
    story.host_alert(Action="Audit (Block)", Result="Passed", Enforcer="eBPF Monitor")
    assert story.host(policy) == "gap contradicted"


def test_what_passed_before_the_last_evaluation_says_nothing_of_now() -> None:
    story, policy = guarded()
    story.host_alert(Action="Audit (Block)", Result="Passed", Enforcer="eBPF Monitor")
    story.wait(3)
    story.touch(policy)
    story.learn(policy, action="modified")
    assert story.host(policy) == "covered inferred"


# --- not in force -------------------------------------------------------------------------------


def test_a_daemon_that_is_not_told_to_protect_its_host_leaves_its_policies_inactive() -> None:
    story = ready(hosts=False)
    policy = story.host_policy()
    assert story.host(policy) == "gap host-policy-inactive"
    assert node(story).policies[0].predicted is False


def test_the_configuration_alone_says_that_host_policies_are_off() -> None:
    story = listening()
    story.daemon()
    story.begin()
    story.say("Initialized BPF-LSM Enforcer", "Initialized KubeArmor")
    story.until(0)
    assert story.host(story.host_policy()) == "gap host-policy-inactive"


def test_a_daemon_without_network_enforcer_leaves_network_policies_inactive() -> None:
    story = ready()
    story.say(
        "Failed to initialize KubeArmor Network Policy Enforcer: nft command not found in $PATH",
        level="WARN",
    )
    policy = story.network_policy(nodes={"kubernetes.io/os": "linux"})
    assert story.host(policy) == "gap host-policy-inactive"


def test_a_watch_that_died_leaves_host_policies_inactive() -> None:
    story = ready(hosts=True)
    story.say(
        "timeout while monitoring host security policies, kubearmorhostpolicies CRD not found",
        level="WARN",
    )
    assert story.host(story.host_policy()) == "gap host-policy-inactive"


def test_silence_about_a_policy_is_a_gap_after_the_grace() -> None:
    story = ready(hosts=True)
    policy = story.host_policy()
    story.wait(GRACE - 0.01)
    assert story.host(policy) == "pending"
    story.wait(0.02)
    assert story.host(policy) == "gap unexplained"


def test_a_pending_host_policy_becomes_a_gap_at_its_own_instant() -> None:
    story = ready(hosts=True)
    story.host_policy()
    due = story.core.next_deadline()
    assert due == ZERO + GRACE
    story.core.tick(due)
    assert story.core.statistics(due).host_pairs == {"gap": 1}
    following = story.core.next_deadline()
    assert following is None or following > due


def test_a_new_revision_is_pending_until_the_daemon_names_it() -> None:
    story, policy = guarded()
    story.edit(policy, rules=BLOCK_YUM)
    assert story.host(policy) == "pending"
    story.wait(0.3)
    story.learn(policy, action="modified")
    assert story.host(policy) == "covered inferred"


def test_a_node_relabelled_into_a_policy_is_a_gap_until_a_host_policy_is_touched() -> None:
    story = ready(hosts=True)
    policy = story.host_policy(nodes={"zone": "a"})
    story.learn(policy)
    story.wait(20)
    story.remark(zone="a")
    assert story.host(policy) == "pending"
    story.wait(GRACE)
    assert story.host(policy) == "gap host-policy-inactive"
    other = story.host_policy("other", nodes={"zone": "b"})
    story.wait(0.2)
    story.learn(other)
    assert story.host(policy) == "covered inferred"


def test_a_touch_within_a_second_of_the_relabelling_may_have_come_before_it() -> None:
    verdicts = {}
    for pause in (0.5, 1.5):
        story = ready(hosts=True)
        policy = story.host_policy(nodes={"zone": "a"})
        story.learn(policy)
        story.wait(20)
        story.remark(zone="a")
        story.wait(pause)
        story.touch(policy)
        story.learn(policy, action="modified")
        story.wait(15)
        verdicts[pause] = story.host(policy)
    assert verdicts == {0.5: "gap host-policy-inactive", 1.5: "covered inferred"}


def test_a_network_policy_heals_with_the_next_pod_only_from_v1_7_4_on() -> None:
    verdicts = {}
    for release in ("v1.6.19", "v1.7.4"):
        story = ready(release=release)
        policy = story.network_policy(nodes={"zone": "a"})
        story.learn(policy)
        story.wait(20)
        story.remark(zone="a")
        story.wait(15)
        story.see(story.pod())
        verdicts[release] = story.host(policy)
    assert verdicts == {"v1.6.19": "gap host-policy-inactive", "v1.7.4": "covered inferred"}


def test_a_node_relabelled_away_and_back_keeps_what_was_in_force() -> None:
    story = ready(hosts=True)
    story.remark(zone="a")
    story.wait(5)
    policy = story.host_policy(nodes={"zone": "a"})
    story.learn(policy)
    story.wait(5)
    story.remark(zone="b")
    story.wait(20)
    story.remark(zone="a")
    assert story.host(policy) == "covered inferred"


@pytest.mark.parametrize(
    ("before", "verdict"), [("a", "covered inferred"), ("b", "gap host-policy-inactive")]
)
def test_many_changes_of_other_labels_hide_no_change_that_matters(
    before: str, verdict: str
) -> None:
    story = ready(hosts=True)
    story.remark(zone=before)
    story.wait(5)
    policy = story.host_policy(nodes={"zone": "a"})
    story.learn(policy)
    for number in range(40):
        story.wait(5)
        story.remark(zone="a", number=str(number))
    story.wait(GRACE)
    assert story.host(policy) == verdict


@pytest.mark.parametrize("earlier", [1, 2])
@pytest.mark.parametrize("turn", [1, 10, 25])
@pytest.mark.parametrize("other", [{"zone": "b"}, {"zone": "a", "mode": "audited"}])
def test_a_node_that_changes_all_the_time_is_taken_for_selected_only_where_it_surely_was(
    other: dict[str, str], turn: int, earlier: int
) -> None:
    story = ready(hosts=True)
    policy = story.host_policy(nodes={"zone": "a"})
    for mode in (None, "disabled")[:earlier]:
        story.remark(mode=mode, row=str(mode), rack="1", pool="blue", size="big")
    for number in range(40):
        story.remark(**other)
        story.wait(5)
        if number == turn:
            story.learn(policy)
        story.wait(5)
        story.remark(zone="a")
        story.wait(10)
    assert story.host(policy) == "gap host-policy-inactive"


def test_while_many_labels_change_an_exemption_is_not_forgotten() -> None:
    story = ready(hosts=True)
    story.remark(mode="audited")
    story.wait(5)
    policy = story.host_policy()
    story.learn(policy)
    for number in range(40):
        story.wait(5)
        story.remark(number=str(number))
    assert story.host(policy) == "gap host-policy-inactive"


def test_a_node_that_was_exempt_or_left_out_while_unseen_is_not_in_excess() -> None:
    story = ready(hosts=True)
    story.remark(zone="a")
    policy = story.host_policy(nodes={"zone": "a"})
    story.wait(3)
    story.learn(policy)
    story.wait(20)
    story.down("kubernetes/nodes")
    story.remark(zone="b")
    story.wait(3)
    story.touch(policy)
    story.learn(policy, action="modified")
    story.wait(3)
    story.up("kubernetes/nodes")
    assert story.host(policy) == ""


def test_an_audited_node_has_no_host_policy_in_excess() -> None:
    story = ready(hosts=True)
    story.remark(mode="audited", zone="a")
    policy = story.host_policy(nodes={"zone": "a"})
    story.wait(3)
    story.learn(policy)
    story.wait(5)
    story.remark(mode="audited", zone="b")
    assert story.host(policy) == ""


def test_other_labels_of_a_node_make_no_difference() -> None:
    story, policy = guarded()
    story.remark(zone="a")
    assert story.host(policy) == "covered inferred"


def test_a_node_relabelled_away_keeps_the_policy_until_the_next_evaluation() -> None:
    story = ready(hosts=True)
    story.remark(zone="a")
    policy = story.host_policy(nodes={"zone": "a"})
    story.wait(3)
    story.learn(policy)
    story.wait(20)
    story.remark(zone="b")
    assert story.host(policy) == "excess"
    story.wait(5)
    story.touch(policy)
    story.learn(policy, action="modified")
    assert story.host(policy) == ""


def test_a_deleted_policy_that_the_daemon_keeps_is_in_excess() -> None:
    story, policy = guarded()
    story.remove(policy)
    assert story.host(policy) == "excess"
    story.learn(policy, action="deleted")
    assert story.host(policy) == ""


SKEWED: list[tuple[str, str, str]] = [
    ("host list", "v1.7.3", "gap version-skew"),
    ("host list", "v1.7.4", "covered inferred"),
    ("host pattern", "v1.6.4", "gap version-skew"),
    ("host pattern", "v1.7.4", "covered inferred"),
    ("network", "v1.6.13", "gap version-skew"),
    ("network", "v1.6.14", "covered inferred"),
    ("network of Pods", "v1.7.3", "gap version-skew"),
    ("network of Pods", "v1.7.4", "covered inferred"),
]


@pytest.mark.parametrize(("what", "release", "verdict"), SKEWED)
def test_a_release_that_does_not_know_what_a_policy_uses_is_skewed(
    what: str, release: str, verdict: str
) -> None:
    story = ready(release=release, hosts=True)
    pod = story.pod(labels={"app": "cart"})
    story.see(pod)
    policies = {
        "host list": lambda: story.host_policy(nodes={"kubernetes.io/hostname": "x,node-a"}),
        "host pattern": lambda: story.host_policy(nodes={"kubernetes.io/hostnamereg": "node-*"}),
        "network": lambda: story.network_policy(nodes={"kubernetes.io/os": "linux"}),
        "network of Pods": lambda: story.network_policy(pods={"app": "cart"}),
    }
    policy = policies[what]()
    if verdict.startswith("covered"):
        story.wait(0.2)
        story.learn(policy)
    assert story.host(policy) == verdict


@pytest.mark.parametrize("release", ["v1.6.14", "v1.7.4"])
def test_a_network_policy_that_selects_pods_does_not_fall_on_other_nodes(release: str) -> None:
    story = ready(release=release)
    policy = story.network_policy(nodes={"kubernetes.io/os": "linux"}, pods={"app": "cart"})
    story.wait(0.2)
    story.learn(policy)
    assert story.host(policy) == {"v1.6.14": "excess", "v1.7.4": ""}[release]


def test_a_policy_for_another_node_is_not_in_excess_while_its_revision_is_unread() -> None:
    story = ready(release="v1.7.3", hosts=True)
    policy = story.host_policy(nodes={"kubearmor.io/hostname": "elsewhere"})
    story.wait(0.2)
    story.learn(policy)
    story.edit(policy)
    assert story.host(policy) == ""


def test_without_an_enforcer_no_host_policy_is_in_excess() -> None:
    story = without_enforcer()
    policy = story.host_policy()
    story.learn(policy)
    story.remove(policy)
    assert story.host(policy) == ""


def test_an_old_release_that_takes_a_missing_host_name_for_a_match_is_in_excess() -> None:
    story = ready(release="v1.7.3", hosts=True)
    policy = story.host_policy(nodes={"kubearmor.io/hostname": "elsewhere"})
    story.wait(0.2)
    story.learn(policy)
    assert story.host(policy) == "excess"


UNKNOWN_RELEASE: dict[str, str] = {
    "plain label": "covered inferred",
    "host pattern": "unknown release-unknown",
    "network": "covered inferred",
}


@pytest.mark.parametrize("what", UNKNOWN_RELEASE)
def test_an_unknown_release_attaches_what_all_releases_would(what: str) -> None:
    story = listening()
    story.protects_hosts = True
    story.daemon(release="v1.3.0")
    story.boot()
    story.until(0)
    plain = {"kubernetes.io/os": "linux"}
    policy = {
        "plain label": lambda: story.host_policy(nodes=plain),
        "host pattern": lambda: story.host_policy(nodes={"kubernetes.io/hostnamereg": "node-*"}),
        "network": lambda: story.network_policy(nodes=plain),
    }[what]()
    story.wait(0.2)
    story.learn(policy)
    story.wait(15)
    assert story.host(policy) == UNKNOWN_RELEASE[what]


def test_a_policy_whose_rules_have_no_kernel_form_cannot_be_enforced() -> None:
    capability = {"capabilities": {"matchCapabilities": [{"capability": "net_raw"}]}}
    story = ready(hosts=True)
    policies = [
        story.host_policy("pattern", rules=BLOCK_PATTERN),
        story.host_policy("capability", rules=capability),
    ]
    story.learn(*policies)
    assert [story.host(policy) for policy in policies] == ["gap rule-not-enforceable"] * 2


# --- network policies that select Pods ----------------------------------------------------------


def test_a_network_policy_for_pods_concerns_the_nodes_that_run_such_pods() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.network_policy(pods={"app": "cart"})
    for name in ("node-a", "node-b"):
        story.learn(policy, node=name)
    pod = covered(story, labels={"app": "cart"}, namespace="default")
    assert [story.host(policy, name) for name in ("node-a", "node-b")] == ["covered inferred", ""]
    story.delete(pod)
    assert story.host(policy) == ""


def test_a_pod_that_the_daemon_has_not_handled_makes_its_network_policy_wait() -> None:
    story = ready()
    policy = story.network_policy(pods={"app": "cart"})
    story.learn(policy)
    story.wait(5)
    pod = story.pod(labels={"app": "cart"})
    assert story.host(policy) == "pending"
    story.wait(12)
    assert story.host(policy) == "gap unexplained"
    story.see(pod)
    assert story.host(policy) == "covered inferred"


def test_a_pod_waiting_too_long_is_not_excused_by_a_younger_one() -> None:
    story = ready()
    policy = story.network_policy(pods={"app": "cart"})
    story.learn(policy)
    story.wait(5)
    story.pod(labels={"app": "cart"})
    story.wait(8)
    story.pod("younger", labels={"app": "cart"})
    story.wait(4)
    assert story.host(policy) == "gap unexplained"


def test_a_network_policy_for_pods_is_missing_since_the_first_one_that_was_not_handled() -> None:
    story = ready()
    policy = story.network_policy(pods={"app": "cart"})
    story.learn(policy)
    story.see(story.pod("one", labels={"app": "cart"}))
    story.until(100)
    story.pod("late", labels={"app": "cart"})
    story.wait(15)
    (pair,) = node(story).policies
    assert (pair.verdict, pair.since) == ("gap", (ZERO + 100, ZERO + 100))


def test_a_network_policy_concerns_a_pod_until_its_containers_have_ended() -> None:
    story = ready()
    policy = story.network_policy(pods={"app": "cart"})
    story.learn(policy)
    pod = covered(story, labels={"app": "cart"})
    story.terminate(pod)
    assert story.host(policy) == "covered inferred"
    story.stop(pod)
    assert story.host(policy) == ""


# --- the node -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["audited", "disabled"])
def test_the_annotation_of_a_node_exempts_it_from_host_policies_only(mode: str) -> None:
    story, policy = guarded()
    fence = story.network_policy(nodes={"kubernetes.io/os": "linux"})
    story.wait(0.2)
    story.learn(fence)
    story.remark(mode=mode)
    story.host_alert()
    assert [story.host(one) for one in (policy, fence)] == [
        f"exempt annotation-{mode}",
        "covered inferred",
    ]


def test_a_node_enabled_later_is_a_gap_until_a_host_policy_is_touched() -> None:
    story = ready(hosts=True)
    story.remark(mode="audited")
    story.wait(5)
    policy = story.host_policy()
    story.learn(policy)
    story.wait(20)
    story.remark()
    assert story.host(policy) == "pending"
    story.wait(15)
    assert story.host(policy) == "gap host-policy-inactive"
    story.touch(policy)
    story.learn(policy, action="modified")
    assert story.host(policy) == "covered inferred"


def test_a_node_exempted_for_a_while_keeps_what_was_in_force() -> None:
    story, policy = guarded()
    story.remark(mode="audited")
    story.wait(20)
    story.remark()
    assert story.host(policy) == "covered inferred"


def without_enforcer() -> Story:
    story = listening()
    story.protects_hosts = True
    story.daemon()
    story.begin()
    story.say("Disabled KubeArmor Enforcer: No LSM specified", "Initialized KubeArmor")
    story.until(0)
    return story


def test_without_an_enforcer_host_policies_are_not_in_force_and_network_policies_can_be() -> None:
    story = without_enforcer()
    policies = [story.host_policy(), story.network_policy(nodes={"kubernetes.io/os": "linux"})]
    story.wait(0.2)
    story.learn(*policies)
    assert [story.host(policy) for policy in policies] == [
        "gap enforcer-absent",
        "covered inferred",
    ]


def test_a_daemon_that_takes_its_node_for_audited_by_itself_has_no_enforcer() -> None:
    story = listening()
    story.protects_hosts = True
    story.daemon()
    story.wait(20)
    story.say("BUILD-INFO: version: v1.7.4, branch: , date: ")
    story.say("Node Annotations: map[kubearmor-policy:audited kubearmor-visibility:none]")
    story.say("Initialized BPF-LSM Enforcer", "Initialized KubeArmor")
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    assert story.host(policy) == "gap enforcer-absent"


def test_a_node_that_was_audited_when_its_daemon_started_can_be_enabled() -> None:
    story = listening()
    story.protects_hosts = True
    story.remark(mode="audited")
    story.wait(20)
    story.daemon()
    story.boot()
    story.say("Node Annotations: map[kubearmor-policy:audited kubearmor-visibility:none]")
    story.wait(20)
    story.remark()
    story.wait(20)
    policy = story.host_policy()
    story.learn(policy)
    assert story.host(policy) == "covered inferred"


def test_a_node_without_daemon_has_its_host_policies_as_gaps_after_the_grace() -> None:
    story = listening()
    policy = story.host_policy()
    story.until(GRACE - 61)
    assert story.host(policy) == "pending"
    story.wait(2)
    assert story.host(policy) == "gap daemon-absent"


def test_a_daemon_that_never_finishes_starting_leaves_host_policies_as_gaps() -> None:
    story = listening()
    story.protects_hosts = True
    story.daemon()
    policy = story.host_policy()
    story.wait(1)
    story.begin()
    story.learn(policy)
    story.wait(GRACE + 2)
    assert story.host(policy) == "gap daemon-starting"


def test_a_replaced_daemon_loses_host_policies_until_it_names_them_again() -> None:
    story, policy = guarded()
    story.replace()
    story.wait(3)
    assert story.host(policy) == "lost daemon-replaced"
    story.boot()
    assert story.host(policy) == "covered inferred"


def test_a_daemon_that_comes_back_without_naming_a_policy_leaves_it_lost() -> None:
    story, policy = guarded()
    story.kill()
    story.wait(2)
    story.revive()
    story.wait(1)
    story.begin()
    story.say("Initialized BPF-LSM Enforcer", "Initialized KubeArmor")
    story.wait(1)
    assert story.host(policy) == "lost daemon-down"
    story.wait(60)
    assert story.host(policy) == "lost daemon-down"


@pytest.mark.parametrize("reason", ["skewed", "skewed for Pods", "relabelled"])
def test_a_policy_that_the_daemon_did_not_attach_is_not_lost_with_it(reason: str) -> None:
    story = ready(release="v1.7.3", hosts=True)
    policy = {
        "skewed": lambda: story.host_policy(nodes={"kubernetes.io/hostnamereg": "node-*"}),
        "skewed for Pods": lambda: story.network_policy(pods={"app": "cart"}),
        "relabelled": lambda: story.host_policy(nodes={"zone": "a"}),
    }[reason]()
    story.see(story.pod(labels={"app": "cart"}))
    story.learn(policy)
    story.wait(20)
    story.remark(zone="a")
    story.wait(15)
    story.kill()
    story.wait(20)
    assert story.host(policy) == "gap daemon-down"


def test_a_policy_that_was_not_in_force_is_not_lost_with_its_daemon() -> None:
    story = without_enforcer()
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    story.kill()
    story.wait(20)
    assert story.host(policy) == "gap daemon-down"


def test_a_policy_that_only_an_alert_proved_is_lost_with_its_daemon() -> None:
    story = listening(text=False)
    policy = story.host_policy()
    story.daemon()
    story.wait(120)
    story.host_alert()
    assert story.host(policy) == "covered proven"
    story.kill()
    assert story.host(policy) == "lost daemon-down"


def test_a_policy_is_not_lost_with_a_daemon_that_took_its_node_for_audited() -> None:
    story = listening()
    story.protects_hosts = True
    story.daemon()
    story.wait(20)
    story.begin()
    story.say("Node Annotations: map[kubearmor-policy:audited kubearmor-visibility:none]")
    story.say("Initialized BPF-LSM Enforcer", "Initialized KubeArmor")
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    story.kill()
    story.wait(20)
    assert story.host(policy) == "gap daemon-down"


def test_a_node_that_no_daemon_can_protect_is_unsupported() -> None:
    story = ready(hosts=True)
    story.node("win", system="windows")
    policy = story.host_policy(nodes={"kubernetes.io/os": "windows"})
    assert story.host(policy, "win") == "unsupported unsupported-node"


def test_a_node_that_is_deleted_has_no_policies() -> None:
    story, policy = guarded()
    (item,) = story.objects["nodes"].values()
    story.change("nodes", "DELETED", item)
    assert story.host(policy) == ""


def test_a_node_is_as_bad_as_its_worst_host_policy_where_its_daemon_works() -> None:
    story = ready(hosts=False, nodes=["node-a", "node-b"])
    story.host_policy(nodes={"kubernetes.io/hostname": "node-b"})
    said = {name: (node(story, name).verdict, node(story, name).cause) for name in story.daemons}
    assert said == {"node-a": ("covered", None), "node-b": ("gap", "host-policy-inactive")}
    story.kill("node-b")
    story.wait(15)
    assert (node(story, "node-b").verdict, node(story, "node-b").cause) == ("gap", "daemon-down")


def test_host_policies_open_no_gap_of_a_container() -> None:
    story = ready(hosts=False)
    story.host_policy()
    pod = covered(story)
    story.wait(30)
    assert (story.overall(pod), story.gaps(), story.incidents()) == ("unpoliced", [], [])


# --- blindness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["pods", "nodes", "kubearmorhostpolicies"])
def test_while_what_is_expected_cannot_be_seen_host_policies_are_unknown(resource: str) -> None:
    story, policy = guarded()
    story.down(f"kubernetes/{resource}")
    story.wait(GRACE - 0.1)
    assert story.host(policy) == "covered inferred"
    story.wait(0.2)
    assert story.host(policy) == "unknown source-outage"
    story.up(f"kubernetes/{resource}")
    assert story.host(policy) == "covered inferred"


def test_a_revision_that_came_while_the_text_was_unread_is_unknown() -> None:
    story, policy = guarded()
    story.down("text/node-a")
    assert story.host(policy) == "covered inferred"
    story.edit(policy)
    story.wait(15)
    assert story.host(policy) == "unknown source-outage"


def test_a_line_that_was_missed_is_not_held_against_a_node_relabelled_later() -> None:
    story = ready(hosts=True)
    story.down("text/node-a")
    policy = story.host_policy(nodes={"zone": "a"})
    story.learn(policy)
    story.wait(5)
    story.up("text/node-a")
    story.configure_namespaces("books")
    story.wait(20)
    story.remark(zone="a")
    story.wait(15)
    assert story.host(policy) == "unknown source-outage"


def test_without_any_text_host_policies_are_unknown() -> None:
    story = ready(hosts=True, text=False)
    policy = story.host_policy()
    story.wait(120)
    assert story.host(policy) == "unknown no-evidence-source"


@pytest.mark.parametrize("phase", ["starting", "ready"])
def test_output_that_can_be_read_only_now_gives_time_to_read_it(phase: str) -> None:
    story = listening(text=False)
    policy = story.host_policy()
    story.daemon()
    story.wait(20 if phase == "starting" else 120)
    assert story.host(policy) == "unknown no-evidence-source"
    story.up("text/node-a")
    story.wait(9)
    assert story.host(policy) == "pending"
    story.wait(2)
    assert story.host(policy) == "unknown source-outage"


def test_labels_that_changed_during_an_outage_count_from_its_end() -> None:
    story = ready(hosts=True)
    policy = story.host_policy(nodes={"zone": "a"})
    story.learn(policy)
    story.wait(20)
    story.down("kubernetes/nodes")
    story.remark(zone="a")
    story.wait(3)
    story.touch(policy)
    story.learn(policy, action="modified")
    story.wait(3)
    story.up("kubernetes/nodes")
    story.wait(15)
    assert story.host(policy) == "gap host-policy-inactive"


def test_a_starting_daemon_whose_text_is_unread_leaves_host_policies_unknown() -> None:
    story = listening(text=False)
    policy = story.host_policy()
    story.daemon()
    story.wait(30)
    assert story.host(policy) == "unknown no-evidence-source"


def test_shortly_after_an_outage_of_the_api_a_missing_daemon_is_no_gap_yet() -> None:
    story = listening()
    policy = story.host_policy()
    story.down("kubernetes/daemonsets", "kubernetes/configmaps")
    story.wait(GRACE + 5)
    assert story.host(policy) == "unknown source-outage"
    story.up("kubernetes/daemonsets", "kubernetes/configmaps")
    assert story.host(policy) == "gap daemon-absent"


def read_late(*, with_policy: bool) -> Story:
    """The first lines of the daemon's output were rotated away before anyone read them."""
    story = listening()
    story.protects_hosts = True
    if with_policy:
        story.host_policy()
    story.unheard.add("text/node-a")
    story.daemon()
    story.wait(10)
    story.boot()
    story.unheard.discard("text/node-a")
    story.wait(20)
    story.configure_namespaces("shop")
    story.wait(90)
    return story


def test_a_policy_older_than_what_could_be_read_is_unknown() -> None:
    story = read_late(with_policy=True)
    (policy,) = story.policies
    assert story.host(policy) == "unknown source-outage"


def silent_about_its_enforcer() -> Story:
    """A daemon whose output was read from its first line, and names no enforcer."""
    story = listening()
    story.protects_hosts = True
    story.daemon()
    story.begin()
    story.say("Initialized KubeArmor")
    story.until(0)
    return story


@pytest.mark.parametrize(
    ("tell", "verdict"),
    [
        (partial(read_late, with_policy=False), "unknown source-outage"),
        (silent_about_its_enforcer, "unknown no-evidence-source"),
    ],
    ids=["unread", "unsaid"],
)
def test_a_policy_is_in_force_only_where_an_enforcer_is_known_to_be_up(
    tell: Callable[[], Story], verdict: str
) -> None:
    story = tell()
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    assert story.host(policy) == "pending"
    story.wait(GRACE + 1)
    assert story.host(policy) == verdict
    story.push(story.pod())
    assert story.host(policy) == "covered inferred"
    assert story.core.statistics(story.now).host_pairs == {"covered": 1}


# --- laws ---------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["policy", "network", "edit", "touch", "remove", "label", "mode", "restart",
                         "alert", "pod"]),
        st.integers(0, 5),
        st.sampled_from([0.3, 2.5, 15.0]),
    ),
    min_size=1,
    max_size=10,
)  # fmt: skip
SELECTORS = ({"zone": "a"}, {"kubernetes.io/os": "linux"}, {"kubernetes.io/hostnamereg": "node-*"})


def lived(release: str, steps: list[tuple[str, int, float]]) -> tuple[Story, int]:
    """A node that lives through steps, and how much of what was heard came before them."""
    story = ready(release=release, hosts=True)
    head = len(story.history)
    for number, (action, pick, pause) in enumerate(steps):
        _step(story, action, pick, number)
        story.wait(pause)
    story.wait(60)
    return story, head


def _step(story: Story, action: str, pick: int, number: int) -> None:
    known = story.policies[pick % len(story.policies)] if story.policies else None
    if action == "policy":
        policy = story.host_policy(f"host-{number}", nodes=SELECTORS[pick % 3])
        story.wait(0.1)
        story.learn(policy)
    elif action == "network":
        pods = {"app": "cart"} if pick % 2 else None
        policy = story.network_policy(f"net-{number}", nodes=SELECTORS[pick % 3], pods=pods)
        story.wait(0.1)
        story.learn(policy)
    elif action == "label":
        story.remark(**({"zone": "a"} if pick % 2 else {}))
    elif action == "mode":
        story.remark(mode=(None, "audited", "disabled")[pick % 3])
    elif action == "pod":
        story.see(story.pod(f"pod-{number}", labels={"app": "cart"}))
    elif action == "alert":
        story.host_alert(f"host-{pick}")
    elif action == "restart":
        story.kill()
        story.wait(0.5)
        story.revive()
        story.wait(0.5)
        story.boot()
    elif known is not None:
        change = {"edit": story.edit, "touch": story.touch, "remove": story.remove}[action]
        change(known)
        story.wait(0.1)
        story.learn(known, action="deleted" if action == "remove" else "modified")


RELEASES = st.sampled_from(["v1.5.7", "v1.6.14", "v1.7.4"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    release=RELEASES, steps=STEPS, picks=st.lists(st.integers(0, 4), max_size=60),
    after=st.integers(0, 60),
)  # fmt: skip
def test_the_order_of_node_events_text_and_alerts_does_not_matter(
    release: str, steps: list[tuple[str, int, float]], picks: list[int], after: int
) -> None:
    story, head = lived(release, steps)
    heard = story.history
    other = [*heard[:head], *interleaved(heard[head:], picks, after=after)]
    report = ending(other, started=heard[0][0], until=story.now).report
    assert report.nodes == story.report().nodes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_the_numbers_say_what_the_report_says_of_hosts(
    release: str, steps: list[tuple[str, int, float]]
) -> None:
    story, _ = lived(release, steps)
    pairs = Counter(
        pair.verdict for one in story.report().nodes for pair in one.policies if pair.expected
    )
    assert story.core.statistics(story.now).host_pairs == pairs
