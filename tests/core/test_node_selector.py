"""Which nodes a host policy selects, in each release's own meaning (dossier 5.4, 12.12)."""

import pytest

from monitor.core.host_semantics import DESCRIBED, NEWEST, HostBehaviour, host_behaviour
from monitor.core.node_selector import NodeSelector, identities_of, read_labels

NODE = {
    "kubernetes.io/hostname": "node-a.lan",
    "kubernetes.io/os": "linux",
    "kubearmor.io/enforcer": "bpf",
}
NAMED = {**NODE, "kubearmor.io/hostname": "node-a"}


def selects(labels: dict[str, str], node: dict[str, str], release: str) -> bool:
    meaning = host_behaviour(release)
    assert meaning is not None
    selector = read_labels({"matchLabels": labels})
    return selector.selects(identities_of(node), meaning=meaning)


SAME_IN_ALL: dict[str, tuple[dict[str, str], bool]] = {
    "a label of the node": ({"kubernetes.io/os": "linux"}, True),
    "a label with another value": ({"kubernetes.io/os": "windows"}, False),
    "a label that the node lacks": ({"zone": "a"}, False),
    "two labels, one of them missing": ({"kubernetes.io/os": "linux", "zone": "a"}, False),
    "no label at all": ({}, False),
    "its own host name": ({"kubernetes.io/hostname": "node-a.lan"}, True),
    "another host name": ({"kubernetes.io/hostname": "node-b"}, False),
}


@pytest.mark.parametrize("release", ["v1.4.0", "v1.5.7", "v1.6.14", "v1.7.3", "v1.7.4", "v1.8.0"])
@pytest.mark.parametrize("what", SAME_IN_ALL)
def test_plain_labels_mean_the_same_in_every_release(what: str, release: str) -> None:
    labels, answer = SAME_IN_ALL[what]
    assert selects(labels, NODE, release) is answer


SWITCHES: list[tuple[str, str, HostBehaviour]] = [
    # the first release, the last one, what they do
    (
        "v1.4.0",
        "v1.6.13",
        HostBehaviour(
            names_hosts=False,
            pattern_keys=("kubearmor.io/container.name", "kubearmor.io/hostname"),
            network_policies=False,
            network_selects_pods=False,
        ),
    ),
    (
        "v1.6.14",
        "v1.7.3",
        HostBehaviour(
            names_hosts=False,
            pattern_keys=(
                "kubearmor.io/container.name",
                "kubearmor.io/hostname",
                "kubernetes.io/hostname",
            ),
            network_policies=True,
            network_selects_pods=False,
        ),
    ),
    (
        "v1.7.4",
        "v1.8.0",
        HostBehaviour(
            names_hosts=True,
            pattern_keys=("kubearmor.io/container.name",),
            network_policies=True,
            network_selects_pods=True,
        ),
    ),
]


@pytest.mark.parametrize(("first", "last", "switches"), SWITCHES)
def test_releases_differ_in_what_the_table_says_and_in_nothing_else(
    first: str, last: str, switches: HostBehaviour
) -> None:
    assert host_behaviour(first) == host_behaviour(last) == switches


HOST = "kubernetes.io/hostname"
OWN = "kubearmor.io/hostname"
DIFFERENT: list[tuple[dict[str, str], dict[str, str], list[bool]]] = [
    # labels of the policy, of the node; the answer of v1.6.13, v1.7.3 and v1.7.4
    ({HOST: "node-b,node-a.lan"}, NODE, [False, False, True]),
    ({HOST: "node-b, node-a.lan"}, NODE, [False, False, False]),
    ({HOST: "*"}, NODE, [False, True, True]),
    ({HOST: "node-"}, NODE, [False, True, False]),
    ({f"{HOST}reg": "node-*"}, NODE, [False, False, True]),
    ({f"{HOST}reg": "ode"}, NODE, [False, False, False]),
    ({f"{HOST}reg": "node-a"}, NODE, [False, False, True]),
    ({f"{HOST}reg": "node-a-lan"}, NODE, [False, False, False]),
    ({f"{HOST}reg": "node-a.l.n"}, NODE, [False, False, True]),
    ({f"{HOST}reg": "("}, NODE, [False, False, False]),
    ({f"{OWN}reg": "worker-*"}, NODE, [True, True, True]),
    ({f"{OWN}reg": "node-*"}, NAMED, [False, False, True]),
    ({OWN: "worker"}, NODE, [True, True, False]),
    ({OWN: "worker"}, NAMED, [False, False, False]),
    ({OWN: "node"}, NAMED, [True, True, False]),
    ({OWN: "*"}, NAMED, [True, True, True]),
    ({OWN: "*"}, NODE, [True, True, False]),
]


@pytest.mark.parametrize(("labels", "node", "answers"), DIFFERENT)
def test_keys_of_host_names_are_read_as_each_release_does(
    labels: dict[str, str], node: dict[str, str], answers: list[bool]
) -> None:
    releases = ("v1.6.13", "v1.7.3", "v1.7.4")
    assert [selects(labels, node, release) for release in releases] == answers


@pytest.mark.parametrize(
    ("release", "place"),
    [("v1.4.0", 0), ("v1.6.13", 0), ("v1.6.14", 1), ("v1.7.3", 1), ("v1.7.4", 2), ("v1.9.1", 2)],
)
def test_a_release_behaves_as_the_latest_described_one_up_to_it(release: str, place: int) -> None:
    assert host_behaviour(release) == DESCRIBED[place]


@pytest.mark.parametrize("release", [None, "", "latest", "v1.3.9", "sha256"])
def test_what_is_no_described_release_has_no_behaviour(release: str | None) -> None:
    assert host_behaviour(release) is None


@pytest.mark.parametrize("selector", [None, {}, [], "x", {"matchLabels": None}])
def test_no_selector_selects_nothing(selector: object) -> None:
    assert read_labels(selector) == NodeSelector()
    assert not read_labels(selector).selects(identities_of(NODE), meaning=NEWEST)
