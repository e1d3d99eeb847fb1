"""What is worth knowing and is no gap (dossier 5, 6, 8 F17-F19, F24, F28, F30, F32, 12.5, 12.7)."""

from tests.emulator.scenarios.scenario import (
    APPLIED,
    INFERRED,
    STAGE,
    Picture,
    Scenario,
    bystanders,
    left_out,
    mixed,
    namespaced_policy,
    on,
    policy_in,
    restart_of,
)
from tests.emulator.steps import (
    Act,
    Apply,
    Change,
    Configure,
    Delete,
    Deploy,
    Fail,
    Namespace,
    Recreate,
    Remove,
    Replace,
    Run,
    Wait,
    Withdraw,
)
from tests.emulator.switches import Failures
from tests.emulator.world import Object

VICTIM = "team/victim/main"
SIDE = "team/victim/side"
QUIET = "quiet/victim/main"
RUN = Run("team/victim")
NO_CURL = namespaced_policy("no-curl")
FOR_DATABASES = namespaced_policy("for-databases", labels={"app": "db"})
CALM = Picture({VICTIM: on(APPLIED)})
_STRICT = policy_in("strict", "team", paths=("/usr/bin/nc",))
_STALE = ("stale-policy", "KubeArmorPolicy team/no-curl")
_IDLE = ("selects-nothing", "KubeArmorPolicy team/for-databases")
_STILL_THERE = {VICTIM: mixed(base=APPLIED, **{"team/no-curl": "excess"})}
_REFUTED = Picture(_STILL_THERE, findings=(("prediction-refuted", VICTIM), _STALE))


def _mistaken(code: str, wrong: Object, right: Object, *, remedy: str) -> Scenario:
    """A policy of the namespace `team` that does not do what it seems to say, and its rewrite."""
    name = wrong["metadata"]["name"]
    findings = {(each, f"KubeArmorPolicy team/{name}") for each in (code, "selects-nothing")}
    return Scenario(
        code,
        before=(Run("team/victim", labels={"app": "web"}), Wait(20)),
        wrong=(Apply(wrong),),
        shows=Picture({VICTIM: on(APPLIED)}, findings=tuple(findings)),
        heals=(Apply(right),),
        then=Picture({VICTIM: on(APPLIED, "base", f"team/{name}")}),
        remedy=remedy,
    )


def _labelled(name: str, *expressions: tuple[str, str]) -> Object:
    policy = namespaced_policy(name)
    policy["spec"]["selector"] = {
        "matchExpressions": [
            {"key": "label", "operator": operator, "values": [value]}
            for operator, value in expressions
        ]
    }
    return policy


FINDINGS = (
    Scenario(
        "stale-policy",
        before=(RUN, Apply(NO_CURL), Wait(20)),
        wrong=(Delete(NO_CURL, missed_on=(STAGE,)), Wait(20)),
        shows=Picture(_STILL_THERE, findings=(_STALE,)),
        heals=(Replace(STAGE),),
        prices=restart_of(VICTIM),
        then=CALM,
        remedy="Restart the node's daemon",
    ),
    Scenario(
        "over-match",
        release="v1.6.4",
        before=(
            Apply(FOR_DATABASES),
            Wait(5),
            Run("team/victim", containers=("main", "side"), labels={"app": "db"}),
            Wait(20),
        ),
        wrong=(Change("team/victim", labels={"app": "web"}),),
        shows=Picture(
            {VICTIM: on(APPLIED), SIDE: mixed(base=APPLIED, **{"team/for-databases": "excess"})},
            findings=(("over-match", "KubeArmorPolicy team/for-databases"), _IDLE),
        ),
        heals=(Recreate("team/victim"),),
        then=Picture({VICTIM: on(APPLIED), SIDE: on(APPLIED)}, findings=(_IDLE,)),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "mode-not-retroactive",
        title="from enabled to audited",
        before=(RUN, Wait(20)),
        wrong=(Change("team/victim", annotations={"kubearmor-policy": "audited"}),),
        shows=Picture(
            {VICTIM: on("exempt annotation-audited")},
            findings=(("mode-not-retroactive", VICTIM),),
        ),
        heals=(Recreate("team/victim"),),
        then=Picture({VICTIM: on("exempt annotation-audited")}),
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "rules-despite-exemption",
        before=(
            Namespace("quiet"),
            Configure({"untrackedNs": "kube-system,kubearmor,quiet"}),
            Wait(5),
        ),
        wrong=(Run("quiet/victim", status_first=True),),
        shows=Picture(
            {QUIET: on("exempt untracked-namespace")},
            findings=(("rules-despite-exemption", QUIET),),
        ),
        heals=(Remove("quiet/victim"), Run("quiet/victim")),
        then=Picture({QUIET: on("exempt untracked-namespace")}),
        remedy="delete the Pod",
    ),
    _mistaken(
        "selector-mistake",
        namespaced_policy("named", labels={"kubearmor.io/container.name": "main"}),
        namespaced_policy("named", labels={"kubearmor.io/container.name": "[main]"}),
        remedy="Write it as KubeArmor reads it",
    ),
    _mistaken(
        "selector-order",
        _labelled("ordered", ("NotIn", "app=web"), ("In", "app=web")),
        _labelled("ordered", ("In", "app=web")),
        remedy="select by it alone",
    ),
    _mistaken(
        "selects-nothing",
        namespaced_policy("misspelt", labels={"app": "wbe"}),
        namespaced_policy("misspelt", labels={"app": "web"}),
        remedy="Compare its labels",
    ),
    Scenario(
        "namespace-left-out",
        before=(RUN, Wait(20)),
        wrong=(Apply(policy_in("narrow", "default")),),
        shows=Picture({VICTIM: on(APPLIED)}, findings=(left_out("narrow"),)),
        heals=(Apply(policy_in("narrow", "default", "shop", "team")),),
        then=Picture({name: on(APPLIED, "base", "narrow") for name in (*bystanders(), VICTIM)}),
        remedy="add the namespaces",
    ),
    Scenario(
        "name-collision",
        title="where nothing is missing yet",
        before=(RUN, Wait(20), Apply(NO_CURL), Wait(5)),
        wrong=(Apply(policy_in("no-curl", "default")),),
        shows=Picture(
            {VICTIM: on(APPLIED, "base", "team/no-curl")},
            findings=(
                ("name-collision", "KubeArmorClusterPolicy no-curl"),
                ("name-collision", "KubeArmorPolicy team/no-curl"),
                left_out("no-curl"),
            ),
        ),
        heals=(
            Apply(namespaced_policy("curl")),
            Wait(3),
            Apply(policy_in("others", "default")),
            Wait(20),
            Delete(NO_CURL),
            Wait(3),
            Delete(policy_in("no-curl", "default")),
        ),
        then=Picture({VICTIM: on(APPLIED, "base", "team/curl")}, findings=(left_out("others"),)),
        remedy="under names that nothing else bears",
    ),
    Scenario(
        "lost-update",
        release="v1.5.6",
        before=(
            RUN,
            Fail(STAGE, Failures(overwritten_policies=frozenset({"team/no-curl"}))),
            Wait(20),
        ),
        wrong=(Apply(NO_CURL), Apply(_STRICT)),
        shows=Picture(
            {VICTIM: mixed(base=APPLIED, strict=INFERRED, **{"team/no-curl": INFERRED})},
            findings=(("lost-update", VICTIM), left_out("strict")),
        ),
        heals=(Fail(STAGE), Replace(STAGE)),
        prices=restart_of(VICTIM),
        then=Picture(
            {VICTIM: on(APPLIED, "base", "strict", "team/no-curl")},
            findings=(left_out("strict"),),
        ),
        remedy="Touch both policies",
    ),
    Scenario(
        "namespace-id-reuse",
        release="v1.7.3",
        before=(
            Run("team/first"),
            Wait(20),
            Fail(STAGE, Failures(runtime_silent=True)),
            Remove("team/first"),
            Wait(2),
            Fail(STAGE),
        ),
        wrong=(Run("team/victim", shares_ids_with="team/first"),),
        shows=Picture({VICTIM: on(INFERRED)}, findings=(("namespace-id-reuse", VICTIM),)),
        heals=(Remove("team/victim"), Run("team/victim")),
        then=CALM,
        remedy="kubectl -n NAMESPACE delete pod POD",
    ),
    Scenario(
        "prediction-refuted",
        before=(RUN, Apply(NO_CURL), Wait(20), Delete(NO_CURL, missed_on=(STAGE,)), Wait(45)),
        wrong=(Act("team/victim", "/usr/bin/curl"),),
        shows=_REFUTED,
        then=_REFUTED,
        remedy="None in the cluster",
    ),
    Scenario(
        "release-disagreement",
        before=(Withdraw(STAGE), Wait(3)),
        wrong=(Deploy(STAGE, release="v1.6.19", image_tag="v1.7.4"),),
        shows=Picture(findings=(("release-disagreement", f"node {STAGE}"),)),
        heals=(Replace(STAGE),),
        remedy="never moved",
    ),
)
