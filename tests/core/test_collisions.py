"""Policies of both kinds that bear one name, which a daemon confuses (dossier 5.6, 12.7)."""

from collections.abc import Sequence

import pytest

from monitor.core.evidence import POD_LINES_KEPT
from tests.core.stories import BLOCK_YUM, PodOf, PolicyOf, Story, covered, ready

WEB = {"selector": {"matchLabels": {"app": "web"}}}


def namesakes(story: Story) -> tuple[PolicyOf, PolicyOf]:
    """A namespaced policy and, learned after it, a cluster policy of the same name."""
    own = story.policy("guard")
    story.learn(own)
    story.wait(5)
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(everywhere)
    story.wait(20)
    return own, everywhere


def pair(story: Story, pod: PodOf, policy: PolicyOf) -> tuple[str, str | None, bool | None]:
    found = story.pair(pod, policy)
    return found.verdict, found.cause, found.predicted


def written(story: Story, name: str = "cart") -> PodOf:
    pod = story.pod(name)
    story.wait(0.5)
    story.register(pod)
    story.wait(0.5)
    story.write(pod)
    return pod


def test_a_cluster_policy_whose_name_is_taken_misses_later_pods() -> None:
    story = ready()
    own, everywhere = namesakes(story)
    pod = written(story)
    assert pair(story, pod, own) == ("covered", None, True)
    assert pair(story, pod, everywhere) == ("gap", "name-collision", False)


def test_a_pod_that_has_the_namesake_does_not_get_the_cluster_policy_either() -> None:
    story = ready()
    own = story.policy("guard")
    story.learn(own)
    pod = written(story)
    story.wait(5)
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(everywhere)
    story.push(pod)
    story.wait(20)
    assert pair(story, pod, everywhere) == ("gap", "name-collision", False)


def test_a_pod_in_another_namespace_gets_it_when_it_is_there_already() -> None:
    story = ready()
    story.namespace("other", age=100)
    own = story.policy("guard")
    story.learn(own)
    pod = story.pod(namespace="other")
    story.register(pod)
    story.write(pod)
    story.wait(5)
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(everywhere)
    story.push(pod)
    story.wait(20)
    assert pair(story, pod, everywhere) == ("covered", None, True)


def test_deleting_the_cluster_policy_takes_its_namesake_along() -> None:
    story = ready()
    own, everywhere = namesakes(story)
    pod = written(story)
    story.wait(5)
    story.remove(everywhere)
    story.say("Detected a Cluster Security Policy (deleted/guard)")
    story.strip(pod)
    story.wait(20)
    assert pair(story, pod, own) == ("lost", "policy-removed-by-collision", False)
    assert story.gaps() == [
        "closed gap name-collision shop/cart/app",
        "open lost policy-removed-by-collision shop/cart/app",
    ]


def test_a_new_start_of_the_daemon_brings_back_what_a_namesake_took_along() -> None:
    story = ready()
    own, everywhere = namesakes(story)
    pod = written(story)
    story.remove(everywhere)
    story.say("Detected a Cluster Security Policy (deleted/guard)")
    story.strip(pod)
    story.wait(20)
    story.replace()
    story.wait(5)
    story.boot()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    assert pair(story, pod, own) == ("covered", None, True)


def test_policies_of_one_name_whose_lines_were_not_read_whole_stay_open() -> None:
    story = ready()
    own, everywhere = namesakes(story)
    story.down("text/node-a")
    story.wait(2)
    story.up("text/node-a")
    story.say("Detected a Security Policy (modified/shop/other)")
    pod = written(story)
    story.wait(40)
    assert pair(story, pod, own)[0] == "unknown"
    assert pair(story, pod, everywhere)[0] == "unknown"


# --- beside a policy of another name, which keeps the rules of the container alive ---------------


def named(release: str = "v1.7.4") -> tuple[Story, PolicyOf, PolicyOf, PolicyOf]:
    """That policy, and a namespaced and a cluster policy of one name, learned in this order."""
    story = ready(release=release)
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    own = story.policy("guard")
    cluster = story.cluster_policy("guard")
    story.learn(base, own, cluster)
    return story, base, own, cluster


def verdicts(story: Story, pod: PodOf, *policies: PolicyOf) -> list[str]:
    return [story.verdict(pod, policy) for policy in policies]


def are_open(story: Story, pod: PodOf, *policies: PolicyOf) -> bool:
    """Whether nobody can tell."""
    return {one.split()[0] for one in verdicts(story, pod, *policies)} == {"unknown"}


def deleted(story: Story, cluster: PolicyOf, pod: PodOf) -> None:
    """The cluster policy is deleted, and the daemon writes what it has left for the Pod."""
    story.remove(cluster)
    story.learn(cluster, action="deleted")
    story.intend(pod)
    story.wait(20)


def test_only_the_cluster_policy_that_came_second_is_kept_out() -> None:
    story, base, own, cluster = named()
    pod = covered(story)
    story.wait(20)
    assert verdicts(story, pod, base, own, cluster) == [
        "covered applied",
        "covered applied",
        "gap name-collision",
    ]
    assert story.gaps() == ["open gap name-collision shop/cart/app"]


def test_a_cluster_policy_that_came_first_keeps_no_namesake_out() -> None:
    story = ready()
    cluster = story.cluster_policy("guard")
    own = story.policy("guard")
    story.learn(cluster, own)
    pod = covered(story)
    story.wait(20)
    assert verdicts(story, pod, cluster, own) == ["covered applied"] * 2


def test_a_write_that_leaves_rules_shows_the_loss_of_a_namesake_too() -> None:
    story, base, own, cluster = named()
    pod = covered(story)
    story.wait(20)
    deleted(story, cluster, pod)
    assert verdicts(story, pod, base, own) == [
        "covered applied",
        "lost policy-removed-by-collision",
    ]


def test_a_cluster_policy_that_is_for_others_takes_its_namesake_along_all_the_same() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    own = story.policy("guard")
    cluster = story.cluster_policy("guard", only_in=["pay"])
    story.learn(base, own, cluster)
    pod = covered(story)
    story.wait(20)
    assert verdicts(story, pod, base, own) == ["covered applied"] * 2
    deleted(story, cluster, pod)
    assert verdicts(story, pod, base, own) == [
        "covered applied",
        "lost policy-removed-by-collision",
    ]


def test_the_line_of_a_namesake_alone_shows_the_loss() -> None:
    story = ready()
    own = story.policy("guard")
    cluster = story.cluster_policy("guard", only_in=["pay"])
    story.learn(own, cluster)
    pod = covered(story)
    story.wait(20)
    story.learn(cluster, action="modified")
    story.wait(20)
    assert story.verdict(pod, own) == "lost policy-removed-by-collision"
    assert story.gaps() == ["open lost policy-removed-by-collision shop/cart/app"]


def test_a_cluster_policy_that_took_the_place_of_its_namesake_does_so_once() -> None:
    story, base, own, cluster = named()
    pod = covered(story)
    story.wait(20)
    for _ in range(3):
        story.touch(cluster)
        story.learn(cluster, action="modified")
        story.intend(pod)
        story.wait(20)
    assert verdicts(story, pod, base, own, cluster) == [
        "covered applied",
        "lost policy-removed-by-collision",
        "covered applied",
    ]
    assert story.gaps() == [
        "closed gap name-collision shop/cart/app",
        "open lost policy-removed-by-collision shop/cart/app",
    ]


def test_creating_the_policy_again_heals() -> None:
    story, base, own, cluster = named()
    pod = covered(story)
    story.wait(20)
    deleted(story, cluster, pod)
    story.remove(own)
    story.learn(own, action="deleted")
    story.create_again(own)
    story.learn(own)
    story.intend(pod)
    story.wait(20)
    assert verdicts(story, pod, base, own) == ["covered applied"] * 2
    assert story.open_gaps() == ()


def test_a_pod_that_is_evaluated_again_loses_what_was_never_stored() -> None:
    """A container that ran when the cluster policy came has it, until its Pod changes."""
    story = ready()
    elsewhere = story.policy("guard", namespace="pay")
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    story.learn(elsewhere, base)
    pod = covered(story)
    story.wait(20)
    cluster = story.cluster_policy("guard")
    story.learn(cluster)
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, cluster) == "covered applied"
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, cluster) == "gap name-collision"
    assert story.gaps() == ["open gap name-collision shop/cart/app"]


# --- what leaves it open -------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["v1.5.6", "v1.5.7", "v1.3.0"])
def test_where_namespaces_are_not_looked_at_again_it_is_open(release: str) -> None:
    story, _, own, cluster = named(release)
    pod = covered(story)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_in_the_first_release_that_looks_again_it_is_not() -> None:
    story, _, own, cluster = named("v1.6.0")
    pod = covered(story)
    story.wait(20)
    assert verdicts(story, pod, own, cluster) == ["covered applied", "gap name-collision"]


def reselected(story: Story, policy: PolicyOf, pod: PodOf) -> None:
    """The policy gets another selector, which takes the Pod too."""
    policy.spec = {**policy.spec, **WEB}
    story.edit(policy)
    story.learn(policy, action="modified")
    story.intend(pod)
    story.wait(20)


def test_an_edited_selector_leaves_it_open_however_often_the_rules_are_edited_after() -> None:
    story, _, own, cluster = named()
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    reselected(story, own, pod)
    assert are_open(story, pod, own, cluster)
    story.edit(own)
    story.learn(own, action="modified")
    story.intend(pod)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_a_daemon_that_starts_after_the_edit_knows_one_selector_only() -> None:
    story, base, own, cluster = named()
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    reselected(story, own, pod)
    story.replace()
    story.wait(1)
    story.boot()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    assert verdicts(story, pod, base, own, cluster) == [
        "covered applied",
        "covered applied",
        "gap name-collision",
    ]


def test_a_policy_that_is_created_again_with_another_selector_leaves_it_open() -> None:
    story, _, own, cluster = named()
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.remove(own)
    story.learn(own, action="deleted")
    own.spec = {**own.spec, **WEB}
    story.create_again(own)
    story.learn(own)
    story.intend(pod)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_labels_that_releases_read_otherwise_leave_it_open() -> None:
    story = ready()
    hosts = {"kubernetes.io/hostname": "n1,n2"}
    own = story.policy("guard", labels=hosts)
    cluster = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(own, cluster)
    pod = covered(story, labels={"kubernetes.io/hostname": "n2"})
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_more_lines_than_are_kept_leave_it_open() -> None:
    story, _, own, cluster = named()
    pod = covered(story)
    for _ in range(130):
        story.learn(own, cluster, action="modified")
    story.intend(pod)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_a_policy_that_was_alone_for_long_leaves_it_told() -> None:
    story = ready()
    own = story.policy("guard")
    story.learn(own)
    for _ in range(300):
        story.touch(own)
        story.learn(own, action="modified")
        story.wait(1)
    cluster = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(cluster)
    story.wait(1)
    pod = covered(story)
    story.wait(20)
    assert verdicts(story, pod, own, cluster) == ["covered applied", "gap name-collision"]


def test_a_stale_list_of_a_relabelled_pod_leaves_it_open() -> None:
    story, _, own, cluster = named("v1.6.12")
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_a_name_in_the_output_that_we_never_saw_leaves_it_open() -> None:
    story, _, own, cluster = named()
    story.say("Detected a Security Policy (added/gone/guard)")
    pod = covered(story)
    story.wait(20)
    assert are_open(story, pod, own, cluster)


def test_a_policy_that_came_while_a_pod_was_evaluated_may_be_in_neither() -> None:
    story = ready()
    own = story.policy("guard", labels={"app": "db"})
    story.learn(own)
    story.cluster_policy("base")
    pod = written(story)
    story.wait(5)
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.see(pod)
    story.learn(everywhere)
    story.intend(pod)
    story.intend(pod)
    story.wait(30)
    assert pair(story, pod, everywhere) == ("unknown", "no-evidence-source", None)


def test_before_v1_6_13_an_event_of_a_pod_writes_what_is_stored_whatever_its_list_has() -> None:
    story = ready(release="v1.6.12")
    base = story.cluster_policy("base")
    own = story.policy("guard", labels={"app": "db"})
    story.learn(base, own)
    pod = written(story)
    story.wait(5)
    everywhere = story.cluster_policy("guard", rules=BLOCK_YUM)
    story.learn(everywhere)
    story.intend(pod)
    story.wait(20)
    before = pair(story, pod, everywhere)
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    assert before == ("covered", None, True)
    assert pair(story, pod, everywhere) == ("gap", "name-collision", False)


def replaced_since(story: Story, *, namesake_is_gone: bool) -> tuple[str, str | None, bool | None]:
    """A cluster policy was proven; its daemon's successor has written the container's rules."""
    own = story.policy("guard", labels={"app": "db"})
    story.learn(own)
    if namesake_is_gone:
        story.remove(own)
        story.learn(own, action="deleted")
    story.wait(5)
    everywhere = story.cluster_policy("guard")
    story.learn(everywhere)
    pod = written(story)
    story.alert(pod, PolicyName="guard")
    story.wait(20)
    story.replace()
    story.boot()
    story.register(pod)
    story.write(pod)
    story.wait(30)
    return pair(story, pod, everywhere)


def test_what_nobody_can_attribute_to_a_policy_is_no_loss() -> None:
    found = replaced_since(ready(release="v1.5.7"), namesake_is_gone=False)
    assert found == ("unknown", "no-evidence-source", None)


def test_a_namesake_that_was_deleted_before_the_daemon_began_is_none() -> None:
    found = replaced_since(ready(release="v1.5.7"), namesake_is_gone=True)
    assert found == ("covered", None, True)


def test_a_namesake_that_is_changed_after_a_proof_takes_its_place() -> None:
    story = ready(release="v1.6.4")
    own = story.policy("guard")
    story.learn(own)
    everywhere = story.cluster_policy("guard", only_in=("other",), rules=BLOCK_YUM)
    story.learn(everywhere)
    pod = written(story)
    story.wait(5)
    story.alert(pod, PolicyName="guard")
    before = story.verdict(pod, own)
    story.wait(5)
    everywhere.spec["selector"] = {"matchExpressions": []}
    story.edit(everywhere)
    story.learn(everywhere, action="modified")
    story.intend(pod)
    story.wait(20)
    assert before == "covered proven"
    assert not story.verdict(pod, own).startswith("covered")


# --- a Pod whose labels were changed, of which each event reaches one container -------------------

DB = {"app": "db"}


def labelled(story: Story) -> tuple[PodOf, PolicyOf]:
    """A Pod of two containers that a policy of the name selects by its labels."""
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    own = story.policy("guard", labels={"app": "web"})
    story.learn(base, own)
    pod = covered(story, containers=("app", "side"), labels={"app": "web"})
    story.wait(20)
    return pod, own


def relabelled(story: Story, pod: PodOf, labels: dict[str, str], drawn: str) -> None:
    story.relabel(pod, **labels)
    story.see(pod)
    story.intend(pod, drawn)
    story.wait(20)


def joined(story: Story, pod: PodOf) -> PolicyOf:
    """A cluster policy of the name comes."""
    cluster = story.cluster_policy("guard")
    story.learn(cluster)
    story.intend(pod)
    story.wait(20)
    return cluster


@pytest.mark.parametrize(
    ("drawn", "app", "side"),
    [
        (("side", "app"), "gap name-collision", "covered"),
        (("app", "side"), "covered", "gap name-collision"),
        (("side", "side"), "gap name-collision", "gap name-collision"),
        (("app", "app"), "gap name-collision", "gap name-collision"),
    ],
    ids=["side-app", "app-side", "side-side", "app-app"],
)
def test_a_container_that_lost_the_namesake_with_its_labels_gets_the_cluster_policy(
    drawn: Sequence[str], app: str, side: str
) -> None:
    story = ready()
    pod, _ = labelled(story)
    for labels, container in zip((DB, {"app": "web"}), drawn, strict=True):
        relabelled(story, pod, labels, container)
    cluster = joined(story, pod)
    for name in ("a", "b", "c"):
        found = [story.verdict(pod, cluster, container) for container in ("app", "side")]
        assert [one.removesuffix(" applied").removesuffix(" inferred") for one in found] == [
            app,
            side,
        ]
        story.learn(story.policy(name, namespace="pay"))
        story.intend(pod)
        story.wait(20)


def test_other_labels_make_no_difference_to_a_name_however_often_they_change() -> None:
    story = ready()
    pod, _ = labelled(story)
    cluster = joined(story, pod)
    for number in range(2 * POD_LINES_KEPT):
        story.relabel(pod, app="web", track=str(number))
        story.see(pod)
        story.wait(20)
    assert [story.verdict(pod, cluster, container) for container in ("app", "side")] == [
        "gap name-collision",
        "gap name-collision",
    ]


def test_a_cluster_policy_is_not_taken_for_attached_where_the_list_may_have_its_namesake() -> None:
    story = ready()
    pod, _ = labelled(story)
    relabelled(story, pod, DB, "app")
    cluster = joined(story, pod)
    assert [story.verdict(pod, cluster, container) for container in ("app", "side")] == [
        "covered applied",
        "unknown no-evidence-source",
    ]


def test_a_policy_that_came_with_an_event_of_the_pod_leaves_open_whom_it_reached() -> None:
    story = ready()
    pod, _ = labelled(story)
    relabelled(story, pod, DB, "side")
    story.relabel(pod, app="web")
    story.see(pod)
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    cluster = joined(story, pod)
    assert [story.verdict(pod, cluster, container) for container in ("app", "side")] == [
        "gap name-collision",
        "unknown no-evidence-source",
    ]


def test_more_events_of_a_pod_than_are_kept_leave_open_whom_they_reached() -> None:
    story = ready()
    pod, _ = labelled(story)
    for labels in (DB, {"app": "web"}):
        relabelled(story, pod, labels, "app")
    for _ in range(8):
        story.see(pod)
        story.intend(pod, "app")
        story.wait(5)
    cluster = joined(story, pod)
    assert [story.verdict(pod, cluster, container) for container in ("app", "side")] == [
        "gap name-collision",
        "unknown no-evidence-source",
    ]


def test_labels_that_concern_no_policy_of_the_name_leave_it_told() -> None:
    story, _, own, cluster = named()
    pod = covered(story, containers=("app", "side"), labels={"app": "web"})
    story.wait(20)
    for labels in (DB, {"app": "web"}):
        relabelled(story, pod, labels, "side")
    for container in ("app", "side"):
        assert story.verdict(pod, own, container) == "covered applied"
        assert story.verdict(pod, cluster, container) == "gap name-collision"


def test_labels_that_changed_while_nobody_looked_leave_open_what_they_selected() -> None:
    story = ready()
    pod, _ = labelled(story)
    relabelled(story, pod, DB, "side")
    story.down("kubernetes/pods")
    relabelled(story, pod, {"app": "web"}, "side")
    story.up("kubernetes/pods")
    cluster = joined(story, pod)
    assert story.verdict(pod, cluster, "side") == "unknown no-evidence-source"


def test_new_labels_that_the_daemon_has_not_handled_make_no_namesake_of_another_policy() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    own = story.policy("guard", labels={"app": "web"})
    story.learn(base, own)
    pod = covered(story, labels=DB)
    story.wait(20)
    cluster = joined(story, pod)
    story.relabel(pod, app="web")
    before = story.verdict(pod, cluster)
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    assert (before, story.verdict(pod, cluster)) == ("covered applied", "gap name-collision")


def test_a_write_that_follows_the_line_of_another_pod_leaves_open_who_was_drawn_before() -> None:
    story = ready()
    pod, _ = labelled(story)
    for labels, container in ((DB, "side"), ({"app": "web"}, "app")):
        relabelled(story, pod, labels, container)
    story.say("Detected a Pod (modified/shop/another)")
    story.intend(pod)
    story.wait(20)
    cluster = joined(story, pod)
    assert story.verdict(pod, cluster, "side") == "unknown no-evidence-source"
