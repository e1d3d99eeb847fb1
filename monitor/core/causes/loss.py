"""How a container that was covered came to lose it (dossier 1.7, 12.7, F2, F17)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import (
    RESTART_PRICE,
    TOUCH_CAVEAT,
    TOUCH_EITHER,
    TOUCHED_TOO_WIDELY,
)

LOSS: Final = (
    Cause(
        code="daemon-replaced",
        verdicts=("gap", "lost"),
        scope="node",
        modes=("F2",),
        sources=("kubernetes", "text"),
        certainty="certain",
        title="The node's KubeArmor daemon is being replaced",
        what=(
            "The daemon that held this container's rules has ended or is being deleted, and its "
            "successor has not written them yet. The rules ended with the process."
        ),
        shown_by=(
            "The daemon's Pod is being deleted or has a successor, and its incarnation has ended "
            "(its output says `Got a signal to terminate KubeArmor`)."
        ),
        remedy=(
            "In a roll-out this is expected for seconds per node. If it stays, look at the "
            "successor: `kubectl -n kubearmor get pods -o wide`, then its events and output. Roll "
            "out in a maintenance window, one node at a time."
        ),
    ),
    Cause(
        code="rollout",
        verdicts=("gap", "lost"),
        scope="daemonset",
        modes=("F2",),
        sources=("kubernetes", "text"),
        certainty="certain",
        title="KubeArmor is being rolled out",
        what=(
            "The DaemonSet's template has changed, and its daemons are replaced node by node. Each "
            "node is unprotected from the end of its daemon until the next one has written the "
            "rules; these gaps are one incident, which pages nobody. A node that stays without a "
            "ready daemon longer than the configured limit leaves it and pages for itself."
        ),
        shown_by=(
            "The node's next daemon Pod has another controller revision; or there is none yet, and "
            "the one that goes is outdated: its DaemonSet says that not all Pods are of the "
            "present template, or has made a Pod of another one since."
        ),
        remedy=(
            "Nothing, while it moves on: watch it with "
            "`kubectl -n kubearmor rollout status daemonset/NAME`. To shorten the exposure let the "
            "nodes pull the image beforehand, and drain a node before its daemon is replaced. If "
            "the new release does not start, "
            "`kubectl -n kubearmor rollout undo daemonset/NAME` goes back: each daemon that was "
            "replaced is replaced once more, at the price of seconds without protection per node."
        ),
    ),
    Cause(
        code="rules-removed",
        verdicts=("lost",),
        scope="policy",
        sources=("text", "messages"),
        certainty="certain",
        title="The daemon removed the container's rules",
        what=(
            "The container was covered; then its daemon took the rules out of the kernel although "
            "the policy is still expected on it."
        ),
        shown_by=(
            "The daemon's output has `Deleting inner map` for the container's id after it had "
            "created one. Below v1.6.13 also `Updating container rules` after a policy's line, for "
            "a Pod whose labels were changed while it ran: the daemon goes on with the old ones."
        ),
        remedy=(
            "Touch the policy so that the daemons write it again, which costs no protection: "
            f"{TOUCH_EITHER}. {TOUCH_CAVEAT}. If it does not come back, restart the node's daemon. "
            f"{RESTART_PRICE}."
        ),
        remedies=(
            TOUCHED_TOO_WIDELY,
            ReleaseRemedy(
                since="v1.5.7",
                before="v1.6.13",
                text=(
                    "From v1.5.7 to below v1.6.13 touching the policy does not help a Pod whose "
                    "labels were changed while it ran: replace the Pod, and its successor is "
                    "covered."
                ),
            ),
        ),
    ),
    Cause(
        code="policy-removed-by-collision",
        verdicts=("lost",),
        scope="policy",
        modes=("F17",),
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="A namesake's deletion took the policy out of the daemons",
        what=(
            "A cluster policy was deleted, and KubeArmor, which compares names only, removed the "
            "namespaced policy of the same name with it: from its list, from its containers and "
            "from the kernel."
        ),
        shown_by=(
            "A cluster policy of that name was deleted, and after its line the daemon removed the "
            "rules although the namespaced policy still exists."
        ),
        remedy=(
            "Delete the policy and create it again, which costs nothing now that its rules are "
            "gone: `kubectl -n NAMESPACE get kubearmorpolicy NAME -o yaml | kubectl replace "
            "--force -f -`. Touching it is not enough: that reaches running containers, not later "
            "ones. Give cluster policies names that no namespaced one bears."
        ),
    ),
    Cause(
        code="contradicted",
        verdicts=("gap", "lost"),
        scope="policy",
        sources=("alerts", "logs", "text"),
        certainty="certain",
        title="The container did what the policy forbids",
        what=(
            "The container should be protected, but after its rules were written it was seen "
            "doing what the policy blocks: the rules are not in force."
        ),
        shown_by=(
            "An event of the container, dated after its last write, has Result Passed for what a "
            "Block rule forbids by its exact path, or an alert says `Audit (Block)`."
        ),
        remedy=(
            "Treat what it did as unprevented. Touch the policy, which costs no protection: "
            f"{TOUCH_EITHER}, and see whether the next attempt is refused. {TOUCH_CAVEAT}. If not "
            f"refused, restart the node's daemon. {RESTART_PRICE}."
        ),
        remedies=(TOUCHED_TOO_WIDELY,),
    ),
)
