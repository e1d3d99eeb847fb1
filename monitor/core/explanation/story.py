"""What the node's daemon did with a policy: its lines, put before a model of its release.

A daemon's output says what came when, not what came of it. The model (`core.believed`) takes the
same events in the same order and tells what that release makes of them. Two things its input
cannot know are taken as they are now: the labels of other Pods do not matter, and a namespace that
no line names is placed by its creation.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from monitor.core import trail
from monitor.core.believed import Believed
from monitor.core.circumstances import NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.daemon_events import Event, NamespaceEvent, Pair, PodEvent, PolicyEvent
from monitor.core.evidence import Incarnation, PolicyKey
from monitor.core.explanation.values import Prediction, Told
from monitor.core.model import Interval
from monitor.core.policies import CONTAINER_KINDS, SLACK, PolicyState
from monitor.core.semantics import Behaviour

NO_DAEMON: Final = "no daemon runs on the node"
NO_RELEASE: Final = "the daemon's release is not known, or nobody has described it"
PARTLY_READ: Final = "not all of the daemon's output was read"
NO_POLICY_LINE: Final = "no line says that the daemon met the policy"
NO_POD_LINE: Final = "no line says that the daemon met the Pod"
ENDS: Final[Mapping[bool | None, str]] = {
    True: trail.ATTACHED,
    False: trail.NOT_ATTACHED,
    None: trail.OPEN,
}

Placed: TypeAlias = tuple[int, Event]


class Setting(Struct, frozen=True):
    """What a daemon may have met: policies by key (deleted ones too), namespaces by creation."""

    policies: Mapping[PolicyKey, PolicyState]
    namespaces: Mapping[str, Interval]


def predicted(
    container: ContainerRecord,
    policy: PolicyState,
    view: NodeView,
    *,
    setting: Setting,
    judged: bool | None,
) -> Prediction:
    """What that node's daemon does with the policy.

    `judged` is what the judgement holds of it, which counts where not every line was read.
    """
    incarnation = view.incarnation
    if incarnation is None:
        return Prediction(attached=judged, release=view.release, story=(Told(NO_DAEMON),))
    if view.behaviour is None:
        return Prediction(attached=judged, release=view.release, story=(Told(NO_RELEASE),))
    lines = _Lines(container, policy, view, incarnation, setting)
    whole = view.node.could_have_read(incarnation)
    story, attached = lines.tell(view.behaviour)
    missing = tuple(lines.missing())
    if not whole and attached is not judged:
        story, attached = story[:-1], judged
    unread = () if whole else (Told(PARTLY_READ),)
    return Prediction(attached=attached, release=view.release, story=unread + missing + story)


class _Lines:
    """The lines of one incarnation that concern a pair."""

    def __init__(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        incarnation: Incarnation,
        setting: Setting,
    ) -> None:
        self.container = container
        self.policy = policy
        self.incarnation = incarnation
        self.clock = view.node.clock
        self.setting = setting
        self.pod = container.pod
        self.pod_lines = incarnation.pods.get(self.pod.key, ())[::2]

    def tell(self, behaviour: Behaviour) -> tuple[tuple[Told, ...], bool | None]:
        """The model's story with the instants of its lines, and whether it attaches the policy."""
        pair = Pair(
            namespace=self.pod.namespace,
            pod=self.pod.name,
            container=self.container.name,
            policy=self.policy.key,
        )
        initial, later = self._namespaces()
        daemon = Believed(behaviour, namespaces=initial, watched=pair)
        story: list[Told] = []
        events = [*later, *self._policies(), *self._pods()]
        for position, event in sorted(events, key=lambda placed: placed[0]):
            told = len(daemon.facts)
            daemon.take(event)
            at = self.clock.instant(position)
            if isinstance(event, NamespaceEvent) and self._is_reached_by(event.name):
                story.append(Told(f"namespace {event.name} came", at))
            story.extend(Told(fact, at) for fact in daemon.facts[told:])
        endpoint = daemon.endpoint(namespace=pair.namespace, pod=pair.pod, container=pair.container)
        if endpoint is None:
            return (*story, Told(trail.NO_ENDPOINT)), False
        doubtful = self.policy.key in endpoint.doubtful
        attached = None if doubtful else self.policy.key in endpoint.keys
        return (*story, Told(ENDS[attached])), attached

    def _is_reached_by(self, namespace: str) -> bool:
        """Whether a namespace's coming can matter to the pair."""
        if self.policy.namespace or self.policy.selector.lists_namespaces:
            return False
        return namespace == self.pod.namespace

    def missing(self) -> Iterator[Told]:
        """What the story lacks."""
        if self.policy.key not in self.incarnation.policies:
            yield Told(NO_POLICY_LINE)
        if not self.pod_lines:
            yield Told(NO_POD_LINE)

    def _policies(self) -> Iterator[Placed]:
        """The events of every policy of that name: a daemon can confuse them (dossier 5.6)."""
        for position, action, key in self.incarnation.names.get(self.policy.name, ()):
            policy = self.setting.policies.get(key)
            if policy is None or action == "patched" or key[0] not in CONTAINER_KINDS:
                continue
            learned = policy.learned(self.incarnation, self.clock)
            former = learned is not None and position < learned.position
            yield (
                position,
                PolicyEvent(
                    action=action,
                    kind=policy.kind,
                    namespace=policy.namespace,
                    name=policy.name,
                    spec=policy.former_spec if former else policy.spec,
                    generation=policy.generation,
                ),
            )

    def _pods(self) -> Iterator[Placed]:
        first = self._first_with_id()
        names = [one.name for one in self.pod.containers]
        for position in self.pod_lines:
            ids = {one.name: one.id for one in self.pod.containers if position >= first}
            yield (
                position,
                PodEvent(
                    action="modified",
                    namespace=self.pod.namespace,
                    name=self.pod.name,
                    labels=self._labels_at(position),
                    containers=ids,
                    drawn=names[0] if len(names) == 1 else None,
                ),
            )

    def _first_with_id(self) -> int:
        """From which line of the Pod on its containers have ids, so that they can be evaluated."""
        evidence = self.incarnation.container(self.container.id)
        if evidence is not None and evidence.first_write:
            return self.incarnation.pod_line_before(self.pod.key, evidence.first_write)
        started = self.container.started[0]
        running = (one for one in self.pod_lines if self.clock.instant(one)[1] >= started)
        return next(running, 0)

    def _labels_at(self, position: int) -> Mapping[str, str]:
        """What the Pod bore when a line was printed; before its last change what it bore then."""
        printed = self.clock.instant(position)[1]
        for (_, changed), former in self.pod.former_labels:
            if printed < changed - SLACK:
                return former.labels
        return self.pod.labels.labels

    def _namespaces(self) -> tuple[set[str], list[Placed]]:
        """The namespaces that were there when the daemon started, and those that came later."""
        initial: set[str] = set()
        later: list[Placed] = []
        for name in {*self.setting.namespaces, *self.incarnation.namespaces, self.pod.namespace}:
            position = self._came_at(name)
            if position is None:
                initial.add(name)
            else:
                later.append((position, NamespaceEvent(action="added", name=name)))
        return initial, later

    def _came_at(self, name: str) -> int | None:
        """Where in the daemon's stream a namespace came; None if it was there before.

        A Pod's namespace was there before the Pod, whenever the daemon's own line of it came.
        """
        position = self._said_at(name)
        if position is None or name != self.pod.namespace or not self.pod_lines:
            return position
        return min(position, self.pod_lines[0] - 1)

    def _said_at(self, name: str) -> int | None:
        configured = self.incarnation.namespaces.get(name)
        if configured is not None and self.incarnation.initialized:
            return configured if configured > self.incarnation.initialized else None
        created = self.setting.namespaces.get(name)
        if created is None:
            return None
        upper = (self.clock.offset or (0.0, 0.0))[1]
        position = int((created[1] - upper) * 1e9)
        return position if position > self.incarnation.first_position else None
