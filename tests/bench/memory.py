"""What the state of a large cluster takes in memory."""

import gc
from typing import Final

from tests.bench import machine
from tests.bench.cluster import Scale
from tests.bench.figures import Figure
from tests.bench.fleet import Fleet
from tests.bench.stopwatch import Stopwatch

BYTES_OF_CONTAINER: Final = 4096


def measure(scale: Scale, watch: Stopwatch) -> list[Figure]:
    """Take the difference in resident memory; built by ADDED events and lines of text."""
    _warm_up()
    before = machine.resident()
    fleet = Fleet(scale)
    took = watch.seconds(fleet.build)
    gc.collect()
    grown = machine.resident() - before
    assert fleet.verdicts().get("covered") == scale.containers, fleet.verdicts()
    return [
        Figure(
            what="resident memory of the state",
            value=grown / scale.containers,
            unit="bytes a container",
            budget=BYTES_OF_CONTAINER,
            kind="most",
            note=(
                f"{grown / machine.MIB:,.0f} MiB for {scale.containers:,} containers, "
                f"{scale.policies} cluster policies and {scale.nodes} nodes, after "
                f"{before / machine.MIB:,.0f} MiB of program; built in {took:.1f} s"
            ),
        )
    ]


def _warm_up() -> None:
    """Let everything be in memory that is there once, however large the cluster is."""
    Fleet(Scale(containers=2, nodes=1)).build()
    gc.collect()
