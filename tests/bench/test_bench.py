"""The benchmarks run, on what they say they run on; how fast is nothing a test can tell."""

import gc
from collections.abc import Iterator

import pytest

from tests.bench import text
from tests.bench.__main__ import main
from tests.bench.catalogue import CATALOGUE
from tests.bench.cluster import Scale
from tests.bench.figures import Figure, Outcome, told
from tests.bench.fleet import Fleet
from tests.bench.stopwatch import Stopwatch
from tests.bench.text import Proportions

TINY = Scale(containers=20, nodes=2, policies=3)


@pytest.fixture(autouse=True)
def own_collector() -> Iterator[None]:
    """Take back how a benchmark sets up the process that it has for itself."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize("name", ["pod-lines", "text-lines", "policy", "tick", "memory"])
def test_each_benchmark_of_the_judgement_measures_something(name: str) -> None:
    figures = CATALOGUE[name].measure(TINY, Stopwatch())

    assert figures[0].budget is not None
    assert all(figure.value >= 0 for figure in figures)


def test_every_benchmark_can_be_found() -> None:
    assert all(callable(one.measure) for one in CATALOGUE.values())


def test_all_containers_of_the_measured_cluster_are_covered() -> None:
    fleet = Fleet(TINY)
    fleet.build()

    assert fleet.verdicts() == {"covered": TINY.containers, "exempt": TINY.nodes}


def test_there_is_nothing_to_be_found_in_the_measured_cluster() -> None:
    fleet = Fleet(TINY)
    fleet.build()

    assert fleet.coverage.report(fleet.now).findings == ()


def test_the_mix_of_lines_is_that_of_the_recording() -> None:
    assert text.recorded() == Proportions(
        policies=1, pushed=97 / 16, started=63 / 16, ended=20 / 16
    )


def test_a_figure_is_told_beside_its_budget() -> None:
    outcome = Outcome(
        name="speed",
        figures=(
            Figure(what="lines", value=50_000, unit="lines/s", budget=40_000, note="of 6 KB"),
            Figure(what="memory", value=150, unit="MiB", budget=100, kind="most"),
        ),
    )

    assert told(outcome) == (
        "speed\n"
        "  lines: 50,000 lines/s   budget ≥ 40,000 lines/s   1.25 of budget   met\n"
        "      of 6 KB\n"
        "  memory: 150 MiB   budget < 100 MiB   1.50 of budget   NOT MET"
    )


def test_the_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    said = capsys.readouterr().out
    assert all(name in said for name in CATALOGUE)
    assert "examples:" in said
