"""Every cause that a verdict can name and every finding: what happened, and what to do about it.

One table each. The causes stand in the order in which they are preferred within a verdict (after
those that concern a whole node, which always come first): what keeps a node without enforcement,
why a policy does not reach a container, what is lost in time, why rules do not bind, how they were
lost, what is left alone, why it cannot be told. A module holds each part; nothing else decides the
order.

An entry says what shows it and how sure that is, what to do at what price, and what differs between
releases. Its texts are what the board, `explain`, records and runbooks say; tests compare them.
What is to be typed or looked for as it stands is between backticks, on one line. `NAME`,
`NAMESPACE`, `POD` and `NODE` in a command stand for the reader's own; `POD` of `-n kubearmor` is
the node's daemon.
"""

from collections.abc import Mapping
from typing import Final

from monitor.core.causes.blindness import BLINDNESS
from monitor.core.causes.enforcement import ENFORCEMENT
from monitor.core.causes.entry import (
    RUNBOOKS,
    Cause,
    Certainty,
    Channel,
    Entry,
    FindingKind,
    Nature,
    ReleaseRemedy,
    Scope,
)
from monitor.core.causes.exclusion import EXCLUSION
from monitor.core.causes.findings import FINDING_KINDS
from monitor.core.causes.loss import LOSS
from monitor.core.causes.node import NODE
from monitor.core.causes.phrases import RESTART, RESTART_PRICE, TOUCH
from monitor.core.causes.selection import SELECTION
from monitor.core.causes.timing import TIMING

__all__ = [
    "CAUSES",
    "FINDINGS",
    "NODE_SCOPES",
    "RESTART",
    "RESTART_PRICE",
    "RUNBOOKS",
    "TOUCH",
    "Cause",
    "Certainty",
    "Channel",
    "Entry",
    "FindingKind",
    "Nature",
    "ReleaseRemedy",
    "Scope",
    "rank",
]

NODE_SCOPES: Final = ("node", "daemonset")

_TABLE = (*NODE, *SELECTION, *TIMING, *ENFORCEMENT, *LOSS, *EXCLUSION, *BLINDNESS)

CAUSES: Final[Mapping[str, Cause]] = {cause.code: cause for cause in _TABLE}
FINDINGS: Final[Mapping[str, FindingKind]] = {kind.code: kind for kind in FINDING_KINDS}

_BY_PREFERENCE = sorted(_TABLE, key=lambda cause: cause.scope not in NODE_SCOPES)
_RANKS = {cause.code: place for place, cause in enumerate(_BY_PREFERENCE)}


def rank(code: str) -> int:
    """Return a cause's place among those of one verdict: the lowest names the container."""
    return _RANKS[code]
