"""The sources of one cluster, as the configuration wants them."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import cast

from monitor import config
from monitor.clock import Clock
from monitor.core.kubernetes import POLICY_KINDS, Resource
from monitor.core.model import Observation
from monitor.daemons import Daemon, Roster, Starts
from monitor.errors import SourceError
from monitor.sources import Intake, Source
from monitor.sources.api_server import ApiServer
from monitor.sources.cluster_access import Access, Credentials, from_kubeconfig, in_cluster
from monitor.sources.daemon_feeds import DaemonFeeds
from monitor.sources.daemon_health import places
from monitor.sources.daemon_log import DaemonLog, DaemonTarget
from monitor.sources.grpc import FeedSource, FeedTLS, Peer, Tap
from monitor.sources.health_checks import HealthChecks, HealthTarget
from monitor.sources.kubernetes import Collection, KubernetesSource

USER_AGENT = "kubearmor-monitor"
LOOPBACK = "127.0.0.1"
FEED_PORT = 32767
PATIENCE_SECONDS = 5.0
CONFIGURATION_MAP = "kubearmor-config"
REQUIRED: tuple[Resource, ...] = ("pods", "namespaces", "nodes")


async def credentials(kubernetes: config.Kubernetes) -> Credentials:
    """Return the access configured; else the Pod's own; else the usual kubeconfig's."""
    if kubernetes.url:
        return Credentials(
            Access(
                server=kubernetes.url,
                token_file=kubernetes.token_file or "",
                ca_file=kubernetes.ca_file or "",
            )
        )
    if not (kubernetes.kubeconfig or kubernetes.context):
        with contextlib.suppress(SourceError):
            return in_cluster()
    return await from_kubeconfig(kubernetes.kubeconfig, context=kubernetes.context)


@contextlib.asynccontextmanager
async def api_server(kubernetes: config.Kubernetes, clock: Clock) -> AsyncIterator[ApiServer]:
    access = await credentials(kubernetes)
    async with ApiServer(access, clock=clock, user_agent=USER_AGENT) as server:
        yield server


def collections(configuration: config.Configuration) -> tuple[Collection, ...]:
    """Return what is listed and watched."""
    namespace, node = configuration.kubearmor.namespace, configuration.cluster.node
    one_node = configuration.cluster.scope == "node"
    policies = cast("tuple[Resource, ...]", tuple(POLICY_KINDS))
    return (
        Collection("pods", field_selector=f"spec.nodeName={node}" if one_node else ""),
        Collection("namespaces"),
        Collection("nodes", field_selector=f"metadata.name={node}" if one_node else ""),
        Collection("daemonsets", namespace=namespace),
        Collection(
            "configmaps", namespace=namespace, field_selector=f"metadata.name={CONFIGURATION_MAP}"
        ),
        *(Collection(resource) for resource in policies),
    )


class LiveSources:
    """The sources of one cluster; those of daemons follow the daemons that are observed."""

    def __init__(
        self,
        configuration: config.Configuration,
        *,
        server: ApiServer,
        clock: Clock,
        random: Random,
        tap: Tap | None = None,
    ) -> None:
        """Build none yet; `tap` is given each message of the feeds as it came."""
        self._tap = tap
        self._configuration = configuration
        self._server = server
        self._clock = clock
        self._random = random
        self._followers: list[Callable[[frozenset[Daemon]], None]] = []
        self._roster = Roster(
            namespace=configuration.kubearmor.namespace, changed=self._tell_followers
        )
        self._starts = Starts() if configuration.kubearmor.health else None
        self.required = tuple(f"kubernetes/{resource}" for resource in REQUIRED)

    def observe(self, observation: Observation) -> None:
        """Learn which daemons there are, and whose start is known; called with everything."""
        self._roster.observe(observation)
        if self._starts is not None:
            self._starts.observe(observation)

    def build(self, intake: Intake) -> tuple[Source, ...]:
        """Return the sources, delivering there."""
        sources: list[Source] = [
            KubernetesSource(
                collection,
                server=self._server,
                intake=intake,
                clock=self._clock,
                random=self._random,
            )
            for collection in collections(self._configuration)
        ]
        kubearmor = self._configuration.kubearmor
        if kubearmor.text:
            sources.append(self._text(intake))
        if kubearmor.relay and self._configuration.cluster.scope == "cluster":
            sources.append(self._relay(intake))
        if kubearmor.daemons:
            sources.append(self._daemons(intake))
        if self._starts is not None:
            sources.append(self._health(intake, self._starts))
        return tuple(sources)

    def _text(self, intake: Intake) -> Source:
        text = DaemonLog(server=self._server, intake=intake, clock=self._clock, random=self._random)

        def follow(daemons: frozenset[Daemon]) -> None:
            text.follow(frozenset(_target(daemon) for daemon in daemons if daemon.begun))

        self._followers.append(follow)
        return text

    def _relay(self, intake: Intake) -> Source:
        kubearmor = self._configuration.kubearmor
        peer = Peer(
            address=kubearmor.relay, tls=feed_tls(kubearmor, server_name=kubearmor.server_name)
        )
        return FeedSource(
            peer, intake=intake, clock=self._clock, random=self._random, tap=self._tap
        )

    def _daemons(self, intake: Intake) -> Source:
        beside = self._configuration.cluster.scope == "node"
        feeds = DaemonFeeds(intake=intake, clock=self._clock, random=self._random, tap=self._tap)
        tls = feed_tls(self._configuration.kubearmor, server_name=None)

        def follow(daemons: frozenset[Daemon]) -> None:
            hosts = {
                daemon.node: LOOPBACK if beside else daemon.address
                for daemon in daemons
                if daemon.running and daemon.address
            }
            peers = (Peer(_address(host), node=node, tls=tls) for node, host in hosts.items())
            feeds.follow(frozenset(peers))

        self._followers.append(follow)
        return feeds

    def _health(self, intake: Intake, starts: Starts) -> Source:
        kubearmor = self._configuration.kubearmor
        beside = self._configuration.cluster.scope == "node"
        tls = feed_tls(kubearmor, server_name=None)
        checks = HealthChecks(
            intake=intake,
            clock=self._clock,
            random=self._random,
            is_known=lambda one: starts.is_known(one.node, one.pod_uid, one.restart),
            patience=PATIENCE_SECONDS if kubearmor.text else 0.0,
        )

        def follow(daemons: frozenset[Daemon]) -> None:
            starts.keep((daemon.uid, daemon.restart) for daemon in daemons)
            running = [daemon for daemon in daemons if daemon.running and daemon.address]
            # Where two run, one about to end, nobody can tell whose answer it is.
            of_node = Counter(daemon.node for daemon in running)
            alone = (daemon for daemon in running if of_node[daemon.node] == 1)
            checks.follow(
                frozenset(
                    _health_target(one, host=LOOPBACK if beside else one.address, tls=tls)
                    for one in alone
                )
            )

        self._followers.append(follow)
        return checks

    def _tell_followers(self, daemons: frozenset[Daemon]) -> None:
        for follow in self._followers:
            follow(daemons)


def _target(daemon: Daemon) -> DaemonTarget:
    return DaemonTarget(
        node=daemon.node,
        namespace=daemon.namespace,
        pod=daemon.pod,
        uid=daemon.uid,
        restart=daemon.restart,
        container=daemon.container,
        running=daemon.running,
    )


def _health_target(daemon: Daemon, *, host: str, tls: FeedTLS | None) -> HealthTarget:
    return HealthTarget(
        node=daemon.node,
        pod_uid=daemon.uid,
        restart=daemon.restart,
        places=places(host, release=daemon.release, tls=tls),
    )


def feed_tls(kubearmor: config.KubeArmor, *, server_name: str | None) -> FeedTLS | None:
    """Return how the feeds are read; None without TLS."""
    if not kubearmor.tls:
        return None
    return FeedTLS(
        ca_file=kubearmor.ca_file or "",
        certificate_file=kubearmor.certificate_file or "",
        key_file=kubearmor.key_file or "",
        server_name=server_name or "",
    )


def _address(host: str) -> str:
    return f"[{host}]:{FEED_PORT}" if ":" in host else f"{host}:{FEED_PORT}"
