"""What is wrong, or could go wrong, with KubeArmor on a cluster: a list of checks.

Nothing here looks: `Cluster` is what one look has shown, and whatever it could not show makes a
check `unknown`, never `ok`.
"""

from monitor.core.diagnosis import nodes, policies, releases, server, settings
from monitor.core.diagnosis.findings import Check, Cluster

CHECKS = (
    *releases.CHECKS,
    *nodes.CHECKS,
    *settings.CHECKS,
    *policies.CHECKS,
    *server.CHECKS,
)


def diagnose(cluster: Cluster) -> tuple[Check, ...]:
    """Return every check, in the order in which a reader would want them."""
    return tuple(check for examine in CHECKS for check in examine(cluster))
