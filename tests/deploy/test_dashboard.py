"""The dashboard is one that Grafana can show and a person can read."""

import re
from itertools import combinations
from typing import get_args

import pytest

from monitor.core.incidents import INFORMATIONAL
from monitor.core.model import Verdict
from tests.deploy.observability import dashboard, expressions, panels

EVERYTHING = dashboard()["panels"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in EVERYTHING]
    assert len(ids) == len(set(ids))


def test_no_panel_covers_another_or_leaves_the_grid() -> None:
    places = [panel["gridPos"] for panel in EVERYTHING]
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)


def test_panels_have_titles_of_their_own_and_say_what_they_mean() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    assert all(panel["description"] for panel in panels())


def test_everything_asks_the_chosen_datasource() -> None:
    asked = [panel["datasource"] for panel in panels()]
    asked += [target["datasource"] for panel in panels() for target in panel["targets"]]
    assert all(datasource == DATASOURCE for datasource in asked)
    assert [variable["name"] for variable in dashboard()["templating"]["list"]] == [
        "datasource",
        "namespace",
    ]


def test_every_value_has_a_unit() -> None:
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())


@pytest.mark.parametrize(("title", "expression"), expressions())
def test_no_variable_is_left_open(title: str, expression: str) -> None:
    assert "$" not in expression, title


def test_the_number_of_incidents_leaves_out_what_pages_nobody() -> None:
    (expression,) = (one for title, one in expressions() if title == "Open incidents A")
    (left_out,) = re.findall(r'cause!~"([^"]+)"', expression)
    assert set(left_out.split("|")) == INFORMATIONAL


def test_findings_and_policies_of_nodes_are_shown_by_what_they_are() -> None:
    asked = dict(expressions())
    assert (asked["Open findings by code A"], asked["Host policies by verdict A"]) == (
        "sum by (code) (kubearmor_monitor_findings_open) > 0",
        "sum by (verdict) (kubearmor_monitor_host_policies)",
    )


def test_a_verdict_has_the_same_colour_in_every_panel() -> None:
    colours = {
        (override["matcher"]["options"], override["properties"][0]["value"]["fixedColor"])
        for panel in panels()
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] in get_args(Verdict)
    }
    assert len(colours) == len({verdict for verdict, _ in colours})


def test_the_dashboard_has_a_name_that_links_can_use() -> None:
    found = dashboard()
    assert (found["uid"], found["title"]) == ("kubearmor-coverage", "KubeArmor coverage")
