"""What people read of a report."""

from collections.abc import Mapping
from typing import Any

from monitor.commands.text import render

EMPTY: Mapping[str, Any] = {
    "at": "2026-01-01T00:01:00.000000Z",
    "cluster": "tale",
    "containers": [],
    "incidents": [],
    "findings": [],
    "sources": [],
}


def incident(**members: object) -> Mapping[str, Any]:
    return {
        "state": "open",
        "severity": "page",
        "cause": "daemon-down",
        "scope": "node/node-a",
        "containers": 100,
        "since": ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"],
        "remedy": "Read why.",
        **members,
    }


def finding(code: str, subject: str, *, remedy: str = "Read it.") -> Mapping[str, Any]:
    return {
        "state": "open",
        "code": code,
        "kind": "suspicion",
        "subject": subject,
        "since": ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"],
        "detail": "It was so.",
        "remedy": remedy,
    }


def told(*incidents: Mapping[str, Any]) -> list[str]:
    """The first line of each incident."""
    report = {**EMPTY, "incidents": incidents}
    return [block.splitlines()[0] for block in render(report).split("\n\n")[1:]]


def found(*findings: Mapping[str, Any], everything: bool = False) -> str:
    """What is said after the counts of containers."""
    text = render({**EMPTY, "findings": findings}, everything=everything)
    return text.partition("\n\n")[2]


def test_an_open_incident_says_cause_scope_and_size() -> None:
    assert told(incident()) == [
        "INCIDENT daemon-down (node/node-a): 100 containers, since 2026-01-01T00:00:00.000000Z"
    ]


def test_an_incident_that_pages_nobody_is_told_as_that() -> None:
    rolled = incident(severity="info", cause="rollout", scope="daemonset/a/b@2")
    assert told(rolled) == [
        "TO BE KNOWN rollout (daemonset/a/b@2): 100 containers, since 2026-01-01T00:00:00.000000Z"
    ]


def test_a_closed_incident_is_not_told() -> None:
    assert told(incident(state="closed")) == []


def test_findings_are_counted_by_code_and_told_with_their_remedy_once() -> None:
    findings = [
        finding("lost-update", "apps/a-0/a"),
        finding("lost-update", "apps/b-0/b"),
        finding("stale-policy", "KubeArmorPolicy apps/x", remedy="Restart it."),
    ]
    assert found(*findings) == (
        "Findings, which are no gaps: 2 lost-update · 1 stale-policy\n"
        "\n"
        "FINDING lost-update (suspicion): One of two policies may have been overwritten\n"
        "  apps/a-0/a: It was so.\n"
        "  apps/b-0/b: It was so.\n"
        "  what to do: Read it.\n"
        "\n"
        "FINDING stale-policy (suspicion): A deleted policy is still in force\n"
        "  KubeArmorPolicy apps/x: It was so.\n"
        "  what to do: Restart it.\n"
    )


def test_of_many_findings_of_a_code_a_few_are_told_and_the_rest_counted() -> None:
    many = [finding("lost-update", f"apps/{number}/a") for number in range(40)]
    lines = found(*many).splitlines()
    assert lines[0] == "Findings, which are no gaps: 40 lost-update"
    assert lines[3:] == [
        "  apps/0/a: It was so.",
        "  apps/1/a: It was so.",
        "  apps/2/a: It was so.",
        "  and 37 more: the report as JSON has them all",
        "  what to do: Read it.",
    ]


def test_all_findings_are_told_when_everything_is_asked_for() -> None:
    many = [finding("lost-update", f"apps/{number}/a") for number in range(40)]
    told_of = [line for line in found(*many, everything=True).splitlines() if "It was so" in line]
    assert len(told_of) == 40


def test_findings_of_one_code_with_two_remedies_are_told_apart() -> None:
    of_old, of_new = finding("over-match", "a", remedy="Old."), finding("over-match", "b")
    blocks = found(of_old, of_new).split("\n\n")
    assert [block.splitlines()[-1] for block in blocks[1:]] == [
        "  what to do: Old.",
        "  what to do: Read it.",
    ]


def test_without_findings_nothing_is_said_of_them() -> None:
    assert found() == ""


def test_a_findings_words_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in found(finding("lost-update", "a\x1b[2Jb"))
