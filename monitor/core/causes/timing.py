"""What is lost between events of Pods, containers and policies (dossier 7, F22-F33)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import RECREATE, RECREATE_PRICE, RESTART, RESTART_PRICE, TOUCH_POD

TIMING: Final = (
    Cause(
        code="startup-window",
        verdicts=("gap",),
        scope="policy",
        modes=("F22",),
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="The container ran before its rules arrived",
        what=(
            "Rules can be written only once the runtime has announced the container and the "
            "kubelet has published its id. This container ended before that, or waited for it "
            "longer than the grace period and was then covered by itself."
        ),
        shown_by=(
            "The container's start, and the later instant of `Creating inner map` for its id, or "
            "its end before that."
        ),
        remedy=(
            "It cannot be removed with BPF-LSM, only shortened: delay the entrypoint of short "
            "jobs, keep the API server fast, or use AppArmor nodes, where the profile is in place "
            "at exec. Nothing has to be done to a container that is covered by now."
        ),
    ),
    Cause(
        code="event-queue-lag",
        verdicts=("gap",),
        scope="node",
        modes=("F23",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The daemon is behind with the node's Pods",
        what=(
            "The daemon handles the Pods of its node one after another, and this container's turn "
            "has not come within the longest grace."
        ),
        shown_by=(
            "The daemon goes on writing `Detected a Pod` lines, of Pods that changed long before, "
            "and none yet of this one."
        ),
        remedy=(
            "Usually it heals by itself once the burst is over. Start fewer Pods at once on a "
            "node, write cluster policies with namespace In (each one without costs a list of all "
            "namespaces per Pod), and look at the API server's latency. Do not restart the "
            "daemon: it would begin again with every Pod of the node."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.16",
                text=(
                    "Below v1.6.16 a daemon may ask the API server 5 times a second, which is "
                    "little more than one Pod a second: upgrade to v1.6.16 or later."
                ),
            ),
        ),
    ),
    Cause(
        code="partial-refresh",
        verdicts=("gap",),
        scope="release",
        modes=("F25",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="Only one container of the Pod got the change",
        what=(
            "When a Pod with several containers changes (labels, annotations, a container "
            "restarted), KubeArmor handles one of them, chosen at random; the others keep their "
            "old state. All releases do so."
        ),
        shown_by=(
            "After the Pod's change the daemon wrote `Updating container rules` for fewer "
            "containers than the Pod has, and not for this one."
        ),
        remedy=(
            f"Delete the Pod so that its controller creates it anew: {RECREATE}. {RECREATE_PRICE}. "
            "Touching the policy does not help: the daemon judges by the labels it has."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.13",
                text=(
                    "Below v1.6.13 a Pod's change never reaches the daemon's list of containers, "
                    "and the next policy event undoes what was written: only a new Pod helps."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.13",
                before="",
                text=(
                    "From v1.6.13 on each change of the Pod draws one container again, without a "
                    f"price: {TOUCH_POD}. Repeat it until this one is covered, two or three times "
                    "per container."
                ),
            ),
        ),
    ),
    Cause(
        code="late-container",
        verdicts=("gap",),
        scope="release",
        modes=("F26",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The container came later than its siblings and is not in the daemon's list",
        what=(
            "KubeArmor lists a Pod's containers when the first of their ids are published. One "
            "whose id came later (its image was still being pulled) is never listed: policy "
            "events do not reach it. All releases do so."
        ),
        shown_by=(
            "The container's id was published after its siblings', and the daemon wrote no "
            "`Updating container rules` for it when the policy came or changed."
        ),
        remedy=(
            "Once all its images are on the node, delete the Pod so that it starts in one go: "
            f"{RECREATE}. {RECREATE_PRICE}. Or restart the node's daemon, which lists what is "
            f"there: {RESTART}. {RESTART_PRICE}. Touching policies does not reach the container."
        ),
    ),
    Cause(
        code="stale-container-id",
        verdicts=("gap",),
        scope="release",
        modes=("F27",),
        before="v1.6.13",
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="The daemon keeps the id of a container that has ended",
        what=(
            "After a container's restart this release goes on listing its former id, so policies "
            "that come or change afterwards are written for a container that is gone."
        ),
        shown_by=(
            "The daemon wrote `Updating container rules` for an ended id of this container and "
            "none for its present one."
        ),
        remedy=(
            f"Delete the Pod so that its controller creates it anew: {RECREATE}. {RECREATE_PRICE}. "
            "Touching the policy goes to the dead id too."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.13",
                text=(
                    "Below v1.6.13 every restart of a container causes this: upgrade to v1.6.13 "
                    "or later."
                ),
            ),
        ),
    ),
    Cause(
        code="mode-not-retroactive",
        verdicts=("gap",),
        scope="release",
        modes=("F28",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The Pod was switched to enabled, its containers were not all",
        what=(
            "The annotation `kubearmor-policy` of a running Pod was changed to enabled. KubeArmor "
            "applies such a change to one container of the Pod, chosen at random; this one goes "
            "on being audited only."
        ),
        shown_by=(
            "The Pod's annotation changed to enabled, and the daemon has not written this "
            "container's rules since."
        ),
        remedy=(
            "Delete the Pod so that its controller creates it anew (the annotation must stand in "
            f"the workload's template): {RECREATE}. {RECREATE_PRICE}. Touching the policy is no "
            "substitute."
        ),
    ),
    Cause(
        code="namespace-ids-unread",
        verdicts=("gap",),
        scope="policy",
        modes=("F31",),
        sources=("text", "messages"),
        certainty="certain",
        title="The daemon could not read the container's kernel namespaces",
        what=(
            "The daemon registered the container without its process and mount namespace, by "
            "which the kernel tells containers apart. Its rules do not apply to it, and may apply "
            "to the node's own processes instead."
        ),
        shown_by="The daemon announced the container with pidns=0 or mntns=0.",
        remedy=(
            f"Delete the Pod so that its containers start anew: {RECREATE}. {RECREATE_PRICE}. If "
            "it happens again, report it to KubeArmor with the daemon's output. Touching the "
            "policy does not read the ids again."
        ),
    ),
    Cause(
        code="pod-informer-failed",
        verdicts=("gap",),
        scope="node",
        modes=("F33",),
        since="v1.6.0",
        sources=("text", "messages"),
        certainty="certain",
        title="The daemon hears nothing of its node's Pods",
        what=(
            "The daemon could not start watching Pods and does not try again. It is otherwise "
            "healthy, knows the policies, and has no Pod to apply them to."
        ),
        shown_by=(
            "The daemon's output has `Error starting pod informer` and no `Detected a Pod` line."
        ),
        remedy=(
            "See that it may watch Pods (`kubectl auth can-i watch pods --as "
            "system:serviceaccount:kubearmor:kubearmor`), then restart the node's daemon: "
            f"{RESTART}. {RESTART_PRICE}; here nothing is protected anyway."
        ),
    ),
)
