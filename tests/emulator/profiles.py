"""The AppArmor profiles of a node: one per workload and container, shared by its Pods.

A container is confined by the profile that its Pod's annotation names. Profiles are registered for
every Pod, and the text names them even for Pods that do not run under them. A file of that name
that is not KubeArmor's is left alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.emulator.kernel import RuleSet, compile_rules
from tests.emulator.selection import Policy
from tests.emulator.switches import Failures

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
UNMANAGED = ("", "docker-default", "unconfined", "cri-containerd.apparmor.d", "crio-default")

Said = tuple[str, str]


@dataclass(slots=True)
class Profiles:
    """`failures` say which profiles somebody else put there, and what the parser refuses."""

    failures: Callable[[], Failures]
    pods: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, RuleSet] = field(default_factory=dict)

    def register(self, pod: str, profiles: Iterable[str]) -> list[Said]:
        """Note a Pod's profiles; return the lines (level, text) that the daemon prints."""
        return [line for profile in profiles for line in self._register(pod, profile)]

    def _register(self, pod: str, profile: str) -> list[Said]:
        if profile in UNMANAGED:
            return []
        if profile in self.failures().foreign_profiles:
            text = f"Unable to register the AppArmor profile ({profile}) (out-of-control)"
            return [("WARN", text)]
        users = self.pods.get(profile)
        if users is None:
            self.pods[profile] = [pod]
            self.rules[profile] = RuleSet()
            return [("INFO", f"Registered the AppArmor profile ({profile})")]
        if pod in users:
            return []
        users.append(pod)
        into = f"into the pod list of the AppArmor profile ({profile}, {len(users)})"
        return [("INFO", f"Added {pod} {into}")]

    def update(
        self, profile: str, policies: Sequence[Policy], *, namespace: str, pod: str
    ) -> list[Said]:
        """Write a profile anew if it would be another one."""
        if profile in UNMANAGED or profile in self.failures().foreign_profiles:
            return []
        compiled = compile_rules(policies)
        if self.rules.get(profile, RuleSet()) == compiled:
            return []
        rules = f"{len(compiled)} security rule(s) to {namespace}/{pod}/{profile}"
        if self.failures().unparsable_policies & {policy.key for policy in policies}:
            return [("WARN", f"Unable to update {rules} (exit status 1)")]
        self.rules[profile] = compiled
        return [("INFO", f"Updated {rules}")]

    def denies(self, profile: str, path: str, *, operation: str, blocking: bool) -> bool:
        held = self.rules.get(profile)
        return held is not None and held.denies(path, operation=operation, blocking=blocking)
