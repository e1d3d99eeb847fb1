"""What could be seen of a node: whether silence says anything, and why it does not."""

from collections.abc import Iterable
from typing import Final

from monitor.core.blindness import Source
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation
from monitor.core.model import Interval
from monitor.core.nodes import NodeState
from monitor.core.policies import PolicyState

EXPIRED: Final = ("certificate has expired", "certificate expired", "expired certificate")


def is_unread(node: NodeState, incarnation: Incarnation, *, since: float) -> bool:
    """Whether some of the incarnation's output since then was not read."""
    if not node.text.up or node.unresolved is not None or not incarnation.lines:
        return True
    return any(hole[1] >= since for hole in incarnation.holes)


def blindness(node: NodeState, incarnation: Incarnation) -> str:
    """The cause of not knowing what the incarnation did."""
    was_read = incarnation.lines > 0 and not incarnation.overheard
    heard = was_read or bool(node.text.outages)
    return "source-outage" if heard else "no-evidence-source"


def is_expired(sources: Iterable[Source | None]) -> bool:
    """Whether one of them is shut out by a certificate that is no longer valid (F47)."""
    return any(
        source is not None
        and not source.up
        and any(words in source.reason.lower() for words in EXPIRED)
        for source in sources
    )


def why_unseen(
    container: ContainerRecord,
    policy: PolicyState,
    node: NodeState,
    incarnation: Incarnation,
    *,
    needed: Interval,
    expired: bool,
    silenced: frozenset[str],
) -> str:
    """Why no proof of a pair was seen where the daemon's output is unread: a cause of unknown.

    `silenced` are the kinds of events that are not watched there, so that Audit rules stay silent.
    """
    if expired:
        return "tls-expired"
    effects = container.effects
    since = needed[0]
    if effects is not None and node.clock.instant(int(effects.throttled_until * 1e9))[1] >= since:
        return "throttled"
    refused = effects.unattributed(policy.rules) if effects is not None else 0.0
    if refused and node.clock.instant(int(refused * 1e9))[1] >= since:
        return "attribution-lost"
    if policy.rules.audited and policy.rules.audited <= silenced:
        return "visibility-off"
    if incarnation.lost_at >= since:
        return "dropped"
    return blindness(node, incarnation)
