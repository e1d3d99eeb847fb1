"""How rules that were in force are lost (dossier 1.7, 5.6, 12.7)."""

from tests.emulator.scenarios.scenario import (
    APPLIED,
    QUIET_NODES,
    STAGE,
    Picture,
    Scenario,
    Trouble,
    mixed,
    namespaced_policy,
    on,
    policy_in,
)
from tests.emulator.steps import (
    Act,
    Apply,
    Change,
    ChangeTemplate,
    Delete,
    Deploy,
    Fail,
    Namespace,
    Replace,
    Run,
    Touch,
    Wait,
    Withdraw,
)
from tests.emulator.switches import Failures

VICTIM = "team/victim/main"
RUN = Run("team/victim")
LATE = "late/victim/main"
NO_CURL = namespaced_policy("no-curl")
_NO_NC = namespaced_policy("no-nc", paths=("/usr/bin/nc",))
ELSEWHERE = policy_in("base", "shop")
_TWIN = policy_in("twin", "elsewhere")
_NAMESAKE = namespaced_policy("twin")
_GONE = Picture(
    {VICTIM: on("lost daemon-replaced")}, nodes={STAGE: "gap daemon-absent"}, daemons=QUIET_NODES
)

LOSS = (
    Scenario(
        "daemon-replaced",
        before=(RUN, Wait(20)),
        wrong=(Withdraw(STAGE),),
        shows=_GONE,
        troubles=(Trouble("daemon-replaced", f"node/{STAGE}", (VICTIM,), verdict="lost"),),
        heals=(Deploy(STAGE),),
        then=Picture({VICTIM: on(APPLIED)}),
        remedy="look at the successor",
    ),
    Scenario(
        "rollout",
        release="v1.6.19",
        before=(RUN, Wait(20), ChangeTemplate("v1.7.4"), Wait(5)),
        wrong=(Withdraw(STAGE),),
        shows=_GONE,
        troubles=(
            Trouble(
                "rollout",
                "daemonset/kubearmor/kubearmor@2",
                (VICTIM,),
                verdict="lost",
                gap_cause="daemon-replaced",
                severity="info",
            ),
        ),
        heals=(Deploy(STAGE),),
        then=Picture({VICTIM: on(APPLIED)}),
        remedy="rollout status daemonset",
    ),
    Scenario(
        "rules-removed",
        before=(
            Namespace("late"),
            Run("late/victim"),
            Wait(20),
            Fail(STAGE, Failures(namespace_list_fails=True)),
        ),
        wrong=(Change("late/victim", labels={"app": "web"}),),
        shows=Picture({LATE: on("lost rules-removed")}),
        troubles=(
            Trouble("rules-removed", "KubeArmorClusterPolicy/base", (LATE,), verdict="lost"),
        ),
        heals=(Fail(STAGE), Replace(STAGE)),
        then=Picture({LATE: on(APPLIED)}),
        remedy="restart the node's daemon",
    ),
    Scenario(
        "policy-removed-by-collision",
        base=ELSEWHERE,
        before=(RUN, Apply(_NAMESAKE), Wait(3), Apply(_TWIN), Wait(20)),
        wrong=(Delete(_TWIN),),
        shows=Picture({VICTIM: on("lost policy-removed-by-collision", "team/twin")}),
        troubles=(
            Trouble(
                "policy-removed-by-collision",
                "KubeArmorPolicy/team/twin",
                (VICTIM,),
                verdict="lost",
            ),
        ),
        heals=(Delete(_NAMESAKE), Wait(2), Apply(_NAMESAKE)),
        then=Picture({VICTIM: on(APPLIED, "team/twin")}),
        remedy="Delete the policy and create it again",
    ),
    Scenario(
        "contradicted",
        before=(
            RUN,
            Fail(STAGE, Failures(overwritten_policies=frozenset({"team/no-nc"}))),
            Wait(20),
            Apply(_NO_NC),
            Wait(2),
            Apply(NO_CURL),
            Wait(20),
        ),
        wrong=(Act("team/victim", "/usr/bin/nc"),),
        shows=Picture(
            {
                VICTIM: mixed(
                    **{
                        "team/no-nc": "lost contradicted",
                        "base": APPLIED,
                        "team/no-curl": APPLIED,
                    }
                )
            }
        ),
        troubles=(
            Trouble("contradicted", "KubeArmorPolicy/team/no-nc", (VICTIM,), verdict="lost"),
        ),
        heals=(Fail(STAGE), Touch(_NO_NC)),
        then=Picture({VICTIM: on(APPLIED, "base", "team/no-nc", "team/no-curl")}),
        remedy="Touch the policy",
    ),
)
