"""What is asked of an API server besides lists and watches, and what its answers mean."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.clock import SystemClock
from monitor.core.diagnosis.findings import Certificate
from monitor.core.kubernetes import POLICY_KINDS
from monitor.sources.api_health import REVIEWS, ApiHealth, rights
from monitor.sources.api_server import ApiServer
from monitor.sources.cluster_access import Access, Credentials
from monitor.wire.certificates import pem_good_until
from tests.deploy.manifests import BASE, built
from tests.sources.certificates import Authority
from tests.sources.scripted_api import PODS, ScriptedApi, Stream, answer, page, reset, status

pytestmark = pytest.mark.thorough


NAMESPACES = "/api/v1/namespaces?watch"
KINDS = "/apis/security.kubearmor.com/v1"
SECRETS = "/api/v1/namespaces/kubearmor/secrets"


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with ScriptedApi() as api:
        yield api


@pytest.fixture
async def health(api: ScriptedApi) -> AsyncIterator[ApiHealth]:
    clock = SystemClock()
    credentials = Credentials(Access(server=api.url))
    async with ApiServer(credentials, clock=clock, user_agent="test") as server:
        yield ApiHealth(server, clock=clock)


def reply(body: Any) -> Any:
    return answer(body=json.dumps(body).encode())


async def test_a_healthy_server_is_timed(api: ScriptedApi, health: ApiHealth) -> None:
    api.on(PODS, *(page([], version="1") for _ in range(3)))
    api.on(NAMESPACES, Stream())
    api.on("/readyz", answer(body=b"ok"))
    probes = await health.probes()
    assert [(probe.name, probe.failure) for probe in probes] == [
        ("list", ""),
        ("watch", ""),
        ("readyz", ""),
    ]
    assert all(0 <= probe.seconds < 10 for probe in probes)


async def test_of_three_lists_a_failure_counts(api: ScriptedApi, health: ApiHealth) -> None:
    api.on(PODS, page([], version="1"), status(429, "TooManyRequests"), page([], version="1"))
    api.on(NAMESPACES, status(403, "Forbidden"))
    api.always("/readyz", reset)
    assert [(probe.name, probe.failure) for probe in await health.probes()] == [
        ("list", "HTTP 429 TooManyRequests"),
        ("watch", "HTTP 403 Forbidden"),
        ("readyz", "ServerDisconnectedError"),
    ]


async def test_the_version_is_the_servers(api: ScriptedApi, health: ApiHealth) -> None:
    api.on("/version", reply({"gitVersion": "v1.34.4+k3s1"}), status(403, "Forbidden"))
    assert [await health.release(), await health.release()] == ["v1.34.4+k3s1", ""]


@pytest.mark.parametrize(
    ("answered", "served"),
    [
        (
            reply(
                {"resources": [{"name": "kubearmorpolicies"}, {"name": "kubearmorpolicies/status"}]}
            ),
            frozenset({"kubearmorpolicies"}),
        ),
        (status(404, "NotFound"), frozenset()),
        (status(403, "Forbidden"), None),
        (reply({"items": []}), None),
        (reset, None),
    ],
)
async def test_the_kinds_that_are_served(
    api: ScriptedApi, health: ApiHealth, answered: Any, served: frozenset[str] | None
) -> None:
    api.on(KINDS, answered)
    assert await health.served() == served


async def test_each_right_is_asked_for_by_itself(api: ScriptedApi, health: ApiHealth) -> None:
    asked = []

    async def review(request: web.Request) -> web.StreamResponse:
        assert request.method == "POST"
        attributes = (await request.json())["spec"]["resourceAttributes"]
        asked.append(attributes)
        return web.json_response(
            {"status": {"allowed": attributes["resource"] != "nodes"}}, status=201
        )

    api.always(REVIEWS, review)
    access = await health.access("security")
    assert sorted(right for right, granted in access.items() if not granted) == [
        "list nodes",
        "watch nodes",
    ]
    output = {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "security"}
    assert {"group": "", "name": "", **output} in asked
    assert len(access) == len(asked) == len(rights("security"))


@pytest.mark.parametrize("refusal", [status(403, "Forbidden"), reset, answer(body=b"{}")])
async def test_what_the_server_does_not_tell_is_left_out(
    api: ScriptedApi, health: ApiHealth, refusal: Any
) -> None:
    api.always(REVIEWS, refusal)
    assert await health.access("kubearmor") == {}


def test_the_rights_are_those_of_the_deployment() -> None:
    granted = set()
    for manifest in built(BASE / "rights"):
        for rule in manifest.get("rules", ()):
            for resource in rule["resources"]:
                granted |= {(verb, *rule["apiGroups"], resource) for verb in rule["verbs"]}
    wanted = {
        (one.verb, one.group, "/".join(filter(None, (one.resource, one.subresource))))
        for one in rights("kubearmor")
    }
    assert wanted == granted
    assert POLICY_KINDS.keys() <= {right.resource for right in rights("kubearmor")}


async def test_certificates_are_looked_for_in_secrets_that_may_be_read(
    api: ScriptedApi, health: ApiHealth, tmp_path: Path
) -> None:
    pem = Authority(tmp_path).certificate.read_bytes()
    data = {
        "tls.crt": b64encode(pem).decode(),
        "tls.key": "c2VjcmV0",
        "ca.crt": b64encode(b"nothing").decode(),
    }
    api.on(f"{SECRETS}/kubearmor-ca", reply({"data": data}))
    api.on(f"{SECRETS}/kubearmor-client-certs", status(403, "Forbidden"))
    api.on(f"{SECRETS}/kubearmor-relay-server-certs", status(404, "NotFound"))
    assert [one async for one in health.secrets("kubearmor")] == [
        Certificate("secret kubearmor-ca ca.crt", None, "there is no certificate in it"),
        Certificate("secret kubearmor-ca tls.crt", pem_good_until(pem)),
    ]
