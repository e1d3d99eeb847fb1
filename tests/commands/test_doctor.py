"""A diagnosis of a cluster: what is printed, and what the exit code is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.commands.called import call
from tests.commands.recorded_api import RecordedApi
from tests.sources.certificates import Authority
from tests.sources.scripted_api import ScriptedApi, Stream, page, status
from tests.sources.scripted_feed import ScriptedFeed

pytestmark = pytest.mark.thorough


UNCOVERED = 1795469290.03
URL = "KUBEARMOR_MONITOR_KUBERNETES__URL"
KINDS = (
    "kubearmorpolicies",
    "kubearmorclusterpolicies",
    "kubearmorhostpolicies",
    "kubearmornetworkpolicies",
)


@pytest.fixture
async def api() -> AsyncIterator[RecordedApi]:
    async with RecordedApi("seed-v1.5.7", until=UNCOVERED) as api:
        yield api


async def test_a_cluster_is_diagnosed(api: RecordedApi) -> None:
    ended = await call("doctor", "--output", "json", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    document = json.loads(ended.output)
    assert document["cluster"] == "default"
    checks = {check["code"]: check for check in document["checks"]}
    assert {code: checks[code]["state"] for code in checks if checks[code]["state"] != "ok"} == {
        "defect/namespace-newer-than-policy": "problem",
        "defect/index-panic": "problem",
        "defect/client-disconnect-panic": "problem",
        "defect/no-runtime-reconnect": "problem",
        "defect/stale-container-id": "problem",
        "defect/namespace-ids-reused": "warning",
        "defect/api-rate-limit": "warning",
        "defect/raw-pod-watch": "warning",
        "defect/missing-kinds-hang": "warning",
        "defect/untracked-map-ignored": "warning",
        "permissions": "unknown",
        "policy-kinds": "unknown",
        "health-service": "unknown",
    }
    assert checks["releases"] == {
        "code": "releases",
        "state": "ok",
        "found": "v1.5.7 on 2 nodes",
        "remedy": "",
    }
    assert checks["enforcers"]["found"] == "BPFLSM on node-a, node-b"


async def test_a_diagnosis_is_printed_with_the_worst_first(api: RecordedApi) -> None:
    ended = await call("doctor", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    head, first, *_ = ended.output.split("\n\n")
    assert head.startswith("5 problem · 5 warning · 3 unknown · ")
    assert first.startswith("PROBLEM defect/namespace-newer-than-policy: v1.5.7 (node-a, node-b): ")
    assert "\n  what to do: Upgrade KubeArmor to v1.6.0 or later." in first


async def test_what_may_not_be_read_is_part_of_the_diagnosis() -> None:
    async with ScriptedApi() as api:
        for path in ("/api/v1/pods", "/api/v1/nodes"):
            api.always(path, status(403, "Forbidden"))
        paths = ["/api/v1/namespaces", "/apis/apps/v1/namespaces/kubearmor/daemonsets"]
        paths += ["/api/v1/namespaces/kubearmor/configmaps"]
        paths += [f"/apis/security.kubearmor.com/v1/{kind}" for kind in KINDS]
        for path in paths:
            api.always(path, page([], version="1"))
            api.always(f"{path}?watch", Stream())
        for path in ("/readyz", "/version", "/apis/security.kubearmor.com/v1"):
            api.always(path, status(403, "Forbidden"))
        for path in ("ca", "client-certs", "relay-server-certs"):
            secret = f"/api/v1/namespaces/kubearmor/secrets/kubearmor-{path}"
            api.always(secret, status(403, "Forbidden"))
        reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        api.always(reviews, status(403, "Forbidden"))
        ended = await call("doctor", "--output", "json", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    checks = {check["code"]: check for check in json.loads(ended.output)["checks"]}
    assert checks["permissions"]["state"] == "problem"
    assert checks["permissions"]["found"] == (
        "the monitor may not: kubernetes/nodes, kubernetes/pods"
    )
    assert checks["nodes-without-daemon"]["state"] == "unknown"


async def test_certificates_that_end_soon_are_found(api: RecordedApi, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("relay")
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.certificate.read_bytes())]
    )
    async with ScriptedFeed(credentials=credentials) as relay:
        settings = {
            URL: api.url,
            "KUBEARMOR_MONITOR_KUBEARMOR__TLS": "on",
            "KUBEARMOR_MONITOR_KUBEARMOR__CA_FILE": str(authority.certificate),
            "KUBEARMOR_MONITOR_KUBEARMOR__RELAY": relay.address,
        }
        ended = await call("doctor", "--output", "json", **settings)
    checks = {check["code"]: check for check in json.loads(ended.output)["checks"]}
    certificates = checks["certificates"]
    assert certificates["state"] == "warning"
    assert sorted(certificates["found"].split("; ")) == [
        f"{authority.certificate} ends in 2 days",
        "relay ends in 2 days",
    ]
    assert checks["tls"]["found"] == "on in the monitor, off in the daemons"


async def test_a_cluster_out_of_reach_cannot_be_diagnosed() -> None:
    ended = await call("doctor", "--timeout", "1s", **{URL: "http://127.0.0.1:1"})
    assert (ended.code, ended.output) == (3, "")
    assert "nothing of the cluster could be read within 1 s: kubernetes/" in ended.errors


async def test_a_timeout_must_be_a_duration() -> None:
    ended = await call("doctor", "--timeout", "soon")
    assert ended.code == 2
    assert "not a duration such as 60s, 2m or 90: 'soon'" in ended.errors
