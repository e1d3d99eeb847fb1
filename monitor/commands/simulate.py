"""What policies would do before they are applied: who gains, who loses, who collides."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from monitor.commands.arguments import duration, instant
from monitor.commands.forecast import render
from monitor.commands.manifests import Document, read_manifests, skipped
from monitor.core.daemon_events import PolicyEvent
from monitor.core.evidence import PolicyKey
from monitor.core.lint.remarks import Manifest, dotted
from monitor.core.lint.shape import wrong_types
from monitor.core.model import ContainerCoverage, Report
from monitor.core.objects import Objects
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.semantics import behaviour, parse
from monitor.core.simulation import Effect, Simulation, scene_of, simulate
from monitor.errors import ConfigurationError

EXAMPLES = """\
examples:
  kubearmor-monitor simulate -f policy.yaml
  kubearmor-monitor simulate -f policies/ --release v1.5.7 --release v1.7.4
  kustomize build overlays/production | kubearmor-monitor simulate -f - --context production
  kubearmor-monitor simulate -f policy.yaml --trace trace.jsonl.zst --until 1795469290.03

Nothing is applied. Files are YAML or JSON, with several documents each; a folder stands for all
such files below it, - for standard input. The cluster of the kubeconfig, or a trace, says which
Pods, namespaces and policies there are; each node's daemon is modelled by its release (or by those
named), and takes the policies of the files in their order.

Exit code 1: a container loses a policy or keeps an old revision, a replacement of its Pod would get
something else, or policies collide by their name.
"""
SPARED = ("exempt", "unsupported")


class Sight(Struct, frozen=True):
    """What is known of the cluster."""

    objects: Objects
    report: Report


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-f",
        "--file",
        dest="files",
        nargs="+",
        action="extend",
        required=True,
        metavar="POLICY",
        help="YAML, a folder, or -",
    )
    parser.add_argument(
        "--namespace",
        default="default",
        metavar="NAME",
        help="of the namespaced policies in files that name none (default)",
    )
    parser.add_argument(
        "--release",
        dest="releases",
        type=_release,
        action="append",
        default=[],
        metavar="vX.Y.Z",
        help="instead of the releases on the nodes; several times for several",
    )
    parser.add_argument("--trace", type=Path, metavar="TRACE", help="a recorded trace")
    parser.add_argument("--until", type=instant, metavar="UNIX", help="of the trace")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig, if not the current")
    parser.add_argument(
        "--timeout", type=duration, default=60.0, metavar="DURATION", help="for the cluster (60s)"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text")


def _release(text: str) -> str:
    if behaviour(text) is None:
        raise ArgumentTypeError(f"not a described release of KubeArmor (v1.4.0 or later): {text!r}")
    return text


def run(options: Namespace) -> int:
    reading = read_manifests(options.files, namespace=options.namespace)
    policies = _named(reading.documents)
    forecast = _forecast(_look(options), policies, options.releases)
    if not forecast["releases"]:
        raise ConfigurationError("no node's release is known or described; name one with --release")
    sys.stderr.write(skipped(reading))
    if options.output == "json":
        sys.stdout.write(orjson.dumps(forecast).decode() + "\n")
    else:
        sys.stdout.write(render(forecast))
    return int(any(_is_finding(one) for one in forecast["releases"]))


def _named(documents: Sequence[Document]) -> list[Manifest]:
    """The policies; raise ConfigurationError for what the API server would refuse.

    That is one without a name, or with a value of the wrong type; and where none is for containers.
    """
    problems = [
        f"{one.file}:{one.line(('metadata',))}: {one.manifest.kind} without a name"
        for one in documents
        if not one.manifest.name
    ]
    problems += [
        f"{one.file}:{one.line(remark.path)}: {dotted(remark.path)}: {remark.reason}"
        for one in documents
        for remark in wrong_types(one.manifest)
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    policies = [one.manifest for one in documents]
    if not any(one.kind in CONTAINER_KINDS for one in policies):
        raise ConfigurationError(f"no {' or '.join(CONTAINER_KINDS)} in the files")
    return policies


def _is_finding(release: Mapping[str, Any]) -> bool:
    harms = ("loses", "stale", "laterGains", "laterLoses")
    harmed = any(one[harm] for one in release["containers"] for harm in harms)
    return harmed or bool(release["collisions"])


# --- what there is ------------------------------------------------------------------------------


def _look(options: Namespace) -> Sight:
    objects = Objects()
    if options.trace:
        return Sight(objects=objects, report=_replayed(options, objects))
    # Reading a cluster needs the clients of one; a trace does not.
    from monitor.commands import cluster

    configuration = cluster.configuration(options)
    report = asyncio.run(
        cluster.look_once(configuration, within=options.timeout, observers=[objects.observe])
    )
    return Sight(objects=objects, report=report)


def _replayed(options: Namespace, objects: Objects) -> Report:
    from monitor.commands.timeline import open_timeline
    from monitor.wire.trace import Trace

    for moment in Trace(options.trace):
        if options.until is not None and moment.at > options.until:
            break
        objects.observe(moment.observation)
    _, timeline = open_timeline(options.trace)
    for _ in timeline.play(options.until):
        pass
    return timeline.report()


# --- what would be ------------------------------------------------------------------------------


def _forecast(
    sight: Sight, policies: Sequence[Manifest], releases: Sequence[str]
) -> dict[str, Any]:
    changes = _changes(sight.objects, [one for one in policies if one.kind in CONTAINER_KINDS])
    nodes = {node.node: node.release for node in sight.report.nodes}
    found: defaultdict[str, list[str]] = defaultdict(list)
    skipped = []
    for node, release in sorted(nodes.items()):
        if releases:
            for one in dict.fromkeys(releases):
                found[one].append(node)
        elif release is not None and behaviour(release) is not None:
            found[release].append(node)
        else:
            skipped.append({"node": node, "release": release})
    return {
        "policies": [{**_reference(change.key), "action": change.action} for change in changes],
        "releases": [
            _by_release(release, found[release], sight, changes)
            for release in sorted(found, key=lambda release: (parse(release), release))
        ],
        "skipped": skipped,
        "others": [one.title for one in policies if one.kind not in CONTAINER_KINDS],
    }


def _changes(objects: Objects, policies: Iterable[Manifest]) -> list[PolicyEvent]:
    """What a watch would show: what is there is modified, unless it is just so."""
    known = {
        (kind, policy.metadata.namespace, policy.metadata.name): (
            policy.spec or {},
            policy.metadata.generation,
        )
        for kind, policy in objects.policies
    }
    changes = []
    for manifest in policies:
        spec, generation = known.get(manifest.key, (None, 0))
        if spec == manifest.spec:
            continue
        known[manifest.key] = (dict(manifest.spec), generation + 1)
        change = PolicyEvent(
            action="added" if spec is None else "modified",
            kind=manifest.kind,
            namespace=manifest.namespace,
            name=manifest.name,
            spec=manifest.spec,
            generation=generation + 1,
        )
        changes.append(change)
    return changes


def _by_release(
    release: str, nodes: Iterable[str], sight: Sight, changes: Sequence[PolicyEvent]
) -> dict[str, Any]:
    known = behaviour(release)
    assert known is not None
    spared = {one.container_id: one for one in sight.report.containers if one.verdict in SPARED}
    simulated = {node: simulate(known, scene_of(node, sight.objects), changes) for node in nodes}
    reached = frozenset[PolicyKey]().union(*(one.reached for one in simulated.values()))
    return {
        "release": release,
        "nodes": list(simulated),
        "containersSimulated": sum(one.containers for one in simulated.values()),
        "containers": [
            _container(node, effect, spared.get(effect.container_id))
            for node, one in simulated.items()
            for effect in sorted(one.effects, key=_place)
        ],
        "collisions": _collisions(simulated.values()),
        "reachesNobody": [_reference(key) for key in sorted({c.key for c in changes} - reached)],
    }


def _place(effect: Effect) -> tuple[str, str, str]:
    return (effect.namespace, effect.pod, effect.container)


# --- as JSON ------------------------------------------------------------------------------------


def _container(node: str, effect: Effect, spared: ContainerCoverage | None) -> dict[str, Any]:
    return {
        "node": node,
        "namespace": effect.namespace,
        "pod": effect.pod,
        "container": effect.container,
        "containerId": effect.container_id,
        "spared": spared.cause if spared else None,
        "gains": _references(effect.gains),
        "loses": _references(effect.loses),
        "revised": _references(effect.revised),
        "stale": _references(effect.stale),
        "laterGains": _references(effect.later_gains),
        "laterLoses": _references(effect.later_loses),
    }


def _references(keys: Iterable[PolicyKey]) -> list[dict[str, str]]:
    return [_reference(key) for key in keys]


def _reference(key: PolicyKey) -> dict[str, str]:
    kind, namespace, name = key
    return {"kind": kind, "namespace": namespace, "name": name}


def _collisions(simulations: Iterable[Simulation]) -> list[dict[str, Any]]:
    """Every collision once: all daemons of a release store the same policies."""
    met = dict.fromkeys(collision for one in simulations for collision in one.collisions)
    return [
        {
            "policy": _reference(one.policy),
            "other": _reference(one.other),
            "effect": one.effect,
        }
        for one in met
    ]
