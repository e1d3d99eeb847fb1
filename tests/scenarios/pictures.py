"""A report as a picture: everything that it says, without ids and instants."""

from collections.abc import Mapping
from typing import Any

from monitor.core.causes import CAUSES
from tests.emulator.objects import SYSTEM
from tests.emulator.scenarios.scenario import (
    APPLIED,
    BASE,
    QUIET_NODES,
    STAGE,
    Answer,
    Scenario,
    Trouble,
    bystanders,
    on,
)

Document = Mapping[str, Any]
Painted = dict[str, Any]


def painted(report: Document) -> Painted:
    """Return all that a report says."""
    return {
        "containers": {_place(one): _answer(one) for one in report["containers"]},
        "nodes": {one["node"]: _words(one) for one in report["nodes"]},
        "hosts": {one["node"]: _pairs(one) for one in report["nodes"] if one["policies"]},
        "gaps": sorted((one["state"], _words(one), _name(one)) for one in report["gaps"]),
        "incidents": sorted(_incident(one) for one in report["incidents"]),
        "findings": sorted((one["code"], one["subject"]) for one in report["findings"]),
        "blind": [one["name"] for one in report["sources"] if one["state"] != "up"],
    }


def expected(scenario: Scenario, *, healed: bool) -> Painted:
    """Return all that a report should say once it went wrong, or once that was healed.

    The bystanders are covered, what else is there is in the scenario's picture.
    """
    picture = scenario.then if healed else scenario.shows
    containers = {name: on(APPLIED) for name in bystanders()}
    tracked = scenario.base != BASE
    # Only a Pod that could be protected makes it worth saying.
    system = Answer("unpoliced", {}) if tracked else on("exempt untracked-namespace")
    narrow = (
        [("namespace-left-out", "KubeArmorClusterPolicy base")]
        if tracked and picture.containers
        else []
    )
    daemons = dict.fromkeys((f"{SYSTEM}/{node}" for node in picture.daemons), system)
    state = "closed" if healed or scenario.over else "open"
    troubles = (*scenario.troubles, *(scenario.prices if healed else ()))
    return {
        "containers": containers | daemons | dict(picture.containers),
        "nodes": dict.fromkeys((*QUIET_NODES, STAGE), "covered") | dict(picture.nodes),
        "hosts": {node: dict(pairs) for node, pairs in picture.hosts.items()},
        "gaps": sorted(
            (state, trouble.words(state), name)
            for trouble in troubles
            for name in trouble.containers
        ),
        "incidents": sorted(
            _told(trouble, state=state, release=scenario.release) for trouble in troubles
        ),
        "findings": sorted([*picture.findings, *narrow]),
        "blind": list(picture.blind),
    }


def _told(trouble: Trouble, *, state: str, release: str) -> tuple[Any, ...]:
    known = release if trouble.release == "" else trouble.release
    remedy = CAUSES[trouble.cause].remedy_on(known)
    count = len(trouble.containers)
    return (state, trouble.severity, trouble.cause, trouble.scope, count, remedy)


def _incident(one: Document) -> tuple[Any, ...]:
    names = ("state", "severity", "cause", "scope", "containers", "remedy")
    return tuple(one[name] for name in names)


def _answer(container: Document) -> Answer:
    return Answer(_words(container), _pairs(container))


def _pairs(owner: Document) -> dict[str, str]:
    return {_policy(pair): _words(pair, pair["grade"]) for pair in owner["policies"]}


def _words(one: Document, grade: str | None = None) -> str:
    return " ".join(filter(None, (one["verdict"], one["cause"] or grade)))


def _policy(pair: Document) -> str:
    return f"{pair['namespace']}/{pair['name']}" if pair["namespace"] else str(pair["name"])


def _place(container: Document) -> str:
    """A daemon's Pod is named by its node: there is one after another."""
    if container["namespace"] == SYSTEM:
        return f"{SYSTEM}/{container['node']}"
    return _name(container)


def _name(one: Document) -> str:
    return f"{one['namespace']}/{one['pod']}/{one['container']}"
