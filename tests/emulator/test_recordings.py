"""Fed a recording, the emulated daemons do what the recorded ones did.

Compared are, per daemon and container, the order of the policy lines and of its own lines; at
every instant with a known truth each endpoint (its policies, mode, registration, the size of its
rule map and the paths that it refuses); and for every recorded action whether it was refused and
all that was reported about it.
"""

from pathlib import Path

import pytest

from tests.emulator.recording import read
from tests.emulator.replay import Replay

TRACES = Path(__file__).parent.parent / "traces"
COMPARED = {
    "seed-v1.5.7": {"sequences": 10, "endpoints": 25, "acts": 8},
    "seed-v1.7.4": {"sequences": 10, "endpoints": 25, "acts": 8},
    "exempt-v1.7.4": {"sequences": 5, "endpoints": 33, "acts": 18},
    "faults-v1.7.4": {"sequences": 21, "endpoints": 86, "acts": 40},
    "mixed-releases": {"sequences": 18, "endpoints": 52, "acts": 16},
    "no-enforcer-v1.7.4": {"sequences": 0, "endpoints": 8, "acts": 2},
    "churn-v1.7.4": {"sequences": 61, "endpoints": 124, "acts": 11},
}


@pytest.mark.parametrize("name", COMPARED)
def test_a_recording_is_reproduced(name: str) -> None:
    replay = Replay(read(TRACES / name))
    replay.play()
    assert replay.differences[:3] == []
    assert replay.compared == COMPARED[name]


@pytest.mark.parametrize("name", ["seed-v1.5.7", "seed-v1.7.4"])
def test_the_start_of_a_daemon_is_written_as_recorded(name: str) -> None:
    recording = read(TRACES / name)
    replay = Replay(recording)
    replay.play()
    for recorded, emulated in replay.texts():
        start = recorded[: recorded.index("Initialized KubeArmor") + 1]
        assert sorted(start) == sorted(emulated[: len(start)])
