"""Roll-outs of KubeArmor: one incident that pages nobody, unless a node is left behind."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings

from monitor.core.coverage import Coverage, Settings
from monitor.core.model import CoverageState, Gap, Incident, Observation, Report
from tests.core.histories import (
    ROLLING_STEPS,
    Heard,
    Life,
    Step,
    ending,
    interleaved,
    stream_of,
)
from tests.core.stories import BLOCK_YUM, RESOURCES, PodOf, Story, covered, listening
from tests.core.test_laws import PICKS, TURNS
from tests.core.test_order import ORDERS

pytestmark = pytest.mark.thorough


LIMIT = 120.0


def deployed(
    *nodes: str,
    pods: int = 2,
    tuned: Settings | None = None,
    numbered: bool = True,
    unheard: Iterable[str] = (),
) -> Story:
    """A cluster whose daemons are Pods of a DaemonSet, with some covered Pods on each node."""
    nodes = nodes or ("node-a", "node-b")
    story = listening(nodes=nodes, settings=tuned)
    story.down(*unheard)
    story.deploy(numbered=numbered)
    for node in nodes:
        story.daemon(node)
    story.until(-20)
    for node in nodes:
        story.boot(node)
    story.until(0)
    policy = story.cluster_policy()
    story.wait(0.5)
    for node in nodes:
        story.learn(policy, node=node)
    for node in nodes:
        for number in range(pods):
            started = story.pod(f"web-{node}-{number}", node=node)
            story.register(started)
            story.write(started)
    story.wait(30)
    return story


def on(story: Story, node: str) -> list[PodOf]:
    """The Pods of the node that run something to be protected, as objects of the API server."""
    return [
        pod for pod in story.pods if pod.node == node and pod.namespace == "shop" and pod.containers
    ]


def take(story: Story, node: str) -> None:
    """The controller deletes the node's daemon Pod, and it is gone."""
    story.dismiss(node)
    story.wait(1)


def give(story: Story, node: str, *, release: str = "v1.7.4", start: float = 12) -> None:
    """Its successor is created, starts after some seconds, is ready, and writes all rules."""
    successor = story.daemon(node, release=release, running=False)
    story.wait(start)
    story.start(successor.pod)
    story.wait(5)
    story.boot(node)
    heal(story, node)


def heal(story: Story, node: str) -> None:
    for pod in on(story, node):
        story.wait(0.01)
        story.register(pod)
        story.write(pod)


def upgrade(story: Story, *nodes: str, between: float = 0) -> None:
    for node in nodes:
        take(story, node)
        give(story, node)
        story.wait(between)


def incidents(story: Story) -> list[str]:
    """Every incident, the open ones last: `open page daemon-replaced node/node-a 3 of 5`."""
    return sorted(
        f"{i.state} {i.severity} {i.cause} {i.scope} {i.containers} of {i.affected}"
        for i in story.report().incidents
    )


def announced(story: Story) -> set[tuple[str, str]]:
    """The ids and causes of all incidents that were ever announced."""
    return {(one.id, one.cause) for one in story.announced if isinstance(one, Incident)}


ROLLED = "daemonset/kubearmor/kubearmor@2"


# --- a clean roll-out -----------------------------------------------------------------------------


@pytest.mark.parametrize("between", [0, 90])
def test_the_upgrade_of_a_hundred_nodes_is_one_incident(between: float) -> None:
    nodes = [f"node-{number:03d}" for number in range(100)]
    story = deployed(*nodes)
    story.roll("second")
    upgrade(story, *nodes, between=between)
    story.wait(100)
    assert incidents(story) == [f"closed info rollout {ROLLED} 2 of 200"]
    assert len(announced(story)) == 1
    assert {gap.cause for gap in story.report().gaps} == {"daemon-replaced"}
    assert len(story.report().gaps) == 200


def test_daemons_that_go_all_at_once_are_one_incident_too() -> None:
    nodes = [f"node-{number}" for number in range(10)]
    story = deployed(*nodes)
    story.roll("second")
    for node in nodes:
        take(story, node)
    assert incidents(story) == [f"open info rollout {ROLLED} 20 of 20"]
    for node in nodes:
        give(story, node, start=1)
    assert incidents(story) == [f"closed info rollout {ROLLED} 20 of 20"]


def test_pods_that_come_and_go_meanwhile_announce_nothing_else() -> None:
    """Some start while their node has no daemon, some end then, some wait for the start."""
    nodes = [f"node-{number}" for number in range(10)]
    story = deployed(*nodes)
    story.roll("second")
    for node in nodes:
        story.dismiss(node)
        story.delete(on(story, node)[0])
        early = story.pod(f"early-{node}", node=node)
        story.wait(15)
        successor = story.daemon(node, running=False)
        story.wait(15)
        waiting = story.pod(f"waiting-{node}", node=node)
        story.wait(15)
        story.start(successor.pod)
        story.stop(early)
        story.wait(15)
        story.boot(node)
        job = story.pod(f"job-{node}", node=node)
        heal(story, node)
        story.stop(job)
        assert story.verdict(waiting) == "covered applied"
    story.wait(100)
    assert {cause for _, cause in announced(story)} == {"rollout"}
    assert len(announced(story)) == 1
    assert {gap.cause for gap in story.report().gaps} == {"daemon-replaced", "daemon-starting"}


def test_what_a_roll_out_exposes_is_counted_as_any_exposure() -> None:
    story = deployed("node-a", pods=1)
    story.roll("second")
    upgrade(story, "node-a")
    (gap,) = story.report().gaps
    assert gap.until is not None
    assert gap.until[0] - gap.since[0] == pytest.approx(18, abs=1.1)
    assert story.core.statistics(story.now).exposed_container_seconds == pytest.approx(18, abs=1.1)


def test_the_first_daemon_that_goes_is_the_roll_outs_before_any_successor_is_there() -> None:
    story = deployed()
    story.roll("second")
    take(story, "node-a")
    assert incidents(story) == [f"open info rollout {ROLLED} 2 of 2"]


def test_a_daemon_that_says_good_bye_before_its_pod_is_seen_to_go_is_the_roll_outs() -> None:
    story = deployed()
    story.roll("second")
    story.say("Got a signal to terminate KubeArmor", node="node-a")
    assert announced(story) == {(story.incident("rollout").id, "rollout")}


def test_an_incident_is_closed_between_two_nodes_and_opened_again_under_its_id() -> None:
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    assert incidents(story) == [f"closed info rollout {ROLLED} 2 of 2"]
    story.wait(7200)
    take(story, "node-b")
    assert incidents(story) == [f"open info rollout {ROLLED} 2 of 4"]


def test_a_job_that_ended_before_the_new_daemon_came_to_it_waited_for_the_roll_out() -> None:
    story = deployed("node-a")
    story.roll("second")
    take(story, "node-a")
    story.daemon("node-a")
    story.wait(3)
    job = story.pod("job")
    story.wait(1)
    story.boot("node-a")
    story.wait(1)
    story.stop(job)
    heal(story, "node-a")
    story.wait(11)
    assert "closed gap startup-window shop/job/app" in story.gaps()
    assert {cause for _, cause in announced(story)} == {"rollout"}


# --- another roll-out -----------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["third", "first"])
def test_another_template_or_an_earlier_one_again_is_another_roll_out(template: str) -> None:
    story = deployed("node-a")
    for one in ("second", template):
        story.roll(one)
        upgrade(story, "node-a")
    assert incidents(story) == [
        "closed info rollout daemonset/kubearmor/kubearmor@2 2 of 2",
        "closed info rollout daemonset/kubearmor/kubearmor@3 2 of 2",
    ]


def test_a_monitor_that_starts_meanwhile_knows_the_roll_out_by_the_same_id() -> None:
    """It lists what is there, and reads the daemons' output from its beginning."""
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    story.terminate(story.daemons["node-b"].pod)
    story.say("Got a signal to terminate KubeArmor", node="node-b")
    before = story.incident("rollout")
    story.core = Coverage(settings=Settings(cluster="tale"), started=story.now)
    story.up(*(f"kubernetes/{name}" for name in RESOURCES), "text/node-a", "text/node-b")
    story.resend("node-a")
    story.resend("node-b")
    assert incidents(story) == [f"open info rollout {ROLLED} 2 of 2"]
    assert story.incident("rollout").id == before.id


@pytest.mark.parametrize(
    ("numbered", "unheard", "scope"),
    [
        (True, (), "2"),
        (True, ("kubernetes/daemonsets",), "2"),
        (False, (), "2"),
        (False, ("kubernetes/daemonsets",), "second"),
    ],
)
def test_a_roll_out_is_named_by_the_best_that_can_be_read(
    unheard: tuple[str, ...], scope: str, *, numbered: bool
) -> None:
    """The template's number, the DaemonSet's generation, or the hash of the Pods' template."""
    story = deployed(numbered=numbered, unheard=unheard)
    story.roll("second")
    upgrade(story, "node-a")
    assert story.incident("rollout").scope == f"daemonset/kubearmor/kubearmor@{scope}"


def test_without_sight_of_the_daemon_set_only_the_first_node_is_not_known_to_be_rolled_out() -> (
    None
):
    """Until its new Pod is there: those of the other nodes are outdated by then."""
    story = deployed(unheard=["kubernetes/daemonsets"])
    story.roll("second")
    upgrade(story, "node-a", "node-b", between=300)
    assert incidents(story) == [
        f"closed info rollout {ROLLED} 2 of 4",
        "closed page daemon-replaced node/node-a 2 of 2",
    ]


def test_a_hash_may_come_back_and_so_names_a_roll_out_only_for_the_hold() -> None:
    story = deployed(numbered=False, unheard=["kubernetes/daemonsets"])
    story.roll("second")
    upgrade(story, "node-a", between=300)
    upgrade(story, "node-b")
    rolled = [one for one in story.report().incidents if one.cause == "rollout"]
    assert [one.scope for one in rolled] == ["daemonset/kubearmor/kubearmor@second"] * 2
    assert len({one.id for one in rolled}) == 2


def test_daemons_of_another_daemon_set_are_rolled_out_too() -> None:
    """As when the operator puts one for another enforcer in the place of the former."""
    story = deployed("node-a")
    story.deploy(name="kubearmor-bpf", template="bpf")
    story.terminate(story.daemons["node-a"].pod)
    leaving = story.daemons["node-a"]
    story.daemon("node-a", running=False)
    story.daemons["node-a"] = leaving
    story.say("Got a signal to terminate KubeArmor")
    assert incidents(story) == ["open info rollout daemonset/kubearmor/kubearmor-bpf@1 2 of 2"]


# --- a node that is left behind -------------------------------------------------------------------


def test_a_node_without_a_ready_daemon_beyond_the_limit_pages_for_itself() -> None:
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    ended = story.now
    take(story, "node-b")
    story.daemon("node-b", running=False)
    story.wait(ended + LIMIT - 0.1 - story.now)
    assert incidents(story) == [f"open info rollout {ROLLED} 2 of 4"]
    ids = {gap.id for gap in story.open_gaps()}
    story.wait(0.2)
    assert incidents(story) == [
        f"closed info rollout {ROLLED} 2 of 4",
        "open page daemon-replaced node/node-b 2 of 2",
    ]
    assert {gap.id for gap in story.open_gaps()} == ids
    assert story.core.statistics(story.now).gaps_paging == {"daemon-replaced": 2}


def test_the_limit_is_configured() -> None:
    story = deployed(tuned=Settings(cluster="tale", rollout_limit=20))
    story.roll("second")
    take(story, "node-a")
    story.wait(20)
    assert incidents(story)[-1] == "open page daemon-replaced node/node-a 2 of 2"


def test_a_node_that_was_left_behind_does_not_return_into_the_roll_out() -> None:
    story = deployed()
    story.roll("second")
    take(story, "node-a")
    story.wait(LIMIT)
    give(story, "node-a")
    assert incidents(story) == [
        f"closed info rollout {ROLLED} 2 of 2",
        "closed page daemon-replaced node/node-a 2 of 2",
    ]


def test_a_new_daemon_that_writes_nothing_within_the_limit_pages() -> None:
    story = deployed()
    story.roll("second")
    take(story, "node-a")
    story.daemon("node-a")
    story.wait(100)
    story.boot("node-a")
    story.wait(LIMIT - 1)
    assert incidents(story) == [f"open info rollout {ROLLED} 2 of 2"]
    story.wait(2)
    assert incidents(story)[-1] == "open page daemon-replaced node/node-a 2 of 2"


def test_a_pod_that_started_meanwhile_pages_with_what_holds_beyond_the_limit() -> None:
    story = deployed("node-a", pods=0)
    story.roll("second")
    take(story, "node-a")
    story.daemon("node-a")
    story.begin("node-a")
    story.pod("late")
    story.wait(60)
    assert incidents(story) == [f"open info rollout {ROLLED} 1 of 1"]
    story.wait(60)
    assert incidents(story) == [
        f"closed info rollout {ROLLED} 1 of 1",
        "open page daemon-starting node/node-a 1 of 1",
    ]


def test_a_node_that_the_daemon_set_leaves_out_pages_after_the_limit() -> None:
    story = deployed()
    story.roll("second")
    take(story, "node-a")
    story.wait(LIMIT + 1)
    assert incidents(story)[-1] == "open page daemon-replaced node/node-a 2 of 2"


# --- what is no roll-out --------------------------------------------------------------------------


def test_a_daemon_that_a_person_restarts_is_its_nodes_own_incident() -> None:
    story = deployed()
    upgrade(story, "node-a")
    assert incidents(story) == ["closed page daemon-replaced node/node-a 2 of 2"]


def test_a_new_daemon_that_a_person_restarts_during_a_roll_out_is_too() -> None:
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    story.wait(300)
    upgrade(story, "node-a")
    assert incidents(story) == [
        f"closed info rollout {ROLLED} 2 of 2",
        "closed page daemon-replaced node/node-a 2 of 2",
    ]


@pytest.mark.parametrize("node", ["node-a", "node-b"])
def test_a_daemon_that_dies_during_a_roll_out_is_down(node: str) -> None:
    """Whether it is a new one that had written its rules, or an old one."""
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    story.kill(node)
    assert incidents(story)[-1] == f"open page daemon-down node/{node} 2 of 2"


def test_a_new_daemon_that_dies_before_it_is_ready_leaves_the_loss_with_the_roll_out() -> None:
    story = deployed("node-a")
    story.roll("second")
    take(story, "node-a")
    story.daemon("node-a")
    story.wait(3)
    story.kill("node-a")
    story.wait(3)
    story.revive("node-a")
    story.boot("node-a")
    heal(story, "node-a")
    assert incidents(story) == [f"closed info rollout {ROLLED} 2 of 2"]


def test_daemons_without_a_daemon_set_are_never_rolled_out() -> None:
    story = listening()
    story.daemon()
    story.until(-20)
    story.boot()
    story.until(0)
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.replace(release="v1.8.0")
    assert story.verdict(pod) == "lost daemon-replaced"
    assert incidents(story) == ["open page daemon-replaced node/node-a 1 of 1"]


def test_a_policy_that_does_not_arrive_during_a_roll_out_is_an_incident_of_its_own() -> None:
    story = deployed()
    story.roll("second")
    take(story, "node-a")
    story.cluster_policy("late", rules=BLOCK_YUM)
    story.wait(11)
    assert incidents(story) == [
        "open info rollout " + ROLLED + " 2 of 2",
        "open page unexplained KubeArmorClusterPolicy/late 2 of 2",
    ]


# --- a node, and what an incident counts ----------------------------------------------------------


def test_a_node_of_a_hundred_containers_that_goes_down_is_one_incident() -> None:
    story = deployed("node-a", pods=100)
    said = len(story.announced)
    story.kill("node-a")
    told = story.announced[said:]
    assert incidents(story) == ["open page daemon-down node/node-a 100 of 100"]
    assert {kind: sum(isinstance(one, kind) for one in told) for kind in (Gap, Incident)} == {
        Gap: 100,
        Incident: 1,
    }
    assert len({one.container_id for one in told if isinstance(one, CoverageState)}) == 100


def test_a_closed_incident_says_the_most_it_held_and_how_many_in_all() -> None:
    story = deployed("node-a", pods=3)
    pods = on(story, "node-a")
    for pod in pods:
        story.strip(pod)
    story.push(pods[0])
    story.push(pods[1])
    story.strip(pods[0])
    assert incidents(story) == ["open page rules-removed KubeArmorClusterPolicy/block-apt 2 of 3"]
    story.push(pods[0])
    story.push(pods[2])
    assert incidents(story) == ["closed page rules-removed KubeArmorClusterPolicy/block-apt 3 of 3"]


def test_an_incident_that_opens_again_goes_on_counting() -> None:
    story = deployed("node-a", pods=2)
    first, second = on(story, "node-a")
    for pod in (first, first, second):
        story.strip(pod)
        story.push(pod)
        story.wait(30)
    assert incidents(story) == ["closed page rules-removed KubeArmorClusterPolicy/block-apt 1 of 2"]


def test_an_incident_that_comes_back_later_counts_anew() -> None:
    story = deployed("node-a", pods=1)
    (pod,) = on(story, "node-a")
    for _ in range(2):
        story.strip(pod)
        story.push(pod)
        story.wait(90)
    assert len(incidents(story)) == 2
    assert set(incidents(story)) == {
        "closed page rules-removed KubeArmorClusterPolicy/block-apt 1 of 1"
    }


def test_what_is_announced_of_incidents_adds_up_to_the_report() -> None:
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    take(story, "node-b")
    story.wait(LIMIT + 10)
    give(story, "node-b")
    told = {one.id: one for one in story.announced if isinstance(one, Incident)}
    assert told == {one.id: one for one in story.report().incidents}


def test_a_startup_window_is_only_to_be_known() -> None:
    story = deployed("node-a", pods=0)
    pod = story.pod("job")
    story.register(pod)
    story.wait(3)
    story.stop(pod)
    story.wait(11)
    assert incidents(story) == [
        "closed info startup-window KubeArmorClusterPolicy/block-apt 1 of 1"
    ]


# --- order ----------------------------------------------------------------------------------------


def rolled(*, complete: bool) -> Story:
    story = deployed()
    story.roll("second")
    upgrade(story, "node-a")
    story.wait(200)
    take(story, "node-b")
    if complete:
        give(story, "node-b")
    return story


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("order", [*ORDERS, "daemon sets first", "daemon sets last"])
def test_open_gaps_belong_to_the_same_incidents_whichever_source_is_heard_first(
    order: str, *, complete: bool
) -> None:
    story = rolled(complete=complete)
    turns: dict[str, Callable[[Observation], int]] = {
        **ORDERS,
        "daemon sets first": lambda one: stream_of(one) != "kubernetes/daemonsets",
        "daemon sets last": lambda one: stream_of(one) == "kubernetes/daemonsets",
    }
    opening = [one for one in story.history if stream_of(one[1]) == "sources"]
    rest = [one for one in story.history if stream_of(one[1]) != "sources"]
    until, started = story.now, story.history[0][0]
    usual = ending([*opening, *rest], started=started, until=until).report
    turned = sorted(rest, key=lambda one: turns[order](one[1]))
    other = ending([*opening, *turned], started=started, until=until).report

    def standing(report: Report) -> tuple[list[Gap], list[str]]:
        return (
            [gap for gap in report.gaps if gap.state == "open"],
            [one.scope for one in report.incidents if one.state == "open"],
        )

    assert standing(other) == standing(usual)
    assert len(standing(usual)[0]) == (0 if complete else 2)


# --- laws -----------------------------------------------------------------------------------------


def lived(steps: list[Step]) -> Story:
    life = Life(release="v1.7.4", deployed=True)
    life.live(steps)
    life.story.wait(200)
    return life.story


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=ROLLING_STEPS)
def test_an_incident_is_what_its_gaps_say_whatever_happens(steps: list[Step]) -> None:
    story = lived(steps)
    report = story.report()
    told = {one.id: one for one in story.announced if isinstance(one, Incident)}
    assert told == {one.id: one for one in report.incidents}
    containers: dict[str, set[str]] = {one.id: set() for one in report.incidents}
    for gap in report.gaps:
        if gap.state == "open":
            containers[gap.incident].add(gap.container_id)
    assert {one.id: (one.state, one.containers) for one in report.incidents} == {
        one.id: ("open", len(held)) if held else ("closed", one.containers)
        for one in report.incidents
        for held in [containers[one.id]]
    }
    assert all(1 <= one.containers <= one.affected for one in report.incidents)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=ROLLING_STEPS)
def test_one_history_has_the_same_incidents_again(steps: list[Step]) -> None:
    story = lived(steps)
    again = ending(story.history, started=story.history[0][0], until=story.now).report
    assert again == story.report()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=ROLLING_STEPS)
def test_no_roll_out_stands_where_nothing_was_rolled_out(steps: list[Step]) -> None:
    story = lived([step for step in steps if step[0] != "roll"])
    assert [
        one for one in story.announced if isinstance(one, Incident) and one.cause == "rollout"
    ] == []


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=ROLLING_STEPS, picks=PICKS, after=TURNS)
def test_open_gaps_belong_to_the_same_scopes_in_any_order_of_the_sources(
    steps: list[Step], picks: list[int], after: int
) -> None:
    life = Life(release="v1.7.4", deployed=True)
    life.live(steps)
    heard = life.story.history
    other = [*heard[: life.head], *interleaved(heard[life.head :], picks, after=after)]
    until = life.story.now + 600

    def standing(heard: Iterable[Heard]) -> list[tuple[str, str, str]]:
        report = ending(heard, started=life.story.history[0][0], until=until).report
        incidents = {one.id: one for one in report.incidents}
        return [
            (gap.id, gap.cause, incidents[gap.incident].scope)
            for gap in report.gaps
            if gap.state == "open"
        ]

    assert standing(other) == standing(heard)
