"""Why rules that arrived, or should have, do not bind (dossier 6.5, 6.8, F34-F39)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import (
    RECREATE,
    RECREATE_PRICE,
    RESTART,
    RESTART_PRICE,
    TOUCH_CAVEAT,
    TOUCH_EITHER,
    TOUCHED_TOO_WIDELY,
)

ENFORCEMENT: Final = (
    Cause(
        code="outer-map-full",
        verdicts=("gap",),
        scope="node",
        modes=("F34",),
        sources=("text", "messages"),
        certainty="certain",
        title="The node has more containers with rules than the kernel map holds",
        what=(
            "BPF-LSM keeps the rules of at most 256 containers per node. The map was full when "
            "this container came, and the daemon does not try again when there is room."
        ),
        shown_by=(
            "The daemon's output has `error adding container … to outer map` for the container's "
            "id."
        ),
        remedy=(
            "Move Pods off the node: `kubectl cordon NODE`, delete each Pod that was refused so "
            f"that it starts elsewhere ({RECREATE}), `kubectl uncordon NODE`. {RECREATE_PRICE}. "
            "For good: at most 256 policed containers per node, by a lower limit of Pods or by "
            "policies that select fewer."
        ),
    ),
    Cause(
        code="inner-map-full",
        verdicts=("gap",),
        scope="policy",
        modes=("F35",),
        sources=("text", "messages"),
        certainty="certain",
        title="The container has more rules than its kernel map holds",
        what=(
            "BPF-LSM keeps at most 256 entries per container, of all its policies together; a "
            "recursive directory takes several. Of what did not fit a part is missing, and which "
            "part is chance."
        ),
        shown_by=(
            "The daemon's output has `error adding rule to map` for the container's id at the "
            "last write."
        ),
        remedy=(
            "Shorten the policies so that no container gets more than 256 entries in all: "
            "directories instead of single files, rules only for the containers that need them. "
            "Changing a policy interrupts nothing; splitting it does not help while both parts "
            "select the same container."
        ),
    ),
    Cause(
        code="apparmor-unannotated",
        verdicts=("gap",),
        scope="daemonset",
        modes=("F36",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The Pod runs without a KubeArmor profile",
        what=(
            "On AppArmor nodes a Pod is protected only if it was created with KubeArmor's profile "
            "annotation. This one was not: it is older than KubeArmor on its node, or the webhook "
            "did not answer."
        ),
        shown_by=(
            "The node's daemon enforces with AppArmor and the Pod carries no "
            "`container.apparmor.security.beta.kubernetes.io` annotation for the container."
        ),
        remedy=(
            "Create the Pods again: `kubectl -n NAMESPACE rollout restart deployment NAME` (or "
            "statefulset, daemonset). Price: the workload is rolled once. Before that see that "
            "the webhook works: `kubectl -n kubearmor get endpoints "
            "kubearmor-controller-webhook-service`. The annotation of a running Pod cannot be "
            "changed, and touching policies does not help."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.5.3",
                text=(
                    "Below v1.5.3 Pods are annotated only where all nodes use AppArmor: upgrade "
                    "to v1.6.5 or later."
                ),
            ),
            ReleaseRemedy(
                since="v1.5.3",
                before="v1.6.5",
                text=(
                    "From v1.5.3 to below v1.6.5 Pods are annotated only if KubeArmor runs in the "
                    "namespace kubearmor: install it there, or upgrade to v1.6.5 or later."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.5",
                before="",
                text=(
                    "From v1.6.5 on KubeArmor can roll existing Deployments itself "
                    "(annotateExisting); other kinds need the command. On Kubernetes 1.34 and "
                    "later see whether new Pods really run under the profile."
                ),
            ),
        ),
    ),
    Cause(
        code="apparmor-profile-rejected",
        verdicts=("gap",),
        scope="policy",
        modes=("F37",),
        sources=("text", "messages"),
        certainty="certain",
        title="AppArmor did not take the container's profile",
        what=(
            "The daemon wrote a profile for the container and could not load it: a profile of "
            "that name belongs to somebody else, or a rule of the policy is none that AppArmor "
            "can read."
        ),
        shown_by=(
            "The daemon's output has `Unable to register the AppArmor profile`, `Unable to update "
            "… security rule(s)` or `Error Generating … AppArmor profile`."
        ),
        remedy=(
            "Read the line. A rule that cannot be parsed: correct it in the policy, which writes "
            "the profile anew and interrupts nothing. The text `(out-of-control)`: remove the "
            "foreign profile from the node, then delete the Pod so that it starts under "
            f"KubeArmor's: {RECREATE}. {RECREATE_PRICE}."
        ),
    ),
    Cause(
        code="rule-not-enforceable",
        verdicts=("gap",),
        scope="policy",
        modes=("F38",),
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="None of the policy's rules can be enforced",
        what=(
            "The policy wants to block or allow, but every such rule is of a kind that the node's "
            "enforcer has no form for (with BPF-LSM: matchPatterns, syscalls, raw AppArmor text)."
        ),
        shown_by=(
            "No rule of the policy with action Block or Allow has a form for the node's enforcer."
        ),
        remedy=(
            "Write the rules as matchPaths or matchDirectories, or set action Audit if observing "
            "was meant. Changing the policy interrupts nothing."
        ),
    ),
    Cause(
        code="posture-audit",
        verdicts=("gap",),
        scope="policy",
        modes=("F39",),
        sources=("kubernetes", "configuration", "alerts"),
        certainty="certain",
        title="The allow-list only audits: the default posture is audit",
        what=(
            "A policy with Allow rules refuses everything else only where the default posture of "
            "that class (file, network, capabilities) is block. Here it is audit: what is not "
            "allowed is reported and done."
        ),
        shown_by=(
            "The policy has Allow rules of a class whose posture, by the namespace's annotation "
            "or the global setting, is audit."
        ),
        remedy=(
            "Set the posture of that class: `kubectl annotate namespace NAMESPACE "
            "kubearmor-file-posture=block --overwrite` (or kubearmor-network-posture, "
            "kubearmor-capabilities-posture). It is read at once. Price: from then on every "
            "container of the namespace with an Allow rule of that class is refused all that no "
            "rule allows; read its alerts with PolicyName DefaultPosture first."
        ),
    ),
    Cause(
        code="policy-rejected",
        verdicts=("gap",),
        scope="policy",
        modes=("F16",),
        sources=("text", "messages"),
        certainty="certain",
        title="The daemon refused the policy",
        what=(
            "The daemon answered the policy with `Error ADD` (for a cluster policy usually "
            "because it could not list the namespaces at that moment). It never tries again."
        ),
        shown_by=(
            "The daemon's output has `Error ADD` right after it reported the policy as added."
        ),
        remedy=(
            "Read the error in the daemon's output, mend what it names (rights, API server), then "
            "delete the policy and create it again: an edit does not reach Pods that come later. "
            "Between deletion and creation the policy protects nothing anywhere. Or restart the "
            f"daemons that refused it: {RESTART}. {RESTART_PRICE}."
        ),
    ),
    Cause(
        code="unexplained",
        verdicts=("gap",),
        scope="policy",
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The rules did not arrive, and no known cause fits",
        what=(
            "Every source that would have shown the rules was being read, and they were not "
            "written within the grace period."
        ),
        shown_by=(
            "The absence of `Creating inner map` for the container's id, in output that was read "
            "without a hole."
        ),
        remedy=(
            "Look at the node's daemon around that time (`kubectl -n kubearmor logs POD "
            "--timestamps`). Touching the policy (an annotation is enough) makes the daemons "
            f"write it again and costs no protection: {TOUCH_EITHER}. {TOUCH_CAVEAT}. If that does "
            f"not help, restart the node's daemon. {RESTART_PRICE}."
        ),
        remedies=(TOUCHED_TOO_WIDELY,),
    ),
)
