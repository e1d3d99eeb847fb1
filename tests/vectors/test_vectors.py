"""The model of a daemon gives KubeArmor's own answers, and those of the emulator.

The emulator was written by itself from the same description; where the two differ, one is wrong.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.emulator.vectors import attached
from tests.vectors.__main__ import main
from tests.vectors.player import BUNDLED, answer, disagreements, vectors

RELEASES: Final = ("v1.5.7", "v1.6.4", "v1.6.13", "v1.6.19", "v1.7.4")
TEXTS: Final = ("web", "db")
NAMESPACES: Final = ("shop", "pay", "kube-system", "young")
CONTAINERS: Final = ("a", "b")

Object = dict[str, Any]


def test_every_bundled_vector_agrees_for_every_release_it_answers() -> None:
    bundled = list(vectors(BUNDLED))
    found = [one for vector in bundled for one in disagreements(vector)]
    assert (len(bundled), found) == (244, [])


def test_agreement_is_counted_per_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == (
        "v1.5.7: 244 of 244 agree\nv1.6.4: 244 of 244 agree\nv1.7.4: 244 of 244 agree\n"
    )


def test_a_disagreement_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vector = next(one for one in vectors(BUNDLED) if one["case"]["id"] == "pod-recreate-361")
    vector["answers"] = {"v1.7.4": vector["answers"]["v1.7.4"]}
    vector["answers"]["v1.7.4"]["byContainer"]["shop/web/c1"] = ["other"]
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_bytes(orjson.dumps(vector) + b"\n")
    assert main([str(wrong)]) == 1
    assert capsys.readouterr().out == (
        "pod-recreate-361 v1.7.4 shop/web/c1: expected ['other'], got ['shop/p']\n"
        "v1.7.4: 0 of 1 agree\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n", "no answers in it"),
        ('{"case":{"id":"x"},"answers":{}}\n', "no answers in it"),
        ('\n{"case": 1\n', "2: unexpected end of data"),
        ("[]\n", "1: no vector: "),
        ('{"case":{"id":"x"},"answers":{"v1.7.4":{}}}\n', "1: no vector: KeyError("),
        ('{"case":{},"answers":{"v1.2.0":{}}}\n', "v1.2.0 is not described"),
    ],
)
def test_a_file_that_is_none_of_vectors_is_no_agreement(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text(text)
    assert main([str(odd)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.startswith(f"{odd}:"), said in printed.err) == ("", True, True)


def test_a_case_that_comes_twice_counts_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vector = next(vectors(BUNDLED))
    vector["answers"] = {"v1.7.4": {"attached": {}, "byContainer": {}, "errors": []}}
    twice = tmp_path / "twice.jsonl"
    twice.write_bytes((orjson.dumps(vector) + b"\n") * 2)
    assert main([str(twice)]) == 1
    assert capsys.readouterr().out.endswith("v1.7.4: 0 of 2 agree\n")


labels = st.dictionaries(
    st.sampled_from(("app", "tier", "kubernetes.io/hostname", "kubearmor.io/hostname")),
    st.sampled_from((*TEXTS, "web1")),
    max_size=3,
)
match_labels = st.dictionaries(
    st.sampled_from(
        (
            "app",
            "kubernetes.io/hostname",
            "kubearmor.io/hostname",
            "kubernetes.io/hostnamereg",
            "kubearmor.io/hostnamereg",
            "kubearmor.io/container.name",
        )
    ),
    st.sampled_from(("web", "[a]", "[a, b]", "[ ]", "web,db", "*", "w*")),
    max_size=2,
)
label_values = st.lists(st.sampled_from(("app=web", "app=db", "tier=web")), max_size=2)
operators = st.sampled_from(("In", "NotIn", ""))


def expressions(*keys: str) -> st.SearchStrategy[list[Object]]:
    def one(key: str) -> st.SearchStrategy[Object]:
        values = label_values if key == "label" else st.lists(st.sampled_from(NAMESPACES))
        return st.fixed_dictionaries({"key": st.just(key), "operator": operators, "values": values})

    return st.lists(st.sampled_from(keys).flatmap(one), max_size=3)


@st.composite
def policies(draw: st.DrawFn, *, key: tuple[str, str]) -> Object:
    namespace, name = key
    if namespace:
        selector = {
            "matchLabels": draw(match_labels),
            "matchExpressions": draw(expressions("label")),
        }
    else:
        selector = {"matchExpressions": draw(expressions("label", "namespace"))}
    return {
        "kind": "KubeArmorPolicy" if namespace else "KubeArmorClusterPolicy",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"selector": selector},
    }


KEYS: Final = (("shop", "p"), ("shop", "q"), ("pay", "p"), ("", "p"), ("", "c"))


@st.composite
def cases(draw: st.DrawFn) -> Object:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
    names = draw(st.lists(st.sampled_from(("x", "y")), unique=True, min_size=1))
    pods: list[Object] = [
        {
            "namespace": draw(st.sampled_from(NAMESPACES)),
            "name": name,
            "labels": draw(labels),
            "containers": draw(st.lists(st.sampled_from(CONTAINERS), unique=True, min_size=1)),
        }
        for name in names
    ]
    revised = [pod | {"labels": draw(labels)} for pod in pods if len(pod["containers"]) == 1]
    possible = [f"namespace{end}:{name}" for name in NAMESPACES for end in ("", "-delete")]
    for namespace, name in keys:
        subject = f"policy{{}}:{namespace}/{name}" if namespace else f"cluster{{}}:{name}"
        possible += [subject.format(end) for end in ("", "-update", "-delete")] * 2
    for pod in pods:
        subject = f"pod{{}}:{pod['namespace']}/{pod['name']}"
        ends = ("", "-delete", "-update") if pod["containers"][1:] == [] else ("", "-delete")
        possible += [subject.format(end) for end in ends] * 2
    return {
        "id": "random",
        "policies": [draw(policies(key=key)) for key in keys],
        "updates": [draw(policies(key=key)) for key in keys],
        "pods": pods,
        "podUpdates": revised,
        "namespaces": ["shop", "pay", "kube-system"],
        "order": _decided(draw(st.lists(st.sampled_from(possible), min_size=1, max_size=10)), pods),
    }


def _decided(order: Sequence[str], pods: Sequence[Object]) -> list[str]:
    """The steps without those that show a Pod of several containers again.

    A daemon then revises one of its containers, drawn at random (dossier 7.3): there is no answer.
    """
    several = {f"{pod['namespace']}/{pod['name']}" for pod in pods if pod["containers"][1:]}
    shown: set[str] = set()
    decided: list[str] = []
    for step in order:
        action, _, subject = step.partition(":")
        if action == "pod" and subject in shown & several:
            continue
        if action == "pod":
            shown.add(subject)
        elif action == "pod-delete":
            shown.discard(subject)
        decided.append(step)
    return decided


@pytest.mark.parametrize("release", RELEASES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_the_emulator_attaches_the_same(release: str, case: Object) -> None:
    assert answer(case, release)["byContainer"] == attached(case, release)
