"""The objects of a cluster as they were last seen."""

from typing import TypeVar, cast

from monitor.core.kubernetes import POLICY_KINDS, Object, Policy, Resource
from monitor.core.model import Changed, Listed, Observation

T = TypeVar("T", bound=Object)


class Objects:
    """Folds lists and watch events; a list replaces."""

    def __init__(self) -> None:
        self._found: dict[Resource, dict[str, Object]] = {}

    def observe(self, observation: Observation | None) -> None:
        """Take an observation; what is no list and no watch event is passed over."""
        if isinstance(observation, Listed):
            found = {item.metadata.uid: item for item in observation.items}
            self._found[observation.resource] = found
        elif isinstance(observation, Changed):
            known = self._found.setdefault(observation.resource, {})
            if observation.type == "DELETED":
                known.pop(observation.object.metadata.uid, None)
            else:
                known[observation.object.metadata.uid] = observation.object

    @property
    def resources(self) -> frozenset[Resource]:
        """The resources of which anything was seen, were it an empty list."""
        return frozenset(self._found)

    def of(self, resource: Resource, kind: type[T]) -> tuple[T, ...]:
        """The objects of a resource; `kind` is their type."""
        found = self._found.get(resource, {})
        return tuple(one for one in found.values() if isinstance(one, kind))

    @property
    def policies(self) -> tuple[tuple[str, Policy], ...]:
        """Every KubeArmor policy with its kind."""
        return tuple(
            (kind, one)
            for resource, kind in POLICY_KINDS.items()
            for one in self.of(cast("Resource", resource), Policy)
        )
