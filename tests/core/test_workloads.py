"""Which workload a Pod belongs to, and what holds a workload back at a gate."""

from typing import Any

import pytest

from monitor.core.kubernetes import (
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Metadata,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    Terminated,
)
from monitor.core.workloads import Missing, Started, Weighed, belonging, weigh, workload_of


def owned(kind: str, name: str, *, controller: bool = True, **labels: str) -> Pod:
    owner = OwnerReference(kind=kind, name=name, controller=controller)
    spelled = {key.replace("_", "-"): value for key, value in labels.items()}
    return Pod(metadata=Metadata(uid="u", name="pod", labels=spelled, owner_references=[owner]))


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        (owned("ReplicaSet", "web-59f", pod_template_hash="59f"), "Deployment/web"),
        (owned("ReplicaSet", "web-59f-59f", pod_template_hash="59f"), "Deployment/web-59f"),
        (owned("ReplicaSet", "web-59f"), "ReplicaSet/web-59f"),
        (owned("ReplicaSet", "web-59f", pod_template_hash="77c"), "ReplicaSet/web-59f"),
        (owned("StatefulSet", "db"), "StatefulSet/db"),
        (owned("DaemonSet", "agent"), "DaemonSet/agent"),
        (owned("Job", "migrate"), "Job/migrate"),
        (owned("StatefulSet", "db", controller=False), "Pod/pod"),
        (Pod(metadata=Metadata(uid="u", name="bare")), "Pod/bare"),
    ],
)
def test_a_pod_belongs_to_what_controls_it(pod: Pod, workload: str) -> None:
    assert workload_of(pod) == workload


def pod(name: str, **changes: Any) -> Pod:
    """Make a Pod of the StatefulSet db in shop, with two containers."""
    metadata = {
        "uid": name,
        "name": name,
        "namespace": "shop",
        "owner_references": [OwnerReference(kind="StatefulSet", name="db", controller=True)],
    }
    status = PodStatus(
        phase=changes.pop("phase", "Running"), container_statuses=changes.pop("statuses", None)
    )
    return Pod(
        metadata=Metadata(**(metadata | changes)),
        spec=PodSpec(
            node_name="node-1", containers=[ContainerSpec(name="a"), ContainerSpec(name="b")]
        ),
        status=status,
    )


@pytest.mark.parametrize(
    ("one", "name", "counts"),
    [
        (pod("db-0"), "db", True),
        (pod("db-0"), "db-0", True),
        (pod("db-0"), "d", False),
        (pod("db-0", namespace="other"), "db", False),
        (pod("db-0", deletion_timestamp="2026-01-01T00:00:00Z"), "db", False),
        (pod("db-0", phase="Succeeded"), "db", False),
        (pod("db-0", phase="Failed"), "db", False),
        (pod("db-0", phase="Pending"), "db", True),
        (pod("db-0", owner_references=None), "db", False),
    ],
)
def test_pods_that_count_are_those_that_stay(
    one: Pod,
    name: str,
    counts: bool,  # noqa: FBT001
) -> None:
    assert list(belonging([one], namespace="shop", name=name)) == ([one] if counts else [])


def started(
    pod: str, container: str, verdict: str = "covered", cause: str | None = None
) -> Started:
    return Started("node-1", pod, container, "StatefulSet/db", verdict, cause)  # type: ignore[arg-type]


BOTH = [started("db-0", "a"), started("db-0", "b")]


def test_a_workload_is_let_through_when_all_its_containers_are_covered() -> None:
    assert weigh(BOTH, name="db", pods=[pod("db-0")], allowed=()) == Weighed((), 2, 1)


@pytest.mark.parametrize(
    "verdict", ["pending", "gap", "lost", "unknown", "exempt", "unsupported", "unpoliced"]
)
def test_every_other_verdict_holds_it_back(verdict: str) -> None:
    seen = [BOTH[0], started("db-0", "b", verdict, "why")]
    weighed = weigh(seen, name="db", pods=[pod("db-0")], allowed=())
    assert weighed == Weighed((Missing("node-1", "db-0", "b", verdict, "why"),), 2, 1)


def test_what_is_allowed_passes() -> None:
    seen = [started("db-0", "a", "exempt"), started("db-0", "b", "gap")]
    weighed = weigh(seen, name="db", pods=None, allowed=("exempt", "unsupported"))
    assert weighed.held == (Missing("node-1", "db-0", "b", "gap"),)


def test_a_container_that_does_not_run_yet_holds_it_back() -> None:
    weighed = weigh(BOTH[:1], name="db", pods=[pod("db-0")], allowed=())
    assert weighed == Weighed((Missing("node-1", "db-0", "b", ""),), 2, 1)


def test_a_container_that_ended_well_needs_no_protection() -> None:
    ended = ContainerStatus(name="b", state=ContainerState(terminated=Terminated(exit_code=0)))
    weighed = weigh(BOTH[:1], name="db", pods=[pod("db-0", statuses=[ended])], allowed=())
    assert weighed == Weighed((), 1, 1)


def test_a_container_that_failed_holds_it_back() -> None:
    ended = ContainerStatus(name="b", state=ContainerState(terminated=Terminated(exit_code=1)))
    weighed = weigh(BOTH[:1], name="db", pods=[pod("db-0", statuses=[ended])], allowed=())
    assert weighed.held == (Missing("node-1", "db-0", "b", ""),)


def test_containers_of_pods_that_are_leaving_do_not_count() -> None:
    seen = [*BOTH, started("db-1", "a", "gap")]
    assert weigh(seen, name="db", pods=[pod("db-0")], allowed=()) == Weighed((), 2, 1)


def test_containers_of_other_workloads_do_not_count() -> None:
    stranger = Started("node-1", "dbx-0", "a", "StatefulSet/dbx", "gap")
    assert weigh([*BOTH, stranger], name="db", pods=None, allowed=()) == Weighed((), 2, 1)


def test_no_pods_is_nothing_to_let_through() -> None:
    assert weigh([], name="db", pods=[], allowed=()) == Weighed((), 0, 0)
