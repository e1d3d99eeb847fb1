"""Every bundled recording is judged as its truth says."""

from pathlib import Path

import pytest

from tests.traces.judge import folders, judge, main

FOLDERS = list(folders([]))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_recording_is_judged_as_its_truth_says(folder: Path) -> None:
    counts, passes = judge(folder)
    assert counts.notes == []
    assert passes, counts.line(folder.name)


def test_recordings_are_bundled() -> None:
    assert len(FOLDERS) >= 11


def test_the_counts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(folder for folder in FOLDERS if folder.name == "seed-v1.5.7")
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == (
        "seed-v1.5.7 errors=0 covered=14 expect=3 found=3 in_force=14 not_in_force=3 pairs=17\n"
    )
