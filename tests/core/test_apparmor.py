"""Nodes whose daemon enforces with AppArmor (dossier 6.5, F6, F36, F37)."""

from tests.core.stories import BLOCK_PATTERN, PodOf, Story, listening

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/app"
PROFILE = "kubearmor-shop-cart-app"


def enforcing(**labels: str) -> Story:
    """A node with a daemon that enforces with AppArmor, ready since twenty seconds."""
    story = listening()
    story.remark(**labels)
    story.daemon(release="v1.7.4")
    story.until(-20)
    story.begin()
    story.say("Initialized AppArmor Enforcer", "Started to monitor NRI events")
    story.say("Initialized KubeArmor")
    story.until(0)
    return story


def confined(story: Story) -> PodOf:
    return story.pod(annotations={ANNOTATION: f"localhost/{PROFILE}"})


def update(story: Story, pod: PodOf) -> None:
    story.see(pod)
    story.say(f"Updated 3 security rule(s) to {pod.namespace}/{pod.name}/{PROFILE}")


def test_a_profile_that_was_written_after_the_policy_was_learned_is_applied() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    pod = confined(story)
    story.wait(1)
    update(story, pod)
    assert story.verdict(pod) == "covered applied"


def test_a_profile_that_was_written_before_the_policy_was_learned_is_not_enough() -> None:
    story = enforcing()
    pod = confined(story)
    update(story, pod)
    story.wait(5)
    story.learn(story.cluster_policy())
    assert story.verdict(pod) == "pending"
    story.wait(11)
    assert story.verdict(pod) == "gap unexplained"


def test_a_pod_that_names_no_profile_of_kubearmor_is_unannotated() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    pods = [story.pod("plain"), story.pod("other", annotations={ANNOTATION: "runtime/default"})]
    assert [story.verdict(pod) for pod in pods] == ["gap apparmor-unannotated"] * 2


def test_on_a_node_labelled_for_bpf_the_enforcer_does_not_match() -> None:
    story = enforcing(**{"kubearmor.io/enforcer": "bpf"})
    story.learn(story.cluster_policy())
    assert story.verdict(story.pod()) == "gap enforcer-mismatch"


def test_a_profile_that_was_refused_says_why() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    pod = confined(story)
    story.say(f"Unable to register the AppArmor profile ({PROFILE}, out-of-control)", level="WARN")
    (reason,) = story.pair(pod).reasons
    assert story.verdict(pod) == "gap apparmor-profile-rejected"
    assert reason.evidence == f"{PROFILE} was refused: out-of-control"
    update(story, pod)
    assert story.verdict(pod) == "covered applied"


def test_patterns_are_enforced_by_profiles() -> None:
    story = enforcing()
    story.learn(story.cluster_policy(rules=BLOCK_PATTERN))
    pod = confined(story)
    update(story, pod)
    assert story.verdict(pod) == "covered applied"


def test_a_crash_leaves_the_profiles_as_they_were() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    pod = confined(story)
    update(story, pod)
    story.wait(5)
    story.kill()
    story.wait(30)
    assert story.verdict(pod) == "unknown no-evidence-source"
    assert story.gaps() == []


def test_a_daemon_that_was_stopped_has_emptied_its_profiles() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    pod = confined(story)
    update(story, pod)
    story.wait(5)
    story.say("Got a signal to terminate KubeArmor")
    story.kill()
    story.wait(30)
    assert story.verdict(pod) == "lost daemon-down"


def test_the_replicas_of_a_workload_share_a_profile_and_its_line() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    first = confined(story)
    story.wait(1)
    update(story, first)
    story.wait(30)
    second = story.pod("cart-2", annotations={ANNOTATION: f"localhost/{PROFILE}"})
    story.see(second)
    story.wait(30)
    assert story.verdict(second) == "covered applied"


def test_a_refusal_of_before_does_not_concern_what_was_learned_since() -> None:
    story = enforcing()
    story.learn(story.cluster_policy("old"))
    pod = confined(story)
    update(story, pod)
    story.say(f"Unable to register the AppArmor profile ({PROFILE}, out-of-control)", level="WARN")
    story.wait(5)
    new = story.cluster_policy("new")
    story.learn(new)
    assert story.verdict(pod, new) == "pending"
    update(story, pod)
    assert story.verdict(pod, new) == "covered applied"


def test_a_line_about_one_replica_ends_the_waiting_of_all() -> None:
    story = enforcing()
    story.learn(story.cluster_policy())
    first = confined(story)
    second = story.pod("cart-2", annotations={ANNOTATION: f"localhost/{PROFILE}"})
    story.wait(1)
    update(story, first)
    assert story.core.statistics(story.now).coverage_containers["covered"] == 2
    assert story.verdict(second) == "covered applied"


def test_a_profile_dates_what_an_alert_proved_before_its_line_was_read() -> None:
    story = enforcing()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = confined(story)
    story.wait(1)
    story.alert(pod)
    assert story.verdict(pod) == "covered proven"
    story.wait(1)
    story.say(f"Updated 3 security rule(s) to {pod.path}/{PROFILE}", ago=1.5)
    delay = story.pair(pod, policy).delay_seconds
    assert delay is not None
    assert 0.4 < delay[1] < 0.6
