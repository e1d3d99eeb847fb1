"""List and watch over HTTP: the shell around a `Reflector`."""

from random import Random

from aiohttp import ClientResponse
from msgspec import Struct

from monitor.clock import Clock
from monitor.core.kubernetes import Resource
from monitor.retry import Late
from monitor.sources import Intake
from monitor.sources.api_server import NETWORK_ERRORS, ApiServer, TooLarge, failure_of
from monitor.sources.failures import Failure
from monitor.sources.lines import LineBuffer
from monitor.sources.reflector import ListRequest, Outcome, Reflector, WatchRequest

LINE_BYTES = 8 * 1024 * 1024
PAGE_BYTES = 64 * 1024 * 1024
LIST_SILENCE_SECONDS = 60.0
WATCH_SILENCE_MARGIN_SECONDS = 30.0
SETTLED_SECONDS = 1.0
JSON = "application/json"

CORE = "/api/v1"
POLICIES = "/apis/security.kubearmor.com/v1"
PREFIXES: dict[Resource, str] = {
    "pods": CORE,
    "namespaces": CORE,
    "nodes": CORE,
    "configmaps": CORE,
    "daemonsets": "/apis/apps/v1",
    "kubearmorpolicies": POLICIES,
    "kubearmorclusterpolicies": POLICIES,
    "kubearmorhostpolicies": POLICIES,
    "kubearmornetworkpolicies": POLICIES,
}


class Collection(Struct, frozen=True):
    """The objects of one resource to observe: all, those of a namespace, those selected."""

    resource: Resource
    namespace: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def path(self) -> str:
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{PREFIXES[self.resource]}{within}/{self.resource}"

    @property
    def optional(self) -> bool:
        """Whether the API server may not know the resource: a custom one, not installed."""
        return PREFIXES[self.resource] == POLICIES

    @property
    def selection(self) -> dict[str, str]:
        chosen = {"fieldSelector": self.field_selector, "labelSelector": self.label_selector}
        return {key: value for key, value in chosen.items() if value}


class KubernetesSource:
    """Observes one collection for as long as it runs."""

    def __init__(
        self,
        collection: Collection,
        *,
        server: ApiServer,
        intake: Intake,
        clock: Clock,
        random: Random,
    ) -> None:
        self._collection = collection
        self._server = server
        self._intake = intake
        self._clock = clock
        self._reflector = Reflector(
            resource=collection.resource, optional=collection.optional, random=random
        )

    @property
    def name(self) -> str:
        return self._reflector.name

    async def run(self) -> None:
        while True:
            await self._intake.room()
            request = self._reflector.request()
            await self._clock.sleep(request.delay)
            try:
                if request.renew_credentials:
                    await self._server.renew_credentials()
                if isinstance(request, ListRequest):
                    await self._list(request)
                else:
                    await self._watch(request)
            except TooLarge:
                self._fail(Failure("too-large", "a page of the list is too large"))
            except NETWORK_ERRORS as error:
                self._fail(failure_of(error))

    async def _list(self, request: ListRequest) -> None:
        query = {"limit": str(request.limit)} | self._collection.selection
        if request.continue_token:
            query["continue"] = request.continue_token
        async with self._server.get(
            self._collection.path, query=query, answer_within=request.answer_within, accept=JSON
        ) as response:
            if response.status != 200:
                self._fail(await self._server.refusal(response, silence=LIST_SILENCE_SECONDS))
                return
            body = await self._server.body(response, silence=LIST_SILENCE_SECONDS, limit=PAGE_BYTES)
        self._take(self._reflector.page(body, now=self._clock.now()))

    async def _watch(self, request: WatchRequest) -> None:
        query = self._collection.selection | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": request.resource_version,
            "timeoutSeconds": str(request.timeout_seconds),
        }
        silence = request.timeout_seconds + WATCH_SILENCE_MARGIN_SECONDS
        async with self._server.get(
            self._collection.path, query=query, answer_within=request.answer_within, accept=JSON
        ) as response:
            if response.status != 200:
                self._fail(await self._server.refusal(response, silence=LIST_SILENCE_SECONDS))
                return
            self._reflector.opened(now=self._clock.now())
            buffer = LineBuffer(limit=LINE_BYTES)
            chunk = await self._first_chunk(response, silence=silence)
            while chunk:
                outcome = self._reflector.lines(buffer.feed(chunk), now=self._clock.now())
                self._take(outcome)
                if outcome.abandon:
                    return
                await self._intake.room()
                chunk = await self._server.chunk(response, silence=silence)
        self._take(self._reflector.ended(remainder=buffer.remainder, now=self._clock.now()))

    async def _first_chunk(self, response: ClientResponse, *, silence: float) -> bytes:
        try:
            return await self._server.chunk(response, silence=SETTLED_SECONDS)
        except Late:
            self._take(self._reflector.settled())
        return await self._server.chunk(response, silence=silence - SETTLED_SECONDS)

    def _fail(self, failure: Failure) -> None:
        self._take(self._reflector.failed(failure, now=self._clock.now()))

    def _take(self, outcome: Outcome) -> None:
        for rejection in outcome.rejections:
            self._intake.reject(kind=self.name, reason=rejection.reason, detail=rejection.detail)
        if outcome.observations:
            self._intake.deliver(outcome.observations)
