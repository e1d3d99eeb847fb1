"""The same facts in another order: each stream keeps its own, each fact its own instant."""

from collections.abc import Callable

import pytest

from monitor.core.model import Observation, Report
from tests.core.histories import ending, stream_of
from tests.core.stories import AUDIT_APT, BLOCK_YUM, ZERO, Story, covered, listening, ready

Tale = Callable[[], Story]


def seed_case() -> Story:
    """A namespace newer than a cluster policy on v1.5.7, healed by a restart."""
    story = ready(release="v1.5.7")
    story.learn(story.cluster_policy())
    old = covered(story)
    story.wait(5)
    story.namespace("fresh")
    story.configure_namespaces("fresh")
    pod = story.pod(namespace="fresh")
    story.register(pod)
    story.see(pod)
    story.strip(pod)
    story.wait(30)
    story.replace()
    story.boot()
    story.write(old)
    story.write(pod)
    return story


def proven() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(5)
    story.alert(pod)
    return story


def edited() -> Story:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(30)
    story.edit(policy)
    story.wait(0.2)
    story.learn(policy, action="modified")
    story.intend(pod)
    story.wait(30)
    story.alert(pod, Resource="/usr/bin/yum")
    return story


def relabelled() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    story.learn(story.policy("own", labels={"app": "cart"}, rules=BLOCK_YUM))
    pod = covered(story)
    story.wait(30)
    story.relabel(pod, app="cart")
    story.wait(0.2)
    story.see(pod)
    story.intend(pod)
    story.alert(pod, policy="own", Resource="/usr/bin/yum")
    return story


def killed() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(1)
    story.kill()
    story.wait(30)
    story.revive()
    story.boot()
    story.wait(1)
    story.write(pod)
    return story


def killed_for_good() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    covered(story)
    story.wait(1)
    story.kill()
    return story


def deleted() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(1)
    story.terminate(pod)
    story.unregister(pod)
    story.wait(5)
    return story


def removed() -> Story:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(30)
    story.remove(policy)
    story.wait(0.1)
    story.learn(policy, action="deleted")
    story.strip(pod)
    return story


def refuted() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    story.wait(30)
    story.log(pod)
    return story


def unexplained() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    return story


def absent() -> Story:
    story = listening()
    story.until(0)
    story.cluster_policy()
    story.pod()
    story.wait(15)
    story.daemon()
    story.wait(2)
    story.boot()
    return story


def killed_soon() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    kill(story)
    story.write(pod)
    return story


def killed_twice() -> Story:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    for _ in range(2):
        kill(story)
        story.write(pod)
    return story


def kill(story: Story) -> None:
    story.wait(1)
    story.kill()
    story.wait(2)
    story.revive()
    story.boot()


@pytest.mark.parametrize("tale", [killed_soon, killed_twice])
def test_what_a_daemon_wrote_counts_though_its_end_is_heard_before(tale: Tale) -> None:
    story = tale()
    heard = story.history
    first = next(i for i, (at, _) in enumerate(heard) if at >= ZERO)
    rest = sorted(heard[first:], key=lambda one: stream_of(one[1]) != "kubernetes/pods")
    other = ending([*heard[:first], *rest], started=heard[0][0], until=story.now).report
    usual = story.report()
    assert other.containers == usual.containers
    assert other.gaps == usual.gaps


CHANGES: dict[str, Callable[[Story], None]] = {
    "edited": lambda story: story.edit(story.policies[0]),
    "removed": lambda story: story.remove(story.policies[0]),
    "relabelled": lambda story: story.relabel(story.pods[-1], app="other"),
    "disabled": lambda story: story.annotate(story.pods[-1], kubearmor_policy="disabled"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_loss_that_a_change_of_the_pair_ends_is_over_when_that_came(change: str) -> None:
    """Whatever else was heard before it."""
    story = ready()
    story.learn(story.policy("own", labels={"app": "cart"}))
    covered(story, labels={"app": "cart"})
    story.wait(1)
    story.kill()
    story.wait(3)
    before = len(story.history)
    CHANGES[change](story)
    after = len(story.history)
    story.wait(2)
    story.namespace("else")
    heard = story.history
    other = ending(
        [*heard[:before], *heard[after:], *heard[before:after]],
        started=heard[0][0],
        until=story.now,
    ).report
    (gap,) = story.report().gaps
    assert (gap.state, gap.until) == ("closed", (heard[before][0], heard[before][0]))
    assert other.gaps == (gap,)
    assert other.containers == story.report().containers


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "unheard of"])
def test_an_alert_tells_a_nodes_clock_whether_its_container_is_known_or_not(*, ended: bool) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    before = len(story.history)
    pod = covered(story)
    story.wait(1)
    story.alert(pod, ago=-0.5)
    if ended:
        story.delete(pod)
    heard = story.history
    *others, alert = sorted(heard[before:], key=lambda one: stream_of(one[1]) == "alerts/relay")
    late = [*others, alert] if ended else [alert, *others]
    other = ending([*heard[:before], *late], started=heard[0][0], until=story.now).report
    usual = story.report()
    assert usual.nodes[0].clock_offset_seconds == pytest.approx((-1.5, -0.5), abs=1e-3)
    assert other.nodes == usual.nodes


@pytest.mark.parametrize("rules", [BLOCK_YUM, AUDIT_APT], ids=["block", "audit"])
@pytest.mark.parametrize("end", [Story.kill, Story.replace])
def test_a_pod_that_is_being_deleted_keeps_what_it_had_whatever_its_daemon_does_since(
    end: Callable[[Story], object], rules: dict[str, object]
) -> None:
    """Though what it had is heard only after the end of that daemon."""
    story = ready()
    story.learn(story.cluster_policy(rules=rules))
    story.wait(1)
    before = len(story.history)
    pod = story.pod()
    story.register(pod)
    story.see(pod)
    story.push(pod) if rules is BLOCK_YUM else story.intend(pod)
    story.wait(2)
    story.terminate(pod)
    story.wait(1)
    end(story)
    heard = story.history
    pods = [one for one in heard[before:] if stream_of(one[1]) == "kubernetes/pods"]
    rest = [one for one in heard[before:] if one not in pods]
    other = ending([*heard[:before], *pods, *rest], started=heard[0][0], until=story.now).report
    usual = story.report()
    assert other.containers == usual.containers
    assert other.gaps == usual.gaps == ()


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_of_a_pod_that_is_being_deleted_no_revision_is_shown_that_came_or_went_since(
    change: str,
) -> None:
    story = ready()
    story.learn(story.cluster_policy())
    pod = covered(story)
    before = len(story.history)
    story.terminate(pod)
    after = len(story.history)
    story.wait(1)
    CHANGES[change](story)
    heard = story.history
    other = ending(
        [*heard[:before], *heard[after:], *heard[before:after]],
        started=heard[0][0],
        until=story.now,
    ).report
    assert [pair.verdict for pair in story.container(pod).policies if pair.expected] == []
    assert other.containers == story.report().containers


def test_a_removal_of_rules_that_is_read_before_its_policys_deletion_is_heard_is_withdrawn() -> (
    None
):
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(30)
    before = len(story.history)
    story.remove(policy)
    after = len(story.history)
    story.wait(0.02)
    story.learn(policy, action="modified")
    story.strip(pod)
    heard = story.history
    late = [*heard[:before], *heard[after:], *heard[before:after]]
    report = ending(late, started=heard[0][0], until=story.now).report
    assert [gap.state for gap in report.gaps] == ["withdrawn"]


def _effect_first(*, after: float) -> tuple[Report, Report]:
    """A story told with an alert at its end, and with the alert heard before the lines."""
    story = ready()
    story.learn(story.cluster_policy())
    story.wait(30)
    pod = story.pod()
    lines = len(story.history)
    story.wait(1)
    story.register(pod)
    story.see(pod)
    story.push(pod)
    end = len(story.history)
    story.wait(after)
    story.alert(pod)
    heard = story.history
    other = [*heard[:lines], *heard[end:], *heard[lines:end]]
    return story.report(), ending(other, started=heard[0][0], until=story.now).report


@pytest.mark.parametrize("after", [2.0, 20.0])
def test_rules_whose_effect_is_reported_before_their_lines_are_read_were_there_by_the_lines(
    after: float,
) -> None:
    usual, other = _effect_first(after=after)
    assert other.containers == usual.containers


def test_a_gap_that_an_effect_ended_was_none_if_the_lines_show_so() -> None:
    _, other = _effect_first(after=20)
    assert [(gap.state, gap.cause) for gap in other.gaps] == [("withdrawn", "daemon-hung")]


TALES: tuple[Tale, ...] = (
    seed_case,
    proven,
    edited,
    relabelled,
    killed,
    killed_for_good,
    deleted,
    removed,
    refuted,
    unexplained,
    absent,
)


def first(*prefixes: str) -> Callable[[Observation], int]:
    """Everything of those sources comes before everything else."""
    return lambda observation: not stream_of(observation).startswith(prefixes)


def told(story: Story, turn: Callable[[Observation], int] | None) -> Report:
    until = story.now + 600
    heard = story.history
    head = sum(stream_of(observation) == "sources" for _, observation in heard)
    opening = [one for one in heard if stream_of(one[1]) == "sources"]
    rest = [one for one in heard if stream_of(one[1]) != "sources"]
    assert len(opening) == head
    if turn is not None:
        rest = sorted(rest, key=lambda one: turn(one[1]))
    return ending([*opening, *rest], started=heard[0][0], until=until).report


ORDERS = {
    "policies first": first("kubernetes/kubearmor"),
    "pods first": first("kubernetes/pods"),
    "text first": first("text/"),
    "kubernetes first": first("kubernetes/"),
    "alerts first": first("alerts/"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tale", TALES)
def test_verdicts_do_not_depend_on_which_source_is_heard_first(tale: Tale, order: str) -> None:
    story = tale()
    usual, other = told(story, None), told(story, ORDERS[order])

    def verdicts(report: Report) -> object:
        return [
            (c.pod, c.verdict, c.cause, p.name, p.generation, p.verdict, p.grade, p.cause)
            for c in report.containers
            for p in c.policies
        ]

    assert verdicts(other) == verdicts(usual)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tale", TALES)
def test_open_gaps_do_not_depend_on_it(tale: Tale, order: str) -> None:
    story = tale()
    usual, other = told(story, None), told(story, ORDERS[order])

    def standing(report: Report) -> object:
        return [gap for gap in report.gaps if gap.state == "open"]

    assert standing(other) == standing(usual)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tale", TALES)
def test_instants_do_not_depend_on_it(tale: Tale, order: str) -> None:
    story = tale()
    usual, other = told(story, None), told(story, ORDERS[order])

    def times(report: Report) -> object:
        return [(c.pod, p.name, p.since) for c in report.containers for p in c.policies], [
            node.clock_offset_seconds for node in report.nodes
        ]

    assert times(other) == times(usual)


def test_a_policys_events_delivered_twice_are_counted_once() -> None:
    story = ready()
    policy = story.cluster_policy()
    story.learn(policy)
    pod = covered(story)
    story.wait(20)
    before = len(story.history)
    story.edit(policy)
    story.edit(policy)
    for _, observation in story.history[before:]:
        story.observe(observation)
    story.wait(0.1)
    story.learn(policy, policy, action="modified")
    story.intend(pod)
    assert story.verdict(pod) == "covered applied"


def test_a_pods_events_delivered_twice_do_not_bring_an_ended_container_back() -> None:
    story = ready()
    story.learn(story.cluster_policy())
    before = len(story.history)
    pod = story.pod()
    story.register(pod)
    story.write(pod)
    story.wait(20)
    story.restart(pod)
    events = [o for _, o in story.history[before:] if stream_of(o) == "kubernetes/pods"]
    story.register(pod)
    story.write(pod)
    story.wait(20)
    said = len(story.announced)
    for observation in events:
        story.observe(observation)
    assert story.announced[said:] == []
    assert story.verdict(pod) == "covered applied"
