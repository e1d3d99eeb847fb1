"""Where a policy's effect was reported before the lines were read that show it being written.

Alerts and the daemon's output come by different ways. Until the lines have come, the first report
of an effect tells when the rules were there at the latest; with them the delay, the exposure and
the gap end where they would have ended had the lines been heard first.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from monitor.core.apparmor import APPARMOR, profile_of
from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.exposure import exposed_since, uncovered_by_policy
from monitor.core.instants import difference
from monitor.core.model import Interval
from monitor.core.policies import PolicyState
from monitor.core.timing import correct_delay, needed_since
from monitor.core.verdict import Judged


class EffectFirst(Struct, frozen=True, gc=False):
    """A pair that is known to be covered only by its effect, and since when it had not been."""

    since: Interval
    seen: Interval


def note_effects(
    container: ContainerRecord,
    judged: Mapping[PolicyKey, Judged],
    view: NodeView,
    *,
    policies: Mapping[PolicyKey, PolicyState],
) -> None:
    """Note which pairs this judgement covers by their effect alone, while lines may yet come."""
    if not view.followed:
        return
    noted = container.effect_first or {}
    exposed = uncovered_by_policy(container)
    for key, verdict in judged.items():
        if verdict.grade != "proven" or verdict.written is None or key in noted:
            continue
        since = exposed_since(container, policies[key], view, exposed=exposed)
        if since is not None and _awaits_lines(container, policies[key], view, verdict):
            noted[key] = EffectFirst(since=since, seen=verdict.written)
    container.effect_first = noted or None


def corrected(
    container: ContainerRecord,
    judged: Mapping[PolicyKey, Judged],
    view: NodeView,
    *,
    policies: Mapping[PolicyKey, PolicyState],
) -> Iterator[tuple[PolicyKey, Interval]]:
    """Let go of what lines have told since; yield what was written before its effect was seen."""
    left = dict(container.effect_first or {})
    for key, first in list(left.items()):
        policy, verdict = policies.get(key), judged.get(key)
        if policy is None or verdict is None:
            del left[key]
            continue
        if _awaits_lines(container, policy, view, verdict):
            continue
        del left[key]
        if verdict.written is not None and verdict.written < first.seen:
            needed = needed_since(container, policy)
            correct_delay(container, key, difference(verdict.written, needed))
            if container.exposure is not None:
                container.exposure.correct((first.since, first.seen), until=verdict.written)
            yield key, verdict.written
    container.effect_first = left or None


def _awaits_lines(
    container: ContainerRecord, policy: PolicyState, view: NodeView, judged: Judged
) -> bool:
    """Whether the lines that were read do not yet show the policy being written."""
    incarnation = view.incarnation
    if judged.under is not None:
        incarnation = view.node.incarnations.get(judged.under)
    if incarnation is None:
        return False
    learned = policy.learned(incarnation, view.node.clock)
    if incarnation.enforcer == APPARMOR:
        profile = profile_of(container, incarnation)
        return profile is None or learned is None or profile.written < learned.position
    evidence = incarnation.container(container.id)
    if evidence is None or learned is None or evidence.latest_write < learned.position:
        return True
    return policy.rules.enforced and not evidence.map_is_live
