"""The endpoint lists of recorded daemons are those that the model gives for the same objects.

Where they follow from what was deleted, objects do not tell: left out are a daemon that missed
deletions, and a cluster policy whose deletion took its namesake along.
"""

from typing import Any, Final

import orjson
import pytest

from monitor.core.believed import Believed
from monitor.core.objects import Objects
from monitor.core.semantics import behaviour
from monitor.core.simulation import history, scene_of
from monitor.wire.trace import Trace
from tests.traces.judge import folders, trace_of

OF_DELETIONS: Final = ("relist", "collisions")
FOLDERS: Final = {one.name: one for one in folders(()) if not one.name.startswith(OF_DELETIONS)}


def believed(node: str, release: str, objects: Objects) -> dict[str, list[str]]:
    known = behaviour(release)
    assert known is not None
    daemon = Believed(known)
    for event in history(scene_of(node, objects)):
        daemon.take(event)
    return {
        endpoint.container_id: sorted("/".join(filter(None, key[1:])) for key in endpoint.keys)
        for endpoint in daemon.endpoints
    }


def recorded(node: dict[str, Any]) -> dict[str, list[str]]:
    return {
        container: sorted(endpoint["policies"])
        for endpoint in node["endpoints"]
        for container in endpoint["containers"]
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_a_daemon_of_a_recording_believes_what_the_model_says(name: str) -> None:
    folder = FOLDERS[name]
    objects = Objects()
    moments = iter(Trace(trace_of(folder)))
    moment = next(moments, None)
    for line in (folder / "truth.jsonl").read_bytes().splitlines():
        truth = orjson.loads(line)
        while moment is not None and moment.at <= truth["at"]:
            objects.observe(moment.observation)
            moment = next(moments, None)
        for node, state in truth["nodes"].items():
            ours = believed(node, state["version"], objects)
            assert ours == recorded(state), (truth["label"], node)
