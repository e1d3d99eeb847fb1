"""What policies would do to a node's containers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from monitor.core.daemon_events import PolicyEvent
from monitor.core.endpoints import Collision
from monitor.core.evidence import PolicyKey
from monitor.core.kubernetes import (
    ContainerState,
    ContainerStatus,
    Metadata,
    Namespace,
    Pod,
    PodStatus,
    Policy,
    Running,
)
from monitor.core.semantics import NEWEST, behaviour
from monitor.core.simulation import Effect, Scene, simulate
from tests.core.stories import ZERO, iso

CLUSTER: Final[PolicyKey] = ("KubeArmorClusterPolicy", "", "p")
SHOP: Final[PolicyKey] = ("KubeArmorPolicy", "shop", "p")
WEB: Final[Mapping[str, Any]] = {"selector": {"matchLabels": {"app": "web"}}}
NOTHING: Final[tuple[PolicyKey, ...]] = ()


def pod(*, at: float = 0.0, namespace: str = "shop", containers: Sequence[str] = ("app",)) -> Pod:
    statuses = [
        ContainerStatus(
            name=name,
            container_id=f"containerd://{name}",
            state=ContainerState(running=Running(started_at=iso(ZERO + at))),
        )
        for name in containers
    ]
    return Pod(
        metadata=Metadata(uid="x", name="x", namespace=namespace, labels={"app": "web"}),
        status=PodStatus(container_statuses=statuses),
    )


def policy(key: PolicyKey, spec: Mapping[str, Any], *, at: float = -1.0) -> tuple[str, Policy]:
    kind, namespace, name = key
    metadata = Metadata(
        uid=name,
        name=name,
        namespace=namespace,
        generation=1,
        creation_timestamp=iso(ZERO + at),
    )
    return kind, Policy(metadata=metadata, spec=dict(spec))


def scene(
    *policies: tuple[str, Policy], of: Pod, started: float = -100.0, fresh: float = 5
) -> Scene:
    """A node whose daemon started long ago, and a namespace `fresh` made at second 5."""
    ages = {"shop": -1000.0, "fresh": fresh}
    return Scene(
        started=ZERO + started,
        namespaces=tuple(
            Namespace(
                metadata=Metadata(uid=name, name=name, creation_timestamp=iso(ZERO + created))
            )
            for name, created in ages.items()
        ),
        policies=policies,
        pods=(of,),
    )


def change(key: PolicyKey, spec: Mapping[str, Any], *, generation: int = 1) -> PolicyEvent:
    kind, namespace, name = key
    return PolicyEvent(
        action="added" if generation == 1 else "modified",
        kind=kind,
        namespace=namespace,
        name=name,
        spec=spec,
        generation=generation,
    )


def effect(container: str = "app", **changes: tuple[PolicyKey, ...]) -> Effect:
    members = ("gains", "loses", "revised", "stale", "later_gains", "later_loses")
    return Effect(
        namespace="shop",
        pod="x",
        container=container,
        container_id=container,
        **{member: changes.get(member, NOTHING) for member in members},
    )


def test_a_new_policy_is_gained() -> None:
    done = simulate(NEWEST, scene(of=pod()), [change(SHOP, WEB)])
    assert (done.effects, done.reached) == ((effect(gains=(SHOP,)),), frozenset({SHOP}))


def test_what_changes_nothing_is_not_listed() -> None:
    done = simulate(NEWEST, scene(of=pod()), [change(("KubeArmorPolicy", "pay", "p"), {})])
    assert (done.containers, done.effects, done.reached) == (1, (), frozenset())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"app": "web"}, effect(revised=(SHOP,))),
        ({"app": "db"}, effect(loses=(SHOP,))),
        ({"kubearmor.io/container.name": "[log]"}, effect(stale=(SHOP,), later_loses=(SHOP,))),
    ],
)
def test_an_edit_revises_or_takes_off_or_passes_by(
    labels: Mapping[str, str], expected: Effect
) -> None:
    edited = change(SHOP, {"selector": {"matchLabels": labels}}, generation=2)
    done = simulate(NEWEST, scene(policy(SHOP, WEB), of=pod()), [edited])
    assert done.effects == (expected,)


def test_a_cluster_policy_with_a_taken_name_reaches_no_later_pod() -> None:
    other: PolicyKey = ("KubeArmorPolicy", "pay", "p")
    done = simulate(NEWEST, scene(policy(other, {}), of=pod()), [change(CLUSTER, {})])
    assert done.effects == (effect(gains=(CLUSTER,), later_loses=(CLUSTER,)),)
    assert done.collisions == (Collision(policy=CLUSTER, other=other, effect="not-stored"),)


def test_what_collides_already_is_not_laid_on_the_new_policies() -> None:
    there = scene(policy(SHOP, {}, at=-2), policy(CLUSTER, {}), of=pod())
    done = simulate(NEWEST, there, [change(("KubeArmorPolicy", "shop", "new"), {})])
    assert done.collisions == ()
    assert [one.gains for one in done.effects] == [(("KubeArmorPolicy", "shop", "new"),)]


@pytest.mark.parametrize(
    ("release", "started", "lost"),
    [("v1.5.7", -100.0, 0), ("v1.5.7", 10.0, 1), ("v1.6.0", -100.0, 1)],
)
def test_the_order_of_creation_and_the_daemons_start_decide_what_was_attached(
    release: str, started: float, lost: int
) -> None:
    """A Pod of a namespace younger than the policy; the policy is narrowed to nothing."""
    known = behaviour(release)
    assert known is not None
    nowhere = {"selector": {"matchExpressions": [{"key": "namespace", "operator": "In"}]}}
    there = scene(policy(CLUSTER, {}), of=pod(namespace="fresh", at=9), started=started)
    done = simulate(known, there, [change(CLUSTER, nowhere, generation=2)])
    assert [one.loses for one in done.effects] == [(CLUSTER,)] * lost


def test_every_container_is_looked_at_by_itself() -> None:
    named = {"selector": {"matchLabels": {"kubearmor.io/container.name": "[log]"}}}
    done = simulate(NEWEST, scene(of=pod(containers=("app", "log"))), [change(SHOP, named)])
    assert (done.containers, done.effects) == (2, (effect("log", gains=(SHOP,)),))
