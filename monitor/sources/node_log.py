"""The output of one node's daemon: its incarnations, one after the other.

The dead are read before the living, so that lines come in the order in which the node wrote them.
But a stream can outlive its container, a kubelet can be silent, a Pod that failed can stay for ever
unreadable: the living waits for the dead no longer than `HANDOVER_SECONDS`. Then it is read, and
what can still be had of the dead comes beside it. Each line says which incarnation wrote it, and
within one the order holds; the order between them is a courtesy.

Whether the node's output can be read is what the incarnation that was begun last says. The dead
that are read beside it say nothing of that.
"""

import asyncio
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from msgspec import structs

from monitor.retry import cancelled
from monitor.sources.container_log import DaemonTarget, Incarnation
from monitor.sources.incarnation_log import CONTAINER_ENDED, IncarnationLog, Means
from monitor.sources.sight import Sight, Voice
from monitor.sources.transcript import Transcript
from monitor.sources.wanted import Wanted

HANDOVER_SECONDS = 2.0


class Errand(NamedTuple):
    """Something to read: a container's output, or what the API still has of its former run's."""

    target: DaemonTarget
    previous: bool = False

    @property
    def key(self) -> "Key":
        return (self.target.incarnation, self.previous)

    @property
    def rank(self) -> tuple[bool, int, str, str, bool]:
        """The dead before the living, the older before the newer."""
        target = self.target
        return (target.running, target.restart, target.uid, target.container, self.previous)


Key: TypeAlias = tuple[Incarnation, bool]


class Opened(NamedTuple):
    """An errand that is under way."""

    errand: Errand
    task: asyncio.Task[None]


class NodeLog:
    """Reads the daemons of one node."""

    def __init__(self, node: str, *, means: Means) -> None:
        self._sight = Sight(f"text/{node}")
        self._voice = Voice(self._sight, silent=False)
        self._means = means
        self._clock = means.clock
        self._wanted = Wanted()
        self._stirred = asyncio.Event()
        self._open: dict[Key, Opened] = {}
        self._finished: set[Key] = set()
        self._overdue: set[Key] = set()
        self._dead_since: float | None = None
        self._transcripts: dict[Incarnation, Transcript] = {}
        self.idle = True

    @property
    def name(self) -> str:
        return self._sight.name

    def want(self, targets: Iterable[DaemonTarget]) -> None:
        """Read these from now on; those that are left out are read to their end."""
        self._wanted.replace(targets)
        restarts = {t.uid: t.restart for t in self._wanted.targets.values()}
        self._finished = {
            key
            for key in self._finished
            if key[0].restart + 1 >= restarts.get(key[0].pod_uid, math.inf)
        }
        self._stirred.set()

    async def run(self) -> None:
        try:
            while True:
                self._stirred.clear()
                self._close_finished()
                while errand := self._due():
                    await self._begin(errand)
                self.idle = not self._open
                await self._news()
        finally:
            await cancelled(*(opened.task for opened in self._open.values()))
            self._open = {}

    def _close_finished(self) -> None:
        for key, (_, task) in list(self._open.items()):
            if task.done():
                del self._open[key]
                self._finished.add(key)
                task.result()

    def _unread(self) -> list[Errand]:
        errands = []
        for target in self._wanted.targets.values():
            if self._had_former(target):
                ended = structs.replace(target, restart=target.restart - 1, running=False)
                errands.append(Errand(ended, previous=True))
            errands.append(Errand(target))
        unread = [
            errand
            for errand in errands
            if errand.key not in self._open
            and (errand.target.running or errand.key not in self._finished)
        ]
        return sorted(unread, key=lambda errand: errand.rank)

    def _had_former(self, target: DaemonTarget) -> bool:
        """Whether a former run of the container was read, so that its end may be missing."""
        return any(
            (read.pod_uid, read.container) == (target.uid, target.container)
            and read.restart < target.restart
            for read in self._transcripts
        )

    def _due(self) -> Errand | None:
        """Choose what to begin now."""
        unread = self._unread()
        if not self._open:
            self._dead_since = self._dead_since if unread else None
            return unread[0] if unread else None
        if any(self._wanted.runs(opened.errand.target) for opened in self._open.values()):
            self._dead_since = None
            return self._next_overdue(unread)
        if self._dead_since is None:
            self._dead_since = self._clock.now()
        living = [errand for errand in unread if errand.target.running]
        if living and self._patience() <= 0:
            return living[0]
        return self._next_overdue(unread)

    def _next_overdue(self, unread: list[Errand]) -> Errand | None:
        """Choose of the dead that a living one did not wait for: one at a time as well."""
        if any(not self._wanted.runs(opened.errand.target) for opened in self._open.values()):
            return None
        return next((errand for errand in unread if errand.key in self._overdue), None)

    def _patience(self) -> float:
        """Return for how many seconds more a living one would wait for the dead."""
        since = self._clock.now() if self._dead_since is None else self._dead_since
        return since + HANDOVER_SECONDS - self._clock.now()

    async def _begin(self, errand: Errand) -> None:
        target = errand.target
        beside = bool(self._open) and not target.running
        if not beside:
            self._overdue = {one.key for one in self._unread() if not one.target.running}
            self._give_the_word()
        await self._leave_former_runs(target)
        reader = IncarnationLog(
            target,
            transcript=self._transcript(errand),
            wanted=self._wanted,
            voice=Voice(self._sight, silent=True) if beside else self._voice,
            means=self._means,
        )
        work = reader.complete() if errand.previous else reader.read()
        self._open[errand.key] = Opened(errand, asyncio.create_task(work, name=self.name))

    def _give_the_word(self) -> None:
        if self._sight.is_up:
            self._means.intake.deliver(self._sight.down(CONTAINER_ENDED))
        self._voice.silent = True
        self._voice = Voice(self._sight, silent=False)

    async def _leave_former_runs(self, target: DaemonTarget) -> None:
        """Stop to follow what has been restarted: the API has the rest of it as `previous`."""
        left = [
            key
            for key, (former, _) in self._open.items()
            if not former.previous
            and former.target.uid == target.uid
            and former.target.container == target.container
            and former.target.restart < target.restart
        ]
        await cancelled(*(self._open[key].task for key in left))
        for key in left:
            del self._open[key]
            self._finished.add(key)

    def _transcript(self, errand: Errand) -> Transcript:
        """Return what was read of it before, and forget what nobody can ask for again."""
        target = errand.target
        if not errand.previous and self._had_former(target):
            former = structs.replace(target, restart=target.restart - 1)
            self._transcripts.setdefault(former.incarnation, Transcript())
        found = self._transcripts.setdefault(target.incarnation, Transcript())
        restarts = {t.uid: t.restart for t in self._wanted.targets.values()}
        restarts |= {o.errand.target.uid: o.errand.target.restart for o in self._open.values()}
        restarts |= {target.uid: target.restart}
        self._transcripts = {
            read: transcript
            for read, transcript in self._transcripts.items()
            if read.restart + 1 >= restarts.get(read.pod_uid, math.inf)
        }
        return found

    async def _news(self) -> None:
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._stirred.wait())]
        if self._dead_since is not None and self._patience() > 0:
            waits.append(asyncio.create_task(self._clock.sleep(self._patience())))
        try:
            tasks = {*waits, *(opened.task for opened in self._open.values())}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(*waits)
