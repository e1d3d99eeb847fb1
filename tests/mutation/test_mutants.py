"""The decisions of the core are broken one by one, and its tests notice."""

import ast
import os
import subprocess
import sys
from collections import Counter

import pytest

from monitor.core.causes import CAUSES, FINDINGS
from monitor.core.host_semantics import HostBehaviour
from monitor.core.reasons import RULES
from monitor.core.semantics import Behaviour
from tests.mutation.mutants import ROOT, Mutant, mutants

pytestmark = pytest.mark.thorough


ALL = mutants()


def of_kind(kind: str) -> list[Mutant]:
    return [one for one in ALL if one.kind == kind]


def test_every_switch_of_a_release_is_broken() -> None:
    broken = {mutant.subject for mutant in of_kind("switch")}
    assert broken == {*Behaviour.__struct_fields__, *HostBehaviour.__struct_fields__}


def test_every_rule_for_a_cause_is_broken_both_ways() -> None:
    broken = Counter(mutant.subject for mutant in of_kind("rule"))
    assert broken == {cause: 2 for cause, _ in RULES}


def test_both_bounds_of_every_remedy_for_certain_releases_are_broken() -> None:
    remedies = {id(one) for kind in (CAUSES, FINDINGS) for e in kind.values() for one in e.remedies}
    assert len(of_kind("remedy")) == 2 * len(remedies)


@pytest.mark.parametrize("path", sorted({mutant.path for mutant in ALL}))
def test_a_mutant_is_another_module_that_can_be_compiled(path: str) -> None:
    original = ast.dump(ast.parse((ROOT / path).read_bytes()))
    sources = [mutant.source() for mutant in ALL if mutant.path == path]
    assert len(set(sources)) == len(sources)
    assert [source for source in sources if ast.dump(ast.parse(source)) == original] == []


def test_a_tenth_of_the_mutants_is_noticed() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--every", "10"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
