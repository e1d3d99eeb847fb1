"""What KubeArmor leaves alone by design: exempt and unsupported (dossier 6, F9-F14)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy

EXCLUSION: Final = (
    Cause(
        code="annotation-disabled",
        verdicts=("exempt",),
        scope="container",
        modes=("F9",),
        sources=("kubernetes",),
        certainty="certain",
        title="Switched off by annotation",
        what="The Pod carries `kubearmor-policy: disabled`. KubeArmor leaves it alone.",
        shown_by="The annotation of the Pod.",
        remedy=(
            "If it is not meant so, take the annotation out of the workload's Pod template and "
            "let its Pods be replaced; on a running Pod the change is not applied to all "
            "containers."
        ),
    ),
    Cause(
        code="annotation-audited",
        verdicts=("exempt",),
        scope="container",
        modes=("F9",),
        sources=("kubernetes", "alerts"),
        certainty="certain",
        title="Only audited, by annotation",
        what=(
            "The Pod carries `kubearmor-policy: audited`. Matches are reported, nothing is blocked."
        ),
        shown_by="The annotation of the Pod; its alerts say `Audit (Block)`.",
        remedy=(
            "If it is not meant so, take the annotation out of the workload's Pod template and "
            "let its Pods be replaced; on a running Pod the change is not applied to all "
            "containers."
        ),
    ),
    Cause(
        code="builtin-exception",
        verdicts=("exempt",),
        scope="container",
        modes=("F10",),
        sources=("kubernetes",),
        certainty="certain",
        title="KubeArmor never enforces here",
        what=(
            "Pods of kube-system and Pods with the label `io.cilium/app` are only audited, "
            "whatever the policies say."
        ),
        shown_by="The Pod's namespace or label.",
        remedy="None: it is KubeArmor's design. Do not run what must be protected there.",
    ),
    Cause(
        code="untracked-namespace",
        verdicts=("exempt",),
        scope="container",
        modes=("F11",),
        since="v1.4.2",
        sources=("configuration", "kubernetes", "text", "messages"),
        certainty="certain",
        title="The namespace is not tracked",
        what="The namespace is in KubeArmor's list of untracked namespaces (untrackedNs).",
        shown_by=(
            "The daemon's untrackedNs (its configuration line, then the ConfigMap) has the Pod's "
            "namespace."
        ),
        remedy=(
            "If it is not meant so, take the namespace out of untrackedNs, then touch a policy: "
            "running Pods are not looked at again before the next event."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.7",
                text=(
                    "Below v1.6.7 untrackedNs is read from the daemon's own configuration at its "
                    "start: change it there and restart the daemons (seconds without protection "
                    "per node)."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.7",
                before="",
                text=(
                    "From v1.6.7 on untrackedNs is a key of the ConfigMap kubearmor-config and is "
                    "read at once; the operator may write its own value back."
                ),
            ),
        ),
    ),
    Cause(
        code="init-container",
        verdicts=("unsupported",),
        scope="container",
        modes=("F12",),
        sources=("kubernetes",),
        certainty="certain",
        title="Init containers are never protected",
        what="KubeArmor reads only a Pod's ordinary containers.",
        shown_by="The container stands in the Pod's spec.initContainers.",
        remedy="None in KubeArmor. Keep init containers short and their images trusted.",
    ),
    Cause(
        code="native-sidecar",
        verdicts=("unsupported",),
        scope="container",
        modes=("F12",),
        sources=("kubernetes",),
        certainty="certain",
        title="Native sidecars are never protected",
        what="KubeArmor does not read init containers, and a native sidecar is one.",
        shown_by=(
            "The container stands in the Pod's spec.initContainers with restartPolicy Always."
        ),
        remedy="None in KubeArmor. Run the sidecar as an ordinary container to have it protected.",
    ),
    Cause(
        code="ephemeral-container",
        verdicts=("unsupported",),
        scope="container",
        modes=("F12",),
        sources=("kubernetes",),
        certainty="certain",
        title="Ephemeral containers are never protected",
        what="KubeArmor does not read the containers that kubectl debug adds to a running Pod.",
        shown_by="The container stands in the Pod's spec.ephemeralContainers.",
        remedy="None in KubeArmor. Restrict who may create pods/ephemeralcontainers.",
    ),
    Cause(
        code="host-pid",
        verdicts=("unsupported",),
        scope="container",
        modes=("F13",),
        sources=("kubernetes",),
        certainty="certain",
        title="The Pod shares the node's process ids",
        what=(
            "With hostPID a container cannot be told from the node in the kernel: rules are "
            "written and do not apply to it."
        ),
        shown_by="The Pod has spec.hostPID true.",
        remedy="Do without hostPID, or protect the node itself with a KubeArmorHostPolicy.",
    ),
    Cause(
        code="sandboxed-runtime",
        verdicts=("unsupported",),
        scope="container",
        modes=("F14",),
        sources=("kubernetes",),
        certainty="inferred",
        title="The Pod runs in a sandbox with its own kernel",
        what=(
            "The Pod's runtime class (gVisor, Kata) gives it a kernel that the node's daemon does "
            "not see."
        ),
        shown_by="The Pod names a runtime class of a sandboxed runtime.",
        remedy="None in KubeArmor. Use the ordinary runtime where its policies must hold.",
    ),
    Cause(
        code="unsupported-node",
        verdicts=("unsupported",),
        scope="container",
        modes=("F1",),
        sources=("kubernetes",),
        certainty="certain",
        title="KubeArmor cannot run on this node",
        what="The node is virtual or runs Windows: there is no Linux kernel to enforce in.",
        shown_by="The node's operating system, or its labels.",
        remedy="Place what must be protected on Linux nodes that run a KubeArmor daemon.",
    ),
)
