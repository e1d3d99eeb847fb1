"""Every cause that a verdict can name: what happened, and what to do about it at what price.

One table, in the order in which causes are preferred within a verdict (after the causes that
concern a whole node, which always come first). The runbooks and the board show these texts; tests
compare them. `NAME`, `NAMESPACE`, `POD` and `NODE` in a command stand for the reader's own. What is
to be typed or looked for as it stands is between backticks, on one line.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from monitor.core.model import Verdict

Scope: TypeAlias = Literal["node", "daemonset", "release", "policy", "container"]

RUNBOOKS = "deploy/runbooks/README.md"
NODE_SCOPES = ("node", "daemonset")

TOUCH = (
    '`kubectl annotate kubearmorclusterpolicy NAME kubearmor-monitor/touched="$(date +%s)" '
    "--overwrite`"
)
RESTART = (
    "`kubectl -n kubearmor delete pod -l kubearmor-app=kubearmor "
    "--field-selector spec.nodeName=NODE`"
)
RESTART_PRICE = "A restart leaves every container of that node unprotected for seconds"


class ReleaseRemedy(Struct, frozen=True, gc=False):
    """What to do where the daemon's release is at least `since` and below `before` ("" is open)."""

    since: str
    before: str
    text: str


class Cause(Struct, frozen=True, gc=False):
    """One cause.

    `verdicts` are those it can explain; `scope` is what gaps of this cause have in common when they
    join into one incident (`container`: nothing, no incident is made of it).
    """

    code: str
    verdicts: tuple[Verdict, ...]
    scope: Scope
    title: str
    what: str
    remedy: str
    remedies: tuple[ReleaseRemedy, ...] = ()

    @property
    def runbook(self) -> str:
        return f"{RUNBOOKS}#{self.code}"

    def remedy_on(self, release: str | None) -> str:
        """Return what to do where the daemon is of that release (None: not known)."""
        version = _version(release)
        if version is None:
            return self.remedy
        for special in self.remedies:
            since, before = _version(special.since), _version(special.before)
            if (since is None or version >= since) and (before is None or version < before):
                return f"{self.remedy} {special.text}"
        return self.remedy


def _version(release: str | None) -> tuple[int, ...] | None:
    parts = (release or "").removeprefix("v").split("-")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


_TABLE = (
    Cause(
        code="daemon-absent",
        verdicts=("gap", "lost"),
        scope="node",
        title="No KubeArmor daemon on the node",
        what="No KubeArmor daemon Pod is bound to this node, so nothing there enforces any policy.",
        remedy=(
            "Find out why the DaemonSet leaves the node out: a taint without a toleration (set "
            "tolerations in KubeArmorConfig or in the chart), missing `kubearmor.io/*` labels "
            "(delete the node's finished kubearmor-snitch Job so that it runs again), or an image "
            "that cannot be pulled. Nothing is interrupted by adding a daemon."
        ),
    ),
    Cause(
        code="daemon-down",
        verdicts=("gap", "lost"),
        scope="node",
        title="The node's KubeArmor daemon is not running",
        what=(
            "The daemon's Pod is there but its container does not run. Kernel rules end with the "
            "process: every container of the node is unprotected until the daemon has started and "
            "handled the node's Pods again."
        ),
        remedy=(
            "Read why it stopped: `kubectl -n kubearmor describe pod POD`, and "
            "`kubectl -n kubearmor logs POD --previous`. Killed for memory: raise its limit. "
            "Cannot pull its image: fix the registry. The node is protected again only after the "
            "daemon's start and a pass over its Pods; nothing has to be done to the workloads."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.6.9",
                text="Below v1.6.9 a Pod deleted at the wrong moment can crash it: upgrade.",
            ),
            ReleaseRemedy(
                since="v1.6.9",
                before="v1.7.4",
                text=(
                    "Below v1.7.4 a client that leaves the daemon's feed at the wrong moment can "
                    "crash it: upgrade to v1.7.4, or let clients reach daemons through the relay."
                ),
            ),
        ),
    ),
    Cause(
        code="daemon-starting",
        verdicts=("gap",),
        scope="node",
        title="The node's KubeArmor daemon has not finished starting",
        what=(
            "The daemon's container runs (and is Ready) but it has not reported "
            "`Initialized KubeArmor`: it does not enforce yet."
        ),
        remedy=(
            "Seconds of this are normal. If it stays, read where its output stops "
            "(`kubectl -n kubearmor logs POD`): missing CRDs, missing rights, or an API "
            "server that the node cannot reach."
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
        code="enforcer-absent",
        verdicts=("gap", "lost"),
        scope="daemonset",
        title="KubeArmor only observes: the node offers no enforcer",
        what=(
            "The daemon runs without BPF-LSM and AppArmor (or with SELinux only): it reports what "
            "policies would have blocked, and blocks nothing."
        ),
        remedy=(
            "Start the node's kernel with bpf among its security modules (kernel parameter "
            "`lsm=…,bpf`; Linux 5.8 or newer with BTF), or use nodes with AppArmor. Price: the "
            "node reboots; drain it first. Until then place what must be protected elsewhere."
        ),
    ),
    Cause(
        code="container-source-dead",
        verdicts=("gap", "lost"),
        scope="node",
        title="The daemon no longer hears of new containers",
        what=(
            "The daemon's connection to the container runtime (NRI, containerd or CRI-O) has ended "
            "for good. It goes on seeing Pods but cannot attach rules to containers that start "
            "from then on; older containers keep theirs."
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
    Cause(
        code="namespace-newer-than-policy",
        verdicts=("gap",),
        scope="release",
        title="The cluster policy misses namespaces created after it",
        what=(
            "KubeArmor v1.5.7 keeps the list of namespaces that existed when it learned a cluster "
            "policy without a namespace In. Pods of namespaces created later are not covered, and "
            "nothing in the cluster shows it (kubearmor/KubeArmor issue 2099)."
        ),
        remedy=(
            "Upgrade KubeArmor to v1.6.0 or later: it is corrected there (the roll-out restarts "
            "each node's daemon once and leaves that node unprotected for seconds). Until then "
            f"touch the policy after creating a namespace, which costs no protection: {TOUCH}. "
            "Restarting the daemons heals too, at the price of seconds without protection per node."
        ),
    ),
    Cause(
        code="host-policy-inactive",
        verdicts=("gap",),
        scope="policy",
        title="The node's daemon does not apply the policy to its host",
        what=(
            "A policy for hosts or for the network selects the node, and the node's daemon has not "
            "taken it up: policies of that kind are switched off there or were never watched, or "
            "the node's labels or annotation changed after the daemon last looked at them."
        ),
        remedy=(
            "Host policies are off by default: set `enableKubeArmorHostPolicy: true` in "
            "KubeArmor's configuration. Network policies need `nft` on the node. Either takes a "
            "restart of the daemon: it leaves every container of that node unprotected for "
            "seconds. After a change of the node touching any policy of that kind is enough, and "
            'costs nothing: `kubectl annotate kubearmorhostpolicy NAME touched="$(date +%s)" '
            "--overwrite`."
        ),
    ),
    Cause(
        code="version-skew",
        verdicts=("gap",),
        scope="release",
        title="The daemon's release does not know what the policy uses",
        what=(
            "The policy's selector, or its kind, is younger than the release of the daemon on that "
            "node. The API server accepts it; the daemon ignores it or reads it otherwise."
        ),
        remedy=(
            "Bring all daemons to the release that the CRDs belong to; the roll-out restarts each "
            "node's daemon once and leaves that node unprotected for seconds. Until then select by "
            "what the old release knows: plain labels that the nodes bear, one policy per host."
        ),
    ),
    Cause(
        code="startup-window",
        verdicts=("gap",),
        scope="policy",
        title="The container ran before its rules arrived",
        what=(
            "Rules can be written only once the runtime has announced the container and the "
            "kubelet has published its id. This container ended before that, or waited for it "
            "longer than the grace period and was then covered by itself."
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
        title="The daemon is behind with the node's Pods",
        what=(
            "The daemon handles the Pods of its node one after another, and this container's turn "
            "has not come within the longest grace."
        ),
        remedy=(
            "Usually it heals by itself once the burst is over. Start fewer Pods at once on a "
            "node, write cluster policies with namespace In (each one without costs a list of all "
            "namespaces per Pod), and look at the API server's latency. Do not restart the daemon: "
            "it would begin again with every Pod of the node."
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
        code="rule-not-enforceable",
        verdicts=("gap",),
        scope="policy",
        title="None of the policy's rules can be enforced",
        what=(
            "The policy wants to block or allow, but every such rule is of a kind that the node's "
            "enforcer has no form for (with BPF-LSM: matchPatterns, syscalls, raw AppArmor text)."
        ),
        remedy=(
            "Write the rules as matchPaths or matchDirectories, or set action Audit if observing "
            "was meant. Changing the policy interrupts nothing."
        ),
    ),
    Cause(
        code="policy-rejected",
        verdicts=("gap",),
        scope="policy",
        title="The daemon refused the policy",
        what=(
            "The daemon answered the policy with `Error ADD` (for a cluster policy usually because "
            "it could not list the namespaces at that moment). It never tries again."
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
        title="The rules did not arrive, and no known cause fits",
        what=(
            "Every source that would have shown the rules was being read, and they were not "
            "written within the grace period."
        ),
        remedy=(
            "Look at the node's daemon around that time "
            "(`kubectl -n kubearmor logs POD --timestamps`). Touching the policy "
            "(an annotation is enough) makes the daemons write it again and costs no protection: "
            f"{TOUCH}. If that does not help, restart the node's daemon. {RESTART_PRICE}."
        ),
    ),
    Cause(
        code="daemon-replaced",
        verdicts=("gap", "lost"),
        scope="node",
        title="The node's KubeArmor daemon is being replaced",
        what=(
            "The daemon that held this container's rules has ended or is being deleted, and its "
            "successor has not written them yet. The rules ended with the process."
        ),
        remedy=(
            "In a roll-out this is expected for seconds per node. If it stays, look at the "
            "successor: `kubectl -n kubearmor get pods -o wide`, then its events and output. Roll "
            "out in a maintenance window, one node at a time."
        ),
    ),
    Cause(
        code="rules-removed",
        verdicts=("lost",),
        scope="policy",
        title="The daemon removed the container's rules",
        what=(
            "The container was covered; then its daemon took the rules out of the kernel although "
            "the policy is still expected on it."
        ),
        remedy=(
            "Touch the policy so that the daemons write it again, which costs no protection: "
            f"{TOUCH} (`kubearmorpolicy` for a namespaced one). If it does not come back, restart "
            f"the node's daemon. {RESTART_PRICE}."
        ),
    ),
    Cause(
        code="contradicted",
        verdicts=("gap", "lost"),
        scope="policy",
        title="The container did what the policy forbids",
        what=(
            "The container should be protected, but after its rules were written it was seen doing "
            "what the policy blocks: the rules are not in force."
        ),
        remedy=(
            "Treat what it did as unprevented. Touch the policy, which costs no protection: "
            f"{TOUCH} (`kubearmorpolicy` for a namespaced one), and see whether the next attempt "
            f"is refused. If not, restart the node's daemon. {RESTART_PRICE}."
        ),
    ),
    Cause(
        code="annotation-disabled",
        verdicts=("exempt",),
        scope="container",
        title="Switched off by annotation",
        what="The Pod carries `kubearmor-policy: disabled`. KubeArmor leaves it alone.",
        remedy=(
            "If it is not meant so, take the annotation out of the workload's Pod template and let "
            "its Pods be replaced; on a running Pod the change is not applied to all containers."
        ),
    ),
    Cause(
        code="annotation-audited",
        verdicts=("exempt",),
        scope="container",
        title="Only audited, by annotation",
        what=(
            "The Pod carries `kubearmor-policy: audited`. Matches are reported, nothing is blocked."
        ),
        remedy=(
            "If it is not meant so, take the annotation out of the workload's Pod template and let "
            "its Pods be replaced; on a running Pod the change is not applied to all containers."
        ),
    ),
    Cause(
        code="builtin-exception",
        verdicts=("exempt",),
        scope="container",
        title="KubeArmor never enforces here",
        what=(
            "Pods of kube-system and Pods with the label `io.cilium/app` are only audited, "
            "whatever the policies say."
        ),
        remedy="None: it is KubeArmor's design. Do not run what must be protected there.",
    ),
    Cause(
        code="untracked-namespace",
        verdicts=("exempt",),
        scope="container",
        title="The namespace is not tracked",
        what="The namespace is in KubeArmor's list of untracked namespaces (untrackedNs).",
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
        title="Init containers are never protected",
        what="KubeArmor reads only a Pod's ordinary containers.",
        remedy="None in KubeArmor. Keep init containers short and their images trusted.",
    ),
    Cause(
        code="native-sidecar",
        verdicts=("unsupported",),
        scope="container",
        title="Native sidecars are never protected",
        what="KubeArmor does not read init containers, and a native sidecar is one.",
        remedy="None in KubeArmor. Run the sidecar as an ordinary container to have it protected.",
    ),
    Cause(
        code="ephemeral-container",
        verdicts=("unsupported",),
        scope="container",
        title="Ephemeral containers are never protected",
        what="KubeArmor does not read the containers that kubectl debug adds to a running Pod.",
        remedy="None in KubeArmor. Restrict who may create pods/ephemeralcontainers.",
    ),
    Cause(
        code="host-pid",
        verdicts=("unsupported",),
        scope="container",
        title="The Pod shares the node's process ids",
        what=(
            "With hostPID a container cannot be told from the node in the kernel: rules are "
            "written and do not apply to it."
        ),
        remedy="Do without hostPID, or protect the node itself with a KubeArmorHostPolicy.",
    ),
    Cause(
        code="sandboxed-runtime",
        verdicts=("unsupported",),
        scope="container",
        title="The Pod runs in a sandbox with its own kernel",
        what=(
            "The Pod's runtime class (gVisor, Kata) gives it a kernel that the node's daemon does "
            "not see."
        ),
        remedy="None in KubeArmor. Use the ordinary runtime where its policies must hold.",
    ),
    Cause(
        code="unsupported-node",
        verdicts=("unsupported",),
        scope="container",
        title="KubeArmor cannot run on this node",
        what="The node is virtual or runs Windows: there is no Linux kernel to enforce in.",
        remedy="Place what must be protected on Linux nodes that run a KubeArmor daemon.",
    ),
    Cause(
        code="no-evidence-source",
        verdicts=("unknown",),
        scope="container",
        title="Nothing that could prove it is being read",
        what=(
            "Neither the daemon's output nor alerts of this node reach the monitor. It may be "
            "protected; the monitor cannot know."
        ),
        remedy=(
            "Let the monitor read pods/log in KubeArmor's namespace (Role kubearmor-monitor) or "
            "reach the relay, and see what it says of its sources. This says nothing about the "
            "policies."
        ),
    ),
    Cause(
        code="source-outage",
        verdicts=("unknown",),
        scope="container",
        title="It changed while the monitor could not see it",
        what=(
            "Something about this container or policy changed while a source of this node was "
            "down, and no line since then proves its state."
        ),
        remedy=(
            "See which source was down and why. Once it is back, touching the policy makes the "
            f"daemons write again and gives new proof, without a price: {TOUCH}."
        ),
    ),
    Cause(
        code="release-unknown",
        verdicts=("unknown",),
        scope="container",
        title="The daemon's release is not known",
        what=(
            "The release of this node's daemon could not be found out, and KubeArmor's releases "
            "treat this policy differently."
        ),
        remedy=(
            "Give the daemon's image a version tag instead of a moving one, or let the monitor "
            "read the daemon's output from its start. This says nothing about the policies."
        ),
    ),
)

CAUSES: dict[str, Cause] = {cause.code: cause for cause in _TABLE}

_BY_PREFERENCE = sorted(_TABLE, key=lambda cause: cause.scope not in NODE_SCOPES)
_RANKS = {cause.code: rank for rank, cause in enumerate(_BY_PREFERENCE)}


def rank(code: str) -> int:
    """Return a cause's place among those of one verdict: the lowest names the container."""
    return _RANKS[code]
