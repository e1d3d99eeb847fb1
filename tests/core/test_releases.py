"""What follows from the release of a node's daemon: the table of switches, and verdicts by it."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from msgspec import structs

from monitor.core.semantics import DESCRIBED, NEWEST, behaviour
from tests.core.stories import BLOCK_YUM, ZERO, PodOf, PolicyOf, Story, covered, listening, ready

FIRST: Final[Mapping[str, Any]] = {
    "leaks_namespaced": True,
    "overmatches": True,
    "refreshes_namespaces": False,
    "reads_label_expressions": False,
    "revisits_endpoints": False,
    "relists_modified_pods": False,
    "host_names": "own-pattern",
    "filters_untracked": False,
    "untracked_in_map": False,
    "network_policies": False,
    "network_pod_selector": False,
}
CHANGES: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    ("v1.4.0", "v1.4.1", {"leaks_namespaced": False}),
    ("v1.4.1", "v1.4.2", {"filters_untracked": True}),
    (
        "v1.5.6",
        "v1.5.7",
        {"overmatches": False, "reads_label_expressions": True, "revisits_endpoints": True},
    ),
    ("v1.5.7", "v1.6.0", {"refreshes_namespaces": True}),
    ("v1.6.6", "v1.6.7", {"untracked_in_map": True}),
    ("v1.6.12", "v1.6.13", {"relists_modified_pods": True}),
    ("v1.6.13", "v1.6.14", {"host_names": "pattern", "network_policies": True}),
    ("v1.7.3", "v1.7.4", {"host_names": "list", "network_pod_selector": True}),
)


def switches(release: str) -> dict[str, Any]:
    known = behaviour(release)
    assert known is not None
    return structs.asdict(known)


def test_the_first_described_release_has_all_defects() -> None:
    assert switches("v1.4.0") == FIRST


@pytest.mark.parametrize(("last", "since", "change"), CHANGES)
def test_a_release_changes_only_what_the_table_says(
    last: str, since: str, change: Mapping[str, Any]
) -> None:
    before = switches(last)
    assert switches(since) == {**before, **change}
    assert all(before[name] != value for name, value in change.items())


@pytest.mark.parametrize(("release", "alike"), [("v1.5.6", "v1.4.2"), ("v1.7.3", "v1.6.14")])
def test_between_two_changes_releases_behave_alike(release: str, alike: str) -> None:
    assert behaviour(release) is behaviour(alike)


@pytest.mark.parametrize("release", ["v1.7.4", "1.7.4", "v1.7.4-rc1", "v1.7.5-rc1", "v2.0.0"])
def test_what_is_newer_than_the_table_behaves_as_the_newest(release: str) -> None:
    assert behaviour(release) is NEWEST


@pytest.mark.parametrize("release", [None, "", "latest", "v1.3.9", "v1.4", "0.9.0", "sha256:ab"])
def test_what_is_older_or_no_version_is_not_described(release: str | None) -> None:
    assert behaviour(release) is None


def test_every_behaviour_is_described_once() -> None:
    assert len(set(map(structs.astuple, DESCRIBED))) == len(DESCRIBED) == len(CHANGES) + 1


# --- verdicts -----------------------------------------------------------------------------------


def in_young_namespace(release: str) -> tuple[Story, PodOf]:
    story = ready(release=release)
    story.learn(story.cluster_policy())
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    return story, covered(story, namespace="fresh")


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("v1.4.0", "covered applied"),
        ("v1.5.6", "covered applied"),
        ("v1.5.7", "gap namespace-newer-than-policy"),
        ("v1.6.0", "covered applied"),
        ("v1.7.4", "covered applied"),
    ],
)
def test_only_v1_5_7_misses_a_namespace_newer_than_the_policy(release: str, verdict: str) -> None:
    story, pod = in_young_namespace(release)
    story.wait(30)
    assert story.verdict(pod) == verdict


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("v1.5.7", "gap version-skew"),
        ("v1.6.13", "gap version-skew"),
        ("v1.7.3", "gap version-skew"),
        ("v1.7.4", "covered applied"),
        ("v1.3.0", "unknown release-unknown"),
    ],
)
def test_a_list_of_host_names_counts_from_v1_7_4(release: str, verdict: str) -> None:
    story = ready(release=release)
    labels = {"kubernetes.io/hostname": "n1,n2"}
    story.learn(story.policy(labels=labels))
    pod = covered(story, labels={"kubernetes.io/hostname": "n1"})
    story.wait(30)
    assert story.verdict(pod) == verdict


def test_one_policy_that_a_release_misses_says_nothing_about_another() -> None:
    story = ready(release="v1.6.4")
    listed = story.policy("listed", labels={"kubernetes.io/hostname": "n1,n2"})
    plain = story.policy("plain", labels={"kubernetes.io/hostname": "n1"}, rules=BLOCK_YUM)
    story.learn(listed, plain)
    pod = covered(story, labels={"kubernetes.io/hostname": "n1"})
    story.wait(30)
    assert story.verdict(pod, listed) == "gap version-skew"
    assert story.verdict(pod, plain) == "covered applied"


def widened(release: str) -> tuple[Story, PodOf, PolicyOf]:
    """A namespaced policy whose selector is edited so that it takes a container that runs."""
    story = ready(release=release)
    policy = story.policy(labels={"app": "db"})
    story.learn(policy)
    pod = story.pod(labels={"app": "web"})
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(5)
    policy.spec = {**policy.spec, "selector": {"matchLabels": {"app": "web"}}}
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    story.wait(30)
    return story, pod, policy


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("v1.3.0", "unknown release-unknown"),
        ("v1.5.6", "unknown no-evidence-source"),
        ("v1.5.7", "covered applied"),
    ],
)
def test_before_v1_5_7_an_edit_that_widens_a_selector_is_not_taken_for_protection(
    release: str, verdict: str
) -> None:
    story, pod, _ = widened(release)
    assert story.verdict(pod) == verdict


def test_an_edited_list_of_host_names_reaches_a_container_that_runs() -> None:
    story = ready(release="v1.7.4")
    policy = story.policy(labels={"kubernetes.io/hostname": "n1"})
    story.learn(policy)
    pod = covered(story, labels={"kubernetes.io/hostname": "n2"})
    story.wait(5)
    hosts = {"matchLabels": {"kubernetes.io/hostname": "n1,n2"}}
    policy.spec = {**policy.spec, "selector": hosts}
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    story.wait(30)
    assert story.verdict(pod) == "covered applied"


def test_before_v1_5_7_a_container_that_starts_after_the_edit_is_covered() -> None:
    story, _, policy = widened("v1.5.6")
    pod = covered(story, name="later", labels={"app": "web"})
    story.wait(30)
    assert story.verdict(pod, policy) == "covered applied"


def test_before_v1_5_7_an_edit_of_rules_reaches_what_was_selected() -> None:
    story = ready(release="v1.5.6")
    policy = story.policy(labels={"app": "web"})
    story.learn(policy)
    pod = covered(story, labels={"app": "web"})
    story.wait(5)
    story.edit(policy)
    story.learn(policy, action="modified")
    story.push(pod)
    story.wait(30)
    assert story.verdict(pod) == "covered applied"


def test_before_v1_5_7_a_daemon_that_starts_after_the_edit_attaches_it() -> None:
    story, pod, policy = widened("v1.5.6")
    story.replace()
    story.wait(1)
    story.boot()
    story.register(pod)
    story.see(pod, action="added")
    story.push(pod)
    story.wait(30)
    assert story.verdict(pod, policy) == "covered applied"


@pytest.mark.parametrize(
    ("release", "verdict"),
    [("v1.4.1", "covered applied"), ("v1.4.2", "exempt untracked-namespace")],
)
def test_untracked_namespaces_are_enforced_before_v1_4_2(release: str, verdict: str) -> None:
    story = ready(release=release)
    story.learn(story.cluster_policy())
    pod = covered(story, namespace="kubearmor")
    story.wait(30)
    assert story.verdict(pod) == verdict


@pytest.mark.parametrize(
    ("release", "verdict"),
    [("v1.6.6", "covered applied"), ("v1.6.7", "exempt untracked-namespace")],
)
def test_the_config_map_says_what_is_untracked_from_v1_6_7(release: str, verdict: str) -> None:
    story = ready(release=release)
    story.configure(untrackedNs="shop")
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(30)
    assert story.verdict(pod) == verdict


# --- a Pod that was relabelled, before v1.6.13 ---------------------------------------------------


def relabelled(release: str, *, policy_first: bool = True) -> tuple[Story, PodOf, PolicyOf]:
    """A container that another policy keeps busy gets the label of a policy."""
    story = ready(release=release)
    policies = [story.cluster_policy("base", rules=BLOCK_YUM)]
    wanted = story.policy("wanted", labels={"app": "db"}) if policy_first else None
    story.learn(*policies, *([wanted] if wanted else []))
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    if wanted is None:
        wanted = story.policy("wanted", labels={"app": "db"})
        story.learn(wanted)
        story.intend(pod)
        story.wait(20)
    return story, pod, wanted


@pytest.mark.parametrize("release", ["v1.5.7", "v1.6.12", "v1.6.13"])
def test_what_is_written_for_a_relabelled_pod_is_in_force(release: str) -> None:
    story, pod, wanted = relabelled(release)
    assert story.verdict(pod, wanted) == "covered applied"


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("v1.5.7", "lost rules-removed"),
        ("v1.6.12", "lost rules-removed"),
        ("v1.6.13", "covered applied"),
        ("v1.3.0", "unknown release-unknown"),
    ],
)
def test_before_v1_6_13_the_next_policy_event_writes_the_stale_list_again(
    release: str, verdict: str
) -> None:
    story, pod, wanted = relabelled(release)
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted) == verdict


@pytest.mark.parametrize(
    ("release", "verdict"),
    [("v1.6.12", "gap unexplained"), ("v1.6.13", "covered applied")],
)
def test_before_v1_6_13_a_policy_is_held_against_the_labels_of_the_start(
    release: str, verdict: str
) -> None:
    story, pod, wanted = relabelled(release, policy_first=False)
    assert story.verdict(pod, wanted) == verdict


def test_a_stale_list_that_is_written_over_and_over_is_one_gap() -> None:
    story, pod, _ = relabelled("v1.6.12")
    other = story.policy("other", namespace="pay")
    for action in ("added", "modified", "deleted"):
        story.learn(other, action=action)
        story.intend(pod)
        story.wait(20)
    (gap,) = story.report().gaps
    assert (gap.state, gap.cause) == ("open", "rules-removed")
    assert gap.since[1] - ZERO == pytest.approx(41, abs=1)


def lottery(release: str = "v1.7.4") -> tuple[Story, PodOf, PolicyOf]:
    """A Pod of two containers gets the label of a policy; `app` is the one that is drawn."""
    story = ready(release=release)
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"})
    story.learn(base, wanted)
    pod = covered(story, labels={"app": "web"}, containers=("app", "log"))
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    story.intend(pod, "app")
    story.wait(20)
    return story, pod, wanted


@pytest.mark.parametrize(
    ("release", "drawn"), [("v1.6.12", "lost rules-removed"), ("v1.7.4", "covered applied")]
)
def test_a_container_that_is_not_drawn_is_not_covered_by_the_pushes_of_policies(
    release: str, drawn: str
) -> None:
    story, pod, wanted = lottery(release)
    other = story.policy("other", namespace="pay")
    for action in ("added", "modified", "deleted"):
        story.learn(other, action=action)
        story.intend(pod)
        story.wait(20)
        assert story.verdict(pod, wanted, "app") == drawn
        assert story.verdict(pod, wanted, "log") == "gap partial-refresh"
    assert story.gaps().count("open gap partial-refresh shop/cart/log") == 1


def test_a_container_that_is_drawn_later_is_covered_from_then_on() -> None:
    story, pod, wanted = lottery()
    other = story.policy("other", namespace="pay")
    story.learn(other)
    story.intend(pod)
    story.wait(20)
    story.see(pod)
    story.intend(pod, "log")
    story.wait(20)
    story.learn(other, action="modified")
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted, "log") == "covered applied"
    assert story.gaps() == ["closed gap partial-refresh shop/cart/log"]


def test_which_container_was_drawn_is_open_where_policies_were_pushed_twice_meanwhile() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"})
    story.learn(base, wanted)
    pod = covered(story, labels={"app": "web"}, containers=("app", "log"))
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    other = story.policy("other", namespace="pay")
    for action in ("added", "modified"):
        story.learn(other, action=action)
        story.intend(pod)
    story.wait(30)
    assert story.verdict(pod, wanted, "log") == "unknown no-evidence-source"


def test_a_relabelling_that_is_told_after_its_lines_shows_who_was_drawn() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"})
    other = story.policy("other", namespace="pay")
    story.learn(base, wanted, other)
    pod = covered(story, labels={"app": "web"}, containers=("app", "log"))
    story.wait(20)
    story.see(pod)
    story.intend(pod, "app")
    story.learn(other, action="modified")
    story.intend(pod)
    story.relabel(pod, app="db")
    story.wait(20)
    assert story.verdict(pod, wanted, "app") == "covered applied"
    assert story.verdict(pod, wanted, "log") == "gap partial-refresh"


def test_a_race_of_two_policies_draws_no_container() -> None:
    story, pod, wanted = lottery()
    other = story.cluster_policy("other", rules=BLOCK_YUM)
    story.touch(wanted)
    story.learn(wanted, action="modified")
    story.learn(other)
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted, "log") == "gap partial-refresh"


def test_a_sole_container_is_drawn_whatever_comes_between_the_line_and_its_write() -> None:
    story = ready()
    base = story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"})
    story.learn(base, wanted)
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted) == "covered applied"


def test_enabling_a_pod_is_no_lottery_for_what_is_written() -> None:
    story = ready()
    policy = story.cluster_policy("base")
    story.learn(policy)
    pod = story.pod(containers=("app", "log"), annotations={"kubearmor-policy": "audited"})
    story.wait(20)
    story.annotate(pod, kubearmor_policy="enabled")
    story.register(pod)
    story.see(pod)
    story.learn(story.policy("other", namespace="pay"))
    story.push(pod)
    story.wait(20)
    assert story.verdict(pod, container="log") == "covered applied"


def test_before_v1_5_7_policies_of_other_namespaces_do_not_write_a_stale_list() -> None:
    story, pod, _ = relabelled("v1.5.6")
    story.learn(story.policy("other", namespace="pay"))
    story.wait(20)
    story.learn(story.policy("another", labels={"app": "web"}))
    story.intend(pod)
    story.wait(20)
    (gap,) = story.report().gaps
    assert gap.since[1] - ZERO == pytest.approx(61, abs=1)


def test_a_policy_that_comes_again_does_not_open_the_gap_again() -> None:
    story, pod, _ = relabelled("v1.6.12")
    other = story.policy("other", namespace="pay")
    for _ in range(3):
        story.learn(other)
        story.intend(pod)
        story.wait(20)
    assert story.gaps() == ["open lost rules-removed shop/cart/app"]


def test_a_policy_that_the_stale_list_does_not_take_says_why() -> None:
    story, pod, wanted = relabelled("v1.6.12", policy_first=False)
    (reason,) = story.report().gaps[0].reasons
    assert story.pair(pod, wanted).predicted is False
    assert reason.evidence == (
        "the daemon's list has the Pod's labels of before, and the policy came later"
    )


def test_which_labels_a_daemon_knows_is_open_where_they_changed_while_nobody_looked() -> None:
    story = listening()
    story.cluster_policy("base", rules=BLOCK_YUM)
    wanted = story.policy("wanted", labels={"app": "db"})
    pod = story.pod(labels={"app": "web"})
    story.wait(20)
    story.down("kubernetes/pods")
    story.relabel(pod, app="db")
    story.daemon(release="v1.6.4")
    story.boot()
    story.register(pod)
    story.see(pod, action="added")
    story.push(pod)
    story.wait(1)
    story.up("kubernetes/pods")
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(30)
    assert story.verdict(pod, wanted) == "unknown no-evidence-source"


def test_before_v1_6_13_the_next_write_for_the_pod_heals() -> None:
    story, pod, wanted = relabelled("v1.6.4")
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    story.see(pod)
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted) == "covered applied"
    assert [gap.state for gap in story.report().gaps] == ["closed"]


def test_before_v1_6_13_a_daemon_that_starts_after_the_relabelling_knows_the_labels() -> None:
    story, pod, wanted = relabelled("v1.6.4")
    story.replace()
    story.wait(1)
    story.boot()
    story.register(pod)
    story.see(pod, action="added")
    story.push(pod)
    story.wait(5)
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, wanted) == "covered applied"


def test_before_v1_6_13_what_the_first_labels_had_already_is_not_touched() -> None:
    story = ready(release="v1.6.4")
    base = story.cluster_policy("base")
    story.learn(base)
    pod = covered(story, labels={"app": "web"})
    story.wait(20)
    story.relabel(pod, app="db")
    story.see(pod)
    story.intend(pod)
    story.learn(story.policy("other", namespace="pay"))
    story.intend(pod)
    story.wait(20)
    assert story.verdict(pod, base) == "covered applied"
