"""Input that nobody should send, to the real program: counted, named once, and it goes on."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
from aiohttp import web

from monitor.wire.pb import feeder_pb2
from tests.emulator.scene import APT, cluster_policy
from tests.rig.crds import GROUP, POLICY_KINDS, VERSION
from tests.rig.kafka import Broker
from tests.rig.wait import eventually
from tests.servers.stage import SECONDS, Monitor, Topics
from tests.sources.scripted_api import PODS, ScriptedApi, Stream, event, page
from tests.sources.scripted_feed import ScriptedFeed
from tests.sources.scripted_kubelet import ScriptedKubelet

NODE = "node-a"
DAEMON = "kubearmor-0"
LOG = f"/api/v1/namespaces/kubearmor/pods/{DAEMON}/log"
NUMBERS = count(1)

Object: TypeAlias = dict[str, Any]
Spoil: TypeAlias = "Callable[[Mischief], Awaitable[None]]"


class Mischief:
    """A cluster of one node whose API server, kubelet and relay say what a test tells them."""

    def __init__(
        self, *, api: ScriptedApi, feed: ScriptedFeed, topics: Topics, monitor: Monitor
    ) -> None:
        self.api = api
        self.feed = feed
        self.topics = topics
        self.monitor = monitor
        self.kubelet = ScriptedKubelet()
        self.pods = [pod(DAEMON, namespace="kubearmor", labels={"kubearmor-app": "kubearmor"})]
        self._watches: list[Stream] = []
        self._namespaces = count(4026540002)
        self._answer_lists()
        for mark in ("", "?follow", "?previous"):
            self.api.always(LOG + mark, self.kubelet)
        self.say(
            "BUILD-INFO: version: v1.7.4",
            "Initialized BPF-LSM Enforcer",
            "Started to monitor NRI events",
            "Detected a Cluster Security Policy (added/base)",
            "Initialized KubeArmor",
        )

    def _answer_lists(self) -> None:
        policy = cluster_policy()
        metadata = {"name": "base", "uid": "uid-base", "generation": 1, "creationTimestamp": now()}
        lists = {
            "/api/v1/namespaces": [named("kubearmor"), named("shop")],
            "/api/v1/nodes": [named(NODE)],
            "/apis/apps/v1/namespaces/kubearmor/daemonsets": [],
            "/api/v1/namespaces/kubearmor/configmaps": [],
            **{f"/apis/{GROUP}/{VERSION}/{kind.plural}": [] for kind in POLICY_KINDS.values()},
            f"/apis/{GROUP}/{VERSION}/kubearmorclusterpolicies": [policy | {"metadata": metadata}],
        }
        for path, items in lists.items():
            self.api.always(path, page(items, version="1"))
            self.api.always(f"{path}?watch", _silence)
        self.api.always(PODS, self._list)
        self.api.always(f"{PODS}?watch", self._watch)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return await page(self.pods, version="1")(request)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        stream = Stream()
        self._watches.append(stream)
        try:
            return await stream(request)
        finally:
            self._watches.remove(stream)

    async def tell(self, line: bytes) -> None:
        """Send a line to whoever watches the Pods."""

        async def is_watched() -> bool:
            return bool(self._watches)

        await eventually(is_watched, within=SECONDS)
        self._watches[-1].send(line)

    async def add(self, item: Object) -> None:
        self.pods.append(item)
        await self.tell(event("ADDED", item))

    async def protect(
        self,
        name: str,
        *,
        known_as: str = "",
        **metadata: Any,
    ) -> None:
        """Run one more Pod, and let the daemon write its rules."""
        await self.add(pod(name, **metadata))
        container = id_of(name)
        pid, mount = next(self._namespaces), next(self._namespaces)
        self.say(
            f"Detected a Pod (added/shop/{known_as or name})",
            f"Detected a container (added/{container[:12]}/pidns={pid}/mntns={mount})",
            f"Updating container rules for {container}",
            f"Creating inner map for {container}",
        )

    def say(self, *texts: str) -> None:
        self.kubelet.write(*(said(text) for text in texts))


async def _silence(request: web.Request) -> web.StreamResponse:
    return await Stream()(request)


def now() -> str:
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def said(text: str, *, at: datetime | None = None) -> bytes:
    """Make a line of a daemon's output as the kubelet gives it."""
    at = at or datetime.now(tz=UTC)
    fraction = f"{at.microsecond * 1000 + next(NUMBERS) % 1000:09d}"
    stamp = at.strftime(f"%Y-%m-%dT%H:%M:%S.{fraction}Z")
    return f"{stamp} {at:%Y-%m-%d %H:%M:%S.%f}\tINFO\t{text}".encode()


def id_of(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()


def named(name: str) -> Object:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": now()}}


def pod(name: str, *, namespace: str = "shop", **metadata: Any) -> Object:
    container = "kubearmor" if namespace == "kubearmor" else "main"
    status = {
        "name": container,
        "containerID": f"containerd://{id_of(name)}",
        "restartCount": 0,
        "state": {"running": {"startedAt": now()}},
    }
    return {
        "metadata": named(name)["metadata"] | {"namespace": namespace} | metadata,
        "spec": {"nodeName": NODE, "containers": [{"name": container}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


def alert(container: str, **fields: object) -> feeder_pb2.Alert:
    told: dict[str, Any] = {
        "ContainerID": container,
        "HostName": NODE,
        "NamespaceName": "shop",
        "PolicyName": "base",
        "Type": "MatchedPolicy",
        "Operation": "Process",
        "Resource": APT,
        "Action": "Block",
        "Result": "Permission denied",
        "Enforcer": "BPFLSM",
        "UpdatedTime": datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return feeder_pb2.Alert(**(told | fields))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mischief(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mischief]:
    """Return a mischievous cluster; one monitor reads it through all of this."""
    prefix = f"mischief-{next(NUMBERS)}."
    async with ScriptedApi() as api, ScriptedFeed() as feed, Topics(broker, prefix) as topics:
        monitor = Monitor(
            folder=tmp_path_factory.mktemp("monitor"),
            settings={
                "kubernetes": {"url": api.url},
                "kubearmor": {"relay": feed.address},
                "kafka": {"brokers": [broker.bootstrap], "prefix": prefix},
            },
        )
        made = Mischief(api=api, feed=feed, topics=topics, monitor=monitor)
        try:
            await monitor.start()
            await monitor.sees({"alerts/relay": "up", f"text/{NODE}": "up"})
            yield made
        finally:
            await monitor.stop()


async def _goes_on(mischief: Mischief) -> None:
    """Prove that a Pod, lines of text and an alert that come now are understood."""
    name = f"later-{next(NUMBERS)}"
    await mischief.protect(name)
    await _is_judged(mischief, name)
    mischief.feed.send("alerts", alert(id_of(name)))
    await _is_judged(mischief, name, grade="proven")


async def _is_judged(mischief: Mischief, name: str, *, grade: str = "applied") -> None:
    """Wait until a Pod is covered with this grade, by the API and by Kafka."""

    async def is_so() -> bool:
        rows = await mischief.monitor.rows("containers", namespace="shop")
        grades = [pair["grade"] for row in rows if row["pod"] == name for pair in row["policies"]]
        events = await mischief.topics.read("coverage", name="coverage")
        told = [facts["verdict"] for e in events if (facts := e.data) and facts["pod"] == name]
        assert (grades, told[-1:]) == ([grade], ["covered"]), (grades, told)
        return True

    await eventually(is_so, within=SECONDS, every=0.2)


async def _malformed_line(mischief: Mischief) -> None:
    await mischief.tell(b'{"type":"MODIFIED","object":{"metadata"')


async def _object_without_uid(mischief: Mischief) -> None:
    nameless = pod("nameless")
    del nameless["metadata"]["uid"]
    await mischief.tell(event("ADDED", nameless))


async def _object_of_nine_megabytes(mischief: Mischief) -> None:
    await mischief.tell(event("ADDED", pod("vast", annotations={"note": "x" * (9 << 20)})))


async def _lone_surrogate(mischief: Mischief) -> None:
    await mischief.tell(event("ADDED", pod("no-text", labels={"team": "\ud800"})))


async def _text_line_of_a_megabyte(mischief: Mischief) -> None:
    mischief.say("x" * (1 << 20))


async def _text_line_without_a_stamp(mischief: Mischief) -> None:
    mischief.kubelet.write(b"Initialized KubeArmor")


async def _text_line_of_the_far_future(mischief: Mischief) -> None:
    mischief.kubelet.write(said("Initialized KubeArmor", at=datetime.max.replace(tzinfo=UTC)))


async def _bytes_that_are_no_alert(mischief: Mischief) -> None:
    mischief.feed.send("alerts", b"\xff\xff\xff")


async def _alert_before_time(mischief: Mischief) -> None:
    mischief.feed.send("alerts", alert(id_of("any"), UpdatedTime="", Timestamp=-5))


async def _alert_after_time(mischief: Mischief) -> None:
    mischief.feed.send("alerts", alert(id_of("any"), UpdatedTime="", Timestamp=1 << 62))


async def _alert_of_a_day_that_is_none(mischief: Mischief) -> None:
    mischief.feed.send("alerts", alert(id_of("any"), UpdatedTime="-0001-01-01T00:00:00Z"))


REJECTED: dict[Spoil, tuple[str, str]] = {
    _malformed_line: ("kubernetes/pods", "malformed"),
    _object_without_uid: ("kubernetes/pods", "invalid"),
    _object_of_nine_megabytes: ("kubernetes/pods", "too-long"),
    _lone_surrogate: ("kubernetes/pods", "text-repaired"),
    _text_line_of_a_megabyte: ("text", "too-long"),
    _text_line_without_a_stamp: ("text", "malformed"),
    _text_line_of_the_far_future: ("text", "invalid"),
    _bytes_that_are_no_alert: ("alerts", "malformed"),
    _alert_before_time: ("alerts", "invalid"),
    _alert_after_time: ("alerts", "invalid"),
    _alert_of_a_day_that_is_none: ("alerts", "invalid"),
}


@pytest.mark.parametrize(
    ("send", "kind", "reason"),
    [
        pytest.param(send, *cause, id=send.__name__.strip("_").replace("_", "-"))
        for send, cause in REJECTED.items()
    ],
)
async def test_it_is_counted_and_named_once_and_the_next_input_is_understood(
    mischief: Mischief, send: Spoil, kind: str, reason: str
) -> None:
    series = f'observations_rejected_total{{kind="{kind}",reason="{reason}"}}'
    before = await mischief.monitor.metric(series) or 0
    for times in (1, 2):
        await send(mischief)
        await _counts(mischief, series, before + times)
    await _goes_on(mischief)
    named = [line.partition(" (")[0] for line in mischief.monitor.warnings()]
    assert named.count(f"rejected: {kind}, {reason}") == 1


@pytest.mark.parametrize(
    ("name", "metadata", "known_as"),
    [
        pytest.param("large", {"annotations": {"note": "x" * (3 << 20)}}, "large", id="large"),
        pytest.param("new\nline", {}, "new\nline", id="newline-in-its-name"),
        pytest.param("half-\ud800", {}, "half-\ufffd", id="surrogate-in-its-name"),
        pytest.param(
            "early", {"creationTimestamp": "-0001-01-01T00:00:00Z"}, "early", id="before-time"
        ),
        pytest.param(
            "late", {"creationTimestamp": "9999-12-31T23:59:59Z"}, "late", id="far-future"
        ),
    ],
)
async def test_an_odd_pod_is_judged_as_any_other(
    mischief: Mischief, name: str, metadata: Object, known_as: str
) -> None:
    await mischief.protect(name, known_as=known_as, **metadata)
    await _is_judged(mischief, known_as)
    await _goes_on(mischief)


async def test_an_alert_of_an_unknown_container_is_counted_and_changes_nothing(
    mischief: Mischief,
) -> None:
    await _goes_on(mischief)
    before = await _judged(mischief)
    series = 'observations_total{kind="Alert"}'
    alerts = await mischief.monitor.metric(series)
    assert alerts is not None
    mischief.feed.send("alerts", alert(id_of("nobody")))
    await _counts(mischief, series, alerts + 1)
    assert await _judged(mischief) == before
    await _goes_on(mischief)


async def test_its_log_stays_one_object_a_line_and_says_nothing_but_what_was_rejected(
    mischief: Mischief,
) -> None:
    await _lone_surrogate(mischief)
    await _goes_on(mischief)
    assert all(line.startswith("rejected: ") for line in mischief.monitor.warnings())


async def _judged(mischief: Mischief) -> list[object]:
    """What is said of each container but for instants: each stamp tells more of a node's clock."""
    return [
        [row[name] for name in ("pod", "container", "containerId", "verdict", "cause")]
        + [(one["name"], one["verdict"], one["grade"]) for one in row["policies"]]
        for row in await mischief.monitor.rows("containers")
    ]


async def _counts(mischief: Mischief, series: str, expected: float) -> None:
    async def is_so() -> bool:
        value = await mischief.monitor.metric(series)
        assert value == expected, value
        return True

    await eventually(is_so, within=SECONDS, every=0.1)
