"""Fed a recording, the emulated daemons do what the recorded ones did.

Compared are, per daemon and container, the order of the policy lines and of its own lines; at
every instant with a known truth each endpoint (its policies, mode, registration, the size of its
rule map and the paths that it refuses); and for every recorded action whether it was refused and
all that was reported about it.

Not compared is mixed-releases-outage: with its text it lost when containers were announced.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.emulator.informers import relists
from tests.emulator.recording import Recording, read
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
    "relist-v1.7.4": {"sequences": 10, "endpoints": 36, "acts": 3},
    "collisions-v1.7.4": {"sequences": 4, "endpoints": 30, "acts": 12},
    "config-v1.7.4": {"sequences": 4, "endpoints": 30, "acts": 6},
    "seed-v1.5.7-late": {"sequences": 10, "endpoints": 25, "acts": 8},
    "seed-v1.7.4-skewed": {"sequences": 10, "endpoints": 25, "acts": 8},
}

WORD_FOR_WORD = (
    "seed-v1.5.7",
    "exempt-v1.7.4",
    "collisions-v1.7.4",
    "config-v1.7.4",
    "relist-v1.7.4",
)


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


def _relists(recording: Recording) -> dict[tuple[str, str], float]:
    """Return how many seconds after the API server went away each informer listed."""
    return {
        (incarnation.node, relist.resource): round(relist.at - relist.since, 1)
        for incarnation in recording.incarnations
        for relist in relists(recording.records, incarnation)
    }


def test_each_informer_lists_anew_at_an_instant_of_its_own() -> None:
    never = float("inf")
    assert _relists(read(TRACES / "relist-v1.7.4")) == {
        ("node-a", "kubearmorclusterpolicies"): 16.0,
        ("node-a", "nodes"): 16.5,
        ("node-a", "configmaps"): 16.9,
        ("node-a", "pods"): 17.6,
        ("node-a", "namespaces"): 20.6,
        ("node-a", "kubearmorpolicies"): never,
        ("node-a", "kubearmorhostpolicies"): never,
        ("node-b", "kubearmorclusterpolicies"): 17.3,
        ("node-b", "namespaces"): 19.1,
        ("node-b", "configmaps"): 20.5,
        ("node-b", "nodes"): 20.9,
        ("node-b", "pods"): 22.0,
        ("node-b", "kubearmorpolicies"): never,
        ("node-b", "kubearmorhostpolicies"): never,
    }


@pytest.mark.parametrize("name", COMPARED.keys() - {"relist-v1.7.4"})
def test_no_informer_lists_anew_while_the_api_server_is_there(name: str) -> None:
    assert _relists(read(TRACES / name)) == {}


_NOT_ITS_OWN = re.compile(r"\t|github\.com/|k8s\.io/|(Added|Deleted) .*client")
_OF_A_RUN = re.compile(r'time="[^"]+"|0x[0-9a-f]+')


def _said(texts: Iterable[str]) -> Counter[str]:
    """Count what was said, but for stack traces, who listened, and what no two runs share."""
    return Counter(_OF_A_RUN.sub("", text) for text in texts if not _NOT_ITS_OWN.match(text))


@pytest.mark.parametrize("name", WORD_FOR_WORD)
def test_the_whole_text_is_written_as_recorded(name: str) -> None:
    replay = Replay(read(TRACES / name))
    replay.play()
    for recorded, emulated in replay.texts():
        assert _said(emulated) == _said(recorded)
