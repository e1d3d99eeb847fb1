"""The daemons, as Pods come and go."""

import pytest
from msgspec.structs import replace

from monitor.core import facts
from monitor.core.kubernetes import (
    ContainerSpec,
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
from monitor.core.model import (
    Changed,
    DaemonLine,
    HealthAnswered,
    Listed,
    Observation,
    SourceDown,
    SourceUp,
)
from monitor.daemons import Daemon, Roster, Starts

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


# --- whose start is known -----------------------------------------------------------------------

FIRST = facts.LifecycleReported("starting")
BUILD = facts.ReleaseReported("v1.7.4", first_line=True)
READY = facts.LifecycleReported("initialized")
POD = facts.PodSeen(action="modified", namespace="shop", name="cart")
OTHER = facts.Irrelevant()
UP, DOWN = SourceUp("text/node-a"), SourceDown("text/node-a")
RELAY_DOWN = SourceDown("alerts/relay")


def line(fact: facts.Fact, *, restart: int = 0) -> DaemonLine:
    return DaemonLine(
        node="node-a",
        pod="kubearmor/kubearmor-u",
        pod_uid="u",
        restart=restart,
        container="kubearmor",
        stamp=1,
        fact=fact,
    )


def answer(*, serving: bool, restart: int = 0) -> HealthAnswered:
    return HealthAnswered(node="node-a", pod_uid="u", restart=restart, serving=serving)


@pytest.mark.parametrize(
    ("observed", "known"),
    [
        ([], False),
        ([UP], False),
        ([UP, line(FIRST)], True),
        ([UP, line(BUILD), line(OTHER)], True),
        ([UP, line(FIRST), RELAY_DOWN], True),
        ([UP, line(FIRST), DOWN], False),
        ([UP, line(FIRST), DOWN, UP], True),
        ([UP, line(OTHER), line(FIRST)], False),
        ([UP, line(OTHER), line(POD)], True),
        ([UP, line(FIRST), line(READY), DOWN], True),
        ([UP, line(FIRST, restart=1)], False),
        ([answer(serving=False)], False),
        ([answer(serving=True)], True),
        ([answer(serving=True, restart=1)], False),
    ],
)
def test_a_start_is_known_that_is_read_or_over(observed: list[Observation], *, known: bool) -> None:
    starts = Starts()
    for observation in observed:
        starts.observe(observation)
    assert starts.is_known("node-a", "u", 0) is known


def test_daemons_that_are_gone_are_forgotten() -> None:
    starts = Starts()
    starts.observe(answer(serving=True))
    starts.observe(answer(serving=True, restart=1))
    starts.keep([("u", 1)])
    assert [starts.is_known("node-a", "u", restart) for restart in (0, 1)] == [False, True]


@pytest.mark.parametrize(
    ("image", "release"),
    [("kubearmor/kubearmor:v1.7.4", "v1.7.4"), ("kubearmor/kubearmor:stable", None), ("", None)],
)
def test_a_daemons_release_is_told_by_its_image(
    image: str, release: str | None, told: list[frozenset[Daemon]]
) -> None:
    found = pod("a")
    spec = replace(found.spec, containers=[ContainerSpec(name="kubearmor", image=image)])
    Roster(namespace="kubearmor", changed=told.append).observe(
        Changed("pods", "ADDED", replace(found, spec=spec))
    )
    assert told == [frozenset({replace(daemon("a"), release=release)})]
