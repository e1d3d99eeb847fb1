"""How a daemon's informers come through an absence of the API server.

When the server comes back it no longer knows the revision from which an informer wants to go on,
so the informer lists anew. It does so at an instant of its own: the waits between its attempts
grow and are random (those of client-go's reflector), and they differ from one resource to the next
even within one daemon. Until then its daemon hears nothing of that resource, whatever others are
told.

A recording does not say when that was. Its daemons' text does: an informer that was away says
nothing of its resource, so the first line about it after the absence is its list. That the daemon
was cut off at all shows in lines about objects to which nothing had happened (v1.7.4 delivers
every object again, older releases their Pods). An informer without objects says nothing; its next
line, whatever the reason, is then taken for its list, which comes to the same.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.emulator.recording import Incarnation, Record, changes
from tests.emulator.world import RESOURCES, Key, key_of

_POD = re.compile(r"Detected a Pod \(\w+/([^/]+)/([^)]+)\)")
_POLICY = re.compile(r"Detected a (Cluster |Host |)Security Policy \(\w+/(?:([^/]+)/)?([^)]+)\)")
_POLICIES = {
    "": "kubearmorpolicies",
    "Cluster ": "kubearmorclusterpolicies",
    "Host ": "kubearmorhostpolicies",
}
_NAMESPACE = re.compile(r"Namespace (\S+) visibili?t?y configured")
_CONFIGURED = "Current Global Posture is"
_CONFIGURING = re.compile(
    r"\[Update\] Global|(Updat|Successfully add)ed visibili?t?y map|Namespace "
)
_NODE = "Failed to read /sys/kernel/security/lsm"


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds between the attempts of an informer: doubled each time, each up to twice as long."""

    first: float = 0.8
    longest: float = 30.0


@dataclass(frozen=True, slots=True)
class Absence:
    """The API server was away for a resource: since when, and until when at least."""

    resource: str
    since: float
    last_refusal: float


@dataclass(frozen=True, slots=True)
class Relist:
    """An informer heard nothing from `since` on and listed anew `at` (infinite: not seen)."""

    resource: str
    since: float
    at: float


def lists_again(
    *, since: float, back: float, generator: random.Random, waits: Waits | None = None
) -> float:
    """Return when an informer lists whose watch broke at `since` and whose server is `back`.

    The first attempt that is answered is told that the revision is gone (if the server was never
    away, that is what broke the watch); the next one lists.
    """
    waits = waits or Waits()
    attempt, wait, told = since, waits.first, since >= back
    while True:
        attempt += wait * (1 + generator.random())
        if told:
            return attempt
        told = attempt >= back
        wait = min(2 * wait, waits.longest)


def absences(records: Iterable[Record]) -> Iterator[Absence]:
    """Yield when resources were away, as whoever recorded met it."""
    away: dict[str, Absence] = {}
    for record in records:
        if record["kind"] != "source":
            continue
        group, _, resource = record["name"].partition("/")
        if group != "kubernetes":
            continue
        if record["state"] == "down":
            since = away[resource].since if resource in away else record["at"]
            away[resource] = Absence(resource, since, record["at"])
        elif resource in away:
            yield away.pop(resource)


def relists(records: Sequence[Record], incarnation: Incarnation) -> Iterator[Relist]:
    """Yield the lists that a daemon's text shows, for every absence that cut it off."""
    known = [
        each
        for each in absences(records)
        if each.resource in RESOURCES and _lives_through(incarnation, each)
    ]
    mentioned = list(_mentions(incarnation))
    changed = [(at, resource, key_of(item)) for at, resource, _, item in changes(list(records))]
    for absence in known:
        together = [other for other in known if _overlap(absence, other)]
        if any(_repeats(each, mentioned, changed) for each in together):
            lines = [at for at, resource, _ in mentioned if _follows(absence, at, resource)]
            yield Relist(absence.resource, absence.since, min(lines, default=float("inf")))


def _lives_through(incarnation: Incarnation, absence: Absence) -> bool:
    return incarnation.started < absence.since and absence.last_refusal < incarnation.ended


def _overlap(one: Absence, other: Absence) -> bool:
    return one.since <= other.last_refusal and other.since <= one.last_refusal


def _follows(absence: Absence, at: float, resource: str) -> bool:
    return resource == absence.resource and at > absence.last_refusal


def _repeats(
    absence: Absence,
    mentioned: Iterable[tuple[float, str, Key | None]],
    changed: Collection[tuple[float, str, Key]],
) -> bool:
    """Say whether a line after the absence is about something that did not change since."""
    for at, resource, key in mentioned:
        reasons = (
            absence.since < moment <= at
            for moment, of, item in changed
            if of == resource and key in {None, item}
        )
        if _follows(absence, at, resource) and not any(reasons):
            return True
    return False


def _mentions(incarnation: Incarnation) -> Iterator[tuple[float, str, Key | None]]:
    """Yield the lines that an object led to: instant, resource, object where the line names it.

    The handler of the configuration speaks of every namespace too: those lines are its own.
    """
    configuring = False
    for at, text in incarnation.lines:
        if text.startswith(_CONFIGURED):
            configuring = True
            yield at, "configmaps", None
            continue
        configuring = configuring and _CONFIGURING.match(text) is not None
        if text.startswith(_NODE):
            yield at, "nodes", ("", incarnation.node)
        elif pod := _POD.match(text):
            yield at, "pods", (pod[1], pod[2])
        elif policy := _POLICY.match(text):
            yield at, _POLICIES[policy[1]], (policy[2] or "", policy[3])
        elif (namespace := _NAMESPACE.match(text)) and not configuring:
            yield at, "namespaces", ("", namespace[1])
