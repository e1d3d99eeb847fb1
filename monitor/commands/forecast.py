"""A simulation for people, made of its JSON."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from monitor.commands.text import printable, table

Document: TypeAlias = Mapping[str, Any]

CHANGES: Final = {
    "gains": "gains",
    "loses": "LOSES",
    "revised": "revised",
    "stale": "KEEPS OLD",
    "laterGains": "LATER GAINS",
    "laterLoses": "LATER LOSES",
}
EFFECTS: Final = {
    "not-stored": (
        "{policy} is not stored while {other} has its name: containers that run get it, those of "
        "Pods that come later do not"
    ),
    "overwrites": "{policy} takes the place of {other} in the daemons' lists, which is lost",
    "removes": "{policy} takes {other} along",
}
EXPLANATION: Final = (
    "KEEPS OLD: the new container list does not name the container, which keeps the old revision. "
    "LATER: what a replacement of the Pod has more or less than the Pod that runs."
)


def render(forecast: Document) -> str:
    """Return what changes, release by release."""
    blocks = [_policies(forecast)]
    for release in forecast["releases"]:
        blocks.extend(_release(release))
    blocks.extend(_left_out(forecast))
    return "\n\n".join(blocks) + "\n"


def _policies(forecast: Document) -> str:
    said = [f"{_name(one)} would be {one['action']}" for one in forecast["policies"]]
    return "\n".join(said) or "Every policy of the files is there already, just so."


def _release(release: Document) -> Iterator[str]:
    rows = list(_rows(release["containers"]))
    size = f"{len(release['nodes'])} nodes, {release['containersSimulated']} containers"
    summary = ", ".join(
        f"{count} {word.lower()}"
        for word in CHANGES.values()
        if (count := sum(row[0] == word for row in rows))
    )
    yield f"KubeArmor {release['release']} ({size}): {summary or 'nothing changes'}"
    if rows:
        yield table(("CHANGE", "CONTAINER", "NODE", "POLICY", "NOTE"), rows)
    if any(row[0].startswith(("KEEPS", "LATER")) for row in rows):
        yield EXPLANATION
    for one in release["collisions"]:
        text = EFFECTS[one["effect"]].format(policy=_name(one["policy"]), other=_name(one["other"]))
        yield printable(f"COLLISION {text}. Give one of them another name.")
    if idle := release["reachesNobody"]:
        yield printable(f"No running container gets {', '.join(map(_name, idle))}.")


def _rows(containers: Iterable[Document]) -> Iterator[tuple[str, ...]]:
    for member, word in CHANGES.items():
        for one in containers:
            for policy in one[member]:
                place = f"{one['namespace']}/{one['pod']}/{one['container']}"
                note = f"not enforced: {one['spared']}" if one["spared"] else ""
                yield (word, place, one["node"], _name(policy), note)


def _left_out(forecast: Document) -> Iterator[str]:
    if skipped := forecast["skipped"]:
        nodes = ", ".join(f"{one['node']} ({one['release'] or 'unknown'})" for one in skipped)
        yield f"Nodes left out, because their release is not known or not described: {nodes}"
    if others := forecast["others"]:
        yield printable(f"Not simulated: {', '.join(others)}")


def _name(policy: Document) -> str:
    place = f"{policy['namespace']}/" if policy["namespace"] else ""
    return f"{policy['kind']} {place}{policy['name']}"
