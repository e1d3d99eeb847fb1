"""The daemons, as Pods come and go."""

import pytest

from monitor.core.kubernetes import (
    ContainerState,
    ContainerStatus,
    Metadata,
    Namespace,
    Pod,
    PodSpec,
    PodStatus,
    Running,
    Terminated,
)
from monitor.core.model import Changed, Listed, SourceUp
from monitor.daemons import Daemon, Roster

DAEMON = {"kubearmor-app": "kubearmor"}
RELAY = {"kubearmor-app": "kubearmor-relay"}
WAITING = ContainerState()
ENDED = ContainerState(terminated=Terminated(container_id="one"))


def pod(
    uid: str,
    *,
    labels: dict[str, str] | None = None,
    namespace: str = "kubearmor",
    node: str = "node-a",
    restart: int = 0,
    running: bool = True,
) -> Pod:
    state = ContainerState(running=Running()) if running else ENDED
    statuses = [
        ContainerStatus(name="sidecar", restart_count=9),
        ContainerStatus(name="kubearmor", restart_count=restart, state=state),
    ]
    return Pod(
        metadata=Metadata(
            uid=uid, name=f"kubearmor-{uid}", namespace=namespace, labels=labels or DAEMON
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(pod_ip="10.0.0.7", container_statuses=statuses),
    )


def daemon(
    uid: str,
    *,
    node: str = "node-a",
    restart: int = 0,
    begun: bool = True,
    running: bool = True,
) -> Daemon:
    return Daemon(
        node=node,
        namespace="kubearmor",
        pod=f"kubearmor-{uid}",
        uid=uid,
        container="kubearmor",
        restart=restart,
        begun=begun,
        running=running,
        address="10.0.0.7",
    )


@pytest.fixture
def told() -> list[frozenset[Daemon]]:
    return []


@pytest.fixture
def roster(told: list[frozenset[Daemon]]) -> Roster:
    return Roster(namespace="kubearmor", changed=told.append)


def test_a_list_names_all_daemons_and_nothing_else(
    roster: Roster, told: list[frozenset[Daemon]]
) -> None:
    pods = (
        pod("a"),
        pod("b", node="node-b"),
        pod("relay", labels=RELAY),
        pod("elsewhere", namespace="shop"),
        pod("unbound", node=""),
    )
    roster.observe(Listed("pods", pods))
    assert told == [frozenset({daemon("a"), daemon("b", node="node-b")})]


def test_a_daemon_is_followed_from_its_start_over_restarts_to_its_end(
    roster: Roster, told: list[frozenset[Daemon]]
) -> None:
    roster.observe(Changed("pods", "ADDED", pod("a", running=False)))
    roster.observe(Changed("pods", "MODIFIED", pod("a")))
    roster.observe(Changed("pods", "MODIFIED", pod("a", restart=1)))
    roster.observe(Changed("pods", "DELETED", pod("a", restart=1)))
    assert told == [
        frozenset({daemon("a", running=False)}),
        frozenset({daemon("a")}),
        frozenset({daemon("a", restart=1)}),
        frozenset(),
    ]


def test_a_second_list_drops_what_it_does_not_name(
    roster: Roster, told: list[frozenset[Daemon]]
) -> None:
    roster.observe(Listed("pods", (pod("a"), pod("b"))))
    roster.observe(Listed("pods", (pod("b"),)))
    assert told[-1] == frozenset({daemon("b")})


def test_nothing_is_told_while_the_daemons_are_the_same(
    roster: Roster, told: list[frozenset[Daemon]]
) -> None:
    roster.observe(Listed("pods", (pod("a"),)))
    roster.observe(Changed("pods", "MODIFIED", pod("a")))
    roster.observe(Changed("pods", "MODIFIED", pod("shop", namespace="shop")))
    roster.observe(Listed("namespaces", (Namespace(Metadata(uid="n")),)))
    roster.observe(SourceUp("text/node-a"))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("status", "begun"),
    [
        (ContainerStatus("kubearmor"), False),
        (ContainerStatus("kubearmor", state=WAITING), False),
        (ContainerStatus("kubearmor", state=ContainerState(running=Running())), True),
        (ContainerStatus("kubearmor", "one", state=ENDED), True),
        (ContainerStatus("kubearmor", "one", state=WAITING, last_state=ENDED), True),
        (ContainerStatus("kubearmor", "two", 1, state=WAITING, last_state=ENDED), False),
    ],
    ids=["unknown", "to be started", "running", "ended", "to be restarted", "created again"],
)
def test_a_run_of_a_daemon_has_begun_when_there_can_be_output_of_it(
    roster: Roster, told: list[frozenset[Daemon]], status: ContainerStatus, *, begun: bool
) -> None:
    bound = pod("a")
    roster.observe(
        Changed(
            "pods",
            "ADDED",
            Pod(bound.metadata, bound.spec, PodStatus(container_statuses=[status])),
        )
    )
    ((known,),) = told
    assert known.begun == begun


def test_a_daemon_without_a_container_status_has_not_begun(
    roster: Roster, told: list[frozenset[Daemon]]
) -> None:
    bare = Pod(metadata=pod("a").metadata, spec=PodSpec(node_name="node-a"))
    roster.observe(Changed("pods", "ADDED", bare))
    ((known,),) = told
    assert (known.begun, known.running, known.restart, known.address) == (False, False, 0, "")
