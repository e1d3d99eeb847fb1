"""KubeArmor's policy kinds, as minimal definitions a test can install one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.rig.api import Resource

GROUP = "security.kubearmor.com"
VERSION = "v1"


@dataclass(frozen=True)
class PolicyKind:
    """Names and scope of one policy kind."""

    kind: str
    plural: str
    singular: str
    short: str
    scope: str

    @property
    def resource(self) -> Resource:
        return Resource(f"{GROUP}/{VERSION}", self.plural)


KSP = PolicyKind("KubeArmorPolicy", "kubearmorpolicies", "kubearmorpolicy", "ksp", "Namespaced")
CSP = PolicyKind(
    "KubeArmorClusterPolicy", "kubearmorclusterpolicies", "kubearmorclusterpolicy", "csp", "Cluster"
)
HSP = PolicyKind(
    "KubeArmorHostPolicy", "kubearmorhostpolicies", "kubearmorhostpolicy", "hsp", "Cluster"
)
NSP = PolicyKind(
    "KubeArmorNetworkPolicy", "kubearmornetworkpolicies", "kubearmornetworkpolicy", "nsp", "Cluster"
)
POLICY_KINDS: Mapping[str, PolicyKind] = {kind.kind: kind for kind in (KSP, CSP, HSP, NSP)}


def definition(kind: PolicyKind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one policy kind."""
    return _definition(
        group=GROUP,
        version=VERSION,
        scope=kind.scope,
        names={
            "kind": kind.kind,
            "listKind": f"{kind.kind}List",
            "plural": kind.plural,
            "singular": kind.singular,
            "shortNames": [kind.short],
        },
    )


def log_definition() -> dict[str, Any]:
    """Return the definition of KWOK's Logs, through which a file becomes a container's log."""
    names = {"kind": "Logs", "listKind": "LogsList", "plural": "logs", "singular": "logs"}
    return _definition(group="kwok.x-k8s.io", version="v1alpha1", scope="Namespaced", names=names)


def resource_of(definition: Mapping[str, Any]) -> Resource:
    """Return the path of the objects a definition defines."""
    spec = definition["spec"]
    return Resource(f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["plural"])


def _definition(
    *, group: str, version: str, scope: str, names: Mapping[str, Any]
) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": dict(names),
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }
