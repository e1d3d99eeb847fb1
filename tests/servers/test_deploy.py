"""What is deployed, before a real API server: accepted, allowed what it must, and no more."""

from collections.abc import AsyncIterator
from copy import deepcopy

import pytest
import pytest_asyncio

from monitor.config import Configuration
from monitor.live import collections
from monitor.sources.kubernetes import Collection
from tests.deploy.manifests import BASE, COMPONENTS, NODE, Manifest, built, containers, documents
from tests.rig.api import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Api,
    ApiError,
    Resource,
)
from tests.rig.crds import CSP
from tests.rig.kubernetes import ControlPlane

SECRETS = Resource("v1", "secrets")
OURS = "kubearmor-monitor"
THEIRS = "kubearmor"
NETWORK_POLICY = documents(COMPONENTS / "network-policy" / "network-policy.yaml")
SHIPPED = {
    f"{manifest['kind']}/{manifest['metadata']['name']}": manifest
    for manifest in (*built(BASE), *built(NODE), *NETWORK_POLICY)
}
WORKLOADS = [
    manifest for manifest in SHIPPED.values() if manifest["kind"] in {"StatefulSet", "Deployment"}
]
COLLECTIONS = collections(Configuration())

Grant = tuple[str, str, str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """Return a cluster with KubeArmor's CRDs and namespace, and the rights of the base."""
    async with ControlPlane(folder=tmp_path_factory.mktemp("deployed")) as running:
        await running.add_namespace(THEIRS)
        await running.install_crds()
        for manifest in built(BASE / "rights"):
            await running.admin.apply(manifest)
        await running.add_namespace("shop-front")
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def monitor(cluster: ControlPlane) -> AsyncIterator[Api]:
    """Return a client with the token that the deployed Pod would get."""
    async with Api(
        url=cluster.url, token=await _token(cluster, OURS), ca_file=cluster.ca_file
    ) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anybody(cluster: ControlPlane) -> AsyncIterator[Api]:
    """Return a client with the token of a service account that nobody gave rights to."""
    async with Api(
        url=cluster.url, token=await _token(cluster, "default"), ca_file=cluster.ca_file
    ) as api:
        yield api


async def dry_run(cluster: ControlPlane, manifest: Manifest) -> Manifest:
    resource = await cluster.admin.locate(manifest)
    path = resource.path(
        namespace=manifest["metadata"].get("namespace"), name=manifest["metadata"]["name"]
    )
    return await cluster.admin._send(
        "PATCH",
        path,
        body=manifest,
        content_type="application/apply-patch+yaml",
        query={
            "dryRun": "All",
            "fieldValidation": "Strict",
            "fieldManager": "test",
            "force": "true",
        },
    )


@pytest.mark.parametrize("name", SHIPPED)
async def test_the_api_server_accepts_every_object(cluster: ControlPlane, name: str) -> None:
    manifest = SHIPPED[name]
    accepted = await dry_run(cluster, manifest)
    assert accepted["metadata"]["name"] == manifest["metadata"]["name"]


async def test_a_misspelt_field_would_be_refused(cluster: ControlPlane) -> None:
    manifest = SHIPPED["Service/kubearmor-monitor"]
    spec = {**manifest["spec"], "clusterIp": "None"}
    with pytest.raises(ApiError, match="clusterIp"):
        await dry_run(cluster, {**manifest, "spec": spec})


def pod_of(workload: Manifest) -> Manifest:
    template = deepcopy(workload["spec"]["template"])
    claimed = [
        {"name": claim["metadata"]["name"], "emptyDir": {}}
        for claim in workload["spec"].get("volumeClaimTemplates", ())
    ]
    volumes = [*template["spec"]["volumes"], *claimed]
    metadata = {**template["metadata"], "name": "probe", "namespace": OURS}
    spec = {**template["spec"], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda found: found["metadata"]["name"])
async def test_its_pods_are_admitted_where_pod_security_is_restricted(
    cluster: ControlPlane, workload: Manifest
) -> None:
    pod = await dry_run(cluster, pod_of(workload))
    assert pod["spec"]["serviceAccountName"] == OURS


async def test_a_careless_pod_would_not_be_admitted(cluster: ControlPlane) -> None:
    pod = pod_of(WORKLOADS[0])
    del pod["spec"]["securityContext"]["runAsNonRoot"]
    with pytest.raises(ApiError, match="runAsNonRoot"):
        await dry_run(cluster, pod)


async def test_the_sidecar_joins_kubearmors_daemonset_and_changes_nothing_else(
    cluster: ControlPlane,
) -> None:
    daemons = await cluster.admin.apply(_daemons_of_kubearmor())
    (patch,) = documents(NODE / "daemonset-patch.yaml")
    patched = await cluster.admin._send(
        "PATCH",
        DAEMON_SETS.path(namespace=THEIRS, name="kubearmor"),
        body=patch,
        content_type="application/strategic-merge-patch+json",
        query={"dryRun": "All", "fieldValidation": "Strict"},
    )
    assert {one["name"] for one in containers(patched)} == {"kubearmor", "monitor"}
    assert _without_sidecar(patched) == _without_sidecar(daemons)


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda found: found.resource)
async def test_it_may_list_and_watch_what_the_monitor_reads(
    monitor: Api, collection: Collection
) -> None:
    listed = await monitor._send("GET", collection.path, query=dict(collection.selection))
    watched = monitor._lines(
        collection.path,
        query={
            **collection.selection,
            "watch": "true",
            "timeoutSeconds": "1",
            "resourceVersion": listed["metadata"]["resourceVersion"],
        },
    )
    assert [line async for line in watched] == []


async def test_it_may_read_the_daemons_output(cluster: ControlPlane, monitor: Api) -> None:
    del cluster
    with pytest.raises(ApiError) as refusal:
        _ = [line async for line in monitor.log_lines("gone", namespace=THEIRS, container="c")]
    assert refusal.value.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SECRETS.path()),
        ("GET", SECRETS.path(namespace=THEIRS)),
        ("GET", SECRETS.path(namespace=OURS)),
        ("GET", CONFIG_MAPS.path()),
        ("GET", CONFIG_MAPS.path(namespace=THEIRS)),
        ("GET", CONFIG_MAPS.path(namespace="shop-front")),
        ("GET", DAEMON_SETS.path()),
        ("GET", DEPLOYMENTS.path()),
        ("GET", f"{PODS.path(namespace='shop-front', name='any')}/log"),
        ("GET", f"{PODS.path(namespace=THEIRS, name='any')}/exec"),
        ("POST", f"{PODS.path(namespace=THEIRS, name='any')}/exec"),
        ("GET", f"{NODES.path(name='any')}/proxy/metrics"),
        ("POST", PODS.path(namespace=OURS)),
        ("DELETE", PODS.path(namespace=THEIRS, name="any")),
        ("DELETE", CSP.resource.path(name="any")),
        ("PATCH", CSP.resource.path(name="any")),
        ("DELETE", NAMESPACES.path(name="shop-front")),
        ("POST", f"{SERVICE_ACCOUNTS.path(namespace=OURS, name=OURS)}/token"),
    ],
)
async def test_it_may_not(monitor: Api, method: str, path: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await monitor._send(
            method,
            path,
            body={} if method in {"POST", "PATCH"} else None,
            content_type="application/merge-patch+json"
            if method == "PATCH"
            else "application/json",
        )
    assert refusal.value.status == 403


EVERYWHERE: set[Grant] = {
    (verb, group, resource, "")
    for verb in ("list", "watch")
    for group, resource in (
        ("", "pods"),
        ("", "nodes"),
        ("", "namespaces"),
        ("security.kubearmor.com", "kubearmorpolicies"),
        ("security.kubearmor.com", "kubearmorclusterpolicies"),
        ("security.kubearmor.com", "kubearmorhostpolicies"),
        ("security.kubearmor.com", "kubearmornetworkpolicies"),
    )
}
IN_KUBEARMORS_NAMESPACE: set[Grant] = {
    ("list", "apps", "daemonsets", ""),
    ("watch", "apps", "daemonsets", ""),
    ("list", "", "configmaps", "kubearmor-config"),
    ("watch", "", "configmaps", "kubearmor-config"),
    ("get", "", "pods/log", ""),
}


@pytest.mark.parametrize(
    ("namespace", "rights"),
    [
        (THEIRS, EVERYWHERE | IN_KUBEARMORS_NAMESPACE),
        (OURS, EVERYWHERE),
        ("shop-front", EVERYWHERE),
    ],
)
async def test_it_has_these_rights_and_no_others(
    monitor: Api, anybody: Api, namespace: str, rights: set[Grant]
) -> None:
    assert await _rights(monitor, namespace) - await _rights(anybody, namespace) == rights


async def _rights(api: Api, namespace: str) -> set[Grant]:
    answer = await api.create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "metadata": {},
            "spec": {"namespace": namespace},
        }
    )
    return {
        (verb, group, resource, name)
        for rule in answer["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for name in rule.get("resourceNames", ("",))
    }


async def _token(cluster: ControlPlane, account: str) -> str:
    answer = await cluster.admin._send(
        "POST",
        f"{SERVICE_ACCOUNTS.path(namespace=OURS, name=account)}/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    token: str = answer["status"]["token"]
    return token


def _daemons_of_kubearmor() -> Manifest:
    labels = {"kubearmor-app": "kubearmor"}
    container = {
        "name": "kubearmor",
        "image": "kubearmor/kubearmor:v1.7.4",
        "ports": [{"name": "grpc", "containerPort": 32767}],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "os-release", "mountPath": "/media/root/etc/os-release"}],
    }
    pod = {
        "serviceAccountName": "kubearmor",
        "hostNetwork": True,
        "hostPID": True,
        "containers": [container],
        "volumes": [{"name": "os-release", "hostPath": {"path": "/etc/os-release"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kubearmor", "namespace": THEIRS},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _without_sidecar(daemons: Manifest) -> Manifest:
    pod = dict(daemons["spec"]["template"]["spec"])
    pod["containers"] = [one for one in pod["containers"] if one["name"] != "monitor"]
    pod["volumes"] = [one for one in pod["volumes"] if not one["name"].startswith(OURS)]
    return pod
