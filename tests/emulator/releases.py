"""What differs between the releases of KubeArmor that the emulator plays."""

from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Release:
    """The switches of one release; each is named after what that release does."""

    version: str
    matches_all_after_new_namespace: bool
    refreshes_namespaces_of_a_copy: bool
    knows_expressions: bool
    pushes_every_endpoint: bool
    keeps_endpoints_on_modified: bool
    reads_untracked_from_config_map: bool
    reconnects_runtime: bool
    requests_per_second: float | None
    request_burst: int
    matches_hostnames: str
    has_health_port: bool
    has_network_policies: bool
    redelivers_on_relist: bool
    has_protect_proc: bool
    says_build: bool
    says_synced: bool
    spells_visibility: str
    has_dns_visibility: bool
    has_device_posture: bool
    alerts_name_version: bool
    alerts_carry_event_data: bool
    bare_pod_owner: str
    start_text: str
    terminates_monitor_first: bool


def _parsed(version: str) -> Version:
    major, minor, patch = version.removeprefix("v").split("-")[0].split(".")
    return int(major), int(minor), int(patch)


def release(version: str) -> Release:
    """Return the behaviour of release `version`, written like a tag (v1.7.4)."""
    number = _parsed(version)
    return Release(
        version=version,
        matches_all_after_new_namespace=(1, 4, 0) <= number <= (1, 5, 6),
        refreshes_namespaces_of_a_copy=number == (1, 5, 7),
        knows_expressions=number >= (1, 5, 7),
        pushes_every_endpoint=number >= (1, 5, 7),
        keeps_endpoints_on_modified=number < (1, 6, 13),
        reads_untracked_from_config_map=number >= (1, 6, 7),
        reconnects_runtime=number >= (1, 6, 16),
        requests_per_second=5.0 if number < (1, 6, 16) else None,
        request_burst=10,
        matches_hostnames=_hostname_rule(number),
        has_health_port=number >= (1, 7, 4),
        has_network_policies=number >= (1, 6, 14),
        redelivers_on_relist=number >= (1, 7, 4),
        has_protect_proc=number >= (1, 6, 0),
        says_build=number >= (1, 6, 0),
        says_synced=number >= (1, 7, 3),
        spells_visibility="visibility" if number >= (1, 7, 2) else "visibiliy",
        has_dns_visibility=number >= (1, 6, 0),
        has_device_posture=number >= (1, 6, 0),
        alerts_name_version=number >= (1, 6, 0),
        alerts_carry_event_data=number >= (1, 6, 4),
        bare_pod_owner="" if number >= (1, 6, 0) else "Pod",
        start_text="start-v1.7.4.txt" if number >= (1, 6, 0) else "start-v1.5.7.txt",
        terminates_monitor_first=number >= (1, 6, 0),
    )


def _hostname_rule(number: Version) -> str:
    if number >= (1, 7, 4):
        return "lists"
    return "both-patterns" if number >= (1, 6, 16) else "one-pattern"


def release_of_image(image: str) -> Release:
    """Return the release that an image's tag names."""
    return release(image.partition("@")[0].rpartition(":")[2])
