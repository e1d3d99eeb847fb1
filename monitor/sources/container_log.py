"""The output of one daemon container through pods/log: what to ask for, what an answer means."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from monitor.clock import Clock
from monitor.retry import Late
from monitor.sources import RejectionReason
from monitor.sources.api_server import NETWORK_ERRORS, ApiServer, failure_of
from monitor.sources.failures import Failure
from monitor.sources.lines import LineBuffer, Lines
from monitor.sources.transcript import Backlog, Reading, Transcript

LINE_BYTES = 1024 * 1024
BACKLOG_BYTES = 2 * 1024 * 1024
BACKLOG_LINES = 16_384
ANSWER_SECONDS = 30.0
QUIET_SECONDS = 60.0
FUTURE_SECONDS = 86_400.0


class Incarnation(NamedTuple):
    """One run of a container: a restart makes a new one."""

    pod_uid: str
    restart: int
    container: str


class DaemonTarget(Struct, frozen=True):
    """A daemon container whose output is to be read; `restart` is its restart count.

    A container that does not run is read to its end, once, if it can still be read.
    """

    node: str
    namespace: str
    pod: str
    uid: str
    restart: int
    container: str
    running: bool

    @property
    def incarnation(self) -> Incarnation:
        return Incarnation(self.uid, self.restart, self.container)

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.pod}"


class Past(Struct, frozen=True):
    """What was written until now and not read before.

    `gap`: older lines stay unread. `jumped`: the last line that was read is not there any more;
    either the file was rotated, or this is the output of another incarnation already.
    """

    lines: list[bytes]
    gap: bool
    jumped: bool


End: TypeAlias = Failure | Literal["ended", "quiet", "jumped"]


class Jumped(Exception):
    """The output does not go on where it was left."""


class ContainerLog:
    """Reads the output of one incarnation, each line once.

    The API names the container, not its run: while the status is late, the output of a successor
    comes in the place of what was asked for. That the second that is read again holds the last line
    that was read is the proof that it is still the same run.

    `refuse` is called with the beginning of every line that cannot be kept, and why: it is too
    long, or it is stamped in a future so far that all lines after it would seem to precede it.
    """

    def __init__(
        self,
        target: DaemonTarget,
        *,
        server: ApiServer,
        transcript: Transcript,
        clock: Clock,
        refuse: Callable[[RejectionReason, bytes], None],
    ) -> None:
        self._target = target
        self._server = server
        self._transcript = transcript
        self._clock = clock
        self._refuse = refuse

    async def past(self, *, complete: bool, previous: bool = False) -> Past | Failure:
        """Read what was written until now and not read before: the newest 2 MiB of it.

        A request that does not follow has an end, which is how the past is told from the present.
        The API can limit the newest lines but not their bytes, hence both bounds. `complete` says
        that nothing more will be written, so that a last line without a newline is a line.
        """
        resumed = self._transcript.begun
        reading = Reading(self._transcript)
        backlog = Backlog(limit=BACKLOG_BYTES)
        seen = 0

        async def take(lines: list[bytes]) -> None:
            nonlocal seen
            seen += len(lines)
            backlog.add(reading.fresh(lines))

        query = {"tailLines": str(BACKLOG_LINES)} | ({"previous": "true"} if previous else {})
        try:
            end = await self._read(
                query, take, answer_within=ANSWER_SECONDS, keep_remainder=complete
            )
        except NETWORK_ERRORS as error:
            return failure_of(error)
        if isinstance(end, Failure):
            return end
        lines = backlog.lines
        jumped = resumed and bool(lines) and not reading.met_known
        gap = jumped or backlog.dropped > 0 or (not resumed and seen >= BACKLOG_LINES)
        return Past(lines, gap=gap, jumped=jumped)

    def accept(self, lines: list[bytes]) -> None:
        """Take lines of the past as read, from its beginning."""
        self._transcript.note(lines)

    async def present(self, take: Callable[[list[bytes]], Awaitable[None]]) -> End:
        """Give what is written from now on to `take`, until it ends; return how it ended.

        `quiet` is no failure: a daemon may have nothing to say for long, and only another request
        can tell that from a connection that died behind the API server.
        """
        resumed = self._transcript.begun
        reading = Reading(self._transcript)

        async def take_fresh(lines: list[bytes]) -> None:
            if fresh := reading.fresh(lines):
                if resumed and not reading.met_known:
                    raise Jumped
                self._transcript.note(fresh)
                await take(fresh)

        try:
            end = await self._read(
                {"follow": "true"}, take_fresh, answer_within=QUIET_SECONDS, keep_remainder=False
            )
        except Jumped:
            return "jumped"
        except Late:
            return "quiet"
        except NETWORK_ERRORS as error:
            return failure_of(error)
        return end or "ended"

    async def _read(
        self,
        query: dict[str, str],
        take: Callable[[list[bytes]], Awaitable[None]],
        *,
        answer_within: float,
        keep_remainder: bool,
    ) -> Failure | None:
        """Make one request and give its lines to `take`; return None at the orderly end."""
        target = self._target
        path = f"/api/v1/namespaces/{target.namespace}/pods/{target.pod}/log"
        query = {"container": target.container, "timestamps": "true"} | query
        if since := self._transcript.since:
            query["sinceTime"] = since
        async with self._server.get(
            path, query=query, answer_within=answer_within, accept="*/*"
        ) as response:
            if response.status != 200:
                return await self._server.refusal(response, silence=ANSWER_SECONDS)
            buffer = LineBuffer(limit=LINE_BYTES)
            while chunk := await self._server.chunk(response, silence=QUIET_SECONDS):
                await take(self._kept(buffer.feed(chunk)))
            if keep_remainder and buffer.remainder:
                await take([buffer.remainder])
        return None

    def _kept(self, lines: Lines) -> list[bytes]:
        for head in lines.overlong:
            self._refuse("too-long", head)
        last_day = self._last_day()
        kept = []
        for line in lines.complete:
            if _is_dated_after(line, last_day):
                self._refuse("invalid", line)
            else:
                kept.append(line)
        return kept

    def _last_day(self) -> bytes:
        latest = datetime.fromtimestamp(self._clock.now() + FUTURE_SECONDS, tz=UTC)
        return latest.strftime("%Y-%m-%d").encode()


def _is_dated_after(line: bytes, day: bytes) -> bool:
    """Compare the date as text; what does not begin with a date is for others to refuse."""
    return line[:10] > day and line[:1].isdigit()
