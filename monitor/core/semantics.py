"""What a KubeArmor release does with the same objects: one table of switches.

`Behaviour` is looked up by the release that a daemon runs. A release that nobody has described is
None: then a policy is predicted only where every described release would attach it.
"""

import re
from typing import Final

from msgspec import Struct

_SEMVER: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+.].*)?$")


class Behaviour(Struct, frozen=True, gc=False):
    """`refreshes_namespaces`: a Pod is held against the namespaces of now.

    Upstream issue 2099, dossier 7.6: v1.5.7 refreshes a copy of the list and discards it.
    """

    refreshes_namespaces: bool


_LATEST: Final = Behaviour(refreshes_namespaces=True)
_V1_5_7: Final = Behaviour(refreshes_namespaces=False)


def parse(release: str) -> tuple[int, int, int] | None:
    """Split a release or an image tag; None for what is no version (`latest`, a digest)."""
    match = _SEMVER.match(release)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def behaviour(release: str | None) -> Behaviour | None:
    """What that release does; None where it is not known or not described."""
    version = parse(release) if release else None
    if version is None:
        return None
    if version >= (1, 6, 0):
        return _LATEST
    return _V1_5_7 if version == (1, 5, 7) else None
