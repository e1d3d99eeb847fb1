"""The board's copy of the cause texts; `python -m tests.board.texts` writes it anew."""

import json
from pathlib import Path

from monitor.core.causes import CAUSES

BOARD = Path(__file__).parents[2] / "monitor" / "board"
TEXTS = BOARD / "causes.json"


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
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TEXTS.write_text(cause_texts())
