"""What can be said of a policy by reading it: remarks, with a reason and perhaps a rewrite.

A remark's code is one of the public codes of findings and causes. `error`: the policy surely does
not do what its manifest says. `warning`: it does not where the cluster stands as it does, or a part
of it has no effect. `note`: to know, nothing has to be done.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from monitor.core.intent import expected_selector
from monitor.core.meant import Path
from monitor.core.policies import CONTAINER_KINDS
from monitor.core.selector import Selector

Code: TypeAlias = Literal[
    "selector-mistake",
    "selector-order",
    "namespace-left-out",
    "selects-nothing",
    "name-collision",
    "rule-not-enforceable",
    "posture-audit",
    "policy-rejected",
    "version-skew",
]
Severity: TypeAlias = Literal["error", "warning", "note"]
Enforcer: TypeAlias = Literal["bpf", "apparmor"]

NAMES_SHOWN: Final = 12
KINDS: Final = (*CONTAINER_KINDS, "KubeArmorHostPolicy", "KubeArmorNetworkPolicy")


class Manifest(Struct, frozen=True):
    """A policy as it is written; `namespace` is empty for all kinds but KubeArmorPolicy."""

    kind: str
    namespace: str
    name: str
    spec: Mapping[str, Any]

    @property
    def title(self) -> str:
        """How people name it: `KubeArmorPolicy shop/web`."""
        return f"{self.kind} {self.namespace}/{self.name}".replace(" /", " ")

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.kind, self.namespace, self.name)


class Rewrite(Struct, frozen=True):
    """What should stand at `path` instead; `value` is plain JSON.

    `of` is the kind of another object where it is not the policy that is to be changed.
    """

    path: Path
    value: Any
    of: str = ""


class Remark(Struct, frozen=True):
    """One thing to know about one policy; `path` leads to what it is about, from the document."""

    code: Code
    severity: Severity
    policy: Manifest
    path: Path
    reason: str
    rewrite: Rewrite | None = None


class Topic(Struct, frozen=True, gc=False):
    """What remarks of one code have in common."""

    title: str
    text: str


TOPICS: Final[Mapping[Code, Topic]] = {
    "selector-mistake": Topic(
        title="The selector does not say what it seems to say",
        text=(
            "KubeArmor reads selectors in its own way: a container list stands between brackets, "
            "an expression has the key `label` or `namespace`, a label is written `key=value`, and "
            "labels that controllers stamp are not seen. What is written otherwise is ignored, "
            "which widens the policy, or never matches, which leaves Pods unprotected."
        ),
    ),
    "selector-order": Topic(
        title="Expressions of the selector cancel each other",
        text=(
            "Kubernetes wants every expression to hold. KubeArmor joins all label In values into "
            "one list of which any is enough, ignores a label NotIn after a label In, ignores "
            "label In altogether once a label NotIn counts, and drops every namespace NotIn where "
            "there is a namespace In."
        ),
    ),
    "namespace-left-out": Topic(
        title="The policy leaves namespaces out",
        text=(
            "A cluster policy protects the namespaces that its selector names, or all but those it "
            "excludes. In kube-system and in the namespaces of untrackedNs KubeArmor enforces "
            "nothing, whatever a policy says."
        ),
    ),
    "selects-nothing": Topic(
        title="The policy selects nothing",
        text=(
            "Nothing that runs meets the selector, so the policy protects nothing. A mistyped "
            "label or container name looks just like that: no component reports it."
        ),
    ),
    "name-collision": Topic(
        title="Policies share a name",
        text=(
            "KubeArmor keeps KubeArmorPolicy and KubeArmorClusterPolicy in one list and compares "
            "cluster policies by name only. With equal names the cluster policy can miss Pods that "
            "start later, and deleting it takes the namespaced policy out of force. Rename one. "
            "Manifests of one kind, namespace and name are one policy: of those the last one that "
            "is applied replaces the others."
        ),
    ),
    "rule-not-enforceable": Topic(
        title="A rule has no form that the enforcer can enforce",
        text=(
            "With BPF-LSM, patterns and raw AppArmor text are ignored, and system calls are only "
            "observed. With AppArmor, presets, arguments and ICMP are not supported. Such a rule "
            "blocks nothing although its action says so."
        ),
    ),
    "posture-audit": Topic(
        title="An allow-list blocks nothing while the default posture is audit",
        text=(
            "Allow rules block everything else only where the default posture of their class is "
            "block. Its default is audit: then what is not allowed is reported and happens. The "
            "annotations of the namespace win over the ConfigMap kubearmor-config."
        ),
    ),
    "policy-rejected": Topic(
        title="The API server refuses the policy",
        text=(
            "A value has another type than the definition of KubeArmor's policies asks for: a "
            "string where a list must stand, an action that there is not. The API server refuses "
            "the whole policy, and nothing of it is ever in force."
        ),
    ),
    "version-skew": Topic(
        title="A release of KubeArmor in use does not know a field of the policy",
        text=(
            "A daemon older than a field ignores it: the policy then selects more or less than it "
            "says, on the nodes of that daemon only."
        ),
    ),
}


def mistake(
    manifest: Manifest,
    path: Path,
    reason: str,
    rewrite: Rewrite | None = None,
    *,
    severity: Severity = "error",
) -> Remark:
    """Make a remark on a selector that does not say what it seems to say."""
    return Remark(
        code="selector-mistake",
        severity=severity,
        policy=manifest,
        path=path,
        reason=reason,
        rewrite=rewrite,
    )


def expected_of(manifest: Manifest) -> Selector:
    """The selector of a policy for containers in KubeArmor's own meaning."""
    return expected_selector(kind=manifest.kind, namespace=manifest.namespace, spec=manifest.spec)


def dotted(path: Path) -> str:
    """Write a path as people do: `spec.selector.matchExpressions[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def quoted(names: Iterable[str]) -> str:
    """Write a few names between backticks; the rest are counted."""
    listed = sorted(names)
    shown = ", ".join(f"`{name}`" for name in listed[:NAMES_SHOWN])
    rest = len(listed) - NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
