"""What the questions are about, and the forms that their answers have."""

from monitor.core.apparmor import APPARMOR
from monitor.core.causes import CAUSES
from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import Incarnation
from monitor.core.explanation.values import Knowledge, Question, Step
from monitor.core.model import Interval
from monitor.core.policies import PolicyState
from monitor.core.sight import is_unread
from monitor.core.verdict import Judged


class Asked:
    """A policy and a node, and what is judged of them.

    `deadline` is until when silence says nothing; `alerts` whether a feed of them is being read;
    `text` names the source of the daemon's lines.
    """

    def __init__(
        self,
        policy: PolicyState,
        view: NodeView,
        judged: Judged,
        *,
        deadline: float,
        alerts: bool,
    ) -> None:
        self.policy = policy
        self.view = view
        self.judged = judged
        self.deadline = deadline
        self.alerts = alerts
        incarnation = view.incarnation
        overheard = incarnation is not None and incarnation.overheard
        self.text = "messages" if overheard else f"text/{view.node.name}"

    @property
    def incarnation(self) -> Incarnation:
        """The node's daemon; only asked for where there is one."""
        assert self.view.incarnation is not None
        return self.view.incarnation

    @property
    def title(self) -> str:
        """What the cause is called."""
        return CAUSES[self.judged.cause or "unexplained"].title

    def instant(self, position: int) -> Interval:
        """When the line there was printed."""
        return self.view.node.clock.instant(position)

    @staticmethod
    def yes(question: Question, text: str, source: str, at: Interval | None = None) -> Step:
        return Step(question, "known", text, source, at)

    @staticmethod
    def no(question: Question, text: str, source: str, at: Interval | None = None) -> Step:
        return Step(question, "known-not", text, source, at)

    def unsaid_since(self, since: float, question: Question, text: str) -> Step:
        """A line that is not there since then: it was not printed, or nobody read it."""
        unread = is_unread(self.view.node, self.incarnation, since=since)
        knowledge: Knowledge = "unread" if unread else "known-not"
        return Step(question, knowledge, text, self.text)


class Subject(Asked):
    """One pair of a container and a policy."""

    def __init__(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        judged: Judged,
        *,
        deadline: float,
        alerts: bool,
    ) -> None:
        super().__init__(policy, view, judged, deadline=deadline, alerts=alerts)
        self.container = container
        incarnation = view.incarnation
        self.by_profile = incarnation is not None and incarnation.enforcer == APPARMOR
        self.evidence = incarnation.container(container.id) if incarnation else None

    @property
    def started(self) -> float:
        return self.container.started[0]

    def unsaid(self, question: Question, text: str) -> Step:
        """A line that is not there since the container's start."""
        return self.unsaid_since(self.started, question, text)
