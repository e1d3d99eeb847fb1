"""How long a container waited for its rules, and the stages of the way (design, section 4)."""

from collections.abc import Iterable, Mapping

from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.expectation import Expectation
from monitor.core.exposure import exposure_of
from monitor.core.instants import difference, later
from monitor.core.model import ContainerTiming, Interval, PolicyReference, ProofTiming
from monitor.core.policies import PolicyState
from monitor.core.verdict import Judged


def delay_of(container: ContainerRecord, key: PolicyKey) -> Interval | None:
    """The protection delay of a pair, as far as it was timed."""
    if container.delay is not None and key in container.delayed:
        return container.delay
    return container.delays.get(key) if container.delays else None


def note_delays(
    container: ContainerRecord,
    view: NodeView,
    judged: Mapping[PolicyKey, Judged],
    fresh: Iterable[PolicyKey],
    *,
    expectation: Expectation,
) -> None:
    """Note the delays of first writes, if the daemon was ready when they were needed.

    Rewrites after a daemon's restart are its recovery, not the policy's delay.
    """
    delays: dict[PolicyKey, Interval] = {}
    known: dict[tuple[Interval, Interval], Interval] = {}
    present, started = view.phase_since if view.phase == "ready" else None, container.started
    for key in fresh:
        verdict, changed = judged[key], expectation.policies[key].changed
        written = verdict.written
        ready = present if verdict.under is None else _initialized(view, verdict.under)
        needed = started if changed[1] <= started[0] else later(started, changed)
        if written is None or ready is None or ready[1] > needed[1]:
            continue
        if (written, needed) not in known:
            known[written, needed] = difference(written, needed)
        delays[key] = known[written, needed]
    if not delays:
        return
    if container.delay is None:
        container.delay = next(iter(delays.values()))
        together = frozenset(key for key, delay in delays.items() if delay == container.delay)
        container.delayed = expectation.common(container.expected.members, together)
        delays = {key: delay for key, delay in delays.items() if key not in together}
    if delays:
        container.delays = delays | (container.delays or {})


def _initialized(view: NodeView, identity: tuple[str, int]) -> Interval | None:
    """Since when an incarnation of the node's daemon had initialised; None if it had not."""
    incarnation = view.node.incarnations.get(identity)
    return incarnation.initialized_at if incarnation is not None else None


def needed_since(container: ContainerRecord, policy: PolicyState) -> Interval:
    """Since when a container needs a policy's present revision."""
    before = policy.changed[1] <= container.started[0]
    return container.started if before else later(container.started, policy.changed)


def correct_delay(container: ContainerRecord, key: PolicyKey, delay: Interval) -> None:
    """The first write of a pair that was timed turns out to have come sooner."""
    if delay_of(container, key) is not None:
        container.delayed = container.delayed - {key}
        container.delays = (container.delays or {}) | {key: delay}


def container_timing(
    container: ContainerRecord, view: NodeView, applied: Interval
) -> ContainerTiming:
    """What is known of a container's wait once its last expected policy is applied."""
    delays = [*(container.delays or {}).values()]
    if container.delay is not None:
        delays.append(container.delay)
    running = view.incarnation.running if view.incarnation else None
    if container.recovering:
        delays = []
    return ContainerTiming(
        container_id=container.id,
        node=container.node,
        namespace=container.pod.namespace,
        pod=container.pod.name,
        container=container.name,
        policies=container.expected.references,
        applied=applied,
        protection_delay_seconds=max(delays, default=None),
        recovery_delay_seconds=difference(applied, running) if running and not delays else None,
        exposure_seconds=exposure_of(container),
        stages=_stages(container, view, applied),
    )


def proof_timing(
    container: ContainerRecord, view: NodeView, reference: PolicyReference, proven: Interval
) -> ProofTiming:
    """The last stages of a container's way: its rules, and the first report of their effect."""
    stages = {"containerStarted": container.started, "firstProof": proven}
    incarnation = view.incarnation
    evidence = incarnation.container(container.id) if incarnation else None
    if evidence is not None and evidence.map_is_live:
        stages["rulesWritten"] = view.node.clock.instant(evidence.created)
    return ProofTiming(
        container_id=container.id,
        node=container.node,
        namespace=container.pod.namespace,
        pod=container.pod.name,
        container=container.name,
        policy=reference,
        stages=stages,
    )


def _stages(container: ContainerRecord, view: NodeView, applied: Interval) -> dict[str, Interval]:
    """The instants of a container's way to its rules, those that are known."""
    stages = {
        "containerStarted": container.started,
        "idPublished": (container.started[0], container.published),
        "rulesWritten": applied,
    }
    if container.pod.created is not None:
        stages["created"] = container.pod.created
    if container.pod.scheduled is not None:
        stages["scheduled"] = container.pod.scheduled
    incarnation = view.incarnation
    evidence = incarnation.container(container.id) if incarnation else None
    if incarnation is None or evidence is None:
        return stages
    seen = incarnation.pod_line_before(container.pod.key, evidence.latest_write)
    if seen:
        stages["daemonSawPod"] = view.node.clock.instant(seen)
    if evidence.registered:
        stages["runtimeRegistered"] = view.node.clock.instant(evidence.registered)
    return stages
