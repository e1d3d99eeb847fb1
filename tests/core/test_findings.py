"""What is worth knowing and is no gap: intent, over-coverage, suspicions (design, section 5)."""

from collections.abc import Mapping
from typing import Any

import pytest

from monitor.core.model import Finding
from tests.core.stories import (
    BLOCK_APT,
    BLOCK_YUM,
    DAY,
    PodOf,
    Story,
    covered,
    listening,
    namespaces_of,
    ready,
)


def findings(story: Story) -> list[tuple[str, str]]:
    """Code and subject of what the report says."""
    return [(finding.code, finding.subject) for finding in story.report().findings]


def announced(story: Story) -> list[tuple[str, str]]:
    """State and code of what was announced, in order."""
    return [(one.state, one.code) for one in story.announced if isinstance(one, Finding)]


def detail(story: Story) -> str:
    (finding,) = story.report().findings
    return finding.detail


def namespaced(selector: Mapping[str, Any]) -> dict[str, Any]:
    return {**BLOCK_APT, "selector": {"matchLabels": dict(selector)}}


# --- how they are told --------------------------------------------------------------------------


def test_a_clean_cluster_has_none() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    covered(story)
    story.wait(300)
    assert findings(story) == announced(story) == []


def test_a_finding_is_announced_once_and_closed_when_it_is_gone() -> None:
    story = ready()
    policy = story.policy(labels={"app": "nothing"})
    covered(story)
    story.wait(300)
    assert announced(story) == [("open", "selects-nothing")]
    story.remove(policy)
    story.wait(300)
    assert announced(story) == [("open", "selects-nothing"), ("closed", "selects-nothing")]


def test_the_numbers_are_those_of_the_report() -> None:
    story = ready()
    story.policy("one", labels={"app": "nothing"})
    story.policy("two", labels={"app": "nothing"})
    covered(story)
    assert story.core.statistics(story.now).findings_open == {"selects-nothing": 2}


def test_a_remedy_is_that_of_the_release() -> None:
    story = ready(release="v1.5.6")
    story.cluster_policy(not_in=["kube-system", "shop"])
    story.wait(20)
    story.namespace("later")
    story.wait(20)
    covered(story)
    (found,) = [one for one in story.report().findings if one.code == "over-match"]
    assert "Below v1.5.7" in found.remedy


# --- intent -------------------------------------------------------------------------------------


def test_a_selector_that_selects_nothing() -> None:
    story = ready()
    story.policy(labels={"app": "crat"})
    covered(story, labels={"app": "cart"})
    assert findings(story) == [("selects-nothing", "KubeArmorPolicy shop/block-apt")]
    assert "Is `app=cart` meant?" in detail(story)


def test_a_container_list_without_brackets() -> None:
    story = ready()
    story.policy(labels={"kubearmor.io/container.name": "nginx"})
    assert findings(story) == [("selector-mistake", "KubeArmorPolicy shop/block-apt")]


def test_a_cluster_policy_that_leaves_a_namespace_with_pods_out() -> None:
    story = ready()
    story.namespace("other", age=DAY)
    story.cluster_policy(not_in=["kube-system", "other"])
    assert findings(story) == []
    covered(story, namespace="other")
    assert findings(story) == [("namespace-left-out", "KubeArmorClusterPolicy block-apt")]
    assert "`kube-system`, `other`" in detail(story)


def test_namespaces_in_which_nothing_is_enforced_may_be_left_out() -> None:
    story = ready()
    story.cluster_policy(not_in=["kube-system", "kubearmor"])
    story.pod(namespace="kubearmor")
    story.pod("dns", namespace="kube-system")
    assert findings(story) == []


def test_policies_of_both_kinds_that_bear_one_name() -> None:
    story = ready()
    covered(story)
    story.policy("guard")
    story.cluster_policy("guard", rules=BLOCK_YUM)
    assert findings(story) == [
        ("name-collision", "KubeArmorClusterPolicy guard"),
        ("name-collision", "KubeArmorPolicy shop/guard"),
    ]


def test_expressions_that_cancel_each_other() -> None:
    story = ready()
    covered(story)
    story.cluster_policy(only_in=["shop"], not_in=["shop"])
    assert ("selector-order", "KubeArmorClusterPolicy block-apt") in findings(story)


# --- over-coverage ------------------------------------------------------------------------------


def test_a_deleted_policy_that_its_daemon_goes_on_listing() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    covered(story)
    story.remove(policy)
    assert findings(story) == []
    story.wait(31)
    assert findings(story) == [("stale-policy", "KubeArmorClusterPolicy block-apt")]
    assert detail(story) == "It was deleted, and the daemon of node-a never said so."


def test_a_deletion_that_may_stand_in_what_was_not_read_is_not_missed() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    covered(story)
    story.down("text/node-a")
    story.remove(policy)
    story.wait(100)
    assert findings(story) == []


def test_rules_that_stay_when_a_pod_is_audited() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    story.annotate(pod, **{"kubearmor-policy": "audited"})
    assert findings(story) == [("mode-not-retroactive", "shop/cart/app")]


def test_rules_that_are_written_where_nothing_is_enforced() -> None:
    """Untracked, and its status came before the runtime's event (dossier 12.5)."""
    story = ready()
    story.learn(story.cluster_policy(not_in=[]))
    pod = story.pod(namespace="kubearmor")
    story.push(pod)
    story.register(pod)
    assert findings(story) == [("rules-despite-exemption", "kubearmor/cart/app")]
    assert story.verdict(pod) == "exempt untracked-namespace"


@pytest.mark.parametrize(("release", "found"), [("v1.5.6", True), ("v1.5.7", False)])
def test_before_v1_5_7_a_younger_namespace_widens_a_cluster_policy(
    release: str,
    found: bool,  # noqa: FBT001  # a column of a table
) -> None:
    story = ready(release=release)
    story.cluster_policy(not_in=["kube-system", "shop"])
    story.wait(20)
    story.namespace("later")
    story.wait(20)
    covered(story)
    assert (("over-match", "KubeArmorClusterPolicy block-apt") in findings(story)) == found


def test_v1_4_0_puts_a_namespaced_policy_on_the_pods_of_every_namespace() -> None:
    story = ready(release="v1.4.0")
    story.namespace("other", age=DAY)
    story.policy()
    story.pod("own")
    story.wait(20)
    covered(story, namespace="other")
    assert ("over-match", "KubeArmorPolicy shop/block-apt") in findings(story)


@pytest.mark.parametrize(("release", "found"), [("v1.6.12", True), ("v1.6.13", False)])
def test_before_v1_6_13_a_policy_stays_on_a_pod_whose_labels_it_no_longer_selects(
    release: str,
    found: bool,  # noqa: FBT001  # a column of a table
) -> None:
    story = ready(release=release)
    story.learn(story.policy(labels={"app": "cart"}))
    pod = covered(story, labels={"app": "cart"})
    story.wait(20)
    story.relabel(pod, app="other")
    assert (("over-match", "KubeArmorPolicy shop/block-apt") in findings(story)) == found


# --- suspicions ---------------------------------------------------------------------------------


def test_two_policies_handled_at_one_moment_may_undo_each_other() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    own, everywhere = story.policy("own"), story.cluster_policy("everywhere", rules=BLOCK_YUM)
    story.learn(own, everywhere)
    story.intend(pod)
    story.wait(11)
    assert findings(story) == [("lost-update", "shop/cart/app")]
    assert detail(story).startswith(
        "KubeArmorClusterPolicy everywhere and KubeArmorPolicy shop/own"
    )
    assert {story.verdict(pod, own), story.verdict(pod, everywhere)} <= {
        "covered applied",
        "covered inferred",
    }
    assert "covered inferred" in {story.verdict(pod, own), story.verdict(pod, everywhere)}


def test_the_next_evaluation_of_the_pod_ends_the_suspicion() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    story.learn(story.policy("own"), story.cluster_policy("everywhere", rules=BLOCK_YUM))
    story.intend(pod)
    story.wait(5)
    story.see(pod)
    story.intend(pod)
    assert findings(story) == []
    verdicts = {story.verdict(pod, policy) for policy in story.policies}
    assert verdicts == {"covered applied"}


def test_a_later_event_of_each_policy_ends_the_suspicion() -> None:
    story = ready()
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    own, everywhere = story.policy("own"), story.cluster_policy("everywhere", rules=BLOCK_YUM)
    story.learn(own, everywhere)
    story.intend(pod)
    for policy in (own, everywhere):
        story.wait(5)
        story.touch(policy)
        story.learn(policy, action="modified")
        story.intend(pod)
    assert findings(story) == []


def test_policies_that_do_not_concern_a_container_raise_no_suspicion_of_it() -> None:
    story = ready()
    pod = covered(story)
    story.wait(20)
    own = story.policy("own", labels={"app": "another"})
    elsewhere = story.cluster_policy("elsewhere", only_in=["books"])
    story.learn(own, elsewhere)
    story.intend(pod)
    assert "lost-update" not in {code for code, _ in findings(story)}


def shared_namespaces(story: Story) -> tuple[PodOf, PodOf]:
    """Two containers, the second of which is registered with the namespace ids of the first."""
    first, second = story.pod("first"), story.pod("second")
    story.register(first)
    story.write(first)
    story.say(f"Detected a container (added/{second.id[:12]}/{namespaces_of(first.id)})")
    story.write(second)
    return first, second


def test_namespace_ids_that_another_container_still_holds() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    _, second = shared_namespaces(story)
    assert findings(story) == [("namespace-id-reuse", "shop/second/app")]
    assert story.verdict(second) == "covered inferred"


def test_namespace_ids_of_a_container_that_was_removed_may_come_again() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    first, second = story.pod("first"), story.pod("second")
    story.register(first)
    story.unregister(first)
    story.say(f"Detected a container (added/{second.id[:12]}/{namespaces_of(first.id)})")
    story.write(second)
    assert findings(story) == []
    assert story.verdict(second) == "covered applied"


def test_an_alert_that_no_policy_explains() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(60)
    story.alert(pod, "block-apt")
    assert findings(story) == []
    story.alert(pod, "somebody-elses")
    assert findings(story) == [("prediction-refuted", "shop/cart/app")]


def test_an_alert_that_a_former_daemon_sent_says_nothing_of_its_successor() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(60)
    story.alert(pod, "somebody-elses")
    story.kill()
    story.wait(2)
    story.revive()
    story.boot()
    story.write(pod)
    story.wait(60)
    assert findings(story) == []


def test_an_alert_just_after_a_change_may_be_of_before() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(60)
    story.remove(policy)
    story.say("Detected a Cluster Security Policy (deleted/block-apt)")
    story.alert(pod, "block-apt")
    assert findings(story) == []


def test_sources_of_a_release_that_disagree() -> None:
    story = listening()
    story.daemon(release="v1.5.7", tag="v1.7.4")
    story.until(-20)
    story.boot()
    story.until(0)
    assert findings(story) == [("release-disagreement", "node node-a")]
    assert detail(story) == (
        "Of the daemon's release its output says v1.5.7, its image says v1.7.4."
    )
