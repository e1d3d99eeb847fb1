"""The alerts and logs that an attempted action leads to, as dictionaries of the proto's fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.beliefs import Beliefs
from tests.emulator.endpoints import AUDITED, ENABLED, KnownContainer
from tests.emulator.kernel import Rule, rules
from tests.emulator.lines import updated_time
from tests.emulator.releases import Release
from tests.emulator.selection import HASH_LABELS, Policy

Fields = dict[str, Any]

OPERATIONS = {"process": "Process", "file": "File"}
_FILE_ROOTS = ("/etc/", "/var/", "/run/", "/root/", "/home/", "/proc/", "/tmp/")  # noqa: S108


@dataclass(frozen=True, slots=True)
class Action:
    """Something a container's process does: run a program or open a file."""

    container_id: str
    path: str
    operation: str

    @classmethod
    def on(cls, container_id: str, path: str) -> "Action":
        """Opening what lies where files are kept, running anything else."""
        operation = "file" if path.startswith(_FILE_ROOTS) else "process"
        return cls(container_id, path, operation)

    @property
    def source(self) -> str:
        return "/bin/cat" if self.operation == "file" else "/bin/bash"


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of an action: was it refused, and what was reported about it."""

    denied: bool
    alerts: tuple[Fields, ...]
    logs: tuple[Fields, ...]


@dataclass(slots=True)
class _Window:
    since: float
    count: int = 0
    silent_until: float = 0.0


@dataclass(slots=True)
class Reporter:
    """Turns actions into reports, per release; holds back what exceeds the alert limit."""

    release: Release
    node: str
    beliefs: Beliefs
    node_id: str = ""
    _windows: dict[str, _Window] = field(default_factory=dict)
    _process_ids: int = 200_000

    def observe(self, action: Action, *, now: float, enforcing: bool) -> Observed:
        """Judge an action by the kernel's maps, then report it as user space would."""
        known = self.beliefs.containers.get(action.container_id)
        denied = enforcing and self._denied(action, known)
        self._process_ids += 2
        if known is None or not known.pid_namespace:
            return Observed(denied, (), ())
        monitored = self._monitored(action, known, denied=denied, now=now)
        reported = list(monitored)
        if denied:
            reported.append(self._refused(action, known, now=now))
        alerts = [fields for fields in reported if fields["Type"] == "MatchedPolicy"]
        logs = tuple(fields for fields in reported if fields["Type"] == "ContainerLog")
        return Observed(denied, tuple(self._throttled(alerts, action, now)), logs)

    def _denied(self, action: Action, known: KnownContainer | None) -> bool:
        posture = self.beliefs.settings.posture_of(known.namespace if known else "")
        attempt: Fields = {"operation": action.operation, "blocking": posture.file == "block"}
        if self.beliefs.profiles is not None:
            profile = known.profile if known else ""
            return self.beliefs.profiles.denies(profile, action.path, **attempt)
        kernel = self.beliefs.kernel
        return kernel is not None and kernel.denies(action.container_id, action.path, **attempt)

    def _monitored(
        self, action: Action, known: KnownContainer, *, denied: bool, now: float
    ) -> Iterator[Fields]:
        """The system monitor's view: what the policy says matters, not what the kernel did."""
        if not self.beliefs.settings.sees(known.namespace, action.operation):
            return
        result = "Permission denied" if denied else "Passed"
        fields = self._base(action, known, now=now, data=_SYSCALLS[action.operation])
        fields |= {"Type": "ContainerLog", "Result": result}
        fields["ParentProcessName"] = action.source
        policy, rule = self._matched(action, known)
        would_have = known.mode == AUDITED and not denied
        if policy and rule and (would_have or rule.action == "Audit"):
            acted = rule.action if known.mode == ENABLED else f"Audit ({rule.action})"
            fields |= _match(policy, rule)
            fields |= {"Action": acted.replace("Audit (Audit)", "Audit")}
            fields |= {"Enforcer": "eBPF Monitor", "Type": "MatchedPolicy"}
        yield fields

    def _refused(self, action: Action, known: KnownContainer, *, now: float) -> Fields:
        """The enforcer's own event: an alert only where user space finds a policy for it."""
        fields = self._base(action, known, now=now + 140e-6, data=_HOOKS[action.operation])
        fields |= {"Type": "ContainerLog", "Result": "Permission denied"}
        if action.operation == "process":
            fields["ParentProcessName"] = action.source
        else:
            fields["ProcessName"] = action.source
        program = action.path.rpartition("/")[2]
        fields["ExecEvent"] = {"ExecID": str(self._process_ids), "ExecutableName": program}
        policy, rule = self._matched(action, known)
        if policy and rule and known.mode == ENABLED:
            fields |= _match(policy, rule)
            enforcer = "BPFLSM" if self.beliefs.kernel else "AppArmor"
            fields |= {"Action": rule.action, "Enforcer": enforcer, "Type": "MatchedPolicy"}
            if self.release.alerts_name_version:
                fields["KubeArmorVersion"] = self.release.version
        return fields

    def _matched(
        self, action: Action, known: KnownContainer
    ) -> tuple[Policy, Rule] | tuple[None, None]:
        """The last rule of the Pod's match list that names the path."""
        found: tuple[Policy, Rule] | tuple[None, None] = (None, None)
        for policy in self.beliefs.match_lists.get((known.namespace, known.pod_name), ()):
            for rule in rules(policy):
                if rule.operation == action.operation and rule.names(action.path):
                    found = (policy, rule)
        return found

    def _base(self, action: Action, known: KnownContainer, *, now: float, data: str) -> Fields:
        fields: Fields = {
            "Timestamp": int(now),
            "UpdatedTime": updated_time(now),
            "ClusterName": self.beliefs.settings.cluster,
            "HostName": self.node,
            "NamespaceName": known.namespace,
            "PodName": known.pod_name,
            "ContainerID": action.container_id,
            "ContainerName": known.name,
            "ContainerImage": known.image,
            "HostPPID": self._process_ids - 1,
            "HostPID": self._process_ids,
            "PPID": 1,
            "PID": 7,
            "ProcessName": action.path,
            "Source": action.source,
            "Operation": OPERATIONS[action.operation],
            "Resource": action.path,
            "Data": data,
            "Cwd": "/",
            "ExecEvent": {},
        }
        if known.pod is not None:
            fields["Labels"] = _labels(known.pod)
            fields["Owner"] = self._owner(known.pod)
        if self.release.alerts_name_version:
            fields["NodeID"] = self.node_id
        if self.release.alerts_carry_event_data:
            pairs = (piece.partition("=") for piece in data.split())
            fields["EventData"] = {key[:1].upper() + key[1:]: value for key, _, value in pairs}
        return fields

    def _owner(self, pod: Mapping[str, Any]) -> Fields:
        metadata = pod["metadata"]
        owners = metadata.get("ownerReferences") or []
        owner = next((owner for owner in owners if owner.get("controller")), None)
        if owner is None:
            kind, name = self.release.bare_pod_owner, metadata["name"]
        elif owner["kind"] == "ReplicaSet":
            template = (metadata.get("labels") or {}).get("pod-template-hash", "")
            kind, name = "Deployment", owner["name"].removesuffix(f"-{template}")
        else:
            kind, name = owner["kind"], owner["name"]
        return {"Ref": kind, "Name": name, "Namespace": metadata.get("namespace", "")}

    def _throttled(self, alerts: list[Fields], action: Action, now: float) -> Iterator[Fields]:
        limit = self.beliefs.settings.max_alerts
        window = self._windows.setdefault(action.container_id, _Window(now))
        for alert in alerts:
            if now < window.silent_until:
                continue
            if now - window.since >= 1:
                window.since, window.count = now, 0
            window.count += 1
            if window.count > limit:
                seconds = self.beliefs.settings.throttle_seconds
                window.silent_until, window.count = now + seconds, 0
                notice = {"Type": "SystemEvent", "Operation": "AlertThreshold"}
                yield (
                    alert
                    | notice
                    | {
                        "MaxAlertsPerSec": limit,
                        "DroppingAlertsInterval": seconds,
                    }
                )
            else:
                yield alert


_SYSCALLS = {"process": "syscall=SYS_EXECVE", "file": "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY"}
_HOOKS = {"process": "lsm=SECURITY_BPRM_CHECK", "file": "lsm=FILE_OPEN"}


def _match(policy: Policy, rule: Rule) -> Fields:
    return {
        "PolicyName": policy.name,
        "Severity": str(rule.severity or ""),
        "Tags": ",".join(rule.tags),
        "ATags": list(rule.tags),
        "Message": rule.message,
    }


def _labels(pod: Mapping[str, Any]) -> str:
    labels = pod["metadata"].get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items() if key not in HASH_LABELS)
