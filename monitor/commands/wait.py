"""A gate for pipelines: every container of a workload is protected, or it is said which is not."""

import asyncio
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import orjson
from msgspec import Struct

from monitor.commands import running
from monitor.commands.arguments import duration
from monitor.commands.text import printable
from monitor.core.causes import CAUSES
from monitor.core.kubernetes import Object, Pod
from monitor.core.model import Changed, Listed, Observation, Report
from monitor.core.workloads import Missing, Started, Weighed, belonging, weigh
from monitor.errors import SourceError

EXAMPLES = """\
examples:
  kubearmor-monitor wait shop/web --timeout 2m
  kubearmor-monitor wait shop/db --pods 3 --allow exempt,unsupported
  kubearmor-monitor wait shop/web --url http://127.0.0.1:9470 --output json

WORKLOAD is a Deployment, StatefulSet, DaemonSet, Job, or a Pod by its name. Pods that have ended or
are being deleted do not count; all others, of an older revision too, must be covered: wait for the
rollout first (`kubectl rollout status`). Without --url the cluster is read as `check` reads it, and
containers that do not run yet are waited for; a running monitor tells only of containers that run:
say with --pods how many Pods there must be. Exit code 1: the time is over and something is not
covered.
"""
# Before these are read, whatever runs looks unpoliced.
POLICIES = ("kubernetes/kubearmorpolicies", "kubernetes/kubearmorclusterpolicies")
ALLOWABLE = ("exempt", "unsupported", "unpoliced")
LOOK_SECONDS = 0.5
UNKNOWN_CAUSES = {
    "": ("It does not run yet.", "See the Pod's events: `kubectl describe pod`."),
    "pending": ("It is too early to say.", "Wait longer (--timeout)."),
    "unpoliced": ("No policy selects it.", "Write one, or let it pass: --allow unpoliced."),
}


class Seen(Struct, frozen=True):
    """The workload at one instant; `pods` is None where they cannot be seen."""

    containers: tuple[Started, ...]
    pods: tuple[Pod, ...] | None


class Gate:
    """Says what is held back, and tells of it when that changes."""

    def __init__(self, options: Namespace, *, progress: TextIO) -> None:
        self.namespace, self.name = options.workload
        self.label = f"{self.namespace}/{self.name}"
        self.seen = Weighed(held=(), containers=0, pods=0)
        self._allowed = options.allow
        self._least = options.pods
        self._progress = progress
        self._began = time.monotonic()
        self._told = ""

    @property
    def waited(self) -> float:
        return time.monotonic() - self._began

    def passes(self, seen: Seen) -> bool:
        """Take the workload as it is now; return whether all of it is let through."""
        self.seen = weigh(seen.containers, name=self.name, pods=seen.pods, allowed=self._allowed)
        lacking = max(0, self._least - self.seen.pods)
        self._tell(lacking)
        return not self.seen.held and not lacking

    def _tell(self, lacking: int) -> None:
        held = self.seen.held
        parts = [f"{one.pod}/{one.container} {_standing(one)}" for one in held[:3]]
        if len(held) > len(parts):
            parts.append(f"{len(held) - len(parts)} more")
        if lacking:
            parts.append(f"{lacking} more Pod{'s' if lacking > 1 else ''} to appear")
        now = f"{self.seen.containers - len(held)} of {self.seen.containers} let through"
        told = printable(f"{now}; waiting for {', '.join(parts)}" if parts else now)
        if told != self._told:
            self._told = told
            self._progress.write(f"{self.waited:5.1f} s  {told}\n")
            self._progress.flush()


class PodNotes:
    """The Pods of a namespace, as observations show them."""

    def __init__(self, *, namespace: str) -> None:
        self._namespace = namespace
        self._pods: dict[str, Pod] = {}

    def observe(self, observation: Observation) -> None:
        match observation:
            case Listed(resource="pods", items=items):
                self._pods = {}
                for item in items:
                    self._keep(item)
            case Changed(resource="pods", type="DELETED", object=item):
                self._pods.pop(item.metadata.uid, None)
            case Changed(resource="pods", object=item):
                self._keep(item)
            case _:
                pass

    def of(self, name: str) -> tuple[Pod, ...]:
        """Return the Pods of a workload that count."""
        return tuple(belonging(self._pods.values(), namespace=self._namespace, name=name))

    def _keep(self, item: Object) -> None:
        if isinstance(item, Pod) and item.metadata.namespace == self._namespace:
            self._pods[item.metadata.uid] = item


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("workload", type=_workload, metavar="NAMESPACE/WORKLOAD")
    parser.add_argument("--for", choices=("covered",), default="covered", help="the only state")
    parser.add_argument(
        "--timeout", type=duration, default=60.0, metavar="DURATION", help="60s, 2m, 90 (60s)"
    )
    parser.add_argument(
        "--allow",
        type=_verdicts,
        default=(),
        metavar="VERDICT,…",
        help=f"let these pass too: {', '.join(ALLOWABLE)}",
    )
    parser.add_argument(
        "--pods", type=_number, default=1, metavar="N", help="Pods that there must be (1)"
    )
    parser.add_argument("--url", metavar="URL", help="API of a running monitor")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    parser.add_argument("--output", choices=("text", "json"), default="text")


def _workload(text: str) -> tuple[str, ...]:
    names = tuple(text.split("/"))
    if len(names) != 2 or not all(names):
        raise ArgumentTypeError(f"not NAMESPACE/WORKLOAD: {text!r}")
    return names


def _verdicts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if wrong := [name for name in names if name not in ALLOWABLE]:
        raise ArgumentTypeError(f"cannot be allowed: {', '.join(wrong)}")
    return names


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000):
        raise ArgumentTypeError(f"not a number of Pods: {text!r}")
    return int(text)


def run(options: Namespace) -> int:
    gate = Gate(options, progress=sys.stderr if options.output == "json" else sys.stdout)
    if options.url:
        passed, releases = _by_monitor(options, gate)
    else:
        passed, releases = asyncio.run(_by_cluster(options, gate))
    missing = [_described(one, releases.get(one.node)) for one in gate.seen.held]
    if options.output == "json":
        document = {
            "workload": gate.label,
            "covered": passed,
            "waitedSeconds": round(gate.waited, 1),
            "containers": gate.seen.containers,
            "missing": missing,
        }
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        sys.stdout.write(_text(gate, missing, passed=passed))
    return 0 if passed else 1


# --- where it is looked --------------------------------------------------------------------------


async def _by_cluster(options: Namespace, gate: Gate) -> tuple[bool, Mapping[str, str | None]]:
    # Reading a cluster needs the clients of one; asking a monitor does not.
    from monitor.commands import cluster

    notes = PodNotes(namespace=gate.namespace)
    configuration = cluster.configuration(options)
    async with cluster.looking(configuration, observers=[notes.observe], required=POLICIES) as look:

        def seen() -> Seen:
            return Seen(_of(look.engine.report(), gate), notes.of(gate.name))

        async def passing() -> None:
            await look.engine.synced.wait()
            while not gate.passes(seen()):  # noqa: ASYNC110  # bounded by a deadline
                await asyncio.sleep(LOOK_SECONDS)

        passed = await look.until(passing(), within=max(0.0, options.timeout - gate.waited))
        look.require(within=options.timeout)
        return passed, {node.node: node.release for node in look.engine.report().nodes}


def _of(report: Report, gate: Gate) -> tuple[Started, ...]:
    return tuple(
        Started(one.node, one.pod, one.container, one.workload, one.verdict, one.cause)
        for one in report.containers
        if one.namespace == gate.namespace
    )


def _by_monitor(options: Namespace, gate: Gate) -> tuple[bool, Mapping[str, str | None]]:
    """Ask a monitor until it says so; one that does not answer now may be starting again."""
    url, timeout = options.url, options.timeout
    while True:
        try:
            passed = gate.passes(_told_by(url, gate))
            if passed or gate.waited >= timeout:
                return passed, {one["node"]: one["release"] for one in running.rows(url, "nodes")}
        except SourceError:
            if gate.waited >= timeout:
                raise
        time.sleep(min(LOOK_SECONDS, max(0.0, timeout - gate.waited)))


def _told_by(url: str, gate: Gate) -> Seen:
    states = {one["name"]: one["state"] for one in running.rows(url, "sources")}
    if blind := [name for name in POLICIES if states.get(name) != "up"]:
        raise SourceError(f"the monitor at {url} cannot read {', '.join(blind)}")
    told = running.rows(url, "containers", namespace=gate.namespace)
    members = ("node", "pod", "container", "workload", "verdict", "cause")
    return Seen(tuple(Started(*(one[member] for member in members)) for one in told), None)


# --- what is said --------------------------------------------------------------------------------


def _text(gate: Gate, missing: Sequence[Mapping[str, Any]], *, passed: bool) -> str:
    """Say what is missing; containers of which the same is to be said are named together."""
    if passed:
        return f"{gate.label}: all of {gate.seen.containers} let through\n"
    lines = [f"{gate.label}: not covered after {gate.waited:.0f} s"]
    if not missing:
        lines.append("  there are fewer Pods than there must be")
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in missing:
        said = (one["standing"], one["what"], one["remedy"])
        alike.setdefault(said, []).append(f"{one['pod']}/{one['container']}")
    for (standing, what, remedy), names in alike.items():
        lines += [f"{standing}: {', '.join(names)}"]
        lines += [f"  what happened: {what}", f"  what to do: {remedy}"]
    return "\n".join(map(printable, lines)) + "\n"


def _described(one: Missing, release: str | None) -> dict[str, Any]:
    what, remedy = _advice(one, release)
    if one.verdict in ("exempt", "unsupported"):
        remedy = f"{remedy} To let it pass: --allow {one.verdict}."
    return {
        "node": one.node,
        "pod": one.pod,
        "container": one.container,
        "verdict": one.verdict or None,
        "cause": one.cause,
        "standing": _standing(one),
        "what": what,
        "remedy": remedy,
    }


def _advice(one: Missing, release: str | None) -> tuple[str, str]:
    cause = CAUSES.get(one.cause or "")
    if cause is not None:
        return cause.what, cause.remedy_on(release)
    return UNKNOWN_CAUSES.get(one.verdict, ("Nothing says why.", "See `explain`."))


def _standing(one: Missing) -> str:
    return ", ".join(filter(None, (one.verdict or "does not run yet", one.cause)))
