"""What kubelets publish of containers."""

import hashlib
from datetime import UTC, datetime

from tests.rig.api import Manifest


def container_id(*, pod_uid: str, container: str, restarts: int) -> str:
    """Return the id the fake kubelets give to a container after so many restarts."""
    name = f"{pod_uid}/{container}/{restarts}"
    return f"containerd://{hashlib.sha256(name.encode()).hexdigest()}"


def restarted(status: Manifest, *, uid: str) -> Manifest:
    now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    count = status["restartCount"] + 1
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "containerID": status["containerID"],
        "startedAt": status["state"]["running"]["startedAt"],
        "finishedAt": now,
    }
    return {
        **status,
        "restartCount": count,
        "containerID": container_id(pod_uid=uid, container=status["name"], restarts=count),
        "state": {"running": {"startedAt": now}},
        "lastState": {"terminated": ended},
    }
