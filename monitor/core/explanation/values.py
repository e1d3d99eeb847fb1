"""The values that an explanation is made of."""

from typing import Literal, TypeAlias

from msgspec import Struct

from monitor.core.causes import Certainty
from monitor.core.intent import Answer
from monitor.core.model import (
    ContainerCoverage,
    Gap,
    Incident,
    Interval,
    NodeCoverage,
    PairState,
)
from monitor.core.nodes import Phase

Knowledge: TypeAlias = Literal["known", "known-not", "unread"]
Question: TypeAlias = Literal[
    "supported",
    "exempt",
    "objects",
    "daemon",
    "release",
    "policy",
    "effect",
    "enforcer",
    "rules",
    "attachment",
    "pod",
    "runtime",
    "push",
    "map",
    "profile",
    "active",
    "evaluation",
    "silence",
]


class Step(Struct, frozen=True, rename="camel"):
    """One question of the judgement, in its order, with what is known about it.

    `known`: the evidence says so; `known-not`: all that could show it was read, and it is not
    there; `unread`: it may have happened where nobody could look. `source` names what was read, as
    the sources of the report are named; `at` is when it happened. `decides`: no later question can
    change the verdict.
    """

    question: Question
    knowledge: Knowledge
    text: str
    source: str
    at: Interval | None = None
    decides: bool = False


class Told(Struct, frozen=True):
    """A fact of the daemon's story; `at` is when the line was printed that it follows from."""

    text: str
    at: Interval | None = None


class Prediction(Struct, frozen=True):
    """What the daemon of that release does with the policy, by the order of its own lines.

    `attached` is None where that is open; `story` is how it came about.
    """

    attached: bool | None
    release: str | None
    story: tuple[Told, ...]


class Meanings(Struct, frozen=True):
    """The three meanings of a policy's selector, for one container or node (design, section 2)."""

    intended: Answer
    expected: Answer
    predicted: Prediction


class PairExplanation(PairState, frozen=True, kw_only=True, rename="camel"):
    """A policy as it stands on one container or node, and why.

    `what`, `certainty`, `remedy` and `runbook` are those of the cause, `remedy` for the release of
    the node's daemon, with its price; `gap` and `incident` are ids of what is open.
    """

    meanings: Meanings
    trail: tuple[Step, ...]
    certainty: Certainty | None = None
    what: str | None = None
    remedy: str | None = None
    runbook: str | None = None
    gap: str | None = None
    incident: str | None = None


class OtherPolicy(Struct, frozen=True, rename="camel"):
    """A policy that should not protect it, and is told of all the same: `text` says why.

    A reader of its manifest would expect it here, or this node's daemon attached it.
    """

    kind: str
    namespace: str
    name: str
    generation: int
    meanings: Meanings
    text: str


class ContainerExplanation(ContainerCoverage, frozen=True, kw_only=True, rename="camel"):
    """A container as it stands at `at`, with all that led to it.

    `gaps` are its own, also those that are over; `incidents` those that they belong to.
    """

    at: float
    policies: tuple[PairExplanation, ...]
    others: tuple[OtherPolicy, ...]
    gaps: tuple[Gap, ...]
    incidents: tuple[Incident, ...]


class NodeExplanation(NodeCoverage, frozen=True, kw_only=True, rename="camel"):
    """A node as it stands at `at`, with all that led to the verdicts of its policies.

    Its daemon has been in its `phase` since `since`. `what`, `certainty`, `remedy` and `runbook`
    are those of the node's own cause. A policy has no gap and no incident of its own.
    """

    at: float
    phase: Phase
    since: Interval | None
    policies: tuple[PairExplanation, ...]
    others: tuple[OtherPolicy, ...]
    certainty: Certainty | None = None
    what: str | None = None
    remedy: str | None = None
    runbook: str | None = None
