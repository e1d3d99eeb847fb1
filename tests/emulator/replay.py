"""Plays a recording's cluster events and runtime starts on emulated daemons, then compares.

The recording's own lines give what the emulator must not decide itself: when each daemon's
process began and ended, when the runtime announced each container, and which container of a Pod
the lottery of a MODIFIED event fell on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.emulator.daemon import Daemon
from tests.emulator.informers import Relist, relists
from tests.emulator.recording import (
    Act,
    Incarnation,
    Recording,
    RuntimeEvent,
    changes,
    rule_lines,
    runtime_events,
    updated_by_pod_events,
)
from tests.emulator.releases import release
from tests.emulator.schedule import Timing
from tests.emulator.switches import Failures
from tests.emulator.world import RuntimeContainer, World


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that recording and emulator do not agree on."""

    what: str
    recorded: object
    emulated: object


@dataclass(slots=True)
class _Run:
    incarnation: Incarnation
    daemon: Daemon


class Replay:
    """Plays one recording from its beginning to its end."""

    def __init__(self, recording: Recording, *, timing: Timing | None = None) -> None:
        self.recording = recording
        self.differences: list[Difference] = []
        self.compared: dict[str, int] = {"sequences": 0, "endpoints": 0, "acts": 0}
        self._world = World()
        self._timing = timing or Timing()
        self._runs: list[_Run] = []

    def play(self) -> None:
        steps = sorted(self._steps(), key=lambda step: step[0])
        for at, do in steps:
            for run in self._runs:
                run.daemon.advance(at)
            do()
        for run in self._runs:
            self._compare_lines(run)

    def texts(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield what each daemon printed: recorded, emulated."""
        for run in self._runs:
            lines = run.daemon.outputs.lines
            emulated = [text for line in lines for text in line.text.split("\n")]
            yield [text for _, text in run.incarnation.lines], emulated

    def _steps(self) -> Iterator[tuple[float, Callable[[], None]]]:
        for at, resource, event, item in changes(self.recording.records):
            yield at, lambda at=at, r=resource, e=event, i=item: self._change(at, r, e, i)  # type: ignore[misc]
        for incarnation in self.recording.incarnations:
            yield from self._life(incarnation)
        for act in self.recording.acts:
            yield act.at, lambda act=act: self._act(act)  # type: ignore[misc]
        for truth in self.recording.truths:
            yield truth["at"], lambda truth=truth: self._compare_truth(truth)  # type: ignore[misc]

    def _life(self, incarnation: Incarnation) -> Iterator[tuple[float, Callable[[], None]]]:
        daemon = Daemon(
            release=release(incarnation.version),
            node=incarnation.node,
            world=self._world,
            failures=Failures(no_enforcer=not incarnation.enforcing),
            timing=self._timing,
            address=incarnation.address,
            shuffle=_recorded_order(incarnation),
            debug=incarnation.debug,
        )
        run = _Run(incarnation, daemon)
        start = incarnation.started
        yield start, lambda: self._start(run)
        for event in runtime_events(incarnation):
            yield event.at, lambda event=event: self._runtime(daemon, event)  # type: ignore[misc]
        for each in relists(self.recording.records, incarnation):
            yield each.since, lambda each=each: _relist(daemon, each)  # type: ignore[misc]
        if incarnation.terminated is not None:
            at = incarnation.terminated
            yield at, lambda: daemon.terminate(at)
        if incarnation.ended != float("inf"):
            yield incarnation.ended, daemon.kill

    def _start(self, run: _Run) -> None:
        self._runs.append(run)
        run.daemon.start(run.incarnation.started)

    def _act(self, act: Act) -> None:
        """Attempt what was attempted; a Pod's name finds its container's daemon."""
        for run in self._runs:
            for identity, known in run.daemon.beliefs.containers.items():
                named = (known.namespace, known.pod_name, known.name)
                if not run.daemon.exited and named == (act.namespace, act.pod, act.container):
                    observed = run.daemon.act(identity, act.path, act.at)
                    self.compared["acts"] += 1
                    self._expect(
                        f"act {'/'.join(named)} {act.path}",
                        (act.denied, *(_comparable(r) for r in (act.alerts, act.logs))),
                        (
                            observed.denied,
                            *(_comparable(r) for r in (observed.alerts, observed.logs)),
                        ),
                    )
                    return

    def _change(self, at: float, resource: str, event: str, item: dict[str, Any]) -> None:
        self._world.apply(resource, event, item)
        for run in self._runs:
            run.daemon.watch_event(resource, event, item, at)

    def _runtime(self, daemon: Daemon, event: RuntimeEvent) -> None:
        container = replace(
            self.recording.containers.get(event.id_prefix) or _stranger(event.id_prefix),
            pid_namespace=event.pid_namespace,
            mount_namespace=event.mount_namespace,
        )
        if event.stopped:
            daemon.container_stopped(container, event.at)
        else:
            daemon.container_started(container, event.at)

    def _compare_lines(self, run: _Run) -> None:
        recorded = rule_lines(text for _, text in run.incarnation.lines)
        emulated = rule_lines(line.text for line in run.daemon.outputs.lines)
        for container in sorted(recorded.keys() | emulated.keys()):
            self.compared["sequences"] += 1
            name = f"lines of {container[:12]} on {run.incarnation.node}"
            self._expect(name, recorded.get(container), emulated.get(container))

    def _compare_truth(self, truth: dict[str, Any]) -> None:
        alive = {run.daemon.node: run.daemon for run in self._runs if not run.daemon.exited}
        self._expect(f"daemons at {truth['label']}", sorted(truth["nodes"]), sorted(alive))
        paths = sorted({path for paths in truth["blockPaths"].values() for path in paths})
        for node, told in truth["nodes"].items():
            if node not in alive:
                continue
            recorded = {_identity(endpoint): _told(endpoint) for endpoint in told["endpoints"]}
            emulated = endpoints(alive[node], paths)
            for key in sorted(recorded.keys() | emulated.keys()):
                self.compared["endpoints"] += 1
                name = f"endpoint {'/'.join(key)} on {node} at {truth['label']}"
                self._expect(name, recorded.get(key), emulated.get(key))

    def _expect(self, what: str, recorded: object, emulated: object) -> None:
        if recorded != emulated:
            self.differences.append(Difference(what, recorded, emulated))


def _relist(daemon: Daemon, relist: Relist) -> None:
    daemon.relist(relist.resource, relist.since, at=relist.at)


def endpoints(
    daemon: Daemon, paths: Sequence[str]
) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """Return a daemon's endpoints in the words of a recording's truth."""
    kernel = daemon.beliefs.kernel
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for endpoint in daemon.endpoints:
        container = endpoint.container_id
        known = daemon.beliefs.containers.get(container)
        key = (endpoint.namespace, endpoint.pod, endpoint.container, container)
        found[key] = {
            "policies": sorted(policy.key for policy in endpoint.policies),
            "policyEnabled": endpoint.mode,
            "registered": known is not None and known.pid_namespace != 0,
            "kernelRules": kernel.entries(container) if kernel else -1,
            "denied": [path for path in paths if _denies(daemon, container, path)],
        }
    return found


def _denies(daemon: Daemon, container: str, path: str) -> bool:
    kernel = daemon.beliefs.kernel
    return kernel is not None and any(
        kernel.denies(container, path, operation=operation, blocking=False)
        for operation in ("process", "file")
    )


def _plain(name: str, value: Any) -> Any:
    if name == "Labels":
        return sorted(value.split(","))
    return {**value, "ExecID": ""} if name == "ExecEvent" else value


_OWN_TO_A_RUN = ("Timestamp", "UpdatedTime", "HostPID", "HostPPID")


def _comparable(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return reports without what no two runs share, nor what JSON leaves out."""
    return [
        {
            name: _plain(name, value)
            for name, value in report.items()
            if name not in _OWN_TO_A_RUN and value
        }
        for report in reports
    ]


def _identity(endpoint: dict[str, Any]) -> tuple[str, str, str, str]:
    (container,) = endpoint["containers"]
    return endpoint["namespace"], endpoint["pod"], endpoint["containerName"], container


def _told(endpoint: dict[str, Any]) -> dict[str, Any]:
    names = ("policies", "policyEnabled", "registered", "kernelRules", "denied")
    told = {name: endpoint[name] for name in names}
    return told | {"policies": sorted(told["policies"]), "denied": sorted(told["denied"])}


def _stranger(id_prefix: str) -> RuntimeContainer:
    return RuntimeContainer(id_prefix, "", "Unknown", "Unknown", 0, 0)


def _recorded_order(
    incarnation: Incarnation,
) -> Callable[[str, str, Sequence[str]], Sequence[str]]:
    """Follow the recorded walks: what was updated after a Pod's lines, in that order."""
    updates: dict[tuple[str, str], list[list[str]]] = {}
    for namespace, pod, containers in updated_by_pod_events(incarnation):
        updates.setdefault((namespace, pod), []).append(containers)

    def order(namespace: str, pod: str, containers: Sequence[str]) -> Sequence[str]:
        if len(containers) < 2:
            return containers
        waiting = updates.get((namespace, pod), [])
        walk = [found for found in waiting.pop(0) if found in containers] if waiting else []
        return [*(found for found in containers if found not in walk), *dict.fromkeys(walk)]

    return order
