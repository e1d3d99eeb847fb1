r"""A line of a KubeArmor daemon's output → what it says.

Dossier sections 3.2 and 12.2 describe the lines: `TIME TAB LEVEL TAB TEXT`, the level coloured even
without a terminal; stack traces, empty lines and lines of the NRI library (`time=…`) have no stamp.
pods/log with timestamps puts the kubelet's time and a space before each.

Most lines say nothing about coverage. They are told apart as bytes, by the first bytes of the text,
before anything is decoded.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from monitor.core import facts
from monitor.core.facts import Fact
from monitor.core.instants import nanoseconds
from monitor.core.model import DaemonLine

LONGEST_LINE: Final = 1 << 20
FIXED_STAMP: Final = len("2026-11-23T21:27:44.389151700Z")
DAEMON_STAMP: Final = len("2026-11-23 21:27:44.376375")
LONGEST_LEVEL: Final = DAEMON_STAMP + 24
LONGEST_ID: Final = 64
SHORTEST_TEXT: Final = len("NRI")
TAB, POINT = b"\t."

_IRRELEVANT: Final = facts.Irrelevant()
_UNRECOGNISED: Final = facts.Unrecognised()
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;]*m")
_STAMPED: Final = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\t(?:\x1b\[\d+m)?([A-Z]+)(?:\x1b\[0m)?\t(.*)",
    re.DOTALL,
)
_ID: Final = "([0-9a-f]{12,64})"

_POLICY: Final = re.compile(
    r"Detected a (?:(Cluster|Host|Network) )?Security Policy "
    r"\((added|modified|deleted)/(?:([^/]*)/)?([^/]*)\)$"
)
_POLICY_KINDS: Final = {
    None: "KubeArmorPolicy",
    "Cluster": "KubeArmorClusterPolicy",
    "Host": "KubeArmorHostPolicy",
    "Network": "KubeArmorNetworkPolicy",
}
_POD: Final = re.compile(r"Detected a Pod \((added|modified|deleted|patched)/([^/]*)/([^/]*)\)$")
_CONTAINER: Final = re.compile(
    rf"Detected a container \((added|removed)/{_ID}(?:/pidns=(\d+)/mntns=(\d+))?\)$"
)
_RULES: Final = re.compile(
    rf"(Updating container rules|Creating inner map|Deleting inner map) for {_ID}$"
)
_MAP_FAILED: Final = re.compile(
    rf"error (creating container map for|adding container|adding rule to map for container) {_ID}"
    r"(?: to outer map)?:? ?(.*)$"
)
_MAP_STEPS: Final = {
    "creating container map for": "create",
    "adding container": "outer",
    "adding rule to map for container": "inner",
}
_NAMESPACE: Final = re.compile(r"Namespace (\S+) visibili?t?y configured ")
_UNTRACKED: Final = re.compile(r"Policy cannot be enforced in untracked namespace (\S+)$")
_PROFILE_UPDATED: Final = re.compile(
    r"Updated \d+ (?:host )?security rules?(?:\(s\))? to ([^/ ]+)/([^/ ]+)/(\S+)$"
)
_PROFILE_FAILED: Final = re.compile(
    r"(?:Unable to register the AppArmor profile \(([^),\s]+)"
    r"|Unable to update \d+ security rule\(s\) to [^/ ]+/[^/ ]+/([^\s(]+)"
    r"|Error Generating (\S+) AppArmor profile)[):, ]*(.*)$"
)
_RELEASE: Final = re.compile(r"BUILD-INFO: version: (v?\d+\.\d+\.\d+[^\s,]*)")
_PLUGIN: Final = re.compile(r"Created plugin \S*?-kubearmor-(v\d+\.\d+\.\d+\S*)")
_SETTING: Final = re.compile(r"(\w+):(?:\{v:)?(\[[^\]]*\]|[^\s\[\]{}]*)")
_CLIENT: Final = re.compile(
    r"(Added a new|Deleted the) client \(([0-9a-fA-F-]+)(?:, \w*)?\) "
    r"for Watch(Alerts|Logs|Messages)$"
)
_WATCH_STARTED: Final = {
    "Started to monitor security policies": "kubearmorpolicies",
    "Started to monitor cluster security policies": "kubearmorclusterpolicies",
    "Started to monitor host security policies": "kubearmorhostpolicies",
    "Started to monitor network security policies": "kubearmornetworkpolicies",
    "Started to monitor Pod events": "pods",
}
_WATCH_DEAD: Final = re.compile(
    r"(?:timeout|error) while monitoring (cluster |host |network )?security policies, (.*)$"
)
_NODE_MODE: Final = re.compile(r"[\[ ]kubearmor-policy:(enabled|audited|disabled)[ \]]")
_NO_NETWORK_ENFORCER: Final = "Failed to initialize KubeArmor Network Policy Enforcer"
_EXACT: Final[dict[str, Fact]] = {
    "Initialized KubeArmor": facts.LifecycleReported("initialized"),
    "Got a signal to terminate KubeArmor": facts.LifecycleReported("terminating"),
    "Terminated KubeArmor": facts.LifecycleReported("terminated"),
    "Initialized BPF-LSM Enforcer": facts.EnforcerReported("BPFLSM"),
    "Initialized AppArmor Enforcer": facts.EnforcerReported("AppArmor"),
    "Initialized SELinux Enforcer": facts.EnforcerReported("SELinux"),
    "Started to protect containers": facts.ProtectionReported("host", active=False),
    "Started to protect a host": facts.ProtectionReported("host", active=True),
    "Started to protect a host and containers": facts.ProtectionReported("host", active=True),
    "Initialized KubeArmor Network Policy Enforcer": facts.ProtectionReported(
        "network", active=True
    ),
    "Started to monitor NRI events": facts.ContainerSourceReported("started"),
    "Started to monitor Containerd events": facts.ContainerSourceReported("started"),
    "Started to monitor Docker events": facts.ContainerSourceReported("started"),
    "Started to monitor CRI-O events": facts.ContainerSourceReported("started"),
    "NRI connection lost": facts.ContainerSourceReported("lost"),
    "restarting NRI": facts.ContainerSourceReported("reconnecting"),
}


def read_line(
    raw: bytes, *, node: str, pod: str, pod_uid: str, restart: int, container: str
) -> DaemonLine:
    """Translate one line of pods/log with timestamps (`pod` is `namespace/name`).

    Raises ValueError for a line without the kubelet's stamp.
    """
    if raw[FIXED_STAMP - 1 : FIXED_STAMP + 1] == b"Z " and raw[19] == POINT:
        # Nearly always: the fixed form with nine digits.
        stamp, text = _second(raw[:19]) + int(raw[20:29]), raw[FIXED_STAMP + 1 :]
    else:
        opening, _, text = raw.partition(b" ")
        stamp = nanoseconds(opening.decode("ascii", "replace"))
    return DaemonLine(
        node=node,
        pod=pod,
        pod_uid=pod_uid,
        restart=restart,
        container=container,
        stamp=stamp,
        fact=classify(text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE]),
    )


@lru_cache(maxsize=256)
def _second(opening: bytes) -> int:
    """Nanoseconds of the second that `YYYY-MM-DDTHH:MM:SS` names."""
    return nanoseconds(opening.decode("ascii", "replace") + "Z")


def classify(text: bytes) -> Fact:
    """What a line says, its own stamp and level left aside; the stamp does go back at times."""
    start = text.find(b"\t", 27, LONGEST_LEVEL) + 1
    if start == 0 or text[DAEMON_STAMP] != TAB:
        return _stamped_otherwise(text)
    message = text[start:]
    if len(message) < SHORTEST_TEXT:
        return _IRRELEVANT
    read = _FREQUENT.get(message[:8])
    fact = read(message) if read is not None else None
    if fact is None:
        fact = _said(message.decode("utf-8", "replace").rstrip())
    if fact is None:
        fact = _IRRELEVANT if _COLOUR.sub(b"", text[27 : start - 1]) == b"DEBUG" else _UNRECOGNISED
    return fact


def _stamped_otherwise(text: bytes) -> Fact:
    """A line with another resolution of the daemon's stamp, or with none."""
    if len(text) < len("time="):
        return _IRRELEVANT
    stamped = _STAMPED.match(text)
    if stamped is None:
        return _unstamped(text)
    level, message = stamped.groups()
    return say(message.decode("utf-8", "replace").rstrip(), level=level.decode("ascii"))


def _frequent_update(message: bytes) -> Fact | None:
    identity = message[29:93]
    if message.startswith(b"Updating container rules for ") and identity.isalnum():
        return facts.RulesUpdating(identity.decode("ascii", "replace"))
    return _IRRELEVANT if message.startswith(b"Updating container preset rules") else None


def _frequent_creation(message: bytes) -> Fact | None:
    identity = message[23:]
    is_whole = len(identity) == LONGEST_ID and identity.isalnum()
    if is_whole and message.startswith(b"Creating inner map for "):
        return facts.MapCreated(identity.decode("ascii", "replace"))
    return None


def _frequent_detection(message: bytes) -> Fact | None:
    read = _DETECTIONS.get(message[: len(b"Detected a Pod ")])
    return None if read is None else read(message.decode("utf-8", "replace").rstrip())


def _frequent_failure(message: bytes) -> Fact | None:
    return _IRRELEVANT if message.startswith(b"failed to fetch Pod") else None


def _frequent_revision(message: bytes) -> Fact | None:
    return None if message[8:9].isdigit() else _IRRELEVANT


def _frequent_silence(_message: bytes) -> Fact | None:
    return _IRRELEVANT


def _unstamped(text: bytes) -> Fact:
    if text.startswith(b"time="):
        created = _PLUGIN.search(text.decode("utf-8", "replace"))
        return facts.ReleaseReported(created[1].rstrip('"')) if created else _IRRELEVANT
    if text.startswith(b"log channel busy, "):
        return facts.EventsLost()
    if text.startswith((b"unable to fetch namespace list", b"Unable to fetch namespace list")):
        return facts.NamespaceListFailed(text.decode("utf-8", "replace").strip())
    return _IRRELEVANT


def say(message: str, *, level: str) -> Fact:
    """What a message (without stamp and level) says; also for messages over gRPC."""
    fact = _said(message)
    if fact is not None:
        return fact
    return _IRRELEVANT if level == "DEBUG" else _UNRECOGNISED


def _said(message: str) -> Fact | None:
    """What a message says that is known; the others matter by their level."""
    exact = _EXACT.get(message)
    if exact is not None:
        return exact
    watched = _WATCH_STARTED.get(message)
    if watched is not None:
        return facts.WatchReported(watched, "started")
    for opening, read in _READERS:
        if message.startswith(opening):
            return read(message)
    if message.startswith(_SILENT) or not message:
        return _IRRELEVANT
    return None


def _policy(message: str) -> Fact:
    match = _POLICY.match(message)
    if match is None:
        return _UNRECOGNISED
    scope, action, namespace, name = match.groups()
    return facts.PolicyLearned(
        kind=_POLICY_KINDS[scope],
        action=action,  # type: ignore[arg-type]  # one of the pattern's words
        namespace=namespace or "",
        name=name,
    )


def _pod(message: str) -> Fact:
    match = _POD.match(message)
    return facts.PodSeen(match[1], match[2], match[3]) if match else _UNRECOGNISED  # type: ignore[arg-type]  # one of the pattern's words


def _container(message: str) -> Fact:
    match = _CONTAINER.match(message)
    if match is None:
        return _UNRECOGNISED
    action, identity, pid_namespace, mount_namespace = match.groups()
    if action == "removed":
        return facts.ContainerRemoved(identity[:12])
    return facts.ContainerRegistered(
        container_id=identity[:12],
        pid_namespace=None if pid_namespace is None else int(pid_namespace),
        mount_namespace=None if mount_namespace is None else int(mount_namespace),
    )


def _rules(message: str) -> Fact:
    match = _RULES.match(message)
    if match is None:
        return _UNRECOGNISED
    if match[1] == "Updating container rules":
        return facts.RulesUpdating(match[2])
    return (
        facts.MapCreated(match[2])
        if match[1] == "Creating inner map"
        else facts.MapDeleted(match[2])
    )


def _map_failed(message: str) -> Fact:
    match = _MAP_FAILED.match(message)
    if match is None:
        return _UNRECOGNISED
    return facts.MapFailed(match[2], _MAP_STEPS[match[1]], match[3])  # type: ignore[arg-type]  # a table's words


def _profile_updated(message: str) -> Fact:
    match = _PROFILE_UPDATED.match(message)
    return facts.ProfileUpdated(match[1], match[2], match[3]) if match else _IRRELEVANT


def _profile_failed(message: str) -> Fact:
    match = _PROFILE_FAILED.match(message)
    if match is None:
        return _UNRECOGNISED
    return facts.ProfileFailed(match[1] or match[2] or match[3], match[4].strip("() "))


def _namespace(message: str) -> Fact:
    match = _NAMESPACE.match(message)
    return facts.NamespaceConfigured(match[1]) if match else _IRRELEVANT


def _untracked(message: str) -> Fact:
    match = _UNTRACKED.match(message)
    return facts.NamespaceUntracked(match[1]) if match else _UNRECOGNISED


def _release(message: str) -> Fact:
    match = _RELEASE.match(message)
    if match is None:
        return facts.LifecycleReported("starting")
    release = match[1]
    return facts.ReleaseReported(
        release=release if release.startswith("v") else f"v{release}", first_line=True
    )


def _configuration(message: str) -> Fact:
    settings = tuple((key, value) for key, value in _SETTING.findall(message))
    return facts.ConfigurationReported(settings)


def _client(message: str) -> Fact:
    match = _CLIENT.match(message)
    if match is None:
        return _IRRELEVANT
    return facts.FeedClient(
        action="added" if match[1] == "Added a new" else "deleted",
        feed=match[3].lower(),  # type: ignore[arg-type]  # one of the pattern's words
        client=match[2],
    )


def _watch_dead(message: str) -> Fact:
    match = _WATCH_DEAD.match(message)
    if match is None:
        return _UNRECOGNISED
    return facts.WatchReported(f"kubearmor{(match[1] or '').strip()}policies", "dead", match[2])


def _always(fact: Fact) -> Callable[[str], Fact]:
    return lambda _message: fact


def _rejected(message: str) -> Fact:
    return facts.PolicyRejected(message.removeprefix("Error ADD, "))


def _disabled_enforcer(message: str) -> Fact:
    return facts.EnforcerReported("", message.removeprefix("Disabled KubeArmor Enforcer: "))


def _node_name(message: str) -> Fact:
    return facts.NodeNamed(message.removeprefix("Node Name: "))


def _node_mode(message: str) -> Fact:
    match = _NODE_MODE.search(message)
    return facts.NodeModeReported(match[1]) if match else _IRRELEVANT


def _no_network_enforcer(message: str) -> Fact:
    reason = message.removeprefix(_NO_NETWORK_ENFORCER).removeprefix(": ")
    return facts.ProtectionReported("network", active=False, reason=reason)


def _node_address(message: str) -> Fact:
    return facts.NodeAddressed(message.removeprefix("Node IP: "))


def _namespace_list(message: str) -> Fact:
    return facts.NamespaceListFailed(message)


def _pods_dead(message: str) -> Fact:
    return facts.WatchReported("pods", "dead", message.removeprefix("Error starting pod informer="))


_READERS: Final[tuple[tuple[str, Callable[[str], Fact]], ...]] = (
    ("Updating container rules for ", _rules),
    ("Creating inner map for ", _rules),
    ("Deleting inner map for ", _rules),
    ("Detected a Pod ", _pod),
    ("Detected a container ", _container),
    ("Detected a Security Policy ", _policy),
    ("Detected a Cluster Security Policy ", _policy),
    ("Detected a Host Security Policy ", _policy),
    ("Detected a Network Security Policy ", _policy),
    ("Updated ", _profile_updated),
    ("Unable to register the AppArmor profile ", _profile_failed),
    ("Unable to update ", _profile_failed),
    ("Error Generating ", _profile_failed),
    ("Lost Perf Events Count", _always(facts.EventsLost())),
    ("Event dropped due to busy event channel", _always(facts.EventsLost())),
    ("log channel busy, ", _always(facts.EventsLost())),
    ("Namespace ", _namespace),
    ("Policy cannot be enforced in untracked namespace ", _untracked),
    ("error creating container map for ", _map_failed),
    ("error adding ", _map_failed),
    ("Error ADD", _rejected),
    ("Added a new client ", _client),
    ("Deleted the client ", _client),
    ("BUILD-INFO: ", _release),
    ("Arguments [", _always(facts.LifecycleReported("starting"))),
    ("Final Configuration [", _configuration),
    ("Disabled KubeArmor Enforcer", _disabled_enforcer),
    ("Node Name: ", _node_name),
    ("Node IP: ", _node_address),
    ("Node Annotations: map[", _node_mode),
    (_NO_NETWORK_ENFORCER, _no_network_enforcer),
    ("unable to fetch namespace list", _namespace_list),
    ("timeout while monitoring ", _watch_dead),
    ("error while monitoring ", _watch_dead),
    ("Error starting pod informer=", _pods_dead),
    ("Attempting to reconnect to ", _always(facts.ContainerSourceReported("reconnecting"))),
    ("Failed to connect to NRI", _always(facts.ContainerSourceReported("lost"))),
    ("Failed to create NRI stub", _always(facts.ContainerSourceReported("dead"))),
    ("Containerd k8s event subscription error", _always(facts.ContainerSourceReported("lost"))),
    # Printed before the daemon dials: it proves nothing (dossier 12.3).
    ("Successfully reconnected to ", _always(_IRRELEVANT)),
)

_SILENT: Final = (
    "Successfully added visibility map",
    "Successfully deleted visibility map",
    "Updating container preset rules",
    "[",
    "Alert Throttling configured",
    "Argument matching configured",
    "Failed to read /sys/kernel/security",
    "Initialized ",
    "Started ",
    "Starting TraceEvents",
    "Configuration [",
    "GlobalCfg.Host=",
    "Node ",
    "OS Image: ",
    "Kernel Version: ",
    "Kubelet Version: ",
    "Container Runtime: ",
    "Detected mounted BPF filesystem",
    "Initializing ",
    "eBPF system monitor",
    "Supported LSMs: ",
    "BPF LSM not supported",
    "Disabled ",
    "Watching for posture changes",
    "Current Global Posture",
    "Updating default posture",
    "Destroyed ",
    "Stopped ",
    "Ring Buffer closed",
    "Perf Buffer closed",
    "failed to fetch Pod",
    "Failed to get ownerRef",
    "All Kubernetes informer caches synced",
    "Using runtime and CRI socket",
    "Container matched for ",
    "Container not registered in map",
    "Successfully ",
    "Registered ",
    "Unregistered ",
    "Added ",
    "Removed ",
    "Patched ",
    "Deleted ",
    "Couldn't ",
    "Failed to start containerd container",
    "Failed to update containerd container",
)

_DETECTIONS: Final[dict[bytes, Callable[[str], Fact]]] = {
    b"Detected a Pod ": _pod,
    b"Detected a cont": _container,
}
_FREQUENT: Final[dict[bytes, Callable[[bytes], Fact | None]]] = {
    b"Updating": _frequent_update,
    b"Creating": _frequent_creation,
    b"Detected": _frequent_detection,
    b"failed t": _frequent_failure,
    b"Successf": _frequent_silence,
    b"[Protect": _frequent_silence,
    b"[AnonMap": _frequent_silence,
    b"[Fileles": _frequent_silence,
    b"[Exec] d": _frequent_silence,
    b"Updated ": _frequent_revision,
}
