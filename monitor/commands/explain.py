"""Why containers of a Pod, or a node, are judged as they are: what was asked, what decided."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import orjson

from monitor.commands.arguments import duration, instant
from monitor.commands.running import read
from monitor.commands.telling import tell, tell_node
from monitor.commands.timeline import Timeline, open_timeline
from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.wire.report import plain

EXAMPLES = """\
examples:
  kubearmor-monitor explain shop/checkout-0 --url http://127.0.0.1:9470
  kubearmor-monitor explain shop/checkout-0/app --trace trace.jsonl.zst --until 1795469290.03
  kubearmor-monitor explain shop/checkout-0 --context staging
  kubearmor-monitor explain --node worker-1 --url http://127.0.0.1:9470

Asks a running monitor (--url), a trace, or, without either, the cluster of the kubeconfig. Of each
policy it tells the three meanings of its selector, what the node's daemon did with it, and the
questions of the judgement up to the one that decided: "yes" and "no" were read, "unread" could not
be. Of a node it tells the daemon and, in the same way, each host and network policy. A time is the
latest that is possible; --output json has the earliest too. Exit code 1: a container, or the node,
is not protected (gap or lost), or there is no such container or node.
"""
NOT_IN_FORCE = ("gap", "lost")

Answer = TypeVar("Answer")


class Explaining(Protocol):
    """What can be asked: a trace that was played, or a cluster that was read."""

    def explain(
        self, namespace: str, pod: str, container: str | None = None
    ) -> Sequence[ContainerExplanation]: ...

    def explain_node(self, name: str) -> NodeExplanation | None: ...


def configure(parser: ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("pod", nargs="?", type=_names, metavar="NAMESPACE/POD[/CONTAINER]")
    subject.add_argument("--node", metavar="NAME", help="a node with its host policies")
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
    return _run_node(options) if options.node is not None else _run_pod(options)


def _run_pod(options: Namespace) -> int:
    found = _explained(options)
    if options.output == "json":
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    elif found:
        sys.stdout.write(tell(found))
    else:
        sys.stdout.write(f"no running container of {'/'.join(options.pod)} is known\n")
    return int(not found or any(one["verdict"] in NOT_IN_FORCE for one in found))


def _run_node(options: Namespace) -> int:
    found = _explained_node(options)
    if options.output == "json":
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    elif found:
        sys.stdout.write(tell_node(found))
    else:
        sys.stdout.write(f"no node {options.node} is known\n")
    return int(not found or found["verdict"] in NOT_IN_FORCE)


def _explained(options: Namespace) -> Sequence[Mapping[str, Any]]:
    """Return the containers, explained, as the API gives them."""
    if options.url:
        return _of_monitor(options.url, *options.pod)
    return [plain(one) for one in _ask(options, lambda asked: asked.explain(*options.pod))]


def _explained_node(options: Namespace) -> Mapping[str, Any] | None:
    """Return the node, explained, as the API gives it; None where there is none."""
    if options.url:
        return read(options.url, f"nodes/{quote(options.node, safe='')}/explain")
    found = _ask(options, lambda asked: asked.explain_node(options.node))
    return None if found is None else plain(found)


def _ask(options: Namespace, question: Callable[[Explaining], Answer]) -> Answer:
    """Put a question to a trace as it is in the end, or to a cluster."""
    if options.trace:
        return question(_played(options))
    # Reading a cluster needs the clients of one; a trace does not.
    from monitor.commands import cluster

    configuration = cluster.configuration(options)
    return asyncio.run(cluster.ask_once(configuration, question, within=options.timeout))


def _played(options: Namespace) -> Timeline:
    _, timeline = open_timeline(options.trace)
    for _ in timeline.play(options.until):
        pass
    return timeline


def _of_monitor(
    url: str, namespace: str, pod: str, container: str | None = None
) -> Sequence[Mapping[str, Any]]:
    answer = read(url, f"explain/{quote(namespace, safe='')}/{quote(pod, safe='')}")
    containers = answer["containers"] if answer else []
    return [one for one in containers if container in {None, one["container"]}]
