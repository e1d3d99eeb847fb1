"""The verdicts of a container's pairs, taken together.

A container has many policies and most of them share one answer, so questions about all pairs are
asked of the answers that differ.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from monitor.core.causes import rank
from monitor.core.containers import NEVER, Uncovered
from monitor.core.evidence import PolicyKey
from monitor.core.expectation import PolicySet
from monitor.core.model import Interval, Verdict
from monitor.core.verdict import SEVERITY, SPARED, Judged

Alike: TypeAlias = tuple[Verdict, str | None, Interval | None]


class Verdicts:
    """What was judged of a container: the policies that simply stand, and every other pair.

    `distinct` are the answers that differ.
    """

    __slots__ = ("by_policy", "distinct", "standing")

    def __init__(
        self, by_policy: Mapping[PolicyKey, Judged], *, standing: frozenset[PolicyKey] = NEVER
    ) -> None:
        self.by_policy = by_policy
        self.standing = standing
        self.distinct = _distinct(by_policy.values())

    def where(self, holds: Callable[[Judged], bool]) -> Collection[PolicyKey]:
        """The policies for whose answers that holds, in their order."""
        those = {id(answer) for answer in self.distinct if holds(answer)}
        if not those:
            return ()
        if len(those) == len(self.distinct):
            return self.by_policy.keys()
        return [key for key, answer in self.by_policy.items() if id(answer) in those]

    @property
    def tell_of_writes(self) -> bool:
        """Whether it is known of a pair when its rules were written."""
        return any(answer.written is not None for answer in self.distinct)

    def written(self) -> dict[PolicyKey, Interval]:
        """When the rules of each pair were written, of those where that is known."""
        if not self.tell_of_writes:
            return {}
        return {
            key: answer.written
            for key, answer in self.by_policy.items()
            if answer.written is not None
        }

    def worst(self) -> tuple[Verdict, str | None]:
        """The worst pair's verdict and cause; among equals by cause, then by the policy's name."""
        judged = self.by_policy
        if not judged:
            return ("covered" if self.standing else "unpoliced"), None
        gravest = self.distinct[0]
        if len(self.distinct) > 1:
            gravest = judged[min(judged, key=lambda key: (*_gravity(judged[key]), key[2], key))]
        if self.standing and SEVERITY[gravest.verdict] > SEVERITY["covered"]:
            return "covered", None
        return gravest.verdict, gravest.cause

    def uncovered(self, expected: PolicySet) -> tuple[Uncovered, ...]:
        """What is kept of the pairs that are not covered; `expected` lends its keys."""
        if all(answer.verdict in SPARED for answer in self.distinct):
            return ()
        groups: dict[Alike, Collection[PolicyKey]] = {}
        if len(self.distinct) == 1:
            groups[_alike(self.distinct[0])] = self.by_policy.keys()
        else:
            groups = self._grouped()
        return tuple(
            Uncovered(policies=_shared(keys, expected), verdict=verdict, cause=cause, since=since)
            for (verdict, cause, since), keys in groups.items()
        )

    def _grouped(self) -> dict[Alike, Collection[PolicyKey]]:
        groups: dict[Alike, list[PolicyKey]] = {}
        for key, answer in self.by_policy.items():
            if answer.verdict not in SPARED:
                groups.setdefault(_alike(answer), []).append(key)
        return {**groups}


def _distinct(answers: Collection[Judged]) -> tuple[Judged, ...]:
    """Those that are not one object."""
    listed = list(answers)
    if listed and listed.count(listed[0]) == len(listed):
        return (listed[0],)
    return tuple({id(answer): answer for answer in listed}.values())


def _alike(judged: Judged) -> Alike:
    return judged.verdict, judged.cause, judged.since


def _shared(keys: Collection[PolicyKey], expected: PolicySet) -> tuple[PolicyKey, ...]:
    """The keys as a tuple: the set's own where they are the same, as there are many containers."""
    own = tuple(keys)
    return expected.keys if own == expected.keys else own


def _gravity(judged: Judged) -> tuple[int, int]:
    return SEVERITY[judged.verdict], rank(judged.cause or "unexplained")
