"""Policies of both kinds that bear one name (dossier 5.6, 12.7)."""

from tests.core.stories import BLOCK_YUM, PodOf, PolicyOf, Story, ready


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
    (found,) = [one for one in story.container(pod).policies if one.kind == policy.kind]
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
