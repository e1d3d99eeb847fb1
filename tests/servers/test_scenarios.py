"""Scenarios on real servers: the monitor's rights, its sources and the whole of what it reports.

All that fit one cluster are played at once, each on a node and in a namespace of its own: the
report must name each trouble where it is and nothing else.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.emulator.cluster import KubeArmor, manifests
from tests.emulator.informers import Waits
from tests.emulator.objects import SYSTEM
from tests.emulator.scenarios import SCENARIOS
from tests.emulator.scenarios.scenario import BASE, NEWEST, Picture, Scenario, bystanders
from tests.emulator.steps import Apply, Namespace, Run, Step
from tests.rig.api import NODES as RIG_NODES
from tests.rig.kubernetes import ControlPlane
from tests.rig.ports import free_ports
from tests.rig.wait import eventually
from tests.scenarios.pictures import Painted, expected, painted
from tests.servers.scenarios import RealCluster, elsewhere
from tests.servers.stage import Monitor, access, prepare

SECONDS = 90.0
STEADY = timedelta(seconds=2)
NAMES = frozenset({"team", "late", "quiet", "strict"})
FIRST = 3
PLAYED = (
    "daemon-down",
    "daemon-starting",
    "enforcer-absent",
    "enforcer-mismatch",
    "cluster-policy-watch-dead",
    "container-source-dead",
    "pod-informer-failed",
    "policy-rejected",
    "namespace-ids-unread",
    "outer-map-full",
    "rule-not-enforceable",
    "posture-audit",
    "annotation-disabled",
    "annotation-audited",
    "builtin-exception",
    "native-sidecar",
    "host-pid",
    "mode-not-retroactive: from enabled to audited",
    "selects-nothing",
)


NUMBERS = range(FIRST, FIRST + len(PLAYED))
NODES = ("node-1", "node-2", *(f"node-{number}" for number in NUMBERS))


def cast() -> list[Scenario]:
    return [
        elsewhere(SCENARIOS[name], number, names=NAMES)
        for number, name in enumerate(PLAYED, start=FIRST)
    ]


def together(scenarios: Sequence[Scenario], *, healed: bool) -> Painted:
    """Return what a report should say when all of them are played in one cluster."""
    whole = expected(Scenario("", wrong=(), shows=Picture(daemons=NODES)), healed=False)
    whole["nodes"] = dict.fromkeys(NODES, "covered")
    for node, scenario in zip(NODES[2:], scenarios, strict=True):
        alone = expected(scenario, healed=healed)
        if node not in (scenario.then if healed else scenario.shows).daemons:
            # The output of a container that has ended cannot be followed.
            del whole["containers"][f"{SYSTEM}/{node}"]
            whole["blind"].append(f"text/{node}")
        whole["containers"] |= alone["containers"]
        whole["nodes"][node] = alone["nodes"].get(node, "covered")
        for kind in ("gaps", "incidents", "findings"):
            whole[kind] = sorted([*whole[kind], *alone[kind]])
    return whole


async def reported(monitor: Monitor) -> Painted:
    sections = ("containers", "nodes", "gaps", "incidents", "findings", "sources")
    rows = {section: await monitor.rows(section) for section in sections}
    return painted(rows)


async def becomes(monitor: Monitor, wanted: Painted) -> None:
    """Wait until the report has been this, at each look, for a while of the monitor's time."""
    since: datetime | None = None

    async def stays_so() -> bool:
        nonlocal since
        at = await monitor.at()
        apart = differences(await reported(monitor), wanted)
        if apart:
            since = None
        assert apart == {}
        since = since or at
        return at - since >= STEADY

    await eventually(stays_so, within=SECONDS, every=0.5, not_yet=(AssertionError,))


async def has_read(monitor: Monitor, kubearmor: KubeArmor) -> None:
    """Wait until the monitor has all that was printed before it looked."""

    async def is_so() -> bool:
        read = await monitor.metric('observations_total{kind="DaemonLine"}')
        return read is not None and read >= kubearmor.printed()

    await eventually(is_so, within=SECONDS)


def differences(found: Painted, wanted: Painted) -> dict[str, Any]:
    """Return what is in one of them only."""
    apart: dict[str, Any] = {}
    for kind, expected_part in wanted.items():
        part = found[kind]
        if isinstance(expected_part, dict):
            names = [n for n in part.keys() | expected_part if part.get(n) != expected_part.get(n)]
            told: Any = {name: (part.get(name), expected_part.get(name)) for name in sorted(names)}
        else:
            told = [one for one in part if one not in expected_part]
            told += [one for one in expected_part if one not in part]
        if told:
            apart[kind] = told
    return apart


async def play(cluster: RealCluster, parts: Iterable[Sequence[Step]]) -> None:
    """Perform the steps of each part in their order, and the parts at once."""

    async def one(steps: Sequence[Step]) -> None:
        for step in steps:
            await cluster.perform(step)

    async with asyncio.TaskGroup() as tasks:
        for steps in parts:
            tasks.create_task(one(steps))


async def build(cluster: ControlPlane) -> None:
    await prepare(cluster)
    labels = {"kubearmor.io/enforcer": "bpf"}
    for name in NODES[:2]:
        await cluster.admin.patch(RIG_NODES, name, {"metadata": {"labels": labels}})
    for number, name in enumerate(NODES[2:], start=4):
        await cluster.add_node(name, address=f"127.0.0.{number}", labels=labels)
    await cluster.add_namespace("shop")


async def all_serve(kubearmor: KubeArmor) -> None:
    async def is_so() -> bool:
        return kubearmor.nodes == set(NODES) and all(kubearmor.daemon(n).serving for n in NODES)

    await eventually(is_so, within=SECONDS)


async def test_each_trouble_is_named_where_it_is_and_closes_when_its_remedy_is_applied(
    server_folder: Path, tmp_path: Path
) -> None:
    daemons, relay = free_ports(2)
    scenarios = cast()
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(ControlPlane(folder=server_folder / "scenarios"))
        await build(control)
        kubearmor = await stack.enter_async_context(
            KubeArmor(
                url=control.url,
                token=control.token("admin"),
                ca_file=control.ca_file,
                folder=tmp_path / "kubearmor",
                daemon_port=daemons,
                relay_port=relay,
                relay_retry_seconds=0.2,
                informer_waits=Waits(first=0.1, longest=0.3),
            )
        )
        for manifest in manifests(image=f"kubearmor/kubearmor:{NEWEST}"):
            await control.admin.apply(manifest)
        await all_serve(kubearmor)
        real = RealCluster(cluster=control, kubearmor=kubearmor)
        await real.perform(Apply(BASE))
        places = zip(bystanders(), cycle(NODES[:2]), strict=False)
        quiet = [Run(name.rpartition("/")[0], node=node) for name, node in places]
        await play(real, [[run] for run in quiet])
        await play(real, [[Namespace(f"team-{number}")] for number in NUMBERS])
        await play(real, [scenario.before for scenario in scenarios])
        reach = await access(control, folder=tmp_path, relay=relay)
        settings = reach | {"jsonl": {"path": str(tmp_path / "events.jsonl")}}
        monitor = Monitor(folder=tmp_path / "monitor", settings=settings)
        await monitor.start()
        stack.push_async_callback(monitor.stop)
        # What was printed before is received now, and must not seem younger than what starts next.
        await has_read(monitor, kubearmor)
        await play(real, [scenario.wrong for scenario in scenarios])
        await becomes(monitor, together(scenarios, healed=False))
        await play(real, [scenario.heals for scenario in scenarios])
        await becomes(monitor, together(scenarios, healed=True))
