"""The tables of causes and findings: complete, in order, and honest about what helps where."""

import re
from itertools import combinations

import pytest

from monitor.core.causes import (
    CAUSES,
    FINDINGS,
    Cause,
    Entry,
    FindingKind,
    ReleaseRemedy,
    Scope,
    rank,
)

CAUSES_WITH_MODES = {
    "daemon-absent": "F1",
    "daemon-down": "F2",
    "daemon-starting": "F3",
    "daemon-hung": "F4",
    "enforcer-absent": "F5",
    "enforcer-mismatch": "F6",
    "cluster-policy-watch-dead": "F7",
    "container-source-dead": "F8",
    "namespace-newer-than-policy": "F15",
    "namespace-list-failed": "F16",
    "name-collision": "F17",
    "host-policy-inactive": "F20",
    "version-skew": "F21",
    "startup-window": "F22",
    "event-queue-lag": "F23",
    "partial-refresh": "F25",
    "late-container": "F26",
    "stale-container-id": "F27",
    "mode-not-retroactive": "F28",
    "namespace-ids-unread": "F31",
    "pod-informer-failed": "F33",
    "outer-map-full": "F34",
    "inner-map-full": "F35",
    "apparmor-unannotated": "F36",
    "apparmor-profile-rejected": "F37",
    "rule-not-enforceable": "F38",
    "posture-audit": "F39",
    "policy-rejected": "F16",
    "unexplained": "",
    "daemon-replaced": "F2",
    "rollout": "F2",
    "rules-removed": "",
    "policy-removed-by-collision": "F17",
    "contradicted": "",
    "annotation-disabled": "F9",
    "annotation-audited": "F9",
    "builtin-exception": "F10",
    "untracked-namespace": "F11",
    "init-container": "F12",
    "native-sidecar": "F12",
    "ephemeral-container": "F12",
    "host-pid": "F13",
    "sandboxed-runtime": "F14",
    "unsupported-node": "F1",
    "no-evidence-source": "F46",
    "source-outage": "",
    "throttled": "F41",
    "attribution-lost": "F42 F44",
    "visibility-off": "F40",
    "dropped": "F43",
    "tls-expired": "F47",
    "release-unknown": "",
}
VERDICTS = {
    ("gap", "lost"): (
        "daemon-absent daemon-down enforcer-absent container-source-dead daemon-replaced "
        "rollout contradicted"
    ),
    ("lost",): "rules-removed policy-removed-by-collision",
    ("exempt",): "annotation-disabled annotation-audited builtin-exception untracked-namespace",
    ("unsupported",): (
        "init-container native-sidecar ephemeral-container host-pid sandboxed-runtime "
        "unsupported-node"
    ),
    ("unknown",): (
        "no-evidence-source source-outage throttled attribution-lost visibility-off dropped "
        "tls-expired release-unknown"
    ),
}
SCOPES: dict[Scope, str] = {
    "node": (
        "daemon-absent daemon-down daemon-starting daemon-hung cluster-policy-watch-dead "
        "container-source-dead event-queue-lag pod-informer-failed outer-map-full daemon-replaced"
    ),
    "daemonset": "enforcer-absent enforcer-mismatch apparmor-unannotated rollout",
    "release": (
        "namespace-newer-than-policy version-skew partial-refresh late-container "
        "stale-container-id mode-not-retroactive"
    ),
}
FINDINGS_BY_KIND = {
    "over-coverage": "stale-policy over-match mode-not-retroactive rules-despite-exemption",
    "intent": ("selector-mistake selector-order namespace-left-out selects-nothing name-collision"),
    "suspicion": "lost-update namespace-id-reuse prediction-refuted release-disagreement",
}

RELEASES = [
    f"v{release}"
    for release in [
        "1.4.0",
        "1.4.1",
        "1.4.2",
        "1.4.5",
        "1.4.6",
        "1.4.9",
        "1.5.0",
        "1.5.2",
        "1.5.3",
        "1.5.6",
        "1.5.7",
        "1.6.0",
        "1.6.4",
        "1.6.5",
        "1.6.6",
        "1.6.7",
        "1.6.8",
        "1.6.9",
        "1.6.12",
        "1.6.13",
        "1.6.14",
        "1.6.15",
        "1.6.16",
        "1.6.19",
        "1.7.0",
        "1.7.2",
        "1.7.3",
        "1.7.4",
        "1.7.5",
    ]
]

ENTRIES: list[Entry] = [*CAUSES.values(), *FINDINGS.values()]
IDS = [*CAUSES, *(f"finding {code}" for code in FINDINGS)]
SPECIAL = [
    pytest.param(remedy, id=f"{entry.code} {remedy.since}-{remedy.before}")
    for entry in ENTRIES
    for remedy in entry.remedies
]
of_every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=IDS)


def concerned(entry: Entry) -> list[str]:
    """The releases that have it."""
    bounds = ReleaseRemedy(since=entry.since, before=entry.before, text="")
    return [release for release in RELEASES if bounds.concerns(release)]


def numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.removeprefix("v").split(".")))


def texts(entry: Entry) -> list[str]:
    special = [remedy.text for remedy in entry.remedies]
    return [entry.title, entry.what, entry.shown_by, entry.remedy, *special]


# --- the tables ---------------------------------------------------------------------------------


def test_every_cause_has_its_failure_mode_and_its_place() -> None:
    assert list(CAUSES) == list(CAUSES_WITH_MODES)
    assert {code: " ".join(cause.modes) for code, cause in CAUSES.items()} == CAUSES_WITH_MODES


def test_every_cause_explains_its_verdicts() -> None:
    expected = dict.fromkeys(CAUSES, ("gap",)) | {
        code: verdicts for verdicts, codes in VERDICTS.items() for code in codes.split()
    }
    assert {code: cause.verdicts for code, cause in CAUSES.items()} == expected


def test_gaps_join_by_node_daemon_set_release_or_policy_and_the_rest_by_nothing() -> None:
    excluded = {"exempt", "unsupported", "unknown"}
    expected: dict[str, Scope] = {
        code: "container" if excluded & set(cause.verdicts) else "policy"
        for code, cause in CAUSES.items()
    }
    for scope, codes in SCOPES.items():
        expected |= dict.fromkeys(codes.split(), scope)
    assert {code: cause.scope for code, cause in CAUSES.items()} == expected


def test_every_finding_is_of_its_kind() -> None:
    expected = {code: kind for kind, codes in FINDINGS_BY_KIND.items() for code in codes.split()}
    assert {code: finding.kind for code, finding in FINDINGS.items()} == expected
    assert list(FINDINGS) == list(expected)


@of_every_entry
def test_an_entry_says_all_there_is_to_say_in_whole_sentences(entry: Entry) -> None:
    assert all(entry.title and text for text in texts(entry))
    assert [text for text in texts(entry)[1:] if not text.endswith(".")] == []
    assert not entry.title.endswith(".")
    assert [text for text in texts(entry) if text != " ".join(text.split())] == []


@of_every_entry
def test_an_entry_names_what_shows_it_and_where(entry: Entry) -> None:
    assert entry.sources
    assert len(set(entry.sources)) == len(entry.sources)


def test_what_only_the_text_shows_is_never_said_to_come_from_messages_alone() -> None:
    """Messages repeat the text, and only where the daemon's debug is on."""
    gaps = [cause for cause in CAUSES.values() if "unknown" not in cause.verdicts]
    alone = [
        entry.code
        for entry in (*gaps, *FINDINGS.values())
        if "messages" in entry.sources and "text" not in entry.sources
    ]
    assert alone == []


def test_only_what_nothing_passive_can_prove_is_suspected() -> None:
    suspected = {entry.code for entry in ENTRIES if entry.certainty == "suspected"}
    assert suspected == {"lost-update", "namespace-id-reuse"}


def test_an_entry_leads_to_its_runbook() -> None:
    assert CAUSES["host-pid"].runbook == "deploy/runbooks/README.md#host-pid"
    assert FINDINGS["lost-update"].runbook == "deploy/runbooks/README.md#lost-update"


# --- their order --------------------------------------------------------------------------------


def test_causes_of_a_whole_node_come_first_then_the_order_of_the_table() -> None:
    ranked = sorted(CAUSES, key=rank)
    assert ranked[:14] == [
        "daemon-absent",
        "daemon-down",
        "daemon-starting",
        "daemon-hung",
        "enforcer-absent",
        "enforcer-mismatch",
        "cluster-policy-watch-dead",
        "container-source-dead",
        "event-queue-lag",
        "pod-informer-failed",
        "outer-map-full",
        "apparmor-unannotated",
        "daemon-replaced",
        "rollout",
    ]
    assert ranked[14:] == [code for code in CAUSES_WITH_MODES if code not in ranked[:14]]


def test_no_two_causes_are_preferred_alike() -> None:
    assert sorted(map(rank, CAUSES)) == list(range(len(CAUSES)))


# --- remedies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "release", "texts"),
    [
        ("container-source-dead", "v1.5.7", 1),
        ("container-source-dead", "v1.6.16", 0),
        ("container-source-dead", None, 0),
        ("container-source-dead", "stable", 0),
        ("daemon-down", "v1.6.8", 1),
        ("daemon-down", "v1.7.3", 1),
        ("daemon-down", "v1.7.4", 0),
        ("daemon-down", "v1.7.5-rc1", 0),
        ("untracked-namespace", "v1.6.7", 1),
        ("partial-refresh", "v1.6.13", 1),
    ],
)
def test_a_remedy_fits_the_release(code: str, release: str | None, texts: int) -> None:
    cause = CAUSES[code]
    added = [one.text for one in cause.remedies if one.text in cause.remedy_on(release)]
    assert cause.remedy_on(release).startswith(cause.remedy)
    assert len(added) == texts


@of_every_entry
def test_no_release_has_two_special_remedies(entry: Entry) -> None:
    both = [
        release
        for release in RELEASES
        for one, other in combinations(entry.remedies, 2)
        if one.concerns(release) and other.concerns(release)
    ]
    assert both == []


@pytest.mark.parametrize("remedy", SPECIAL)
def test_a_special_remedy_begins_with_the_releases_that_it_is_for(remedy: ReleaseRemedy) -> None:
    if not remedy.since:
        begins = f"Below {remedy.before} "
    elif not remedy.before:
        begins = f"From {remedy.since} on "
    else:
        begins = f"From {remedy.since} to below {remedy.before} "
    assert remedy.text.startswith(begins)
    assert [release for release in RELEASES if remedy.concerns(release)]


@of_every_entry
def test_a_special_remedy_is_for_releases_that_have_the_defect(entry: Entry) -> None:
    idle = [
        remedy.text for remedy in entry.remedies if not any(map(remedy.concerns, concerned(entry)))
    ]
    assert idle == []


@of_every_entry
def test_nobody_is_told_to_upgrade_to_a_release_that_is_not_newer(entry: Entry) -> None:
    told = {
        release: re.findall(r"[Uu]pgrade[^.:;]*? to (v\d+\.\d+\.\d+)", entry.remedy_on(release))
        for release in concerned(entry)
    }
    older = {
        release: target
        for release, targets in told.items()
        for target in targets
        if numbers(target) <= numbers(release)
    }
    assert older == {}


@pytest.mark.parametrize("remedy", SPECIAL)
def test_an_upgrade_leads_out_of_the_releases_that_the_remedy_is_for(
    remedy: ReleaseRemedy,
) -> None:
    targets = re.findall(r"upgrade to (v\d+\.\d+\.\d+)", remedy.text)
    assert [target for target in targets if remedy.concerns(target)] == []


@of_every_entry
def test_an_upgrade_names_the_release(entry: Entry) -> None:
    advice = [entry.remedy, *(remedy.text for remedy in entry.remedies)]
    vague = [text for text in advice if re.search(r"[Uu]pgrade(?! (KubeArmor )?to v\d)", text)]
    assert vague == []


@of_every_entry
def test_nobody_is_sent_to_the_release_that_misses_new_namespaces(entry: Entry) -> None:
    assert not any("to v1.5.7 or later" in text for text in texts(entry))


# --- prices -------------------------------------------------------------------------------------

RESTARTS = re.compile(r"(?<!not )\b[Rr]estart(?:ing)? (?:the|those|each) (?:node's )?daemon")
UNPROTECTED = re.compile(r"unprotected|without protection")


@of_every_entry
def test_a_restart_of_daemons_is_recommended_with_its_price(entry: Entry) -> None:
    advice = [entry.remedy, *(remedy.text for remedy in entry.remedies)]
    silent = [text for text in advice if RESTARTS.search(text) and not UNPROTECTED.search(text)]
    assert silent == []


@of_every_entry
def test_a_deletion_of_a_pod_is_recommended_with_its_price(entry: Entry) -> None:
    advice = [entry.remedy, *(remedy.text for remedy in entry.remedies)]
    silent = [
        text
        for text in advice
        if "delete pod POD" in text and not re.search(r"interrupted.*unprotected", text)
    ]
    assert silent == []


@of_every_entry
def test_a_cluster_policy_is_touched_with_the_caveat_of_its_namesake(entry: Entry) -> None:
    """It would overwrite a namespaced policy of its name (dossier 5.6).

    Where names collide nothing is predicted, and no namespace is found newer than its policy.
    """
    touched = "annotate kubearmorclusterpolicy" in entry.remedy
    never_collides = entry.code == "namespace-newer-than-policy"
    assert not touched or never_collides or "see name-collision" in entry.remedy


@pytest.mark.parametrize(
    "code",
    [
        "cluster-policy-watch-dead",
        "partial-refresh",
        "late-container",
        "stale-container-id",
        "mode-not-retroactive",
        "namespace-ids-unread",
        "name-collision",
        "policy-removed-by-collision",
        "policy-rejected",
        "apparmor-unannotated",
        "outer-map-full",
        "container-source-dead",
    ],
)
def test_touching_a_policy_is_not_recommended_where_it_does_not_help(code: str) -> None:
    told = [CAUSES[code].remedy, *(remedy.text for remedy in CAUSES[code].remedies)]
    assert not any(re.search(r"annotate kubearmor(cluster)?policy", text) for text in told)


@of_every_entry
def test_what_is_between_backticks_is_closed_and_stands_on_one_line(entry: Entry) -> None:
    assert [text for text in texts(entry) if text.count("`") % 2 or "\n" in text] == []


def test_the_two_codes_that_are_cause_and_finding_say_different_things() -> None:
    shared: list[tuple[Cause, FindingKind]] = [
        (CAUSES[code], FINDINGS[code]) for code in CAUSES if code in FINDINGS
    ]
    assert [cause.code for cause, _ in shared] == ["name-collision", "mode-not-retroactive"]
    assert all(cause.what != finding.what for cause, finding in shared)


@pytest.mark.parametrize("entry", [CAUSES["name-collision"], FINDINGS["name-collision"]])
def test_namesakes_are_parted_by_deleting_the_namespaced_one_first(entry: Entry) -> None:
    """A cluster policy that is deleted takes its namesake along, in every release (12.7)."""
    assert "delete the old namespaced policy first" in entry.remedy_on(None)
    assert "can overwrite each other" not in entry.remedy_on("v1.6.8")
    assert "can overwrite each other" in entry.remedy_on("v1.6.9")
