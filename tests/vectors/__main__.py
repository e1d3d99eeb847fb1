"""`make vectors [FILE=...]`: hold the model against KubeArmor's own answers.

Exit code 1: they differ somewhere; the first differences are printed. 2: the file is none of
vectors; what is wrong with it is printed.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.vectors.player import (
    BUNDLED,
    Disagreement,
    MalformedError,
    Object,
    disagreements,
    numbered,
)

SHOWN = 20


def main(arguments: Sequence[str]) -> int:
    path = Path(arguments[0]) if arguments else BUNDLED
    try:
        asked, wrong, found = _held(path)
    except (OSError, MalformedError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not asked:
        sys.stderr.write(f"{path}: no answers in it\n")
        return 2
    for one in found[:SHOWN]:
        sys.stdout.write(
            f"{one.case} {one.release} {one.subject}: expected {one.expected}, got {one.got}\n"
        )
    for release in sorted(asked):
        agreeing = asked[release] - wrong[release]
        sys.stdout.write(f"{release}: {agreeing} of {asked[release]} agree\n")
    return int(bool(found))


def _held(path: Path) -> tuple[Counter[str], Counter[str], list[Disagreement]]:
    """How many answers there are per release, how many are wrong, and where."""
    asked, wrong, found = Counter[str](), Counter[str](), list[Disagreement]()
    for number, vector in numbered(path):
        here = _disagreements(vector, f"{path}:{number}")
        asked.update(vector["answers"].keys())
        wrong.update({one.release for one in here})
        found += here
    return asked, wrong, found


def _disagreements(vector: Object, where: str) -> list[Disagreement]:
    try:
        return list(disagreements(vector))
    # Whatever the player stumbles over, the line is not a vector as they are described.
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise MalformedError(f"{where}: no vector: {error!r}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
