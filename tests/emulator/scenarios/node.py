"""What keeps a whole node without enforcement (dossier 1, 8 F1-F8, F33)."""

from tests.emulator.scenarios.scenario import (
    APPLIED,
    QUIET_NODES,
    STAGE,
    Picture,
    Scenario,
    Trouble,
    on,
)
from tests.emulator.steps import (
    AddNode,
    Blind,
    Deploy,
    Fail,
    Kill,
    Replace,
    Run,
    See,
    StartAgain,
    Wait,
)
from tests.emulator.switches import Failures

TEXT = f"text/{STAGE}"
VICTIM = "team/victim/main"
RUN = Run("team/victim")
COVERED = Picture({VICTIM: on(APPLIED)})


def _gap(cause: str) -> tuple[Trouble, ...]:
    return (Trouble(cause, f"node/{STAGE}", (VICTIM,)),)


def _broken_daemon(code: str, failures: Failures, *, title: str = "") -> Scenario:
    """A daemon that starts broken, and a Pod that starts on its node."""
    return Scenario(
        code,
        title=title,
        before=(Fail(STAGE, failures), Replace(STAGE), Wait(30)),
        wrong=(RUN,),
        shows=Picture({VICTIM: on(f"gap {code}")}),
        troubles=_gap(code),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=COVERED,
        remedy="delete pod -l kubearmor-app=kubearmor",
    )


NODE = (
    Scenario(
        "daemon-absent",
        before=(AddNode("node-4"),),
        wrong=(Run("team/victim", node="node-4"),),
        shows=Picture(
            {VICTIM: on("gap daemon-absent")},
            nodes={"node-4": "gap daemon-absent"},
            blind=("text/node-4",),
        ),
        troubles=(Trouble("daemon-absent", "node/node-4", (VICTIM,), release=None),),
        heals=(Deploy("node-4"),),
        then=Picture(
            {VICTIM: on(APPLIED)},
            nodes={"node-4": "covered"},
            daemons=(*QUIET_NODES, STAGE, "node-4"),
        ),
        remedy="tolerations",
    ),
    Scenario(
        "daemon-down",
        before=(RUN, Wait(20)),
        wrong=(Kill(STAGE),),
        shows=Picture(
            {VICTIM: on("lost daemon-down")},
            nodes={STAGE: "gap daemon-down"},
            daemons=QUIET_NODES,
        ),
        troubles=(Trouble("daemon-down", f"node/{STAGE}", (VICTIM,), verdict="lost"),),
        heals=(StartAgain(STAGE),),
        then=COVERED,
        remedy="protected again only after the daemon's start",
    ),
    Scenario(
        "daemon-starting",
        before=(Fail(STAGE, Failures(stuck_at_start=True)), Replace(STAGE), Wait(20)),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap daemon-starting")}, nodes={STAGE: "gap daemon-starting"}),
        troubles=_gap("daemon-starting"),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=COVERED,
        remedy="read where its output stops",
    ),
    Scenario(
        "daemon-starting",
        title="its health service says so, its output is not read",
        before=(
            See("health/daemons"),
            Blind(TEXT),
            Fail(STAGE, Failures(definitions_missing=True)),
            Replace(STAGE),
            Wait(20),
        ),
        wrong=(RUN,),
        shows=Picture(
            {VICTIM: on("gap daemon-starting")},
            nodes={STAGE: "gap daemon-starting"},
            blind=(TEXT,),
        ),
        troubles=_gap("daemon-starting"),
        heals=(Fail(STAGE), Replace(STAGE), Wait(20), See(TEXT, missed=True)),
        then=COVERED,
        remedy="read where its output stops",
    ),
    Scenario(
        "daemon-hung",
        before=(Fail(STAGE, Failures(hung=True)), Wait(20)),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap daemon-hung")}),
        troubles=_gap("daemon-hung"),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=COVERED,
        remedy="delete pod -l kubearmor-app=kubearmor",
    ),
    Scenario(
        "enforcer-absent",
        before=(Fail(STAGE, Failures(no_enforcer=True)), Replace(STAGE), Wait(20)),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap enforcer-absent")}, nodes={STAGE: "gap enforcer-absent"}),
        troubles=(Trouble("enforcer-absent", "daemonset/kubearmor/kubearmor", (VICTIM,)),),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=COVERED,
        remedy="lsm=",
    ),
    Scenario(
        "enforcer-mismatch",
        before=(Fail(STAGE, Failures(enforcer="AppArmor")), Replace(STAGE), Wait(20)),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap enforcer-mismatch")}),
        troubles=(Trouble("enforcer-mismatch", "daemonset/kubearmor/kubearmor", (VICTIM,)),),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=COVERED,
        remedy="kubearmor.io/enforcer",
    ),
    _broken_daemon("cluster-policy-watch-dead", Failures(cluster_policy_watch_dead=True)),
    _broken_daemon("container-source-dead", Failures(container_source_dead=True)),
    _broken_daemon("pod-informer-failed", Failures(pod_informer_failed=True)),
)
