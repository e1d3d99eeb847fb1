"""What the demonstration says while it runs: in words, or as one JSON object a line."""

import sys
from collections import Counter
from typing import Any, Final, Literal, Protocol, TypeAlias

import orjson

from monitor.commands.text import render
from monitor.core.model import Report
from monitor.wire import report as wire_report

Phase: TypeAlias = Literal["playing", "holding", "healed"]

TEXTS: Final[dict[Phase, str]] = {
    "playing": "The recording is playing.",
    "holding": (
        "Held where a namespace is newer than the cluster policy that should protect it: its three"
        " containers are uncovered. Go on: KubeArmor is restarted."
    ),
    "healed": "The recording is over: after the restart the policy is in force everywhere.",
}
CONTINUE: Final = "api/v1/demo/continue"


class Narration(Protocol):
    """What is announced, in the order in which it comes."""

    def opens(self, *, board: str, metrics: str, at: float) -> None:
        """The addresses are served; the recording begins."""
        ...

    def passes(self, mark: str, *, at: float) -> None:
        """The recording has come to a mark for its readers."""
        ...

    def arrives(self, phase: Phase, report: Report) -> None:
        """It holds at the gap, or is over and healed."""
        ...


class Words:
    """For people."""

    def __init__(self, *, started: float) -> None:
        self._started = started

    def opens(self, *, board: str, metrics: str, at: float) -> None:
        del at
        _say(f"The board and the API: {board}")
        _say(f"Metrics:               {metrics}\n")

    def passes(self, mark: str, *, at: float) -> None:
        _say(f"{at - self._started:6.1f} s  {mark}")

    def arrives(self, phase: Phase, report: Report) -> None:
        _say(f"\n{render(orjson.loads(wire_report.encode(report)))}\n{TEXTS[phase]}")
        if phase == "holding":
            _say("Press Enter here, or the button on the board. Ctrl-C ends the demonstration.\n")
        else:
            _say("The board stays open until Ctrl-C.")


class Lines:
    """For programs: each line has `phase`, `at` (the recording's time) and `text`."""

    def __init__(self) -> None:
        self._board = ""
        self._phase: Phase = "playing"

    def opens(self, *, board: str, metrics: str, at: float) -> None:
        self._board = board
        self._write(at, TEXTS["playing"], board=board, metrics=metrics)

    def passes(self, mark: str, *, at: float) -> None:
        self._write(at, mark)

    def arrives(self, phase: Phase, report: Report) -> None:
        self._phase = phase
        verdicts = dict(Counter(container.verdict for container in report.containers))
        self._write(report.at, TEXTS[phase], verdicts=verdicts)
        self._phase = "playing" if phase == "holding" else phase

    def _write(self, at: float, text: str, **more: Any) -> None:
        line = {"phase": self._phase, "at": wire_report.rfc3339(at), "text": text, **more}
        if self._phase == "holding":
            line["continue"] = f"{self._board}{CONTINUE}"
        _say(orjson.dumps(line).decode())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
