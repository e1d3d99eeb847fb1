"""A policy's fate beside a namesake of the other kind (dossier 5.6), for one container."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.believed import Believed
from monitor.core.daemon_events import Action, PodEvent, PolicyEvent
from monitor.core.evidence import PolicyKey
from monitor.core.namesakes import Attachment, NamesakeLine, fate
from monitor.core.semantics import DESCRIBED, NEWEST, Behaviour, behaviour

CLUSTER: Final[PolicyKey] = ("KubeArmorClusterPolicy", "", "p")
SHOP: Final[PolicyKey] = ("KubeArmorPolicy", "shop", "p")
PAY: Final[PolicyKey] = ("KubeArmorPolicy", "pay", "p")
KEYS: Final = {"cluster": CLUSTER, "shop": SHOP, "pay": PAY}
ALL: Final = {CLUSTER: True, SHOP: True, PAY: False}


def attachment(
    key: PolicyKey,
    lines: Sequence[NamesakeLine],
    *,
    selects: Mapping[PolicyKey, bool],
    evaluated: Sequence[int],
    behaviour: Behaviour = NEWEST,
) -> Attachment:
    found = fate(key, lines, selects=selects, evaluated=evaluated, behaviour=behaviour)
    return found.attachment


def told(story: str) -> tuple[list[NamesakeLine], list[int]]:
    """`+shop ~cluster -pay !`: added, modified, deleted, the Pod was evaluated."""
    actions: dict[str, Action] = {"+": "added", "~": "modified", "-": "deleted"}
    lines, evaluated = [], []
    for position, word in enumerate(story.split()):
        if word == "!":
            evaluated.append(position)
        else:
            key = KEYS[word[1:]]
            lines.append(NamesakeLine(position=position, action=actions[word[0]], key=key))
    return lines, evaluated


@pytest.mark.parametrize(
    ("story", "cluster", "shop"),
    [
        ("", "not-attached", "not-attached"),
        ("+shop !", "not-attached", "attached"),
        ("+shop +cluster !", "not-stored", "attached"),
        ("! +shop +cluster", "not-stored", "attached"),
        ("! +cluster +shop", "attached", "attached"),
        ("! +pay +cluster", "attached", "not-attached"),
        ("! +pay +cluster !", "not-stored", "not-attached"),
        ("+cluster +shop !", "attached", "attached"),
        ("+shop +cluster ! ~cluster", "attached", "removed"),
        ("+shop +cluster ! -cluster", "not-attached", "removed"),
        ("+shop +cluster ! -cluster +shop", "not-attached", "attached"),
        ("+shop +cluster ! -cluster ~shop", "not-attached", "attached"),
        ("+shop +cluster ! -cluster ~shop !", "not-attached", "removed"),
        ("+shop +cluster ! -shop", "not-stored", "not-attached"),
        ("+shop +cluster -shop +cluster !", "attached", "not-attached"),
        ("+shop ! -shop", "not-attached", "not-attached"),
        ("! ~shop", "not-attached", "attached"),
        ("! ~shop !", "not-attached", "not-attached"),
    ],
)
def test_what_a_namesake_does_to_a_policy(story: str, cluster: str, shop: str) -> None:
    lines, evaluated = told(story)
    found = [attachment(k, lines, selects=ALL, evaluated=evaluated) for k in (CLUSTER, SHOP)]
    assert found == [cluster, shop]


def test_a_policy_that_does_not_select_the_container_has_lost_nothing() -> None:
    lines, evaluated = told("+shop +cluster ! -cluster")
    selects = {CLUSTER: True, SHOP: False}
    assert attachment(SHOP, lines, selects=selects, evaluated=evaluated) == "not-attached"


@pytest.mark.parametrize(
    ("story", "shop"),
    [
        ("+shop ! +cluster", "attached"),
        ("+shop ! ~cluster", "removed"),
        ("+shop ! -cluster", "removed"),
    ],
)
def test_a_cluster_policy_that_does_not_select_the_container_takes_its_namesake_too(
    story: str, shop: str
) -> None:
    lines, evaluated = told(story)
    selects = {SHOP: True}
    assert attachment(SHOP, lines, selects=selects, evaluated=evaluated) == shop
    assert attachment(CLUSTER, lines, selects=selects, evaluated=evaluated) == "not-attached"


@pytest.mark.parametrize(
    ("key", "story", "release", "answer"),
    [
        (PAY, "+pay !", "v1.4.0", "attached"),
        (PAY, "+pay !", "v1.4.1", "not-attached"),
        (PAY, "! +pay", "v1.4.0", "not-attached"),
        (SHOP, "! ~shop", "v1.5.6", "not-attached"),
        (SHOP, "! ~shop", "v1.5.7", "attached"),
        (SHOP, "+shop ! -cluster +shop !", "v1.6.12", "attached"),
        (CLUSTER, "+shop +cluster ! -shop +cluster !", "v1.6.12", "attached"),
        (CLUSTER, "! +shop +cluster !", "v1.6.12", "attached"),
        (CLUSTER, "! +shop +cluster !", "v1.6.13", "not-stored"),
    ],
)
def test_what_a_namesake_does_depends_on_the_release(
    key: PolicyKey, story: str, release: str, answer: str
) -> None:
    lines, evaluated = told(story)
    selects = {CLUSTER: True, SHOP: key == SHOP}
    known = behaviour(release)
    assert known is not None
    found = attachment(key, lines, selects=selects, evaluated=evaluated, behaviour=known)
    assert found == answer


@pytest.mark.parametrize("known", DESCRIBED)
@pytest.mark.parametrize(
    "story", ["+shop +cluster !", "+shop ! +cluster", "! +shop +cluster", "+cluster +shop !"]
)
def test_who_deletes_the_namespaced_one_first_takes_nothing_else_along(
    story: str, known: Behaviour
) -> None:
    def of(key: PolicyKey, whole: str) -> Attachment:
        lines, evaluated = told(whole)
        return attachment(key, lines, selects=ALL, evaluated=evaluated, behaviour=known)

    assert of(CLUSTER, f"{story} -shop") == of(CLUSTER, story)
    assert of(SHOP, f"{story} -shop -cluster") == "not-attached"


@pytest.mark.parametrize("known", DESCRIBED)
def test_who_deletes_the_cluster_policy_first_takes_the_namespaced_one_along(
    known: Behaviour,
) -> None:
    lines, evaluated = told("+shop +cluster ! -cluster")
    found = attachment(SHOP, lines, selects=ALL, evaluated=evaluated, behaviour=known)
    assert found == "removed"


actions = st.sampled_from(("added", "modified", "deleted"))


@settings(max_examples=300, deadline=None)
@given(
    release=st.sampled_from(DESCRIBED),
    events=st.lists(st.one_of(st.none(), st.tuples(actions, st.sampled_from([*KEYS.values()])))),
    labels=st.dictionaries(st.just("app"), st.just("web")),
    named=st.booleans(),
)
def test_the_short_answer_is_that_of_the_whole_model(
    release: Behaviour,
    events: list[tuple[Action, PolicyKey] | None],
    labels: dict[str, str],
    *,
    named: bool,
) -> None:
    operator = "In" if named else "NotIn"
    expression = {"key": "namespace", "operator": operator, "values": ["shop"]}
    specs: dict[PolicyKey, dict[str, Any]] = {
        SHOP: {"selector": {"matchLabels": {"app": "web"}}},
        PAY: {},
        CLUSTER: {"selector": {"matchExpressions": [expression]}},
    }
    selects = {SHOP: bool(labels), PAY: False, CLUSTER: named}
    believed = Believed(release, namespaces=("shop", "pay"))
    lines, evaluated = [], []
    pod = PodEvent(
        action="modified", namespace="shop", name="x", labels=labels, containers={"app": "1"}
    )
    for position, event in enumerate(events):
        if event is None:
            evaluated.append(position)
            believed.take(pod)
            continue
        action, key = event
        lines.append(NamesakeLine(position=position, action=action, key=key))
        kind, namespace, name = key
        believed.take(
            PolicyEvent(action=action, kind=kind, namespace=namespace, name=name, spec=specs[key])
        )
    endpoint = believed.endpoint(namespace="shop", pod="x", container="app")
    attached = endpoint.keys if endpoint else frozenset()
    found = {
        key
        for key in KEYS.values()
        if attachment(key, lines, selects=selects, evaluated=evaluated, behaviour=release)
        == "attached"
    }
    assert found == attached


def test_the_newest_release_is_meant_where_none_is_named() -> None:
    lines, evaluated = told("+shop +cluster !")
    assert fate(CLUSTER, lines, selects=ALL, evaluated=evaluated) == fate(
        CLUSTER, lines, selects=ALL, evaluated=evaluated, behaviour=NEWEST
    )


@pytest.mark.parametrize(
    ("key", "story", "position"),
    [
        (SHOP, "+shop ! +cluster ~cluster", 3),
        (SHOP, "+shop ! +cluster ~cluster ~cluster ! ~cluster", 3),
        (SHOP, "+shop ! +cluster -cluster -cluster !", 3),
        (CLUSTER, "+shop +cluster ! ~shop !", 1),
        (SHOP, "+shop !", 0),
    ],
)
def test_where_a_namesake_did_it_is_told_however_often_the_namesake_is_touched(
    key: PolicyKey, story: str, position: int
) -> None:
    lines, evaluated = told(story)
    assert fate(key, lines, selects=ALL, evaluated=evaluated).position == position
