"""The text is written byte for byte like a daemon's and like a kubelet's file."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.emulator.lines import VERBATIM, Line, LogFile, written

AT = 1_795_469_264.376375

WRITTEN = {
    "information": (
        Line(AT, "INFO", "Initialized KubeArmor"),
        ["2026-11-23 21:27:44.376375\t\x1b[34mINFO\x1b[0m\tInitialized KubeArmor"],
    ),
    "a warning": (
        Line(AT, "WARN", "NRI connection lost"),
        ["2026-11-23 21:27:44.376375\t\x1b[33mWARN\x1b[0m\tNRI connection lost"],
    ),
    "an error": (
        Line(AT, "ERROR", "unable to fetch namespace list"),
        ["2026-11-23 21:27:44.376375\t\x1b[31mERROR\x1b[0m\tunable to fetch namespace list"],
    ),
    "a text that ends in a newline is followed by a blank line": (
        Line(AT, "INFO", "[ProtectProc] Registered: 7c9c\n"),
        [
            "2026-11-23 21:27:44.376375\t\x1b[34mINFO\x1b[0m\t[ProtectProc] Registered: 7c9c",
            "",
        ],
    ),
    "a frame of a stack trace": (
        Line(AT, VERBATIM, "\t/usr/src/KubeArmor/KubeArmor/log/logger.go:103"),
        ["\t/usr/src/KubeArmor/KubeArmor/log/logger.go:103"],
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_line_is_written(name: str) -> None:
    line, expected = WRITTEN[name]
    assert written(line) == expected


def test_a_daemon_may_print_local_time(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "kubearmor.log", zone=timedelta(hours=2))
    file.append(Line(AT, "INFO", "Initialized KubeArmor"), now=AT)
    stamps = "2026-11-23T21:27:44.376375000Z stderr F 2026-11-23 23:27:44.376375\t"
    assert file.path.read_text().startswith(stamps)


def test_the_kubelet_s_stamps_rise_strictly(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "kubearmor.log")
    for _ in range(3):
        file.append(Line(AT, VERBATIM, "again"), now=AT)
    assert file.path.read_text().splitlines() == [
        "2026-11-23T21:27:44.376375000Z stderr F again",
        "2026-11-23T21:27:44.376376000Z stderr F again",
        "2026-11-23T21:27:44.376377000Z stderr F again",
    ]
