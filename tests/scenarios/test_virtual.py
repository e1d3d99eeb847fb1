"""Every scenario in virtual time: the whole report before, when it went wrong, when it healed."""

from pathlib import Path

import pytest

from monitor.core.causes import CAUSES, FINDINGS
from tests.emulator.scenarios import SCENARIOS
from tests.emulator.scenarios.scenario import BYSTANDERS, Picture, Scenario
from tests.scenarios.performance import performed
from tests.scenarios.pictures import expected


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_right_pair_gets_the_right_verdict_and_nothing_else_changes(
    name: str, tmp_path: Path
) -> None:
    scenario = SCENARIOS[name]
    played = performed(scenario, trace=tmp_path / "trace.jsonl")
    calm = Scenario("nothing", wrong=(), shows=Picture(), base=scenario.base)
    assert played.calm == expected(calm, healed=False)
    assert played.wrong == expected(scenario, healed=False)
    assert played.healed == expected(scenario, healed=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_remedy_says_what_heals(name: str) -> None:
    scenario = SCENARIOS[name]
    entry = (CAUSES | FINDINGS)[scenario.code]  # type: ignore[operator]
    assert scenario.remedy in entry.remedy_on(scenario.release)


def test_there_are_bystanders() -> None:
    assert BYSTANDERS >= 20
