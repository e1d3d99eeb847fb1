"""Records as the tests of the sinks write them."""

import hashlib
from typing import Any

import msgspec

from monitor.wire.events import Record, Topic

SOURCE = "kubearmor-monitor/test/cluster"


def record(
    key: str = "test/uid/app",
    state: Any = 0,
    *,
    topic: Topic = "gaps",
    subject: str | None = None,
) -> Record:
    """Make a record of one state of one entity; equal arguments make equal records."""
    subject = key if subject is None else subject
    data = None if state is None else msgspec.json.encode({"state": state})
    kind = f"kubearmor-monitor.{topic}.v1"
    digest = hashlib.sha256(f"{kind}\0{subject}\0".encode(errors="replace") + (data or b"-"))
    return Record(
        topic=topic,
        key=key,
        id=digest.hexdigest(),
        type=kind,
        source=SOURCE,
        subject=subject,
        data=data,
    )
