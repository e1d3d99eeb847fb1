"""Plays a selection case on the model of a daemon, and compares with what KubeArmor answered.

A case gives objects and steps, an answer the daemon's endpoint list after the last step: `attached`
(Pod → names of policies), `byContainer` (namespace/Pod/container → policies) and `errors` (policies
that the daemon refused to read, which the steps of a case cannot bring about).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from monitor.core.believed import Believed
from monitor.core.daemon_events import (
    CLUSTER_KIND,
    Action,
    Event,
    NamespaceEvent,
    PodEvent,
    PolicyEvent,
)
from monitor.core.semantics import behaviour

Object: TypeAlias = dict[str, Any]

BUNDLED: Final = Path(__file__).parent / "selection.jsonl"
ALWAYS_THERE: Final = ("default", "kube-system", "kube-public", "kube-node-lease", "kubearmor")
ACTIONS: Final[dict[str, Action]] = {"": "added", "update": "modified", "delete": "deleted"}


class MalformedError(ValueError):
    """A line that is no vector; the message names it."""


class Disagreement(NamedTuple):
    """Where the model and KubeArmor differ; `subject` is a container, a Pod or `errors`."""

    case: str
    release: str
    subject: str
    expected: Any
    got: Any


def vectors(path: Path) -> Iterator[Object]:
    """Read a file of vectors, a case a line."""
    yield from (vector for _, vector in numbered(path))


def numbered(path: Path) -> Iterator[tuple[int, Object]]:
    """Read a file of vectors, each with the number of its line.

    Raises MalformedError for a line that is no JSON, OSError for a file that cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                vector = orjson.loads(line)
            except ValueError as error:
                raise MalformedError(f"{path}:{number}: {error}") from error
            yield number, vector


def answer(case: Object, release: str) -> Object:
    """What the model says is attached in the end, in the shape of KubeArmor's answer."""
    known = behaviour(release)
    if known is None:
        raise ValueError(f"{release} is not described")
    believed = Believed(known, namespaces=initial_namespaces(case))
    for event in events(case):
        believed.take(event)
    attached: dict[str, set[str]] = {}
    by_container: dict[str, list[str]] = {}
    for endpoint in believed.endpoints:
        pod = f"{endpoint.namespace}/{endpoint.pod}"
        names = attached.setdefault(pod, set())
        names |= {policy.key[2] for policy in endpoint.policies}
        by_container[f"{pod}/{endpoint.container}"] = sorted(
            "/".join(part for part in policy.key[1:] if part) for policy in endpoint.policies
        )
    return {
        "attached": {pod: sorted(names) for pod, names in attached.items()},
        "byContainer": by_container,
        "errors": [],
    }


def disagreements(vector: Object) -> Iterator[Disagreement]:
    """Hold the model against every release that a vector answers."""
    case = vector["case"]
    for release, expected in vector["answers"].items():
        got = answer(case, release)
        for part in ("byContainer", "attached"):
            theirs, ours = expected.get(part) or {}, got[part]
            for subject in sorted(theirs.keys() | ours.keys()):
                pair = (_sorted(theirs.get(subject)), ours.get(subject))
                if pair[0] != pair[1]:
                    yield Disagreement(case["id"], release, subject, *pair)
        if (expected.get("errors") or []) != got["errors"]:
            yield Disagreement(case["id"], release, "errors", expected["errors"], got["errors"])


def _sorted(names: list[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def initial_namespaces(case: Object) -> set[str]:
    """The namespaces that are there before the first step."""
    if case.get("namespaces") is not None:
        return set(case["namespaces"])
    made = {step.partition(":")[2] for step in steps(case) if step.startswith("namespace:")}
    named = {pod["namespace"] for pod in case["pods"]}
    named |= {policy["metadata"].get("namespace") or "default" for policy in case["policies"]}
    return (named | set(ALWAYS_THERE)) - made


def steps(case: Object) -> list[str]:
    """The steps of a case; without any, its policies and then its Pods are added."""
    written: list[str] | None = case.get("order")
    if written:
        return written
    policies = [f"policy:{reference(policy)}" for policy in case["policies"]]
    return policies + [f"pod:{pod['namespace']}/{pod['name']}" for pod in case["pods"]]


def reference(policy: Object) -> str:
    metadata = policy["metadata"]
    return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)


def events(case: Object) -> Iterator[Event]:
    """The events that a daemon's watches show for the steps."""
    for step in steps(case):
        verb, _, name = step.partition(":")
        subject, _, change = verb.partition("-")
        action = ACTIONS[change]
        if subject == "namespace":
            yield NamespaceEvent(action=action, name=name)
        elif subject == "pod":
            yield from _pod(case, action, name)
        else:
            yield _policy(case, action, name, cluster_only=subject == "cluster")


def _policy(case: Object, action: Action, name: str, *, cluster_only: bool) -> PolicyEvent:
    found = next(
        policy
        for policy in case["updates" if action == "modified" else "policies"]
        if reference(policy) == name and (not cluster_only or policy["kind"] == CLUSTER_KIND)
    )
    metadata = found["metadata"]
    return PolicyEvent(
        action=action,
        kind=found["kind"],
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        spec=found.get("spec") or {},
    )


def _pod(case: Object, action: Action, name: str) -> Iterator[PodEvent]:
    """A Pod is added before its containers have ids, and modified when they do."""
    found = next(
        pod
        for pod in case["podUpdates" if action == "modified" else "pods"]
        if f"{pod['namespace']}/{pod['name']}" == name
    )
    ids = {container: f"{name}/{container}" for container in found["containers"]}
    labels = found.get("labels") or {}
    for happened in ("added", "modified") if action == "added" else (action,):
        yield PodEvent(
            action=happened,
            namespace=found["namespace"],
            name=found["name"],
            labels=labels,
            containers={} if happened == "added" else ids,
        )
