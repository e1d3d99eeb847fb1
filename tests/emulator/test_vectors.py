"""The emulated daemons attach policies to containers as KubeArmor's own selector code does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.vectors import attached

VECTORS = Path(__file__).parent.parent / "vectors/selection.jsonl"
RELEASES = ("v1.5.7", "v1.6.4", "v1.7.4")
SHOWN = 5


@pytest.fixture(scope="module")
def vectors() -> list[dict[str, Any]]:
    with VECTORS.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("version", RELEASES)
def test_every_case_of_a_release_has_the_recorded_answer(
    vectors: list[dict[str, Any]], version: str
) -> None:
    wrong = {}
    for vector in vectors:
        case, answer = vector["case"], vector["answers"][version]["byContainer"]
        found = attached(case, version)
        if found != answer:
            wrong[case["id"]] = {"emulated": found, "recorded": answer}
    assert len(vectors) == 244
    assert not wrong, f"{len(wrong)} disagree, the first: {dict(list(wrong.items())[:SHOWN])}"
