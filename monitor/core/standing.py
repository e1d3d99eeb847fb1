"""The short cut: whether a container's last write surely brought all that it should have.

Nearly every container at nearly every moment is simply covered. Then one comparison answers for all
its policies: the last write against the latest of the lines by which the daemon learned them, which
the containers of a node share.
"""

from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.expectation import Expectation
from monitor.core.judgement import NodeView, Surroundings
from monitor.core.prediction import predict


def stand(
    container: ContainerRecord,
    keys: frozenset[PolicyKey],
    view: NodeView,
    *,
    surroundings: Surroundings,
    expectation: Expectation,
) -> bool:
    """Whether all these policies of a container are surely in force, told by its last write alone.

    The short cut for what `judge` would answer with `applied`, one policy after the other.
    """
    incarnation = view.incarnation
    if incarnation is None or view.phase != "ready" or incarnation.enforcer in {"", "SELinux"}:
        return False
    evidence = incarnation.container(container.id)
    if evidence is None or not evidence.map_is_live:
        return False
    if evidence.raced_from or evidence.has_stopped:
        return False
    latest = _latest_line(
        keys,
        view,
        incarnation,
        container=container,
        surroundings=surroundings,
        expectation=expectation,
    )
    if latest is None:
        return False
    return latest < evidence.previous_write or latest < incarnation.basis(
        evidence, container.pod.key
    )


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
    alike = behaviour is not None and behaviour.refreshes_namespaces
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
            and key not in incarnation.rejected
            and predict(
                policy,
                learned=learned,
                behaviour=view.behaviour,
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
