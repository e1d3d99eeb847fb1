"""Whether the tests of the core notice: each mutant in a process of its own, until a test fails.

A process is forked for each mutant before anything of the core is imported in it, and then imports
the mutant from memory: the tree is not written to. The tests that are likeliest to notice are asked
first. A mutant that cannot be imported or does not end is noticed as well.
"""

import ast
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

import hypothesis.strategies  # noqa: F401  # once for all processes: it takes long
import pytest
from msgspec import Struct

from tests.mutation.mutants import ROOT, Mutant

TESTS: Final = ROOT / "tests" / "core"
SLOW: Final = frozenset(
    {
        "test_diagnosis.py",
        "test_health_laws.py",
        "test_laws.py",
        "test_lint.py",
        "test_outline.py",
        "test_partial.py",
        "test_restored.py",
        "test_rollouts.py",
        "test_views.py",
    }
)
FIRST: Final[dict[str, tuple[str, ...]]] = {
    "apparmor": ("reasons",),
    "attachment": ("gaps", "releases", "collisions"),
    "believed": ("believed",),
    "causes": ("causes",),
    "collision": ("collisions",),
    "containers": ("exempt", "hosts"),
    "defaults": ("reasons",),
    "draws": ("collisions",),
    "health": ("health",),
    "host_expectation": ("hosts",),
    "host_policies": ("hosts",),
    "host_semantics": ("hosts", "node_selector"),
    "judgement": ("gaps", "lost", "covered", "unknown"),
    "namesakes": ("namesakes",),
    "node_selector": ("node_selector",),
    "nodes": ("gaps", "lost", "hosts", "health"),
    "prediction": ("releases", "gaps"),
    "proof": ("covered", "lost"),
    "question": ("gaps", "lost"),
    "reading": ("covered", "lost"),
    "reasons": ("reasons", "gaps"),
    "selector": ("selector", "selection"),
    "semantics": ("releases",),
    "sight": ("unknown",),
    "silence": ("unknown", "grace"),
    "world": ("exempt",),
}
"""Which tests are asked first about which module."""

OPTIONS: Final = (
    *("--exitfirst", "--quiet", "--assert=plain"),
    *("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"),
)
SECONDS: Final = 120
BYTES: Final = 2 << 30
FAILED: Final = frozenset({pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED})


class Outcome(Struct, frozen=True):
    """What became of a mutant."""

    mutant: Mutant | None
    noticed: bool


def fast_tests() -> list[Path]:
    """The tests of the core, but for those that play thousands of histories."""
    return sorted(path for path in TESTS.glob("test_*.py") if path.name not in SLOW)


def outcomes(mutants: Sequence[Mutant | None], *, processes: int) -> Iterator[Outcome]:
    """What becomes of each, in the order in which it is known; None is the core as it is."""
    waiting = list(reversed(mutants))
    running: dict[int, Mutant | None] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop()
            running[_started(mutant)] = mutant
        pid, status = os.wait()
        yield Outcome(mutant=running.pop(pid), noticed=_has_failed(status))


def _has_failed(status: int) -> bool:
    if not os.WIFEXITED(status):
        return True
    code = os.waitstatus_to_exitcode(status)
    if code not in {pytest.ExitCode.OK, *FAILED}:
        raise RuntimeError(f"the tests could not be run: pytest ended with {code}")
    return code in FAILED


def _started(mutant: Mutant | None) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = int(pytest.ExitCode.INTERNAL_ERROR)
        try:
            code = _judged(mutant)
        finally:
            os._exit(code)
    return pid


def _judged(mutant: Mutant | None) -> int:
    """In the new process: let the tests run against the mutant."""
    assert not any(name.startswith("monitor") for name in sys.modules)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    tests = fast_tests()
    if mutant is None:
        return _tested(tests)
    sys.meta_path.insert(0, _Mutated(mutant))
    name = mutant.path.split("/")[2].removesuffix(".py")
    first = [path for path in tests if path.stem.removeprefix("test_") in FIRST.get(name, ())]
    code = _tested(first) if first else pytest.ExitCode.OK
    return code or _tested([path for path in tests if path not in first])


def _tested(paths: Sequence[Path]) -> int:
    return int(pytest.main([*OPTIONS, *map(str, paths)]))


class _Mutated(MetaPathFinder, Loader):
    """Imports one module as a mutant has it."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(  # type: ignore[explicit-override]  # typing.override is newer than Python 3.11
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # one file is meant, wherever it is looked for
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return spec_from_file_location(fullname, ROOT / self._mutant.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:  # type: ignore[explicit-override]
        tree = ast.parse(self._mutant.source())
        exec(compile(tree, str(ROOT / self._mutant.path), "exec"), module.__dict__)  # noqa: S102  # a module is made
