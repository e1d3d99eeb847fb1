"""What a KubeArmor release does with host and network policies: one table of switches.

Dossier sections 5.4, 5.5, 10.5 and 12.12. A release that nobody has described is None: then a
policy is predicted only where every described release would attach it.
"""

from typing import Final

from msgspec import Struct

from monitor.core.semantics import parse

KUBERNETES_HOST: Final = "kubernetes.io/hostname"
KUBEARMOR_HOST: Final = "kubearmor.io/hostname"
CONTAINER_NAME: Final = "kubearmor.io/container.name"


class HostBehaviour(Struct, frozen=True, gc=False):
    """The switches.

    - `names_hosts`: host names may be lists or `*`, and `…/hostnamereg` is a pattern (5.4);
    - `pattern_keys`: a label with such a key is taken, key and all, for a pattern, which a node
      without that key satisfies (12.12);
    - `network_policies`: they exist (5.5); `network_selects_pods`: they can select Pods, and every
      Pod event has them evaluated anew.
    """

    names_hosts: bool
    pattern_keys: tuple[str, ...]
    network_policies: bool
    network_selects_pods: bool


_TABLE: Final = (
    (
        (1, 4, 0),
        HostBehaviour(
            names_hosts=False,
            pattern_keys=(CONTAINER_NAME, KUBEARMOR_HOST),
            network_policies=False,
            network_selects_pods=False,
        ),
    ),
    (
        (1, 6, 14),
        HostBehaviour(
            names_hosts=False,
            pattern_keys=(CONTAINER_NAME, KUBEARMOR_HOST, KUBERNETES_HOST),
            network_policies=True,
            network_selects_pods=False,
        ),
    ),
    (
        (1, 7, 4),
        HostBehaviour(
            names_hosts=True,
            pattern_keys=(CONTAINER_NAME,),
            network_policies=True,
            network_selects_pods=True,
        ),
    ),
)
DESCRIBED: Final = tuple(behaviour for _, behaviour in _TABLE)
NEWEST: Final = DESCRIBED[-1]


def host_behaviour(release: str | None) -> HostBehaviour | None:
    """What that release does; None where it is not known or not described."""
    version = parse(release) if release else None
    if version is None:
        return None
    return next((found for since, found in reversed(_TABLE) if version >= since), None)
