"""Whatever is lost, cut or expired: in the end what was observed equals what the server holds."""

import json
from typing import Any, Literal, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.model import Changed, Listed, Observation, SourceDown, SourceUp
from monitor.sources.failures import Failure, FailureKind
from monitor.sources.lines import LineBuffer
from monitor.sources.reflector import ListRequest, Outcome, Reflector, WatchRequest
from tests.sources.chance import chance
from tests.sources.scripted_api import bookmark, error_event, event, pod

Step: TypeAlias = tuple[str, Any]
PAGE = 1
NAMES = ("a", "b", "c", "d", "e")
FAILURES: tuple[FailureKind, ...] = (
    "unauthorized", "forbidden", "absent", "expired", "refused", "unavailable", "unreachable",
    "cut", "silent", "unreadable", "too-large",
)  # fmt: skip


class Server:
    """An API server: objects, their history since the last compaction, lists in pages."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, int] = {}
        self._history: list[tuple[int, bytes]] = []
        self._compacted = 100
        self._snapshots: dict[str, list[tuple[str, int]]] = {}

    def put(self, name: str, *, damage: bytes = b"") -> bytes:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        line = self._record(kind, name, damage)
        self.objects[name] = self.version
        return line

    def delete(self, name: str) -> bytes | None:
        if name not in self.objects:
            return None
        del self.objects[name]
        return self._record("DELETED", name)

    def compact(self) -> None:
        self._compacted = self.version
        self._history.clear()
        self._snapshots.clear()

    def page(self, token: str) -> bytes | None:
        """Return a page of the list, None where its token has expired."""
        if not token:
            rest, version = sorted(self.objects.items()), str(self.version)
        elif token in self._snapshots:
            rest, version = self._snapshots[token], token.partition("/")[0]
        else:
            return None
        following = ""
        if len(rest) > PAGE:
            following = f"{version}/{len(rest)}"
            self._snapshots[following] = rest[PAGE:]
        items = [pod(name, version=str(at)) for name, at in rest[:PAGE]]
        metadata = {"resourceVersion": version, "continue": following}
        return json.dumps({"metadata": metadata, "items": items}).encode()

    def after(self, version: str) -> list[bytes] | None:
        """Return the events after a version, None where it has expired."""
        if int(version) < self._compacted:
            return None
        return [line for at, line in self._history if at > int(version)]

    def _record(self, kind: str, name: str, damage: bytes = b"") -> bytes:
        self.version += 1
        line = damage or event(kind, pod(name, version=str(self.version)))
        self._history.append((self.version, line))
        return line


class Follower:
    """Rebuilds the world from what is observed, as the core does."""

    def __init__(self) -> None:
        self.objects: dict[str, int] = {}
        self.state: Literal["unseen", "up", "down"] = "unseen"

    def take(self, observations: list[Observation]) -> None:
        for observation in observations:
            match observation:
                case SourceUp():
                    self.state = "up"
                case SourceDown():
                    self.state = "down"
                case Listed(items=items):
                    assert self.state == "up"
                    self.objects = {
                        o.metadata.name: int(o.metadata.resource_version) for o in items
                    }
                case Changed(type="DELETED", object=item):
                    assert self.state == "up"
                    self.objects.pop(item.metadata.name, None)
                case Changed(object=item):
                    assert self.state == "up"
                    self.objects[item.metadata.name] = int(item.metadata.resource_version)


class Network:
    """Carries requests and answers between a reflector and a server, badly."""

    def __init__(self) -> None:
        self.server = Server()
        self.follower = Follower()
        self.now = 0.0
        self._reflector = Reflector(resource="pods", optional=False, random=chance())
        self._pending: list[bytes] | None = None
        self._buffer = LineBuffer(limit=4000)

    def step(self, action: str, argument: Any) -> None:
        self.now += 7.0
        getattr(self, f"_{action}")(argument)

    def settle(self) -> None:
        """Let everything work until nothing is left to be said."""
        for _ in range(20):
            self._progress(None)
        assert self._pending == []

    def _put(self, name: str) -> None:
        self._publish(self.server.put(name))

    def _delete(self, name: str) -> None:
        self._publish(self.server.delete(name))

    def _publish(self, line: bytes | None) -> None:
        if line and self._pending is not None:
            self._pending.append(line)

    def _compact(self, _: None) -> None:
        self.server.compact()

    def _progress(self, _: None) -> None:
        if self._pending is None:
            self._request()
        else:
            lines, self._pending = self._pending, []
            if not lines:
                self._take(self._reflector.settled())
            self._receive(b"".join(line + b"\n" for line in lines))

    def _one_line(self, _: None) -> None:
        if self._pending:
            self._receive(self._pending.pop(0) + b"\n")

    def _half_a_line(self, _: None) -> None:
        if self._pending:
            line = self._pending.pop(0)
            self._receive(line[: len(line) // 2])
            if self._pending is not None:
                self._take(self._reflector.ended(remainder=self._buffer.remainder, now=self.now))
                self._pending = None

    def _poison(self, damage: bytes) -> None:
        """Let the server write a change so that nobody can ever read it."""
        self._publish(self.server.put("a", damage=damage))

    def _bookmark(self, _: None) -> None:
        if self._pending == []:
            self._receive(bookmark(str(self.server.version)) + b"\n")

    def _error(self, code: int) -> None:
        if self._pending is not None:
            self._receive(error_event(code, "") + b"\n")

    def _end(self, wait: float) -> None:
        if self._pending is not None:
            self.now += wait
            self._take(self._reflector.ended(remainder=b"", now=self.now))
            self._pending = None

    def _fail(self, kind: FailureKind) -> None:
        self._pending = None
        self._take(self._reflector.failed(Failure(kind, kind), now=self.now))

    def _request(self) -> None:
        request = self._reflector.request()
        match request:
            case ListRequest(continue_token=token):
                if (page := self.server.page(token)) is None:
                    self._fail("expired")
                else:
                    self._take(self._reflector.page(page, now=self.now))
            case WatchRequest(resource_version=version):
                if (events := self.server.after(version)) is None:
                    self._fail("expired")
                    return
                self._reflector.opened(now=self.now)
                self._buffer = LineBuffer(limit=4000)
                self._pending = events

    def _receive(self, chunk: bytes) -> None:
        if not self._take(self._reflector.lines(self._buffer.feed(chunk), now=self.now)):
            self._pending = None

    def _take(self, outcome: Outcome) -> bool:
        self.follower.take(outcome.observations)
        return not outcome.abandon


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES)),
    st.tuples(st.just("put"), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("poison"), st.sampled_from([b"<html>", b'{"type":', b"\xff", b"x" * 5000])),
    st.tuples(st.just("progress"), st.none()),
    st.tuples(st.sampled_from(["one_line", "half_a_line", "bookmark"]), st.none()),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("error"), st.sampled_from([410, 500, 0])),
    st.tuples(st.just("end"), st.sampled_from([0.0, 300.0])),
    st.tuples(st.just("fail"), st.sampled_from(FAILURES)),
)


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_the_world_rebuilt_from_the_observations_equals_the_server(steps: list[Step]) -> None:
    network = Network()
    for action, argument in steps:
        network.step(action, argument)

    network.settle()

    assert network.follower.objects == network.server.objects
    assert network.follower.state == "up"
