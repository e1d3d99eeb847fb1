"""Why a container is judged as it is, told whole (design, section 3: first decided wins)."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from monitor.core.causes import CAUSES
from tests.core.explained import explained
from tests.core.stories import AUDIT_APT, PodOf, Story, covered, listening, ready

SUBJECT = (
    "+ supported: KubeArmor can protect containers of this kind (kubernetes/pods)",
    "- exempt: neither an annotation nor its namespace exempts it (kubernetes/pods)",
    "+ objects: Pods and policies are being read (kubernetes/pods)",
)


def up_to_release(release: str = "v1.7.4") -> Sequence[str]:
    return (
        *SUBJECT,
        "+ daemon: kubearmor/kubearmor-node-a-5 (restart 0) is ready (text/node-a) at -20",
        f"+ release: {release}, as its output says (text/node-a)",
    )


def up_to_rules(resource: str) -> Sequence[str]:
    return (
        "- effect: no effect of the policy was reported that proves it (alerts)",
        "+ enforcer: the daemon enforces by BPFLSM (text/node-a)",
        f"+ rules: its rules have a form that the kernel enforces (kubernetes/{resource})",
    )


def up_to_attachment(resource: str) -> Sequence[str]:
    free = "+ attachment: nothing in v1.7.4 keeps it from the container (text/node-a)"
    return (*up_to_rules(resource), free)


def seed(release: str) -> tuple[Story, PodOf]:
    """A cluster policy, a namespace that comes ten seconds later, and a Pod in it."""
    story = ready(release=release)
    story.learn(story.cluster_policy())
    story.wait(10)
    story.namespace("team-b")
    story.configure_namespaces("team-b")
    story.wait(2)
    pod = story.pod(namespace="team-b")
    story.wait(0.5)
    story.register(pod)
    story.wait(0.5)
    if release == "v1.5.7":
        story.see(pod)
    else:
        story.write(pod)
    story.wait(20)
    return story, pod


def exempt() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    return story, covered(story, annotations={"kubearmor-policy": "disabled"})


def unsupported() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    return story, covered(story, spec={"hostPID": True})


def daemon_down() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(10)
    story.kill()
    story.wait(20)
    return story, pod


def daemon_absent() -> tuple[Story, PodOf]:
    story = listening()
    story.cluster_policy()
    pod = story.pod()
    story.wait(20)
    return story, pod


def not_learned(release: str = "v1.7.4") -> tuple[Story, PodOf]:
    story = ready(release=release)
    pod = covered(story)
    story.wait(5)
    story.policy()
    story.wait(20)
    return story, pod


def not_learned_unread() -> tuple[Story, PodOf]:
    story = ready()
    pod = covered(story)
    story.wait(5)
    story.down("text/node-a")
    story.policy()
    story.wait(20)
    return story, pod


def collision() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.policy("guard"))
    story.wait(5)
    story.learn(story.cluster_policy("guard"))
    story.wait(5)
    return story, covered(story)


def relabelled() -> tuple[Story, PodOf]:
    """One of two containers is revised after a change of labels, drawn by lot."""
    story = ready()
    story.learn(story.policy(labels={"app": "web"}))
    pod = covered(story, containers=("app", "log"))
    story.wait(10)
    story.relabel(pod, app="web")
    story.wait(0.5)
    story.see(pod)
    story.push(pod, "log")
    story.wait(20)
    return story, pod


def selector_mistake() -> tuple[Story, PodOf]:
    """A container list without brackets names no container."""
    story = ready()
    story.learn(story.policy(labels={"kubearmor.io/container.name": "app"}))
    return story, covered(story)


def waiting() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.wait(1)
    return story, pod


def applied() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    return story, covered(story)


def proven() -> tuple[Story, PodOf]:
    story, pod = applied()
    story.wait(1)
    story.alert(pod)
    return story, pod


def audited() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy(rules=AUDIT_APT))
    pod = covered(story)
    story.wait(20)
    return story, pod


def stripped() -> tuple[Story, PodOf]:
    story, pod = applied()
    story.wait(5)
    story.strip(pod)
    story.wait(20)
    return story, pod


def deleted_and_kept() -> tuple[Story, PodOf]:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(5)
    story.remove(policy)
    story.wait(20)
    return story, pod


def overmatched() -> tuple[Story, PodOf]:
    """Below v1.5.7 a young namespace widens every cluster policy."""
    story = ready(release="v1.5.6")
    story.learn(story.cluster_policy(not_in=("shop",)))
    story.wait(10)
    story.namespace("team-b")
    story.configure_namespaces("team-b")
    story.wait(2)
    return story, covered(story)


def test_a_namespace_that_v1_5_7_does_not_see() -> None:
    assert explained(*seed("v1.5.7")) == [
        "team-b/cart/app on node-a: gap namespace-newer-than-policy, exposed 21 to 21",
        "KubeArmorClusterPolicy /block-apt@1: gap namespace-newer-than-policy since 12",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted no on v1.5.7",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  10 namespace team-b came",
        "  13 the Pod was evaluated: the policy is not attached",
        "  13 namespace team-b came after the policy; this release does not look again",
        "  the policy is not attached",
        *up_to_release("v1.5.7"),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_rules("kubearmorclusterpolicies"),
        (
            "- attachment: not attached: its namespace was created at 2026-01-01T00:00:10Z, after "
            "the daemon's last look at the policy of 2025-12-31T23:59:59Z, and v1.5.7 goes by the "
            "namespaces that there were then (text/node-a) = decides"
        ),
        (
            "reason namespace-newer-than-policy: its namespace was created at "
            "2026-01-01T00:00:10Z, after the daemon's last look at the policy of "
            "2025-12-31T23:59:59Z, and v1.5.7 goes by the namespaces that there were then"
        ),
        "certain, deploy/runbooks/README.md#namespace-newer-than-policy",
        "gap open gap namespace-newer-than-policy",
        "incident open namespace-newer-than-policy KubeArmorClusterPolicy/block-apt@v1.5.7",
    ]


def test_the_same_on_v1_7_4_is_covered() -> None:
    assert explained(*seed("v1.7.4")) == [
        "team-b/cart/app on node-a: covered, exposed 0 to 1",
        "KubeArmorClusterPolicy /block-apt@1: covered applied since 13",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  10 namespace team-b came",
        "  13 the Pod was evaluated: the policy is attached",
        "  13 namespace team-b came after the policy; this release looks again",
        "  the policy is attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_attachment("kubearmorclusterpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 13",
        "+ runtime: the runtime announced the container (text/node-a) at 12.5",
        "+ push: its rules were last pushed with the policy known (text/node-a) at 13",
        "+ map: its rule map was made (text/node-a) at 13 = decides",
    ]


def test_nothing_is_asked_after_an_exemption() -> None:
    assert explained(*exempt()) == [
        "shop/cart/app on node-a: exempt annotation-disabled, exposed 0 to 0",
        "KubeArmorClusterPolicy /block-apt@1: exempt annotation-disabled since 0",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        "+ supported: KubeArmor can protect containers of this kind (kubernetes/pods)",
        "+ exempt: Switched off by annotation (kubernetes/pods) = decides",
        "certain, deploy/runbooks/README.md#annotation-disabled",
    ]


def test_nothing_is_asked_of_what_cannot_be_protected() -> None:
    assert explained(*unsupported()) == [
        "shop/cart/app on node-a: unsupported host-pid, exposed 0 to 0",
        "KubeArmorClusterPolicy /block-apt@1: unsupported host-pid since 0",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        "- supported: The Pod shares the node's process ids (kubernetes/pods) = decides",
        "certain, deploy/runbooks/README.md#host-pid",
    ]


def test_without_its_daemon_a_node_needs_no_more_questions() -> None:
    assert explained(*daemon_down()) == [
        "shop/cart/app on node-a: lost daemon-down, exposed 20 to 21",
        "KubeArmorClusterPolicy /block-apt@1: lost daemon-down since 11",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted open on v1.7.4",
        "  no daemon runs on the node",
        *SUBJECT,
        "- daemon: the daemon's container does not run (kubernetes/pods) at 11 = decides",
        "certain, deploy/runbooks/README.md#daemon-down",
        "gap open lost daemon-down",
        "incident open daemon-down node/node-a",
    ]


def test_a_node_that_never_had_a_daemon() -> None:
    assert explained(*daemon_absent()) == [
        "shop/cart/app on node-a: gap daemon-absent, exposed 20 to 20",
        "KubeArmorClusterPolicy /block-apt@1: gap daemon-absent since -60",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted open on None",
        "  no daemon runs on the node",
        *SUBJECT,
        "- daemon: no Pod of KubeArmor's daemon is bound to the node (kubernetes/pods) = decides",
        "certain, deploy/runbooks/README.md#daemon-absent",
        "gap open gap daemon-absent",
        "incident open daemon-absent node/node-a",
    ]


def test_a_policy_that_the_daemon_never_met() -> None:
    assert explained(*not_learned()) == [
        "shop/cart/app on node-a: gap unexplained, exposed 20 to 20",
        "KubeArmorPolicy shop/block-apt@1: gap unexplained since 6",
        "intended yes: meets: namespace In shop",
        "expected yes: selects the namespaces shop",
        "predicted no on v1.7.4",
        "  no line says that the daemon met the policy",
        "  1 the Pod was evaluated: the policy is not attached",
        "  the policy is not attached",
        *up_to_release(),
        "- policy: no line says that the daemon has met generation 1 of the policy (text/node-a)",
        *up_to_attachment("kubearmorpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 1",
        "+ runtime: the runtime announced the container (text/node-a) at 0.5",
        "+ push: its rules were last pushed without the policy known (text/node-a) at 1",
        "+ map: its rule map was made (text/node-a) at 1",
        "+ silence: no proof came by the deadline (text/node-a) at 16 = decides",
        "reason unexplained: its rules were last pushed at 2026-01-01T00:00:00Z, to no effect",
        "inferred, deploy/runbooks/README.md#unexplained",
        "gap open gap unexplained",
        "incident open unexplained KubeArmorPolicy/shop/block-apt",
    ]


def test_the_same_is_unread_where_nobody_could_look() -> None:
    assert explained(*not_learned_unread()) == [
        "shop/cart/app on node-a: unknown source-outage, exposed 0 to 0",
        "KubeArmorPolicy shop/block-apt@1: unknown source-outage since 6",
        "intended yes: meets: namespace In shop",
        "expected yes: selects the namespaces shop",
        "predicted yes on v1.7.4",
        "  not all of the daemon's output was read",
        "  no line says that the daemon met the policy",
        "  1 the Pod was evaluated: the policy is not attached",
        *up_to_release(),
        "? policy: no line says that the daemon has met generation 1 of the policy (text/node-a)",
        *up_to_attachment("kubearmorpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 1",
        "+ runtime: the runtime announced the container (text/node-a) at 0.5",
        "+ push: its rules were last pushed without the policy known (text/node-a) at 1",
        "+ map: its rule map was made (text/node-a) at 1",
        (
            "? silence: silence proves nothing: not all that could show it was read "
            "(text/node-a) = decides"
        ),
        "certain, deploy/runbooks/README.md#source-outage",
    ]


def test_a_name_that_is_taken() -> None:
    assert explained(*collision()) == [
        "shop/cart/app on node-a: gap name-collision, exposed 1 to 1",
        "KubeArmorClusterPolicy /guard@1: gap name-collision since 10",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted no on v1.7.4",
        (
            "  5 KubeArmorClusterPolicy guard was added and not stored: KubeArmorPolicy "
            "shop/guard has its name"
        ),
        "  11 the Pod was evaluated: the policy is not attached",
        "  the policy is not attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 5",
        *up_to_rules("kubearmorclusterpolicies"),
        (
            "- attachment: not attached: a policy of the other kind named guard kept it from being "
            "stored (text/node-a) = decides"
        ),
        ("reason name-collision: a policy of the other kind named guard kept it from being stored"),
        "inferred, deploy/runbooks/README.md#name-collision",
        "KubeArmorPolicy shop/guard@1: covered applied since 11",
        "intended yes: meets: namespace In shop",
        "expected yes: selects the namespaces shop",
        "predicted yes on v1.7.4",
        "  0 KubeArmorPolicy shop/guard was added and stored",
        (
            "  5 KubeArmorClusterPolicy guard was added and not stored: KubeArmorPolicy "
            "shop/guard has its name"
        ),
        "  11 the Pod was evaluated: the policy is attached",
        "  the policy is attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_attachment("kubearmorpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 11",
        "+ runtime: the runtime announced the container (text/node-a) at 10.5",
        "+ push: its rules were last pushed with the policy known (text/node-a) at 11",
        "+ map: its rule map was made (text/node-a) at 11 = decides",
        "gap open gap name-collision",
        "incident open name-collision KubeArmorClusterPolicy/guard",
    ]


def test_a_change_of_labels_that_reached_another_container() -> None:
    assert explained(*relabelled()) == [
        "shop/cart/app on node-a: gap partial-refresh, exposed 20.5 to 20.5",
        "KubeArmorPolicy shop/block-apt@1: gap partial-refresh since 11",
        "intended yes: meets: namespace In shop; meets: label In app=web",
        "expected yes: selects the namespaces shop; requires the labels app=web",
        "predicted open on v1.7.4",
        "  0 KubeArmorPolicy shop/block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is not attached",
        "  1 label app=web: missing",
        "  11.5 the Pod changed; KubeArmor revised one of its containers, drawn by lot",
        "  whether the policy is attached was left to chance",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_attachment("kubearmorpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 11.5",
        "+ runtime: the runtime announced the container (text/node-a) at 0.5",
        "+ push: its rules were last pushed with the policy known (text/node-a) at 1",
        "+ map: its rule map was made (text/node-a) at 1",
        "+ silence: no proof came by the deadline (text/node-a) at 21 = decides",
        "reason partial-refresh: after the Pod's change the daemon pushed the rules of log only",
        "inferred, deploy/runbooks/README.md#partial-refresh",
        "gap open gap partial-refresh",
        "incident open partial-refresh KubeArmorPolicy/shop/block-apt@v1.7.4",
    ]


def test_a_selector_that_reads_as_if_it_selected() -> None:
    assert explained(*selector_mistake()) == [
        "shop/cart/app on node-a: unpoliced, exposed 0 to 0",
        (
            "other KubeArmorPolicy shop/block-apt@1: its manifest reads as if it should; "
            "KubeArmor means it otherwise"
        ),
        "intended yes: meets: namespace In shop; meets: container In app",
        "expected no: container app is not among p",
        "predicted no on v1.7.4",
        "  0 KubeArmorPolicy shop/block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is not attached",
        "  1 container app: not named in [p]",
        "  the policy is not attached",
    ]


def test_what_is_waited_for_and_until_when() -> None:
    assert explained(*waiting()) == [
        "shop/cart/app on node-a: pending, exposed 0 to 0",
        "KubeArmorClusterPolicy /block-apt@1: pending  since 0",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted no on v1.7.4",
        "  no line says that the daemon met the Pod",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  the daemon has no endpoint for the container",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_attachment("kubearmorclusterpolicies"),
        "- pod: no line says that the daemon has met the Pod (text/node-a)",
        "- runtime: no line says that the runtime announced the container (text/node-a)",
        "- push: no line says that its rules were pushed (text/node-a)",
        "- map: no line says that its rule map was made (text/node-a)",
        "- silence: the deadline for a proof has not passed (text/node-a) at 10 = decides",
    ]


def test_an_alert_decides_before_any_line() -> None:
    assert explained(*proven()) == [
        "shop/cart/app on node-a: covered, exposed 0 to 1",
        "KubeArmorClusterPolicy /block-apt@1: covered proven since 2",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        "+ effect: an effect of the policy was reported (alerts) at 2 = decides",
    ]


def test_a_policy_that_only_audits_needs_no_rules() -> None:
    assert explained(*audited()) == [
        "shop/cart/app on node-a: covered, exposed 0 to 1",
        "KubeArmorClusterPolicy /block-apt@1: covered inferred since 1",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        "- effect: no effect of the policy was reported that proves it (alerts)",
        "+ enforcer: the daemon enforces by BPFLSM (text/node-a)",
        (
            "+ rules: its rules only audit: none is written to the kernel "
            "(kubernetes/kubearmorclusterpolicies)"
        ),
        "+ attachment: nothing in v1.7.4 keeps it from the container (text/node-a)",
        "+ pod: the daemon has met the Pod (text/node-a) at 1 = decides",
    ]


def test_rules_that_were_taken_away() -> None:
    assert explained(*stripped()) == [
        "shop/cart/app on node-a: lost rules-removed, exposed 20 to 22",
        "KubeArmorClusterPolicy /block-apt@1: lost rules-removed since 6",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        *up_to_release(),
        "+ policy: the daemon has met generation 1 of the policy (text/node-a) at 0",
        *up_to_attachment("kubearmorclusterpolicies"),
        "+ pod: the daemon has met the Pod (text/node-a) at 1",
        "+ runtime: the runtime announced the container (text/node-a) at 0.5",
        "+ push: its rules were last pushed with the policy known (text/node-a) at 6",
        "+ map: its rule map was made (text/node-a) at 1",
        "- map: its rule set was empty (text/node-a) at 6 = decides",
        "certain, deploy/runbooks/README.md#rules-removed",
        "gap open lost rules-removed",
        "incident open rules-removed KubeArmorClusterPolicy/block-apt",
    ]


def test_a_deleted_policy_that_the_daemon_keeps() -> None:
    assert explained(*deleted_and_kept()) == [
        "shop/cart/app on node-a: unpoliced, exposed 0 to 1",
        "KubeArmorClusterPolicy /block-apt@1: excess ",
        "intended yes: meets: namespace NotIn kube-system",
        "expected yes: selects every namespace but kube-system",
        "predicted yes on v1.7.4",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  1 the Pod was evaluated: the policy is attached",
        "  1 namespace shop was there when the policy was read",
        "  the policy is attached",
        (
            "+ attachment: it was deleted, and no line says that the daemon took it off "
            "(text/node-a) at 6 = decides"
        ),
    ]


def test_a_policy_that_an_old_release_puts_on_too_much() -> None:
    assert explained(*overmatched()) == [
        "shop/cart/app on node-a: unpoliced, exposed 0 to 0",
        "other KubeArmorClusterPolicy /block-apt@1: this release attaches it all the same",
        "intended no: does not meet: namespace NotIn shop",
        "expected no: namespace shop is excluded",
        "predicted yes on v1.5.6",
        "  0 KubeArmorClusterPolicy block-apt was added and stored",
        "  13 the Pod was evaluated: the policy is attached",
        "  13 a namespace came after the policy: this release then attaches it to every Pod",
        "  the policy is attached",
    ]


def test_what_is_to_be_done_is_of_the_cause_and_the_nodes_release() -> None:
    story, pod = not_learned("v1.5.6")
    cause = CAUSES["unexplained"]
    ((pair,),) = (one.policies for one in story.core.explain("shop", pod.name, at=story.now))
    assert (pair.cause, pair.what, pair.runbook) == (cause.code, cause.what, cause.runbook)
    assert pair.remedy == cause.remedy_on("v1.5.6") != cause.remedy


def test_a_pair_names_what_is_open_of_it() -> None:
    story, pod = seed("v1.5.7")
    (gap,) = story.open_gaps()
    ((pair,),) = (one.policies for one in story.core.explain("team-b", pod.name, at=story.now))
    assert (pair.gap, pair.incident) == (gap.id, gap.incident)


def test_a_container_is_explained_by_its_name_or_with_its_siblings() -> None:
    story, pod = relabelled()
    asked = [(), ("log",), ("other",)]
    found = [story.core.explain("shop", pod.name, *one, at=story.now) for one in asked]
    assert [[one.container for one in some] for some in found] == [["app", "log"], ["log"], []]
    assert story.core.explain("shop", "other", at=story.now) == ()


# --- the last question that was asked ---------------------------------------------------------


def last(story: Story, pod: PodOf) -> str:
    """The step that decided the only pair of the Pod's first container."""
    (step,) = [line for line in explained(story, pod) if line.endswith(" = decides")]
    return step.removesuffix(" = decides")


def confined(*, profile: str, wrote: str = "", level: str = "INFO") -> tuple[Story, PodOf]:
    """A Pod with that AppArmor profile, and what the daemon says of it."""
    story = listening()
    story.daemon()
    story.begin()
    story.say("Initialized AppArmor Enforcer", "Initialized KubeArmor")
    story.learn(story.cluster_policy())
    annotation = "container.apparmor.security.beta.kubernetes.io/app"
    pod = story.pod(annotations={annotation: profile})
    story.wait(1)
    if wrote:
        story.say(wrote, level=level)
    return story, pod


def allowing() -> tuple[Story, PodOf]:
    story = ready()
    story.configure(defaultFilePosture="audit")
    rules = {"process": {"matchPaths": [{"path": "/bin/sh"}]}, "action": "Allow"}
    story.learn(story.cluster_policy(rules=rules))
    return story, covered(story)


def overheard() -> tuple[Story, PodOf]:
    """Rules are taken away while the output is not read, and the message feed says so."""
    story, pod = applied()
    story.down("text/node-a")
    story.wait(5)
    story.message(f"Updating container rules for {pod.id}", f"Deleting inner map for {pod.id}")
    return story, pod


def refused() -> tuple[Story, PodOf]:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.intend(pod)
    story.fail(pod)
    return story, pod


def contradicted() -> tuple[Story, PodOf]:
    story, pod = applied()
    story.wait(5)
    story.log(pod)
    return story, pod


def revived() -> tuple[Story, PodOf]:
    """The daemon runs again, and has not written the container's rules again."""
    story, pod = daemon_down()
    story.revive()
    story.wait(1)
    story.boot()
    story.wait(20)
    return story, pod


def starting() -> tuple[Story, PodOf]:
    story = listening()
    story.daemon()
    story.begin()
    story.cluster_policy()
    pod = story.pod()
    story.wait(20)
    return story, pod


def starting_unread() -> tuple[Story, PodOf]:
    """Its output is not read; its health service says that it is starting."""
    story = listening(text=False)
    story.daemon()
    story.cluster_policy()
    pod = story.pod()
    story.wait(12)
    story.serves(serving=False)
    return story, pod


def blind() -> tuple[Story, PodOf]:
    story, pod = applied()
    story.down("kubernetes/pods")
    story.wait(20)
    return story, pod


PROFILE = "kubearmor-shop-cart-app"
NAMED = f"localhost/{PROFILE}"
WROTE = f"Updated 3 security rule(s) to shop/cart/{PROFILE}"
REFUSED = f"Unable to register the AppArmor profile ({PROFILE}, out-of-control)"


UNREACHED = "the Pod names no profile of KubeArmor for the container"
DONE = "what the policy forbids was reported to have been done"
ENDED = "its rules ended with the daemon that had written them"
UNFINISHED = "kubearmor/kubearmor-node-a-5 (restart 0) has not finished starting"
NO_SPACE = "the kernel refused: update: no space left on device"


@pytest.mark.parametrize(
    ("told", "step"),
    [
        (partial(confined, profile="runtime/default"), f"- profile: {UNREACHED} (kubernetes/pods)"),
        (
            partial(confined, profile=NAMED, wrote=WROTE),
            f"+ profile: rules were last written to {PROFILE} (text/node-a) at -59",
        ),
        (
            partial(confined, profile=NAMED, wrote=REFUSED, level="WARN"),
            f"- profile: {PROFILE} was refused: out-of-control (text/node-a) at -59",
        ),
        (
            partial(confined, profile=NAMED),
            "- silence: the deadline for a proof has not passed (text/node-a) at -50",
        ),
        (
            allowing,
            (
                "- rules: all its rules allow, and the file posture is audit "
                "(kubernetes/kubearmorclusterpolicies)"
            ),
        ),
        (overheard, "- map: its rule set was empty (messages) at 6"),
        (refused, f"- map: {NO_SPACE} (text/node-a) at 0"),
        (contradicted, f"+ effect: {DONE} (alerts) at 6"),
        (revived, f"- map: {ENDED} (text/node-a) at 11"),
        (starting, f"- daemon: {UNFINISHED} (text/node-a) at -60"),
        (starting_unread, f"- daemon: {UNFINISHED} (health/daemons) at -60"),
        (blind, "? objects: pods cannot be read (kubernetes/pods) at 1"),
    ],
)
def test_the_first_answer_that_leaves_no_choice_decides(
    told: Callable[[], tuple[Story, PodOf]], step: str
) -> None:
    assert last(*told()) == step


@pytest.mark.parametrize(
    ("serves", "step"),
    [
        (True, "+ daemon: {} is ready (health/daemons) at -40"),
        (
            False,
            (
                "+ daemon: {} runs, and is taken for ready: its start was not read "
                "(kubernetes/pods) at 0"
            ),
        ),
    ],
)
def test_a_start_that_was_not_read_is_told_by_what_shows_it(*, serves: bool, step: str) -> None:
    story = listening(text=False)
    story.daemon()
    story.cluster_policy()
    story.until(-40)
    if serves:
        story.serves()
    pod = story.pod()
    story.until(30)
    told = step.format("kubearmor/kubearmor-node-a-5 (restart 0)")
    assert told in explained(story, pod)
