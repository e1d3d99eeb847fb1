"""The laws of sources, applied to every kind."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import grpc
import pytest
from aiohttp import web

from monitor.sources import Source
from monitor.sources.api_server import ApiServer
from monitor.sources.daemon_log import DaemonLog, DaemonTarget
from monitor.sources.grpc import FeedSource, Peer
from monitor.sources.health_checks import HealthChecks, HealthTarget
from monitor.sources.kubernetes import Collection, KubernetesSource
from monitor.wire.pb import feeder_pb2
from tests.clock import ManualClock
from tests.sources.chance import chance
from tests.sources.laws import LAWS, Law, Stage
from tests.sources.recording import Recording
from tests.sources.running import connected
from tests.sources.scripted_api import (
    PODS,
    Answer,
    ScriptedApi,
    Stream,
    event,
    page,
    pod,
    reset,
    status,
)
from tests.sources.scripted_feed import ScriptedFeed
from tests.sources.scripted_health import ScriptedHealth
from tests.sources.scripted_kubelet import ScriptedKubelet, stamped


class OverHttp:
    """What a stage of an HTTP source has."""

    source: Source

    def __init__(self, make: Callable[[Recording, ManualClock, ApiServer], Source]) -> None:
        self.intake = Recording()
        self.clock = ManualClock()
        self.api = ScriptedApi()
        self._make = make
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.api)
        server = await self._stack.enter_async_context(connected(self.api.url, clock=self.clock))
        self.source = self._make(self.intake, self.clock, server)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()


def make_pods(intake: Recording, clock: ManualClock, server: ApiServer) -> Source:
    return KubernetesSource(
        Collection("pods"), server=server, intake=intake, clock=clock, random=chance()
    )


def make_text(intake: Recording, clock: ManualClock, server: ApiServer) -> Source:
    source = DaemonLog(server=server, intake=intake, clock=clock, random=chance())
    source.follow(frozenset({DaemonTarget("a", "kubearmor", "d", "u", 0, "kubearmor", True)}))
    return source


class Pods(OverHttp):
    def __init__(self) -> None:
        super().__init__(make_pods)
        self._streams: list[Stream] = []
        self._version = 1

    async def fail(self) -> None:
        self.api.always(PODS, status(503, "ServiceUnavailable"))
        self.api.always(f"{PODS}?watch", reset)
        for stream in self._streams:
            if stream.opened.is_set() and not stream.closed.is_set():
                stream.reset()

    async def heal(self) -> None:
        self.api.always(PODS, page([pod("a")], version="1"))
        self.api.always(f"{PODS}?watch", self._watch)

    async def speak(self) -> None:
        self._version += 1
        for stream in self._streams:
            stream.send(event("MODIFIED", pod("a", version=str(self._version))))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self._streams.append(Stream())
        return await self._streams[-1](request)


class Text(OverHttp):
    def __init__(self) -> None:
        super().__init__(make_text)
        self._kubelet = ScriptedKubelet()
        self._said = 0

    async def fail(self) -> None:
        self._answer(status(503, "ServiceUnavailable"))
        self._kubelet.cut()

    async def heal(self) -> None:
        self._answer(self._kubelet)

    async def speak(self) -> None:
        self._said += 1
        self._kubelet.write(stamped(self._said))

    def _answer(self, answer: Answer) -> None:
        for kind in ("", "?follow"):
            self.api.always(f"/api/v1/namespaces/kubearmor/pods/d/log{kind}", answer)


class Feeds:
    def __init__(self) -> None:
        self.intake = Recording()
        self.clock = ManualClock()
        self._feed = ScriptedFeed()

    async def __aenter__(self) -> Self:
        await self._feed.start()
        self.source = FeedSource(
            Peer(self._feed.address), intake=self.intake, clock=self.clock, random=chance()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._feed.stop()

    async def fail(self) -> None:
        await self._feed.stop()

    async def heal(self) -> None:
        if not self._feed.listening:
            await self._feed.start()

    async def speak(self) -> None:
        self._feed.send("alerts", feeder_pb2.Alert(UpdatedTime="2026-11-23T21:31:36.8Z"))


class Health:
    """A daemon that is starting for ever says so each time that it is asked."""

    def __init__(self) -> None:
        self.intake = Recording()
        self.clock = ManualClock()
        self._health = ScriptedHealth(grpc.StatusCode.NOT_FOUND)

    async def __aenter__(self) -> Self:
        await self._health.start()
        self.source = HealthChecks(
            intake=self.intake,
            clock=self.clock,
            random=chance(),
            is_known=lambda _: False,
            patience=0.0,
        )
        places = ((self._health.address, None),)
        self.source.follow(frozenset({HealthTarget("a", "u", 0, places)}))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._health.stop()

    async def fail(self) -> None:
        await self._health.stop()

    async def heal(self) -> None:
        if not self._health.listening:
            await self._health.start()

    async def speak(self) -> None:
        """It says nothing unasked."""


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("stage", [Pods, Text, Feeds, Health])
async def test_a_source_keeps_the_law(stage: Callable[[], Stage], law: Law) -> None:
    async with stage() as on_stage:
        await law(on_stage)
