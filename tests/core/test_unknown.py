"""What cannot be known, and what stands although it cannot be seen (design, 3: blindness)."""

import pytest

from tests.core.stories import BLOCK_YUM, FEEDS, RESOURCES, PodOf, Story, covered, listening, ready


def protected() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    return story, pod


# --- an outage of text --------------------------------------------------------------------------


def test_what_is_covered_stays_covered_while_text_is_away() -> None:
    story, pod = protected()
    story.down("text/node-a", *FEEDS)
    story.wait(3600)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


def test_a_policy_changed_while_text_is_away_is_pending_then_unknown() -> None:
    story, pod = protected()
    story.down("text/node-a", *FEEDS)
    story.wait(5)
    story.edit(story.policies[0])
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(3)
    assert story.verdict(pod) == "unknown source-outage"
    story.wait(3600)
    assert story.verdict(pod) == "unknown source-outage"
    assert story.gaps() == []


def test_a_new_policy_while_text_is_away_is_pending_then_unknown() -> None:
    story, pod = protected()
    story.down("text/node-a")
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.wait(9)
    assert story.verdict(pod, late) == "pending"
    story.wait(3)
    assert story.verdict(pod, late) == "unknown source-outage"
    assert story.overall(pod) == "unknown source-outage"


def test_a_container_started_while_text_is_away_is_pending_then_unknown() -> None:
    story, _ = protected()
    story.down("text/node-a")
    pod = story.pod("late")
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(3)
    assert story.verdict(pod) == "unknown source-outage"


def test_a_container_restarted_while_text_is_away_is_pending_then_unknown() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.restart(pod)
    assert story.verdict(pod) == "pending"
    story.wait(12)
    assert story.verdict(pod) == "unknown source-outage"


def test_labels_changed_while_text_is_away_make_the_new_pair_unknown() -> None:
    story, pod = protected()
    story.learn(story.policy("labelled", labels={"app": "cart"}, rules=BLOCK_YUM))
    story.intend(pod)
    story.down("text/node-a")
    story.relabel(pod, app="cart")
    assert story.verdict(pod, story.policies[1]) == "pending"
    story.wait(12)
    assert story.verdict(pod, story.policies[1]) == "unknown source-outage"
    assert story.verdict(pod, story.policies[0]) == "covered applied"


def test_a_daemon_restarted_while_text_is_away_is_unknown() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.kill()
    story.wait(2)
    story.revive()
    story.wait(90)
    assert story.verdict(pod) == "unknown source-outage"


def test_a_daemon_whose_first_lines_and_writes_were_not_read_is_unknown() -> None:
    """It may have written everything: the loss to its predecessor may long be over."""
    story, pod = protected()
    story.kill()
    story.down("text/node-a")
    story.wait(2)
    story.revive()
    story.boot()
    story.write(pod)
    story.wait(3)
    story.up("text/node-a")
    story.say("Detected a Pod (modified/shop/another)")
    story.wait(15)
    assert story.verdict(pod) == "unknown source-outage"


def test_a_successor_that_was_not_read_while_it_wrote_is_unknown() -> None:
    """Its first lines were read, and what it says long after it was ready."""
    story, pod = protected()
    story.replace()
    story.begin()
    story.wait(0.5)
    story.down("text/node-a")
    story.boot()
    story.write(pod)
    story.wait(2)
    story.up("text/node-a")
    story.wait(2)
    story.say("Added a new client (8074287e-4657-404f-8ebe-f87da1f08b74, policy) for WatchAlerts")
    story.wait(12)
    assert story.verdict(pod) == "unknown source-outage"


def test_a_proof_by_alert_ends_the_doubt() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.edit(story.policies[0])
    story.wait(30)
    story.alert(pod, Resource="/usr/bin/yum")
    assert story.verdict(pod) == "covered proven"


def test_the_log_sent_again_fills_the_outage() -> None:
    story, pod = protected()
    policy = story.policies[0]
    story.down("text/node-a")
    story.wait(5)
    story.edit(policy)
    story.learn(policy, action="modified")
    story.intend(pod)
    story.wait(30)
    assert story.verdict(pod) == "unknown source-outage"
    story.up("text/node-a")
    story.resend()
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


def test_a_filled_outage_leaves_nothing_in_doubt() -> None:
    """After it silence counts again."""
    story, _ = protected()
    story.down("text/node-a")
    story.wait(30)
    story.up("text/node-a")
    story.resend()
    pod = story.pod("late")
    story.register(pod)
    story.see(pod)
    story.wait(11)
    assert story.verdict(pod) == "gap unexplained"


def test_the_log_sent_again_shows_what_was_lost_meanwhile() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.wait(5)
    story.strip(pod)
    story.wait(30)
    assert story.verdict(pod) == "covered applied"
    story.up("text/node-a")
    story.resend()
    assert story.verdict(pod) == "lost rules-removed"


# --- an outage of the API server ----------------------------------------------------------------


@pytest.mark.parametrize("resource", ["pods", "kubearmorclusterpolicies"])
def test_a_loss_while_its_objects_are_unseen_is_pending_then_unknown(resource: str) -> None:
    """The Pod, or the policy, may be gone as well."""
    story, pod = protected()
    story.down(f"kubernetes/{resource}")
    story.wait(2)
    story.say("Got a signal to terminate KubeArmor", "Terminated KubeArmor")
    assert story.verdict(pod) == "pending"
    story.wait(7)
    assert story.verdict(pod) == "pending"
    story.wait(2)
    assert story.verdict(pod) == "unknown source-outage"
    assert story.gaps() == []


def test_a_loss_whose_objects_are_seen_again_is_told() -> None:
    story, pod = protected()
    story.down("kubernetes/pods")
    story.wait(2)
    story.say("Got a signal to terminate KubeArmor", "Terminated KubeArmor")
    story.wait(2)
    story.up("kubernetes/pods")
    assert story.verdict(pod) == "lost daemon-down"


def test_a_pod_that_went_unseen_before_its_daemon_was_never_lost() -> None:
    story, pod = protected()
    story.down("kubernetes/pods")
    story.delete(pod)
    story.wait(2)
    story.say("Got a signal to terminate KubeArmor", "Terminated KubeArmor")
    story.wait(30)
    story.up("kubernetes/pods")
    story.wait(30)
    assert story.gaps() == []


def test_a_loss_that_was_told_stands_while_its_objects_are_unseen() -> None:
    story, pod = protected()
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"
    story.down("kubernetes/pods")
    story.wait(5)
    assert story.verdict(pod) == "lost daemon-down"


# --- holes --------------------------------------------------------------------------------------


def hole(story: Story, seconds: float = 10) -> None:
    """Text is away for a while, and what was printed meanwhile never comes."""
    story.down("text/node-a")
    story.wait(seconds)


def test_after_a_hole_a_changed_pair_without_a_line_is_unknown() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.wait(1)
    story.edit(story.policies[0])
    story.wait(9)
    story.up("text/node-a")
    story.say("Updated visibility map with key={PidNS:1 MntNS:1} for cid x")
    story.wait(20)
    assert story.verdict(pod) == "unknown source-outage"


def test_what_a_former_daemon_said_fills_no_hole_of_its_successor() -> None:
    story, pod = protected()
    former = story.daemons["node-a"]
    story.kill()
    story.wait(2)
    story.revive()
    story.boot()
    story.write(pod)
    story.wait(20)
    story.down("text/node-a")
    story.edit(story.policies[0])
    story.wait(9)
    story.up("text/node-a")
    story.resend(former=former)
    story.wait(20)
    assert story.verdict(pod) == "unknown source-outage"


def test_after_a_hole_an_unchanged_pair_still_stands() -> None:
    story, pod = protected()
    hole(story)
    story.up("text/node-a")
    story.say("Detected a Pod (modified/shop/another)")
    story.wait(60)
    assert story.verdict(pod) == "covered applied"


def test_after_a_hole_a_write_without_deletion_is_inferred() -> None:
    """For a container that started before the end of the outage."""
    story, pod = protected()
    story.down("text/node-a")
    story.wait(1)
    story.edit(story.policies[0])
    story.wait(9)
    story.up("text/node-a")
    story.wait(1)
    story.say("Detected a Security Policy (modified/elsewhere/unrelated)")
    story.intend(pod)
    story.wait(12)
    assert story.verdict(pod) == "covered inferred"


def test_after_a_hole_a_bare_updating_for_a_container_never_registered_proves_nothing() -> None:
    """The daemon tries to write and knows no such container: it prints nothing more (F8)."""
    story, _ = protected()
    story.say("NRI connection lost", level="WARN")
    story.down("text/node-a")
    story.wait(1)
    pod = story.pod("unseen")
    story.see(pod)
    story.intend(pod)
    story.wait(5)
    story.up("text/node-a")
    story.say("Detected a Security Policy (modified/elsewhere/unrelated)")
    story.intend(pod)
    story.wait(15)
    assert story.pair(pod).verdict in {"unknown", "gap"}


def test_after_a_hole_a_write_with_deletion_is_not_covered() -> None:
    story, pod = protected()
    story.down("text/node-a")
    story.wait(1)
    story.edit(story.policies[0])
    story.wait(9)
    story.up("text/node-a")
    story.wait(1)
    story.strip(pod)
    story.wait(12)
    assert story.pair(pod).verdict in {"gap", "lost"}


def test_after_a_hole_silence_about_a_younger_container_counts() -> None:
    story, _ = protected()
    hole(story)
    story.up("text/node-a")
    story.say("Detected a Pod (modified/shop/another)")
    story.wait(5)
    pod = story.pod("late")
    story.register(pod)
    story.see(pod)
    story.wait(11)
    assert story.verdict(pod) == "gap unexplained"


def test_a_stream_that_ended_with_its_daemon_is_no_hole() -> None:
    """Nothing is missing when the next one begins with the incarnation's first line."""
    story, pod = protected()
    story.kill()
    story.down("text/node-a")
    story.wait(2)
    story.revive()
    story.wait(0.5)
    story.up("text/node-a")
    story.boot()
    story.wait(15)
    assert story.verdict(pod) == "lost daemon-down"
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


@pytest.mark.parametrize(
    ("reason", "second", "ahead", "verdict"),
    [
        ("stream ended", 40.0, 0.0, "lost daemon-down"),
        ("stream ended", 40.5, 0.0, "lost daemon-down"),
        ("stream ended", 39.9, 0.0, "unknown source-outage"),
        ("stream ended", 39.2, 0.0, "unknown source-outage"),
        ("stream ended", 39.2, 5.0, "lost daemon-down"),
        ("reset", 40.5, 0.0, "unknown source-outage"),
        ("reset", 40.8, 0.0, "lost daemon-down"),
    ],
)
def test_what_a_successor_did_is_awaited_only_where_the_stream_may_have_ended_with_its_daemon(
    reason: str, second: float, ahead: float, verdict: str
) -> None:
    """That ended at 40.8, which its status tells as 40, on a node whose clock may be ahead."""
    story = ready()
    story.skews["node-a"] = ahead
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.until(second)
    story.down("text/node-a", reason=reason)
    story.until(40.8)
    story.kill()
    story.wait(1)
    story.revive()
    story.boot()
    story.write(pod)
    assert story.verdict(pod) == verdict
    story.wait(10)
    assert story.verdict(pod) == "unknown source-outage"


@pytest.mark.parametrize(("second", "verdict"), [(39.9, "unknown"), (40.1, "lost")])
def test_so_it_is_where_the_output_can_be_read_again_and_nothing_is_read_yet(
    second: float, verdict: str
) -> None:
    story, pod = protected()
    story.until(second)
    story.down("text/node-a")
    story.until(40.8)
    story.kill()
    story.wait(1)
    story.revive()
    story.up("text/node-a")
    assert story.pair(pod).verdict == verdict


@pytest.mark.parametrize("again", [0, 1, 2])
def test_down_repeats_while_a_source_is_away(again: int) -> None:
    story, pod = protected()
    for _ in range(1 + again):
        story.down("text/node-a")
        story.wait(5)
    story.up("text/node-a")
    story.resend()
    (state,) = [s for s in story.report().sources if s.name == "text/node-a"]
    assert len(state.outages) == 2  # before its first up, and this one
    assert story.verdict(pod) == "covered applied"


# --- an open gap while blind --------------------------------------------------------------------


def test_an_open_gap_stays_open_while_text_is_away() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(15)
    story.down("text/node-a", *FEEDS)
    story.wait(3600)
    assert story.verdict(pod) == "unknown source-outage"
    assert story.gaps() == ["open gap unexplained shop/cart/app"]


def test_a_loss_stays_open_while_the_pods_are_away() -> None:
    story, pod = protected()
    story.strip(pod)
    story.down("kubernetes/pods")
    story.wait(60)
    assert story.gaps() == ["open lost rules-removed shop/cart/app"]


def test_a_gap_by_silence_needs_a_source_that_was_live_since_the_change() -> None:
    """Text went and came back within the grace: what it did not show may have been in between."""
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(2)
    story.down("text/node-a")
    story.wait(4)
    story.up("text/node-a")
    story.say("Detected a Pod (modified/shop/another)")
    story.wait(40)
    assert story.verdict(pod) == "unknown source-outage"


# --- no text at all -----------------------------------------------------------------------------


def test_without_text_and_alerts_there_is_no_source_of_evidence() -> None:
    story = ready(text=False)
    story.cluster_policy()
    pod = story.pod()
    story.wait(120)
    assert story.verdict(pod) == "unknown no-evidence-source"
    assert story.gaps() == []


def test_without_text_on_v1_5_7_an_alert_proves_what_prediction_leaves_open() -> None:
    story = ready(text=False, tag="v1.5.7")
    story.cluster_policy()
    story.wait(5)
    story.namespace("fresh")
    pod = story.pod(namespace="fresh")
    story.wait(120)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_without_text_no_false_gap_is_announced_for_a_younger_namespace() -> None:
    story = ready(text=False, tag="v1.7.4")
    story.cluster_policy()
    story.wait(60)
    story.namespace("fresh")
    pod = story.pod(namespace="fresh")
    story.wait(300)
    assert story.pair(pod).verdict in {"unknown", "covered"}


def test_messages_of_the_feed_count_for_nothing_where_text_is_read() -> None:
    story, pod = protected()
    story.message(f"Updating container rules for {pod.id}", f"Deleting inner map for {pod.id}")
    assert story.verdict(pod) == "covered applied"


# --- an unknown release -------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["v1.3.0", "v1.3.9-rc1"])
def test_a_release_that_is_not_described_leaves_younger_namespaces_open(release: str) -> None:
    story = ready(release=release)
    story.learn(story.cluster_policy())
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = covered(story, namespace="fresh")
    story.wait(30)
    assert story.verdict(pod) == "unknown release-unknown"


def test_where_all_releases_agree_an_unknown_release_is_judged() -> None:
    story = ready(release="v1.3.0")
    story.learn(story.cluster_policy(), story.policy("own", rules=BLOCK_YUM))
    pod = covered(story)
    assert {p.verdict for p in story.container(pod).policies} == {"covered"}
    assert story.overall(pod) == "covered"


def test_an_alert_proves_what_the_unknown_release_leaves_open() -> None:
    story = ready(release="v1.3.0")
    story.learn(story.cluster_policy())
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = covered(story, namespace="fresh")
    story.wait(30)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_the_version_in_an_alert_makes_the_release_known() -> None:
    story = ready(text=False, tag="latest")
    assert [node.release for node in story.report().nodes] == [None]
    story.cluster_policy()
    pod = story.pod()
    story.alert(pod, policy="whatever", KubeArmorVersion="v1.7.4")
    assert [node.release for node in story.report().nodes] == ["v1.7.4"]


@pytest.mark.parametrize(
    ("tag", "release"),
    [
        ("v1.7.4", "v1.7.4"),
        ("v1.7.4-rc1", "v1.7.4-rc1"),
        ("latest", None),
        ("stable", None),
        ("v1.7.4@sha256:aa", "v1.7.4"),
    ],
)
def test_without_text_the_images_tag_names_the_release(tag: str, release: str | None) -> None:
    story = ready(text=False, tag=tag)
    assert [node.release for node in story.report().nodes] == [release]


# --- the API server -----------------------------------------------------------------------------


def test_pods_unseen_for_longer_than_grace_make_everything_unknown() -> None:
    story, pod = protected()
    story.down("kubernetes/pods")
    story.wait(9.9)
    assert story.verdict(pod) == "covered applied"
    story.wait(0.2)
    assert story.verdict(pod) == "unknown source-outage"


def test_pods_seen_again_restore_what_stood() -> None:
    story, pod = protected()
    story.down("kubernetes/pods")
    story.wait(60)
    story.up("kubernetes/pods")
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


def test_policies_unseen_for_longer_than_grace_make_their_pairs_unknown() -> None:
    story, pod = protected()
    own = story.policy("own", rules=BLOCK_YUM)
    story.learn(own)
    story.intend(pod)
    story.down("kubernetes/kubearmorpolicies")
    story.wait(11)
    assert story.verdict(pod, own) == "unknown source-outage"
    assert story.verdict(pod, story.policies[0]) == "covered applied"


def test_a_policy_that_came_while_policies_were_unseen_is_judged_after_the_list() -> None:
    story, pod = protected()
    story.down("kubernetes/kubearmorclusterpolicies")
    story.wait(5)
    late = story.cluster_policy("late", rules=BLOCK_YUM)
    story.learn(late)
    story.intend(pod)
    story.wait(30)
    story.up("kubernetes/kubearmorclusterpolicies")
    story.wait(12)
    assert story.pair(pod, late).verdict == "covered"


def test_a_policy_deleted_while_policies_were_unseen_is_gone_after_the_list() -> None:
    story, pod = protected()
    story.down("kubernetes/kubearmorclusterpolicies")
    story.remove(story.policies[0])
    story.wait(5)
    story.up("kubernetes/kubearmorclusterpolicies")
    assert story.overall(pod) == "unpoliced"


def test_pods_deleted_while_pods_were_unseen_are_gone_after_the_list() -> None:
    story, pod = protected()
    identity = pod.id
    story.down("kubernetes/pods")
    story.delete(pod)
    story.wait(5)
    story.up("kubernetes/pods")
    assert identity not in {c.container_id for c in story.report().containers}


@pytest.mark.parametrize("order", [RESOURCES, tuple(reversed(RESOURCES))])
def test_an_api_server_that_comes_back_piece_by_piece_announces_nothing(
    order: tuple[str, ...],
) -> None:
    story, pod = protected()
    names = [f"kubernetes/{name}" for name in order]
    story.down(*names)
    story.wait(5)
    for name in names:
        story.wait(1)
        story.up(name)
    story.wait(60)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


# --- the monitor's own start --------------------------------------------------------------------


def late_start(story: Story, *, text: bool = True) -> Story:
    """Another monitor that begins now: lists, then the log so far."""
    late = Story(started=story.second)
    late.objects, late.daemons, late.policies = story.objects, story.daemons, story.policies
    late.wait(0.5)
    late.up(*(f"kubernetes/{name}" for name in RESOURCES), reason="listed")
    late.up(*FEEDS)
    late.wait(0.5)
    if text:
        late.up("text/node-a")
        late.resend()
    return late


def test_a_monitor_that_starts_late_reads_the_log_and_finds_what_is_covered() -> None:
    story, pod = protected()
    late = late_start(story)
    assert late.verdict(pod) == "covered applied"
    late.wait(60)
    assert late.gaps() == []


def test_a_monitor_that_starts_late_finds_the_gap_that_stands() -> None:
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(30)
    late = late_start(story)
    assert late.verdict(pod) == "gap namespace-newer-than-policy"
    assert [gap.id for gap in late.open_gaps()] == [gap.id for gap in story.open_gaps()]


def test_a_start_announces_no_storm_before_the_log_is_read() -> None:
    story, pod = protected()
    late = late_start(story, text=False)
    late.wait(5)
    assert late.verdict(pod) == "pending"
    late.up("text/node-a")
    late.resend()
    assert late.verdict(pod) == "covered applied"
    late.wait(60)
    assert late.gaps() == []


def test_a_start_without_any_source_announces_nothing() -> None:
    story, pod = protected()
    late = late_start(story, text=False)
    late.wait(300)
    assert late.pair(pod).verdict == "unknown"
    assert late.gaps() == []


def test_lists_that_come_one_after_the_other_announce_nothing() -> None:
    story = listening(started=-5)
    story.daemon()
    story.boot()
    story.until(0)
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(30)
    late = Story(started=story.second)
    late.objects, late.daemons = story.objects, story.daemons
    for name in ("kubearmorclusterpolicies", "pods", "namespaces", "nodes", "configmaps"):
        late.wait(2)
        late.up(f"kubernetes/{name}")
    late.wait(1)
    late.up("text/node-a")
    late.resend()
    late.wait(60)
    assert late.verdict(pod) == "covered applied"
    assert late.gaps() == []
