"""Which policies a container is expected to have: KubeArmor's own answers, its newest release's.

`tests/vectors/selection.jsonl` holds what KubeArmor's code attached to which container. The
expected set is judged from the objects as they are in the end; what a daemon attaches besides,
because of the order of events or of equal names, is no part of it.
"""

from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from monitor.core.selector import Selector, cluster_wide, identities, namespaced

VECTORS: Final = Path(__file__).parent.parent / "vectors" / "selection.jsonl"
NEWEST: Final = "v1.7.4"
OF_ORDER_OR_NAME: Final = (
    "same-name",
    "container-shrink",
    "container-move",
    "update-missing",
    "newns-podbeforens",
)

Case = dict[str, Any]


def cases() -> dict[str, Case]:
    lines = (orjson.loads(line) for line in VECTORS.read_bytes().splitlines())
    return {
        line["case"]["id"]: line
        for line in lines
        if not line["case"]["id"].startswith(OF_ORDER_OR_NAME)
    }


CASES: Final = cases()


def name_of(policy: Case) -> str:
    metadata = policy["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def at_last(case: Case) -> tuple[dict[str, Case], dict[str, Case]]:
    """The policies and the Pods after the case's last step."""
    policies = {name_of(policy): policy for policy in case["policies"]}
    pods = {f"{pod['namespace']}/{pod['name']}": pod for pod in case["pods"]}
    steps = case.get("order")
    standing: dict[str, Case] = {} if steps else dict(policies)
    running: dict[str, Case] = {} if steps else dict(pods)
    for step in steps or ():
        what, _, name = step.partition(":")
        if what in {"policy-update", "cluster-update"}:
            standing[name] = next(p for p in case["updates"] if name_of(p) == name)
        elif what in {"policy-delete", "cluster-delete"}:
            standing.pop(name, None)
        elif what in {"policy", "cluster"}:
            standing[name] = policies[name]
        elif what == "pod-update":
            changed = next(p for p in case["podUpdates"] if f"{p['namespace']}/{p['name']}" == name)
            running[name] = {**running[name], **changed}
        elif what == "pod-delete":
            running.pop(name, None)
        elif what == "pod":
            running[name] = pods[name]
    return standing, running


def selector_of(policy: Case) -> Selector:
    if policy["kind"] == "KubeArmorPolicy":
        return namespaced(namespace=policy["metadata"]["namespace"], spec=policy["spec"])
    return cluster_wide(spec=policy["spec"])


@pytest.mark.parametrize("identity", CASES)
def test_a_container_is_expected_to_have_what_the_newest_release_attaches(identity: str) -> None:
    case = CASES[identity]["case"]
    answer = CASES[identity]["answers"][NEWEST]["byContainer"]
    policies, pods = at_last(case)
    expected = {
        f"{name}/{container}": sorted(
            reference
            for reference, policy in policies.items()
            if selector_of(policy).selects(
                namespace=pod["namespace"],
                identities=identities(namespace=pod["namespace"], labels=pod.get("labels")),
                container=container,
            )
        )
        for name, pod in pods.items()
        for container in pod["containers"]
    }
    assert expected == {name: sorted(attached) for name, attached in answer.items()}
