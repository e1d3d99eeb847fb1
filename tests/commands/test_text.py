"""What people read of a report."""

from collections.abc import Mapping
from typing import Any

from monitor.commands.text import render


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


def told(*incidents: Mapping[str, Any]) -> list[str]:
    """The first line of each incident."""
    report = {
        "at": "2026-01-01T00:01:00.000000Z",
        "cluster": "tale",
        "containers": [],
        "incidents": incidents,
        "findings": [],
        "sources": [],
    }
    return [block.splitlines()[0] for block in render(report).split("\n\n")[1:]]


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
