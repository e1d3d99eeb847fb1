"""What KubeArmor does not protect by design or cannot protect (design 3 and 5; dossier 6)."""

from typing import Any

import pytest

from tests.core.stories import DAY, PodOf, Story, covered, listening, ready

RESTARTABLE = {"initContainers": [{"name": "app", "restartPolicy": "Always"}]}
ONCE = {"initContainers": [{"name": "app"}]}


def policed(**pod: Any) -> tuple[Story, PodOf]:  # the arguments of Story.pod
    story = ready()
    story.learn(story.cluster_policy(not_in=[]))
    return story, story.pod(**pod)


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "init-container": {"spec": ONCE, "field": "initContainerStatuses"},
    "native-sidecar": {"spec": RESTARTABLE, "field": "initContainerStatuses"},
    "ephemeral-container": {"field": "ephemeralContainerStatuses"},
    "host-pid": {"spec": {"hostPID": True}},
    "sandboxed-runtime": {"spec": {"runtimeClassName": "kata"}},
}
EXEMPT: dict[str, dict[str, Any]] = {
    "annotation-disabled": {"annotations": {"kubearmor-policy": "disabled"}},
    "annotation-audited": {"annotations": {"kubearmor-policy": "audited"}},
    "builtin-exception": {"namespace": "kube-system"},
    "untracked-namespace": {"namespace": "kubearmor"},
}


@pytest.mark.parametrize("cause", UNSUPPORTED)
def test_containers_that_cannot_be_protected_are_unsupported(cause: str) -> None:
    story, pod = policed(**UNSUPPORTED[cause])
    story.wait(60)
    assert story.verdict(pod) == f"unsupported {cause}"
    assert story.gaps() == []


@pytest.mark.parametrize("runtime_class", ["gvisor", "kata", "kata-qemu", "Kata-fc", "runsc"])
def test_a_sandbox_is_known_by_its_runtime_class(runtime_class: str) -> None:
    story, pod = policed(spec={"runtimeClassName": runtime_class})
    assert story.verdict(pod) == "unsupported sandboxed-runtime"


@pytest.mark.parametrize("runtime_class", [None, "", "runc", "nvidia"])
def test_an_ordinary_runtime_class_is_supported(runtime_class: str | None) -> None:
    story, pod = policed(spec={"runtimeClassName": runtime_class})
    assert story.verdict(pod) == "pending"


def test_a_container_on_a_windows_node_is_unsupported() -> None:
    story = ready()
    story.cluster_policy()
    story.node("node-w", system="windows")
    pod = story.pod(node="node-w")
    story.wait(60)
    assert story.verdict(pod) == "unsupported unsupported-node"


@pytest.mark.parametrize("cause", EXEMPT)
def test_pods_that_are_left_out_by_design_are_exempt(cause: str) -> None:
    story, pod = policed(**EXEMPT[cause])
    story.wait(60)
    assert story.verdict(pod) == f"exempt {cause}"
    assert story.gaps() == []


def test_the_label_of_cilium_is_a_builtin_exception() -> None:
    story, pod = policed(labels={"io.cilium/app": "agent"})
    assert story.verdict(pod) == "exempt builtin-exception"


@pytest.mark.parametrize("value", ["enabled", "", "Audited", "on"])
def test_any_other_value_of_the_annotation_means_enabled(value: str) -> None:
    story, pod = policed(annotations={"kubearmor-policy": value})
    assert story.verdict(pod) == "pending"


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (
            {**UNSUPPORTED["host-pid"], **EXEMPT["annotation-audited"]},
            "unsupported host-pid",
        ),
        (
            {**UNSUPPORTED["init-container"], "namespace": "kube-system"},
            "unsupported init-container",
        ),
        (
            {**EXEMPT["annotation-audited"], "namespace": "kube-system"},
            "exempt annotation-audited",
        ),
        (
            {**EXEMPT["annotation-disabled"], "namespace": "kubearmor"},
            "exempt annotation-disabled",
        ),
        (
            {"labels": {"io.cilium/app": "agent"}, "namespace": "kubearmor"},
            "exempt builtin-exception",
        ),
        ({"namespace": "kube-system"}, "exempt builtin-exception"),
    ],
)
def test_the_first_of_them_decides(pod: dict[str, Any], expected: str) -> None:
    story, one = policed(**pod)
    assert story.verdict(one) == expected


@pytest.mark.parametrize("pod", [*EXEMPT.values(), *UNSUPPORTED.values()])
def test_they_come_before_the_causes_of_a_node(pod: dict[str, Any]) -> None:
    story = listening()
    story.cluster_policy(not_in=[])
    one = story.pod(**pod)
    story.wait(60)
    assert story.pair(one).verdict in {"exempt", "unsupported"}


@pytest.mark.parametrize("pod", [*EXEMPT.values(), *UNSUPPORTED.values()])
def test_no_evidence_moves_them(pod: dict[str, Any]) -> None:
    story, one = policed(**pod)
    before = story.verdict(one)
    story.register(one)
    story.write(one)
    story.alert(one)
    assert story.verdict(one) == before
    story.wait(5)
    story.log(one)
    story.strip(one)
    assert story.verdict(one) == before


def test_without_a_policy_even_such_a_container_is_unpoliced() -> None:
    story = ready()
    pod = story.pod(annotations={"kubearmor-policy": "audited"})
    assert story.overall(pod) == "unpoliced"


def test_the_settings_printed_by_the_daemon_name_the_untracked_namespaces() -> None:
    story = listening()
    story.daemon()
    story.begin()
    story.say("Final Configuration [{ConfigUntrackedNs:[kube-system shop]}]")
    story.say("Initialized KubeArmor")
    story.until(0)
    story.learn(story.cluster_policy())
    assert story.verdict(story.pod()) == "exempt untracked-namespace"
    assert story.verdict(story.pod("tool", namespace="kubearmor")) == "pending"


def test_from_v1_6_7_on_the_config_map_names_them() -> None:
    story, pod = policed()
    story.configure(untrackedNs="kube-system,kubearmor,shop")
    assert story.verdict(pod) == "exempt untracked-namespace"
    story.configure(untrackedNs="kube-system,kubearmor")
    assert story.pair(pod).verdict == "pending"


def test_below_v1_6_7_the_config_map_is_not_heeded() -> None:
    story = ready(release="v1.6.4")
    story.learn(story.cluster_policy())
    story.configure(untrackedNs="kube-system,kubearmor,shop")
    assert story.verdict(covered(story)) == "covered applied"


def test_audited_switches_a_covered_container_to_exempt() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(5)
    story.annotate(pod, kubearmor_policy="audited")
    assert story.verdict(pod) == "exempt annotation-audited"
    story.wait(60)
    assert story.gaps() == []


def test_enabled_again_is_pending_until_the_pod_is_handled() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod(annotations={"kubearmor-policy": "audited"})
    story.register(pod)
    story.see(pod)
    story.wait(60)
    story.annotate(pod)
    assert story.verdict(pod) == "pending"
    story.wait(1)
    story.write(pod)
    assert story.verdict(pod) == "covered applied"


def test_enabled_again_and_never_written_is_a_gap_after_grace() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod(annotations={"kubearmor-policy": "audited"})
    story.register(pod)
    story.see(pod)
    story.wait(60)
    story.annotate(pod)
    story.wait(9)
    assert story.verdict(pod) == "pending"
    story.wait(2)
    assert story.pair(pod).verdict == "gap"
    (gap,) = story.open_gaps()
    assert gap.since[1] >= story.now - 12


def test_an_open_gap_closes_when_the_pod_becomes_exempt() -> None:
    story = listening()
    story.until(0)
    story.cluster_policy()
    pod = story.pod()
    story.wait(15)
    assert story.verdict(pod) == "gap daemon-absent"
    story.annotate(pod, kubearmor_policy="disabled")
    assert story.gaps() == ["closed gap daemon-absent shop/cart/app"]


def test_an_init_container_beside_an_ordinary_one_does_not_spare_it() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    story.namespace("other", age=DAY)
    pod = story.pod(spec={"initContainers": [{"name": "prepare"}]})
    story.wait(11)
    assert story.pair(pod).verdict == "gap"
