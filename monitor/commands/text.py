"""Reports for people. What is printed is made of the report's JSON, so it says nothing else."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from monitor.core.causes import CAUSES, FINDINGS

Document: TypeAlias = Mapping[str, Any]
VERDICTS = (
    "gap",
    "lost",
    "unknown",
    "pending",
    "covered",
    "exempt",
    "unsupported",
    "unpoliced",
)
NOT_CALLED_FOR = ("covered", "exempt", "unsupported", "unpoliced")
NOT_IN_FORCE = ("gap", "lost")
HOST = "(the node itself)"
FINDINGS_SHOWN = 3


def render(report: Document, *, everything: bool = False) -> str:
    """Return counts, the containers and nodes that want attention (or all), incidents, findings.

    A node has a line if a host or network policy that should protect it is not in force there. Of
    findings of one code the first few are told (or all).
    """
    containers = [
        container
        for container in report["containers"]
        if everything or container["verdict"] not in NOT_CALLED_FOR
    ]
    blocks = [_counts(report)]
    rows = [*_rows(containers), *_host_rows(report.get("nodes", ()), everything=everything)]
    if rows:
        blocks.append(table(("VERDICT", "CONTAINER", "NODE", "POLICY", "WHY"), rows))
    blocks.extend(_incident(one) for one in report["incidents"] if one["state"] == "open")
    blocks.extend(_findings(report["findings"], everything=everything))
    if blind := [one["name"] for one in report["sources"] if one["state"] == "down"]:
        blocks.append(f"Sources that cannot be read: {', '.join(blind)}")
    return "\n\n".join(blocks) + "\n"


def _counts(report: Document) -> str:
    verdicts = Counter(container["verdict"] for container in report["containers"])
    counted = " · ".join(
        f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict]
    )
    return f"{report['cluster']} at {report['at']}: {counted or 'no running containers'}"


def _rows(containers: Iterable[Document]) -> Iterator[tuple[str, ...]]:
    for container in containers:
        worst = [pair for pair in container["policies"] if pair["verdict"] == container["verdict"]]
        yield (
            container["verdict"],
            name_of(container),
            container["node"],
            ", ".join(policy_of(pair) for pair in worst) or "-",
            container["cause"] or ", ".join(sorted({pair["grade"] or "" for pair in worst})) or "-",
        )


def _host_rows(nodes: Iterable[Document], *, everything: bool) -> Iterator[tuple[str, ...]]:
    """A line per node: its policies with the worst verdict."""
    for node in nodes:
        verdicts = [pair["verdict"] for pair in node["policies"]]
        worst = next((verdict for verdict in VERDICTS if verdict in verdicts), None)
        if worst is None or not (everything or worst in NOT_IN_FORCE):
            continue
        pairs = [pair for pair in node["policies"] if pair["verdict"] == worst]
        reasons = {pair["cause"] or pair["grade"] or "" for pair in pairs}
        yield (
            worst,
            HOST,
            node["node"],
            ", ".join(map(policy_of, pairs)),
            ", ".join(sorted(reasons)),
        )


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns."""
    cells = [tuple(heading), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _incident(incident: Document) -> str:
    cause = CAUSES.get(incident["cause"])
    size = f"{incident['containers']} containers, since {since(incident)}"
    kind = "INCIDENT" if incident["severity"] == "page" else "TO BE KNOWN"
    lines = [
        f"{kind} {incident['cause']} ({incident['scope']}): {size}",
        *([f"  what happened: {cause.what}"] if cause else []),
        f"  what to do: {incident['remedy']}",
    ]
    return "\n".join(map(printable, lines))


def _findings(findings: Sequence[Document], *, everything: bool) -> Iterator[str]:
    """How many there are of each code, then a block for each code and remedy."""
    if not findings:
        return
    codes = Counter(finding["code"] for finding in findings)
    counted = " · ".join(f"{count} {code}" for code, count in codes.items())
    yield printable(f"Findings, which are no gaps: {counted}")
    alike: dict[tuple[str, str], list[Document]] = {}
    for finding in findings:
        alike.setdefault((finding["code"], finding["remedy"]), []).append(finding)
    shown = len(findings) if everything else FINDINGS_SHOWN
    for found in alike.values():
        yield "\n".join(map(printable, _finding(found, shown=shown)))


def _finding(alike: Sequence[Document], *, shown: int) -> Iterator[str]:
    first, more = alike[0], len(alike) - shown
    kind = FINDINGS.get(first["code"])
    yield f"FINDING {first['code']} ({first['kind']})" + (f": {kind.title}" if kind else "")
    yield from (f"  {one['subject']}: {one['detail']}" for one in alike[:shown])
    if more > 0:
        yield f"  and {more} more: the report as JSON has them all"
    yield f"  what to do: {first['remedy']}"


def since(subject: Document) -> str:
    """Return since when, in RFC 3339; two instants where it is not known exactly."""
    earliest, latest = subject["since"]
    return str(earliest) if earliest == latest else f"{earliest} … {latest}"


def name_of(container: Document) -> str:
    """Return a container as people write it."""
    return f"{container['namespace']}/{container['pod']}/{container['container']}"


def policy_of(pair: Document) -> str:
    """Return a policy's name, with its namespace if it has one."""
    return f"{pair['namespace']}/{pair['name']}" if pair["namespace"] else str(pair["name"])


def printable(text: str) -> str:
    """Return the text on one line, what a terminal would act on as escapes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
