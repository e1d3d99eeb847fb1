"""One look at a cluster: which containers are not protected, and why."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace

import orjson

from monitor.commands import cluster
from monitor.commands.arguments import duration
from monitor.commands.text import render
from monitor.wire import report as wire_report

EXAMPLES = """\
examples:
  kubearmor-monitor check
  kubearmor-monitor check --context staging --all
  kubearmor-monitor check --output json | jq '.gaps[] | select(.state == "open")'
  kubearmor-monitor check --output json | jq -r '.findings[] | [.code, .subject] | @tsv'

Nothing is installed and nothing is changed: it lists Pods, namespaces, nodes and policies, reads
the output of KubeArmor's daemons through the API server, and prints what follows from that. Exit
code 1: a container, or a node that a host policy selects, is not protected (gap or lost). Findings
are no gaps: they are told, and do not change the exit code.
"""


def configure(parser: ArgumentParser) -> None:
    cluster.add_arguments(parser)
    parser.add_argument("--all", action="store_true", help="protected containers and every finding")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument(
        "--timeout",
        type=duration,
        default=60.0,
        metavar="DURATION",
        help="how long to wait for what is still pending (60s)",
    )


def run(options: Namespace) -> int:
    configuration = cluster.configuration(options)
    report = asyncio.run(cluster.look_once(configuration, within=options.timeout))
    encoded = wire_report.encode(report)
    if options.output == "json":
        sys.stdout.write(encoded.decode())
    else:
        sys.stdout.write(render(orjson.loads(encoded), everything=options.all))
    hosts = (pair.verdict for node in report.nodes for pair in node.policies)
    verdicts = (*(one.verdict for one in report.containers), *hosts)
    return int("gap" in verdicts or "lost" in verdicts)
