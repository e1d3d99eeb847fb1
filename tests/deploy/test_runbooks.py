"""The runbooks say what the table of causes says, and there is one for everything that can fire."""

import re

import pytest
import yaml

from monitor.core.causes import CAUSES, RUNBOOKS, Cause, rank
from tests.deploy.manifests import DEPLOY
from tests.deploy.observability import ALERT_CASES, alerts

ALERTS = {rule["alert"]: rule for rule in alerts()}
SCOPES = {
    "node": "one incident per node",
    "daemonset": "one incident per DaemonSet",
    "release": "one incident per policy and release",
    "policy": "one incident per policy",
    "container": "no incident",
}


def sections() -> dict[str, str]:
    text = (DEPLOY.parent / RUNBOOKS).read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        name: " ".join(body.split()) for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


SECTIONS = sections()


def test_there_is_a_section_for_every_cause_and_alert_in_their_order() -> None:
    assert list(SECTIONS) == [*CAUSES, *ALERTS]


@pytest.mark.parametrize("cause", CAUSES.values(), ids=list(CAUSES))
def test_a_section_says_what_the_table_says(cause: Cause) -> None:
    section = SECTIONS[cause.code]
    said = [
        f"**{cause.title}** ({', '.join(cause.verdicts)}; {SCOPES[cause.scope]})",
        cause.what,
        f"*What to do.* {cause.remedy}",
        *(f"- {special.text}" for special in cause.remedies),
        "*See it yourself.*",
    ]
    assert [text for text in said if text not in section] == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_its_section(name: str) -> None:
    file, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")
    assert file == RUNBOOKS
    assert anchor in {name.lower(), "{{ $labels.cause }}"}
    assert "*What to do.*" in SECTIONS[name]


def test_a_runbook_address_of_a_cause_is_an_anchor() -> None:
    assert CAUSES["host-pid"].runbook == "deploy/runbooks/README.md#host-pid"


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_cases_in_which_it_fires_and_stays_silent(name: str) -> None:
    cases = yaml.safe_load(ALERT_CASES.read_text())["tests"]
    expected = [
        bool(case["exp_alerts"])
        for test in cases
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert set(expected) == {True, False}


def test_every_cause_that_alerts_name_exists() -> None:
    named = {
        code
        for rule in alerts()
        for pattern in re.findall(r'cause[!=]~"([^"]+)"', rule["expr"])
        for code in pattern.split("|")
    }
    assert named == {"daemon-replaced", "daemon-starting"}
    assert named <= set(CAUSES)


def test_alerts_count_no_gap_whose_incident_pages_nobody() -> None:
    assert [rule["alert"] for rule in alerts() if "gaps_open" in rule["expr"]] == []
    assert [rule["alert"] for rule in alerts() if "gaps_paging" in rule["expr"]] == [
        "KubeArmorContainersUnprotected",
        "KubeArmorRolloutStuck",
    ]


@pytest.mark.parametrize(
    ("code", "release", "texts"),
    [
        ("container-source-dead", "v1.5.7", 1),
        ("container-source-dead", "v1.6.16", 0),
        ("container-source-dead", None, 0),
        ("container-source-dead", "stable", 0),
        ("daemon-down", "v1.6.8", 1),
        ("daemon-down", "v1.7.3", 1),
        ("daemon-down", "v1.7.4", 0),
        ("daemon-down", "v1.7.5-rc1", 0),
        ("untracked-namespace", "v1.6.7", 1),
    ],
)
def test_a_remedy_fits_the_release(code: str, release: str | None, texts: int) -> None:
    cause = CAUSES[code]
    added = [one.text for one in cause.remedies if one.text in cause.remedy_on(release)]
    assert cause.remedy_on(release).startswith(cause.remedy)
    assert len(added) == texts


def test_causes_of_a_whole_node_come_first_then_the_order_of_the_table() -> None:
    ranked = sorted(CAUSES, key=rank)
    assert ranked[:8] == [
        "daemon-absent",
        "daemon-down",
        "daemon-starting",
        "enforcer-absent",
        "container-source-dead",
        "event-queue-lag",
        "daemon-replaced",
        "rollout",
    ]
    assert ranked[8:] == [code for code in CAUSES if code not in ranked[:8]]
