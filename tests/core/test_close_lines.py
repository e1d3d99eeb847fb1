"""Lines that may be about this change or about another one close to it."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.core.stories import BLOCK_APT, BLOCK_YUM, PodOf, PolicyOf, Story, covered, ready

WEB = {"app": "web"}


def test_a_revision_that_a_starting_daemon_may_have_listed_is_inferred_when_no_line_follows() -> (
    None
):
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(30)
    story.replace()
    story.begin()
    story.say("Initialized BPF-LSM Enforcer", "Started to protect containers")
    story.say("Started to monitor NRI events")
    story.edit(policy)
    story.wait(0.4)
    story.learn(policy)
    story.say("Started to monitor Pod events", "Initialized KubeArmor")
    story.register(pod)
    story.write(pod)
    early = story.verdict(pod)
    story.wait(20)
    assert (early, story.verdict(pod)) == ("pending", "covered inferred")


def test_the_first_change_read_after_a_hole_is_about_the_only_one_there_was() -> None:
    story = ready()
    story.down("text/node-a")
    story.unheard.add("text/node-a")
    policy = story.cluster_policy()
    story.wait(3)
    story.unheard.discard("text/node-a")
    story.up("text/node-a")
    story.say("Detected a Cluster Security Policy (added/other)")
    story.wait(20)
    story.edit(policy)
    story.learn(policy, action="modified")
    pod = covered(story)
    story.wait(30)
    assert story.verdict(pod) == "covered applied"


def test_a_revision_that_a_list_showed_may_be_what_a_daemon_read_before_the_list() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(20)
    story.down("kubernetes/kubearmorclusterpolicies")
    story.unheard.add("kubernetes/kubearmorclusterpolicies")
    story.edit(policy)
    story.wait(1)
    story.replace()
    story.boot()
    story.wait(3)
    story.unheard.discard("kubernetes/kubearmorclusterpolicies")
    story.up("kubernetes/kubearmorclusterpolicies", reason="listed")
    story.relist("kubearmorclusterpolicies")
    story.wait(1)
    story.edit(policy, rules={**BLOCK_YUM, "severity": 7})
    story.learn(policy, action="modified")
    pod = covered(story)
    story.wait(30)
    assert story.verdict(pod) == "covered inferred"


def relabelled(story: Story, *, twice: bool) -> tuple[str, str]:
    """Two containers get a policy by new labels; the first is drawn, then the second one."""
    policy = story.policy(labels=WEB)
    everywhere = story.cluster_policy("base", rules=BLOCK_YUM)
    story.learn(policy, everywhere)
    pod = covered(story, containers=("app", "side"), labels={"app": "db"})
    story.wait(20)
    if twice:
        story.relabel(pod, app="api")
        story.wait(0.1)
    story.relabel(pod, **WEB)
    story.see(pod)
    story.intend(pod, "app")
    if twice:
        story.wait(0.1)
        story.see(pod)
        story.intend(pod, "side")
    story.wait(30)
    return story.verdict(pod, policy, "app"), story.verdict(pod, policy, "side")


def test_the_container_that_was_drawn_for_new_labels_is_covered() -> None:
    assert relabelled(ready(), twice=False) == ("covered applied", "gap partial-refresh")


def test_of_changes_close_to_each_other_only_the_last_line_is_about_the_last() -> None:
    story = ready()
    assert relabelled(story, twice=True) == ("unknown no-evidence-source", "covered applied")


def test_an_api_server_whose_clock_is_fast_dates_no_policy_after_its_line() -> None:
    story = ready()
    story.api_clock_ahead = 5.0
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    assert story.verdict(pod) == "covered applied"


def selected_anew(*, keeps_rules: bool) -> str:
    """A restarted container has a policy's rules; a later revision is written to its old id."""
    story = ready(release="v1.6.12")
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    (former,) = pod.ids("app")
    story.unregister(pod)
    story.restart(pod)
    story.wait(0.5)
    story.register(pod)
    story.write(pod)
    story.wait(20)
    policy.spec["selector"] = {"matchExpressions": []}
    story.edit(policy, BLOCK_APT if keeps_rules else BLOCK_YUM)
    story.learn(policy, action="modified")
    story.say(f"Updating container rules for {former}")
    story.wait(30)
    return story.verdict(pod)


def test_a_revision_that_only_selects_anew_leaves_a_container_its_rules() -> None:
    assert selected_anew(keeps_rules=True) == "covered inferred"


def test_a_revision_with_other_rules_that_goes_to_an_old_id_is_a_gap() -> None:
    assert selected_anew(keeps_rules=False) == "gap stale-container-id"


# --- a restarted container that a later line does not reach, where an earlier one was not read ---


def unread_at_first(*, by_successor: bool) -> tuple[Story, PolicyOf]:
    """Nobody reads the line by which a daemon learns a policy, or a successor its first lines."""
    story = ready(release="v1.6.12")
    if by_successor:
        story.replace()
    story.down("text/node-a")
    policy = story.cluster_policy()
    if by_successor:
        story.boot()
    else:
        story.learn(policy)
    story.wait(2)
    story.up("text/node-a")
    story.say("Detected a Cluster Security Policy (added/other)")
    return story, policy


def restarted(story: Story, pod: PodOf) -> str:
    """The container is started anew, and the Pod's own event writes its rules; its former id."""
    (former,) = pod.ids("app")
    story.unregister(pod)
    story.restart(pod)
    story.wait(0.5)
    story.register(pod)
    story.write(pod)
    return former


def modified(story: Story, policy: PolicyOf, former: str) -> None:
    story.learn(policy, action="modified")
    story.say(f"Updating container rules for {former}")


@pytest.mark.parametrize("by_successor", [False, True])
@pytest.mark.parametrize(
    ("revision", "verdict"),
    [
        (None, "covered inferred"),
        (BLOCK_APT, "covered inferred"),
        (BLOCK_YUM, "gap stale-container-id"),
    ],
    ids=["touched", "selects anew", "other rules"],
)
def test_rules_whose_line_was_not_read_stand_until_they_are_others(
    *, by_successor: bool, revision: Mapping[str, Any] | None, verdict: str
) -> None:
    story, policy = unread_at_first(by_successor=by_successor)
    story.wait(5)
    pod = covered(story)
    story.wait(20)
    former = restarted(story, pod)
    story.wait(20)
    if revision is None:
        story.touch(policy)
    else:
        story.edit(policy, revision)
    modified(story, policy, former)
    story.wait(30)
    assert story.verdict(pod) == verdict


@pytest.mark.parametrize(
    ("unread", "verdict"), [(True, "covered inferred"), (False, "gap stale-container-id")]
)
def test_a_line_that_comes_after_the_hole_tells_that_it_is_not_in_it(
    *, unread: bool, verdict: str
) -> None:
    story = ready(release="v1.6.12")
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(20)
    story.down("text/node-a")
    story.edit(policy)
    story.wait(2)
    story.up("text/node-a")
    story.say("Detected a Cluster Security Policy (added/other)")
    story.wait(1)
    former = restarted(story, pod)
    if not unread:
        modified(story, policy, former)
    story.wait(20)
    story.touch(policy)
    modified(story, policy, former)
    story.wait(30)
    assert story.verdict(pod) == verdict


def test_an_entry_that_the_kernel_refused_is_missing_whatever_was_not_read() -> None:
    story, policy = unread_at_first(by_successor=False)
    story.wait(5)
    pod = covered(story)
    story.wait(20)
    former = restarted(story, pod)
    story.say(f"error adding rule to map for container {pod.id}: no space left", level="ERROR")
    story.wait(20)
    story.touch(policy)
    modified(story, policy, former)
    story.wait(30)
    assert story.verdict(pod).startswith("gap")


def test_a_container_that_was_not_drawn_keeps_its_rules_when_labels_are_changed_and_back() -> None:
    story = ready()
    policy = story.policy(labels=WEB)
    story.learn(policy)
    pod = covered(story, containers=("app", "side"), labels=WEB)
    story.wait(20)
    story.relabel(pod, app="db")
    story.relabel(pod, **WEB)
    story.see(pod)
    story.strip(pod, "app")
    story.see(pod)
    story.push(pod, "app")
    story.wait(30)
    assert story.verdict(pod, policy, "side") == "covered applied"


def test_a_line_that_a_hole_swallowed_does_not_make_the_next_one_that_of_an_older_revision() -> (
    None
):
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    story.wait(10)
    story.down("text/node-a")
    story.edit(policy)
    story.wait(2)
    story.unheard.discard("text/node-a")
    story.up("text/node-a")
    story.say("Detected a Cluster Security Policy (added/other)")
    story.wait(1)
    story.edit(policy, BLOCK_APT)
    story.learn(policy, action="modified")
    pod = covered(story)
    story.wait(30)
    assert story.verdict(pod) == "covered inferred"
