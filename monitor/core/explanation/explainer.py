"""Explains containers: reads how the judge decides and what the world knows; changes nothing."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from monitor.core.causes import CAUSES
from monitor.core.circumstances import Limits, NodeView
from monitor.core.containers import ContainerRecord
from monitor.core.evidence import PolicyKey
from monitor.core.explanation.steps import trail
from monitor.core.explanation.story import Setting, predicted
from monitor.core.explanation.subject import Subject
from monitor.core.explanation.values import (
    ContainerExplanation,
    Meanings,
    OtherPolicy,
    PairExplanation,
    Step,
)
from monitor.core.gaps import Ledger
from monitor.core.intent import meanings
from monitor.core.judge import Judge
from monitor.core.judgement import silent_until
from monitor.core.model import PairState
from monitor.core.policies import CONTAINER_KINDS, PolicyState
from monitor.core.reporting import Reporter
from monitor.core.verdict import Judged
from monitor.core.views import Views
from monitor.core.world import World

MISSED: Final = "its manifest reads as if it should; KubeArmor means it otherwise"
OVERDONE: Final = "this release attaches it all the same"


class Explainer:
    """Explains the containers of a Pod."""

    def __init__(
        self,
        *,
        world: World,
        views: Views,
        judge: Judge,
        ledger: Ledger,
        reporter: Reporter,
        limits: Limits,
    ) -> None:
        self._world = world
        self._views = views
        self._judge = judge
        self._ledger = ledger
        self._reporter = reporter
        self._limits = limits

    def explain(
        self, namespace: str, pod: str, container: str | None = None, *, at: float
    ) -> tuple[ContainerExplanation, ...]:
        """The Pod's running containers, or that one, at `at`; none if there are none."""
        found = [
            record
            for record in self._world.containers.values()
            if record.pod.key == (namespace, pod) and container in {None, record.name}
        ]
        return tuple(
            self._container(record, at=at)
            for record in sorted(found, key=lambda record: (record.name, record.id))
        )

    def _container(self, container: ContainerRecord, *, at: float) -> ContainerExplanation:
        view = self._views.look(container.node, now=at)
        judged = self._judge.whole(container, view, now=at)
        coverage = self._reporter.coverage(container, judged, at=at)
        gaps = self._ledger.gaps_of(container.id)
        owned = {gap.incident for gap in gaps}
        setting = Setting(
            policies=self._world.policy_history.deleted | self._world.policies,
            namespaces=self._world.namespaces,
        )
        pairs = tuple(
            self._pair(container, pair, view, judged, setting=setting, at=at)
            for pair in coverage.policies
        )
        told = {(pair.kind, pair.namespace, pair.name) for pair in pairs}
        return ContainerExplanation(
            **members(coverage)
            | {
                "at": at,
                "policies": pairs,
                "others": tuple(self._others(container, view, told, setting=setting)),
                "gaps": gaps,
                "incidents": tuple(one for one in self._ledger.incidents() if one.id in owned),
            }
        )

    # --- the policies that count ----------------------------------------------------------------

    def _pair(
        self,
        container: ContainerRecord,
        pair: PairState,
        view: NodeView,
        judged: Mapping[PolicyKey, Judged],
        *,
        setting: Setting,
        at: float,
    ) -> PairExplanation:
        key = (pair.kind, pair.namespace, pair.name)
        policy, verdict = setting.policies[key], judged.get(key)
        cause = CAUSES.get(pair.cause or "")
        reference = policy.reference
        held = self._ledger.open_with(
            container.id, reference, opening=verdict.opening if verdict else ""
        )
        gap = held.gap if held else None
        return PairExplanation(
            **members(pair),
            meanings=self._meanings(container, policy, view, setting, judged=pair.predicted),
            trail=self._trail(container, policy, view, verdict, at=at),
            certainty=cause.certainty if cause else None,
            what=cause.what if cause else None,
            remedy=cause.remedy_on(view.release) if cause else None,
            runbook=cause.runbook if cause else None,
            gap=gap.id if gap else None,
            incident=gap.incident if gap else None,
        )

    def _trail(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        judged: Judged | None,
        *,
        at: float,
    ) -> tuple[Step, ...]:
        if judged is None:
            return (_leftover(container, policy, view),)
        deadline = silent_until(
            container,
            policy,
            view,
            surroundings=self._judge.surroundings(container),
            limits=self._limits,
            now=at,
        )
        alerts = self._reads_alerts(view)
        return trail(Subject(container, policy, view, judged, deadline=deadline, alerts=alerts))

    def _reads_alerts(self, view: NodeView) -> bool:
        """Whether a feed of alerts that covers the node is being read."""
        names = ("alerts/relay", f"alerts/{view.node.name}")
        feeds = (self._world.sources.known(name) for name in names)
        return any(feed is not None and feed.up for feed in feeds)

    # --- the other ones -------------------------------------------------------------------------

    def _others(
        self,
        container: ContainerRecord,
        view: NodeView,
        told: set[PolicyKey],
        *,
        setting: Setting,
    ) -> Iterator[OtherPolicy]:
        """The policies that a reader would expect here, or that the daemon attached by mistake."""
        for key, policy in sorted(self._world.policies.items()):
            if key in told or policy.kind not in CONTAINER_KINDS:
                continue
            meant = self._meanings(container, policy, view, setting, judged=None)
            if not (meant.intended.selected or meant.predicted.attached):
                continue
            yield OtherPolicy(
                kind=policy.kind,
                namespace=policy.namespace,
                name=policy.name,
                generation=policy.generation,
                meanings=meant,
                text=OVERDONE if meant.predicted.attached else MISSED,
            )

    def _meanings(
        self,
        container: ContainerRecord,
        policy: PolicyState,
        view: NodeView,
        setting: Setting,
        *,
        judged: bool | None,
    ) -> Meanings:
        pod = container.pod
        read = meanings(
            kind=policy.kind,
            policy_namespace=policy.namespace,
            spec=policy.spec,
            namespace=pod.namespace,
            labels=pod.labels.labels,
            container=container.name,
        )
        return Meanings(
            intended=read.intended,
            expected=read.expected,
            predicted=predicted(container, policy, view, setting=setting, judged=judged),
        )


def members(value: Struct) -> dict[str, Any]:
    """The members of a value, for a richer one."""
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _leftover(container: ContainerRecord, policy: PolicyState, view: NodeView) -> Step:
    """Why a policy may be in force that should not be."""
    since = (container.residual or {}).get(policy.key)
    if policy.deleted_at is None and since is not None:
        text = "it selected the container before the Pod changed, and no push of its rules followed"
        at, source = since, "kubernetes/pods"
    else:
        text = "it was deleted, and no line says that the daemon took it off"
        at, source = policy.deleted_at or 0.0, f"text/{view.node.name}"
    return Step("attachment", "known", text, source, (at, at), decides=True)
