"""The verdicts of a container's pairs, taken together.

A container has many policies and most of them share one answer, so questions about all pairs are
asked of the answers that differ.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
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

    `distinct` are the answers that differ; `tell_of_writes`: whether one says when rules were
    written.
    """

    __slots__ = ("by_policy", "distinct", "standing", "tell_of_writes")

    def __init__(
        self, by_policy: Mapping[PolicyKey, Judged], *, standing: frozenset[PolicyKey] = NEVER
    ) -> None:
        self.by_policy = by_policy
        self.standing = standing
        self.distinct = _distinct(by_policy.values())
        self.tell_of_writes = False
        for answer in self.distinct:
            if answer.written is not None:
                self.tell_of_writes = True

    def where(self, holds: Callable[[Judged], bool]) -> Collection[PolicyKey]:
        """The policies for whose answers that holds, in their order."""
        if len(self.distinct) == 1:
            return self.by_policy.keys() if holds(self.distinct[0]) else ()
        those = {id(answer) for answer in self.distinct if holds(answer)}
        if not those:
            return ()
        return [key for key, answer in self.by_policy.items() if id(answer) in those]

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
        if len(self.distinct) == 1:
            only = self.distinct[0]
            asks = only.verdict not in SPARED
            return (_uncovered(_alike(only), self.by_policy, expected),) if asks else ()
        groups: dict[Alike, list[PolicyKey]] = {}
        for key, answer in self.by_policy.items():
            if answer.verdict not in SPARED:
                groups.setdefault(_alike(answer), []).append(key)
        return tuple([_uncovered(alike, keys, expected) for alike, keys in groups.items()])


def _distinct(answers: Collection[Judged]) -> tuple[Judged, ...]:
    """Those that are not one object."""
    listed = list(answers)
    if listed and listed.count(listed[0]) == len(listed):
        return (listed[0],)
    return tuple({id(answer): answer for answer in listed}.values())


def _alike(judged: Judged) -> Alike:
    return judged.verdict, judged.cause, judged.since


def _uncovered(alike: Alike, keys: Iterable[PolicyKey], expected: PolicySet) -> Uncovered:
    verdict, cause, since = alike
    own = tuple(keys)
    # There are many containers, so what they can share they do.
    policies = expected.keys if own == expected.keys else own
    return Uncovered(policies=policies, verdict=verdict, cause=cause, since=since)


def _gravity(judged: Judged) -> tuple[int, int]:
    return SEVERITY[judged.verdict], rank(judged.cause or "unexplained")
