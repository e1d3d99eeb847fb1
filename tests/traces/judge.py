"""Judges replays of recordings against what was really so: `python -m tests.traces.judge FOLDER…`.

A folder holds a trace and `truth.jsonl`: at some instants, per node, what the kernel's rules of
each container really were. The trace is played once; at each instant the report is compared with
the truth. A wrong word about a pair is an error; a word that decides nothing (pending, unknown) is
one only where nothing excuses it; and nearly all pairs must be decided. Exit code 1 on any error.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import orjson
from msgspec import Struct

from monitor.commands.timeline import open_timeline
from monitor.errors import ConfigurationError
from monitor.wire import report as wire_report

BUNDLED = Path(__file__).parent
GRACE = 14.0
LISTED_WITHIN = 5.0
DECIDED_SHARE = 0.99
NOTES_SHOWN = 40
DEFECT_FREE_RELEASE = "v1.7.4"
ERRORS = frozenset(
    {
        "announced_for_nothing",
        "expect_wrong",
        "false_covered",
        "false_excess",
        "false_exempt",
        "false_gap",
        "false_unsupported",
        "incident_wrong",
        "late_pending",
        "missing",
        "missing_section",
        "no_such_verdict",
        "not_listed",
        "unknown_without_outage",
    }
)
SECTIONS = ("nodes", "gaps", "incidents", "findings", "sources")

Document: TypeAlias = Mapping[str, Any]


class Endpoint(Struct, rename="camel"):
    """A container as its daemon has it. `policy_enabled`: 0 disabled, 1 enabled, 2 audited."""

    containers: list[str]
    policies: list[str]
    policy_enabled: int
    in_force: list[str]
    partly: list[str]
    stale: list[str]


class Node(Struct):
    version: str
    endpoints: list[Endpoint] | None = None


class Container(Struct, rename="camel"):
    """A container as its runtime has it."""

    id: str
    name: str
    namespace: str
    pod: str
    kind: str
    host_pid: bool
    started: str
    stopped: str | None

    @property
    def start(self) -> float:
        return datetime.fromisoformat(f"{self.started[:19]}+00:00").timestamp()


class Expectation(Struct):
    """What the report must say of containers; `cause` empty: any."""

    namespace: str
    pod: str
    verdict: str
    cause: list[str] | None = None
    container: str | None = None
    node: str | None = None

    def means(self, container: Document) -> bool:
        return (
            container["namespace"] == self.namespace
            and container["pod"].startswith(self.pod)
            and self.container in (None, container["container"])
            and self.node in (None, container["node"])
        )

    def met_by(self, container: Document) -> bool:
        causes = self.cause or [container["cause"]]
        return container["verdict"] == self.verdict and container["cause"] in causes


class ExpectedIncident(Struct):
    """`open`: how many containers the one open incident of that cause holds; 0 none, None any."""

    cause: str
    open: int | None


class Quiet(Struct):
    """Pods for which no gap may stand in the report, but of the excepted causes."""

    namespace: str
    pod: str
    excepted: list[str] = msgspec.field(name="except")


class Truth(Struct, rename="camel"):
    at: float
    label: str
    nodes: dict[str, Node]
    runtime: list[Container]
    block_paths: dict[str, list[str]]
    changed: dict[str, float]
    initialised: dict[str, float | None]
    untracked: list[str]
    expect: list[Expectation]
    incidents: list[ExpectedIncident] | None = None
    no_gap_ever: list[Quiet] | None = None
    variant: Any = None

    @property
    def lenient(self) -> bool:
        """In a variant what is hidden from the monitor may stay undecided."""
        return bool(self.variant)


class Counts:
    """What was counted, and a note for each error."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.notes: list[str] = []

    def error(self, kind: str, note: str) -> None:
        assert kind in ERRORS
        self.numbers[kind] += 1
        self.notes.append(f"{kind.upper()} {note}")

    @property
    def errors(self) -> int:
        return sum(number for kind, number in self.numbers.items() if kind in ERRORS)

    def enough_decided(self) -> bool:
        numbers = self.numbers
        return (
            numbers["covered"] >= DECIDED_SHARE * numbers["in_force"]
            and numbers["found"] >= DECIDED_SHARE * numbers["not_in_force"]
        )

    def line(self, name: str) -> str:
        numbers = " ".join(f"{kind}={number}" for kind, number in sorted(self.numbers.items()))
        return f"{name} errors={self.errors} {numbers}"


class Instant:
    """One report against one truth."""

    def __init__(self, *, truth: Truth, report: Document, counts: Counts) -> None:
        self.truth = truth
        self.report = report
        self.counts = counts
        self.runtime = {container.id: container for container in truth.runtime}
        self.reported = {
            container["containerId"]: container
            for container in report["containers"]
            if container["containerId"]
        }
        self.endpoints = {
            identity: endpoint
            for node in truth.nodes.values()
            for endpoint in node.endpoints or ()
            for identity in endpoint.containers
        }

    def judge(self) -> None:
        for section in SECTIONS:
            if section not in self.report:
                self.counts.error("missing_section", section)
        self._judge_listing()
        for identity, reported in self.reported.items():
            container, endpoint = self.runtime.get(identity), self.endpoints.get(identity)
            if container is None or container.stopped:
                continue
            if endpoint is not None or reported["node"] not in self.truth.nodes:
                self._judge_container(container, reported, endpoint)
        if not self.truth.lenient:
            self._judge_expectations()
            self._judge_incidents()
            self._judge_quiet()

    def _judge_listing(self) -> None:
        for identity, container in self.runtime.items():
            old_enough = self.truth.at - container.start > LISTED_WITHIN
            if identity not in self.reported and old_enough and not container.stopped:
                name = f"{container.namespace}/{container.pod}/{container.name}"
                self.counts.error("missing", f"{self.truth.label}: {name}")

    def _judge_container(
        self, container: Container, reported: Document, endpoint: Endpoint | None
    ) -> None:
        in_force = {*endpoint.in_force, *endpoint.stale} if endpoint else set()
        for pair in reported["policies"]:
            error = self._judge_pair(container, reported, endpoint, pair)
            if error:
                truly = "in force" if policy_name(pair) in in_force else "not"
                said = f"{pair['verdict']}/{pair['grade']}/{pair['cause']}"
                name = f"{reported['node']} {name_of(reported)} {policy_name(pair)}"
                self.counts.error(error, f"{self.truth.label}: {name}: {said}, truly {truly}")
        named = {policy_name(pair) for pair in reported["policies"]}
        for policy in sorted(in_force - named):
            self.counts.error("not_listed", f"{self.truth.label}: {name_of(reported)} {policy}")

    def _judge_pair(
        self, container: Container, reported: Document, endpoint: Endpoint | None, pair: Document
    ) -> str | None:
        policy, verdict = policy_name(pair), pair["verdict"]
        in_force = endpoint is not None and policy in {*endpoint.in_force, *endpoint.stale}
        if verdict == "exempt":
            return None if self._may_be_exempt(reported, endpoint, pair) else "false_exempt"
        if verdict == "unsupported":
            ordinary = container.kind == "container" and not container.host_pid
            return "false_unsupported" if ordinary else None
        if verdict == "excess":
            node = self.truth.nodes.get(reported["node"])
            listed = endpoint is not None and policy in endpoint.policies
            faithful = node is not None and node.version == DEFECT_FREE_RELEASE
            return "false_excess" if listed and faithful and not in_force else None
        partly = endpoint is not None and policy in endpoint.partly
        if partly or not self.truth.block_paths.get(policy):
            return None
        return self._judge_decided(container, reported, pair, in_force=in_force)

    def _may_be_exempt(self, reported: Document, endpoint: Endpoint | None, pair: Document) -> bool:
        return (
            endpoint is None
            or endpoint.policy_enabled != 1
            or reported["namespace"] in self.truth.untracked
            or str(pair["cause"]).startswith("annotation")
        )

    def _judge_decided(
        self, container: Container, reported: Document, pair: Document, *, in_force: bool
    ) -> str | None:
        numbers, verdict = self.counts.numbers, pair["verdict"]
        numbers["pairs"] += 1
        if verdict == "pending":
            numbers["pending"] += 1
            late = self._age(container, reported, pair) > GRACE and not self.truth.lenient
            return "late_pending" if late else None
        if verdict == "unknown":
            numbers["unknown"] += 1
            return None if self._blind(reported["node"]) else "unknown_without_outage"
        numbers["in_force" if in_force else "not_in_force"] += 1
        if verdict == "covered":
            numbers["covered"] += in_force
            return None if in_force else "false_covered"
        if verdict in ("gap", "lost"):
            numbers["found"] += not in_force
            return "false_gap" if in_force else None
        return "no_such_verdict"

    def _age(self, container: Container, reported: Document, pair: Document) -> float:
        changed = self.truth.changed.get(policy_name(pair), 0.0)
        ready = self.truth.initialised.get(reported["node"]) or 0.0
        return self.truth.at - max(container.start, changed, ready)

    def _blind(self, node: str) -> bool:
        """Whether a source that could have shown this node's proofs ever had an outage."""
        names = (f"text/{node}", f"alerts/{node}", "alerts/relay")
        return any(
            source["state"] == "down" or source["outages"]
            for source in self.report["sources"]
            if source["name"] in names or source["name"].startswith("kubernetes/")
        )

    def _judge_expectations(self) -> None:
        for expected in self.truth.expect:
            meant = [one for one in self.report["containers"] if expected.means(one)]
            wrong = [one for one in meant if not expected.met_by(one) and not self._young(one)]
            self.counts.numbers["expect"] += 1
            if wrong or not meant:
                got = [(one["pod"], one["verdict"], one["cause"]) for one in wrong or meant][:3]
                self.counts.error("expect_wrong", f"{expected} at {self.truth.label}, got {got}")

    def _young(self, reported: Document) -> bool:
        container = self.runtime.get(reported["containerId"])
        young = container is None or self.truth.at - container.start <= GRACE
        return reported["verdict"] == "pending" and young

    def _judge_incidents(self) -> None:
        for expected in self.truth.incidents or ():
            got = [
                incident
                for incident in self.report["incidents"]
                if incident["cause"] == expected.cause and incident["state"] == "open"
            ]
            containers = sum(incident["containers"] for incident in got)
            right = len(got) == bool(expected.open) and containers == expected.open
            if expected.open is not None and not right:
                self.counts.error("incident_wrong", f"{expected} at {self.truth.label}, got {got}")

    def _judge_quiet(self) -> None:
        for quiet in self.truth.no_gap_ever or ():
            for gap in self.report["gaps"]:
                meant = gap["namespace"].startswith(quiet.namespace)
                if (
                    meant
                    and gap["pod"].startswith(quiet.pod)
                    and gap["cause"] not in quiet.excepted
                ):
                    name = f"{gap['namespace']}/{gap['pod']}"
                    self.counts.error(
                        "announced_for_nothing", f"{name} {gap['cause']} {gap['state']}"
                    )


def policy_name(pair: Document) -> str:
    return f"{pair['namespace']}/{pair['name']}" if pair["namespace"] else str(pair["name"])


def name_of(reported: Document) -> str:
    return f"{reported['namespace']}/{reported['pod']}/{reported['container']}"


def truths(folder: Path) -> Iterator[Truth]:
    with (folder / "truth.jsonl").open("rb") as lines:
        yield from (msgspec.json.decode(line, type=Truth) for line in lines)


def trace_of(folder: Path) -> Path:
    traces = list(folder.glob("trace.jsonl*"))
    if len(traces) != 1:
        raise ConfigurationError(f"{folder}: {len(traces)} traces (trace.jsonl, .gz, .zst), not 1")
    return traces[0]


def judge(folder: Path) -> tuple[Counts, bool]:
    """Return the counts of one recording, and whether it passes."""
    counts, lenient = Counts(), False
    _, timeline = open_timeline(trace_of(folder))
    for truth in truths(folder):
        lenient = truth.lenient
        for _ in timeline.play(truth.at):
            pass
        report = orjson.loads(wire_report.encode(timeline.report()))
        Instant(truth=truth, report=report, counts=counts).judge()
    for _ in timeline.play():
        pass
    decided = lenient or counts.enough_decided()
    return counts, not counts.errors and bool(counts.numbers["pairs"]) and decided


def folders(named: Sequence[str]) -> Iterable[Path]:
    """The folders of recordings; one that holds such folders stands for them."""
    return [found for name in named or (BUNDLED,) for found in _recordings(Path(name))]


def _recordings(folder: Path) -> Iterable[Path]:
    below = sorted(path.parent for path in folder.glob("*/truth.jsonl"))
    return below or [folder]


def main(named: Sequence[str]) -> int:
    passed = True
    for folder in folders(named):
        try:
            counts, well = judge(folder)
        except (ConfigurationError, OSError, msgspec.MsgspecError) as error:
            sys.stderr.write(f"{folder.name}: cannot be judged: {error}\n")
            passed = False
            continue
        for note in counts.notes[:NOTES_SHOWN]:
            sys.stdout.write(f"{note}\n")
        sys.stdout.write(f"{counts.line(folder.name)}{'' if well else ' FAILED'}\n")
        sys.stdout.flush()
        passed = passed and well
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
