"""A node is explained by what the verdicts of its policies were judged by."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from monitor.core.causes import CAUSES
from monitor.core.explanation import NodeExplanation, PairExplanation
from tests.core.explained import explained_node
from tests.core.stories import BLOCK_PATTERN, Story, listening, ready
from tests.core.test_hosts import GRACE, RELEASES, STEPS, fenced, guarded, lived, without_enforcer

ASKED = """\
+ supported: KubeArmor can run on this node (kubernetes/nodes)
- exempt: no annotation exempts the node (kubernetes/nodes)
+ objects: nodes and policies are being read (kubernetes/nodes)
+ daemon: kubearmor/kubearmor-node-a-5 (restart 0) is ready (text/node-a) at -20
+ release: v1.7.4, as its output says (text/node-a)
- effect: no effect of the policy was reported that proves it (alerts)
+ enforcer: the daemon enforces by BPFLSM (text/node-a)
+ attachment: v1.7.4 takes the node for selected (kubernetes/nodes)"""
SELECTED = """\
intended yes: meets: label In kubernetes.io/os=linux
expected yes: requires the labels kubernetes.io/os=linux"""


def explanation(story: Story, name: str = "node-a") -> NodeExplanation:
    story.until(story.second)
    found = story.core.explain_node(name, at=story.now)
    assert found is not None
    return found


def lone(story: Story, name: str = "node-a") -> PairExplanation:
    (pair,) = explanation(story, name).policies
    return pair


def test_a_policy_in_force_is_told_with_all_that_was_asked() -> None:
    story, _ = guarded()
    assert explained_node(story) == [
        "node-a: covered",
        "daemon v1.7.4 BPFLSM ready since -20",
        "KubeArmorHostPolicy /guard@1: covered inferred since 0.2",
        *SELECTED.splitlines(),
        "predicted yes on v1.7.4",
        "  0.2 KubeArmorHostPolicy guard was added",
        "  the policy is attached",
        *ASKED.splitlines(),
        "+ active: the daemon applies policies of this kind (text/node-a)",
        (
            "+ rules: its rules have a form that is enforced on a host, or only audit "
            "(kubernetes/kubearmorhostpolicies)"
        ),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0.2",
        (
            "+ evaluation: the daemon looked at the node after the policy came to select it "
            "(text/node-a) at 0.2 = decides"
        ),
    ]


def test_a_policy_that_is_not_applied_is_told_with_its_cause_which_is_the_nodes() -> None:
    story = ready()
    policy = story.host_policy()
    story.wait(0.2)
    story.learn(policy)
    story.wait(20)
    runbook = CAUSES["host-policy-inactive"].runbook
    assert explained_node(story) == [
        f"node-a: gap host-policy-inactive, certain, {runbook}",
        "daemon v1.7.4 BPFLSM ready since -20",
        "KubeArmorHostPolicy /guard@1: gap host-policy-inactive since 0",
        *SELECTED.splitlines(),
        "predicted no on v1.7.4",
        "  0.2 KubeArmorHostPolicy guard was added",
        "  the policy is not attached",
        *ASKED.splitlines(),
        "- active: the daemon does not apply policies of this kind (text/node-a) = decides",
        f"certain, {runbook}",
    ]


def test_a_node_without_daemon_is_told_with_the_remedy() -> None:
    story = listening()
    story.until(0)
    found = explanation(story)
    cause = CAUSES["daemon-absent"]
    assert (found.verdict, found.cause, found.daemon, found.phase) == (
        "gap",
        "daemon-absent",
        None,
        "absent",
    )
    assert (found.what, found.remedy) == (cause.what, cause.remedy_on(None))
    assert (found.policies, found.others) == ((), ())


def test_a_policy_without_labels_reads_as_if_it_selected_every_node() -> None:
    story = ready(hosts=True)
    story.learn(story.host_policy(nodes={}))
    story.wait(1)
    assert explained_node(story)[2:] == [
        (
            "other KubeArmorHostPolicy guard@1: its manifest reads as if it should; KubeArmor "
            "means it otherwise"
        ),
        "intended yes: requires nothing",
        "expected no: asks for no label: it selects nothing",
        "predicted no on v1.7.4",
        "  0 KubeArmorHostPolicy guard was added",
        "  the policy is not attached",
    ]


def test_a_policy_for_other_nodes_is_no_matter_of_this_one() -> None:
    story = ready(hosts=True)
    story.learn(story.host_policy(nodes={"kubernetes.io/hostname": "node-b"}))
    found = explanation(story)
    assert (found.policies, found.others) == ((), ())


def test_a_network_policy_of_pods_names_the_pods() -> None:
    story = ready()
    story.learn(story.network_policy(pods={"app": "cart"}))
    story.wait(5)
    story.see(story.pod("cart-0", namespace="shop", labels={"app": "cart"}))
    meant = lone(story).meanings
    assert meant.intended == meant.expected
    assert meant.expected.reasons == ("selects the node's shop/cart-0",)


def test_a_release_that_takes_the_node_for_selected_by_mistake_is_told_apart() -> None:
    story = ready(release="v1.7.3", hosts=True)
    story.learn(story.host_policy(nodes={"kubearmor.io/hostname": "other"}))
    story.wait(5)
    pair = lone(story)
    meant = pair.meanings
    assert (pair.verdict, meant.intended.selected, meant.expected.selected) == (
        "excess",
        False,
        False,
    )
    assert meant.predicted.attached
    assert [(step.question, step.decides) for step in pair.trail] == [("attachment", True)]


def test_a_node_that_is_not_known_is_not_explained() -> None:
    assert ready().core.explain_node("node-z", at=0.0) is None


# --- what decides -------------------------------------------------------------------------------


def unsupported() -> Story:
    story = ready(hosts=True)
    story.node(system="windows")
    story.host_policy(nodes={"kubernetes.io/os": "windows"})
    return story


def exempt() -> Story:
    story, _ = guarded()
    story.remark(mode="audited")
    return story


def blind() -> Story:
    story, _ = guarded()
    story.down("kubernetes/nodes")
    story.wait(GRACE + 1)
    return story


def absent() -> Story:
    story = listening()
    story.host_policy()
    story.until(0)
    return story


def lost() -> Story:
    story, _ = guarded()
    story.kill()
    story.wait(2)
    return story


def proven() -> Story:
    story, policy = guarded()
    story.host_alert(policy.name)
    return story


def observing() -> Story:
    story = without_enforcer()
    linux = {"kubernetes.io/os": "linux"}
    story.learn(story.host_policy(nodes=linux), story.network_policy(nodes=linux))
    story.wait(20)
    return story


def skewed() -> Story:
    story = ready(release="v1.6.13")
    story.learn(story.network_policy(nodes={"kubernetes.io/os": "linux"}))
    story.wait(20)
    return story


def patterns() -> Story:
    story = ready(hosts=True)
    story.learn(story.host_policy(rules=BLOCK_PATTERN))
    return story


def relabelled() -> Story:
    story = ready(hosts=True)
    story.learn(story.host_policy(nodes={"zone": "a"}))
    story.wait(20)
    story.remark(zone="a")
    story.wait(GRACE + 1)
    return story


def waiting() -> Story:
    story = ready(hosts=True)
    story.host_policy()
    story.wait(1)
    return story


def silent() -> Story:
    story = waiting()
    story.wait(GRACE + 1)
    return story


def unread() -> Story:
    story, policy = guarded()
    story.down("text/node-a")
    story.edit(policy)
    story.wait(GRACE + 1)
    return story


@pytest.mark.parametrize(
    ("scene", "said", "decisive"),
    [
        (unsupported, "unsupported unsupported-node", "supported"),
        (exempt, "exempt annotation-audited", "exempt"),
        (blind, "unknown source-outage", "objects"),
        (absent, "gap daemon-absent", "daemon"),
        (lost, "lost daemon-down", "daemon"),
        (proven, "covered proven", "effect"),
        (lambda: guarded()[0], "covered inferred", "evaluation"),
        (lambda: fenced()[0], "covered inferred", "evaluation"),
        (skewed, "gap version-skew", "attachment"),
        (patterns, "gap rule-not-enforceable", "rules"),
        (relabelled, "gap host-policy-inactive", "evaluation"),
        (waiting, "pending ", "silence"),
        (silent, "gap unexplained", "silence"),
        (unread, "unknown source-outage", "silence"),
    ],
)
def test_the_question_that_decided_is_the_last_one(
    scene: Callable[[], Story], said: str, decisive: str
) -> None:
    pair = lone(scene())
    assert f"{pair.verdict} {pair.grade or pair.cause or ''}" == said
    assert [step.question for step in pair.trail if step.decides] == [decisive]
    assert pair.trail[-1].decides


def test_an_enforcer_that_is_not_there_decides_for_host_policies_only() -> None:
    found = explanation(observing())
    assert {pair.kind: pair.trail[-1].question for pair in found.policies} == {
        "KubeArmorHostPolicy": "enforcer",
        "KubeArmorNetworkPolicy": "evaluation",
    }


# --- laws ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(release=RELEASES, steps=STEPS)
def test_an_explanation_says_what_the_report_says(
    release: str, steps: list[tuple[str, int, float]]
) -> None:
    story, _ = lived(release, steps)
    for node in story.report().nodes:
        found = explanation(story, node.node)
        for name in set(node.__struct_fields__) - {"policies"}:
            assert getattr(found, name) == getattr(node, name)
        assert len(found.policies) == len(node.policies)
        for pair, state in zip(found.policies, node.policies, strict=True):
            assert all(getattr(pair, n) == getattr(state, n) for n in state.__struct_fields__)
            assert [step.decides for step in pair.trail] == [False] * (len(pair.trail) - 1) + [True]
            assert state.expected == pair.meanings.expected.selected
