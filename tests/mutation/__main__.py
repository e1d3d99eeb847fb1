"""Breaks each decision of the core once and says which the tests do not notice.

`python -m tests.mutation [--every N]`: all mutants, or each N-th. Exit code 1 if fewer than 95 %
are noticed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from tests.mutation.mutants import mutants
from tests.mutation.run import Outcome, outcomes

NOTICED_SHARE: Final = 0.95
ALLOWED_SECONDS: Final = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th mutant only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    options = parser.parse_args(arguments)
    spent = _unbroken()
    if spent is None or (options.every == 1 and spent >= ALLOWED_SECONDS):
        return 1
    chosen = mutants()[:: options.every]
    survivors = []
    for number, outcome in enumerate(outcomes(chosen, processes=options.processes), start=1):
        word = "noticed " if outcome.noticed else "SURVIVED"
        _say(f"[{number}/{len(chosen)}] {word} {_named(outcome)}")
        if not outcome.noticed:
            survivors.append(_named(outcome))
    noticed = len(chosen) - len(survivors)
    _say(f"{noticed} of {len(chosen)} noticed ({noticed / len(chosen):.1%})")
    for survivor in survivors:
        _say(f"survived: {survivor}")
    return 0 if noticed >= NOTICED_SHARE * len(chosen) else 1


def _unbroken() -> float | None:
    """How long the tests take where nothing is broken; None if they fail there."""
    began = _spent()
    (whole,) = outcomes([None], processes=1)
    spent = _spent() - began
    if whole.noticed:
        _say("the tests fail although nothing is broken")
    _say(f"the tests take {spent:.1f} s of processor time where nothing is broken")
    return None if whole.noticed else spent


def _named(outcome: Outcome) -> str:
    return outcome.mutant.sentence if outcome.mutant is not None else "nothing is broken"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _spent() -> float:
    """Seconds of processor time of the processes that were started and have ended."""
    ended = os.times()
    return ended.children_user + ended.children_system


if __name__ == "__main__":
    sys.exit(main())
