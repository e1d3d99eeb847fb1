"""Why a policy does not reach a container (dossier 5, 7.6, 8 F15-F21)."""

from dataclasses import replace

from tests.emulator.scenarios.scenario import (
    APPLIED,
    BASE,
    INFERRED,
    STAGE,
    Picture,
    Scenario,
    Trouble,
    left_out,
    mixed,
    namespaced_policy,
    on,
    policy_in,
    restart_of,
)
from tests.emulator.steps import (
    Apply,
    Delete,
    Fail,
    Namespace,
    RelabelNode,
    Replace,
    Run,
    Touch,
    Wait,
)
from tests.emulator.switches import Failures
from tests.emulator.world import Object

VICTIM = "team/victim/main"
RUN = Run("team/victim")
LATE = "late/victim/main"
RUN_LATE = Run("late/victim")

_NEWER = Scenario(
    "namespace-newer-than-policy",
    title="creating the policy anew heals",
    release="v1.5.7",
    before=(Namespace("late"), Wait(3)),
    wrong=(RUN_LATE,),
    shows=Picture({LATE: on("gap namespace-newer-than-policy")}),
    troubles=(
        Trouble("namespace-newer-than-policy", "KubeArmorClusterPolicy/base@v1.5.7", (LATE,)),
    ),
    heals=(Delete(BASE), Wait(3), Apply(BASE)),
    then=Picture({LATE: on(APPLIED)}),
    remedy="Upgrade KubeArmor to v1.6.0",
)

_TWIN = policy_in("twin", "team", paths=("/usr/bin/nc",))
_NAMESAKE = namespaced_policy("twin")

_COLLISION = (
    ("name-collision", "KubeArmorClusterPolicy twin"),
    ("name-collision", "KubeArmorPolicy team/twin"),
    left_out("twin"),
)

_HOST_POLICY: Object = {
    "kind": "KubeArmorHostPolicy",
    "metadata": {"name": "no-nc"},
    "spec": {
        "nodeSelector": {"matchLabels": {"role": "edge"}},
        "process": {"matchPaths": [{"path": "/usr/bin/nc"}]},
        "action": "Block",
    },
}
_BY_HOSTS = namespaced_policy("by-hosts", labels={"kubernetes.io/hostname": "one,two"})

SELECTION = (
    _NEWER,
    replace(
        _NEWER,
        title="restarting KubeArmor heals",
        heals=(Replace(STAGE),),
        remedy="Restarting the daemons heals too",
    ),
    Scenario(
        "namespace-list-failed",
        before=(Namespace("late"), Fail(STAGE, Failures(namespace_list_fails=True)), Wait(3)),
        wrong=(RUN_LATE,),
        shows=Picture({LATE: on("gap namespace-list-failed")}),
        troubles=(Trouble("namespace-list-failed", "KubeArmorClusterPolicy/base", (LATE,)),),
        heals=(Fail(STAGE), Touch(BASE)),
        then=Picture({LATE: on(APPLIED)}),
        remedy="kubectl annotate kubearmorclusterpolicy",
    ),
    Scenario(
        "name-collision",
        before=(Apply(_NAMESAKE), Wait(3), Apply(_TWIN), Wait(3)),
        wrong=(RUN,),
        shows=Picture(
            {
                VICTIM: mixed(
                    **{"twin": "gap name-collision", "base": APPLIED, "team/twin": APPLIED}
                )
            },
            findings=_COLLISION,
        ),
        troubles=(Trouble("name-collision", "KubeArmorClusterPolicy/twin", (VICTIM,)),),
        heals=(
            Apply(namespaced_policy("curl")),
            Wait(3),
            Apply(policy_in("nc", "team", paths=("/usr/bin/nc",))),
            Wait(20),
            Delete(_NAMESAKE),
            Wait(3),
            Delete(_TWIN),
        ),
        then=Picture({VICTIM: on(APPLIED, "base", "team/curl", "nc")}, findings=(left_out("nc"),)),
        remedy="under names that nothing else bears",
    ),
    Scenario(
        "policy-rejected",
        before=(RUN, Fail(STAGE, Failures(rejected_policies=frozenset({"strict"}))), Wait(20)),
        wrong=(Apply(policy_in("strict", "team", paths=("/usr/bin/nc",))),),
        shows=Picture(
            {VICTIM: mixed(strict="gap policy-rejected", base=APPLIED)},
            findings=(left_out("strict"),),
        ),
        troubles=(Trouble("policy-rejected", "KubeArmorClusterPolicy/strict", (VICTIM,)),),
        heals=(Fail(STAGE), Replace(STAGE)),
        prices=restart_of(VICTIM),
        then=Picture({VICTIM: on(APPLIED, "base", "strict")}, findings=(left_out("strict"),)),
        remedy="delete pod -l kubearmor-app=kubearmor",
    ),
    Scenario(
        "host-policy-inactive",
        title="host policies are switched off",
        before=(RelabelNode(STAGE, {"role": "edge"}), Wait(3)),
        wrong=(Apply(_HOST_POLICY),),
        shows=Picture(
            nodes={STAGE: "gap host-policy-inactive"},
            hosts={STAGE: {"no-nc": "gap host-policy-inactive"}},
        ),
        heals=(Fail(STAGE, Failures(host_policies=True)), Replace(STAGE)),
        then=Picture(hosts={STAGE: {"no-nc": INFERRED}}),
        remedy="enableKubeArmorHostPolicy",
    ),
    Scenario(
        "host-policy-inactive",
        title="the node was relabelled after the policy",
        before=(
            Fail(STAGE, Failures(host_policies=True)),
            Replace(STAGE),
            Wait(10),
            Apply(_HOST_POLICY),
            Wait(10),
        ),
        wrong=(RelabelNode(STAGE, {"role": "edge"}),),
        shows=Picture(
            nodes={STAGE: "gap host-policy-inactive"},
            hosts={STAGE: {"no-nc": "gap host-policy-inactive"}},
        ),
        heals=(Touch(_HOST_POLICY),),
        then=Picture(hosts={STAGE: {"no-nc": INFERRED}}),
        remedy="kubectl annotate kubearmorhostpolicy",
    ),
    Scenario(
        "version-skew",
        release="v1.6.4",
        before=(Apply(_BY_HOSTS), Wait(5)),
        wrong=(Run("team/victim", labels={"kubernetes.io/hostname": "one"}),),
        shows=Picture({VICTIM: mixed(**{"team/by-hosts": "gap version-skew", "base": APPLIED})}),
        troubles=(Trouble("version-skew", "KubeArmorPolicy/team/by-hosts@v1.6.4", (VICTIM,)),),
        heals=(Apply(namespaced_policy("by-hosts")),),
        then=Picture({VICTIM: on(APPLIED, "base", "team/by-hosts")}),
        remedy="write the policy without it",
    ),
)
