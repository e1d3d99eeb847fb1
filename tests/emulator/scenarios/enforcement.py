"""Why rules that arrived, or should have, do not bind (dossier 6.5, 6.8, 8 F34-F39)."""

from tests.emulator.profiles import ANNOTATION
from tests.emulator.scenarios.scenario import (
    APPLIED,
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
    Apply,
    Delete,
    Fail,
    Namespace,
    Recreate,
    RelabelNode,
    Remove,
    Replace,
    Run,
    Wait,
)
from tests.emulator.switches import Failures

VICTIM = "team/victim/main"
FIRST = "team/first/main"
RUN = Run("team/victim")
PROFILE = "kubearmor-team-victim-main"
PROFILED = {f"{ANNOTATION}main": f"localhost/{PROFILE}"}
MANY = tuple(f"/opt/tools/tool-{number}" for number in range(300))
_APPARMOR = (
    RelabelNode(STAGE, {"kubearmor.io/enforcer": "apparmor"}),
    Replace(STAGE),
    Wait(20),
)


def _patterns(name: str) -> dict[str, object]:
    policy = namespaced_policy(name)
    policy["spec"]["process"] = {"matchPatterns": [{"pattern": "/usr/bin/*curl"}]}
    return policy


def _allow_list(name: str) -> dict[str, object]:
    return namespaced_policy(
        name,
        process={},
        file={"matchDirectories": [{"dir": "/srv/", "recursive": True}]},
        action="Allow",
    )


ENFORCEMENT = (
    Scenario(
        "outer-map-full",
        before=(
            Fail(STAGE, Failures(outer_map_limit=1)),
            Replace(STAGE),
            Wait(10),
            Run("team/first"),
            Wait(20),
        ),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap outer-map-full"), FIRST: on(APPLIED)}),
        troubles=(Trouble("outer-map-full", f"node/{STAGE}", (VICTIM,)),),
        heals=(Recreate("team/victim", node="node-1"),),
        then=Picture({VICTIM: on(APPLIED), FIRST: on(APPLIED)}),
        remedy="kubectl cordon NODE",
    ),
    Scenario(
        "inner-map-full",
        before=(RUN, Wait(20)),
        wrong=(Apply(namespaced_policy("many", paths=MANY)),),
        shows=Picture({VICTIM: mixed(**{"team/many": "gap inner-map-full", "base": APPLIED})}),
        troubles=(Trouble("inner-map-full", "KubeArmorPolicy/team/many", (VICTIM,)),),
        heals=(Delete(namespaced_policy("many")), Wait(1), Apply(namespaced_policy("few"))),
        then=Picture({VICTIM: on(APPLIED, "base", "team/few")}),
        remedy="Shorten the policies",
    ),
    Scenario(
        "rule-not-enforceable",
        before=(RUN, Wait(20)),
        wrong=(Apply(_patterns("loose")),),
        shows=Picture(
            {VICTIM: mixed(**{"team/loose": "gap rule-not-enforceable", "base": APPLIED})}
        ),
        troubles=(Trouble("rule-not-enforceable", "KubeArmorPolicy/team/loose", (VICTIM,)),),
        heals=(Apply(namespaced_policy("loose")),),
        then=Picture({VICTIM: on(APPLIED, "base", "team/loose")}),
        remedy="matchPaths",
    ),
    Scenario(
        "posture-audit",
        before=(RUN, Wait(20)),
        wrong=(Apply(_allow_list("allowed")),),
        shows=Picture({VICTIM: mixed(**{"team/allowed": "gap posture-audit", "base": APPLIED})}),
        troubles=(Trouble("posture-audit", "KubeArmorPolicy/team/allowed", (VICTIM,)),),
        heals=(Namespace("team", {"kubearmor-file-posture": "block"}),),
        then=Picture({VICTIM: on(APPLIED, "base", "team/allowed")}),
        remedy="kubearmor-file-posture=block",
    ),
    Scenario(
        "apparmor-unannotated",
        before=(Fail(STAGE, Failures(enforcer="AppArmor")), *_APPARMOR),
        wrong=(RUN,),
        shows=Picture({VICTIM: on("gap apparmor-unannotated")}),
        troubles=(Trouble("apparmor-unannotated", "daemonset/kubearmor/kubearmor", (VICTIM,)),),
        heals=(Remove("team/victim"), Run("team/victim", annotations=PROFILED)),
        then=Picture({VICTIM: on(APPLIED)}),
        remedy="rollout restart",
    ),
    Scenario(
        "apparmor-profile-rejected",
        base=policy_in("base", "shop"),
        before=(
            Fail(
                STAGE,
                Failures(enforcer="AppArmor", unparsable_policies=frozenset({"team/odd"})),
            ),
            *_APPARMOR,
            Run("team/victim", annotations=PROFILED),
            Wait(20),
        ),
        wrong=(Apply(namespaced_policy("odd")),),
        shows=Picture({VICTIM: on("gap apparmor-profile-rejected", "team/odd")}),
        troubles=(Trouble("apparmor-profile-rejected", "KubeArmorPolicy/team/odd", (VICTIM,)),),
        heals=(Fail(STAGE, Failures(enforcer="AppArmor")), Replace(STAGE)),
        then=Picture({VICTIM: on(APPLIED, "team/odd")}),
        remedy="Read the line",
    ),
)
