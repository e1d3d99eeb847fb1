"""All benchmarks: what each measures, and how it is run."""

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from msgspec import Struct

from tests.bench.cluster import Scale
from tests.bench.figures import Figure
from tests.bench.stopwatch import Stopwatch

FULL: Final = Scale(containers=50_000, nodes=500)
QUICK: Final = Scale(containers=2_000, nodes=20)


class Benchmark(Struct, frozen=True, kw_only=True):
    """One benchmark; its module is imported only where it runs."""

    name: str
    what: str
    function: str
    one_core: bool = True

    @property
    def measure(self) -> Callable[[Scale, Stopwatch], list[Figure]]:
        module, _, function = self.function.partition(":")
        return cast(
            "Callable[[Scale, Stopwatch], list[Figure]]",
            getattr(import_module(f"tests.bench.{module}"), function),
        )


CATALOGUE: Final = {
    one.name: one
    for one in (
        Benchmark(
            name="pod-lines",
            what="Pod watch lines decoded and judged",
            function="pod_lines:measure",
        ),
        Benchmark(
            name="text-lines",
            what="lines of the daemons' text classified and judged",
            function="text_lines:measure",
        ),
        Benchmark(
            name="policy",
            what="a new cluster policy that selects every container",
            function="rejudging:measure_policy",
        ),
        Benchmark(
            name="tick",
            what="time that passes while nothing is due",
            function="rejudging:measure_tick",
        ),
        Benchmark(
            name="memory",
            what="resident memory of the state",
            function="memory:measure",
        ),
        Benchmark(
            name="servers",
            what="as many Pods as leave a quarter of the machine idle, on real servers",
            function="on_servers:measure",
            one_core=False,
        ),
        Benchmark(
            name="replayed",
            what="500 Pods a second from a scripted API server through the outbox to Kafka",
            function="replayed:measure",
            one_core=False,
        ),
        Benchmark(
            name="idle",
            what="a node-scope process while nothing happens",
            function="idle:measure",
            one_core=False,
        ),
    )
}
