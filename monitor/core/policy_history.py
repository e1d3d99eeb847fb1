"""The policies that are and those that were: a daemon may go on listing what was deleted."""

from collections.abc import Iterator
from typing import Final

from monitor.core.evidence import PolicyKey
from monitor.core.kubernetes import Policy, Resource
from monitor.core.policies import CONTAINER_KINDS, NETWORK_POLICY, PolicyState, kind_of

DELETED_KEPT: Final = 4_096


class PolicyHistory:
    """Keeps `present` as the API server shows it, and in `deleted` what was there before.

    `deleted_names`: when a policy of a name was last deleted; `changed_at`: when a policy was last
    seen to change; `of_hosts`: those that are about nodes, not containers, by key.
    """

    def __init__(self, present: dict[PolicyKey, PolicyState]) -> None:
        self.present = present
        self.deleted: dict[PolicyKey, PolicyState] = {}
        self.deleted_names: dict[str, float] = {}
        self.changed_at = 0.0
        self.of_hosts: tuple[PolicyState, ...] = ()
        self.deleted_of_hosts: tuple[PolicyState, ...] = ()
        self.has_network_policies = False
        self._ambiguous: frozenset[str] | None = None
        self._changed: set[PolicyKey] = set()

    def take(
        self, resource: Resource, item: Policy, *, at: float, deleted: bool, listed: bool
    ) -> None:
        """Take a policy's state, or its deletion."""
        kind = kind_of(resource)
        assert kind is not None
        key = (kind, item.metadata.namespace, item.metadata.name)
        known = self.present.get(key)
        same = known is not None and known.uid == item.metadata.uid
        if deleted:
            if known is None or not same:
                return
            known.deleted_at = at
            self._bury(self.present.pop(key), at=at)
        elif known is not None and same:
            if not known.modify(item, at=at, listed=listed):
                return
        else:
            if known is not None:
                self._bury(known, at=at)
            state = self.present[key] = PolicyState(kind=kind, policy=item, at=at, listed=listed)
            if key in self.deleted:
                state.succeed(self.deleted[key], at=at)
        self._changed.add(key)
        self.changed_at = max(self.changed_at, at)

    def _bury(self, policy: PolicyState, *, at: float) -> None:
        """Remember a policy that was deleted: a daemon may go on listing it."""
        self.deleted.pop(policy.key, None)
        self.deleted[policy.key] = policy
        self.deleted_names[policy.name] = at
        while len(self.deleted) > DELETED_KEPT:
            oldest = self.deleted.pop(next(iter(self.deleted)))
            self.deleted_names.pop(oldest.name, None)

    def settle(self) -> frozenset[PolicyKey]:
        """Bring what follows from the policies up to date; which of them changed since before."""
        changed, self._changed = frozenset(self._changed), set()
        if changed:
            self._ambiguous = None
        if any(key[0] not in CONTAINER_KINDS for key in changed):
            self._settle_those_of_hosts()
        return changed

    def _settle_those_of_hosts(self) -> None:
        def ordered(policies: dict[PolicyKey, PolicyState]) -> list[PolicyState]:
            return [policies[key] for key in sorted(policies) if key[0] not in CONTAINER_KINDS]

        self.of_hosts = tuple(ordered(self.present))
        self.deleted_of_hosts = tuple(
            policy for policy in ordered(self.deleted) if policy.key not in self.present
        )
        self.has_network_policies = any(p.kind == NETWORK_POLICY for p in self.of_hosts)

    def ambiguous_names(self) -> frozenset[str]:
        """The names that a namespaced and a cluster policy share, or shared (dossier 5.6)."""
        if self._ambiguous is None:
            names: dict[str, set[str]] = {}
            for kind, _namespace, name in (*self.present, *self.deleted):
                names.setdefault(name, set()).add(kind)
            both = set(CONTAINER_KINDS)
            self._ambiguous = frozenset(name for name, kinds in names.items() if both <= kinds)
        return self._ambiguous

    def named(self, name: str) -> Iterator[PolicyState]:
        """The policies of that name; a deleted one only where none took its place."""
        for key, policy in (self.deleted | self.present).items():
            if key[2] == name and key[0] in CONTAINER_KINDS:
                yield policy
