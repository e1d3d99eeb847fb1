"""Remarks on policies: which manifest gets which, where, and what should stand there instead."""

from collections.abc import Iterable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from monitor.core.lint import remarks_among, remarks_in, remarks_on
from monitor.core.lint.cluster import Cluster, PodShape
from monitor.core.lint.remarks import KINDS, TOPICS, Enforcer, Manifest, Remark, Rewrite, dotted
from monitor.core.selector import CONTAINER_LABEL

Spec = dict[str, Any]
Short = tuple[str, str, str, Any]

BLOCK: Final[Spec] = {"process": {"matchPaths": [{"path": "/usr/bin/apt"}]}, "action": "Block"}
NOTHING: Final = ()


def ksp(spec: Spec, *, name: str = "web", namespace: str = "shop") -> Manifest:
    return Manifest(kind="KubeArmorPolicy", namespace=namespace, name=name, spec=spec)


def csp(spec: Spec, *, name: str = "baseline") -> Manifest:
    return Manifest(kind="KubeArmorClusterPolicy", namespace="", name=name, spec=spec)


def hsp(spec: Spec) -> Manifest:
    return Manifest(kind="KubeArmorHostPolicy", namespace="", name="hosts", spec=spec)


def nsp(spec: Spec) -> Manifest:
    return Manifest(kind="KubeArmorNetworkPolicy", namespace="", name="net", spec=spec)


def labelled(labels: Any) -> Spec:
    return {"selector": {"matchLabels": labels}, **BLOCK}


def expressed(*items: Any) -> Spec:
    return {"selector": {"matchExpressions": list(items)}, **BLOCK}


def item(key: str, operator: str, *values: Any) -> Spec:
    return {"key": key, "operator": operator, "values": list(values)}


def short(remarks: Iterable[Remark]) -> tuple[Short, ...]:
    return tuple(
        (one.code, one.severity, dotted(one.path), one.rewrite and one.rewrite.value)
        for one in remarks
    )


LABEL = "spec.selector.matchLabels"
LIST = f'{LABEL}["{CONTAINER_LABEL}"]'
FIRST = "spec.selector.matchExpressions[0]"
SECOND = "spec.selector.matchExpressions[1]"


def mistake(path: str, rewrite: Any = None, severity: str = "error") -> Short:
    return ("selector-mistake", severity, path, rewrite)


def order(path: str, rewrite: Any = None) -> Short:
    return ("selector-order", "error", path, rewrite)


SOUND: Final = {
    "no selector": ksp(BLOCK),
    "empty selector": ksp({"selector": {}, **BLOCK}),
    "labels": ksp(labelled({"app": "wordpress"})),
    "a container list": ksp(labelled({"app": "db", CONTAINER_LABEL: "[postgres, log]"})),
    "an empty container list": ksp(labelled({CONTAINER_LABEL: "[]"})),
    "hosts": ksp(labelled({"kubernetes.io/hostname": "worker-1,worker-2"})),
    "one of two labels": ksp(expressed(item("label", "In", "app=a", "app=b"))),
    "the pseudo label of the namespace": ksp(expressed(item("label", "In", "namespaceName=shop"))),
    "an exclusion that the labels wanted rule out": ksp(
        expressed(item("label", "In", "app=a"), item("label", "NotIn", "app=b"))
    ),
    "all but two namespaces": csp(
        expressed(item("namespace", "NotIn", "kube-system", "kubearmor"))
    ),
    "two namespaces": csp(expressed(item("namespace", "In", "team-a", "team-b"))),
    "a label only": csp(expressed(item("label", "NotIn", "monitoring=true"))),
    "namespace and label": csp(
        expressed(item("namespace", "NotIn", "kube-system"), item("label", "In", "tier=frontend"))
    ),
    "an exclusion of another namespace": csp(
        expressed(item("namespace", "NotIn", "a"), item("namespace", "In", "b"))
    ),
    "a preset": csp({"presets": [{"name": "filelessExec", "action": "Block"}]}),
    "an audited pattern": ksp(
        {"file": {"matchPatterns": [{"pattern": "/etc/*"}]}, "action": "Audit"}
    ),
    "hosts of a host policy": hsp({"nodeSelector": {"matchLabels": {"a": "b"}}, **BLOCK}),
    "Pods of a network policy": nsp({"selector": {"matchLabels": {"app": "web"}}}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_policy_that_says_what_it_means_gets_no_remark(name: str) -> None:
    assert remarks_on(SOUND[name]) == NOTHING


MISTAKES: Final[dict[str, tuple[Manifest, tuple[Short, ...]]]] = {
    "a container list without brackets": (
        ksp(labelled({CONTAINER_LABEL: "nginx"})),
        (mistake(LIST, "[nginx]"),),
    ),
    "a short one without brackets": (
        ksp(labelled({CONTAINER_LABEL: "db"})),
        (mistake(LIST, "[db]"),),
    ),
    "quotes in a container list": (
        ksp(labelled({CONTAINER_LABEL: '["a", "b"]'})),
        (mistake(LIST, "[a,b]"),),
    ),
    "a container list that is a list": (
        ksp(labelled({CONTAINER_LABEL: ["a"]})),
        (mistake(LIST, "[a]"),),
    ),
    "a stamped label": (
        ksp(labelled({"app": "a", "pod-template-hash": "12"})),
        (mistake(f"{LABEL}.pod-template-hash", {"app": "a"}),),
    ),
    "a label value that is no string": (
        ksp(labelled({"version": 2, "canary": True})),
        (mistake(f"{LABEL}.version", "2"), mistake(f"{LABEL}.canary", "true")),
    ),
    "a label value with a wildcard": (ksp(labelled({"app": "web-*"})), (mistake(f"{LABEL}.app"),)),
    "a field that is mistyped": (
        ksp({"selector": {"matchLabel": {"app": "a"}}, **BLOCK}),
        (mistake("spec.selector.matchLabel", {"matchLabels": {"app": "a"}}),),
    ),
    "a field that there is not": (
        ksp({"selector": {"app": "a"}, **BLOCK}),
        (mistake("spec.selector.app"),),
    ),
    "a label written with a colon": (
        csp(expressed(item("label", "In", "tier: frontend"))),
        (mistake(f"{FIRST}.values[0]", "tier=frontend"),),
    ),
    "a label written as a mapping": (
        ksp(expressed(item("label", "NotIn", "a=b", {"tier": "frontend"}))),
        (mistake(f"{FIRST}.values[1]", "tier=frontend"),),
    ),
    "a label without a key": (
        ksp(expressed(item("label", "In", "frontend"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "a stamped label among the values": (
        ksp(expressed(item("label", "In", "pod-template-hash=12"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "a container among the values": (
        ksp(expressed(item("label", "In", f"{CONTAINER_LABEL}=app"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "labels of several keys": (
        ksp(expressed(item("label", "In", "app=a", "tier=b"))),
        (mistake(FIRST, severity="note"),),
    ),
    "a key as Kubernetes has it": (
        ksp(expressed(item("app", "In", "web", "db"))),
        (mistake(f"{FIRST}.key", item("label", "In", "app=web", "app=db")),),
    ),
    "an operator as Kubernetes has it": (
        ksp(expressed({"key": "app", "operator": "Exists"})),
        (mistake(f"{FIRST}.key"), mistake(f"{FIRST}.operator")),
    ),
    "an operator in small letters": (
        ksp(expressed(item("label", "notin", "a=b"))),
        (mistake(f"{FIRST}.operator", item("label", "NotIn", "a=b")),),
    ),
    "no key": (
        ksp(expressed({"operator": "In", "values": ["a=b"]})),
        (mistake(FIRST, item("label", "In", "a=b")),),
    ),
    "no key, and names of namespaces": (
        csp(expressed({"operator": "In", "values": ["team-a"]})),
        (mistake(FIRST, item("namespace", "In", "team-a")),),
    ),
    "no operator": (
        ksp(expressed({"key": "label", "values": ["a=b"]})),
        (mistake(FIRST, item("label", "In", "a=b")),),
    ),
    "namespaces in a namespaced policy": (
        ksp(expressed(item("namespace", "In", "a"))),
        (mistake(f"{FIRST}.key"),),
    ),
    "a label In without values": (ksp(expressed(item("label", "In"))), (mistake(FIRST),)),
    "a NotIn without values": (
        csp(expressed(item("namespace", "NotIn"))),
        (mistake(FIRST, severity="warning"),),
    ),
    "a namespace In without values": (
        csp(expressed(item("namespace", "In"))),
        (("selects-nothing", "error", FIRST, None),),
    ),
    "a value that is no list": (
        ksp(expressed({"key": "label", "operator": "In", "values": "a=b"})),
        (mistake(f"{FIRST}.values", item("label", "In", "a=b")),),
    ),
    "expressions that are no list": (
        ksp({"selector": {"matchExpressions": item("label", "In", "a=b")}, **BLOCK}),
        (mistake("spec.selector.matchExpressions", [item("label", "In", "a=b")]),),
    ),
    "an expression that is none": (ksp(expressed("a=b")), (mistake(FIRST),)),
    "a name that no namespace can have": (
        csp(expressed(item("namespace", "In", "Team A"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "a label value that no Pod can have": (
        ksp(expressed(item("label", "In", "app=web-*"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "a pattern of namespaces": (
        csp(expressed(item("namespace", "NotIn", "kube-*"))),
        (mistake(f"{FIRST}.values[0]"),),
    ),
    "a namespace written as a label": (
        csp(expressed(item("namespace", "In", "namespace=a"))),
        (mistake(f"{FIRST}.values[0]", "a"),),
    ),
    "labels of a cluster policy": (
        csp(labelled({"app": "a"})),
        (mistake(LABEL, {"matchExpressions": [item("label", "In", "app=a")]}),),
    ),
    "several labels of a cluster policy": (
        csp(labelled({"app": "a", "tier": "b"})),
        (mistake(LABEL),),
    ),
    "containers of a cluster policy": (csp(labelled({CONTAINER_LABEL: "[a]"})), (mistake(LABEL),)),
    "a host policy without labels": (
        hsp({"nodeSelector": {"matchLabels": {}}, **BLOCK}),
        (mistake("spec.nodeSelector", {"matchLabels": {"kubernetes.io/hostname": "*"}}),),
    ),
    "a host policy that selects Pods": (
        hsp({"selector": {"matchLabels": {"a": "b"}}, "nodeSelector": {"matchLabels": {"a": "b"}}}),
        (mistake("spec.selector"),),
    ),
    "expressions of a network policy": (
        nsp({"selector": {"matchExpressions": [item("label", "In", "a=b")]}}),
        (mistake("spec.selector.matchExpressions"),),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_selector_is_named_with_its_place_and_a_rewrite(name: str) -> None:
    manifest, expected = MISTAKES[name]
    assert short(remarks_on(manifest)) == expected


def selector(**members: Any) -> Spec:
    return members


ORDERS: Final[dict[str, tuple[Manifest, tuple[Short, ...]]]] = {
    "an exclusion after what is wanted": (
        ksp(expressed(item("label", "In", "x=1"), item("label", "NotIn", "y=2"))),
        (
            order(
                SECOND,
                selector(matchLabels={"x": "1"}, matchExpressions=[item("label", "NotIn", "y=2")]),
            ),
        ),
    ),
    "an exclusion before what is wanted": (
        ksp(expressed(item("label", "NotIn", "y=2"), item("label", "In", "x=1"))),
        (
            order(
                SECOND,
                selector(matchLabels={"x": "1"}, matchExpressions=[item("label", "NotIn", "y=2")]),
            ),
        ),
    ),
    "an exclusion beside several that are wanted": (
        ksp(expressed(item("label", "In", "x=1", "x=2"), item("label", "NotIn", "y=2"))),
        (order(SECOND),),
    ),
    "an exclusion that decides alone although it is implied": (
        ksp(expressed(item("label", "NotIn", "x=2"), item("label", "In", "x=1"))),
        (order(SECOND, selector(matchLabels={"x": "1"})),),
    ),
    "two labels that are both wanted": (
        ksp(expressed(item("label", "In", "x=1"), item("label", "In", "y=2"))),
        (order(SECOND, selector(matchLabels={"x": "1", "y": "2"})),),
    ),
    "two labels that cannot both be": (
        ksp(expressed(item("label", "In", "x=1"), item("label", "In", "x=2"))),
        (order(SECOND),),
    ),
    "an exclusion beside one of two labels": (
        ksp(expressed(item("label", "NotIn", "z=3"), item("label", "In", "x=1", "y=2"))),
        (mistake(SECOND, severity="note"), order(SECOND)),
    ),
    "two lists of one label": (
        csp(expressed(item("label", "In", "x=1", "x=2"), item("label", "In", "x=2", "x=3"))),
        (order(SECOND, selector(matchExpressions=[item("label", "In", "x=2")])),),
    ),
    "labels that a cluster policy cannot both require": (
        csp(expressed(item("label", "In", "x=1"), item("label", "NotIn", "y=2"))),
        (order(SECOND),),
    ),
    "a container list that is put right by the way": (
        ksp(
            {
                "selector": {
                    "matchLabels": {CONTAINER_LABEL: "{a}"},
                    "matchExpressions": [
                        item("label", "In", "x=1"),
                        item("label", "NotIn", "y=2"),
                    ],
                },
                **BLOCK,
            }
        ),
        (
            order(
                SECOND,
                selector(
                    matchLabels={CONTAINER_LABEL: "[a]", "x": "1"},
                    matchExpressions=[item("label", "NotIn", "y=2")],
                ),
            ),
        ),
    ),
    "a namespace both named and excluded": (
        csp(expressed(item("namespace", "In", "a"), item("namespace", "NotIn", "a"))),
        (order(SECOND),),
    ),
    "one of two namespaces excluded": (
        csp(expressed(item("namespace", "NotIn", "a"), item("namespace", "In", "a", "b"))),
        (order(FIRST, [item("namespace", "In", "b")]),),
    ),
    "two lists of namespaces": (
        csp(
            expressed(
                item("namespace", "In", "a", "b"),
                item("label", "In", "x=1"),
                item("namespace", "In", "b"),
            )
        ),
        (
            order(
                "spec.selector.matchExpressions[2]",
                [item("namespace", "In", "b"), item("label", "In", "x=1")],
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_expressions_that_cancel_each_other_are_named(name: str) -> None:
    manifest, expected = ORDERS[name]
    assert short(remarks_on(manifest)) == expected


def test_what_cannot_be_said_in_one_policy_comes_with_advice() -> None:
    ignored = "A label NotIn that stands after a label In is ignored: it excludes nothing."
    several = expressed(item("label", "In", "x=1", "x=2"), item("label", "NotIn", "y=2"))
    single = expressed(item("label", "In", "x=1"), item("label", "NotIn", "y=2"))
    impossible = expressed(item("label", "In", "x=1"), item("label", "In", "x=2"))
    manifests = (ksp(several), csp(single), ksp(single), ksp(impossible))
    assert [one.reason for manifest in manifests for one in remarks_on(manifest)] == [
        (
            f"{ignored} Write one policy for each value of the label In, with that value in "
            "matchLabels."
        ),
        (
            f"{ignored} A cluster policy cannot say this: give the Pods that are meant a label of "
            "their own, or write a KubeArmorPolicy in each namespace."
        ),
        ignored,
        "KubeArmor joins all label In into one list: any one of `x=1`, `x=2` is enough.",
    ]


# --- types ------------------------------------------------------------------------------------


def rejected(path: str, rewrite: Any = None) -> Short:
    return ("policy-rejected", "error", path, rewrite)


SELECTED: Final = {"nodeSelector": {"matchLabels": {"a": "b"}}}
REJECTED: Final[dict[str, tuple[Manifest, tuple[Short, ...]]]] = {
    "a selector that is a list": (
        ksp({"selector": ["app=web"], **BLOCK}),
        (rejected("spec.selector"),),
    ),
    "labels that are a list": (
        ksp(labelled(["app=web"])),
        (rejected(LABEL),),
    ),
    "labels of nodes that are a string": (
        hsp({"nodeSelector": {"matchLabels": "a=b"}, **BLOCK}),
        (rejected("spec.nodeSelector.matchLabels"),),
    ),
    "a label of nodes that is a truth value": (
        hsp({"nodeSelector": {"matchLabels": {"gpu": True}}, **BLOCK}),
        (rejected("spec.nodeSelector.matchLabels.gpu", "true"),),
    ),
    "a process that is a string": (
        ksp({"process": "/usr/bin/apt", "action": "Block"}),
        (rejected("spec.process"),),
    ),
    "paths that are one path": (
        ksp({"process": {"matchPaths": {"path": "/bin/a"}}, "action": "Block"}),
        (rejected("spec.process.matchPaths", [{"path": "/bin/a"}]),),
    ),
    "paths that are strings": (
        csp({"process": {"matchPaths": ["/bin/a", "/bin/b"]}}),
        (rejected("spec.process.matchPaths[0]"), rejected("spec.process.matchPaths[1]")),
    ),
    "a path that is a number": (
        ksp({"file": {"matchPaths": [{"path": 7}]}}),
        (rejected("spec.file.matchPaths[0].path", "7"),),
    ),
    "a source that is a string": (
        ksp({"file": {"matchPaths": [{"path": "/a", "fromSource": ["/b"]}]}}),
        (rejected("spec.file.matchPaths[0].fromSource[0]"),),
    ),
    "a switch that is a string": (
        ksp({"file": {"matchDirectories": [{"dir": "/a/", "recursive": "True"}]}}),
        (rejected("spec.file.matchDirectories[0].recursive", True),),
    ),
    "an action that is a number": (ksp({**BLOCK, "action": 1}), (rejected("spec.action"),)),
    "an action that there is not": (
        ksp({**BLOCK, "action": "block"}),
        (rejected("spec.action", "Block"),),
    ),
    "a severity in quotes": (ksp({**BLOCK, "severity": "5"}), (rejected("spec.severity", 5),)),
    "a severity beyond the worst": (ksp({**BLOCK, "severity": 11}), (rejected("spec.severity"),)),
    "one tag": (ksp({**BLOCK, "tags": "a"}), (rejected("spec.tags", ["a"]),)),
    "presets that are a mapping": (
        csp({"presets": {"name": "exec"}}),
        (rejected("spec.presets", [{"name": "exec"}]),),
    ),
    "traffic that is a mapping": (
        nsp({**SELECTED, "ingress": {"from": []}}),
        (rejected("spec.ingress", [{"from": []}]),),
    ),
    "labels of a cluster policy, which are dropped whatever they are": (
        csp(labelled(["app=web"])),
        (mistake(LABEL),),
    ),
    "what is null, which is as if it were not there": (
        ksp({"selector": None, "process": {"matchPaths": None}, "action": None}),
        (),
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_value_that_the_api_server_refuses_is_named(name: str) -> None:
    manifest, expected = REJECTED[name]
    assert short(remarks_on(manifest)) == expected


def test_it_is_said_what_must_stand_there_and_what_stands_there() -> None:
    (found,) = remarks_on(ksp({"process": "/usr/bin/apt"}))
    assert found.reason == (
        "Here must stand a mapping, not the string `/usr/bin/apt`: the API server refuses the "
        "policy."
    )


WHOLE: Final[Spec] = {
    "severity": 5,
    "message": "no",
    "tags": ["a"],
    "selector": {
        "matchLabels": {"app": "web"},
        "matchExpressions": [item("label", "In", "tier=front")],
    },
    "process": {
        "matchPaths": [{"path": "/a", "ownerOnly": True, "fromSource": [{"path": "/b"}]}],
        "matchDirectories": [{"dir": "/a/", "recursive": True}],
        "matchPatterns": [{"pattern": "/a/*", "action": "Audit"}],
    },
    "file": {"action": "Allow", "matchPaths": [{"path": "/a", "readOnly": True}]},
    "network": {"matchProtocols": [{"protocol": "tcp"}]},
    "capabilities": {"matchCapabilities": [{"capability": "net_raw"}]},
    "syscalls": {"matchSyscalls": [{"syscall": ["unlink"]}]},
    "presets": [{"name": "exec"}],
    "apparmor": "deny /x r,",
    "action": "Block",
}
FOREIGN: Final[tuple[Any, ...]] = (7, "words", ["a"], {"a": "b"}, True, 1.5, [{}], [[7]])


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterable[tuple[str | int, ...]]:
    """All places in a value but itself."""
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield (*path, step)
            yield from places(value[step], (*path, step))


def put(value: Any, path: tuple[str | int, ...], other: Any) -> Any:
    """The value with another one at a place."""
    if not path:
        return other
    changed = value.copy()
    changed[path[0]] = put(value[path[0]], path[1:], other)
    return changed


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize("place", list(places(WHOLE)), ids=dotted)
def test_a_value_of_another_type_is_an_error_wherever_it_stands(
    place: tuple[str | int, ...],
) -> None:
    whole = ("spec", *place)
    for other in FOREIGN:
        if type(other) is type(at(WHOLE, place)):
            continue
        found = remarks_on(ksp(put(WHOLE, place, other)))
        errors = [one.path for one in found if one.severity == "error"]
        assert any(path[: len(whole)] == whole[: len(path)] for path in errors), other


# --- rules ------------------------------------------------------------------------------------


def rule(severity: str, path: str, rewrite: Any = None) -> Short:
    return ("rule-not-enforceable", severity, path, rewrite)


PATTERN: Final = "spec.process.matchPatterns[0]"
RULES: Final[dict[str, tuple[Spec, Enforcer, tuple[Short, ...]]]] = {
    "only a pattern of a folder": (
        {"process": {"matchPatterns": [{"pattern": "/usr/bin/*"}]}, "action": "Block"},
        "bpf",
        (rule("error", PATTERN, {"matchDirectories": [{"dir": "/usr/bin/"}]}),),
    ),
    "a pattern of a tree, among others": (
        {
            "process": {
                "matchPaths": [{"path": "/bin/sh"}],
                "matchPatterns": [{"pattern": "/srv/**", "ownerOnly": True}, {"pattern": "*.sh"}],
            }
        },
        "bpf",
        (
            rule(
                "warning",
                PATTERN,
                {
                    "matchPaths": [{"path": "/bin/sh"}],
                    "matchPatterns": [{"pattern": "*.sh"}],
                    "matchDirectories": [{"dir": "/srv/", "recursive": True, "ownerOnly": True}],
                },
            ),
            rule("warning", "spec.process.matchPatterns[1]"),
        ),
    ),
    "a pattern that is a path": (
        {"process": {"matchPatterns": [{"pattern": "/usr/bin/apt"}]}},
        "bpf",
        (rule("error", PATTERN, {"matchPaths": [{"path": "/usr/bin/apt"}]}),),
    ),
    "a pattern that no other form says": (
        {"process": {"matchPatterns": [{"pattern": "/usr/bin/ap*"}]}},
        "bpf",
        (rule("error", PATTERN),),
    ),
    "a pattern with AppArmor": (
        {"process": {"matchPatterns": [{"pattern": "/usr/bin/ap*"}]}},
        "apparmor",
        (),
    ),
    "system calls": (
        {"syscalls": {"matchSyscalls": [{"syscall": ["unlink"]}]}, "action": "Block"},
        "apparmor",
        (rule("error", "spec.syscalls.matchSyscalls[0]", "Audit"),),
    ),
    "system calls beside other rules": (
        {**BLOCK, "syscalls": {"matchPaths": [{"path": "/srv/", "syscall": ["unlink"]}]}},
        "bpf",
        (rule("warning", "spec.syscalls.matchPaths[0]"),),
    ),
    "an action of the class": (
        {"file": {"action": "Audit", "matchPatterns": [{"pattern": "/etc/*"}]}, "action": "Block"},
        "bpf",
        (),
    ),
    "AppArmor's own text": ({"apparmor": "deny /x r,"}, "bpf", (rule("error", "spec.apparmor"),)),
    "a preset with AppArmor": (
        {"presets": [{"name": "exec"}], "action": "Block"},
        "apparmor",
        (rule("error", "spec.presets[0]"),),
    ),
    "arguments with AppArmor": (
        {"process": {"matchPaths": [{"path": "/bin/sh", "allowedArgs": ["-c"]}]}},
        "apparmor",
        (rule("error", "spec.process.matchPaths[0]"),),
    ),
    "ICMP with AppArmor": (
        {"network": {"matchProtocols": [{"protocol": "icmp"}, {"protocol": "tcp"}]}},
        "apparmor",
        (rule("warning", "spec.network.matchProtocols[0]"),),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_the_enforcer_has_no_form_for_is_named(name: str) -> None:
    spec, enforcer, expected = RULES[name]
    assert short(remarks_on(ksp(spec), enforcers=(enforcer,))) == expected


def test_capabilities_of_a_host_policy_are_not_enforced_with_bpf() -> None:
    spec = {
        "nodeSelector": {"matchLabels": {"a": "b"}},
        "capabilities": {"matchCapabilities": [{"capability": "net_raw"}]},
    }
    assert short(remarks_on(hsp(spec))) == (
        rule("error", "spec.capabilities.matchCapabilities[0]"),
    )


def test_what_no_enforcer_enforces_is_said_once_for_several() -> None:
    spec = {"syscalls": {"matchSyscalls": [{"syscall": ["unlink"]}]}}
    assert len(remarks_on(ksp(spec), enforcers=("bpf", "apparmor"))) == 1


# --- names ------------------------------------------------------------------------------------


def test_a_name_of_both_kinds_is_a_remark_on_every_bearer() -> None:
    here, there = ksp(BLOCK, name="block"), ksp(BLOCK, name="block", namespace="bank")
    wide, taken = csp(BLOCK, name="block"), csp(BLOCK, name="block-cluster")
    others = [ksp(BLOCK, name="other"), hsp(BLOCK)]
    found = remarks_among([here, wide, taken, there, *others])
    assert [(one.policy.title, one.severity, dotted(one.path), one.rewrite) for one in found] == [
        (
            "KubeArmorClusterPolicy block",
            "error",
            "metadata.name",
            Rewrite(("metadata", "name"), "block-cluster-wide"),
        ),
        ("KubeArmorPolicy shop/block", "error", "metadata.name", None),
        ("KubeArmorPolicy bank/block", "error", "metadata.name", None),
    ]


def test_equal_names_of_one_kind_do_not_collide() -> None:
    assert remarks_among([ksp(BLOCK), ksp(BLOCK, namespace="bank")]) == ()


# --- the cluster ------------------------------------------------------------------------------


def pod(*containers: str, **labels: str) -> PodShape:
    return PodShape(labels=labels, containers=containers)


NAMES: Final = ("kube-system", "kubearmor", "shop", "bank")
SHOP: Final = Cluster(
    namespaces={name: {} for name in NAMES},
    pods={"shop": (pod("app", "log", app="web"),), "bank": (pod("db", app="ledger"),)},
    nodes={"a": {"kubernetes.io/hostname": "worker-1"}},
    settings={},
)


def left_out(severity: str, path: str = FIRST) -> Short:
    return ("namespace-left-out", severity, path, None)


def reasons(remarks: Iterable[Remark], code: str) -> list[str]:
    return [one.reason for one in remarks if one.code == code]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            expressed(item("namespace", "NotIn", "kube-system", "kubearmor")),
            "The policy leaves out the namespaces `kube-system`, `kubearmor`.",
        ),
        (
            expressed(item("namespace", "NotIn", "bank")),
            (
                "The policy leaves out the namespaces `bank`. It has no effect in `kube-system`, "
                "`kubearmor`."
            ),
        ),
        (
            expressed(item("namespace", "In", "shop")),
            (
                "The policy applies in `shop` only and leaves out every other namespace, those "
                "that are created later included. Now these are `bank`, `kube-system`, `kubearmor`."
            ),
        ),
        (BLOCK, "It has no effect in `kube-system`, `kubearmor`."),
    ],
)
def test_a_cluster_policy_says_which_namespaces_it_leaves_out(spec: Spec, reason: str) -> None:
    cluster = Cluster(namespaces=SHOP.namespaces, settings={"untrackedNs": "kubearmor"})
    found = remarks_in(csp(spec), cluster)
    assert reasons(found, "namespace-left-out") == [reason]
    assert {one.severity for one in found} == {"note"}


def test_a_policy_that_names_no_namespace_at_all_is_no_matter_of_what_it_leaves_out() -> None:
    assert remarks_in(csp(expressed(item("namespace", "In"))), SHOP) == ()


def test_what_is_not_known_of_the_cluster_is_said_to_be_the_default() -> None:
    (found,) = remarks_in(csp(BLOCK), Cluster())
    assert found.reason == (
        "It has no effect in `kube-system`, `kubearmor`, unless the configuration says otherwise."
    )


def test_namespaces_in_which_nothing_is_enforced_are_a_warning_where_they_are_named() -> None:
    named = csp(expressed(item("namespace", "In", "kube-system", "shop")))
    assert short(remarks_in(named, Cluster())) == (left_out("warning"),)
    inside = ksp(BLOCK, namespace="kubearmor")
    assert short(remarks_in(inside, Cluster())) == (left_out("warning", "metadata.namespace"),)
    tracked = Cluster(settings={"untrackedNs": ""})
    assert remarks_in(inside, tracked) == ()


@pytest.mark.parametrize(
    ("releases", "unenforced"),
    [
        ((), {"kube-system", "team"}),
        (("v1.6.7",), {"kube-system", "team"}),
        (("v1.6.6",), {"kube-system", "kubearmor"}),
        (("v1.6.6", "v1.7.4"), {"kube-system", "kubearmor"}),
        (("v1.4.1",), {"kube-system"}),
        (("v1.4.1", "v1.4.2"), {"kube-system", "kubearmor"}),
        (("latest", "v1.7.4"), {"kube-system", "team"}),
    ],
)
def test_the_releases_in_use_decide_whether_the_list_of_untracked_namespaces_counts(
    releases: tuple[str, ...], unenforced: set[str]
) -> None:
    cluster = Cluster(settings={"untrackedNs": "team"}, releases=frozenset(releases))
    assert cluster.unenforced == unenforced


@pytest.mark.parametrize(
    ("operator", "name", "expected"),
    [
        ("In", "shop", ()),
        ("In", "shopp", (mistake(f"{FIRST}.values[0]", "shop", "warning"),)),
        ("In", "team-a", (mistake(f"{FIRST}.values[0]", None, "warning"),)),
        ("NotIn", "kube-sytem", (mistake(f"{FIRST}.values[0]", "kube-system", "warning"),)),
        ("NotIn", "team-a", ()),
    ],
)
def test_a_namespace_that_there_is_not_is_probably_mistyped(
    operator: str, name: str, expected: tuple[Short, ...]
) -> None:
    found = remarks_in(csp(expressed(item("namespace", operator, name))), SHOP)
    assert short(one for one in found if one.code == "selector-mistake") == expected


def nothing(severity: str, path: str, rewrite: Any = None) -> Short:
    return ("selects-nothing", severity, path, rewrite)


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (ksp(labelled({"app": "web"})), ()),
        (ksp(labelled({"app": "web", CONTAINER_LABEL: "[log]"})), ()),
        (ksp(labelled({"app": "webb"})), (nothing("warning", f"{LABEL}.app", "web"),)),
        (ksp(labelled({"ap": "web"})), (nothing("warning", f"{LABEL}.ap"),)),
        (ksp(labelled({"tier": "x"})), (nothing("warning", f"{LABEL}.tier"),)),
        (
            ksp(labelled({"app": "web", CONTAINER_LABEL: "[sidecar]"})),
            (nothing("warning", "spec.selector"),),
        ),
        (
            ksp(labelled({"app": "web", CONTAINER_LABEL: "app"})),
            (nothing("warning", "spec.selector"),),
        ),
        (ksp(expressed(item("label", "NotIn", "app=web"))), (nothing("warning", "spec.selector"),)),
        (
            ksp(expressed(item("label", "In", "app=a", "app=b"))),
            (nothing("warning", "spec.selector"),),
        ),
        (
            ksp(expressed(item("label", "NotIn", "app=x"), item("label", "In", "tier=y"))),
            (),
        ),
        (ksp(BLOCK, namespace="empty"), (nothing("note", "spec.selector"),)),
        (
            ksp(expressed(item("label", "In", "app=wbe"))),
            (nothing("warning", f"{FIRST}.values[0]", "app=web"),),
        ),
        (hsp({"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "worker-1,x"}}}), ()),
        (
            hsp({"nodeSelector": {"matchLabels": {"role": "db"}}}),
            (nothing("warning", "spec.nodeSelector.matchLabels"),),
        ),
        (nsp({"selector": {"matchLabels": {"app": "ledger"}}}), ()),
        (
            nsp({"selector": {"matchLabels": {"role": "none"}}}),
            (nothing("warning", f"{LABEL}.role"),),
        ),
    ],
)
def test_a_policy_that_selects_nothing_that_runs_is_named(
    manifest: Manifest, expected: tuple[Short, ...]
) -> None:
    assert short(remarks_in(manifest, SHOP)) == expected


def test_what_only_the_intention_selects_is_said_to_be_a_mistake() -> None:
    (found,) = remarks_in(ksp(labelled({CONTAINER_LABEL: "app"})), SHOP)
    assert found.reason == (
        "As it is meant, the selector selects containers that run; as it is written, none. The "
        "mistakes in it are named besides."
    )


# --- posture ----------------------------------------------------------------------------------

ALLOW: Final[Spec] = {
    "process": {"matchPaths": [{"path": "/usr/bin/php"}]},
    "network": {"matchProtocols": [{"protocol": "tcp"}], "action": "Allow"},
    "capabilities": {"matchCapabilities": [{"capability": "chown"}], "action": "Block"},
    "action": "Allow",
}


def postures(manifest: Manifest, cluster: Cluster) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (one.severity, dotted(one.path), dotted(one.rewrite.path))
        for one in remarks_in(manifest, cluster)
        if one.code == "posture-audit" and one.rewrite is not None
    )


FILES: Final = ("spec.process", "metadata.annotations.kubearmor-file-posture")
NETWORK: Final = ("spec.network", "metadata.annotations.kubearmor-network-posture")


@pytest.mark.parametrize(
    ("annotations", "settings", "expected"),
    [
        ({}, {}, (("warning", *FILES), ("warning", *NETWORK))),
        ({}, None, (("note", *FILES), ("note", *NETWORK))),
        ({"kubearmor-file-posture": "block"}, {}, (("warning", *NETWORK),)),
        ({}, {"defaultFilePosture": "block"}, (("warning", *NETWORK),)),
        ({}, {"defaultFilePosture": "block", "defaultNetworkPosture": "block"}, ()),
        (
            {"kubearmor-file-posture": "audit"},
            {"defaultFilePosture": "block", "defaultNetworkPosture": "block"},
            (("warning", *FILES),),
        ),
        (
            {"kubearmor-file-posture": "nonsense"},
            {"defaultFilePosture": "block"},
            (("warning", *NETWORK),),
        ),
    ],
)
def test_an_allow_list_needs_a_posture_of_block(
    annotations: dict[str, str],
    settings: dict[str, str] | None,
    expected: tuple[tuple[str, str, str], ...],
) -> None:
    cluster = Cluster(namespaces={"shop": annotations}, settings=settings)
    assert postures(ksp(ALLOW), cluster) == expected


def test_an_allow_list_in_a_namespace_without_enforcement_is_not_about_posture() -> None:
    cluster = Cluster(namespaces={"kubearmor": {}}, settings={})
    assert postures(csp(ALLOW), cluster) == ()


def test_the_posture_to_change_is_the_namespaces() -> None:
    found = [one for one in remarks_in(ksp(ALLOW), Cluster()) if one.code == "posture-audit"]
    assert [one.rewrite.of for one in found if one.rewrite] == ["Namespace", "Namespace"]


# --- releases ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "release", "paths"),
    [
        (ksp(expressed(item("label", "In", "a=b"))), "v1.5.6", ["spec.selector.matchExpressions"]),
        (ksp(expressed(item("label", "In", "a=b"))), "v1.5.7", []),
        (csp(expressed(item("label", "In", "a=b"))), "v1.5.6", [FIRST]),
        (csp(expressed(item("namespace", "In", "a"))), "v1.5.6", []),
        (csp(BLOCK), "v1.3.8", ["spec"]),
        (
            ksp(labelled({"kubernetes.io/hostname": "a"})),
            "v1.6.19",
            [f'{LABEL}["kubernetes.io/hostname"]'],
        ),
        (
            hsp({"nodeSelector": {"matchLabels": {"kubernetes.io/hostnamereg": "w*"}}}),
            "v1.7.3",
            ['spec.nodeSelector.matchLabels["kubernetes.io/hostnamereg"]'],
        ),
        (nsp({"nodeSelector": {"matchLabels": {"a": "b"}}}), "v1.6.13", ["spec"]),
        (nsp({"selector": {"matchLabels": {"a": "b"}}}), "v1.7.3", ["spec.selector"]),
        (nsp({"selector": {"matchLabels": {"a": "b"}}}), "v1.7.4", []),
        (ksp(expressed(item("label", "In", "a=b"))), "latest", []),
    ],
)
def test_a_field_that_a_release_in_use_does_not_know_is_named(
    manifest: Manifest, release: str, paths: list[str]
) -> None:
    found = remarks_in(manifest, Cluster(releases=frozenset({release, "v9.0.0"})))
    assert [dotted(one.path) for one in found if one.code == "version-skew"] == paths


# --- whatever is written ----------------------------------------------------------------------

WORDS: Final = st.sampled_from(
    ["label", "namespace", "In", "NotIn", "a=b", "a: b", "", "*", "Allow", "/a/*", CONTAINER_LABEL]
)
SCALARS: Final = st.one_of(WORDS, st.none(), st.booleans(), st.integers(-1, 2), st.floats())
FIELDS: Final = st.sampled_from(
    [
        *("selector", "matchLabels", "matchExpressions", "key", "operator", "values"),
        *("process", "matchPatterns", "pattern", "syscalls", "matchPaths", "presets", "action"),
        *("nodeSelector", "app", CONTAINER_LABEL, "pod-template-hash", "kubernetes.io/hostname"),
    ]
)
ANYTHING: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=3)
    ),
    max_leaves=12,
)
SELECTORS: Final = st.dictionaries(
    st.sampled_from(["matchLabels", "matchExpressions", "other"]), ANYTHING, max_size=3
)
SPECS: Final = st.one_of(
    st.dictionaries(FIELDS, ANYTHING, max_size=4),
    st.fixed_dictionaries({"selector": SELECTORS, "nodeSelector": SELECTORS}),
    st.fixed_dictionaries(
        {
            "selector": st.fixed_dictionaries(
                {
                    "matchExpressions": st.lists(
                        st.dictionaries(
                            st.sampled_from(["key", "operator", "values"]), ANYTHING, max_size=3
                        ),
                        max_size=3,
                    )
                }
            )
        }
    ),
)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), spec=SPECS)
def test_any_manifest_can_be_read(kind: str, spec: Spec) -> None:
    namespace = "shop" if kind == "KubeArmorPolicy" else ""
    manifest = Manifest(kind=kind, namespace=namespace, name="p", spec=spec)
    older = structs.replace(SHOP, releases=frozenset({"v1.5.6"}))
    for one in (
        *remarks_on(manifest),
        *remarks_in(manifest, older),
        *remarks_in(manifest, Cluster()),
    ):
        assert dotted(one.path)
        assert one.reason
        assert one.rewrite is None or one.rewrite.value is not None


# --- all of them ------------------------------------------------------------------------------


def test_every_reason_is_short_and_a_sentence() -> None:
    tables = (MISTAKES, ORDERS)
    manifests = [manifest for table in tables for manifest, _ in table.values()]
    for manifest in manifests:
        for one in (*remarks_on(manifest), *remarks_in(manifest, SHOP)):
            assert one.reason.endswith((".", "?")), one
            assert len(one.reason) <= 360, one
            assert one.code in TOPICS
