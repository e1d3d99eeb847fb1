"""From what the core announces to the records that Kafka, JSON lines and streams carry.

CloudEvents 1.0: `type` is `kubearmor-monitor.<name>.v1`, `source` the cluster and scope, `id` the
SHA-256 of type, subject and canonical data. The data holds no processing time, so equal facts have
equal ids (design, 6.4).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import orjson
from msgspec import Raw, Struct, json

from monitor.core.model import (
    Announcement,
    ContainerGone,
    ContainerTiming,
    CoverageState,
    Finding,
    Gap,
    Incident,
    PolicySetState,
    PolicyTiming,
    ProofTiming,
    SourceState,
)
from monitor.wire.report import plain

Topic: TypeAlias = Literal["timing", "gaps", "incidents", "findings", "coverage", "health"]

TYPE_PREFIX: Final = "kubearmor-monitor"


class Record(Struct, frozen=True):
    """One CloudEvent on its way: `data` is JSON, None is a tombstone of `key`.

    `topic` has no prefix; `key` is also the `partitionkey`; `source` as CloudEvents means it.
    """

    topic: Topic
    key: str
    id: str
    type: str
    source: str
    subject: str
    data: bytes | None


class Translation:
    """Announcements as records of one cluster, in the order in which they must be sent."""

    def __init__(self, *, cluster: str, scope: str = "cluster") -> None:
        self._cluster = cluster
        self._source = f"/kubearmor-monitor/{cluster}/{scope}"

    def __call__(self, announcement: Announcement) -> Sequence[Record]:
        """Return the records of one announcement."""
        if isinstance(announcement, ContainerGone):
            return [self._tombstone(announcement)]
        topic, name, key = self._address(announcement)
        return [self._record(topic=topic, name=name, key=key, members=plain(announcement))]

    def _address(
        self, announcement: Announcement
    ) -> tuple[Topic, str, str]:  # a table in the form of a match
        """Topic, event name and key (design, 6.4)."""
        match announcement:
            case CoverageState(pod_uid=pod_uid, container=container):
                return "coverage", "coverage", f"{self._cluster}/{pod_uid}/{container}"
            case PolicySetState(id=identity):
                return "coverage", "policy-set", f"{self._cluster}/policy-set/{identity}"
            case Gap(container_id=container_id):
                return "gaps", "gap", f"{self._cluster}/{container_id}"
            case Incident(id=identity):
                return "incidents", "incident", identity
            case Finding(id=identity):
                return "findings", "finding", identity
            case ContainerTiming(container_id=container_id):
                return "timing", "container-timing", f"{self._cluster}/{container_id}"
            case PolicyTiming(policy=policy, node=node):
                name = f"{policy.kind}/{policy.namespace}/{policy.name}"
                return "timing", "policy-timing", f"{self._cluster}/{name}/{node}"
            case ProofTiming(container_id=container_id):
                return "timing", "proof-timing", f"{self._cluster}/{container_id}"
            case SourceState(name=name):
                return "health", "source", f"{self._cluster}/{name}"
        raise TypeError(f"no record for {type(announcement).__name__}")

    def _tombstone(self, gone: ContainerGone) -> Record:
        key = f"{self._cluster}/{gone.pod_uid}/{gone.container}"
        event = f"{TYPE_PREFIX}.coverage.v1"
        return Record(
            topic="coverage",
            key=key,
            id=hashlib.sha256(f"{event}\n{key}\n{gone.container_id}".encode()).hexdigest(),
            type=event,
            source=self._source,
            subject=key,
            data=None,
        )

    def _record(self, *, topic: Topic, name: str, key: str, members: Mapping[str, Any]) -> Record:
        event = f"{TYPE_PREFIX}.{name}.v1"
        data = _canonical(members)
        return Record(
            topic=topic,
            key=key,
            id=hashlib.sha256(f"{event}\n{key}\n".encode() + data).hexdigest(),
            type=event,
            source=self._source,
            subject=key,
            data=data,
        )


def _canonical(members: Mapping[str, Any]) -> bytes:
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


def structured(record: Record, prefix: str) -> bytes:
    """Return the record as one structured CloudEvent in JSON, with the member `topic`."""
    event = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source,
        "type": record.type,
        "subject": record.subject,
        "partitionkey": record.key,
        "topic": prefix + record.topic,
        "datacontenttype": "application/json",
        "data": None if record.data is None else Raw(record.data),
    }
    return json.encode(event)


def headers(record: Record) -> list[tuple[str, bytes]]:
    """Return the attributes as Kafka headers: CloudEvents' binary mode."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", record.id.encode()),
        ("ce_source", record.source.encode()),
        ("ce_type", record.type.encode()),
        ("ce_subject", record.subject.encode()),
        ("ce_partitionkey", record.key.encode()),
        ("content-type", b"application/json"),
    ]
