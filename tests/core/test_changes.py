"""What a change of a Pod, of a container or of a policy does to its pairs."""

from collections.abc import Callable

import pytest

from monitor.core.model import ContainerGone
from tests.core.histories import ending
from tests.core.stories import BLOCK_YUM, PodOf, Story, covered, ready


def protected(**pod: str) -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    one = covered(story, **pod)
    story.wait(20)
    return story, one


# --- containers ---------------------------------------------------------------------------------


def test_a_restarted_container_is_another_container() -> None:
    story, pod = protected()
    story.restart(pod)
    assert story.verdict(pod) == "pending"
    story.register(pod)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_rules_of_the_former_container_are_not_those_of_the_next() -> None:
    story, pod = protected()
    former = story.restart(pod)
    story.say(f"Updating container rules for {former}", f"Creating inner map for {former}")
    story.wait(11)
    assert story.pair(pod).verdict == "gap"


def test_the_former_container_is_withdrawn_from_the_latest_state() -> None:
    story, pod = protected()
    former = story.restart(pod)
    gone = [one for one in story.announced if isinstance(one, ContainerGone)]
    assert gone == [ContainerGone(pod_uid=pod.uid, container="app", container_id=former)]
    assert former not in {c.container_id for c in story.report().containers}


def test_a_container_without_an_id_is_not_listed() -> None:
    story = ready()
    story.cluster_policy()
    pod = story.pod(running=False)
    assert [c.pod for c in story.report().containers if c.namespace == "shop"] == []
    story.start(pod)
    assert [c.pod for c in story.report().containers if c.namespace == "shop"] == ["cart"]


def test_a_container_that_has_ended_is_not_listed() -> None:
    story, pod = protected()
    story.stop(pod)
    assert [c.pod for c in story.report().containers if c.namespace == "shop"] == []


def test_a_deleted_pod_closes_its_gaps() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(15)
    story.delete(pod)
    (gap,) = story.report().gaps
    assert gap.state == "closed"
    assert gap.until is not None
    assert gap.until[1] == story.now


def test_containers_are_sorted_by_namespace_pod_and_container() -> None:
    story = ready()
    story.namespace("books", age=100)
    for name, namespace in (("z", "shop"), ("a", "shop"), ("m", "books")):
        story.pod(name, namespace=namespace, containers=("y", "x"))
    listed = [(c.namespace, c.pod, c.container) for c in story.report().containers]
    assert listed == sorted(listed)


def test_a_pod_that_is_observed_again_unchanged_changes_nothing() -> None:
    story, pod = protected()
    said = len(story.announced)
    story.relabel(pod)
    story.relist("pods")
    story.wait(60)
    assert story.announced[said:] == []


# --- labels -------------------------------------------------------------------------------------


def test_labels_that_bring_a_policy_make_the_pair_pending_until_the_pod_is_written() -> None:
    story = ready()
    story.learn(story.policy(labels={"app": "cart"}))
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(60)
    assert story.overall(pod) == "unpoliced"
    story.relabel(pod, app="cart")
    assert story.verdict(pod) == "pending"
    story.wait(0.5)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_a_write_that_no_pod_line_caused_does_not_bring_the_new_policy() -> None:
    """A re-push writes the list that the daemon had before it handled the new labels."""
    story = ready()
    old = story.cluster_policy()
    new = story.policy("new", labels={"app": "cart"}, rules=BLOCK_YUM)
    story.learn(old, new)
    pod = covered(story)
    story.wait(60)
    story.relabel(pod, app="cart")
    story.say("Detected a Security Policy (modified/elsewhere/unrelated)")
    story.intend(pod)
    assert story.verdict(pod, new) == "pending"
    assert story.verdict(pod, old) == "covered applied"


def test_labels_that_take_a_policy_away_end_the_pair() -> None:
    story = ready()
    story.learn(story.policy(labels={"app": "cart"}))
    pod = covered(story, labels={"app": "cart"})
    story.wait(20)
    story.relabel(pod, app="other")
    story.wait(0.5)
    story.see(pod)
    story.strip(pod)
    assert story.overall(pod) == "unpoliced"
    assert story.container(pod).policies == ()
    story.wait(60)
    assert story.gaps() == []


def test_rules_that_are_still_in_force_are_excess_until_the_daemon_takes_them_away() -> None:
    story = ready()
    story.learn(story.policy(labels={"app": "cart"}))
    pod = covered(story, labels={"app": "cart"})
    story.wait(20)
    story.relabel(pod, app="other")
    assert story.verdict(pod) == "excess"
    assert story.overall(pod) == "unpoliced"
    assert story.pair(pod).expected is False


def test_labels_of_a_controller_change_nothing() -> None:
    story, pod = protected()
    story.relabel(pod, **{"pod-template-hash": "abc", "controller-revision-hash": "def"})
    assert story.verdict(pod) == "covered applied"
    story.wait(60)
    assert story.verdict(pod) == "covered applied"


def test_labels_that_matter_to_no_policy_change_nothing() -> None:
    story, pod = protected()
    story.relabel(pod, tier="front")
    story.wait(60)
    assert story.verdict(pod) == "covered applied"


# --- policies -----------------------------------------------------------------------------------


def test_a_deleted_policy_ends_its_pair() -> None:
    story, pod = protected()
    story.remove(story.policies[0])
    story.wait(0.1)
    story.say("Detected a Cluster Security Policy (deleted/block-apt)")
    story.strip(pod)
    assert story.overall(pod) == "unpoliced"
    assert story.container(pod).policies == ()
    story.wait(60)
    assert story.gaps() == []


def test_a_deleted_policy_that_its_daemon_still_lists_is_excess() -> None:
    story, pod = protected()
    story.remove(story.policies[0])
    assert story.verdict(pod) == "excess"
    story.wait(600)
    assert story.verdict(pod) == "excess"


def test_a_deleted_policy_closes_the_gaps_it_had() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.wait(15)
    story.remove(story.policies[0])
    assert story.open_gaps() == ()


def test_an_edit_of_the_selector_takes_the_pair_away() -> None:
    story, pod = protected()
    policy = story.policies[0]
    expressions = [{"key": "namespace", "operator": "NotIn", "values": ["shop"]}]
    policy.spec["selector"] = {"matchExpressions": expressions}
    story.edit(policy)
    assert story.overall(pod) == "unpoliced"


def test_an_edit_of_the_selector_brings_a_pair() -> None:
    story = ready()
    policy = story.cluster_policy(not_in=["shop"])
    story.learn(policy)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(20)
    policy.spec["selector"] = {}
    story.edit(policy)
    assert story.verdict(pod) == "pending"
    story.learn(policy, action="modified")
    story.push(pod)
    assert story.verdict(pod) == "covered applied"


# --- termination --------------------------------------------------------------------------------


def test_a_pod_that_is_being_deleted_is_frozen() -> None:
    """Enforcement ends before the grace period (F29): that is no gap."""
    story, pod = protected()
    story.terminate(pod)
    story.unregister(pod)
    story.strip(pod)
    story.wait(20)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


def test_a_pod_that_is_being_deleted_keeps_its_grade() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"
    story.terminate(pod)
    assert story.verdict(pod) == "covered proven"


@pytest.mark.parametrize("first", ["deletion", "effect"])
@pytest.mark.parametrize(
    ("report", "verdict"), [(Story.alert, "covered proven"), (Story.log, "covered applied")]
)
def test_what_a_pod_does_while_it_is_being_deleted_may_prove_and_does_not_refute(
    first: str, report: Callable[[Story, PodOf], None], verdict: str
) -> None:
    """Enforcement ends before the grace period (F29), whichever is heard first."""
    story, pod = protected()
    story.terminate(pod)
    before = len(story.history)
    story.wait(5)
    report(story, pod)
    heard = story.history
    if first == "effect":
        heard = [*heard[: before - 1], *heard[before:], heard[before - 1]]
    (container,) = [
        one
        for one in ending(heard, started=heard[0][0], until=story.now).report.containers
        if one.container_id == pod.id
    ]
    (pair,) = container.policies
    assert f"{pair.verdict} {pair.grade}" == verdict


def test_a_pod_that_is_being_deleted_keeps_its_mode() -> None:
    story, pod = protected()
    story.terminate(pod)
    story.annotate(pod, kubearmor_policy="disabled")
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"


def test_a_daemon_that_ends_while_a_pod_is_being_deleted_loses_nothing_there() -> None:
    story, pod = protected()
    story.terminate(pod)
    story.kill()
    story.wait(20)
    assert story.verdict(pod) == "covered applied"
    assert story.gaps() == []


def test_a_pod_deleted_while_pending_is_never_a_gap() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(3)
    story.terminate(pod)
    story.wait(25)
    assert story.verdict(pod) == "pending"
    assert story.open_gaps() == ()


def test_seconds_without_rules_in_termination_are_counted() -> None:
    story, pod = protected()
    story.terminate(pod)
    story.wait(1)
    story.unregister(pod)
    story.wait(12)
    story.delete(pod)
    story.wait(30)
    counted = story.core.statistics(story.now).termination_exposure_seconds
    assert 11 <= counted <= 13
