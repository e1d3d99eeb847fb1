"""Why a Pod's containers are judged as they are: what was asked in turn, and what decided."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from monitor.commands.arguments import duration, instant
from monitor.commands.running import read
from monitor.commands.telling import tell
from monitor.commands.timeline import open_timeline
from monitor.wire.report import plain

EXAMPLES = """\
examples:
  kubearmor-monitor explain shop/checkout-0 --url http://127.0.0.1:9470
  kubearmor-monitor explain shop/checkout-0/app --trace trace.jsonl.zst --until 1795469290.03
  kubearmor-monitor explain shop/checkout-0 --context staging

Asks a running monitor (--url), a trace, or, without either, the cluster of the kubeconfig. Of each
policy it tells the three meanings of its selector, what the node's daemon did with it, and the
questions of the judgement up to the one that decided: "yes" and "no" were read, "unread" could not
be. A time is the latest that is possible; --output json has the earliest too. Exit code 1: a
container is not protected (gap or lost), or there is no such container.
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("pod", type=_names, metavar="NAMESPACE/POD[/CONTAINER]")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--url", metavar="URL", help="API of a running monitor")
    source.add_argument("--trace", type=Path, metavar="TRACE", help="a recorded trace")
    parser.add_argument("--until", type=instant, metavar="UNIX", help="of the trace")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    parser.add_argument(
        "--timeout", type=duration, default=60.0, metavar="DURATION", help="for the cluster (60s)"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split("/"))
    if len(names) not in (2, 3) or not all(names):
        raise ArgumentTypeError(f"not NAMESPACE/POD or NAMESPACE/POD/CONTAINER: {text!r}")
    return names


def run(options: Namespace) -> int:
    found = _explained(options)
    if options.output == "json":
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    elif found:
        sys.stdout.write(tell(found))
    else:
        sys.stdout.write(f"no running container of {'/'.join(options.pod)} is known\n")
    return int(not found or any(one["verdict"] in ("gap", "lost") for one in found))


def _explained(options: Namespace) -> Sequence[Mapping[str, Any]]:
    """Return the containers, explained, as the API gives them."""
    if options.url:
        return _of_monitor(options.url, *options.pod)
    if options.trace:
        _, timeline = open_timeline(options.trace)
        for _ in timeline.play(options.until):
            pass
        return [plain(one) for one in timeline.explain(*options.pod)]
    # Reading a cluster needs the clients of one; a trace does not.
    from monitor.commands import cluster

    look = cluster.ask_once(
        cluster.configuration(options),
        lambda engine: engine.explain(*options.pod),
        within=options.timeout,
    )
    return [plain(one) for one in asyncio.run(look)]


def _of_monitor(
    url: str, namespace: str, pod: str, container: str | None = None
) -> Sequence[Mapping[str, Any]]:
    answer = read(url, f"explain/{quote(namespace, safe='')}/{quote(pod, safe='')}")
    containers = answer["containers"] if answer else []
    return [one for one in containers if container in {None, one["container"]}]
