"""How the API server is: how fast it answers, what it serves, what it lets the monitor do."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from monitor.clock import Clock
from monitor.core.diagnosis.findings import Certificate, Probe
from monitor.core.kubernetes import POLICY_KINDS
from monitor.sources.api_server import JSON, NETWORK_ERRORS, ApiServer, TooLarge, failure_of
from monitor.sources.failures import Failure
from monitor.wire import certificates

ANSWER_SECONDS = 10.0
BODY_BYTES = 64 * 1024 * 1024
LISTS = 3
LIST_LIMIT = "500"
PODS = "/api/v1/pods"
NAMESPACES = "/api/v1/namespaces"
POLICIES = "security.kubearmor.com"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
READ = ("list", "watch")
SECRETS = ("kubearmor-ca", "kubearmor-client-certs", "kubearmor-relay-server-certs")


class Right(Struct, frozen=True, rename="camel"):
    """One thing that the monitor must be allowed to do, as the API spells it."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def said(self) -> str:
        subresource = f"/{self.subresource}" if self.subresource else ""
        within = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{subresource}{within}"


class _Status(Struct, frozen=True):
    allowed: bool = False


class _Review(Struct, frozen=True):
    status: _Status


class _Version(Struct, frozen=True, rename="camel"):
    git_version: str = ""


class _Named(Struct, frozen=True):
    name: str = ""


class _Served(Struct, frozen=True):
    resources: list[_Named]


class _Secret(Struct, frozen=True):
    data: dict[str, str] | None = None


def rights(namespace: str) -> tuple[Right, ...]:
    """Return all that the monitor needs; `namespace` is KubeArmor's."""
    everywhere = [Right(verb, one) for one in ("pods", "nodes", "namespaces") for verb in READ]
    policies = [Right(verb, one, group=POLICIES) for one in POLICY_KINDS for verb in READ]
    of_kubearmor = [Right(verb, "daemonsets", group="apps", namespace=namespace) for verb in READ]
    of_kubearmor += [
        Right(verb, "configmaps", namespace=namespace, name="kubearmor-config") for verb in READ
    ]
    output = Right("get", "pods", subresource="log", namespace=namespace)
    return (*everywhere, *policies, *of_kubearmor, output)


class ApiHealth:
    """Asks one API server; nothing it asks changes anything there."""

    def __init__(self, server: ApiServer, *, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def probes(self) -> tuple[Probe, ...]:
        """Time a list (the slowest of three), the opening of a watch, and its own health check."""
        lists = [await self._timed("list", PODS, {"limit": LIST_LIMIT}) for _ in range(LISTS)]
        slowest = max(lists, key=lambda probe: (bool(probe.failure), probe.seconds))
        watch = {"watch": "true", "timeoutSeconds": "5"}
        return (
            slowest,
            await self._timed("watch", NAMESPACES, watch, whole=False),
            await self._timed("readyz", "/readyz", {}),
        )

    async def release(self) -> str:
        """Return the API server's version; empty where it does not say."""
        answer = await self._read("/version", _Version)
        return answer.git_version if isinstance(answer, _Version) else ""

    async def served(self) -> frozenset[str] | None:
        """Return the resources of KubeArmor's API group; None where that is not said."""
        answer = await self._read(f"/apis/{POLICIES}/v1", _Served)
        if isinstance(answer, Failure):
            return frozenset() if answer.kind == "absent" else None
        return frozenset(one.name for one in answer.resources) & POLICY_KINDS.keys()

    async def access(self, namespace: str) -> Mapping[str, bool]:
        """Return which rights are granted; those that the server does not tell of are left out."""
        asked = rights(namespace)
        answers = await asyncio.gather(*map(self._may, asked))
        return {
            right.said: granted
            for right, granted in zip(asked, answers, strict=True)
            if granted is not None
        }

    async def secrets(self, namespace: str) -> AsyncIterator[Certificate]:
        """Give the certificates of KubeArmor's secrets, of those that may be read."""
        for secret in SECRETS:
            answer = await self._read(f"/api/v1/namespaces/{namespace}/secrets/{secret}", _Secret)
            if isinstance(answer, Failure):
                continue
            for key, value in sorted((answer.data or {}).items()):
                if key.endswith(".crt"):
                    yield _of_secret(f"secret {secret} {key}", value)

    async def _timed(
        self, name: str, path: str, query: Mapping[str, str], *, whole: bool = True
    ) -> Probe:
        began = self._clock.now()
        try:
            async with self._server.get(
                path, query=query, answer_within=ANSWER_SECONDS, accept="*/*"
            ) as response:
                if response.status != 200:
                    refusal = await self._server.refusal(response, silence=ANSWER_SECONDS)
                    return Probe(name, self._clock.now() - began, refusal.reason)
                if whole:
                    await self._server.body(response, silence=ANSWER_SECONDS, limit=BODY_BYTES)
        except TooLarge:
            return Probe(name, self._clock.now() - began, "the answer is too large")
        except NETWORK_ERRORS as error:
            return Probe(name, self._clock.now() - began, failure_of(error).reason)
        return Probe(name, self._clock.now() - began)

    async def _read(self, path: str, kind: type[Any]) -> Any:
        """Return what a path answers, of that type, or a `Failure`."""
        try:
            async with self._server.get(
                path, query={}, answer_within=ANSWER_SECONDS, accept=JSON
            ) as response:
                if response.status != 200:
                    return await self._server.refusal(response, silence=ANSWER_SECONDS)
                body = await self._server.body(response, silence=ANSWER_SECONDS, limit=BODY_BYTES)
            return msgspec.json.decode(body, type=kind)
        except (TooLarge, ValueError) as error:
            return Failure("unreadable", str(error))
        except NETWORK_ERRORS as error:
            return failure_of(error)

    async def _may(self, right: Right) -> bool | None:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": right},
        }
        try:
            async with self._server.review(
                REVIEWS, body=msgspec.json.encode(review), answer_within=ANSWER_SECONDS
            ) as response:
                if response.status not in (200, 201):
                    return None
                body = await self._server.body(response, silence=ANSWER_SECONDS, limit=BODY_BYTES)
            return msgspec.json.decode(body, type=_Review).status.allowed
        except (TooLarge, ValueError, *NETWORK_ERRORS):
            return None


def _of_secret(name: str, value: str) -> Certificate:
    try:
        return Certificate(name, certificates.pem_good_until(b64decode(value)))
    except ValueError as error:
        return Certificate(name, None, str(error))
