"""What is wrong, or could go wrong, with KubeArmor on a cluster."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson

from monitor.commands import cluster
from monitor.commands.arguments import duration
from monitor.commands.examination import examine
from monitor.commands.text import printable
from monitor.core.diagnosis import diagnose
from monitor.core.diagnosis.findings import Check, State
from monitor.wire.report import plain, rfc3339

EXAMPLES = """\
examples:
  kubearmor-monitor doctor
  kubearmor-monitor doctor --context staging --timeout 2m
  kubearmor-monitor doctor --output json | jq '.checks[] | select(.state == "problem")'

Looks at a cluster once: KubeArmor's releases and their known defects, nodes without a daemon,
enforcers, k3s, the API server, permissions, certificates, and policies that the defaults leave
without effect. Nothing is written; the API is asked what the caller may do (by a
SelfSubjectAccessReview), and KubeArmor's secrets are looked at, for their dates, where the caller
may read them. Exit code 1: there are problems.
"""
STATES: tuple[State, ...] = ("problem", "warning", "unknown", "ok")


def configure(parser: ArgumentParser) -> None:
    cluster.add_arguments(parser)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument(
        "--timeout",
        type=duration,
        default=30.0,
        metavar="DURATION",
        help="how long to read at most (30s)",
    )


def run(options: Namespace) -> int:
    configuration = cluster.configuration(options)
    examined = asyncio.run(examine(configuration, within=options.timeout))
    checks = diagnose(examined)
    if options.output == "json":
        document = {
            "at": rfc3339(examined.at),
            "cluster": configuration.cluster.name,
            "checks": [plain(check) for check in checks],
        }
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_text(checks)) + "\n")
    return int(any(check.state == "problem" for check in checks))


def _text(checks: Sequence[Check]) -> Iterator[str]:
    """Say what needs attention first; within a state the order is that of the checks."""
    states = Counter(check.state for check in checks)
    yield " · ".join(f"{states[state]} {state}" for state in STATES if states[state])
    for check in sorted(checks, key=lambda check: STATES.index(check.state)):
        yield ""
        yield printable(f"{check.state.upper()} {check.code}: {check.found}")
        if check.remedy:
            label = "note" if check.state == "ok" else "what to do"
            yield printable(f"  {label}: {check.remedy}")
