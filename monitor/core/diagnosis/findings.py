"""What one look at a cluster has shown, and what a check says of it."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from monitor.core.kubernetes import DaemonSet, Namespace, Node, Pod, Policy

State: TypeAlias = Literal["ok", "warning", "problem", "unknown"]
NAMED = 3


class Check(Struct, frozen=True):
    """One question and its answer.

    `found` is what was seen, `remedy` what to do about it; it is empty where nothing is to be done.
    """

    code: str
    state: State
    found: str
    remedy: str = ""


class DaemonSeen(Struct, frozen=True):
    """A node's daemon; None and "" stand for what its output, as far as it was read, did not say.

    `settings` are the keys of its `Final Configuration`; `dead_watches` the resources that it gave
    up watching; `created` is its Pod's, in Unix seconds.
    """

    node: str
    pod: str
    created: float = 0.0
    release: str | None = None
    enforcer: str | None = None
    enforcer_reason: str = ""
    container_source: str | None = None
    settings: Mapping[str, str] = {}
    dead_watches: tuple[str, ...] = ()


class Probe(Struct, frozen=True):
    """A question to a server: how long the answer took, or why there was none."""

    name: str
    seconds: float = 0.0
    failure: str = ""


class Certificate(Struct, frozen=True):
    """Until when a certificate is good, in Unix seconds; None where that could not be read."""

    name: str
    until: float | None
    failure: str = ""


class Cluster(Struct, frozen=True):
    """What one look has shown; None stands for what could not be read.

    `causes` are those of nodes whose daemon does not protect; `sources` are the reasons of sources
    that were down, empty for those that were up; `access` says of each right whether it is granted.
    """

    at: float
    kubearmor: str = "kubearmor"
    nodes: tuple[Node, ...] | None = None
    pods: tuple[Pod, ...] | None = None
    namespaces: tuple[Namespace, ...] | None = None
    daemon_sets: tuple[DaemonSet, ...] | None = None
    config: Mapping[str, str] | None = None
    policies: Mapping[str, tuple[Policy, ...]] = {}
    daemons: tuple[DaemonSeen, ...] = ()
    causes: Mapping[str, str] = {}
    sources: Mapping[str, str] = {}
    served: frozenset[str] | None = None
    access: Mapping[str, bool] = {}
    api_release: str = ""
    api: tuple[Probe, ...] = ()
    health: tuple[Probe, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    tls: bool = False


def some(names: Iterable[str]) -> str:
    """Name the first few, and count the others."""
    ordered = sorted(set(names))
    rest = len(ordered) - NAMED
    named = ", ".join(ordered[:NAMED])
    return f"{named} and {rest} more" if rest > 0 else named


def counted(number: int, noun: str) -> str:
    """Return `1 node`, `3 nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
