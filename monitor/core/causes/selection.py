"""Why a policy does not reach a container that it should select (dossier 5, 7.6, F15-F21)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import (
    HANDLED_AT_ONCE,
    PART_NAMESAKES,
    RESTART,
    RESTART_PRICE,
    TOUCH,
    TOUCH_CAVEAT,
    TOUCH_HOST,
    TOUCHED_TOO_WIDELY,
)

SELECTION: Final = (
    Cause(
        code="namespace-newer-than-policy",
        verdicts=("gap",),
        scope="release",
        modes=("F15",),
        since="v1.5.7",
        before="v1.6.0",
        sources=("kubernetes", "text", "messages"),
        certainty="certain",
        title="The cluster policy misses namespaces created after it",
        what=(
            "KubeArmor v1.5.7 keeps the list of namespaces that existed when it learned a cluster "
            "policy without a namespace In. Pods of namespaces created later are not covered, and "
            "nothing in the cluster shows it (kubearmor/KubeArmor issue 2099)."
        ),
        shown_by=(
            "The node's daemon is v1.5.7 and met the namespace only after it had learned this "
            "revision of the policy."
        ),
        remedy=(
            "Upgrade KubeArmor to v1.6.0 or later: it is corrected there (the roll-out restarts "
            "each node's daemon once and leaves that node unprotected for seconds). Until then "
            f"touch the policy after creating a namespace, which costs no protection: {TOUCH}. "
            "Restarting the daemons heals too, at the price of seconds without protection per "
            "node."
        ),
    ),
    Cause(
        code="namespace-list-failed",
        verdicts=("gap",),
        scope="policy",
        modes=("F16",),
        sources=("text", "messages"),
        certainty="inferred",
        title="The daemon could not list the namespaces",
        what=(
            "A cluster policy without a namespace In needs the list of all namespaces, each time "
            "a Pod is judged. The API server did not answer this daemon, which went on with an "
            "old list: a Pod of a newer namespace was left out."
        ),
        shown_by=(
            "The daemon's output has `unable to fetch namespace list` about when it handled the "
            "Pod, or the policy's `Error ADD` says so."
        ),
        remedy=(
            "See that the daemon may and can list (`kubectl auth can-i list namespaces --as "
            "system:serviceaccount:kubearmor:kubearmor`, and the API server's load), then touch "
            f"the policy, which costs no protection: {TOUCH}. {TOUCH_CAVEAT}. That does not put it "
            "on later Pods where the output has `Error ADD` for it: there restart the node's "
            f"daemon, {RESTART}. {RESTART_PRICE}. A namespace In makes a policy independent of the "
            "list."
        ),
        remedies=(TOUCHED_TOO_WIDELY,),
    ),
    Cause(
        code="name-collision",
        verdicts=("gap",),
        scope="policy",
        modes=("F17",),
        sources=("kubernetes", "text", "messages"),
        certainty="inferred",
        title="A namespaced and a cluster policy bear one name",
        what=(
            "KubeArmor keeps both kinds in one list and tells cluster policies apart by name "
            "only. A cluster policy whose name a namespaced one bears, in any namespace, is not "
            "kept: Pods that start later do not get it."
        ),
        shown_by=(
            "Both policies exist, and the container was handled after the cluster policy had been "
            "refused its place in the daemon's list."
        ),
        remedy=(
            f"{PART_NAMESAKES} Do not touch or delete the cluster policy while the namespaced one "
            "is there: an edit overwrites the namespaced one in the daemons, a deletion takes its "
            "rules out of the kernel, in every release."
        ),
        remedies=(HANDLED_AT_ONCE,),
    ),
    Cause(
        code="host-policy-inactive",
        verdicts=("gap",),
        scope="policy",
        modes=("F20",),
        sources=("configuration", "kubernetes", "text", "messages"),
        certainty="certain",
        title="The host policy is not applied on the node",
        what=(
            "The node's daemon does not enforce host policies (enableKubeArmorHostPolicy is off "
            "by default), or the node was relabelled after the policy's last event: nodes are "
            "matched at such events only."
        ),
        shown_by=(
            "The daemon's configuration line has enableKubeArmorHostPolicy off, or it has not "
            "reported the host policy since the node's labels changed."
        ),
        remedy=(
            "Switched off: set enableKubeArmorHostPolicy for the daemons, which rolls them; each "
            "node is unprotected for seconds. Relabelled: touch the policy, which costs no "
            f"protection: {TOUCH_HOST}."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.7.3",
                text=(
                    "Below v1.7.3 a daemon can miss host policies' events when its watch breaks: "
                    "touch the policy, and upgrade to v1.7.3 or later."
                ),
            ),
        ),
    ),
    Cause(
        code="version-skew",
        verdicts=("gap",),
        scope="release",
        modes=("F21",),
        before="v1.7.4",
        sources=("kubernetes", "text"),
        certainty="certain",
        title="The daemon's release does not know a part of the policy",
        what=(
            "The CRDs accept what this release ignores, so the policy selects something else than "
            "it says, or nothing."
        ),
        shown_by=(
            "The policy uses a selector or a kind that the release of the node's daemon does not "
            "read."
        ),
        remedy=(
            "Bring all daemons to one release that knows it (the roll-out restarts each node's "
            "daemon once and leaves that node unprotected for seconds), or write the policy "
            "without it. Changing the policy interrupts nothing."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.5.7",
                text=(
                    "Below v1.5.7 the key label of cluster policies and matchExpressions of "
                    "namespaced ones are ignored: upgrade to v1.6.0 or later."
                ),
            ),
            ReleaseRemedy(
                since="v1.5.7",
                before="v1.6.14",
                text=(
                    "From v1.5.7 to below v1.6.14 there are no network policies, and lists and "
                    "patterns of host names in a namespaced policy's matchLabels (or hostnamereg "
                    "in a host policy) mean something else: upgrade to v1.7.4 or later, or select "
                    "by another label."
                ),
            ),
            ReleaseRemedy(
                since="v1.6.14",
                before="v1.7.4",
                text=(
                    "From v1.6.14 to below v1.7.4 the Pod selector of network policies is ignored, "
                    "and lists and patterns of host names in a namespaced policy's matchLabels (or "
                    "hostnamereg in a host policy) mean something else: upgrade to v1.7.4 or "
                    "later, or select by another label."
                ),
            ),
        ),
    ),
)
