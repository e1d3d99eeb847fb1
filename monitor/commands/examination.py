"""One look at a cluster for a diagnosis: what the sources read, and a few questions besides."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct, structs

from monitor import config
from monitor.clock import SystemClock
from monitor.commands.cluster import LOOK_SECONDS, Look, looking
from monitor.core.diagnosis.findings import Certificate, Cluster, Probe
from monitor.core.diagnosis.notes import Notes
from monitor.errors import SourceError
from monitor.live import collections, feed_tls
from monitor.retry import cancelled
from monitor.sources.api_health import ApiHealth
from monitor.sources.api_server import ApiServer
from monitor.sources.daemon_health import FEED_PORT, configured, presented, serving

AT_ONCE = 64
TLS = "TLSEnabled"

T = TypeVar("T")


class Answers(Struct, frozen=True):
    """What the API server said when it was asked."""

    api: tuple[Probe, ...]
    api_release: str = ""
    served: frozenset[str] | None = None
    access: Mapping[str, bool] = {}
    secrets: tuple[Certificate, ...] = ()


async def examine(configuration: config.Configuration, *, within: float) -> Cluster:
    """Read a cluster until nothing new comes, or for `within` seconds, and ask its servers.

    What may not be read is no error here: it is part of the answer. Raises SourceError where
    nothing at all can be read.
    """
    namespace = configuration.kubearmor.namespace
    notes = Notes(kubearmor=namespace)
    async with looking(configuration, observers=[notes.observe]) as look:
        asking = asyncio.create_task(_ask(look.server, namespace, within=within))
        try:
            await look.until(_quiet(look, notes, configuration), within=within)
            _require_some(notes, within=within)
            cluster = notes.cluster(look.engine.report())
            answers = await asking
        finally:
            await cancelled(asking)
    health, certificates = await asyncio.gather(
        _health(cluster, notes.addresses(), configuration),
        _certificates(cluster, notes.addresses(), configuration),
    )
    return structs.replace(
        cluster,
        api=answers.api,
        api_release=answers.api_release,
        served=answers.served,
        access=answers.access,
        health=tuple(health),
        certificates=(*certificates, *answers.secrets),
        tls=configuration.kubearmor.tls,
    )


async def _quiet(look: Look, notes: Notes, configuration: config.Configuration) -> None:
    """Return when every collection has answered, well or badly, and no news come."""
    asked = {f"kubernetes/{one.resource}" for one in collections(configuration)}
    while not (asked <= notes.sources.keys() and look.activity.quiet):  # noqa: ASYNC110  # bounded by a deadline
        await asyncio.sleep(LOOK_SECONDS)


def _require_some(notes: Notes, *, within: float) -> None:
    if any(not reason for reason in notes.sources.values()):
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(notes.sources.items()))
    why = reasons or "no answer"
    raise SourceError(f"nothing of the cluster could be read within {within:g} s: {why}")


async def _ask(server: ApiServer, namespace: str, *, within: float) -> Answers:
    health = ApiHealth(server, clock=SystemClock())
    try:
        async with asyncio.timeout(within):
            return Answers(
                api=await health.probes(),
                api_release=await health.release(),
                served=await health.served(),
                access=await health.access(namespace),
                secrets=tuple([one async for one in health.secrets(namespace)]),
            )
    except TimeoutError:
        return Answers(api=(Probe("questions", within, f"not all answered within {within:g} s"),))


async def _health(
    cluster: Cluster, addresses: Mapping[str, str], configuration: config.Configuration
) -> list[Probe]:
    tls = feed_tls(configuration.kubearmor, server_name=None)
    return await _all(
        serving(daemon.node, host=addresses[daemon.node], release=daemon.release, tls=tls)
        for daemon in cluster.daemons
        if daemon.node in addresses
    )


async def _certificates(
    cluster: Cluster, addresses: Mapping[str, str], configuration: config.Configuration
) -> list[Certificate]:
    """Look at the monitor's own files, the relay's certificate and those of daemons with TLS."""
    kubearmor = configuration.kubearmor
    tls = feed_tls(kubearmor, server_name=None)
    found = configured([kubearmor.ca_file or "", kubearmor.certificate_file or ""])
    asked = [
        presented(f"daemon of {daemon.node}", host=addresses[daemon.node], port=FEED_PORT, tls=tls)
        for daemon in cluster.daemons
        if daemon.node in addresses and (kubearmor.tls or daemon.settings.get(TLS) == "true")
    ]
    if kubearmor.tls and kubearmor.relay:
        host, port = config.endpoint(kubearmor.relay)
        asked.append(presented("relay", host=host or "", port=port, tls=tls))
    return found + await _all(asked)


async def _all(questions: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Ask all, not too many at once; the answers are in the order of the questions."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(question: Coroutine[None, None, T]) -> T:
        async with room:
            return await question

    return await asyncio.gather(*map(ask, questions))
