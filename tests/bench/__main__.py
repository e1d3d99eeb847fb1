"""`python -m tests.bench`: measures, and says which budgets are met.

Every benchmark runs in a process of its own, so that memory is its own and one that fails takes no
other with it; those of the judgement stay on one core and count processor time.
"""

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from tests.bench import machine
from tests.bench.catalogue import CATALOGUE, FULL, QUICK, Benchmark
from tests.bench.figures import Outcome, summary, told
from tests.bench.stopwatch import Stopwatch

LIMIT_SECONDS: Final = 1800
FINE, UNFINISHED = 0, 3
EPILOG = """\
Budgets that are not met do not change the exit code: 0 measured, 3 something could not be measured.

examples:
  make bench
  python -m tests.bench --only tick --only policy
  python -m tests.bench --quick
  python -m tests.bench --only pod-lines --profile
"""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.inside:
        return _inside(CATALOGUE[options.inside], options)
    chosen = [one for one in CATALOGUE.values() if not options.only or one.name in options.only]
    _print(f"kubearmor-monitor on {machine.facts()}")
    if options.quick:
        _print("quick: a small cluster and short runs; only the full run is held against budgets")
    outcomes = []
    for number, one in enumerate(chosen, 1):
        _progress(f"{number}/{len(chosen)} {one.name}: {one.what}")
        outcomes.append(_measured(one, options))
        _print(f"\n{told(outcomes[-1])}")
    _print(f"\n{summary(outcomes)}")
    return UNFINISHED if any(outcome.failure for outcome in outcomes) else FINE


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {one.name:12} {one.what}" for one in CATALOGUE.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=f"Measures the monitor against its budgets.\n\nbenchmarks:\n{names}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", action="append", choices=CATALOGUE, metavar="NAME", help="only this one, or these"
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all?")
    parser.add_argument(
        "--profile", action="store_true", help="print where the time goes; the figures suffer"
    )
    parser.add_argument("--inside", choices=CATALOGUE, help=argparse.SUPPRESS)
    return parser


def _measured(one: Benchmark, options: argparse.Namespace) -> Outcome:
    """Run a benchmark in a process of its own."""
    flags = [f"--{name}" for name in ("quick", "profile") if getattr(options, name)]
    command = [sys.executable, "-m", "tests.bench", "--inside", one.name, *flags]
    # Hashes of text decide where things lie in memory: the same in every run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=LIMIT_SECONDS, check=True, env=environment
        )
    except subprocess.SubprocessError as error:
        return Outcome(name=one.name, failure=str(error))
    return msgspec.json.decode(done.stdout, type=Outcome)


def _inside(one: Benchmark, options: argparse.Namespace) -> int:
    # Its client tells of every attempt while the broker starts.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if one.one_core:
        machine.pin()
    watch = Stopwatch(profile=options.profile)
    figures = tuple(one.measure(QUICK if options.quick else FULL, watch))
    watch.tell_profile()
    sys.stdout.buffer.write(msgspec.json.encode(Outcome(name=one.name, figures=figures)))
    return FINE


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _progress(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
