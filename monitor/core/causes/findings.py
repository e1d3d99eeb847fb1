"""What is worth knowing and is no gap: too much covered, meant otherwise, suspected."""

from typing import Final

from monitor.core.causes.entry import FindingKind, ReleaseRemedy
from monitor.core.causes.phrases import (
    HANDLED_AT_ONCE,
    PART_NAMESAKES,
    RECREATE,
    RECREATE_PRICE,
    RESTART,
    RESTART_PRICE,
    TOUCH,
    TOUCH_CAVEAT,
    TOUCH_NAMESPACED,
    TOUCHED_TOO_WIDELY,
)

FINDING_KINDS: Final = (
    FindingKind(
        code="stale-policy",
        kind="over-coverage",
        modes=("F32",),
        sources=("kubernetes", "alerts", "text"),
        certainty="certain",
        title="A deleted policy is still in force",
        what=(
            "The daemon missed the policy's deletion (its watch was interrupted) and goes on "
            "enforcing it. It can break workloads and confuse a new policy of the same name."
        ),
        shown_by=(
            "The policy does not exist in the cluster, and an alert dated after its deletion "
            "names it, or its rules were written afterwards."
        ),
        remedy=f"Restart the node's daemon: {RESTART}. {RESTART_PRICE}.",
    ),
    FindingKind(
        code="over-match",
        kind="over-coverage",
        before="v1.7.0",
        sources=("kubernetes", "text"),
        certainty="inferred",
        title="The policy is on containers that it does not select",
        what=(
            "The release of the node's daemon attaches the policy to a container that its "
            "selector does not name."
        ),
        shown_by=(
            "The daemon's release, with the objects in the order it saw them, attaches the policy "
            "where it is not expected."
        ),
        remedy=(
            "If it breaks a workload, write the policy so that it names its namespaces with In, "
            f"and create the Pod anew: {RECREATE}. {RECREATE_PRICE}."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.5.7",
                text=(
                    "Below v1.5.7 a cluster policy without a namespace In is put on every new Pod "
                    "once there is a namespace newer than the policy (v1.4.0: so is every "
                    "namespaced policy); touching it puts it on more Pods: upgrade to v1.6.0 or "
                    "later."
                ),
            ),
            ReleaseRemedy(
                since="v1.5.7",
                before="v1.6.13",
                text=(
                    "From v1.5.7 to below v1.6.13 a Pod keeps the policies that it was labelled "
                    "away from: create it anew, and upgrade to v1.6.13 or later."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.13",
                before="v1.7.0",
                text=(
                    "From v1.6.13 to below v1.7.0 a matchLabels of kubearmor.io/hostname can "
                    "match Pods without that label: select by another label."
                ),
            ),
        ),
    ),
    FindingKind(
        code="mode-not-retroactive",
        kind="over-coverage",
        modes=("F28",),
        sources=("kubernetes", "text", "messages", "alerts"),
        certainty="inferred",
        title="The Pod was switched to audited or disabled, its rules are still there",
        what=(
            "The annotation `kubearmor-policy` of a running Pod was changed to audited or "
            "disabled. KubeArmor does not take out rules that are in the kernel."
        ),
        shown_by=(
            "The Pod's annotation changed after the container's rules were written, and no "
            "`Deleting inner map` followed."
        ),
        remedy=(
            "If the rules must go, delete the Pod so that its controller creates it anew: "
            f"{RECREATE}. {RECREATE_PRICE}."
        ),
    ),
    FindingKind(
        code="rules-despite-exemption",
        kind="over-coverage",
        modes=("F11", "F28"),
        sources=("text", "messages", "alerts", "kubernetes"),
        certainty="certain",
        title="Rules are in force where none should be",
        what=(
            "The container is exempt (annotation, built-in exception, or untracked namespace), "
            "and yet its daemon wrote rules for it or an action of it was refused."
        ),
        shown_by=(
            "`Creating inner map` for the container's id, or an alert with Action Block and "
            "Permission denied, although it is exempt."
        ),
        remedy=(
            "Leave it if nothing breaks. To be rid of the rules in an untracked namespace, "
            "exclude it in the cluster policies (namespace NotIn), which interrupts nothing. "
            "After a change of annotation, delete the Pod so that its controller creates it anew: "
            f"{RECREATE}. {RECREATE_PRICE}."
        ),
    ),
    FindingKind(
        code="selector-mistake",
        kind="intent",
        modes=("F18",),
        sources=("kubernetes",),
        certainty="certain",
        title="The selector does not mean what it seems to say",
        what=(
            "The selector is valid and KubeArmor reads it otherwise than Kubernetes would: a "
            "container name without brackets loses its first and last letter, values of the key "
            "label must be written `k=v`, hash labels never match."
        ),
        shown_by="KubeArmor's reading of the selector and the usual one differ.",
        remedy=(
            "Write it as KubeArmor reads it; `kubearmor-monitor lint --cluster` names the line "
            "and a rewrite. Changing the policy interrupts nothing."
        ),
    ),
    FindingKind(
        code="selector-order",
        kind="intent",
        modes=("F19",),
        sources=("kubernetes",),
        certainty="certain",
        title="The order of In and NotIn decides",
        what=(
            "KubeArmor does not join expressions with and: a label NotIn after an In is ignored, "
            "an In after a NotIn has no influence, and of namespaces every NotIn is dropped once "
            "there is an In."
        ),
        shown_by="The policy has expressions of both operators on one key.",
        remedy=(
            "Write two policies, or give the Pods meant a label of their own and select by it "
            "alone; `kubearmor-monitor lint --cluster` shows a rewrite. Changing the policy "
            "interrupts nothing."
        ),
    ),
    FindingKind(
        code="namespace-left-out",
        kind="intent",
        sources=("kubernetes",),
        certainty="certain",
        title="A cluster policy leaves namespaces out",
        what=(
            "The policy lists its namespaces with In, or excludes some with NotIn, and these "
            "namespaces of the cluster are not among them: nothing there is protected by it."
        ),
        shown_by="The policy's namespaces and those of the cluster differ.",
        remedy=(
            "If it is not meant so, add the namespaces, or write NotIn with those that are to be "
            "left out. Changing the policy interrupts nothing. A policy without In costs the "
            "daemons a list of all namespaces for each Pod."
        ),
        remedies=(
            ReleaseRemedy(
                since="v1.5.7",
                before="v1.6.0",
                text=(
                    "From v1.5.7 to below v1.6.0 a policy without In misses namespaces created "
                    "later: stay with In, or touch the policy after creating one."
                ),
            ),
        ),
    ),
    FindingKind(
        code="selects-nothing",
        kind="intent",
        sources=("kubernetes",),
        certainty="certain",
        title="The policy selects nothing",
        what=(
            "No running container (for a host policy: no node) is selected. A host policy with an "
            "empty nodeSelector never selects anything."
        ),
        shown_by="No container or node of the cluster matches the selector.",
        remedy=(
            "Compare its labels with those of the Pods meant, `kubectl -n NAMESPACE get pods "
            "--show-labels`. If its workload is yet to come there is nothing to do. Changing the "
            "policy interrupts nothing."
        ),
    ),
    FindingKind(
        code="name-collision",
        kind="intent",
        modes=("F17",),
        sources=("kubernetes",),
        certainty="certain",
        title="A namespaced and a cluster policy bear one name",
        what=(
            "KubeArmor confuses policies of both kinds with one name: which of them holds depends "
            "on the order in which they came, and deleting the cluster policy removes both."
        ),
        shown_by="The name of a cluster policy is that of a namespaced one, in any namespace.",
        remedy=(
            f"{PART_NAMESAKES} Do not touch or delete the cluster policy while the namespaced one "
            "is there. Where only one of them is applied yet, rename the other."
        ),
        remedies=(HANDLED_AT_ONCE,),
    ),
    FindingKind(
        code="lost-update",
        kind="suspicion",
        modes=("F24",),
        sources=("text", "messages", "kubernetes"),
        certainty="suspected",
        title="One of two policies may have been overwritten",
        what=(
            "A namespaced and a cluster policy were handled at the same moment, or a policy while "
            "a Pod was being evaluated. KubeArmor can then lose one of them on some containers, "
            "and neither its output nor alerts can prove that it did not."
        ),
        shown_by=(
            "The lines of both kinds, or of a policy and the Pod, are interleaved with the "
            "containers' writes."
        ),
        remedy=(
            f"Touch both policies, some seconds apart, which costs no protection: {TOUCH}, and "
            f"{TOUCH_NAMESPACED}. {TOUCH_CAVEAT}. Deploy policies before the workloads, not "
            "together with them."
        ),
        remedies=(TOUCHED_TOO_WIDELY,),
    ),
    FindingKind(
        code="namespace-id-reuse",
        kind="suspicion",
        modes=("F30",),
        sources=("text", "messages"),
        certainty="suspected",
        title="A new container has the kernel ids of one that is not known to have ended",
        what=(
            "The daemon announced two containers with the same process and mount namespace, and "
            "no end of the first. It may have missed that end and may apply the first one's rules "
            "to the second."
        ),
        shown_by=(
            "Two `Detected a container (added/…)` lines with one pidns and mntns, and no "
            "`removed` between them."
        ),
        remedy=(
            f"Delete the newer container's Pod, so that it gets ids of its own: {RECREATE}. "
            f"{RECREATE_PRICE}."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.7.4",
                text=(
                    "Below v1.7.4 the end of containers is misread with the containerd socket: "
                    "upgrade to v1.7.4 or later."
                ),
            ),
        ),
    ),
    FindingKind(
        code="prediction-refuted",
        kind="suspicion",
        sources=("alerts", "logs", "text"),
        certainty="inferred",
        title="What the daemon did is not what its release should do",
        what=(
            "An effect was reported of a policy that, by all that is known of the release, is not "
            "on this container, or the reverse. The verdict follows the evidence; the explanation "
            "may be wrong."
        ),
        shown_by="An alert of the container fits none of the policies that are predicted on it.",
        remedy=(
            "None in the cluster. See first that no two policies share that name and that the "
            "release is the one shown; then keep a trace (`kubearmor-monitor record "
            "refuted.jsonl.zst`) and report it to the authors of this monitor."
        ),
    ),
    FindingKind(
        code="release-disagreement",
        kind="suspicion",
        sources=("text", "alerts", "kubernetes"),
        certainty="certain",
        title="The sources name different releases of the daemon",
        what=(
            "The daemon's output, its alerts and its image's tag do not name the same release. "
            "The output of the running incarnation is believed, then the alerts, then the tag."
        ),
        shown_by="Two of them name different versions for one incarnation of the node's daemon.",
        remedy=(
            "Use image tags that are versions and are never moved, or digests. Changing the image "
            "rolls the daemons: each node is unprotected for seconds."
        ),
    ),
)
