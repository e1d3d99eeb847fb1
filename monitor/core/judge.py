"""The verdicts of a container's pairs, and what spares looking at each of them by itself.

Most containers have everything that they should have, most pairs that wait do so for one reason:
`standing` tells the first at once, and where nothing is special about a policy one verdict serves
for all. Each short cut answers what `judge` would, pair by pair (`whole`, by which reports go).
"""

from collections.abc import Collection

from msgspec.structs import replace

from monitor.core.circumstances import Limits, NodeView, Surroundings
from monitor.core.collision import ALONE, Namesakes
from monitor.core.containers import NEVER, ContainerRecord
from monitor.core.defaults import Defaults
from monitor.core.evidence import PolicyKey
from monitor.core.expectation import PolicySet
from monitor.core.gaps import Ledger
from monitor.core.judgement import exemption, judge
from monitor.core.kubernetes import POLICY_RESOURCES
from monitor.core.policies import PolicyState
from monitor.core.prediction import depends_on_labels
from monitor.core.reading import has_reached
from monitor.core.standing import applied, stand
from monitor.core.verdict import Judged
from monitor.core.verdicts import Verdicts
from monitor.core.views import as_of
from monitor.core.world import World


class Judge:
    """Judges the pairs of one container after the other."""

    def __init__(self, *, world: World, ledger: Ledger, limits: Limits) -> None:
        self._world = world
        self._ledger = ledger
        self._limits = limits
        self._around: dict[str, Surroundings] = {}
        self._awaited: dict[tuple[str, PolicyKey], Judged] = {}
        self._plain_for: tuple[int, frozenset[str]] = (0, frozenset())
        self._plain_sets: dict[
            tuple[PolicySet, str | None], tuple[frozenset[PolicyKey], float]
        ] = {}

    def convene(self) -> None:
        """Begin anew: what surrounds containers, or what their nodes await, may have changed."""
        if self._around:
            self._around = {}
        if self._awaited:
            self._awaited = {}

    def surroundings(self, container: ContainerRecord) -> Surroundings:
        """What holds for all pairs of a container at the instant that is being judged."""
        namespace = container.pod.namespace
        found = self._around.get(namespace)
        if found is None:
            found = self._around[namespace] = Surroundings(
                namespace_created=self._world.namespaces.get(namespace),
                ambiguous=self._world.policy_history.ambiguous_names(),
                deleted_names=self._world.policy_history.deleted_names,
                defaults=Defaults(
                    annotations=self._world.settings.get(namespace, {}), config=self._world.config
                ),
            )
        return found

    def _standing(self, container: ContainerRecord, view: NodeView) -> frozenset[PolicyKey]:
        """The expected policies that are surely still in force, told without judging each pair."""
        if not container.covered or view.incarnation is None:
            return NEVER
        if container.covered_by != view.incarnation.identity:
            return NEVER
        wanted = self._world.expectation.common(container.expected.members, container.covered)
        stands = self._stand(container, wanted, view) is not None
        return wanted if stands else NEVER

    def stood(
        self, container: ContainerRecord, view: NodeView, standing: frozenset[PolicyKey]
    ) -> dict[PolicyKey, Judged]:
        """The pairs that stand, as a report shows them."""
        if not standing:
            return {}
        latest = self._stand(container, standing, view)
        return {} if latest is None else self._applied(container, standing, view, latest=latest)

    def _applied(
        self,
        container: ContainerRecord,
        keys: Collection[PolicyKey],
        view: NodeView,
        *,
        latest: int,
    ) -> dict[PolicyKey, Judged]:
        return applied(container, keys, view, latest=latest, policies=self._world.policies)

    def _stand(
        self,
        container: ContainerRecord,
        wanted: frozenset[PolicyKey],
        view: NodeView,
    ) -> int | None:
        if (
            container.since_relabel
            or view.blind
            or (container.effects is not None and container.effects.refuting)
        ):
            return None
        return stand(
            container,
            wanted,
            view,
            surroundings=self.surroundings(container),
            expectation=self._world.expectation,
        )

    def verdicts(
        self, container: ContainerRecord, view: NodeView, *, spared: Judged | None, now: float
    ) -> Verdicts:
        """The policies that simply stand, and the verdicts of the other pairs.

        `spared`: the verdict of all of them, where no evidence can move it.
        """
        standing = NEVER
        if spared is not None:
            judged = dict.fromkeys(container.expected.keys, spared)
        else:
            if not container.effect_first:
                standing = self._standing(container, view)
            judged = self._others(container, view, standing=standing, now=now)
        return Verdicts(self.of_before_its_end(container, judged), standing=standing)

    def _others(
        self,
        container: ContainerRecord,
        view: NodeView,
        *,
        standing: frozenset[PolicyKey],
        now: float,
    ) -> dict[PolicyKey, Judged]:
        """The verdicts of the pairs that do not simply stand."""
        expected = container.expected
        if standing is expected.members:
            return {}
        if standing is NEVER:
            latest = self._stand(container, expected.members, view)
            if latest is not None:
                return self._applied(container, expected.keys, view, latest=latest)
        if standing:
            return self._beside(container, view, standing=standing, now=now)
        return self._each(container, view, now=now)

    def _beside(
        self,
        container: ContainerRecord,
        view: NodeView,
        *,
        standing: frozenset[PolicyKey],
        now: float,
    ) -> dict[PolicyKey, Judged]:
        """The verdicts of the pairs beside those that stand: mostly of one policy, which is new."""
        alike = not container.uncovered and not container.pod.deleting
        judged: dict[PolicyKey, Judged] = {}
        for key in sorted(container.expected.members - standing):
            known = self._awaited.get((container.node, key)) if alike else None
            if known is not None and known.since and known.since[0] >= container.started[1]:
                judged[key] = known
                continue
            verdict = self.pair(container, self._world.policies[key], view, now=now)
            judged[key] = self._still_open(container, view, key, verdict)
            if alike and self._is_awaited(container, view, key, verdict):
                self._awaited[container.node, key] = verdict
        return judged

    def _each(
        self, container: ContainerRecord, view: NodeView, *, now: float
    ) -> dict[PolicyKey, Judged]:
        """The verdicts of all pairs: mostly of a container of which nothing is heard yet."""
        keys, policies = container.expected.keys, self._world.policies
        plain = self._plain(container, view) if self._is_silent(container, view) else NEVER
        if plain and len(plain) == len(keys):
            return dict.fromkeys(keys, self.pair(container, policies[keys[0]], view, now=now))
        judged: dict[PolicyKey, Judged] = {}
        shared: Judged | None = None
        for key in keys:
            if shared is not None and key in plain:
                judged[key] = shared
                continue
            verdict = self.pair(container, policies[key], view, now=now)
            judged[key] = self._still_open(container, view, key, verdict)
            if key in plain:
                shared = verdict
        return judged

    def whole(
        self, container: ContainerRecord, view: NodeView, *, now: float
    ) -> dict[PolicyKey, Judged]:
        """Every pair of a container, each for itself; frozen ones as they were when it was."""
        if container.frozen is not None:
            return dict(container.frozen)
        self.convene()
        view, now = as_of(container.pod.deleting_since, view, now=now)
        spared = exemption(container, view)
        if spared is not None:
            judged = dict.fromkeys(container.expected.keys, spared)
        else:
            judged = self._each(container, view, now=now)
        return self.of_before_its_end(container, judged)

    def of_before_its_end(
        self, container: ContainerRecord, judged: dict[PolicyKey, Judged]
    ) -> dict[PolicyKey, Judged]:
        """Without the policies that came after the deletion of its Pod, which froze what was."""
        since = container.pod.deleting_since
        if since is None or self._world.policy_history.changed_at < since:
            return judged
        policies = self._world.policies
        return {key: one for key, one in judged.items() if policies[key].changed[1] <= since}

    def pair(
        self, container: ContainerRecord, policy: PolicyState, view: NodeView, *, now: float
    ) -> Judged:
        return judge(
            container,
            policy,
            view,
            surroundings=self.surroundings(container),
            namesakes=self._namesakes(container, policy),
            limits=self._limits,
            now=now,
        )

    def reached(self, container: ContainerRecord, key: PolicyKey, view: NodeView) -> bool:
        """Whether a policy reached a container, which may have ended since."""
        policy, incarnation = self._world.policies[key], view.incarnation
        if incarnation is None:
            return False
        learned = policy.learned(incarnation, view.node.clock)
        return has_reached(container, policy, incarnation, learned)

    def _still_open(
        self, container: ContainerRecord, view: NodeView, key: PolicyKey, judged: Judged
    ) -> Judged:
        """An open gap stays open while nothing is known: waiting and blindness do not close it.

        While one waits, the pair is still not covered; while one is blind, nobody knows.

        But a daemon that started since and whose output is not read may have closed it; and a gap
        that was announced only after its Pod's deletion was none when that began.
        """
        if judged.verdict in {"gap", "lost"} and view.blind:
            return self._unless_unseen(container, view, key, judged)
        if judged.verdict not in {"pending", "unknown"} or not self._ledger.holds(container.id):
            return judged
        if not view.followed and view.identity != container.gap_under:
            return judged
        reference = self._world.policies[key].reference
        found = self._ledger.open_with(container.id, reference, opening=judged.opening)
        since = container.pod.deleting_since
        if found is None or (since is not None and found.announced > since):
            return judged
        gap, opening = found.gap, found.opening
        if judged.verdict == "unknown":
            return replace(judged, held=True, opening=opening, reasons=gap.reasons)
        if opening != judged.opening:
            return judged
        return replace(judged, verdict=gap.verdict, cause=gap.cause, held=True, reasons=gap.reasons)

    def _unless_unseen(
        self, container: ContainerRecord, view: NodeView, key: PolicyKey, judged: Judged
    ) -> Judged:
        """While its Pod or policy is out of sight, a pair that fails now may be of what is gone."""
        resources = {"pods", POLICY_RESOURCES[key[0]]}
        unseen = [since for resource, since in view.blind.items() if resource in resources]
        reference = self._world.policies[key].reference
        told = self._ledger.open_with(container.id, reference, opening=judged.opening)
        if not unseen or told is not None:
            return judged
        return replace(
            judged,
            verdict="pending",
            cause=None,
            recheck=min(unseen) + self._limits.grace,
            reasons=(),
        )

    def _is_silent(self, container: ContainerRecord, view: NodeView) -> bool:
        """Whether nothing was ever heard of a container, so that its policies can differ little.

        Then one verdict serves for all policies that were there before it.
        """
        if container.effects is not None or container.since_relabel or view.blind:
            return False
        incarnation, known = view.incarnation, view.behaviour
        if incarnation is None or incarnation.refusals or incarnation.list_failures:
            return False
        if known is None or not known.reaches_young_namespaces:
            return False
        if self._ledger.holds(container.id):
            return False
        if any(p.ended and p.ended[1] >= container.started[0] for p in view.node.past()):
            return False
        evidence = incarnation.container(container.id)
        return evidence is None or not (evidence.latest_write or evidence.removed)

    def _plain(self, container: ContainerRecord, view: NodeView) -> frozenset[PolicyKey]:
        """The policies that were there before the container and about which nothing is special."""
        assert view.incarnation is not None
        plain, changed = self._plain_among(container.expected, view)
        started = container.started[0]
        waits = view.phase != "ready"
        if changed <= started and (waits or view.incarnation.has_learned(plain)):
            return plain
        policies, learned = self._world.policies, view.incarnation.policies
        return frozenset(
            key
            for key in plain
            if policies[key].changed[1] <= started and (waits or key in learned)
        )

    def _plain_among(
        self, expected: PolicySet, view: NodeView
    ) -> tuple[frozenset[PolicyKey], float]:
        """The policies of a set about which nothing is special, and when the last of them changed.

        Worked out once for all containers that expect the set, until a policy changes.
        """
        ambiguous = self._world.policy_history.ambiguous_names()
        kept_for = (self._world.expectation.version, ambiguous)
        if kept_for != self._plain_for:
            self._plain_for, self._plain_sets = kept_for, {}
        found = self._plain_sets.get((expected, view.release))
        if found is None:
            policies = [self._world.policies[key] for key in expected.keys]
            plain = [
                policy
                for policy in policies
                if policy.rules.is_plain
                and policy.name not in ambiguous
                and not depends_on_labels(policy, view.behaviour)
            ]
            found = (
                frozenset(policy.key for policy in plain),
                max((policy.changed[1] for policy in plain), default=0.0),
            )
            self._plain_sets[expected, view.release] = found
        return found

    def _is_awaited(
        self, container: ContainerRecord, view: NodeView, key: PolicyKey, judged: Judged
    ) -> bool:
        """Whether all that stands on a node waits for this policy in the same way.

        So it is while the node's daemon has not yet said that it knows the revision, if nothing
        but the revision made the pair wait.
        """
        policy = self._world.policies[key]
        incarnation = view.incarnation
        return (
            judged.verdict == "pending"
            and judged.since == policy.changed
            and container.effects is None
            and incarnation is not None
            and policy.learned(incarnation, view.node.clock) is None
        )

    def _namesakes(self, container: ContainerRecord, policy: PolicyState) -> Namesakes:
        """Those that share its name: a daemon confuses them, an alert does not tell them apart."""
        if policy.name not in self._world.policy_history.ambiguous_names():
            return ALONE
        bearers = tuple(self._world.policy_history.named(policy.name))
        return Namesakes(
            bearers=bearers,
            others=tuple(
                self._world.policies[key]
                for key in container.expected.keys
                if key[2] == policy.name and key != policy.key
            ),
            selects={one.key: self._world.selects(one, container) for one in bearers},
        )
