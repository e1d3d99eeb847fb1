"""One finding, before it is announced."""

from typing import Final

from msgspec import Struct

from monitor.core.model import Interval
from monitor.core.policies import PolicyState

NAMES_SHOWN: Final = 5


class Found(Struct, frozen=True):
    """`subject` is what it is about; there is one finding of a code about a subject."""

    code: str
    subject: str
    since: Interval
    detail: str
    release: str | None = None


def title(policy: PolicyState) -> str:
    """How people name a policy: `KubeArmorPolicy shop/web`."""
    name = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    return f"{policy.kind} {name}"


def listed(names: list[str]) -> str:
    """Some names in a sentence; of many the first ones and how many more there are."""
    shown = sorted(names)[:NAMES_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
