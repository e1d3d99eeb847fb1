"""What KubeArmor leaves alone by design, or cannot protect (dossier 6, 8 F9-F14)."""

from dataclasses import replace

from tests.emulator.scenarios.scenario import (
    APPLIED,
    STAGE,
    Picture,
    Scenario,
    on,
)
from tests.emulator.steps import (
    AddNode,
    Configure,
    Remove,
    Run,
    Step,
    Wait,
)

VICTIM = "team/victim/main"
COVERED = Picture({VICTIM: on(APPLIED)})


def _annotated(code: str, mode: str) -> Scenario:
    return Scenario(
        code,
        wrong=(Run("team/victim", annotations={"kubearmor-policy": mode}),),
        shows=Picture({VICTIM: on(f"exempt {code}")}),
        heals=(Remove("team/victim"), Run("team/victim")),
        then=COVERED,
        remedy="take the annotation out",
    )


def _beyond_reach(code: str, plan: Run, *, remedy: str, instead: Run | None = None) -> Scenario:
    """A container that KubeArmor cannot protect, and what can be run instead of it."""
    spared = [*plan.init, *plan.sidecars, *plan.ephemeral] or ["main"]
    answers = {f"team/victim/{name}": on(f"unsupported {code}") for name in spared}
    if "main" not in spared and not plan.init:
        answers[VICTIM] = on(APPLIED)
    others = instead.containers if instead else ()
    return Scenario(
        code,
        wrong=(plan,),
        shows=Picture(answers),
        heals=(Remove("team/victim"), instead) if instead else (),
        then=Picture({f"team/victim/{name}": on(APPLIED) for name in others} or answers),
        remedy=remedy,
    )


def _out_of_place(node: AddNode, *heals: Step, then: Picture, title: str = "") -> Scenario:
    """A Pod on a node that no daemon can run on: only elsewhere can it be protected.

    Nothing opens that could close: what is said ends with the Pod, and the node stays what it is,
    without a daemon's output to read.
    """
    unsupported = "unsupported unsupported-node"
    there = Picture(nodes={node.node: unsupported}, blind=(f"text/{node.node}",))
    return Scenario(
        "unsupported-node",
        title=title,
        wrong=(node, Run("team/victim", node=node.node)),
        shows=replace(there, containers={VICTIM: on(unsupported)}),
        heals=(Remove("team/victim"), *heals),
        then=replace(there, containers=then.containers),
        remedy="Place what must be protected on Linux nodes",
    )


EXCLUSION = (
    _annotated("annotation-disabled", "disabled"),
    _annotated("annotation-audited", "audited"),
    Scenario(
        "builtin-exception",
        wrong=(Run("team/victim", labels={"io.cilium/app": "agent"}),),
        shows=Picture({VICTIM: on("exempt builtin-exception")}),
        heals=(Remove("team/victim"), Run("team/victim")),
        then=COVERED,
        remedy="Do not run what must be protected there",
    ),
    Scenario(
        "untracked-namespace",
        before=(Configure({"untrackedNs": "kube-system,kubearmor,team"}), Wait(5)),
        wrong=(Run("team/victim"),),
        shows=Picture({VICTIM: on("exempt untracked-namespace")}),
        heals=(
            Remove("team/victim"),
            Configure({"untrackedNs": "kube-system,kubearmor"}),
            Wait(2),
            Run("team/victim"),
        ),
        then=COVERED,
        remedy="untrackedNs",
    ),
    _beyond_reach(
        "init-container", Run("team/victim", init=("prepare",)), remedy="None in KubeArmor"
    ),
    _beyond_reach(
        "native-sidecar",
        Run("team/victim", sidecars=("proxy",)),
        instead=Run("team/victim", containers=("main", "proxy")),
        remedy="Run the sidecar as an ordinary container",
    ),
    _beyond_reach(
        "ephemeral-container",
        Run("team/victim", ephemeral=("debugger",)),
        remedy="None in KubeArmor",
    ),
    _beyond_reach(
        "host-pid",
        Run("team/victim", spec={"hostPID": True}),
        instead=Run("team/victim"),
        remedy="Do without hostPID",
    ),
    _beyond_reach(
        "sandboxed-runtime",
        Run("team/victim", spec={"runtimeClassName": "kata-qemu"}),
        instead=Run("team/victim"),
        remedy="Use the ordinary runtime",
    ),
    _out_of_place(
        AddNode("node-4", system="windows"), Wait(2), Run("team/victim", node=STAGE), then=COVERED
    ),
    _out_of_place(
        AddNode("node-4", labels={"type": "virtual-kubelet"}),
        then=Picture(),
        title="a virtual node whose Pod is deleted",
    ),
)
