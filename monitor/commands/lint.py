"""Policies held against what KubeArmor makes of them: files, or those of a cluster."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import orjson
from msgspec import structs

from monitor.commands.arguments import duration
from monitor.commands.manifests import Document, Reading, read_manifests, skipped
from monitor.commands.remarks import Json, Located, as_json, render
from monitor.commands.sarif import sarif
from monitor.core.lint import remarks_among, remarks_in, remarks_on
from monitor.core.lint.cluster import ENFORCERS, Cluster
from monitor.core.lint.remarks import Enforcer, Manifest, Remark
from monitor.core.semantics import parse
from monitor.errors import ConfigurationError

NAME = ("metadata", "name")
EXAMPLES = """\
examples:
  kubearmor-monitor lint policies/
  kubearmor-monitor lint policies/ --output sarif > lint.sarif
  kustomize build overlays/production | kubearmor-monitor lint - --release v1.5.7
  kubearmor-monitor lint --cluster --context staging
  kubearmor-monitor lint policies/ --cluster

Files are YAML or JSON, with several documents each; a folder stands for all such files below it, -
for standard input. With --cluster alone the policies of the cluster are read; with files too, the
files are read beside what the cluster has: its policies' names, namespaces, Pods, nodes, default
postures and the releases of KubeArmor in it. What cannot be known from files alone is a note.

Exit code 1: an error or a warning (notes do not count). 2: a file cannot be read or is no YAML.
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="YAML, a folder, or -")
    parser.add_argument("--cluster", action="store_true", help="read a cluster too")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the usual one")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig, if not the current")
    parser.add_argument(
        "--namespace",
        default="default",
        metavar="NAME",
        help="of the namespaced policies in files that name none (default)",
    )
    parser.add_argument(
        "--release",
        action="append",
        default=[],
        type=_release,
        metavar="VERSION",
        help="of KubeArmor that will apply the policies; several times for several",
    )
    parser.add_argument(
        "--enforcer",
        action="append",
        choices=ENFORCERS,
        help="of the nodes (bpf, or what the labels of the cluster's nodes say)",
    )
    parser.add_argument("--output", choices=("text", "json", "sarif"), default="text")
    parser.add_argument(
        "--timeout", type=duration, default=60.0, metavar="DURATION", help="for the cluster (60s)"
    )


def _release(text: str) -> str:
    if parse(text) is None:
        raise ArgumentTypeError(f"not a version such as v1.5.7: {text!r}")
    return text


def run(options: Namespace) -> int:
    if not (options.files or options.cluster):
        raise ConfigurationError("nothing to read: name files, folders or -, or say --cluster")
    reading = read_manifests(options.files, namespace=options.namespace)
    standing, cluster = _read_cluster(options) if options.cluster else ((), Cluster())
    releases = cluster.releases | frozenset(options.release)
    cluster = structs.replace(cluster, releases=releases)
    enforcers = tuple(options.enforcer or cluster.enforcers)
    documents = reading.documents
    policies = tuple(one.manifest for one in documents) if options.files else standing
    found = remarks(policies, beside=standing, cluster=cluster, enforcers=enforcers)
    found += _repetitions(documents)
    located = list(_located(found, documents))
    _write(options.output, located, reading, policies=len(policies))
    return int(any(one.remark.severity != "note" for one in located))


def _read_cluster(options: Namespace) -> tuple[tuple[Manifest, ...], Cluster]:
    # Reading a cluster needs the clients of one; files do not.
    from monitor.commands import cluster, inventory

    configuration = cluster.configuration(options)
    objects = asyncio.run(inventory.read_inventory(configuration, seconds=options.timeout))
    daemons_in = configuration.kubearmor.namespace
    return inventory.policies_of(objects), inventory.cluster_of(objects, daemons_in=daemons_in)


def remarks(
    policies: Iterable[Manifest],
    *,
    beside: Iterable[Manifest],
    cluster: Cluster,
    enforcers: tuple[Enforcer, ...],
) -> list[tuple[int, Remark]]:
    """Return what is to be said of each policy, with its place among them.

    `beside` are policies that stand in the cluster already: their names count, unless it is a
    later state of one of them that is read.
    """
    listed = list(policies)
    read = {one.key for one in listed}
    others = [one for one in beside if one.key not in read]
    found: list[tuple[int, Remark]] = []
    collisions: dict[tuple[str, str, str], list[Remark]] = defaultdict(list)
    for collision in remarks_among([*listed, *others]):
        collisions[collision.policy.key].append(collision)
    for index, policy in enumerate(listed):
        found += ((index, one) for one in remarks_on(policy, enforcers=enforcers))
        found += ((index, one) for one in collisions[policy.key])
        found += ((index, one) for one in remarks_in(policy, cluster))
    return found


def _repetitions(documents: Sequence[Document]) -> Iterator[tuple[int, Remark]]:
    """The documents that are the same policy as others: only the last one applied is in force."""
    alike: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, document in enumerate(documents):
        if document.is_named:
            alike[document.manifest.key].append(index)
    for indices in alike.values():
        for index in indices if len(indices) > 1 else ():
            others = [documents[one] for one in indices if one != index]
            yield index, _repetition(documents[index], others)


def _repetition(document: Document, others: Sequence[Document]) -> Remark:
    places = ", ".join(f"{one.file}:{one.line(NAME)}" for one in others)
    differ = any(one.manifest.spec != document.manifest.spec for one in others)
    reason = (
        "what it says is not the same, and only the one that is applied last is in force."
        if differ
        else "it says the same. One of them is enough."
    )
    return Remark(
        code="name-collision",
        severity="error" if differ else "note",
        policy=document.manifest,
        path=NAME,
        reason=f"The same policy is also in {places}: {reason}",
    )


def _located(found: Iterable[tuple[int, Remark]], documents: list[Document]) -> Iterator[Located]:
    """Give each remark its file and line; the policies of a cluster have none."""
    for index, remark in found:
        if documents:
            document = documents[index]
            yield Located(remark, file=document.file, line=document.line(remark.path))
        else:
            yield Located(remark)


def _write(output: str, found: list[Located], reading: Reading, *, policies: int) -> None:
    found.sort(key=lambda one: (one.file, one.line))
    if output == "text":
        sys.stdout.write(render(found, policies=policies))
    else:
        document: Json = (
            sarif(found)
            if output == "sarif"
            else as_json(found, policies=policies, skipped=reading.skipped)
        )
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stderr.write(skipped(reading))
