"""Why it cannot be told (dossier 3, 4.5, 8 F40-F47)."""

from tests.emulator.scenarios.scenario import (
    APPLIED,
    BASE,
    PROVEN,
    QUIET_NODES,
    STAGE,
    Picture,
    Scenario,
    mixed,
    namespaced_policy,
    on,
)
from tests.emulator.scene import APT
from tests.emulator.steps import (
    Act,
    AddNode,
    Apply,
    Blind,
    Configure,
    Deploy,
    LoseEvents,
    Namespace,
    Replace,
    Run,
    See,
    Touch,
    Wait,
)

VICTIM = "team/victim/main"
RUN = Run("team/victim")
TEXT = f"text/{STAGE}"
NO_CURL = namespaced_policy("no-curl")
SIDE = "team/victim/side"
_FOR_MAIN = namespaced_policy("for-main", labels={"kubearmor.io/container.name": "[main]"})
_FOR_SIDE = namespaced_policy(
    "for-side", labels={"kubearmor.io/container.name": "[side]"}, paths=("/usr/bin/nc",)
)
_AUDITS = namespaced_policy(
    "audits", process={}, file={"matchPaths": [{"path": "/etc/shadow"}]}, action="Audit"
)
COVERED = Picture({VICTIM: on(APPLIED)})
BOTH = Picture({VICTIM: on(APPLIED, "base", "team/no-curl")})
FOUR = (*QUIET_NODES, STAGE, "node-4")
EXPIRED = "certificate verify failed: certificate has expired"

BLINDNESS = (
    Scenario(
        "no-evidence-source",
        before=(AddNode("node-4"), Blind("text/node-4", "forbidden"), Deploy("node-4"), Wait(90)),
        wrong=(Run("team/victim", node="node-4"),),
        shows=Picture(
            {VICTIM: on("unknown no-evidence-source")},
            nodes={"node-4": "covered"},
            daemons=FOUR,
            blind=("text/node-4",),
        ),
        heals=(See("text/node-4", missed=True),),
        then=Picture({VICTIM: on(APPLIED)}, nodes={"node-4": "covered"}, daemons=FOUR),
        remedy="pods/log",
    ),
    Scenario(
        "source-outage",
        before=(RUN, Wait(20), Blind(TEXT), Wait(5)),
        wrong=(Apply(NO_CURL),),
        shows=Picture(
            {VICTIM: mixed(**{"team/no-curl": "unknown source-outage", "base": APPLIED})},
            blind=(TEXT,),
        ),
        heals=(See(TEXT), Touch(NO_CURL)),
        then=BOTH,
        remedy="kubectl annotate kubearmorclusterpolicy",
    ),
    Scenario(
        "release-unknown",
        before=(
            AddNode("node-4"),
            Blind("text/node-4"),
            Deploy("node-4", image_tag="stable"),
            Wait(90),
            See("text/node-4"),
            Touch(BASE),
            Wait(5),
            Namespace("late"),
            Wait(3),
        ),
        wrong=(Run("late/victim", node="node-4"),),
        shows=Picture(
            {"late/victim/main": on("unknown release-unknown")},
            nodes={"node-4": "covered"},
            daemons=FOUR,
        ),
        heals=(Replace("node-4"),),
        then=Picture({"late/victim/main": on(APPLIED)}, nodes={"node-4": "covered"}, daemons=FOUR),
        remedy="version tag",
    ),
    Scenario(
        "tls-expired",
        before=(RUN, Wait(20), Blind(TEXT), Blind("alerts/relay", EXPIRED), Wait(5)),
        wrong=(Apply(NO_CURL),),
        shows=Picture(
            {VICTIM: mixed(**{"team/no-curl": "unknown tls-expired", "base": APPLIED})},
            blind=("alerts/relay", TEXT),
        ),
        heals=(See("alerts/relay"), See(TEXT), Touch(NO_CURL)),
        then=BOTH,
        remedy="kubearmor-client-certs",
    ),
    Scenario(
        "throttled",
        before=(RUN, Wait(20), Blind(TEXT), Act("team/victim", APT, times=15), Wait(2)),
        wrong=(Apply(NO_CURL),),
        shows=Picture(
            {VICTIM: mixed(**{"team/no-curl": "unknown throttled", "base": PROVEN})},
            blind=(TEXT,),
        ),
        heals=(See(TEXT), Touch(NO_CURL)),
        then=Picture({VICTIM: mixed(**{"base": PROVEN, "team/no-curl": APPLIED})}),
        remedy="maxAlertPerSec",
    ),
    Scenario(
        "attribution-lost",
        title="another container of the Pod was updated last",
        before=(Run("team/victim", containers=("main", "side")), Wait(20), Blind(TEXT), Wait(2)),
        wrong=(
            Apply(_FOR_MAIN),
            Wait(1),
            Apply(_FOR_SIDE),
            Wait(5),
            Act("team/victim", "/usr/bin/curl"),
        ),
        shows=Picture(
            {
                VICTIM: mixed(**{"team/for-main": "unknown attribution-lost", "base": APPLIED}),
                SIDE: mixed(**{"team/for-side": "unknown source-outage", "base": APPLIED}),
            },
            blind=(TEXT,),
        ),
        heals=(See(TEXT), Touch(_FOR_MAIN), Wait(5), Touch(_FOR_SIDE)),
        then=Picture(
            {
                VICTIM: on(APPLIED, "base", "team/for-main"),
                SIDE: on(APPLIED, "base", "team/for-side"),
            }
        ),
        remedy="pods/log",
    ),
    Scenario(
        "visibility-off",
        before=(RUN, Configure({"visibility": "process,network"}), Wait(20), Blind(TEXT), Wait(2)),
        wrong=(Apply(_AUDITS),),
        shows=Picture(
            {VICTIM: mixed(**{"team/audits": "unknown visibility-off", "base": APPLIED})},
            blind=(TEXT,),
        ),
        heals=(
            Namespace("team", {"kubearmor-visibility": "process,file,network,capabilities"}),
            Wait(2),
            Act("team/victim", "/etc/shadow"),
        ),
        then=Picture({VICTIM: mixed(**{"team/audits": PROVEN, "base": APPLIED})}, blind=(TEXT,)),
        remedy="kubearmor-visibility=process,file,network,capabilities",
    ),
    Scenario(
        "dropped",
        before=(RUN, Wait(20), Blind(TEXT), Wait(5)),
        wrong=(Apply(NO_CURL), Wait(5), See(TEXT), Wait(1), LoseEvents(STAGE)),
        shows=Picture({VICTIM: mixed(**{"team/no-curl": "unknown dropped", "base": APPLIED})}),
        heals=(Touch(NO_CURL),),
        then=BOTH,
        remedy="pods/log",
    ),
)
