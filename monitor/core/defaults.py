"""What a daemon does by default in a namespace: its posture, and what it watches.

The namespace's annotations win over the configuration map, that over what the daemon printed when
it started (dossier 6.1, 6.3); where none of them says anything it is not known.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from monitor.core.evidence import Incarnation

CLASSES: Final = ("file", "network", "capabilities")
POSTURE_ANNOTATIONS: Final[Mapping[str, str]] = {
    kind: f"kubearmor-{kind}-posture" for kind in CLASSES
}
POSTURE_KEYS: Final[Mapping[str, str]] = {
    kind: f"default{kind.capitalize()}Posture" for kind in CLASSES
}
VISIBILITY: Final = "kubearmor-visibility"
UNTRACKED: Final = frozenset({"kube-system", "kubearmor"})
"""The namespaces in which nothing is enforced where nobody says otherwise (6.2)."""
VISIBLE: Final = frozenset({"process", "file", "network", "capabilities"})


class Defaults(Struct, frozen=True):
    """The annotations of a namespace and the configuration map."""

    annotations: Mapping[str, str] = {}
    config: Mapping[str, str] = {}

    def posture(self, kind: str, incarnation: Incarnation) -> str | None:
        """`audit` or `block` for one of `CLASSES`: what becomes of what an allow-list omits."""
        key = POSTURE_KEYS[kind]
        return (
            self.annotations.get(POSTURE_ANNOTATIONS[kind])
            or self.config.get(key)
            or incarnation.settings.get(f"D{key[1:]}")
        )

    def silenced(self, incarnation: Incarnation) -> frozenset[str]:
        """The kinds of events that are not watched there; none if it is not known."""
        visible = (
            self.annotations.get(VISIBILITY)
            or self.config.get("visibility")
            or incarnation.settings.get("Visibility")
        )
        if visible is None:
            return frozenset()
        return VISIBLE - {kind.strip() for kind in visible.split(",")}
