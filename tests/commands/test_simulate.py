"""`simulate`: what policies would do before they are applied."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor import cli
from tests.commands.called import call
from tests.commands.recorded_api import RecordedApi

pytestmark = pytest.mark.thorough


TRACES = Path(__file__).parents[1] / "traces"
UNTIL = 1795469290.03
SEED = ["--trace", str(TRACES / "seed-v1.5.7" / "trace.jsonl.zst"), "--until", str(UNTIL)]
RULES = "process: {matchPaths: [{path: /usr/bin/nc}]}"
API = "apiVersion: security.kubearmor.com/v1"
NAMED = f"""\
{API}
kind: KubeArmorPolicy
metadata: {{name: no-nc, namespace: team-b}}
spec:
  selector: {{matchLabels: {{app: nginx}}}}
  {RULES}
"""
EVERYWHERE = f"""\
{API}
kind: KubeArmorClusterPolicy
metadata: {{name: no-nc}}
spec: {{{RULES}}}
"""
EDITED = f"""\
{API}
kind: KubeArmorClusterPolicy
metadata: {{name: block-pkg-mgr}}
spec: {{selector: {{matchExpressions: [{{key: namespace, operator: In, values: [team-b]}}]}}}}
"""


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, str]:
    texts = {"named": NAMED, "everywhere": EVERYWHERE, "edited": EDITED}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: str(tmp_path / name) for name in texts}


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.main(["simulate", *arguments, *SEED, "--output", "json"])
    return code, json.loads(capsys.readouterr().out)


def changed(release: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Which changes there are, in which namespaces."""
    return {
        (change, one["namespace"])
        for one in release["containers"]
        for change in ("gains", "loses", "revised", "stale", "laterGains", "laterLoses")
        if one[change]
    }


def test_who_gains_a_policy_is_named(
    files: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, forecast = simulated(capsys, "-f", files["named"])
    (release,) = forecast["releases"]
    gained = {"kind": "KubeArmorPolicy", "namespace": "team-b", "name": "no-nc"}
    assert code == 0
    assert forecast["policies"] == [{**gained, "action": "added"}]
    assert (release["release"], release["nodes"]) == ("v1.5.7", ["node-a", "node-b"])
    assert (release["containersSimulated"], len(release["containers"])) == (7, 3)
    assert changed(release) == {("gains", "team-b")}
    assert [one["gains"] for one in release["containers"]] == [[gained]] * 3
    assert (release["collisions"], release["reachesNobody"]) == ([], [])


def test_what_a_policy_takes_away_is_a_finding(
    files: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The cluster policy of the recording misses team-b on v1.5.7; the edit moves it there."""
    code, forecast = simulated(capsys, "-f", files["edited"])
    (release,) = forecast["releases"]
    assert code == 1
    assert forecast["policies"][0]["action"] == "modified"
    assert {("gains", "team-b"), ("loses", "shop-front")} <= changed(release)


def test_policies_of_one_name_collide(
    files: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, forecast = simulated(capsys, "-f", files["named"], files["everywhere"])
    (release,) = forecast["releases"]
    assert code == 1
    assert release["collisions"] == [
        {
            "policy": {"kind": "KubeArmorClusterPolicy", "namespace": "", "name": "no-nc"},
            "other": {"kind": "KubeArmorPolicy", "namespace": "team-b", "name": "no-nc"},
            "effect": "not-stored",
        }
    ]
    assert ("laterLoses", "shop-front") in changed(release)


def test_releases_can_be_named(
    files: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    releases = ("--release", "v1.7.4", "--release", "v1.5.7")
    _, forecast = simulated(capsys, "-f", files["edited"], *releases)
    old, new = forecast["releases"]
    assert (old["release"], new["release"]) == ("v1.5.7", "v1.7.4")
    assert ("gains", "team-b") in changed(old)
    assert ("gains", "team-b") not in changed(new)
    assert ("revised", "team-b") in changed(new)


def test_people_read_a_table(files: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", "-f", files["named"], files["everywhere"], *SEED]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        "KubeArmorPolicy team-b/no-nc would be added\n"
        "KubeArmorClusterPolicy no-nc would be added\n\n"
        "KubeArmor v1.5.7 (2 nodes, 7 containers): 7 gains, 4 later loses\n\n"
        "CHANGE       CONTAINER "
    )
    assert "not enforced: untracked-namespace" in said
    assert (
        "COLLISION KubeArmorClusterPolicy no-nc is not stored while KubeArmorPolicy team-b/no-nc "
        "has its name" in said
    )


def test_what_is_there_already_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = RecordedApi("seed-v1.5.7", until=UNTIL)
    there = tmp_path / "there.yaml"
    items = list(api.objects["kubearmorclusterpolicies"].values())
    there.write_text(json.dumps({"kind": "List", "items": items}))
    assert cli.main(["simulate", "-f", str(there), *SEED]) == 0
    assert capsys.readouterr().out == (
        "Every policy of the files is there already, just so.\n\n"
        "KubeArmor v1.5.7 (2 nodes, 7 containers): nothing changes\n"
    )


def test_a_policy_that_reaches_nobody_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "typo.yaml"
    file.write_text(NAMED.replace("nginx", "ngnix"))
    assert cli.main(["simulate", "-f", str(file), *SEED]) == 0
    assert "No running container gets KubeArmorPolicy team-b/no-nc.\n" in capsys.readouterr().out


def test_what_is_not_simulated_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = f"{API}\nkind: KubeArmorHostPolicy\nmetadata: {{name: guard}}\n"
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"
    (tmp_path / "all.yaml").write_text(f"{NAMED}---\n{host}---\n{service}")
    assert cli.main(["simulate", "-f", str(tmp_path), *SEED]) == 0
    said, remarked = capsys.readouterr()
    assert said.endswith("Not simulated: KubeArmorHostPolicy guard\n")
    assert remarked == "1 document is no KubeArmor policy and was skipped\n"


def test_policies_that_name_no_namespace_get_the_one_of_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(NAMED.replace(", namespace: team-b", ""))
    _, elsewhere = simulated(capsys, "-f", str(file))
    _, forecast = simulated(capsys, "-f", str(file), "--namespace", "team-b")
    assert [one["namespace"] for one in elsewhere["policies"]] == ["default"]
    assert changed(forecast["releases"][0]) == {("gains", "team-b")}


def test_a_value_that_the_api_server_would_refuse_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"{NAMED}\nspec:\n  process:\n    matchPaths: 7\n")
    assert cli.main(["simulate", "-f", str(file), *SEED]) == 2
    line = file.read_text().count("\n")
    assert capsys.readouterr().err == (
        f"kubearmor-monitor: {file}:{line}: spec.process.matchPaths: Here must stand a list, not "
        "`7`: the API server refuses the policy.\n"
    )


def test_every_policy_without_a_name_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nameless.yaml"
    nameless = f"{API}\nkind: KubeArmorPolicy\nmetadata: {{}}\n"
    file.write_text(f"{nameless}---\n{NAMED}---\n{nameless}")
    assert cli.main(["simulate", "-f", str(file), *SEED]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"kubearmor-monitor: {file}:3: KubeArmorPolicy without a name",
        f"{file}:14: KubeArmorPolicy without a name",
    ]


def test_files_that_cannot_be_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, missing = tmp_path / "broken.yaml", tmp_path / "missing.yaml"
    broken.write_text("a: [")
    assert cli.main(["simulate", "-f", str(broken), str(missing), *SEED]) == 2
    assert capsys.readouterr().err == (
        "kubearmor-monitor: not everything can be read:\n"
        f"  {broken}:1: not YAML: expected the node content, but found '<stream end>'\n"
        f"  {missing}: No such file or directory\n"
    )


def test_files_without_policies_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("---\n")
    assert cli.main(["simulate", "-f", str(empty), *SEED]) == 2
    assert "no KubeArmorPolicy or KubeArmorClusterPolicy in the files" in capsys.readouterr().err


@pytest.mark.parametrize("release", ["v1.3.0", "latest"])
def test_a_release_that_is_not_described_is_refused(
    release: str, files: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["simulate", "-f", files["named"], "--release", release, *SEED]) == 2
    assert "not a described release" in capsys.readouterr().err


async def test_a_cluster_is_read(files: Mapping[str, str]) -> None:
    async with RecordedApi("seed-v1.5.7", until=UNTIL) as api:
        ended = await call(
            "simulate", "-f", files["named"], KUBEARMOR_MONITOR_KUBERNETES__URL=api.url
        )
    assert (ended.code, ended.errors) == (0, "")
    assert "KubeArmor v1.5.7 (2 nodes, 7 containers): 3 gains\n" in ended.output
