"""What is lost between events of Pods, containers and policies (dossier 7, 8 F22-F31)."""

from tests.emulator.scenarios.scenario import (
    APPLIED,
    INFERRED,
    STAGE,
    Picture,
    Scenario,
    Trouble,
    mixed,
    namespaced_policy,
    on,
)
from tests.emulator.steps import (
    Apply,
    Change,
    EndPod,
    Fail,
    Recreate,
    RestartContainer,
    Run,
    StartLate,
    Touch,
    Wait,
)
from tests.emulator.switches import Failures

VICTIM = "team/victim/main"
SIDE = "team/victim/side"
RUN = Run("team/victim")
RUN_BOTH = Run("team/victim", containers=("main", "side"))
NO_CURL = namespaced_policy("no-curl")
FOR_DATABASES = namespaced_policy("for-databases", labels={"app": "db"})
BUSY = "team/busy/main"
_CHANGES = tuple(Change("team/busy", labels={"step": str(number)}) for number in range(40))

TIMING = (
    Scenario(
        "startup-window",
        before=(Fail(STAGE, Failures(seconds_per_request=4.0)),),
        wrong=(RUN, Wait(3), EndPod("team/victim")),
        shows=Picture(),
        troubles=(
            Trouble("startup-window", "KubeArmorClusterPolicy/base", (VICTIM,), severity="info"),
        ),
        over=True,
        remedy="AppArmor",
    ),
    Scenario(
        "event-queue-lag",
        before=(Run("team/busy"), Wait(20), Fail(STAGE, Failures(seconds_per_request=2.0))),
        wrong=(*_CHANGES, RUN, Wait(115)),
        shows=Picture({VICTIM: on("gap event-queue-lag"), BUSY: on(APPLIED)}),
        troubles=(Trouble("event-queue-lag", f"node/{STAGE}", (VICTIM,)),),
        heals=(Wait(60),),
        then=Picture({VICTIM: on(APPLIED), BUSY: on(APPLIED)}),
        remedy="heals by itself",
    ),
    Scenario(
        "partial-refresh",
        before=(Apply(FOR_DATABASES), RUN_BOTH, Wait(20)),
        wrong=(Change("team/victim", labels={"app": "db"}),),
        shows=Picture(
            {
                SIDE: mixed(**{"team/for-databases": "gap partial-refresh", "base": APPLIED}),
                VICTIM: on(APPLIED, "base", "team/for-databases"),
            }
        ),
        troubles=(
            Trouble("partial-refresh", "KubeArmorPolicy/team/for-databases@v1.7.4", (SIDE,)),
        ),
        heals=(Recreate("team/victim"),),
        then=Picture({name: on(APPLIED, "base", "team/for-databases") for name in (VICTIM, SIDE)}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "late-container",
        before=(
            Run("team/victim", late=("side",)),
            Wait(10),
            StartLate("team/victim", "side"),
            Wait(20),
        ),
        wrong=(Apply(NO_CURL),),
        shows=Picture(
            {
                SIDE: mixed(**{"team/no-curl": "gap late-container", "base": APPLIED}),
                VICTIM: mixed(**{"team/no-curl": INFERRED, "base": APPLIED}),
            }
        ),
        troubles=(Trouble("late-container", "KubeArmorPolicy/team/no-curl@v1.7.4", (SIDE,)),),
        heals=(Recreate("team/victim"),),
        then=Picture({name: on(APPLIED, "base", "team/no-curl") for name in (VICTIM, SIDE)}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "stale-container-id",
        release="v1.6.4",
        before=(RUN, Wait(20), RestartContainer("team/victim"), Wait(20)),
        wrong=(Apply(NO_CURL),),
        shows=Picture(
            {VICTIM: mixed(**{"team/no-curl": "gap stale-container-id", "base": APPLIED})}
        ),
        troubles=(Trouble("stale-container-id", "KubeArmorPolicy/team/no-curl@v1.6.4", (VICTIM,)),),
        heals=(Recreate("team/victim"),),
        then=Picture({VICTIM: on(APPLIED, "base", "team/no-curl")}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "mode-not-retroactive",
        before=(
            Run(
                "team/victim",
                containers=("main", "side"),
                annotations={"kubearmor-policy": "audited"},
            ),
            Wait(20),
        ),
        wrong=(Change("team/victim", annotations={"kubearmor-policy": "enabled"}),),
        shows=Picture({SIDE: on("gap mode-not-retroactive"), VICTIM: on(APPLIED)}),
        troubles=(Trouble("mode-not-retroactive", "KubeArmorClusterPolicy/base@v1.7.4", (SIDE,)),),
        heals=(Recreate("team/victim"),),
        then=Picture({VICTIM: on(APPLIED), SIDE: on(APPLIED)}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "namespace-ids-unread",
        before=(Fail(STAGE, Failures(unread_ids=frozenset({"team/victim"}))),),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap namespace-ids-unread")}),
        troubles=(Trouble("namespace-ids-unread", "KubeArmorClusterPolicy/base", (VICTIM,)),),
        heals=(Fail(STAGE), Recreate("team/victim")),
        then=Picture({VICTIM: on(APPLIED)}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "unexplained",
        before=(
            RUN,
            Fail(STAGE, Failures(overwritten_policies=frozenset({"team/no-curl"}))),
            Wait(20),
        ),
        wrong=(Apply(NO_CURL),),
        shows=Picture({VICTIM: mixed(**{"team/no-curl": "gap unexplained", "base": APPLIED})}),
        troubles=(
            Trouble(
                "unexplained",
                "KubeArmorPolicy/team/no-curl",
                (VICTIM,),
                closed_as="startup-window",
            ),
        ),
        heals=(Fail(STAGE), Touch(NO_CURL)),
        then=Picture({VICTIM: on(APPLIED, "base", "team/no-curl")}),
        remedy="kubectl -n NAMESPACE annotate kubearmorpolicy",
    ),
)
