"""The runbooks say what the tables say, and there is one for everything that can fire."""

import re

import pytest
import yaml

from monitor.core.causes import CAUSES, FINDINGS, RUNBOOKS
from tests.deploy.observability import ALERT_CASES, alerts
from tests.deploy.runbooks import CODES, OWN, PAGE, composed, sections

ALERTS = {rule["alert"]: rule for rule in alerts()}
TEXT = PAGE.read_text()
SECTIONS = sections(TEXT)


def test_there_is_a_section_for_every_code_and_alert_in_their_order() -> None:
    assert list(SECTIONS) == [*CODES, *ALERTS]


def test_the_page_says_what_the_tables_say() -> None:
    assert composed(TEXT) == TEXT


@pytest.mark.parametrize("code", CODES)
def test_a_section_tells_how_to_see_it_what_inaction_costs_and_when_it_has_healed(
    code: str,
) -> None:
    labels = [label for paragraph in SECTIONS[code] for label in OWN if paragraph.startswith(label)]
    assert labels == list(OWN)
    assert [one for one in SECTIONS[code] if one.startswith(OWN) and one.endswith("*")] == []


def test_what_is_to_be_typed_stands_on_one_line() -> None:
    assert [line for line in TEXT.splitlines() if line.count("`") % 2] == []


def test_a_command_names_its_placeholders_as_the_introduction_does() -> None:
    known = {"NAME", "NAMESPACE", "POD", "NODE"}
    commands = re.findall(r"`((?:kubectl|kubearmor-monitor) [^`]*)`", TEXT)
    words = {word for command in commands for word in re.findall(r"\b[A-Z]{3,}\b", command)}
    assert words == known


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_its_section(name: str) -> None:
    file, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")
    assert file == RUNBOOKS
    assert anchor in {name.lower(), "{{ $labels.cause }}"}
    assert any(paragraph.startswith("*What to do.*") for paragraph in SECTIONS[name])


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


def test_a_finding_is_never_more_than_a_ticket() -> None:
    found = [
        (rule["alert"], rule["labels"]["severity"], re.findall(r'code="([^"]+)"', rule["expr"]))
        for rule in alerts()
        if "findings_open" in rule["expr"]
    ]
    assert found == [("KubeArmorDeletedPolicyInForce", "warning", ["stale-policy"])]
    assert "stale-policy" in FINDINGS


def test_alerts_count_no_gap_whose_incident_pages_nobody() -> None:
    assert [rule["alert"] for rule in alerts() if "gaps_open" in rule["expr"]] == []
    assert [rule["alert"] for rule in alerts() if "gaps_paging" in rule["expr"]] == [
        "KubeArmorContainersUnprotected",
        "KubeArmorRolloutStuck",
    ]
