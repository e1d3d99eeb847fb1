"""The README tells of all there is: commands, topics, series and rooms of the code."""

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.metrics_core import Metric

from monitor.cli import COMMANDS
from monitor.core.coverage import Coverage, Settings
from monitor.metrics import PREFIX, Metrics, OutboxStatistics
from monitor.wire.events import Topic

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUOTED = {text.partition("{")[0] for text in re.findall(r"`([^`\n]+)`", README)}


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def series() -> set[str]:
    metrics = Metrics()
    core = Coverage(settings=Settings(cluster="c"), started=0.0)
    metrics.copy(core.statistics(0.0), OutboxStatistics(0, 0, 0, 0.0))
    return {_exposed(family) for family in metrics.registry.collect()}


def _exposed(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def test_every_command_has_a_row() -> None:
    rows = {
        row.split()[0] for row in re.findall(r"^\| `([^`]+)`", section("Commands"), re.MULTILINE)
    }
    assert rows == set(COMMANDS)


def test_every_topic_has_a_row() -> None:
    rows = re.findall(r"^\| `([^`]+)`", section("What it publishes"), re.MULTILINE)
    assert sorted(rows) == sorted(get_args(Topic))


def test_every_series_of_its_own_is_named() -> None:
    ours = {name.removeprefix(PREFIX) for name in series() if name.startswith(PREFIX)}
    assert ours - QUOTED == set()


@pytest.mark.parametrize("folder", ["monitor", "monitor/core"])
def test_every_room_of_the_code_is_named(folder: str) -> None:
    rooms = {f"{folder}/{one.parent.name}/" for one in (ROOT / folder).glob("*/__init__.py")}
    assert rooms - QUOTED == set()


def test_every_folder_that_is_named_is_there() -> None:
    named = {text for text in QUOTED if re.fullmatch(r"(monitor|tests|deploy)/[a-z_./]*", text)}
    assert {name for name in named if not (ROOT / name).exists()} == set()
