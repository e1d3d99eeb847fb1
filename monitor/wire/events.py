"""From what the core announces to the records that Kafka, JSON lines and streams carry.

CloudEvents 1.0: `type` is `kubearmor-monitor.<name>.v1`, `source` the cluster and scope, `id` the
SHA-256 of type, subject and canonical data. The data holds no processing time, so equal facts have
equal ids (design, 6.4).
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Topic: TypeAlias = Literal["timing", "gaps", "incidents", "findings", "coverage", "health"]


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
