"""The text of a daemon's start, section by section, as the recordings have it."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from tests.emulator.releases import Release

# Seconds after the process' start.
STEPS = {
    "boot": 0.0,
    "node": 1.001,
    "enforcer": 1.0055,
    "runtime": 1.0075,
    "synchronize": 1.015,
    "network": 2.0078,
    "informers": 2.0116,
    "configmaps": 2.0160,
    "nodes": 2.0162,
    "namespaces": 2.0165,
    "kubearmorpolicies": 2.0170,
    "kubearmorclusterpolicies": 2.0175,
    "kubearmorhostpolicies": 2.0180,
    "ready": 2.1147,
    "pods": 2.1235,
}
AFTER_DEFINITIONS = frozenset(
    step for step, seconds in STEPS.items() if seconds >= STEPS["informers"]
)
NODE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"
ADDED_ANNOTATIONS = {"kubearmor-policy": "audited", "kubearmor-visibility": "none"}
RUNTIME_MESSAGE = 'time="$seconds" level=info msg="%s"'


def section(name: str, *, release: Release, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the level and the text of every line of a section."""
    available = {
        "health": release.has_health_port,
        "synced": release.says_synced,
        "network": release.has_network_policies,
    }
    for level, text in _sections(release.start_text).get(name, ()):
        plain, _, condition = level.partition("[")
        if available.get(condition.rstrip("]"), True):
            yield plain, Template(text).substitute(values)


def node_values(node: Mapping[str, Any], *, protects_host: bool) -> dict[str, str]:
    """Return what the text says about a Node object."""
    facts = (node.get("status") or {}).get("nodeInfo") or {}
    given = (node.get("metadata") or {}).get("annotations") or {}
    added = ADDED_ANNOTATIONS | ({"kubearmor-policy": "enabled"} if protects_host else {})
    pairs = sorted({**given, **added}.items())
    return {
        "annotations": f"map[{' '.join(f'{key}:{value}' for key, value in pairs)}]",
        "os_image": facts.get("osImage", ""),
        "kernel": facts.get("kernelVersion", ""),
        "kubelet": facts.get("kubeletVersion", ""),
        "runtime": facts.get("containerRuntimeVersion", ""),
    }


@cache
def _sections(name: str) -> dict[str, list[tuple[str, str]]]:
    """Read a text: `[section]`, then lines of level (with a condition), tab, words."""
    sections: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    text = (resources.files("tests.emulator") / "text" / name).read_text("utf-8")
    for row in text.splitlines():
        if row.startswith("["):
            current = sections.setdefault(row.strip("[]"), [])
        else:
            level, _, words = row.partition("\t")
            current.append((level, words))
    return sections
