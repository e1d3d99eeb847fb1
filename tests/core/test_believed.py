"""What one daemon believes, where it is not what its objects say (dossier 5.3, 5.6, 7.3, 7.6).

That the model answers as KubeArmor's code does is shown in tests/vectors; here are the releases and
the events that no vector has, and the story of a pair.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from monitor.core import trail
from monitor.core.believed import Believed, why
from monitor.core.daemon_events import (
    Action,
    Event,
    NamespaceEvent,
    Pair,
    PodEvent,
    PolicyEvent,
)
from monitor.core.endpoints import Collision
from monitor.core.evidence import PolicyKey
from monitor.core.semantics import Behaviour, behaviour

NAMESPACES: Final = ("shop", "pay", "kube-system")
CLUSTER: Final[PolicyKey] = ("KubeArmorClusterPolicy", "", "p")
SHOP: Final[PolicyKey] = ("KubeArmorPolicy", "shop", "p")
WEB: Final = {"app": "web"}
DB: Final = {"app": "db"}


def of(release: str) -> Behaviour:
    known = behaviour(release)
    assert known is not None
    return known


def shop(
    action: Action = "added", labels: Mapping[str, str] = WEB, *, generation: int = 1
) -> PolicyEvent:
    spec = {"selector": {"matchLabels": labels}}
    return PolicyEvent(
        action=action,
        kind=SHOP[0],
        namespace="shop",
        name="p",
        spec=spec,
        generation=generation,
    )


def cluster(action: Action = "added", not_in: Sequence[str] = (), **extra: Any) -> PolicyEvent:
    expression = {"key": "namespace", "operator": "NotIn", "values": list(not_in)}
    spec = {"selector": {"matchExpressions": [expression, *extra.values()]}}
    return PolicyEvent(action=action, kind=CLUSTER[0], namespace="", name="p", spec=spec)


def pod(
    action: Action = "modified",
    labels: Mapping[str, str] = WEB,
    *,
    namespace: str = "shop",
    drawn: str | None = None,
    **ids: str,
) -> PodEvent:
    return PodEvent(
        action=action,
        namespace=namespace,
        name="x",
        labels=labels,
        containers=ids or {"app": "1"},
        drawn=drawn,
    )


def believed(release: str, *events: Event) -> Believed:
    daemon = Believed(of(release), namespaces=NAMESPACES)
    for event in events:
        daemon.take(event)
    return daemon


def attached(release: str, *events: Event, container: str = "app", namespace: str = "shop") -> int:
    """How many policies the container has in the end."""
    endpoint = believed(release, *events).endpoint(
        namespace=namespace, pod="x", container=container
    )
    return len(endpoint.policies) if endpoint else -1


@pytest.mark.parametrize(("release", "policies"), [("v1.4.0", 1), ("v1.4.1", 0)])
def test_v1_4_0_attaches_a_namespaced_policy_in_every_namespace(
    release: str, policies: int
) -> None:
    assert attached(release, shop(), pod(namespace="pay"), namespace="pay") == policies


@pytest.mark.parametrize(
    ("release", "namespace", "policies"),
    [
        ("v1.5.6", "fresh", 1),
        ("v1.5.6", "pay", 1),
        ("v1.5.7", "fresh", 0),
        ("v1.5.7", "pay", 0),
        ("v1.6.0", "fresh", 1),
        ("v1.6.0", "pay", 0),
    ],
)
def test_a_young_namespace_widens_a_cluster_policy_as_the_release_does(
    release: str, namespace: str, policies: int
) -> None:
    events: list[Event] = [
        cluster(not_in=["pay"]),
        NamespaceEvent(action="added", name="fresh"),
        pod(namespace=namespace),
    ]
    assert attached(release, *events, namespace=namespace) == policies


@pytest.mark.parametrize("release", ["v1.5.6", "v1.5.7", "v1.7.4"])
def test_a_namespace_that_was_deleted_stays_in_the_lists_that_named_it(release: str) -> None:
    gone = NamespaceEvent(action="deleted", name="shop")
    assert attached(release, cluster(), gone, pod()) == 1
    assert attached(release, gone, cluster(), pod()) == 0


@pytest.mark.parametrize(("release", "widened", "narrowed"), [("v1.5.6", 0, 1), ("v1.5.7", 1, 0)])
def test_before_v1_5_7_an_edited_selector_moves_no_policy(
    release: str, widened: int, narrowed: int
) -> None:
    assert attached(release, shop(labels=DB), pod(), shop("modified")) == widened
    assert attached(release, shop(), pod(), shop("modified", DB)) == narrowed


@pytest.mark.parametrize(("release", "policies"), [("v1.5.6", 1), ("v1.5.7", 0)])
def test_before_v1_5_7_a_policy_edited_away_outlives_its_deletion(
    release: str, policies: int
) -> None:
    events: list[Event] = [shop(), pod(), shop("modified", DB), shop("deleted", DB)]
    assert attached(release, *events) == policies


@pytest.mark.parametrize(("release", "policies"), [("v1.6.12", 1), ("v1.6.13", 0)])
def test_before_v1_6_13_a_changed_pod_never_reaches_the_list(release: str, policies: int) -> None:
    assert attached(release, shop(), pod(), pod(labels=DB)) == policies


@pytest.mark.parametrize(("release", "identity"), [("v1.6.12", "1"), ("v1.6.13", "2")])
def test_before_v1_6_13_the_list_keeps_the_id_of_a_container_that_ended(
    release: str, identity: str
) -> None:
    endpoint = believed(release, pod(), pod(app="2")).endpoint(
        namespace="shop", pod="x", container="app"
    )
    assert endpoint is not None
    assert endpoint.container_id == identity


def test_of_several_containers_a_changed_pod_revises_the_one_that_is_drawn() -> None:
    events: list[Event] = [
        shop(),
        pod(app="1", log="2"),
        pod(labels=DB, app="1", log="2", drawn="log"),
    ]
    assert attached("v1.7.4", *events, container="app") == 1
    assert attached("v1.7.4", *events, container="log") == 0


def test_who_was_drawn_is_not_known_then_the_difference_is_in_doubt() -> None:
    daemon = believed(
        "v1.7.4", shop(), cluster(), pod(app="1", log="2"), pod(labels=DB, app="1", log="2")
    )
    assert {one.container: one.doubtful for one in daemon.endpoints} == {
        "app": {SHOP},
        "log": {SHOP},
    }


def test_a_container_that_comes_late_has_no_endpoint() -> None:
    events: list[Event] = [
        shop(),
        pod(app="1"),
        pod(app="1", log="2", drawn="log"),
        shop("modified", {}),
    ]
    assert attached("v1.7.4", *events, container="log") == -1
    assert attached("v1.7.4", *events, container="app") == 1


def test_a_container_that_a_new_list_does_not_name_keeps_the_old_revision() -> None:
    names = {"kubearmor.io/container.name": "[log]"}
    daemon = believed("v1.7.4", shop(), pod(), shop("modified", names, generation=2))
    (endpoint,) = daemon.endpoints
    assert [one.generation for one in endpoint.policies] == [1]
    assert [one.generation for one in daemon.stored] == [2]


def test_a_pod_added_again_is_one_that_changed() -> None:
    daemon = believed("v1.7.4", pod("added"), shop(), pod("added", DB))
    assert [one.keys for one in daemon.endpoints] == [frozenset()]


def test_a_pod_that_is_deleted_leaves_nothing() -> None:
    assert list(believed("v1.7.4", shop(), pod("added"), pod("deleted")).endpoints) == []


@pytest.mark.parametrize(
    ("event", "effect"),
    [
        (cluster(), "not-stored"),
        (cluster("modified"), "overwrites"),
        (cluster("deleted"), "removes"),
    ],
)
def test_a_cluster_policy_meets_a_namesake(event: PolicyEvent, effect: Any) -> None:
    daemon = believed("v1.7.4", shop(), event)
    assert daemon.collisions == [Collision(policy=CLUSTER, other=SHOP, effect=effect)]


def test_a_namespaced_policy_is_stored_beside_a_namesake() -> None:
    daemon = believed("v1.7.4", cluster(), shop())
    assert ([one.key for one in daemon.stored], daemon.collisions) == ([CLUSTER, SHOP], [])


# --- the story of a pair ------------------------------------------------------------------------


def story(release: str, *events: Event, policy: PolicyKey, namespace: str = "shop") -> list[str]:
    pair = Pair(namespace=namespace, pod="x", container="app", policy=policy)
    return list(why(of(release), events, namespaces=NAMESPACES, pair=pair))


YOUNG: Final = (
    cluster(label={"key": "label", "operator": "In", "values": ["app=web"]}),
    NamespaceEvent(action="added", name="fresh"),
    pod(namespace="fresh"),
)


@pytest.mark.parametrize(
    ("release", "facts"),
    [
        (
            "v1.5.6",
            [
                "the Pod was evaluated: the policy is attached",
                "a namespace came after the policy: this release then attaches it to every Pod",
                "the policy is attached",
            ],
        ),
        (
            "v1.5.7",
            [
                "the Pod was evaluated: the policy is not attached",
                "namespace fresh came after the policy; this release does not look again",
                "one of [app=web]: app=web is there",
                "the policy is not attached",
            ],
        ),
        (
            "v1.7.4",
            [
                "the Pod was evaluated: the policy is attached",
                "namespace fresh came after the policy; this release looks again",
                "one of [app=web]: app=web is there",
                "the policy is attached",
            ],
        ),
    ],
)
def test_the_story_of_a_young_namespace(release: str, facts: list[str]) -> None:
    first = "KubeArmorClusterPolicy p was added and stored"
    assert story(release, *YOUNG, policy=CLUSTER, namespace="fresh") == [first, *facts]


def test_the_story_of_a_policy_that_a_namesake_takes_along() -> None:
    assert story("v1.7.4", shop(), cluster(), pod(), cluster("deleted"), policy=SHOP) == [
        "KubeArmorPolicy shop/p was added and stored",
        "KubeArmorClusterPolicy p was added and not stored: KubeArmorPolicy shop/p has its name",
        "the Pod was evaluated: the policy is attached",
        "label app=web: there",
        f"KubeArmorClusterPolicy p was deleted and took {SHOP[0]} shop/p out of the policy list",
        "KubeArmorClusterPolicy p was deleted: the policy is taken off",
        "the policy is not attached",
    ]


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ((shop(),), "the daemon has no endpoint for the container"),
        ((shop(), pod()), "the policy is attached"),
        ((shop(labels=DB), pod()), "the policy is not attached"),
        (
            (shop(), pod(app="1", log="2"), pod(labels=DB, app="1", log="2")),
            "whether the policy is attached was left to chance",
        ),
    ],
)
def test_a_story_ends_with_the_answer(events: Sequence[Event], end: str) -> None:
    assert story("v1.7.4", *events, policy=SHOP)[-1] == end


@pytest.mark.parametrize(
    ("selector", "labels", "facts"),
    [
        ({"matchLabels": {"app": "web"}}, DB, ["label app=web: missing"]),
        (
            {"matchLabels": {"kubernetes.io/hostname": "n1"}},
            {"kubernetes.io/hostname": "n1"},
            ["host names: met"],
        ),
        (
            {"matchExpressions": [{"key": "label", "operator": "NotIn", "values": ["app=db"]}]},
            DB,
            ["none of [app=db]: app=db is there"],
        ),
        (
            {"matchLabels": {"kubearmor.io/container.name": "[a,b]"}},
            WEB,
            ["container app: not named in [a, b]"],
        ),
    ],
)
def test_a_story_says_what_of_a_selector_is_met(
    selector: Mapping[str, Any], labels: Mapping[str, str], facts: list[str]
) -> None:
    policy = PolicyEvent(
        action="added", kind=SHOP[0], namespace="shop", name="p", spec={"selector": selector}
    )
    assert story("v1.7.4", policy, pod(labels=labels), policy=SHOP)[2:-1] == facts


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        (cluster(not_in=["shop"]), "namespace shop is left out by the policy"),
        (cluster(), "namespace shop was there when the policy was read"),
        (
            cluster(only={"key": "namespace", "operator": "In", "values": ["pay"]}),
            "namespace shop is not named by the policy",
        ),
        (
            cluster(only={"key": "namespace", "operator": "In", "values": ["shop"]}),
            "namespace shop is named by the policy",
        ),
    ],
)
def test_a_story_says_why_a_cluster_policy_reaches_a_namespace(
    event: PolicyEvent, fact: str
) -> None:
    assert story("v1.7.4", event, pod(), policy=CLUSTER)[2] == fact


def test_a_story_says_that_a_change_passed_by() -> None:
    passed = story("v1.6.4", shop(), pod(), pod(labels=DB), policy=SHOP)
    assert passed[-2] == "the Pod changed; this release keeps its endpoints as they were"
    late = story("v1.7.4", shop(), pod(log="1"), pod(log="1", app="2", drawn="app"), policy=SHOP)
    assert late[-2:] == [
        trail.LATE_CONTAINER,
        "the daemon has no endpoint for the container",
    ]
    updated = story("v1.7.4", pod(), shop("modified"), policy=SHOP)
    assert updated[1] == (
        "KubeArmorPolicy shop/p was modified, and is not in the policy list: nothing is stored"
    )
    assert updated[2:] == [
        "KubeArmorPolicy shop/p was modified: the policy is attached",
        "the policy is attached",
    ]
