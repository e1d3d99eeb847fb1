"""Why nothing is known of a pair whose node's output is not read (dossier 4, F40-F43, F47)."""

from collections.abc import Mapping
from typing import Any, Final

from tests.core.stories import AUDIT_APT, BLOCK_APT, PodOf, Story, ready

RULES: Final[Mapping[str, Any]] = BLOCK_APT


def unread(rules: Mapping[str, Any] = RULES) -> tuple[Story, PodOf]:
    """A Pod that starts while its node's output is not read."""
    story = ready(text=False)
    story.cluster_policy(rules=rules)
    story.wait(60)
    return story, story.pod()


def cause(story: Story, pod: PodOf) -> str:
    story.wait(90)
    return story.verdict(pod)


def test_nothing_special_is_no_evidence_source() -> None:
    assert cause(*unread()) == "unknown no-evidence-source"


def test_alerts_that_are_held_back_are_throttled() -> None:
    story, pod = unread()
    story.wait(1)
    story.alert(
        pod,
        Type="SystemEvent",
        Operation="AlertThreshold",
        Result="Passed",
        DroppingAlertsInterval=30,
        MaxAlertsPerSec=10,
    )
    assert cause(story, pod) == "unknown throttled"


def test_a_refusal_that_no_alert_explains_has_lost_its_attribution() -> None:
    story, pod = unread()
    story.wait(1)
    story.log(pod, Operation="Process", Resource="/usr/bin/apt update", Result="Permission denied")
    assert cause(story, pod) == "unknown attribution-lost"


def test_a_refusal_that_an_alert_explains_is_attributed() -> None:
    story, pod = unread()
    story.wait(1)
    story.log(pod, Operation="Process", Resource="/usr/bin/apt update", Result="Permission denied")
    story.alert(pod, "another", Operation="Process", Resource="/usr/bin/apt update")
    assert cause(story, pod) == "unknown no-evidence-source"


def test_a_refusal_of_before_the_pair_says_nothing_of_it() -> None:
    story = ready(text=False)
    pod = story.pod()
    story.log(pod, Operation="Process", Resource="/usr/bin/apt update", Result="Permission denied")
    story.wait(60)
    story.cluster_policy()
    assert cause(story, pod) == "unknown no-evidence-source"


def test_a_refusal_of_something_else_says_nothing() -> None:
    story, pod = unread()
    story.wait(1)
    story.log(pod, Operation="File", Resource="/etc/shadow", Result="Permission denied")
    assert cause(story, pod) == "unknown no-evidence-source"


def test_audit_rules_on_what_is_not_watched_are_silent() -> None:
    story, pod = unread(AUDIT_APT)
    story.annotate_namespace("shop", **{"kubearmor-visibility": "network"})
    assert cause(story, pod) == "unknown visibility-off"


def test_audit_rules_on_what_is_watched_could_have_been_heard() -> None:
    story, pod = unread(AUDIT_APT)
    story.annotate_namespace("shop", **{"kubearmor-visibility": "process,network"})
    assert cause(story, pod) == "unknown no-evidence-source"


def test_a_certificate_that_has_expired_blinds_the_monitor() -> None:
    story, pod = unread()
    story.down(
        "alerts/relay",
        reason="CERTIFICATE_VERIFY_FAILED: certificate verify failed: certificate has expired",
    )
    assert cause(story, pod) == "unknown tls-expired"


# --- messages -----------------------------------------------------------------------------------


def told(story: Story, pod: PodOf) -> None:
    """The message feed repeats how the container's rules are written."""
    story.message("Detected a Cluster Security Policy (added/block-apt)")
    story.wait(1)
    story.message(
        f"Detected a container (added/{pod.id[:12]}/pidns=4026531836/mntns=4026532000)",
        f"Detected a Pod (modified/{pod.path})",
        f"Updating container rules for {pod.id}",
        f"Creating inner map for {pod.id}",
    )


def test_messages_show_that_rules_were_written_where_the_output_is_not_read() -> None:
    story, pod = unread()
    told(story, pod)
    assert story.verdict(pod) == "covered inferred"


def test_the_silence_of_messages_shows_nothing() -> None:
    story, pod = unread()
    story.message("Detected a Cluster Security Policy (added/block-apt)")
    assert cause(story, pod) == "unknown no-evidence-source"


def test_messages_show_that_rules_are_gone() -> None:
    story, pod = unread()
    told(story, pod)
    story.wait(5)
    story.message(f"Updating container rules for {pod.id}", f"Deleting inner map for {pod.id}")
    assert story.verdict(pod) == "lost rules-removed"


def test_a_message_that_comes_twice_counts_once() -> None:
    story, pod = unread()
    told(story, pod)
    before = story.report()
    story.observe(*[one for _, one in story.history[-1:]])
    assert story.report().containers == before.containers


def test_messages_of_an_end_lose_what_the_daemon_had_written() -> None:
    story, pod = unread()
    told(story, pod)
    story.wait(5)
    story.message("Got a signal to terminate KubeArmor")
    story.kill()
    assert story.verdict(pod) == "lost daemon-down"


def test_between_a_daemons_end_and_its_successors_start_messages_say_nothing() -> None:
    story, pod = unread()
    story.kill()
    told(story, pod)
    story.wait(30)
    assert story.verdict(pod) == "gap daemon-down"


def test_messages_are_joined_by_the_nodes_address_where_its_name_is_another() -> None:
    story, pod = unread()
    story.address_node("node-a", "10.0.0.7")
    story.message(
        "Detected a Cluster Security Policy (added/block-apt)",
        HostName="machine-7",
        HostIP="10.0.0.7",
    )
    story.message(
        f"Updating container rules for {pod.id}",
        f"Creating inner map for {pod.id}",
        HostName="machine-7",
        HostIP="10.0.0.7",
    )
    assert story.verdict(pod) == "covered inferred"
