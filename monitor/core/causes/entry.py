"""The entries of the table of causes and of the table of findings."""

from typing import Literal, TypeAlias

from msgspec import Struct

from monitor.core.model import Verdict

Scope: TypeAlias = Literal["node", "daemonset", "release", "policy", "container"]
Channel: TypeAlias = Literal[
    "kubernetes", "text", "messages", "alerts", "logs", "health", "configuration"
]
Certainty: TypeAlias = Literal["certain", "inferred", "suspected"]
Nature: TypeAlias = Literal["over-coverage", "intent", "suspicion"]

RUNBOOKS = "deploy/runbooks/README.md"


class ReleaseRemedy(Struct, frozen=True, gc=False):
    """What to do where the daemon's release is at least `since` and below `before` ("" is open)."""

    since: str
    before: str
    text: str

    def concerns(self, release: str | None) -> bool:
        """Whether a release is one of those; one that is not known or no version is not."""
        asked, first, beyond = _version(release), _version(self.since), _version(self.before)
        if asked is None:
            return False
        return (first is None or asked >= first) and (beyond is None or asked < beyond)


class Entry(Struct, frozen=True, gc=False, kw_only=True):
    """What a cause and a kind of finding have in common.

    `modes` are the failure modes of the dossier; `since` and `before` bound the releases that have
    it as in `ReleaseRemedy`. `shown_by` is the evidence and `sources` where it is read; `certainty`
    is how sure that evidence makes it: `certain` by what was said or is written in the cluster,
    `inferred` from several facts or from silence, `suspected` where nothing passive can prove it.
    """

    code: str
    modes: tuple[str, ...] = ()
    since: str = ""
    before: str = ""
    sources: tuple[Channel, ...]
    certainty: Certainty
    title: str
    what: str
    shown_by: str
    remedy: str
    remedies: tuple[ReleaseRemedy, ...] = ()

    @property
    def runbook(self) -> str:
        return f"{RUNBOOKS}#{self.code}"

    def remedy_on(self, release: str | None) -> str:
        """Return what to do where the daemon is of that release (None: not known)."""
        for special in self.remedies:
            if special.concerns(release):
                return f"{self.remedy} {special.text}"
        return self.remedy


class Cause(Entry, frozen=True, gc=False, kw_only=True):
    """One cause.

    `verdicts` are those it can explain; `scope` is what gaps of this cause have in common when they
    join into one incident (`container`: nothing, no incident is made of it).
    """

    verdicts: tuple[Verdict, ...]
    scope: Scope


class FindingKind(Entry, frozen=True, gc=False, kw_only=True):
    """One kind of finding: something to know that is no gap."""

    kind: Nature


def _version(release: str | None) -> tuple[int, ...] | None:
    parts = (release or "").removeprefix("v").split("-")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None
