"""What can happen in a cluster with KubeArmor, as values: a scenario is a sequence of them.

Pods are named `namespace/name`. Who performs the steps decides what a cluster is: the one in
virtual time (`virtual`), or a real control plane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.emulator.switches import Failures
from tests.emulator.world import Object

Labels: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Namespace:
    """Create a namespace, or change its annotations."""

    name: str
    annotations: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Apply:
    """Create a policy or change it."""

    policy: Object


@dataclass(frozen=True, slots=True)
class Touch:
    """Annotate a policy: its spec stays as it is."""

    policy: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a policy; `missed_on` are the nodes whose daemon's watch does not see it."""

    policy: Object
    missed_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Create a Pod on a node; its containers start, `late` ones when they are told to.

    `spec` is added to the Pod's; `init` containers and `sidecars` run on, `ephemeral` ones are
    added to the running Pod. `shares_ids_with`: the runtime gives it the namespaces that this Pod
    had. `status_first`: the kubelet publishes the containers before the runtime announces them.
    """

    pod: str
    node: str = "node-3"
    containers: tuple[str, ...] = ("main",)
    late: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    ephemeral: tuple[str, ...] = ()
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    shares_ids_with: str = ""
    status_first: bool = False


@dataclass(frozen=True, slots=True)
class StartLate:
    """Start a container of a running Pod that was told to wait."""

    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a Pod; its containers stop at once."""

    pod: str


@dataclass(frozen=True, slots=True)
class Recreate:
    """Delete a Pod and create it anew, on the same node or another one, with all containers."""

    pod: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Change labels and annotations of a running Pod (None removes one)."""

    pod: str
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestartContainer:
    """Let a container end and start again in its Pod."""

    pod: str
    container: str = "main"


@dataclass(frozen=True, slots=True)
class EndPod:
    """Let the containers of a Pod end by themselves."""

    pod: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Exchange the failures of a node's daemon and of those that follow it."""

    node: str
    failures: Failures = field(default_factory=Failures)


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a node's daemon; its Pod stays and says so."""

    node: str


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Start the container of a killed daemon again, in the same Pod."""

    node: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Delete a node's daemon Pod; nothing follows it."""

    node: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """Start a daemon Pod on a node that has none; `release` is what the Pod's image names."""

    node: str
    release: str = ""
    image_tag: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Delete a node's daemon Pod and start its successor."""

    node: str


@dataclass(frozen=True, slots=True)
class ChangeTemplate:
    """Change the template of KubeArmor's DaemonSet: what is deployed from now on is of it."""

    release: str


@dataclass(frozen=True, slots=True)
class AddNode:
    """Add a node without a daemon."""

    node: str
    labels: Labels = field(default_factory=dict)
    system: str = "linux"


@dataclass(frozen=True, slots=True)
class RelabelNode:
    node: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Act:
    """Let a container attempt something, `times` times within a second."""

    pod: str
    path: str
    container: str = "main"
    times: int = 1


@dataclass(frozen=True, slots=True)
class LoseEvents:
    """The kernel's event buffer of a node overflows."""

    node: str


@dataclass(frozen=True, slots=True)
class Configure:
    """Change keys of KubeArmor's config map."""

    data: Labels


@dataclass(frozen=True, slots=True)
class Blind:
    """A source cannot be read."""

    source: str
    reason: str = "connection refused"


@dataclass(frozen=True, slots=True)
class See:
    """A source can be read again; `missed`: what it had to show meanwhile comes too."""

    source: str
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


Step: TypeAlias = (
    Namespace
    | Apply
    | Touch
    | Delete
    | Run
    | StartLate
    | Remove
    | Recreate
    | Change
    | RestartContainer
    | EndPod
    | Fail
    | Kill
    | StartAgain
    | Withdraw
    | Deploy
    | Replace
    | ChangeTemplate
    | AddNode
    | RelabelNode
    | Act
    | LoseEvents
    | Configure
    | Blind
    | See
    | Wait
)
