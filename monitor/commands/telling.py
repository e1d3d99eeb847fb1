"""Explanations for people: what a policy was meant to do, what was asked in turn, what decided."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from monitor.commands.text import Document, name_of, policy_of, printable, since

MARKS: Final[Mapping[str, str]] = {"known": "yes", "known-not": "no", "unread": "unread"}
ATTACHED: Final[Mapping[bool | None, str]] = {
    True: "attached",
    False: "not attached",
    None: "open whether it is attached",
}
MEANINGS: Final[Mapping[str, str]] = {
    "intended": "as its manifest reads",
    "expected": "as KubeArmor means it",
}


def tell(containers: Sequence[Document]) -> str:
    """Return explained containers in plain words."""
    return (
        "\n\n".join(
            "\n".join(printable(line) for line in _container(container)) for container in containers
        )
        + "\n"
    )


def tell_node(node: Document) -> str:
    """Return an explained node in plain words."""
    return "\n".join(printable(line) for line in _node(node)) + "\n"


def _container(container: Document) -> Iterator[str]:
    cause = f", {container['cause']}" if container["cause"] else ""
    yield f"{name_of(container)} on {container['node']}: {container['verdict']}{cause}"
    yield f"  container {container['containerId']}"
    least, most = container["exposureSeconds"]
    yield f"  exposed for {least:.1f} to {most:.1f} s"
    for pair in container["policies"]:
        yield ""
        yield from _pair(pair)
    yield from _others(container["others"])
    for incident in container["incidents"]:
        if incident["state"] == "open":
            yield ""
            yield (
                f"  incident {incident['cause']} ({incident['scope']}), {incident['severity']}: "
                f"{incident['containers']} containers, since {since(incident)}"
            )
    yield from _remedies(container)


def _node(node: Document) -> Iterator[str]:
    cause = f", {node['cause']}" if node["cause"] else ""
    yield f"node {node['node']}: {node['verdict']}{cause}"
    yield f"  daemon {_daemon(node)}"
    if not node["policies"]:
        yield "  no host or network policy selects it"
    for pair in node["policies"]:
        yield ""
        yield from _pair(pair)
    yield from _others(node["others"])
    own = [node] if node["remedy"] else []
    yield from _remedies({**node, "policies": [*node["policies"], *own]})


def _daemon(node: Document) -> str:
    """Which Pod it is, of which release, by what it enforces, and how long it has been so."""
    daemon = node["daemon"]
    parts = [f"{daemon['pod']} (restart {daemon['restart']})" if daemon else ""]
    parts.append(node["release"] or "of an unknown release")
    if node["enforcer"] is not None:
        parts.append(f"enforces by {node['enforcer']}" if node["enforcer"] else "has no enforcer")
    entered = f" since {since(node)}" if node["since"] else ""
    return ", ".join(part for part in (*parts, f"{node['phase']}{entered}") if part)


def _others(others: Sequence[Document]) -> Iterator[str]:
    for other in others:
        yield ""
        yield f"  {other['kind']} {policy_of(other)}: does not protect it; {other['text']}"
        yield from _meanings(other["meanings"])


# --- a policy -----------------------------------------------------------------------------------


def _pair(pair: Document) -> Iterator[str]:
    yield f"  {pair['kind']} {policy_of(pair)}: {_verdict(pair)}"
    yield from _meanings(pair["meanings"])
    yield "    what was asked, in turn:"
    for step in pair["trail"]:
        yield f"      {_step(step)}"
    for reason in pair["reasons"]:
        yield f"    {reason['cause']}: {reason['evidence']}"


def _verdict(pair: Document) -> str:
    cause = f"{pair['cause']} ({pair['certainty']})" if pair["certainty"] else pair["cause"]
    parts = [pair["verdict"], pair["grade"], cause]
    if pair["since"]:
        parts.append(f"since {since(pair)}")
    if pair["delaySeconds"]:
        least, most = pair["delaySeconds"]
        parts.append(f"in force after {least:.2f} to {most:.2f} s")
    if not pair["expected"]:
        parts.append("not expected")
    if pair["expected"] and pair["predicted"] is False:
        parts.append("this release does not apply it")
    return ", ".join(part for part in parts if part)


def _meanings(meanings: Document) -> Iterator[str]:
    for meaning, words in MEANINGS.items():
        selected = "selected" if meanings[meaning]["selected"] else "not selected"
        yield f"    {words}: {selected} ({'; '.join(meanings[meaning]['reasons'])})"
    predicted = meanings["predicted"]
    release = predicted["release"] or "an unknown release"
    yield f"    as the node's daemon ({release}) takes it: {ATTACHED[predicted['attached']]}"
    for told in predicted["story"]:
        yield f"      {_at(told)}{told['text']}"


def _step(step: Document) -> str:
    decides = " <- this decides" if step["decides"] else ""
    mark = f"{MARKS[step['knowledge']]:6} {step['question']:10}"
    return f"{mark} {_at(step)}{step['text']} [{step['source']}]{decides}"


def _at(subject: Document) -> str:
    """When, at the latest."""
    return f"{subject['at'][1]} " if subject["at"] else ""


# --- what to do ---------------------------------------------------------------------------------


def _remedies(container: Document) -> Iterator[str]:
    """Once for each cause: policies often share it. The container's own comes last."""
    pairs = {pair["cause"]: pair for pair in container["policies"] if pair["remedy"]}
    for cause in sorted(pairs, key=lambda cause: (cause == container["cause"], cause)):
        pair = pairs[cause]
        yield ""
        yield f"  {cause}"
        yield f"  what happened: {pair['what']}"
        yield f"  what to do: {pair['remedy']}"
        yield f"  more: {pair['runbook']}"
