"""One scenario: what goes wrong among bystanders, what a monitor should then say, what heals it.

The stage is the same for all: two nodes with twelve containers each that a cluster policy protects,
and a third node for the trouble. A scenario is written from KubeArmor's behaviour, and says nothing
of how a monitor comes to its answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.emulator.scene import APT, cluster_policy
from tests.emulator.steps import AddNode, Apply, Deploy, Namespace, Run, Step, Wait
from tests.emulator.world import Object

NEWEST = "v1.7.4"
BYSTANDERS = 24
STAGE = "node-3"
QUIET_NODES = ("node-1", "node-2")
BASE: Object = cluster_policy()
APPLIED = "covered applied"
INFERRED = "covered inferred"
PROVEN = "covered proven"


class Answer(NamedTuple):
    """What is said of a container: its verdict with its cause, and each of its policies'."""

    verdict: str
    policies: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One incident: its cause and its scope as the report has them, and whose gaps it holds.

    `gap_cause` is what its gaps say where that is another one, `closed_as` what they say in the
    end; `release` where it is not the scenario's.
    """

    cause: str
    scope: str
    containers: tuple[str, ...]
    verdict: str = "gap"
    gap_cause: str = ""
    severity: str = "page"
    release: str | None = ""
    closed_as: str = ""

    def words(self, state: str) -> str:
        """What is said of each of its gaps."""
        closed_as = self.closed_as if state == "closed" else ""
        return f"{self.verdict} {closed_as or self.gap_cause or self.cause}"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a report says besides the bystanders, whose containers are covered.

    `containers` are named `namespace/pod/container`; `nodes` those that are not covered, `hosts`
    the host policies of nodes, `daemons` the nodes on which a daemon's container runs.
    """

    containers: Mapping[str, Answer] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    daemons: tuple[str, ...] = (*QUIET_NODES, STAGE)
    findings: tuple[tuple[str, str], ...] = ()
    blind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """`code` is the cause or the finding, `remedy` are words that its remedy must have.

    What happens `before` is no trouble yet. `troubles` are the incidents that `wrong` opens and
    `heals` closes (`over`: that are closed by themselves); without `heals` nothing can be done.
    `prices` are those that the remedy itself costs. `seconds` pass after each part. `base` is the
    policy that protects the bystanders.
    """

    code: str
    wrong: tuple[Step, ...]
    shows: Picture
    heals: tuple[Step, ...] = ()
    then: Picture = field(default_factory=Picture)
    before: tuple[Step, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    over: bool = False
    prices: tuple[Trouble, ...] = ()
    remedy: str = ""
    release: str = NEWEST
    base: Object = field(default_factory=lambda: BASE)
    title: str = ""
    seconds: float = 25.0

    @property
    def name(self) -> str:
        return f"{self.code}: {self.title}" if self.title else self.code


def opening(base: Object) -> tuple[Step, ...]:
    """The steps that every scenario begins with: nodes, the policy, the bystanders."""
    nodes = (*QUIET_NODES, STAGE)
    begin: list[Step] = [AddNode(node, labels={"kubearmor.io/enforcer": "bpf"}) for node in nodes]
    begin += [Deploy(node) for node in nodes]
    begin += [Wait(5), Namespace("shop"), Namespace("team"), Apply(base), Wait(1)]
    for name in bystanders():
        number = int(name.rpartition("-")[2].partition("/")[0])
        node = QUIET_NODES[number % len(QUIET_NODES)]
        begin += [Run(name.rpartition("/")[0], node=node), Wait(1.5)]
    return (*begin, Wait(15))


def bystanders() -> tuple[str, ...]:
    """The containers that nothing must happen to."""
    return tuple(f"shop/bystander-{number}/main" for number in range(BYSTANDERS))


def restart_of(*containers: str) -> tuple[Trouble, ...]:
    """What the restart of the stage's daemon costs what was covered there."""
    return (Trouble("daemon-replaced", f"node/{STAGE}", containers, verdict="lost"),)


def left_out(policy: str) -> tuple[str, str]:
    """The finding that each cluster policy which lists its namespaces is worth."""
    return ("namespace-left-out", f"KubeArmorClusterPolicy {policy}")


def on(answer: str, *policies: str) -> Answer:
    """One answer for the policies named, and for the container."""
    verdict = "covered" if answer.startswith("covered") else answer
    return Answer(verdict, dict.fromkeys(policies or ("base",), answer))


def mixed(**answers: str) -> Answer:
    """An answer for each policy, the worst one first: it is the container's."""
    first = next(iter(answers.values()))
    verdict = "covered" if first.startswith("covered") else first
    return Answer(verdict, answers)


def namespaced_policy(
    name: str,
    namespace: str = "team",
    *,
    labels: Mapping[str, str] | None = None,
    paths: tuple[str, ...] = ("/usr/bin/curl",),
    **spec: object,
) -> Object:
    """A policy for the Pods with these labels, all of the namespace without any."""
    rules = {"process": {"matchPaths": [{"path": path} for path in paths]}, "action": "Block"}
    return {
        "kind": "KubeArmorPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {"matchLabels": dict(labels or {})}, **rules, **spec},
    }


def policy_in(name: str, *namespaces: str, paths: tuple[str, ...] = (APT,)) -> Object:
    """A cluster policy that lists its namespaces."""
    listed = {"key": "namespace", "operator": "In", "values": list(namespaces)}
    return {
        "kind": "KubeArmorClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchExpressions": [listed]},
            "process": {"matchPaths": [{"path": path} for path in paths]},
            "action": "Block",
        },
    }
