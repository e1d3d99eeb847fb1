"""When an informer lists anew, and what the daemon learns by that."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.emulator.informers import Absence, Waits, absences, lists_again
from tests.emulator.scene import Scene, cluster_policy, pod

SEEDS = st.integers()


@given(seed=SEEDS)
def test_an_informer_lists_at_the_second_attempt_that_is_answered(seed: int) -> None:
    """Attempts fall 0.8, 2.4, 5.6, 12, 24.8 seconds after the loss, or up to twice as late."""
    at = lists_again(since=100.0, back=106.0, generator=random.Random(seed))
    assert 112.0 <= at <= 124.0 or 124.8 <= at <= 149.6


@given(seed=SEEDS)
def test_a_revision_that_expired_while_the_server_was_there_costs_one_wait(seed: int) -> None:
    at = lists_again(since=100.0, back=100.0, generator=random.Random(seed))
    assert 100.8 <= at <= 101.6


@given(seed=SEEDS)
def test_no_wait_exceeds_twice_the_longest(seed: int) -> None:
    at = lists_again(
        since=0.0, back=60.0, generator=random.Random(seed), waits=Waits(first=0.1, longest=0.3)
    )
    assert 60.3 <= at <= 61.2


def _source(name: str, state: str, at: float) -> dict[str, object]:
    return {"kind": "source", "name": name, "state": state, "at": at}


def test_an_absence_lasts_from_the_first_refusal_at_least_to_the_last() -> None:
    records = [
        _source("kubernetes/pods", "up", 1.0),
        _source("text/node-a", "down", 5.0),
        _source("kubernetes/pods", "down", 5.0),
        _source("kubernetes/nodes", "down", 5.1),
        _source("kubernetes/pods", "down", 5.5),
        {"kind": "list", "at": 6.0, "resource": "pods", "items": []},
        _source("kubernetes/pods", "up", 6.0),
        _source("kubernetes/nodes", "down", 9.0),
    ]
    assert list(absences(records)) == [Absence("pods", 5.0, 5.5)]


def _in_force(version: str) -> Scene:
    scene = Scene(version)
    scene.start()
    scene.apply("kubearmorclusterpolicies", "ADDED", _revised(1))
    scene.settle()
    scene.run()
    return scene


def _revised(revision: int, name: str = "base") -> dict[str, object]:
    policy = cluster_policy(name)
    return policy | {"metadata": {"name": name, "resourceVersion": str(revision)}}


def _detected(scene: Scene, *, since: int) -> list[str]:
    return [line for line in scene.lines[since:] if line.startswith("Detected a")]


POD = "Detected a Pod (modified/shop/web)"
POLICY = "Detected a Cluster Security Policy (modified/base)"
AGAIN = {
    ("v1.6.4", "kubearmorclusterpolicies"): [],
    ("v1.7.4", "kubearmorclusterpolicies"): [POLICY],
    ("v1.5.7", "pods"): [POD],
    ("v1.6.4", "pods"): [POD],
    ("v1.7.4", "pods"): [POD],
}


@pytest.mark.parametrize(("version", "resource"), AGAIN)
def test_what_did_not_change_is_delivered_again_by_release(version: str, resource: str) -> None:
    scene = _in_force(version)
    before = len(scene.lines)
    scene.daemon.relist(resource, scene.now, at=scene.now + 3.0)
    scene.settle()
    assert _detected(scene, since=before) == AGAIN[version, resource]


def test_an_informer_that_is_away_hears_nothing_and_the_others_go_on() -> None:
    scene = _in_force("v1.7.4")
    before = len(scene.lines)
    scene.daemon.relist("kubearmorclusterpolicies", scene.now, at=scene.now + 20.0)
    scene.apply("kubearmorclusterpolicies", "MODIFIED", _revised(2))
    scene.apply("pods", "MODIFIED", pod())
    scene.settle()
    assert _detected(scene, since=before) == [POD]
    scene.settle(20.0)
    assert _detected(scene, since=before) == [POD, POLICY]


def test_what_came_and_went_while_an_informer_was_away_never_was() -> None:
    scene = _in_force("v1.7.4")
    before = len(scene.lines)
    scene.daemon.relist("kubearmorclusterpolicies", scene.now, at=scene.now + 1.0)
    scene.apply("kubearmorclusterpolicies", "ADDED", _revised(3, "short"))
    scene.apply("kubearmorclusterpolicies", "DELETED", _revised(3, "short"))
    scene.settle()
    assert _detected(scene, since=before) == [POLICY]


def test_a_policy_deleted_while_its_informer_was_away_stays_in_force() -> None:
    scene = _in_force("v1.7.4")
    before = len(scene.lines)
    scene.daemon.relist("kubearmorclusterpolicies", scene.now, at=scene.now + 1.0)
    scene.apply("kubearmorclusterpolicies", "DELETED", _revised(1))
    scene.settle()
    assert (_detected(scene, since=before), scene.act().denied) == ([], True)


def test_a_second_loss_before_the_list_puts_it_off() -> None:
    scene = _in_force("v1.7.4")
    before = len(scene.lines)
    scene.daemon.relist("pods", scene.now, at=scene.now + 3.0)
    scene.daemon.relist("pods", scene.now + 1.0, at=scene.now + 30.0)
    scene.settle()
    assert _detected(scene, since=before) == []
    scene.settle(30.0)
    assert _detected(scene, since=before) == [POD]
