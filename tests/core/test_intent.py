"""What is meant by a selector, what KubeArmor makes of it, and that the difference is remarked."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from monitor.core.intent import Answer, Meanings, expected_selector, intent_of, meanings
from monitor.core.lint import remarks_on
from monitor.core.lint.remarks import Manifest, expected_of
from monitor.core.selector import CONTAINER_LABEL, identities

KSP: Final = "KubeArmorPolicy"
CSP: Final = "KubeArmorClusterPolicy"
Spec = dict[str, Any]


def labelled(**labels: str) -> Spec:
    return {"selector": {"matchLabels": labels}}


def in_containers(names: Any) -> Spec:
    return {"selector": {"matchLabels": {CONTAINER_LABEL: names}}}


def expressed(*items: tuple[str | None, str | None, list[Any]]) -> Spec:
    expressions = [
        {
            name: value
            for name, value in (("key", key), ("operator", operator), ("values", values))
            if value is not None
        }
        for key, operator, values in items
    ]
    return {"selector": {"matchExpressions": expressions}}


def both(
    kind: str,
    spec: Spec,
    *,
    labels: Mapping[str, str],
    namespace: str = "shop",
    container: str = "app",
) -> tuple[bool, bool]:
    answers = meanings(
        kind=kind,
        policy_namespace="shop" if kind == KSP else "",
        spec=spec,
        namespace=namespace,
        labels=labels,
        container=container,
    )
    return answers.intended.selected, answers.expected.selected


WEB: Final = {"app": "web", "tier": "frontend"}


@pytest.mark.parametrize(
    ("spec", "labels", "container", "answers"),
    [
        ({}, {}, "app", (True, True)),
        ({"selector": {}}, {}, "app", (True, True)),
        (labelled(app="web"), WEB, "app", (True, True)),
        (labelled(app="web"), {}, "app", (False, False)),
        (labelled(app="web", tier="backend"), WEB, "app", (False, False)),
        (in_containers("[app,log]"), {}, "log", (True, True)),
        (in_containers("[app, log]"), {}, "log", (True, True)),
        (in_containers("[app]"), {}, "log", (False, False)),
        (in_containers("[app,,]"), {}, "app", (True, True)),
        (in_containers(""), {}, "app", (True, True)),
        (in_containers("[]"), {}, "app", (True, True)),
        (in_containers("nginx"), {}, "nginx", (True, False)),
        (in_containers("nginx"), {}, "gin", (False, True)),
        (in_containers("ngin"), {}, "gi", (False, True)),
        (in_containers("db"), {}, "db", (True, True)),
        (in_containers("db"), {}, "app", (False, True)),
        (in_containers('["app"]'), {}, "app", (True, False)),
        (in_containers(["app"]), {}, "app", (True, False)),
        (
            labelled(**{"pod-template-hash": "77"}),
            {"pod-template-hash": "77"},
            "app",
            (True, False),
        ),
        (expressed(("label", "In", ["app=web"])), WEB, "app", (True, True)),
        (expressed(("label", "In", ["app=web", "app=db"])), WEB, "app", (True, True)),
        (expressed(("label", "In", ["app=db"])), WEB, "app", (False, False)),
        (expressed(("label", "NotIn", ["app=db"])), WEB, "app", (True, True)),
        (expressed(("label", "NotIn", ["app=web"])), WEB, "app", (False, False)),
        (expressed(("label", "In", ["app: web"])), WEB, "app", (True, False)),
        (expressed(("label", "In", [{"app": "web"}])), WEB, "app", (True, False)),
        (expressed(("label", "In", ["app == web"])), WEB, "app", (True, False)),
        (expressed(("label", "NotIn", ["app: web"])), WEB, "app", (False, True)),
        (expressed(("label", "In", ["web"])), WEB, "app", (False, False)),
        (expressed(("label", "In", ["app=w*"])), WEB, "app", (True, False)),
        (expressed(("label", "In", [])), WEB, "app", (False, True)),
        (expressed(("app", "In", ["web"])), {}, "app", (False, True)),
        (expressed(("app", "Exists", [])), WEB, "app", (True, True)),
        (expressed(("app", "Exists", [])), {}, "app", (False, True)),
        (expressed(("app", "DoesNotExist", [])), WEB, "app", (False, True)),
        (expressed((None, "In", ["app=db"])), WEB, "app", (False, True)),
        (expressed(("label", None, ["app=db"])), WEB, "app", (False, True)),
        (expressed(("label", "in", ["app=web"])), {}, "app", (False, True)),
        (
            expressed(("label", "In", ["app=web"]), ("label", "NotIn", ["tier=frontend"])),
            WEB,
            "app",
            (False, True),
        ),
        (
            expressed(("label", "NotIn", ["tier=frontend"]), ("label", "In", ["app=web"])),
            {"app": "db"},
            "app",
            (False, True),
        ),
        (
            expressed(("label", "In", ["app=web"]), ("label", "In", ["tier=backend"])),
            WEB,
            "app",
            (False, True),
        ),
        (expressed(("label", "In", ["namespaceName=shop"])), WEB, "app", (True, True)),
    ],
)
def test_a_policy_in_the_meaning_of_its_words_and_in_kubearmors(
    spec: Spec, labels: dict[str, str], container: str, answers: tuple[bool, bool]
) -> None:
    assert both(KSP, spec, labels=labels, container=container) == answers


@pytest.mark.parametrize(
    ("spec", "namespace", "answers"),
    [
        ({}, "shop", (True, True)),
        (expressed(("namespace", "In", ["shop"])), "shop", (True, True)),
        (expressed(("namespace", "In", ["shop"])), "bank", (False, False)),
        (expressed(("namespace", "NotIn", ["shop"])), "shop", (False, False)),
        (expressed(("namespace", "NotIn", ["shop"])), "bank", (True, True)),
        (
            expressed(("namespace", "In", ["shop"]), ("namespace", "NotIn", ["shop"])),
            "shop",
            (False, True),
        ),
        (
            expressed(("namespace", "NotIn", ["shop"]), ("namespace", "In", ["shop", "bank"])),
            "bank",
            (True, True),
        ),
        (
            expressed(("namespace", "In", ["shop", "bank"]), ("namespace", "In", ["shop"])),
            "bank",
            (False, True),
        ),
        (expressed(("namespace", "In", [])), "shop", (False, False)),
        (expressed(("namespace", "In", ["sh*"])), "shop", (True, False)),
        (expressed(("namespace", "NotIn", ["sh*"])), "shop", (False, True)),
        (labelled(app="db"), "shop", (False, True)),
        (
            expressed(("namespace", "In", ["shop"]), ("label", "In", ["app=db"])),
            "shop",
            (False, False),
        ),
    ],
)
def test_a_cluster_policy_in_the_meaning_of_its_words_and_in_kubearmors(
    spec: Spec, namespace: str, answers: tuple[bool, bool]
) -> None:
    assert both(CSP, spec, labels=WEB, namespace=namespace) == answers


def test_both_answers_say_because_of_what() -> None:
    spec = expressed(("label", "In", ["app=web"]), ("label", "NotIn", ["tier=frontend"]))
    assert meanings(
        kind=KSP,
        policy_namespace="shop",
        spec=spec,
        namespace="shop",
        labels=WEB,
        container="app",
    ) == Meanings(
        intended=Answer(selected=False, reasons=("does not meet: label NotIn tier=frontend",)),
        expected=Answer(
            selected=True,
            reasons=("selects the namespaces shop", "one of the labels app=web is enough"),
        ),
    )


@pytest.mark.parametrize(
    ("kind", "spec", "reasons"),
    [
        (CSP, {}, ("selects every namespace",)),
        (
            CSP,
            expressed(("namespace", "NotIn", ["bank"])),
            ("selects every namespace but bank",),
        ),
        (
            KSP,
            {"selector": {"matchLabels": {"app": "web", CONTAINER_LABEL: "[app,log]"}}},
            (
                "selects the namespaces shop",
                "requires the labels app=web",
                "selects the containers app, log",
            ),
        ),
        (
            CSP,
            expressed(("label", "NotIn", ["a=1"]), ("label", "In", ["b=2"])),
            (
                "selects every namespace",
                "excludes the labels a=1; label In has no influence then",
            ),
        ),
    ],
)
def test_what_kubearmor_selects_by_is_named(
    kind: str, spec: Spec, reasons: tuple[str, ...]
) -> None:
    answers = meanings(
        kind=kind,
        policy_namespace="shop" if kind == KSP else "",
        spec=spec,
        namespace="shop",
        labels=WEB,
        container="app",
    )
    assert answers.expected == Answer(selected=True, reasons=reasons)


@pytest.mark.parametrize(
    ("kind", "spec", "reasons"),
    [
        (
            KSP,
            labelled(app="db", tier="x"),
            ("the Pod shows no label app=db", "the Pod shows no label tier=x"),
        ),
        (KSP, in_containers("[log]"), ("container app is not among log",)),
        (
            KSP,
            labelled(**{"kubernetes.io/hostname": "a,b"}),
            ("no label of the Pod names one of the hosts",),
        ),
        (KSP, expressed(("label", "NotIn", ["app=web"])), ("label app=web is excluded",)),
        (
            KSP,
            expressed(("label", "In", ["b=2", "a=1"])),
            ("the Pod shows none of the labels a=1, b=2",),
        ),
        (CSP, expressed(("namespace", "In", ["bank"])), ("namespace shop is not among bank",)),
        (CSP, expressed(("namespace", "NotIn", ["shop"])), ("namespace shop is excluded",)),
    ],
)
def test_what_kubearmor_misses_is_named(kind: str, spec: Spec, reasons: tuple[str, ...]) -> None:
    answers = meanings(
        kind=kind,
        policy_namespace="shop" if kind == KSP else "",
        spec=spec,
        namespace="shop",
        labels=WEB,
        container="app",
    )
    assert answers.expected == Answer(selected=False, reasons=reasons)


# --- laws -------------------------------------------------------------------------------------

KEYS: Final = ("app", "tier", "pod-template-hash")
SEEN_PAIRS: Final = st.sampled_from([f"{key}={value}" for key in ("app", "tier") for value in "ab"])
PAIRS: Final = st.sampled_from([f"{key}={value}" for key in KEYS for value in ("a", "b")])
ODD: Final = st.sampled_from(["app: a", "app", "tier = b", "app=*", "", {"app": "a"}, 7])
NAMESPACES: Final = st.sampled_from(["shop", "bank", "sh*", "namespace=shop"])
OPERATORS: Final = st.sampled_from(["In", "NotIn", "In", "NotIn", "in", "Exists", None])
ITEMS: Final = st.fixed_dictionaries(
    {},
    optional={
        "key": st.sampled_from(["label", "label", "namespace", "app"]),
        "operator": OPERATORS,
        "values": st.lists(st.one_of(PAIRS, PAIRS, ODD, NAMESPACES), max_size=2),
    },
)
SOUND_ITEMS: Final = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.just("label"),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(SEEN_PAIRS, min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {
            "key": st.just("namespace"),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(["shop", "bank"]), min_size=1, max_size=2),
        }
    ),
)
CONTAINERS: Final = st.sampled_from(["[app]", "app", "[app,log]", "ab", "[ap", '["app"]'])
SELECTORS: Final = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(
            st.sampled_from(KEYS), st.sampled_from(["a", "b", "*"]), max_size=2
        ).flatmap(
            lambda labels: st.one_of(
                st.just(labels), CONTAINERS.map(lambda names: {**labels, CONTAINER_LABEL: names})
            )
        ),
        "matchExpressions": st.lists(st.one_of(ITEMS, SOUND_ITEMS, SOUND_ITEMS), max_size=3),
    },
)
LABELS: Final = st.dictionaries(st.sampled_from(KEYS), st.sampled_from("ab"), max_size=3)
PODS: Final = st.tuples(
    st.sampled_from(["shop", "bank"]), LABELS, st.sampled_from(["app", "log", "p"])
)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from([KSP, CSP]),
    selector=SELECTORS,
    pods=st.lists(PODS, min_size=1, max_size=6),
)
def test_where_kubearmor_does_not_do_as_meant_a_remark_says_so(
    kind: str, selector: Spec, pods: list[tuple[str, dict[str, str], str]]
) -> None:
    manifest = Manifest(
        kind=kind, namespace="shop" if kind == KSP else "", name="p", spec={"selector": selector}
    )
    intent = intent_of(kind=kind, namespace=manifest.namespace, spec=manifest.spec)
    expected = expected_selector(kind=kind, namespace=manifest.namespace, spec=manifest.spec)
    differs = any(
        intent.selects(namespace=namespace, labels=labels, container=container)
        != expected.selects(
            namespace=namespace,
            identities=identities(namespace=namespace, labels=labels),
            container=container,
        )
        for namespace, labels, container in pods
    )
    severe = [one for one in remarks_on(manifest) if one.severity == "error"]
    assert severe or not differs


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from([KSP, CSP]), selector=SELECTORS, pod=PODS)
def test_the_reasons_agree_with_the_answer(
    kind: str, selector: Spec, pod: tuple[str, dict[str, str], str]
) -> None:
    namespace, labels, container = pod
    answers = meanings(
        kind=kind,
        policy_namespace="shop" if kind == KSP else "",
        spec={"selector": selector},
        namespace=namespace,
        labels=labels,
        container=container,
    )
    grounds = ("selects", "requires", "excludes", "one of")
    obstacles = [one for one in answers.expected.reasons if not one.startswith(grounds)]
    assert (obstacles == []) == answers.expected.selected


def corrected(manifest: Manifest) -> Manifest | None:
    """The policy with every rewrite of its order applied; None where one has no rewrite."""
    while found := [one for one in remarks_on(manifest) if one.code == "selector-order"]:
        rewrite = found[0].rewrite
        if rewrite is None:
            return None
        selector = rewrite.value
        if rewrite.path != ("spec", "selector"):
            selector = {**manifest.spec["selector"], rewrite.path[-1]: rewrite.value}
        manifest = structs.replace(manifest, spec={"selector": selector})
    return manifest


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from([KSP, CSP]),
    items=st.lists(SOUND_ITEMS, min_size=2, max_size=3),
    pods=st.lists(PODS, min_size=1, max_size=6),
)
def test_a_rewritten_order_is_what_was_meant(
    kind: str, items: list[Spec], pods: list[tuple[str, dict[str, str], str]]
) -> None:
    usable = [item for item in items if kind == CSP or item["key"] == "label"]
    spec: Spec = {"selector": {"matchExpressions": usable}}
    written = Manifest(kind=kind, namespace="shop" if kind == KSP else "", name="p", spec=spec)
    rewritten = corrected(written)
    if rewritten is None:
        return
    meant = intent_of(kind=kind, namespace=written.namespace, spec=spec)
    done = expected_of(rewritten)
    for namespace, labels, container in pods:
        seen = identities(namespace=namespace, labels=labels)
        assert meant.selects(
            namespace=namespace, labels=labels, container=container
        ) == done.selects(namespace=namespace, identities=seen, container=container)
