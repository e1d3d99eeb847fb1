"""What is deployed fits the program: its configuration, its ports, its version, its caution."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import config
from tests.deploy.manifests import BASE, COMPONENTS, DEPLOY, NODE, built, containers, documents, one

Manifest = dict[str, Any]

ROOT = DEPLOY.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONFIGURATIONS = {
    "base": (built(BASE), "kubearmor-monitor"),
    "sidecar": (built(NODE), "kubearmor-monitor-node"),
    "overseer": (built(NODE), "kubearmor-monitor-overseer"),
}
(PATCH,) = documents(NODE / "daemonset-patch.yaml")
WORKLOADS = {
    "base": one(built(BASE), "StatefulSet", "kubearmor-monitor"),
    "overseer": one(built(NODE), "Deployment", "kubearmor-monitor-overseer"),
    "sidecar": PATCH,
}


def loaded(name: str, folder: Path) -> config.Configuration:
    manifests, configuration = CONFIGURATIONS[name]
    path = folder / "monitor.yaml"
    path.write_text(one(manifests, "ConfigMap", configuration)["data"]["monitor.yaml"])
    (container,) = containers(WORKLOADS[name])
    environment = {entry["name"]: "node-a" for entry in container.get("env", ())}
    return config.load(path, environment)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_shipped_configuration_is_valid(name: str, tmp_path: Path) -> None:
    loaded(name, tmp_path)


def test_the_sidecar_watches_its_own_node(tmp_path: Path) -> None:
    cluster = loaded("sidecar", tmp_path).cluster
    assert (cluster.scope, cluster.node) == ("node", "node-a")


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_probes_ask_the_port_the_program_listens_on(name: str, tmp_path: Path) -> None:
    _, port = config.endpoint(loaded(name, tmp_path).http.probes)
    (container,) = containers(WORKLOADS[name])
    (exposed,) = container["ports"]
    probes = [value["httpGet"] for key, value in container.items() if key.endswith("Probe")]
    assert exposed["containerPort"] == port
    assert {probe["port"] for probe in probes} == {exposed["name"]}
    assert {probe["path"] for probe in probes} <= {"/livez", "/readyz"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_outbox_lies_in_a_volume(name: str, tmp_path: Path) -> None:
    path = loaded(name, tmp_path).outbox.path
    (container,) = containers(WORKLOADS[name])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert path is not None
    assert str(Path(path).parent) in mounts


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_image_is_that_of_this_version(name: str) -> None:
    (container,) = containers(WORKLOADS[name])
    assert container["image"] == f"kubearmor-monitor:{VERSION}"


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_container_may_more_than_it_needs(name: str) -> None:
    pod = WORKLOADS[name]["spec"]["template"]["spec"]
    (container,) = containers(WORKLOADS[name])
    settings = {**pod.get("securityContext", {}), **container["securityContext"]}
    settings.pop("fsGroup", None)
    settings.pop("fsGroupChangePolicy", None)
    assert settings == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_container_asks_for_what_it_needs_and_is_bounded_in_memory(name: str) -> None:
    (container,) = containers(WORKLOADS[name])
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_every_manifest_belongs_to_a_kustomization() -> None:
    named = {
        (path.parent / name).resolve()
        for path in DEPLOY.rglob("kustomization.yaml")
        for name in yaml.safe_load(path.read_text())["resources"]
    }
    folders = (BASE, NODE, COMPONENTS)
    shipped = {path for folder in folders for path in folder.rglob("*.yaml")}
    unnamed = {path.name for path in shipped - named}
    assert unnamed == {"kustomization.yaml", "daemonset-patch.yaml"}
    assert all(path.exists() for path in named)


def test_the_service_monitor_finds_the_service() -> None:
    (found,) = documents(COMPONENTS / "service-monitor" / "service-monitor.yaml")
    service = one(built(BASE), "Service", "kubearmor-monitor")
    (endpoint,) = found["spec"]["endpoints"]
    assert found["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert found["metadata"]["namespace"] == service["metadata"]["namespace"]
