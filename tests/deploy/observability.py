"""The shipped dashboard and alerts, as expressions without variables."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
ALERT_CASES = DEPLOY / "prometheus" / "alerts_test.yaml"
DASHBOARD = DEPLOY / "grafana" / "coverage.json"

VARIABLES = {"$__rate_interval": "1m", "$namespace": ".*"}
THRESHOLD = re.compile(r"\s*(?:>|==)\s*[\d.]+$")

Json = dict[str, Any]


def alerts() -> list[Json]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def measured(expression: str) -> str:
    """Return what an alert compares with its threshold, or looks for."""
    inside = re.fullmatch(r"absent\((.*)\)", expression)
    return inside[1] if inside else THRESHOLD.sub("", expression)


def dashboard() -> Json:
    found: Json = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[Json]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Return the title of each panel with each of its expressions, variables filled in."""
    return [
        (f"{panel['title']} {target['refId']}", _filled_in(target["expr"]))
        for panel in panels()
        for target in panel["targets"]
    ]


def _filled_in(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression
