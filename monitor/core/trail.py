"""The words in which a model of a daemon tells why a policy is attached to a container, or not.

One fact a sentence, in the order in which the daemon met it.
"""

from collections.abc import Iterator
from typing import Final

from monitor.core.daemon_events import Pair
from monitor.core.evidence import PolicyKey
from monitor.core.selector import Selector

EVALUATED: Final = "the Pod was evaluated"
ATTACHED: Final = "the policy is attached"
NOT_ATTACHED: Final = "the policy is not attached"
OPEN: Final = "whether the policy is attached was left to chance"
NO_ENDPOINT: Final = "the daemon has no endpoint for the container"
LEAKED: Final = "this release attaches every namespaced policy to every Pod it evaluates"
NOT_RELISTED: Final = "the Pod changed; this release keeps its endpoints as they were"
DRAWN_BY_LOT: Final = "the Pod changed; KubeArmor revised one of its containers, drawn by lot"
LATE_CONTAINER: Final = (
    "the Pod changed; the container that was revised had no id when its endpoints were made, "
    "and gets none"
)


class Story:
    """The facts about one pair, as a model of a daemon comes upon them."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.facts: list[str] = []

    def is_about(self, *, namespace: str, pod: str, container: str | None = None) -> bool:
        """Whether it is about that container, or a container of that Pod."""
        same_pod = (namespace, pod) == (self._pair.namespace, self._pair.pod)
        return same_pod and container in {None, self._pair.container}

    def store(self, action: str, key: PolicyKey, found: PolicyKey | None) -> None:
        """A policy's event met the stored list; `found` is what it was taken for there."""
        if self._pair.policy in {key, found}:
            self.facts.append(storing(action, key, found))

    def tell(
        self, occasion: str, *, before: frozenset[PolicyKey], after: frozenset[PolicyKey]
    ) -> None:
        """An occasion left the container with other policies, or the same."""
        was, is_now = self._pair.policy in before, self._pair.policy in after
        self.facts.append(outcome(occasion, was=was, is_now=is_now))

    def is_told_of(self, key: PolicyKey) -> bool:
        return key == self._pair.policy


def name_of(key: PolicyKey) -> str:
    """The policy as people write it."""
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def storing(action: str, key: PolicyKey, found: PolicyKey | None) -> str:
    """What a policy's event did to the stored list; `found` is what it was taken for there."""
    name = name_of(key)
    if found is None:
        if action == "added":
            return f"{name} was added and stored"
        return f"{name} was {action}, and is not in the policy list: nothing is stored"
    if found == key:
        stays = "is stored already" if action == "added" else f"is {action} in the policy list"
        return f"{name} {stays}"
    other = name_of(found)
    if action == "added":
        return f"{name} was added and not stored: {other} has its name"
    if action == "modified":
        return f"{name} was modified and took the place of {other} in the policy list"
    return f"{name} was deleted and took {other} out of the policy list"


def applying(action: str, key: PolicyKey) -> str:
    return f"{name_of(key)} was {action}"


def evaluating(*, first: bool) -> str:
    return EVALUATED if first else f"{EVALUATED} again"


def outcome(occasion: str, *, was: bool, is_now: bool) -> str:
    """What an occasion did to the pair."""
    if was == is_now:
        return f"{occasion}: the policy {'stays attached' if was else 'is not attached'}"
    return f"{occasion}: the policy is {'attached' if is_now else 'taken off'}"


def namespaces(
    namespace: str,
    *,
    listed: bool,
    reached: bool,
    exists: bool,
    overmatches: bool,
    selector: Selector,
) -> str:
    """Why a cluster policy reaches a Pod's namespace, or not."""
    if selector.namespaces is not None:
        return f"namespace {namespace} is {'' if listed else 'not '}named by the policy"
    if listed:
        return f"namespace {namespace} was there when the policy was read"
    if reached and overmatches:
        return "a namespace came after the policy: this release then attaches it to every Pod"
    if reached:
        return f"namespace {namespace} came after the policy; this release looks again"
    if namespace in selector.not_namespaces:
        return f"namespace {namespace} is left out by the policy"
    if not exists:
        return f"namespace {namespace} is not in the API server's list"
    return f"namespace {namespace} came after the policy; this release does not look again"


def matching(selector: Selector, *, identities: frozenset[str], container: str) -> Iterator[str]:
    """What of a selector a container meets, and what it does not."""
    labels = sorted(one for one in selector.required if not one.startswith("namespaceName="))
    for term in labels:
        yield f"label {term}: {'there' if term in identities else 'missing'}"
    if selector.hosts or selector.patterns:
        rest = Selector(hosts=selector.hosts, patterns=selector.patterns)
        yield f"host names: {'met' if rest.matches(identities) else 'not met'}"
    if selector.none_of:
        excluded = sorted(selector.none_of & identities)
        yield f"none of {_listed(selector.none_of)}: {excluded[0] if excluded else 'none'} is there"
    elif selector.any_of:
        found = sorted(selector.any_of & identities)
        yield f"one of {_listed(selector.any_of)}: {found[0] if found else 'none'} is there"
    if selector.containers:
        named = "named" if selector.admits(container) else "not named"
        yield f"container {container}: {named} in {_listed(selector.containers)}"


def _listed(terms: frozenset[str]) -> str:
    return f"[{', '.join(sorted(terms))}]"
