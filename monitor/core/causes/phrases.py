"""What the remedies of several causes say in the same words.

`NAME`, `NAMESPACE`, `POD` and `NODE` in a command stand for the reader's own.
"""

from typing import Final

from monitor.core.causes.entry import ReleaseRemedy

_TOUCHED = 'kubearmor-monitor/touched="$(date +%s)" --overwrite'

TOUCH: Final = f"`kubectl annotate kubearmorclusterpolicy NAME {_TOUCHED}`"
TOUCH_NAMESPACED: Final = f"`kubectl -n NAMESPACE annotate kubearmorpolicy NAME {_TOUCHED}`"
TOUCH_EITHER: Final = f"{TOUCH}, or for a namespaced one {TOUCH_NAMESPACED}"
TOUCH_HOST: Final = f"`kubectl annotate kubearmorhostpolicy NAME {_TOUCHED}`"
TOUCH_POD: Final = f"`kubectl -n NAMESPACE annotate pod POD {_TOUCHED}`"
TOUCH_CAVEAT: Final = (
    "Not where a namespaced policy bears a cluster policy's name: see name-collision"
)
TOUCHED_TOO_WIDELY: Final = ReleaseRemedy(
    since="",
    before="v1.5.7",
    text=(
        "Below v1.5.7 touching a cluster policy can also put it on Pods that it does not select, "
        "until the node's daemon restarts."
    ),
)

RESTART: Final = (
    "`kubectl -n kubearmor delete pod -l kubearmor-app=kubearmor "
    "--field-selector spec.nodeName=NODE`"
)
RESTART_PRICE: Final = "A restart leaves every container of that node unprotected for seconds"

RECREATE: Final = "`kubectl -n NAMESPACE delete pod POD`"
RECREATE_PRICE: Final = (
    "Its containers are interrupted, and those of the new Pod run unprotected until their rules "
    "are written"
)

PART_NAMESAKES: Final = (
    "Create both policies anew under names that nothing else bears, wait until the copies are in "
    "force, then delete the old namespaced policy first and the old cluster policy after it: in "
    "that order nothing goes that should stay, and it costs no protection."
)
HANDLED_AT_ONCE: Final = ReleaseRemedy(
    since="v1.6.9",
    before="",
    text=(
        "From v1.6.9 on leave seconds between these steps: a namespaced and a cluster policy that "
        "are handled at one moment can overwrite each other."
    ),
)
