"""What could be seen of a node: whether silence says anything, and why it does not."""

from monitor.core.evidence import Incarnation
from monitor.core.nodes import NodeState


def is_unread(node: NodeState, incarnation: Incarnation, *, since: float) -> bool:
    """Whether some of the incarnation's output since then was not read."""
    if not node.text.up or node.unresolved is not None or not incarnation.lines:
        return True
    return any(hole[1] >= since for hole in incarnation.holes)


def blindness(node: NodeState, incarnation: Incarnation) -> str:
    """The cause of not knowing what the incarnation did."""
    heard = incarnation.lines > 0 or bool(node.text.outages)
    return "source-outage" if heard else "no-evidence-source"
