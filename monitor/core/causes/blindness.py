"""Why it cannot be told: nothing here speaks against a policy (dossier 3, 4.5, 9, F40-F47)."""

from typing import Final

from monitor.core.causes.entry import Cause, ReleaseRemedy
from monitor.core.causes.phrases import (
    RESTART_PRICE,
    TOUCH_CAVEAT,
    TOUCH_EITHER,
    TOUCHED_TOO_WIDELY,
)

BLINDNESS: Final = (
    Cause(
        code="no-evidence-source",
        verdicts=("unknown",),
        scope="container",
        modes=("F46",),
        sources=("text", "messages", "alerts"),
        certainty="certain",
        title="Nothing that could prove it is being read",
        what=(
            "Neither the daemon's output nor alerts of this node reach the monitor. It may be "
            "protected; the monitor cannot know."
        ),
        shown_by=(
            "Neither the text nor a stream of the node has been up since the container or the "
            "policy needed it."
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
        sources=("kubernetes", "text", "messages", "alerts"),
        certainty="certain",
        title="It changed while the monitor could not see it",
        what=(
            "Something about this container or policy changed while a source of this node was "
            "down, and no line since then proves its state."
        ),
        shown_by="An outage of a source overlaps the change, and nothing read since settles it.",
        remedy=(
            "See which source was down and why. Once it is back, touching the policy makes the "
            f"daemons write again and gives new proof, without a price: {TOUCH_EITHER}. "
            f"{TOUCH_CAVEAT}."
        ),
        remedies=(TOUCHED_TOO_WIDELY,),
    ),
    Cause(
        code="throttled",
        verdicts=("unknown",),
        scope="container",
        modes=("F41",),
        since="v1.4.0",
        sources=("alerts",),
        certainty="certain",
        title="KubeArmor holds the container's alerts back",
        what=(
            "The container caused more alerts in a second than KubeArmor lets through. It sent "
            "one notice and is silent about the container for a while: no news is no proof."
        ),
        shown_by=(
            "An alert of type SystemEvent and operation AlertThreshold for the container; the "
            "silence lasts as long as it says."
        ),
        remedy=(
            "Usually none: it ends by itself. To see more, raise `maxAlertPerSec` or lower "
            "`throttleSec` in the ConfigMap kubearmor-config, which is read at once (price: more "
            "alerts for relay and readers). This says nothing about the policies: what is blocked "
            "stays blocked."
        ),
    ),
    Cause(
        code="attribution-lost",
        verdicts=("unknown",),
        scope="container",
        modes=("F42", "F44"),
        sources=("alerts", "logs"),
        certainty="inferred",
        title="The events cannot be attributed to policy and container",
        what=(
            "KubeArmor names the policy of an event by a list per Pod that the container updated "
            "last overwrites, and labels and owner by the Pod's name alone. What was reported may "
            "belong to another container or Pod."
        ),
        shown_by=(
            "A log has Result Permission denied without an alert, or an alert does not fit the "
            "container and policies it names."
        ),
        remedy=(
            "None in KubeArmor. The daemons' output tells more than the alerts: let the monitor "
            "read it (pods/log). Policies without container scope, and names that no Pod of "
            "another namespace bears, avoid the confusion. This says nothing about the policies: "
            "the kernel's rules are per container."
        ),
    ),
    Cause(
        code="visibility-off",
        verdicts=("unknown",),
        scope="container",
        modes=("F40",),
        sources=("configuration", "kubernetes"),
        certainty="certain",
        title="The policy only audits what KubeArmor does not look at",
        what=(
            "Rules with action Audit have no form in the kernel: they report only where the "
            "visibility of their class (process, file, network, capabilities) is on. Here it is "
            "off, so nothing can show that they work."
        ),
        shown_by=(
            "The policy's rules only audit, and the namespace's visibility lacks their class."
        ),
        remedy=(
            "Switch the class on: `kubectl annotate namespace NAMESPACE "
            "kubearmor-visibility=process,file,network,capabilities --overwrite`. It is read at "
            "once. Price: more events, and the node's CPU for them."
        ),
    ),
    Cause(
        code="dropped",
        verdicts=("unknown",),
        scope="container",
        modes=("F43",),
        sources=("text", "messages", "alerts", "logs"),
        certainty="inferred",
        title="Events were lost on their way",
        what=(
            "A queue was full, in the kernel, the daemon, the relay or the monitor, and events of "
            "this time were dropped. Daemon and relay drop without a count."
        ),
        shown_by=(
            "The daemon's output has `Lost Perf Events Count`, `Event dropped due to busy event "
            "channel` or `log channel busy`, or a container's line came without its Pod's."
        ),
        remedy=(
            "Reduce what is reported: less visibility for loud namespaces, fewer clients of the "
            "relay. Let the monitor read the daemons' output (pods/log), which is not dropped. "
            "This says nothing about the policies."
        ),
        remedies=(
            ReleaseRemedy(
                since="",
                before="v1.7.4",
                text=(
                    "Below v1.7.4 do not let clients reach daemons directly to spare the relay: "
                    "their leaving can crash them."
                ),
            ),
            ReleaseRemedy(
                since="v1.7.4",
                before="",
                text=(
                    "From v1.7.4 on the monitor can read each daemon directly "
                    "(`kubearmor.daemons`), which spares it the relay's shared queues."
                ),
            ),
        ),
    ),
    Cause(
        code="tls-expired",
        verdicts=("unknown",),
        scope="container",
        modes=("F47",),
        sources=("alerts", "logs", "messages"),
        certainty="certain",
        title="A certificate of KubeArmor's feeds has expired",
        what=(
            "With TLS on, relay and daemons use certificates, and a CA, that last one year. One "
            "has expired or does not fit: nothing can be read from the feeds. Enforcement goes on."
        ),
        shown_by="The connection to the relay or a daemon fails in the TLS handshake.",
        remedy=(
            "Renew the secrets kubearmor-ca, kubearmor-client-certs and "
            "kubearmor-relay-server-certs, then restart the relay, which costs no protection: "
            "`kubectl -n kubearmor rollout restart deployment kubearmor-relay`. Daemons read "
            f"theirs at their start: restart them in a maintenance window. {RESTART_PRICE}."
        ),
    ),
    Cause(
        code="release-unknown",
        verdicts=("unknown",),
        scope="container",
        sources=("text", "alerts", "kubernetes"),
        certainty="certain",
        title="The daemon's release is not known",
        what=(
            "The release of this node's daemon could not be found out, and KubeArmor's releases "
            "treat this policy differently."
        ),
        shown_by=(
            "Neither the daemon's output, nor its alerts, nor a version tag of its image names a "
            "release that is known."
        ),
        remedy=(
            "Let the monitor read the daemon's output from its start, or give the daemon's image a "
            "version tag instead of a moving one, which rolls the daemons: each node is "
            "unprotected for seconds. This says nothing about the policies."
        ),
    ),
)
