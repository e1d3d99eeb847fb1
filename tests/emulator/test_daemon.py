"""What an emulated daemon prints and refuses, by release and by failure."""

from dataclasses import dataclass

import pytest

from tests.emulator.kernel import INNER_LIMIT
from tests.emulator.scene import APT, Scene, cluster_policy, id_of, pod
from tests.emulator.switches import Failures
from tests.emulator.world import RuntimeContainer

NEWEST = "v1.7.4"
UPDATING = "Updating container rules"
CREATING = "Creating inner map"
DELETING = "Deleting inner map"


def in_force(version: str = NEWEST, *, failures: Failures | None = None) -> Scene:
    """Return a scene in which a Pod runs that a cluster policy selects."""
    scene = Scene(version, failures=failures)
    scene.start()
    scene.apply("kubearmorclusterpolicies", "ADDED", cluster_policy())
    scene.settle()
    scene.run()
    return scene


@dataclass(frozen=True)
class Story:
    failures: Failures
    rules: list[str]
    denied: bool
    says: str


STORIES = {
    "nothing fails": Story(
        Failures(), [UPDATING, CREATING], True, "Initialized KubeArmor Enforcer"
    ),
    "no enforcer": Story(
        Failures(no_enforcer=True),
        [],
        False,
        "Disabled KubeArmor Enforcer: failed to create runtime enforcer",
    ),
    "container source dead": Story(
        Failures(container_source_dead=True),
        [UPDATING],
        False,
        "Failed to create NRI stub: invalid NRI socket",
    ),
    "cluster policies never watched": Story(
        Failures(cluster_policy_watch_dead=True),
        [UPDATING, DELETING],
        False,
        "timeout while monitoring cluster security policies, "
        "kubearmorclusterpolicies CRD not found",
    ),
    "no Pod events": Story(
        Failures(pod_informer_failed=True),
        [],
        False,
        "Detected a Cluster Security Policy (added/base)",
    ),
    "policy event lost": Story(
        Failures(unseen_policies=frozenset({"base"})),
        [UPDATING, DELETING],
        False,
        "Detected a Pod (modified/shop/web)",
    ),
    "policy rejected": Story(
        Failures(rejected_policies=frozenset({"base"})),
        [UPDATING, DELETING],
        False,
        "Error ADD, the server is currently unable to handle the request",
    ),
    "outer map full": Story(
        Failures(outer_map_limit=0),
        [UPDATING, CREATING],
        False,
        f"error adding container {id_of()} to outer map: "
        "update: key too big for map: argument list too long",
    ),
    "stuck at start": Story(
        Failures(stuck_at_start=True), [], False, "Started watching node information"
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_failure_shows_in_the_lines_and_in_what_is_refused(name: str) -> None:
    story = STORIES[name]
    scene = in_force(failures=story.failures)
    rules = [each for each in scene.about(container=id_of()) if not each.startswith("error")]
    assert (rules, scene.act().denied) == (story.rules, story.denied)
    assert story.says in scene.lines


def test_a_daemon_that_is_stuck_at_start_never_serves() -> None:
    scene = in_force(failures=Failures(stuck_at_start=True))
    assert (scene.daemon.serving, scene.daemon.initialized) == (False, None)


def test_a_hung_daemon_handles_nothing_and_its_rules_stay() -> None:
    scene = in_force()
    scene.daemon.failures = Failures(hung=True)
    scene.run("later")
    assert "Detected a Pod (added/shop/later)" not in scene.lines
    assert (scene.act().denied, scene.act("later").denied) == (True, False)


@pytest.mark.parametrize(
    ("version", "rules", "denied"),
    [
        ("v1.5.6", [UPDATING, CREATING], True),
        ("v1.5.7", [UPDATING, DELETING], False),
        ("v1.6.4", [UPDATING, CREATING], True),
        (NEWEST, [UPDATING, CREATING], True),
    ],
)
def test_only_v1_5_7_misses_a_namespace_newer_than_the_policy(
    *, version: str, rules: list[str], denied: bool
) -> None:
    scene = in_force(version)
    scene.apply("namespaces", "ADDED", {"metadata": {"name": "late"}})
    scene.settle()
    scene.run(namespace="late")
    assert scene.about(container=id_of(namespace="late")) == rules
    assert scene.act(namespace="late").denied is denied


@pytest.mark.parametrize("version", ["v1.5.7", NEWEST])
def test_touching_the_policy_covers_what_it_missed(version: str) -> None:
    scene = in_force(version)
    scene.apply("namespaces", "ADDED", {"metadata": {"name": "late"}})
    scene.run(namespace="late")
    scene.apply("kubearmorclusterpolicies", "MODIFIED", cluster_policy())
    scene.settle()
    assert scene.act(namespace="late").denied


@pytest.mark.parametrize("version", ["v1.5.7", NEWEST])
def test_with_the_status_first_the_rules_come_before_the_container_line(version: str) -> None:
    scene = Scene(version)
    scene.start()
    scene.apply("kubearmorclusterpolicies", "ADDED", cluster_policy())
    scene.settle()
    scene.apply("pods", "ADDED", pod())
    scene.settle()
    assert scene.about(container=id_of()) == [UPDATING]
    scene.announce()
    assert scene.about(container=id_of()) == [UPDATING, UPDATING, CREATING]
    registered = [
        line
        for line in scene.lines
        if line.startswith(("Creating inner map", "Detected a container"))
    ]
    assert registered[-1].startswith("Detected a container (added/")


def test_an_untracked_pod_gets_rules_when_its_status_comes_first() -> None:
    scene = Scene(NEWEST)
    scene.start()
    scene.apply("kubearmorclusterpolicies", "ADDED", cluster_policy())
    scene.apply("pods", "ADDED", pod(namespace="kubearmor"))
    scene.settle()
    assert "Policy cannot be enforced in untracked namespace kubearmor" in scene.lines
    scene.announce(namespace="kubearmor")
    assert scene.act(namespace="kubearmor").denied


def test_a_modified_event_refreshes_one_container_of_a_pod() -> None:
    scene = in_force()
    both = ("main", "side")
    scene.apply("pods", "ADDED", pod("two", containers=both))
    scene.settle()
    before = len(scene.lines)
    scene.apply("pods", "MODIFIED", pod("two", containers=both, labels={"app": "x"}))
    scene.settle()
    updated = [line for line in scene.lines[before:] if line.startswith(UPDATING)]
    assert len(updated) == 1


def test_a_rule_set_larger_than_its_map_is_cut() -> None:
    scene = Scene(NEWEST)
    scene.start()
    paths = tuple(f"/usr/bin/{number}" for number in range(INNER_LIMIT + 3))
    scene.apply("kubearmorclusterpolicies", "ADDED", cluster_policy(paths=paths))
    scene.run()
    errors = [line for line in scene.lines if line.startswith("error adding rule to map")]
    assert len(errors) == 3
    assert scene.act(path=paths[0]).denied
    assert not scene.act(path=paths[-1]).denied


def test_rules_that_only_audit_have_no_map_and_are_reported() -> None:
    scene = Scene(NEWEST)
    scene.start()
    scene.apply("kubearmorclusterpolicies", "ADDED", cluster_policy(action="Audit"))
    scene.run()
    observed = scene.act()
    assert scene.about(container=id_of()) == [UPDATING, DELETING]
    (alert,) = observed.alerts
    reported = (alert["Action"], alert["Result"], alert["Enforcer"])
    assert reported == ("Audit", "Passed", "eBPF Monitor")


def test_more_alerts_than_the_limit_are_one_notice_and_then_silence() -> None:
    scene = in_force()
    alerts = [alert for _ in range(15) for alert in scene.act().alerts]
    assert [alert["Type"] for alert in alerts] == ["MatchedPolicy"] * 10 + ["SystemEvent"]
    notice = alerts[-1]
    assert (notice["Operation"], notice["PolicyName"]) == ("AlertThreshold", "base")
    assert (notice["MaxAlertsPerSec"], notice["DroppingAlertsInterval"]) == (10, 30)
    scene.settle(31)
    assert len(scene.act().alerts) == 1


def test_a_daemon_that_terminates_protects_nothing_and_exits() -> None:
    scene = in_force()
    scene.daemon.terminate(scene.now)
    assert not scene.act().denied
    assert "Got a signal to terminate KubeArmor" in scene.lines
    scene.settle()
    assert scene.daemon.exited


def test_a_successor_protects_again_what_runs() -> None:
    scene = in_force()
    scene.daemon.kill()
    assert not scene.act().denied
    scene.replace(NEWEST)
    assert scene.about(container=id_of()) == [UPDATING, CREATING]
    assert scene.act().denied


@pytest.mark.parametrize(("version", "registered"), [("v1.5.7", False), (NEWEST, True)])
def test_only_new_releases_find_the_runtime_again(*, version: str, registered: bool) -> None:
    scene = in_force(version)
    scene.daemon.lose_runtime(scene.now)
    scene.apply("pods", "ADDED", pod("late"))
    scene.announce("late")
    assert not scene.act("late").denied
    scene.settle()
    assert scene.act("late").denied is registered


def test_an_old_release_falls_behind_by_its_request_budget() -> None:
    seconds = {}
    for version in ("v1.5.7", NEWEST):
        scene = in_force(version)
        since = scene.now
        for number in range(20):
            scene.apply("pods", "ADDED", pod(f"web-{number}"))
        scene.settle(60)
        last = next(line.at for line in scene.daemon.outputs.lines if "/web-19)" in line.text)
        seconds[version] = last - since
    assert seconds["v1.5.7"] > 5
    assert seconds[NEWEST] < 1


def test_a_deletion_that_the_watch_missed_leaves_the_policy_in_force() -> None:
    scene = in_force()
    scene.apply("kubearmorclusterpolicies", "TOMBSTONE", cluster_policy())
    scene.settle()
    assert scene.act().denied


def test_a_stopped_container_loses_its_rules_before_its_pod_is_gone() -> None:
    scene = in_force()
    container = scene.world.running["node-a"][id_of()]
    scene.daemon.container_stopped(container, scene.now)
    scene.settle()
    assert not scene.act().denied
    assert any("Detected a container (removed/" in line for line in scene.lines)


def test_two_daemons_with_one_seed_print_the_same() -> None:
    printed = []
    for _ in range(2):
        scene = Scene(NEWEST, seed=3)
        scene.start()
        scene.apply("pods", "ADDED", pod(containers=("a", "b", "c")))
        scene.settle()
        scene.apply("pods", "MODIFIED", pod(containers=("a", "b", "c"), labels={"x": "y"}))
        scene.settle()
        printed.append(scene.daemon.outputs.lines)
    assert printed[0] == printed[1]


def test_an_unregistered_container_s_actions_leave_no_trace() -> None:
    scene = Scene(NEWEST)
    scene.start()
    scene.apply("pods", "ADDED", pod())
    scene.settle()
    observed = scene.act(path=APT)
    assert (observed.denied, observed.alerts, observed.logs) == (False, (), ())


def test_a_container_with_the_ids_of_a_dead_one_is_registered_anew() -> None:
    scene = in_force()
    old = scene.world.running["node-a"][id_of()]
    scene.daemon.container_stopped(old, scene.now)
    scene.apply("pods", "ADDED", pod("next"))
    scene.settle()
    reused = RuntimeContainer(
        id=id_of("next"),
        name="main",
        namespace="shop",
        pod="next",
        pid_namespace=old.pid_namespace,
        mount_namespace=old.mount_namespace,
    )
    scene.daemon.container_started(reused, scene.now)
    scene.settle()
    assert scene.act("next").denied
