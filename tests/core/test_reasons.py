"""Why a policy is not in force: each failure mode by its own evidence (dossier, section 8)."""

from collections.abc import Mapping
from typing import Any, Final

from tests.core.stories import BLOCK_APT, BLOCK_YUM, PodOf, PolicyOf, Story, covered, ready

ALLOW_SH: Final[Mapping[str, Any]] = {
    "process": {"matchPaths": [{"path": "/bin/sh"}]},
    "action": "Allow",
}


def causes(story: Story, pod: PodOf, policy: PolicyOf | None = None, **of: str) -> list[str]:
    """The causes that fit, after grace."""
    story.wait(11)
    pair = story.pair(pod, policy, of.get("container"))
    assert pair.verdict == "gap"
    assert pair.cause == pair.reasons[0].cause
    return [reason.cause for reason in pair.reasons]


def shown(story: Story, pod: PodOf, policy: PolicyOf | None = None, **of: str) -> str:
    return story.pair(pod, policy, of.get("container")).reasons[0].evidence


# --- what a daemon says of itself ---------------------------------------------------------------


def test_cluster_policies_that_a_daemon_gave_up_watching() -> None:
    story = ready()
    story.say(
        "timeout while monitoring cluster security policies, kubearmorclusterpolicies CRD not found"
    )
    policy = story.cluster_policy()
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    assert causes(story, pod, policy) == ["cluster-policy-watch-dead"]
    assert story.pair(pod).predicted is False
    assert shown(story, pod) == (
        "the daemon gave up watching cluster policies: kubearmorclusterpolicies CRD not found"
    )


def test_a_namespaced_policy_does_not_suffer_from_the_watch_of_cluster_policies() -> None:
    story = ready()
    story.say("error while monitoring cluster security policies, informer cache not synced")
    story.learn(story.policy())
    assert story.verdict(covered(story)) == "covered applied"


def test_a_pod_informer_that_did_not_start() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.say("Error starting pod informer=no rights", level="WARN")
    pod = story.pod()
    story.register(pod)
    assert causes(story, pod)[0] == "pod-informer-failed"
    assert shown(story, pod) == "`Error starting pod informer=no rights`"


def test_namespaces_that_could_not_be_listed_when_the_pod_was_evaluated() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.namespace("fresh")
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.say("unable to fetch namespace list", level="ERROR")
    story.strip(pod)
    assert causes(story, pod) == ["namespace-list-failed"]


def test_a_namespaced_policy_needs_no_list_of_namespaces() -> None:
    story = ready()
    story.learn(story.policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.say("unable to fetch namespace list", level="ERROR")
    story.strip(pod)
    assert causes(story, pod) == ["unexplained"]


def test_a_list_of_namespaces_that_failed_long_before_explains_nothing() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.say("unable to fetch namespace list", level="ERROR")
    story.wait(60)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    assert causes(story, pod) == ["unexplained"]


# --- what its lines about the container show ----------------------------------------------------


def test_namespace_ids_that_could_not_be_read() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.say(f"Detected a container (added/{pod.id[:12]}/pidns=0/mntns=0)")
    story.write(pod)
    assert story.verdict(pod) == "gap namespace-ids-unread"


def test_an_outer_map_that_is_full() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.say(f"error adding container {pod.id} to outer map: no space left", level="ERROR")
    assert causes(story, pod) == ["outer-map-full"]
    assert shown(story, pod).endswith("no space left")


def test_a_rule_that_is_refused_leaves_out_what_was_learned_since_the_last_clean_write() -> None:
    story = ready()
    old = story.cluster_policy("old")
    story.learn(old)
    pod = covered(story)
    story.wait(5)
    new = story.cluster_policy("new", rules=BLOCK_YUM)
    story.learn(new)
    story.intend(pod)
    story.say(f"error adding rule to map for container {pod.id}: no space left", level="ERROR")
    assert story.verdict(pod, old) == "covered applied"
    assert story.verdict(pod, new) == "gap inner-map-full"


def test_a_clean_write_after_a_refused_rule_heals() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.say(f"error adding rule to map for container {pod.id}: no space left", level="ERROR")
    assert story.verdict(pod) == "gap inner-map-full"
    story.wait(5)
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def pushed_to_the_dead(release: str) -> tuple[Story, PodOf, str]:
    """A container was restarted, and a policy's rules are pushed to the id that it had before."""
    story = ready(release=release)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    former = pod.id
    story.wait(5)
    story.restart(pod)
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(20)
    policy = story.policy()
    story.learn(policy)
    story.say(f"Updating container rules for {former}")
    return story, pod, former


def test_a_restarted_container_whose_dead_id_the_daemon_still_lists() -> None:
    story, pod, former = pushed_to_the_dead("v1.6.12")
    assert causes(story, pod)[0] == "stale-container-id"
    assert former[:12] in shown(story, pod)


def test_from_v1_6_13_on_a_dead_id_explains_nothing() -> None:
    story, pod, _ = pushed_to_the_dead("v1.6.13")
    assert causes(story, pod) == ["unexplained"]


def test_a_pod_that_was_audited_keeps_a_container_without_rules() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod(containers=("app", "proxy"), annotations={"kubearmor-policy": "audited"})
    story.register(pod)
    story.see(pod)
    story.wait(30)
    story.annotate(pod, **{"kubearmor-policy": "enabled"})
    story.see(pod)
    story.push(pod, "app")
    assert causes(story, pod, container="proxy") == ["mode-not-retroactive", "partial-refresh"]
    assert story.verdict(pod, container="app") == "covered applied"


def test_after_a_change_of_labels_one_container_of_the_pod_is_drawn() -> None:
    story = ready()
    story.learn(story.policy(labels={"tier": "web"}))
    pod = story.pod(containers=("app", "proxy"))
    for container in ("app", "proxy"):
        story.register(pod, container)
        story.see(pod)
        story.strip(pod, container)
    story.wait(30)
    story.relabel(pod, tier="web")
    story.see(pod)
    story.push(pod, "app")
    assert causes(story, pod, container="proxy") == ["partial-refresh"]
    assert "app only" in shown(story, pod, container="proxy")


def test_a_container_that_came_later_than_its_siblings_gets_no_later_policy() -> None:
    story = ready()
    first = story.policy("first")
    story.learn(first)
    pod = story.pod(containers=("app", "late"), running=False)
    story.start(pod, "app")
    story.register(pod, "app")
    story.write(pod, "app")
    story.wait(20)
    story.start(pod, "late")
    story.register(pod, "late")
    story.see(pod)
    story.push(pod, "late")
    story.wait(20)
    second = story.policy("second", rules=BLOCK_YUM)
    story.learn(second)
    story.intend(pod, "app")
    assert causes(story, pod, second, container="late")[0] == "late-container"
    assert story.pair(pod, second, "app").verdict == "covered"
    assert story.verdict(pod, first, "late") == "covered applied"


# --- what the manifests and defaults show -------------------------------------------------------


def test_an_allow_list_where_the_posture_only_audits() -> None:
    story = ready()
    story.configure(defaultFilePosture="audit")
    story.learn(story.cluster_policy(rules=ALLOW_SH))
    assert story.verdict(covered(story)) == "gap posture-audit"


def test_an_allow_list_where_the_namespaces_posture_blocks() -> None:
    story = ready()
    story.configure(defaultFilePosture="audit")
    story.annotate_namespace("shop", **{"kubearmor-file-posture": "block"})
    story.learn(story.cluster_policy(rules=ALLOW_SH))
    assert story.verdict(covered(story)) == "covered applied"


def test_a_policy_that_blocks_something_does_not_depend_on_the_posture() -> None:
    story = ready()
    story.configure(defaultFilePosture="audit")
    both = {"process": {"matchPaths": [*ALLOW_SH["process"]["matchPaths"]], "action": "Allow"}}
    story.learn(story.cluster_policy(rules={**BLOCK_APT, "file": both["process"]}))
    assert story.verdict(covered(story)) == "covered applied"


# --- silence ------------------------------------------------------------------------------------


def test_a_daemon_that_prints_nothing_any_more() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.wait(60)
    pod = story.pod()
    assert causes(story, pod) == ["daemon-hung"]


def test_nothing_that_is_known_fits() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    assert causes(story, pod) == ["unexplained"]
    assert shown(story, pod) == "the runtime announced it, and no rules were pushed"


def test_an_allow_list_says_nothing_of_the_policies_beside_it() -> None:
    story = ready()
    story.configure(defaultFilePosture="audit")
    allow = story.cluster_policy("allow", rules=ALLOW_SH)
    block = story.cluster_policy("block")
    story.learn(allow, block)
    story.wait(5)
    pod = story.pod()
    assert story.verdict(pod, allow) == "gap posture-audit"
    assert story.verdict(pod, block) == "pending"


# --- what is older than the policy's latest line ------------------------------------------------


def test_a_touch_after_which_nothing_was_written_yet_explains_nothing_anew() -> None:
    story = ready(release="v1.5.7")
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(20)
    story.namespace("fresh")
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(20)
    story.touch(policy)
    story.learn(policy, action="modified")
    assert story.verdict(pod) == "gap namespace-newer-than-policy"
    story.push(pod)
    assert story.verdict(pod) == "covered applied"
    assert [gap.cause for gap in story.report().gaps] == ["namespace-newer-than-policy"]


def test_a_refused_rule_does_not_concern_a_policy_that_came_after_it() -> None:
    story = ready()
    story.learn(story.cluster_policy("old"))
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.say(f"error adding rule to map for container {pod.id}: no space left", level="ERROR")
    story.wait(5)
    new = story.cluster_policy("new", rules=BLOCK_YUM)
    story.learn(new)
    assert story.verdict(pod, new) == "pending"


def test_a_pods_line_before_its_ids_were_published_does_not_mean_that_it_was_handled() -> None:
    """With little more than one Pod a second (7.4) others are still in the queue."""
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    pod = story.pod(running=False)
    story.see(pod, action="added")
    story.wait(1)
    story.start(pod)
    story.register(pod)
    for number in range(12):
        story.wait(1.2)
        story.say(f"Detected a Pod (modified/shop/other-{number})")
    assert story.verdict(pod) == "pending"
    story.write(pod)
    assert story.gaps() == []


def test_a_namespace_that_is_tracked_from_now_on_has_its_grace() -> None:
    story = ready()
    story.configure(untrackedNs="kube-system,kubearmor,shop")
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(60)
    assert story.verdict(pod) == "exempt untracked-namespace"
    story.configure(untrackedNs="kube-system,kubearmor")
    assert story.verdict(pod) == "pending"
