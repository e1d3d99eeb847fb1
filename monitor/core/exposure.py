"""How long a container's process ran while an expected policy was not in force.

A pair is exposed from when it needs protection, or has lost it, until the rules that bring it. What
counts for a container is the union of its pairs' windows: two policies that are missing at the same
time are one exposure, and in which order the windows become known does not matter. Both ends are
intervals: the least exposure is the union of what was surely exposed, the most that of all that may
have been.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from monitor.core.instants import later, plus
from monitor.core.model import Interval

if TYPE_CHECKING:
    from monitor.core.circumstances import NodeView
    from monitor.core.containers import ContainerRecord, Uncovered
    from monitor.core.evidence import PolicyKey
    from monitor.core.policies import PolicyState
    from monitor.core.verdict import Judged
    from monitor.core.verdicts import Verdicts

Window: TypeAlias = tuple[Interval, Interval]

WINDOWS_KEPT: Final = 16
EXPOSED: Final = frozenset({"gap", "lost"})


class Exposure:
    """The windows of a container that are over; the oldest ones only as their sum.

    `ended`: the seconds of them all, at least and at most.
    """

    __slots__ = ("_before", "_windows", "ended")

    def __init__(self) -> None:
        self._before: Interval = (0.0, 0.0)
        self._windows: tuple[Window, ...] = ()
        self.ended: Interval = (0.0, 0.0)

    def add(self, windows: Iterable[Window]) -> float:
        """Take windows that are over now; return by how many seconds the exposure grew (middle)."""
        before = self.ended
        self._windows = tuple(sorted({*self._windows, *windows}))
        if len(self._windows) > WINDOWS_KEPT:
            half = WINDOWS_KEPT // 2
            old, self._windows = self._windows[:half], self._windows[half:]
            self._before = plus(self._before, _union(old))
        self.ended = plus(self._before, _union(self._windows))
        return (sum(self.ended) - sum(before)) / 2

    def correct(self, window: Window, *, until: Interval) -> None:
        """A window that was taken was over sooner; one that is only kept in the sum stays."""
        if window in self._windows:
            kept = {*self._windows, (window[0], until)} - {window}
            self._windows = tuple(sorted(kept))
            self.ended = plus(self._before, _union(self._windows))

    def until(self, at: float, *, open_since: Iterable[Interval]) -> Interval:
        """The exposure with that of the pairs that are still exposed at `at`."""
        standing = [(since, (at, at)) for since in open_since]
        return plus(self._before, _union([*self._windows, *standing]))


NONE: Final = Exposure()


def exposure_of(container: "ContainerRecord", *, at: float | None = None) -> Interval:
    """How long its process ran without an expected policy, up to `at`; None: what is over only."""
    exposure = container.exposure or NONE
    if at is None:
        return exposure.ended
    return exposure.until(at, open_since=open_since(container))


def ended_windows(
    container: "ContainerRecord",
    verdicts: "Verdicts",
    view: "NodeView",
    *,
    policies: "Mapping[PolicyKey, PolicyState]",
    let_go: "Callable[[PolicyKey], float | None]",
    now: float,
) -> Iterator[Window]:
    """The windows that a new judgement ends; the container is still as it was before it.

    `let_go` tells when a pair stopped to be one that counts, if that can be told.
    """
    judged = verdicts.by_policy
    if verdicts.tell_of_writes:
        yield from _written_windows(container, judged, view, policies=policies)
    for group in container.uncovered:
        if group.verdict not in EXPOSED or group.since is None:
            continue
        for key in group.policies:
            still = judged.get(key)
            if still is None or still.verdict in {"exempt", "unsupported"}:
                at = let_go(key)
                until = now if at is None else at
                yield group.since, (until, until)


def _written_windows(
    container: "ContainerRecord",
    judged: "Mapping[PolicyKey, Judged]",
    view: "NodeView",
    *,
    policies: "Mapping[PolicyKey, PolicyState]",
) -> Iterator[Window]:
    """The windows that are over because rules were written."""
    exposed = uncovered_by_policy(container)
    latest: Window | None = None
    for key, verdict in judged.items():
        if verdict.written is None:
            continue
        if verdict.verdict == "covered":
            since = exposed_since(container, policies[key], view, exposed=exposed)
        else:
            since = _exposed_before(verdict, container, policies[key], exposed.get(key))
        # Most pairs of a container have the same window.
        if since is not None and (since, verdict.written) != latest:
            latest = (since, verdict.written)
            yield latest


def uncovered_by_policy(container: "ContainerRecord") -> "dict[PolicyKey, Uncovered]":
    """What was last judged of each pair that was not covered."""
    return {key: group for group in container.uncovered for key in group.policies}


def _exposed_before(
    lost: "Judged", container: "ContainerRecord", policy: "PolicyState", known: "Uncovered | None"
) -> Interval | None:
    """Since when a pair was exposed that has been covered, as is heard when it is lost again.

    None if that it was covered is no news.
    """
    if known is None:
        is_new = policy.key not in container.covered
        return later(container.started, policy.changed) if is_new else None
    if known.verdict not in {"lost", "unknown"}:
        return known.since
    if known.since is not None and lost.since is not None and known.since[1] < lost.since[0]:
        return known.since
    # That rules which only audit were there may be known before the line that dates them.
    return None if policy.rules.enforced else later(container.started, policy.changed)


def exposed_since(
    container: "ContainerRecord",
    policy: "PolicyState",
    view: "NodeView",
    *,
    exposed: "Mapping[PolicyKey, Uncovered]",
) -> Interval | None:
    """Since when a pair that is covered now was not; None if it was all the time.

    `exposed`: those that were not covered at the last judgement.
    """
    known = exposed.get(policy.key)
    if known is not None:
        since = known.since
        if since is None or policy.changed[1] <= since[0]:
            return since
        return later(since, policy.changed)
    if policy.key not in container.covered:
        needed = later(container.started, policy.changed)
        relabelled = (container.since_relabel or {}).get(policy.key)
        return needed if relabelled is None else later(needed, relabelled)
    if view.incarnation is None or container.covered_by in {None, view.incarnation.identity}:
        return None
    assert container.covered_by is not None
    ending = view.node.ending(container.covered_by)
    return ending[1] if ending else None


def open_since(container: "ContainerRecord") -> list[Interval]:
    """Since when pairs of it are exposed that are so now."""
    return [
        group.since
        for group in container.uncovered
        if group.verdict in EXPOSED and group.since is not None
    ]


def _union(windows: Iterable[Window]) -> Interval:
    """The least and the most seconds that windows cover together."""
    ordered = list(windows)
    sure = [(since[1], until[0]) for since, until in ordered]
    possible = [(since[0], until[1]) for since, until in ordered]
    return (_measure(sure), _measure(possible))


def _measure(spans: Iterable[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        if end > max(start, reached):
            total += end - max(start, reached)
            reached = end
    return total
