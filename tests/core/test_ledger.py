"""Gaps and incidents: what is announced, how it ends, under which names (design, 3, 5 and 6.4)."""

import pytest

from monitor.core.model import Gap, Incident
from tests.core.stories import (
    BLOCK_APT,
    BLOCK_PATTERN,
    BLOCK_YUM,
    PodOf,
    Story,
    covered,
    listening,
    ready,
)


def missed(*, pods: int = 3, names: tuple[str, ...] = ("block-apt",)) -> tuple[Story, list[PodOf]]:
    """The seed case on v1.5.7: Pods in a namespace that is newer than the cluster policies."""
    story = ready(release="v1.5.7")
    for name in names:
        story.learn(story.cluster_policy(name))
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    started = [story.pod(f"web-{number}", namespace="fresh") for number in range(pods)]
    for pod in started:
        story.register(pod)
        story.see(pod)
        story.strip(pod)
    return story, started


def heal(story: Story, pods: list[PodOf]) -> None:
    for policy in story.policies:
        story.touch(policy)
        story.learn(policy, action="modified")
    for pod in pods:
        story.push(pod)


# --- gaps ---------------------------------------------------------------------------------------


def test_a_gap_is_announced_once() -> None:
    story, _ = missed(pods=1)
    story.wait(300)
    assert len(story.ever_announced(Gap)) == 1


def test_a_gap_closes_at_the_evidence() -> None:
    story, pods = missed(pods=1)
    story.wait(30)
    heal(story, pods)
    (gap,) = story.report().gaps
    assert gap.state == "closed"
    assert gap.until is not None
    assert gap.until[0] == pytest.approx(story.now, abs=1.1)
    assert gap.until[1] <= story.now


def test_several_policies_missing_for_one_reason_are_one_gap() -> None:
    story, _ = missed(pods=1, names=("a", "b", "c"))
    (gap,) = story.open_gaps()
    assert [policy.name for policy in gap.policies] == ["a", "b", "c"]


def test_two_openings_of_one_container_are_two_gaps() -> None:
    story = ready()
    story.learn(story.cluster_policy("first"))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(15)
    story.cluster_policy("second", rules=BLOCK_YUM)
    story.wait(15)
    assert len(story.open_gaps()) == 2
    assert len({gap.id for gap in story.open_gaps()}) == 2


def test_a_better_cause_is_an_update_of_the_same_gap() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.wait(15)
    (before,) = story.open_gaps()
    story.daemon()
    story.begin()
    story.wait(15)
    (after,) = story.open_gaps()
    assert (before.cause, after.cause) == ("daemon-absent", "daemon-starting")
    assert (before.id, before.since) == (after.id, after.since)
    assert story.verdict(pod) == "gap daemon-starting"


def test_two_revisions_of_a_policy_open_two_gaps() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    for rules in (BLOCK_YUM, BLOCK_APT):
        story.wait(5)
        story.edit(policy, rules)
        story.wait(15)
        story.learn(policy, action="modified")
        story.intend(pod)
    assert [gap.state for gap in story.report().gaps] == ["closed", "closed"]


@pytest.mark.parametrize("end", ["the policy is deleted", "the Pod is relabelled"])
def test_a_gap_that_is_over_because_nothing_is_expected_any_more_was_one(end: str) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story, labels={"app": "cart"})
    story.wait(20)
    late = story.policy("late", labels={"app": "cart"}, rules=BLOCK_YUM)
    story.wait(15)
    if end == "the policy is deleted":
        story.remove(late)
    else:
        story.relabel(pod)
    (gap,) = story.report().gaps
    assert (gap.state, gap.until) == ("closed", (story.now, story.now))


def test_each_end_of_a_daemon_opens_its_own_gap() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    for _ in range(2):
        story.wait(90)
        story.kill()
        story.wait(1)
        story.revive()
        story.boot()
        story.write(pod)
    assert [gap.state for gap in story.report().gaps] == ["closed", "closed"]


@pytest.mark.parametrize("delay", [0.0, 0.4, 0.8])
def test_the_same_facts_give_the_same_ids_whenever_they_arrive(delay: float) -> None:
    def ids(delay: float) -> list[str]:
        story, pods = missed(pods=2)
        other = story.pod("other")
        story.register(other)
        story.wait(20)
        heal(story, [*pods, other])
        story.wait(20)
        story.kill()
        shifted = Story(started=-60)
        for at, observation in story.history:
            shifted.until(at - story.now + story.second + delay)
            shifted.observe(observation)
        return sorted(gap.id for gap in shifted.report().gaps)

    assert ids(delay) == ids(0.0)


def test_a_gap_of_new_labels_has_the_same_id_whenever_they_arrive() -> None:
    def identity(delay: float) -> str:
        story = ready()
        story.learn(story.policy(labels={"app": "cart"}))
        pod = story.pod()
        story.register(pod)
        story.see(pod)
        story.wait(30 + delay)
        story.relabel(pod, app="cart")
        story.wait(20)
        (gap,) = story.open_gaps()
        return gap.id

    assert identity(0.25) == identity(0.0)


def test_ids_differ_between_clusters() -> None:
    def identity(cluster: str) -> str:
        from monitor.core.coverage import Settings

        story = listening(settings=Settings(cluster=cluster))
        story.until(0)
        story.cluster_policy()
        story.pod()
        story.wait(15)
        (gap,) = story.open_gaps()
        return gap.id

    assert identity("one") != identity("other")


# --- withdrawal ---------------------------------------------------------------------------------


def test_evidence_from_within_grace_that_comes_late_withdraws_the_gap() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(15)
    assert story.gaps() == ["open gap unexplained shop/cart/app"]
    story.write(pod, ago=12)
    assert story.verdict(pod) == "covered applied"
    assert [gap.state for gap in story.report().gaps] == ["withdrawn"]
    assert story.core.statistics(story.now).gaps_withdrawn == 1


def test_evidence_from_after_grace_closes_the_gap() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.wait(25)
    story.write(pod, ago=12)
    assert [gap.state for gap in story.report().gaps] == ["closed"]
    (gap,) = story.report().gaps
    assert gap.until is not None
    assert gap.until[0] == pytest.approx(story.now - 12, abs=1.1)


def test_a_gap_of_a_releases_defect_is_never_withdrawn() -> None:
    story, pods = missed(pods=1)
    story.wait(3)
    heal(story, pods)
    assert [gap.state for gap in story.report().gaps] == ["closed"]


def test_a_loss_that_heals_within_grace_is_closed_not_withdrawn() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    story.strip(pod)
    story.wait(2)
    story.push(pod)
    assert [gap.state for gap in story.report().gaps] == ["closed"]


# --- incidents ----------------------------------------------------------------------------------


def test_the_gaps_of_one_cause_in_one_scope_are_one_incident() -> None:
    story, _ = missed(pods=3)
    assert story.incidents() == ["open namespace-newer-than-policy 3"]
    (incident,) = story.report().incidents
    assert {gap.incident for gap in story.open_gaps()} == {incident.id}
    assert incident.release == "v1.5.7"
    assert "v1.6.0" in incident.remedy


def test_an_incident_counts_containers_not_gaps() -> None:
    story = ready()
    story.learn(story.cluster_policy("patterns", rules=BLOCK_PATTERN))
    story.pod(containers=("app", "proxy"))
    story.wait(15)
    (incident,) = story.report().incidents
    assert incident.containers == 2


def test_policies_missed_by_one_release_are_incidents_of_their_own() -> None:
    """A release's defect joins by cause, policy and release."""
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy("a"), story.cluster_policy("b", not_in=["fresh", "old"]))
    story.wait(5)
    story.namespace("fresh")
    story.namespace("fresher")
    story.configure_namespaces("fresh", "fresher")
    story.pod(namespace="fresh")
    story.pod("two", namespace="fresher")
    assert {i.scope.split("@")[1] for i in story.report().incidents} == {"v1.5.7"}


def test_a_daemons_end_is_one_incident_per_node() -> None:
    story = ready(nodes=["node-a", "node-b"])
    policy = story.cluster_policy()
    for node in ("node-a", "node-b"):
        story.learn(policy, node=node)
        covered(story, name=f"one-{node}", node=node)
        covered(story, name=f"two-{node}", node=node)
    story.kill("node-a")
    assert story.incidents() == ["open daemon-down 2"]
    story.kill("node-b")
    assert sorted(story.incidents()) == ["open daemon-down 2", "open daemon-down 2"]


def test_daemons_without_an_enforcer_are_one_incident_for_the_cluster() -> None:
    story = listening(nodes=["node-a", "node-b"])
    story.cluster_policy()
    for node in ("node-a", "node-b"):
        story.daemon(node)
        story.begin(node)
        story.say("Disabled KubeArmor Enforcer: none", "Initialized KubeArmor", node=node)
        story.pod(f"cart-{node}", node=node)
    story.wait(15)
    assert story.incidents() == ["open enforcer-absent 2"]


def test_an_upgrade_that_heals_what_a_release_misses_opens_no_incident_of_the_new_release() -> None:
    story = ready(release="v1.6.4")
    base = story.cluster_policy("base")
    by_host = story.policy("by-host", labels={"kubernetes.io/hostname": "one,two"}, rules=BLOCK_YUM)
    story.learn(base, by_host)
    pod = story.pod(labels={"kubernetes.io/hostname": "one"})
    story.register(pod)
    story.write(pod)
    story.wait(30)
    assert story.verdict(pod, by_host) == "gap version-skew"
    story.deploy()
    story.replace(release="v1.7.4")
    story.wait(1)
    story.boot()
    story.wait(1)
    story.write(pod)
    story.wait(30)
    assert story.verdict(pod, by_host) == "covered applied"
    told = {(i.cause, i.scope) for i in story.report().incidents if i.cause == "version-skew"}
    assert told == {("version-skew", "KubeArmorPolicy/shop/by-host@v1.6.4")}


def test_a_gap_says_what_shows_it_while_it_is_waiting_to_be_closed() -> None:
    story, _ = missed(pods=1)
    story.wait(30)
    (before,) = story.open_gaps()
    story.kill()
    story.wait(1)
    story.revive()
    story.wait(1)
    (after,) = story.open_gaps()
    assert before.reasons
    assert after.reasons == before.reasons


def test_an_incident_ends_with_its_last_gap() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pods = [covered(story, name=f"web-{number}") for number in range(3)]
    story.wait(20)
    for pod in pods:
        story.strip(pod)
    assert story.incidents() == ["open rules-removed 3"]
    story.push(pods[0])
    story.push(pods[1])
    assert story.incidents() == ["open rules-removed 1"]
    story.push(pods[2])
    story.wait(61)
    assert [i.state for i in story.report().incidents] == ["closed"]


def test_an_incident_that_returns_within_a_minute_is_the_same() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    story.strip(pod)
    story.wait(5)
    story.push(pod)
    story.wait(50)
    story.strip(pod)
    assert story.incidents() == ["open rules-removed 1"]


def test_an_incident_that_returns_later_is_another() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(20)
    story.strip(pod)
    story.wait(5)
    story.push(pod)
    story.wait(70)
    story.strip(pod)
    assert [i.state for i in story.report().incidents] == ["closed", "open"]
    assert len({i.id for i in story.report().incidents}) == 2


def test_an_incident_begins_with_its_first_gap() -> None:
    story, pods = missed(pods=3)
    (incident,) = story.report().incidents
    assert incident.since == min(gap.since for gap in story.open_gaps())
    assert len(pods) == 3


def test_what_was_announced_adds_up_to_the_report() -> None:
    story, pods = missed(pods=3)
    story.wait(30)
    heal(story, pods)
    story.wait(30)
    story.kill()
    story.wait(90)
    gaps = {gap.id: gap for gap in story.announced if isinstance(gap, Gap)}
    incidents = {one.id: one for one in story.announced if isinstance(one, Incident)}
    assert sorted(gaps.values(), key=lambda g: g.id) == sorted(
        story.report().gaps, key=lambda g: g.id
    )
    assert sorted(incidents.values(), key=lambda i: i.id) == sorted(
        story.report().incidents, key=lambda i: i.id
    )
