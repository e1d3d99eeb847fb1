"""Which sources a configuration asks for."""

from pathlib import Path
from random import Random

import pytest

from monitor.clock import SystemClock
from monitor.config import Cluster, Configuration, KubeArmor, Kubernetes
from monitor.core.kubernetes import (
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Metadata,
    Pod,
    PodSpec,
    PodStatus,
    Running,
)
from monitor.core.model import Changed
from monitor.errors import ConfigurationError
from monitor.live import LiveSources, collections, credentials
from monitor.sources.api_server import ApiServer
from monitor.sources.cluster_access import Access, Credentials
from monitor.sources.daemon_feeds import DaemonFeeds
from monitor.sources.daemon_log import DaemonLog, DaemonTarget
from monitor.sources.grpc import Peer
from monitor.sources.health_checks import HealthChecks, HealthTarget
from tests.test_engine import Unheard

NODE = Configuration(cluster=Cluster(scope="node", node="node-a"))
RANDOM = Random(0)
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: one, user: {token: secret}}]
"""


def live(configuration: Configuration) -> LiveSources:
    clock = SystemClock()
    server = ApiServer(Credentials(Access(server="http://x")), clock=clock, user_agent="test")
    return LiveSources(configuration, server=server, clock=clock, random=RANDOM)


def names(configuration: Configuration) -> list[str]:
    sources = live(configuration).build(Unheard())
    return [source.name for source in sources if not source.name.startswith("kubernetes/")]


def test_nine_resources_are_watched() -> None:
    assert [collection.resource for collection in collections(Configuration())] == [
        "pods",
        "namespaces",
        "nodes",
        "daemonsets",
        "configmaps",
        "kubearmorpolicies",
        "kubearmorclusterpolicies",
        "kubearmorhostpolicies",
        "kubearmornetworkpolicies",
    ]


def test_in_the_scope_of_a_node_only_its_own_objects_are_watched() -> None:
    selectors = {one.resource: one.field_selector for one in collections(NODE)}
    assert selectors["pods"] == "spec.nodeName=node-a"
    assert selectors["nodes"] == "metadata.name=node-a"
    assert selectors["kubearmorpolicies"] == ""


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (Configuration(), ["text", "feeds/relay", "health/daemons"]),
        (Configuration(kubearmor=KubeArmor(text=False, relay="", health=False)), []),
        (Configuration(kubearmor=KubeArmor(text=False, relay="")), ["health/daemons"]),
        (
            Configuration(kubearmor=KubeArmor(relay="", daemons=True, health=False)),
            ["text", "feeds/daemons"],
        ),
        (NODE, ["text", "health/daemons"]),
    ],
)
def test_kubearmor_is_read_as_configured(configuration: Configuration, expected: list[str]) -> None:
    assert names(configuration) == expected


class Followed:
    """Notes what the sources of daemons are told to follow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.targets: list[frozenset[DaemonTarget]] = []
        self.peers: list[frozenset[Peer]] = []
        self.asked: list[frozenset[HealthTarget]] = []
        monkeypatch.setattr(DaemonLog, "follow", lambda _, targets: self.targets.append(targets))
        monkeypatch.setattr(DaemonFeeds, "follow", lambda _, peers: self.peers.append(peers))
        monkeypatch.setattr(HealthChecks, "follow", lambda _, asked: self.asked.append(asked))


def daemon_pod(uid: str, *, address: str = "10.0.0.7", image: str = "kubearmor:v1.7.4") -> Pod:
    status = ContainerStatus(
        name="kubearmor", restart_count=2, state=ContainerState(running=Running())
    )
    labels = {"kubearmor-app": "kubearmor"}
    return Pod(
        metadata=Metadata(uid=uid, name="kubearmor-x", namespace="kubearmor", labels=labels),
        spec=PodSpec(node_name="node-a", containers=[ContainerSpec(name="kubearmor", image=image)]),
        status=PodStatus(pod_ip=address, container_statuses=[status]),
    )


@pytest.mark.parametrize(
    ("cluster", "address", "feed", "health"),
    [
        (Cluster(), "10.0.0.7", "10.0.0.7:32767", "10.0.0.7:32766"),
        (Cluster(), "fd00::7", "[fd00::7]:32767", "[fd00::7]:32766"),
        (NODE.cluster, "10.0.0.7", "127.0.0.1:32767", "127.0.0.1:32766"),
    ],
)
def test_the_daemons_that_are_seen_are_followed(
    cluster: Cluster, address: str, feed: str, health: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = Followed(monkeypatch)
    sources = live(Configuration(cluster=cluster, kubearmor=KubeArmor(daemons=True)))
    sources.build(Unheard())
    sources.observe(Changed("pods", "ADDED", daemon_pod("u", address=address)))
    target = DaemonTarget(
        node="node-a",
        namespace="kubearmor",
        pod="kubearmor-x",
        uid="u",
        restart=2,
        container="kubearmor",
        running=True,
    )
    assert followed.targets == [frozenset({target})]
    assert followed.peers == [frozenset({Peer(feed, node="node-a")})]
    asked = HealthTarget(node="node-a", pod_uid="u", restart=2, places=((health, None),))
    assert followed.asked == [frozenset({asked})]


def test_of_two_daemons_at_one_address_none_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is about to end, and nobody can tell which of them answers."""
    followed = Followed(monkeypatch)
    sources = live(Configuration())
    sources.build(Unheard())
    sources.observe(Changed("pods", "ADDED", daemon_pod("one")))
    sources.observe(Changed("pods", "ADDED", daemon_pod("two")))
    assert [len(asked) for asked in followed.asked] == [1, 0]


def test_the_output_of_a_daemon_that_has_not_begun_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container that waits is none that has ended: asked too early, it would never be again."""
    followed = Followed(monkeypatch)
    sources = live(Configuration())
    sources.build(Unheard())
    metadata = Metadata(
        uid="u", name="kubearmor-x", namespace="kubearmor", labels={"kubearmor-app": "kubearmor"}
    )
    for state in (ContainerState(), ContainerState(running=Running())):
        status = PodStatus(container_statuses=[ContainerStatus(name="kubearmor", state=state)])
        pod = Pod(metadata=metadata, spec=PodSpec(node_name="node-a"), status=status)
        sources.observe(Changed("pods", "MODIFIED", pod))

    assert [[target.running for target in targets] for targets in followed.targets] == [[], [True]]


async def test_an_address_wins_over_a_kubeconfig() -> None:
    found = await credentials(Kubernetes(url="http://127.0.0.1:2", kubeconfig="/nowhere"))
    assert found.server == "http://127.0.0.1:2"


async def test_a_kubeconfig_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    found = await credentials(Kubernetes(kubeconfig=str(path)))
    assert (found.server, found.headers()) == (
        "http://127.0.0.1:1",
        {"Authorization": "Bearer secret"},
    )


async def test_without_any_access_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(ConfigurationError, match="/nowhere/config"):
        await credentials(Kubernetes())
