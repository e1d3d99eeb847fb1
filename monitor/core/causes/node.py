"""What keeps a node, or all nodes of a DaemonSet, unprotected (dossier 1, 7.7, F1-F8)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import RESTART, RESTART_PRICE

NODE: Final = (
    Cause(
        code="daemon-absent",
        verdicts=("gap", "lost"),
        scope="node",
        modes=("F1",),
        sources=("kubernetes",),
        certainty="certain",
        title="No KubeArmor daemon on the node",
        what=(
            "No KubeArmor daemon Pod is bound to this node, so nothing there enforces any policy."
        ),
        shown_by="No Pod with the label kubearmor-app=kubearmor is bound to the node.",
        remedy=(
            "Find out why the DaemonSet leaves the node out: a taint without a toleration (set "
            "tolerations in KubeArmorConfig or in the chart), missing `kubearmor.io/*` labels "
            "(delete the node's finished kubearmor-snitch Job so that it runs again), or an image "
            "that cannot be pulled. Nothing is interrupted by adding a daemon; where it enforces "
            "with AppArmor, Pods older than the daemon must be created again."
        ),
        remedies=(
            ReleaseRemedy(
                since="v1.5.0",
                before="",
                text=(
                    "From v1.5.0 on the operator may drop the tolerations that its DaemonSets "
                    "have by default: name them in KubeArmorConfig."
                ),
            ),
        ),
    ),
    Cause(
        code="daemon-down",
        verdicts=("gap", "lost"),
        scope="node",
        modes=("F2",),
        sources=("kubernetes", "text"),
        certainty="certain",
        title="The node's KubeArmor daemon is not running",
        what=(
            "The daemon's Pod is there but its container does not run. Kernel rules end with the "
            "process: every container of the node is unprotected until the daemon has started and "
            "handled the node's Pods again. With AppArmor a crash leaves the last profiles in "
            "force; an orderly stop does not."
        ),
        shown_by=(
            "The status of the daemon's container is not running, or its output ended and no new "
            "incarnation has begun."
        ),
        remedy=(
            "Read why it stopped: `kubectl -n kubearmor describe pod POD`, and `kubectl -n "
            "kubearmor logs POD --previous`. Killed for memory: raise its limit. Cannot pull its "
            "image: fix the registry. The node is protected again only after the daemon's start "
            "and a pass over its Pods; nothing has to be done to the workloads."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.9",
                text=(
                    "Below v1.6.9 a Pod deleted at the wrong moment can crash it: upgrade to "
                    "v1.7.4 or later."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.9",
                before="v1.7.4",
                text=(
                    "From v1.6.9 to below v1.7.4 a client that leaves the daemon's feed at the "
                    "wrong moment can crash it: upgrade to v1.7.4 or later, or let clients reach "
                    "daemons through the relay."
                ),
            ),
        ),
    ),
    Cause(
        code="daemon-starting",
        verdicts=("gap",),
        scope="node",
        modes=("F3",),
        sources=("kubernetes", "text", "messages", "health"),
        certainty="certain",
        title="The node's KubeArmor daemon has not finished starting",
        what=(
            "The daemon's container runs (and is Ready) but it has not reported `Initialized "
            "KubeArmor`: it does not enforce yet."
        ),
        shown_by=(
            "The daemon's container is running and its output has no `Initialized KubeArmor` "
            "since its start; or, where its output was not read, its health service still did not "
            "know feeder.LogService when it was asked after the grace period."
        ),
        remedy=(
            "Seconds of this are normal. If it stays, read where its output stops (`kubectl -n "
            "kubearmor logs POD`): missing CRDs, missing rights, or an API server that the node "
            "cannot reach."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.7.3",
                text="Below v1.7.3 a daemon waits for missing CRDs for ever: install all of them.",
            ),
            ReleaseRemedy(
                since="v1.7.3",
                before="",
                text=(
                    "From v1.7.3 on a daemon whose KubeArmorPolicy CRD is missing gives up after "
                    "60 s and restarts: install the CRD."
                ),
            ),
        ),
    ),
    Cause(
        code="daemon-hung",
        verdicts=("gap",),
        scope="node",
        modes=("F4",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The node's KubeArmor daemon no longer handles Pods",
        what=(
            "The daemon runs and is Ready, but says nothing of Pods that start on its node. "
            "Containers that had their rules keep them; new ones and new policies wait."
        ),
        shown_by=(
            "Pods of the node started or changed, and for longer than the grace period the "
            "daemon's output had no `Detected a Pod` line."
        ),
        remedy=(
            f"Restart the node's daemon: {RESTART}. {RESTART_PRICE}. Its liveness probe does not "
            "see this in any release. Keep its output for a report before you do: `kubectl -n "
            "kubearmor logs POD --timestamps > daemon.log`."
        ),
    ),
    Cause(
        code="enforcer-absent",
        verdicts=("gap", "lost"),
        scope="daemonset",
        modes=("F5",),
        sources=("text", "messages", "alerts"),
        certainty="certain",
        title="KubeArmor only observes: the node offers no enforcer",
        what=(
            "The daemon runs without BPF-LSM and AppArmor (or with SELinux only): it reports what "
            "policies would have blocked, and blocks nothing."
        ),
        shown_by=(
            "The daemon's output has `Disabled KubeArmor Enforcer` or `Initialized SELinux "
            "Enforcer`; its alerts come from eBPF Monitor with Result Passed."
        ),
        remedy=(
            "Start the node's kernel with bpf among its security modules (kernel parameter "
            "`lsm=…,bpf`; Linux 5.8 or newer with BTF), or use nodes with AppArmor. Price: the "
            "node reboots; drain it first. Until then place what must be protected elsewhere."
        ),
    ),
    Cause(
        code="enforcer-mismatch",
        verdicts=("gap",),
        scope="daemonset",
        modes=("F6",),
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="The node's label names another enforcer than its daemon uses",
        what=(
            "The node is labelled for BPF-LSM, but its daemon fell back to AppArmor. KubeArmor's "
            "webhook therefore gives Pods no AppArmor profile, and nothing is enforced in them."
        ),
        shown_by=(
            "The label kubearmor.io/enforcer says bpf and the daemon's output has `Initialized "
            "AppArmor Enforcer`."
        ),
        remedy=(
            "Mend BPF-LSM on the node as for enforcer-absent (price: a reboot; drain it first). "
            "Or tell the truth about it, `kubectl label node NODE kubearmor.io/enforcer=apparmor "
            "--overwrite`, and then create the node's Pods again, so that they get a profile: "
            "each is interrupted once. Relabelling changes which DaemonSet serves the node: see "
            "that a daemon comes up there."
        ),
    ),
    Cause(
        code="cluster-policy-watch-dead",
        verdicts=("gap",),
        scope="node",
        modes=("F7",),
        since="v1.7.3",
        sources=("text", "messages"),
        certainty="certain",
        title="The daemon does not watch cluster policies",
        what=(
            "At its start this daemon gave up waiting for the KubeArmorClusterPolicy CRD or for "
            "its first list. It handles namespaced policies only, until it is restarted."
        ),
        shown_by=(
            "The daemon's output has `timeout while monitoring cluster security policies` or "
            "`error while monitoring cluster security policies`."
        ),
        remedy=(
            "See that the CRD is served (`kubectl get crd "
            "kubearmorclusterpolicies.security.kubearmor.com`), then restart the node's daemon: "
            f"{RESTART}. {RESTART_PRICE}. Touching the policies does not help: nobody listens."
        ),
    ),
    Cause(
        code="container-source-dead",
        verdicts=("gap", "lost"),
        scope="node",
        modes=("F8",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="The daemon no longer hears of new containers",
        what=(
            "The daemon's connection to the container runtime (NRI, containerd or CRI-O) has "
            "ended for good. It goes on seeing Pods but cannot attach rules to containers that "
            "start from then on; older containers keep theirs."
        ),
        shown_by=(
            "The daemon wrote `Updating container rules` for a container that it never announced "
            "with `Detected a container`, or it never reported `Started to monitor` for its "
            "runtime."
        ),
        remedy=f"Restart the node's daemon: {RESTART}. {RESTART_PRICE}.",
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.16",
                text=(
                    "Below v1.6.16 one restart of the runtime is enough to cause this: upgrade to "
                    "v1.6.16 or later and let the operator generate the DaemonSet anew (it must "
                    "mount the socket's folder)."
                ),
            ),
        ),
    ),
)
