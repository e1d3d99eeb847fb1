"""What one daemon believes: its policy list, its endpoint list, and what is attached by them.

A daemon keeps two lists and no other state (dossier 0, 5.6): the policies it stored, of both kinds
in one list, and one endpoint per container id, with the policies attached to it. Three things
change them, and nothing else does:

- a policy event changes the stored list, then each endpoint it looks at;
- a Pod event makes endpoints of containers that have an id, from the stored list, or revises one;
- a namespace that comes or goes changes what the next of those two finds.

What follows is the order of the daemon's own stream. The surprises are KubeArmor's:

- cluster policies are compared by name alone, with whatever bears it: an added one is not stored
  beside a namesake, a modified one takes the namesake's place, a deleted one takes it along;
- an update stores nothing; it reaches the endpoints of that moment only;
- a container that a policy's new container list no longer names keeps the old revision;
- a MODIFIED Pod revises the endpoint of one container, drawn by lot (7.3), or none (`Behaviour`);
  a container that gets its id after the first endpoints were made never has one;
- a deleted namespace stays in the lists that were read while it was there.

`Believed` says what is in the lists. What is in the kernel can differ (7.3, 12.6).
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from monitor.core import trail
from monitor.core.daemon_events import (
    CLUSTER_KIND,
    Action,
    Event,
    Pair,
    PodEvent,
    PolicyEvent,
)
from monitor.core.endpoints import Collision, Endpoint, Stored
from monitor.core.evidence import PolicyKey
from monitor.core.selector import cluster_wide, identities, namespaced
from monitor.core.semantics import Behaviour


class Believed:
    """The lists of one daemon of a release.

    `namespaces` are those that exist when it starts. `watched`: the pair whose story `facts` tells.
    """

    def __init__(
        self, behaviour: Behaviour, *, namespaces: Iterable[str] = (), watched: Pair | None = None
    ) -> None:
        self._behaviour = behaviour
        self._namespaces = set(namespaces)
        self._known: set[tuple[str, str]] = set()
        self._endpoints: dict[tuple[str, str], list[Endpoint]] = {}
        self._found: dict[tuple[str, frozenset[str]], list[Stored]] = {}
        self._story = trail.Story(watched) if watched else None
        self.stored: list[Stored] = []
        self.collisions: list[Collision] = []

    @property
    def facts(self) -> tuple[str, ...]:
        """The story of the watched pair so far."""
        return tuple(self._story.facts) if self._story else ()

    @property
    def endpoints(self) -> Iterable[Endpoint]:
        return (one for endpoints in self._endpoints.values() for one in endpoints)

    def endpoint(self, *, namespace: str, pod: str, container: str) -> Endpoint | None:
        """Return the endpoint of a container, None where the daemon has none."""
        found = self._endpoints.get((namespace, pod), ())
        return next((one for one in found if one.container == container), None)

    def foresee(
        self, *, namespace: str, labels: Mapping[str, str] | None, container: str
    ) -> frozenset[PolicyKey]:
        """Return what a Pod evaluated now would get for such a container."""
        seen = identities(namespace=namespace, labels=labels)
        found = self._evaluate(namespace, seen)
        return frozenset(one.key for one in found if one.selector.admits(container))

    def take(self, event: Event) -> None:
        """Take the next event of the daemon's stream."""
        if isinstance(event, PodEvent):
            self._pod(event)
            return
        self._found.clear()
        if isinstance(event, PolicyEvent):
            self._policy(event)
        elif event.action == "deleted":
            self._namespaces.discard(event.name)
        else:
            self._namespaces.add(event.name)

    # --- policies -------------------------------------------------------------------------------

    def _policy(self, event: PolicyEvent) -> None:
        policy = self._read(event)
        self._store(event.action, policy)
        for endpoint in self.endpoints:
            self._apply(event.action, policy, endpoint)

    def _read(self, event: PolicyEvent) -> Stored:
        if event.kind == CLUSTER_KIND:
            selector = cluster_wide(spec=event.spec, behaviour=self._behaviour)
            listed = selector.namespaces
            if listed is None:
                listed = frozenset(self._namespaces) - selector.not_namespaces
        else:
            selector = namespaced(
                namespace=event.namespace, spec=event.spec, behaviour=self._behaviour
            )
            listed = frozenset()
        return Stored(
            key=event.key, generation=event.generation, selector=selector, namespaces=listed
        )

    def _store(self, action: Action, policy: Stored) -> None:
        index = _find(policy, self.stored)
        found = None if index is None else self.stored[index].key
        if index is None:
            if action == "added":
                self.stored.append(policy)
        elif action == "modified":
            self.stored[index] = policy
        elif action == "deleted":
            del self.stored[index]
        if found is not None and found != policy.key:
            self.collisions.append(
                Collision(policy=policy.key, other=found, effect=_EFFECTS[action])
            )
        if self._story is not None:
            self._story.store(action, policy.key, found)

    def _apply(self, action: Action, policy: Stored, endpoint: Endpoint) -> None:
        index = _find(policy, endpoint.policies)
        if not self._is_looked_at(policy, endpoint, attached=index is not None):
            return
        before = endpoint.keys if self._story_of(endpoint) else frozenset()
        fits = self._fits(policy, endpoint)
        if action == "deleted":
            fits = False
        if index is None:
            inserts = policy.is_cluster_wide or self._behaviour.revisits_endpoints
            if fits and (action == "added" or inserts):
                endpoint.policies.append(policy)
        elif not fits and action != "added":
            del endpoint.policies[index]
        elif action == "modified":
            endpoint.policies[index] = policy
        if story := self._story_of(endpoint):
            occasion = trail.applying(action, policy.key)
            story.tell(occasion, before=before, after=endpoint.keys)

    def _is_looked_at(self, policy: Stored, endpoint: Endpoint, *, attached: bool) -> bool:
        if policy.is_cluster_wide:
            return attached or endpoint.namespace in policy.namespaces
        if not policy.selector.admits(endpoint.container):
            return False
        return self._behaviour.revisits_endpoints or self._fits(policy, endpoint)

    @staticmethod
    def _fits(policy: Stored, endpoint: Endpoint) -> bool:
        """Whether a policy event finds that the policy is meant for the endpoint."""
        selector = policy.selector
        if policy.is_cluster_wide:
            meant = endpoint.namespace in policy.namespaces
        else:
            meant = selector.matches(endpoint.identities)
        return meant and selector.expects(endpoint.identities)

    # --- Pods -----------------------------------------------------------------------------------

    def _pod(self, event: PodEvent) -> None:
        pod = (event.namespace, event.name)
        if event.action == "deleted":
            self._known.discard(pod)
            self._endpoints.pop(pod, None)
            return
        again = event.action == "modified" or pod in self._known
        if event.action == "added":
            self._known.add(pod)
        endpoints = self._endpoints.get(pod)
        if again and endpoints:
            self._revise(event, endpoints)
            return
        made = [self._endpoint_of(event, container) for container in event.containers]
        if made:
            self._endpoints.setdefault(pod, []).extend(made)
        for endpoint in made:
            self._tell_evaluation(endpoint, former=None)

    def _endpoint_of(self, event: PodEvent, container: str) -> Endpoint:
        endpoint = Endpoint(event, container, [])
        endpoint.policies = [
            policy
            for policy in self._evaluate(event.namespace, endpoint.identities)
            if policy.selector.admits(container)
        ]
        return endpoint

    def _revise(self, event: PodEvent, endpoints: list[Endpoint]) -> None:
        """A MODIFIED of a Pod that has endpoints (7.3)."""
        if not self._behaviour.relists_modified_pods:
            self._remark(event, trail.NOT_RELISTED)
            return
        containers = tuple(event.containers)
        drawn = containers[0] if len(containers) == 1 else event.drawn
        for index, old in enumerate(endpoints):
            if old.container not in event.containers:
                continue
            new = self._endpoint_of(event, old.container)
            if drawn is None:
                old.doubtful |= old.keys ^ new.keys
            elif drawn == old.container:
                endpoints[index] = new
                self._tell_evaluation(new, former=old)
        if drawn is None:
            self._remark(event, trail.DRAWN_BY_LOT)
        elif drawn not in {endpoint.container for endpoint in endpoints}:
            self._remark(event, trail.LATE_CONTAINER)

    def _evaluate(self, namespace: str, seen: frozenset[str]) -> list[Stored]:
        """The stored policies that a Pod's evaluation finds, whatever its containers are called."""
        found = self._found.get((namespace, seen))
        if found is None:
            found = [policy for policy in self.stored if self._takes(policy, namespace, seen)]
            self._found[namespace, seen] = found
        return found

    def _takes(self, policy: Stored, namespace: str, seen: frozenset[str]) -> bool:
        selector = policy.selector
        if not policy.is_cluster_wide:
            if self._behaviour.leaks_namespaced:
                return True
            return selector.matches(seen) and selector.expects(seen)
        listed = namespace in policy.namespaces or self._is_reached(policy, namespace)
        return listed and selector.expects(seen)

    def _is_reached(self, policy: Stored, namespace: str) -> bool:
        """Whether the namespaces of now make a cluster policy reach farther than those it read."""
        if policy.selector.lists_namespaces:
            return False
        young = self._namespaces - policy.namespaces - policy.selector.not_namespaces
        if self._behaviour.overmatches:
            return bool(young)
        return self._behaviour.refreshes_namespaces and namespace in young

    # --- the story of one pair ------------------------------------------------------------------

    def _story_of(self, endpoint: Endpoint) -> trail.Story | None:
        story = self._story
        about = story is not None and story.is_about(
            namespace=endpoint.namespace, pod=endpoint.pod, container=endpoint.container
        )
        return story if about else None

    def _remark(self, event: PodEvent, fact: str) -> None:
        story = self._story
        if story is not None and story.is_about(namespace=event.namespace, pod=event.name):
            story.facts.append(fact)

    def _tell_evaluation(self, endpoint: Endpoint, *, former: Endpoint | None) -> None:
        story = self._story_of(endpoint)
        if story is None:
            return
        before = former.keys if former else frozenset()
        story.tell(trail.evaluating(first=former is None), before=before, after=endpoint.keys)
        for policy in self.stored:
            if story.is_told_of(policy.key):
                story.facts.extend(self._reasons(policy, endpoint))

    def _reasons(self, policy: Stored, endpoint: Endpoint) -> Iterable[str]:
        if policy.is_cluster_wide:
            yield trail.namespaces(
                endpoint.namespace,
                listed=endpoint.namespace in policy.namespaces,
                reached=self._is_reached(policy, endpoint.namespace),
                exists=endpoint.namespace in self._namespaces,
                overmatches=self._behaviour.overmatches,
                selector=policy.selector,
            )
        elif self._behaviour.leaks_namespaced:
            yield trail.LEAKED
        yield from trail.matching(
            policy.selector, identities=endpoint.identities, container=endpoint.container
        )


_EFFECTS: Final[Mapping[Action, Literal["not-stored", "overwrites", "removes"]]] = {
    "added": "not-stored",
    "modified": "overwrites",
    "deleted": "removes",
}


def _find(policy: Stored, among: list[Stored]) -> int | None:
    return next((i for i, other in enumerate(among) if policy.is_taken_for(other)), None)


def why(
    behaviour: Behaviour, events: Iterable[Event], *, namespaces: Iterable[str], pair: Pair
) -> tuple[str, ...]:
    """The story of one pair on a daemon of that release, as short facts in the stream's order.

    The last fact says whether the policy is attached in the end.
    """
    believed = Believed(behaviour, namespaces=namespaces, watched=pair)
    for event in events:
        believed.take(event)
    endpoint = believed.endpoint(namespace=pair.namespace, pod=pair.pod, container=pair.container)
    if endpoint is None:
        end = trail.NO_ENDPOINT
    elif pair.policy in endpoint.doubtful:
        end = trail.OPEN
    else:
        end = trail.ATTACHED if pair.policy in endpoint.keys else trail.NOT_ATTACHED
    return (*believed.facts, end)
