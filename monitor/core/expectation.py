"""Which policies should protect a container: equal answers are one object, computed once.

Verdicts are about the expected set: KubeArmor's own meaning of selectors as its newest release
applies it, without its defects (design, section 2).
"""

from collections.abc import Iterable
from typing import Final

from monitor.core.evidence import PolicyKey
from monitor.core.identity import digest
from monitor.core.model import PolicyReference
from monitor.core.policies import CONTAINER_KINDS, PolicyState


class PolicySet:
    """A set of policy revisions that some containers expect."""

    __slots__ = ("announced", "enforced", "id", "keys", "members", "references")

    def __init__(self, policies: Iterable[PolicyState]) -> None:
        ordered = sorted(policies, key=lambda policy: policy.key)
        self.keys = tuple(policy.key for policy in ordered)
        self.members = frozenset(self.keys)
        self.references: tuple[PolicyReference, ...] = tuple(p.reference for p in ordered)
        self.enforced = all(policy.rules.enforced for policy in ordered)
        self.id = digest(
            "policy-set",
            *(f"{r.kind}/{r.namespace}/{r.name}@{r.generation}" for r in self.references),
        )
        self.announced = False


NOTHING: Final = PolicySet(())


class Expectation:
    """The policies that exist, and what follows from them for a container."""

    def __init__(self) -> None:
        self.policies: dict[PolicyKey, PolicyState] = {}
        self.version = 0
        self._answers: dict[tuple[str, frozenset[str], str], PolicySet] = {}
        self._sets: dict[tuple[PolicyReference, ...], PolicySet] = {}
        self._intersections: dict[
            tuple[frozenset[PolicyKey], frozenset[PolicyKey]], frozenset[PolicyKey]
        ] = {}

    def changed(self) -> None:
        """Forget the answers: a policy came, went or was revised."""
        self.version += 1
        self._answers.clear()
        self._intersections.clear()
        self._sets = {
            references: kept
            for references, kept in self._sets.items()
            if all(self._is_current(reference) for reference in references)
        }

    def _is_current(self, reference: PolicyReference) -> bool:
        policy = self.policies.get((reference.kind, reference.namespace, reference.name))
        return policy is not None and policy.generation == reference.generation

    def of(self, *, namespace: str, identities: frozenset[str], container: str) -> PolicySet:
        """The policies that should protect such a container."""
        question = (namespace, identities, container)
        found = self._answers.get(question)
        if found is None:
            selected = PolicySet(
                policy
                for policy in self.policies.values()
                if policy.kind in CONTAINER_KINDS
                and policy.selector.selects(
                    namespace=namespace, identities=identities, container=container
                )
            )
            found = self._sets.setdefault(selected.references, selected)
            self._answers[question] = found
        return found

    def common(
        self, some: frozenset[PolicyKey], others: frozenset[PolicyKey]
    ) -> frozenset[PolicyKey]:
        """What two sets share; equal questions get one object, the first set where it is all."""
        if some is others:
            return some
        found = self._intersections.get((some, others))
        if found is None:
            found = some if some <= others else some & others
            self._intersections[some, others] = found
        return found
