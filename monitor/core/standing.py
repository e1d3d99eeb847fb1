"""The short cut: whether a container's writes surely brought all that it should have.

Nearly every container at nearly every moment is simply covered. Then one comparison answers for all
its policies: the last write against the latest of the lines by which the daemon learned them, which
the containers of a node share.
"""

from collections.abc import Collection, Mapping

from monitor.core.circumstances import NodeView, Surroundings
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.expectation import Expectation
from monitor.core.model import Interval
from monitor.core.policies import PolicyState
from monitor.core.prediction import depends_on_labels, predict
from monitor.core.reading import keeps_labels
from monitor.core.verdict import Judged


def stand(
    container: ContainerRecord,
    keys: frozenset[PolicyKey],
    view: NodeView,
    *,
    surroundings: Surroundings,
    expectation: Expectation,
) -> int | None:
    """By which line the daemon knew all these policies, if they are surely in force; else None.

    The short cut for what `judge` would answer with `applied`, one policy after the other.
    """
    incarnation = view.incarnation
    if incarnation is None or view.phase != "ready" or incarnation.enforcer in {"", "SELinux"}:
        return None
    if keeps_labels(container, view.behaviour) or incarnation.overheard:
        return None
    evidence = incarnation.container(container.id)
    if evidence is None or not evidence.map_is_live:
        return None
    if evidence.raced_from or evidence.has_stopped or evidence.zero_namespaces:
        return None
    if evidence.is_incomplete or evidence.shares_namespaces:
        return None
    latest = _latest_line(
        keys,
        view,
        incarnation,
        container=container,
        surroundings=surroundings,
        expectation=expectation,
    )
    if latest is None:
        return None
    carried = latest < evidence.previous_write or latest < incarnation.basis(
        evidence, container.pod.key
    )
    return latest if carried else None


def applied(
    container: ContainerRecord,
    keys: Collection[PolicyKey],
    view: NodeView,
    *,
    latest: int,
    policies: Mapping[PolicyKey, PolicyState],
) -> dict[PolicyKey, Judged]:
    """The verdicts of policies that stand, all known to the daemon by `latest`."""
    incarnation = view.incarnation
    evidence = incarnation.container(container.id) if incarnation else None
    assert incarnation is not None
    assert evidence is not None
    pod, clock = container.pod.key, view.node.clock
    position = incarnation.applied(evidence, pod, learned=latest)
    if position == evidence.created:
        return dict.fromkeys(keys, _covered(clock.instant(position)))
    verdicts: dict[int, Judged] = {}
    judged: dict[PolicyKey, Judged] = {}
    for key in keys:
        learned = policies[key].learned(incarnation, clock)
        assert learned is not None
        position = incarnation.applied(evidence, pod, learned=learned.position)
        if position not in verdicts:
            verdicts[position] = _covered(clock.instant(position))
        judged[key] = verdicts[position]
    return judged


def _covered(written: Interval) -> Judged:
    return Judged("covered", grade="applied", since=written, predicted=True, written=written)


def _latest_line(
    keys: frozenset[PolicyKey],
    view: NodeView,
    incarnation: Incarnation,
    *,
    container: ContainerRecord,
    surroundings: Surroundings,
    expectation: Expectation,
) -> int | None:
    """The position by which the daemon knew all these revisions; None if one is in doubt."""
    behaviour = view.behaviour
    alike = behaviour is not None and behaviour.reaches_young_namespaces
    namespace = "" if alike else container.pod.namespace
    version = (incarnation.knowledge, expectation.version)
    question = (keys, namespace)
    known = incarnation.latest_lines.get(question)
    if known is not None and known[0] == version:
        return known[1]
    latest: int | None = 0
    for key in keys:
        policy = expectation.policies[key]
        learned = policy.learned(incarnation, view.node.clock)
        certain = (
            learned is not None
            and learned.certain
            and policy.rules.enforced
            and policy.name not in surroundings.ambiguous
            and not depends_on_labels(policy, behaviour)
            and predict(
                policy,
                learned=learned,
                behaviour=behaviour,
                incarnation=incarnation,
                clock=view.node.clock,
                namespace=namespace,
                namespace_created=surroundings.namespace_created,
            )
        )
        if not certain or learned is None:
            latest = None
            break
        latest = max(latest or 0, learned.position)
    incarnation.latest_lines[question] = (version, latest)
    return latest
