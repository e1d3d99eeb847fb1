"""What a selector means, release by release, where it is not what one would think."""

from collections.abc import Mapping

import pytest

from monitor.core.selector import cluster_wide, identities, namespaced
from monitor.core.semantics import behaviour

OWN = "kubearmor.io/hostname"
NODE = "kubernetes.io/hostname"
RELEASES = ("v1.5.7", "v1.6.14", "v1.7.4")


def takes(
    release: str, *, wanted: Mapping[str, str], labels: Mapping[str, str], container: str = "app"
) -> bool:
    known = behaviour(release)
    assert known is not None
    selector = namespaced(
        namespace="shop", spec={"selector": {"matchLabels": wanted}}, behaviour=known
    )
    seen = identities(namespace="shop", labels=labels)
    return selector.selects(namespace="shop", identities=seen, container=container)


@pytest.mark.parametrize(
    ("wanted", "labels", "answers"),
    [
        ({NODE: "n1"}, {NODE: "n1"}, (True, True, True)),
        ({NODE: "n1"}, {}, (False, True, False)),
        ({NODE: "n1"}, {NODE: "n12"}, (False, True, False)),
        ({NODE: "n1,n2"}, {NODE: "n2"}, (False, False, True)),
        ({NODE: "n1, n2"}, {NODE: "n2"}, (False, False, False)),
        ({NODE: "*"}, {NODE: "n2"}, (False, True, True)),
        ({NODE: "*"}, {}, (False, True, False)),
        ({OWN: "n1"}, {OWN: "n1"}, (True, True, True)),
        ({OWN: "n1"}, {}, (True, True, False)),
        ({OWN: "n1"}, {OWN: "n12"}, (True, True, False)),
        ({OWN: "n.2"}, {OWN: "n12"}, (True, True, False)),
        ({OWN: "[[]n"}, {OWN: "[n"}, (True, True, False)),
        ({OWN: "("}, {OWN: "n1"}, (False, False, False)),
        ({OWN: "n1,n2"}, {OWN: "n1"}, (False, False, True)),
        ({OWN: "n1"}, {NODE: "n1"}, (True, True, False)),
        ({f"{NODE}reg": "n*"}, {NODE: "n1"}, (False, False, True)),
        ({f"{NODE}reg": "2"}, {NODE: "n12"}, (False, False, False)),
        ({f"{NODE}reg": "*2"}, {NODE: "n12"}, (False, False, True)),
        ({f"{NODE}reg": "n1"}, {NODE: "n12"}, (False, False, True)),
        ({f"{NODE}reg": "n**2"}, {NODE: "n12"}, (False, False, True)),
        ({f"{NODE}reg": "n*"}, {}, (False, True, True)),
        ({f"{NODE}reg": r"n\d"}, {NODE: "n1"}, (False, False, False)),
        ({f"{OWN}reg": "n*"}, {OWN: "n1"}, (False, False, True)),
        ({f"{OWN}reg": "m*"}, {OWN: "n1"}, (False, False, False)),
        ({f"{NODE}s": "n1"}, {f"{NODE}s": "n1"}, (True, True, True)),
        ({f"{NODE}s": "n1"}, {}, (False, True, False)),
    ],
)
def test_host_names_are_patterns_and_later_lists(
    wanted: Mapping[str, str], labels: Mapping[str, str], answers: tuple[bool, ...]
) -> None:
    assert tuple(takes(r, wanted=wanted, labels=labels) for r in RELEASES) == answers


@pytest.mark.parametrize(
    ("pattern", "host", "answer"),
    [
        ("n++2", "nn2", True),
        ("n++2", "2", False),
        ("n*+2", "2", True),
        ("n+*2", "2", True),
        ("(?:n)1", "n1", False),
        ("[", "[", False),
    ],
)
def test_a_pattern_is_a_posix_expression(pattern: str, host: str, *, answer: bool) -> None:
    assert takes("v1.6.4", wanted={OWN: pattern}, labels={OWN: host}) is answer


def test_a_pattern_is_held_against_the_first_identity_with_its_key_in_it() -> None:
    labels = {f"a.{OWN}": "n2", OWN: "n1"}
    assert not takes("v1.6.4", wanted={OWN: "n1"}, labels=labels)
    assert takes("v1.7.4", wanted={OWN: "n1"}, labels=labels)


@pytest.mark.parametrize(
    ("value", "containers"),
    [
        ("[app,log]", {"app", "log"}),
        ("[ app , log ]", {"app", "log"}),
        ("[app,,]", {"app"}),
        ("(app)", {"app"}),
        ("xappx", {"app"}),
        ("[]", {"app", "log", "gin"}),
        ("", {"app", "log", "gin"}),
        ("[,]", {"app", "log", "gin"}),
        ("[ ]", set[str]()),
        ("nginx", {"gin"}),
    ],
)
@pytest.mark.parametrize("release", RELEASES)
def test_a_container_list_is_what_stands_between_the_first_and_the_last_character(
    release: str, value: str, containers: set[str]
) -> None:
    wanted = {"kubearmor.io/container.name": value}
    taken = {
        name
        for name in ("app", "log", "gin")
        if takes(release, wanted=wanted, labels={}, container=name)
    }
    assert taken == containers


@pytest.mark.parametrize(("release", "label"), [("v1.5.6", False), ("v1.5.7", True)])
def test_expressions_about_labels_count_from_v1_5_7(release: str, *, label: bool) -> None:
    known = behaviour(release)
    assert known is not None
    expression = {"key": "label", "operator": "In", "values": ["app=web"]}
    spec = {"selector": {"matchExpressions": [expression]}}
    seen = identities(namespace="shop", labels={"app": "db"})
    for selector in (
        namespaced(namespace="shop", spec=spec, behaviour=known),
        cluster_wide(spec=spec, behaviour=known),
    ):
        assert selector.selects(namespace="shop", identities=seen, container="app") is not label
