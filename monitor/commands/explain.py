"""Everything that is known of one Pod's containers."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from monitor.commands.running import read
from monitor.commands.text import explain
from monitor.commands.timeline import open_timeline
from monitor.wire import report as wire_report

EXAMPLES = """\
examples:
  kubearmor-monitor explain shop/checkout-0 --url http://127.0.0.1:9470
  kubearmor-monitor explain shop/checkout-0/app --trace trace.jsonl.zst --until 1795469290.03
  kubearmor-monitor explain shop/checkout-0 --context staging

Asks a running monitor (--url), a trace, or, without either, the cluster of the kubeconfig. Exit
code 1: a container is not protected (gap or lost), or there is no such container.
"""
PAGE = 500


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("pod", type=_names, metavar="NAMESPACE/POD[/CONTAINER]")
    parser.add_argument("--url", metavar="URL", help="API of a running monitor")
    parser.add_argument("--trace", type=Path, metavar="TRACE", help="a recorded trace")
    parser.add_argument("--until", type=float, metavar="UNIX", help="of the trace")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--output", choices=("text", "json"), default="text")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split("/"))
    if len(names) not in (2, 3) or not all(names):
        raise ArgumentTypeError(f"not NAMESPACE/POD or NAMESPACE/POD/CONTAINER: {text!r}")
    return names


def run(options: Namespace) -> int:
    report = _report(options)
    namespace, pod, *container = options.pod
    found = [
        one
        for one in report["containers"]
        if (one["namespace"], one["pod"]) == (namespace, pod)
        and container in ([], [one["container"]])
    ]
    if options.output == "json":
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    elif found:
        sys.stdout.write(explain(report, found))
    else:
        sys.stdout.write(f"no running container of {'/'.join(options.pod)} is known\n")
    return int(not found or any(one["verdict"] in ("gap", "lost") for one in found))


def _report(options: Namespace) -> Mapping[str, Any]:
    if options.url:
        return _of_monitor(options.url, options.pod)
    if options.trace:
        _, timeline = open_timeline(options.trace)
        for _ in timeline.play(options.until):
            pass
        report = timeline.report()
    else:
        # Reading a cluster needs the clients of one; a trace does not.
        from monitor.commands import cluster

        configuration = cluster.configuration(options)
        report = asyncio.run(cluster.look_once(configuration, within=options.timeout))
    document: Mapping[str, Any] = orjson.loads(wire_report.encode(report))
    return document


def _of_monitor(url: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the parts of a running monitor's report that concern the Pod."""
    explanation = read(url, f"explain/{names[0]}/{names[1]}") or {"containers": []}
    gaps = read(url, f"gaps?namespace={names[0]}&limit={PAGE}") or {"items": []}
    incidents = read(url, f"incidents?limit={PAGE}") or {"items": []}
    return {
        "containers": explanation["containers"],
        "gaps": gaps["items"],
        "incidents": incidents["items"],
    }
