"""What the health services of a node's daemons answered, kept by incarnation.

A daemon's health service knows `feeder.LogService` only once it has initialised (dossier 1.3): a
daemon that serves has initialised by then, and one that does not know the service is starting. So
the first answer of the one kind and the last of the other are all there is to keep, and they are
the same in whatever order the answers come.

An answer is worth something only where the daemon's output does not show its start. It says nothing
of rules: it makes no pair covered. And what it shows is past when it comes: a daemon that was
starting makes a gap only where it still was when it should have been ready.
"""

from typing import Final, TypeAlias

from monitor.core.model import HealthAnswered, Interval

Identity: TypeAlias = tuple[str, int]

HEALTH: Final = "health/daemons"
"""The source of all answers: one for all daemons, as whether it can be read depends on the network
between, not on any one of them."""
ANSWERS_KEPT: Final = 4
ANSWER_LASTS: Final = 20.0
"""Seconds for which a daemon that was starting is taken for starting.

While it is, it is asked every five seconds: by then three answers are missing.
"""


class Answers:
    """The answers of one incarnation: receive times, None where there was none of the kind."""

    __slots__ = ("served", "starting")

    def __init__(self) -> None:
        self.served: float | None = None
        self.starting: float | None = None

    def take(self, *, serving: bool, at: float) -> bool:
        """Keep the first answer that it serves, the last that it does not; whether it is such."""
        before = (self.served, self.starting)
        if serving:
            self.served = at if self.served is None else min(self.served, at)
        else:
            self.starting = at if self.starting is None else max(self.starting, at)
        return before != (self.served, self.starting)

    def since(self, began: float) -> "Answers | None":
        """The answers that can be of a daemon that began then; None if there is none.

        Those before it are another's: successive daemons of a node answer at the same address.
        """
        kept = Answers()
        kept.served = self.served if self.served is not None and self.served >= began else None
        kept.starting = (
            self.starting if self.starting is not None and self.starting >= began else None
        )
        return None if kept.served is kept.starting is None else kept

    @property
    def starting_until(self) -> float:
        """Until when it is taken for starting; 0.0 if it has not said so, or serves."""
        if self.served is not None or self.starting is None:
            return 0.0
        return self.starting + ANSWER_LASTS

    def ready(self, *, began: float, assumed: float) -> Interval:
        """When the daemon had initialised; `assumed`: by when one does of which nothing is known.

        One that serves had by its first such answer, and one that was starting had not by that
        answer. Between the two the assumption holds; so a daemon that serves when it is first
        asked, long after its start, is not taken for one that has only just become ready.
        """
        if self.served is None:
            until = max(assumed, self.starting_until)
            return (until, until)
        was_starting = self.starting if self.starting is not None else began
        earliest = was_starting if was_starting < self.served else began
        return (earliest, assumed if earliest <= assumed < self.served else self.served)


class HealthOfNode:
    """The answers of the latest daemons of a node."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[Identity, Answers] = {}

    def take(self, answer: HealthAnswered, *, at: float) -> bool:
        """Keep an answer that was received at `at`; whether it says anything new."""
        identity = (answer.pod_uid, answer.restart)
        answers = self._answers.get(identity)
        if answers is None:
            answers = self._answers[identity] = Answers()
            while len(self._answers) > ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
        return answers.take(serving=answer.serving, at=at)

    def of(self, identity: Identity, *, began: float) -> Answers | None:
        """The answers of an incarnation that began then, None for none."""
        answers = self._answers.get(identity)
        return None if answers is None else answers.since(began)
