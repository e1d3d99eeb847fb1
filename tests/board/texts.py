"""The board's copies of the texts; `python -m tests.board.texts` writes them anew."""

import json
from pathlib import Path

from monitor.core.causes import CAUSES, FINDINGS

BOARD = Path(__file__).parents[2] / "monitor" / "board"
CAUSE_TEXTS = BOARD / "causes.json"
FINDING_TEXTS = BOARD / "findings.json"


def cause_texts() -> str:
    shown = {
        code: {
            "verdicts": list(cause.verdicts),
            "title": cause.title,
            "what": cause.what,
            "remedy": cause.remedy,
        }
        for code, cause in CAUSES.items()
    }
    return _written(shown)


def finding_texts() -> str:
    """In the table's order, without remedies: that of a release is in the finding itself."""
    return _written(
        {code: {"title": kind.title, "what": kind.what} for code, kind in FINDINGS.items()}
    )


def _written(texts: object) -> str:
    return json.dumps(texts, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    CAUSE_TEXTS.write_text(cause_texts())
    FINDING_TEXTS.write_text(finding_texts())
