"""`make vectors [FILE=...]`: hold the model against KubeArmor's own answers.

Exit code 1: they differ somewhere; the first differences are printed.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.vectors.player import BUNDLED, disagreements, vectors

SHOWN = 20


def main(arguments: Sequence[str]) -> int:
    path = Path(arguments[0]) if arguments else BUNDLED
    asked, wrong = Counter[str](), Counter[str]()
    shown = 0
    for vector in vectors(path):
        asked.update(vector["answers"].keys())
        found = list(disagreements(vector))
        wrong.update({one.release for one in found})
        for one in found[: max(0, SHOWN - shown)]:
            sys.stdout.write(
                f"{one.case} {one.release} {one.subject}: expected {one.expected}, got {one.got}\n"
            )
            shown += 1
    for release in sorted(asked):
        agreeing = asked[release] - wrong[release]
        sys.stdout.write(f"{release}: {agreeing} of {asked[release]} agree\n")
    return int(wrong.total() > 0 or not asked)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
