"""Lint: which files are read, which line a remark is about, in which form it is said."""

import json
from collections.abc import AsyncIterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final

import pytest

from monitor import cli
from monitor.commands import inventory
from monitor.config import Configuration, Kubernetes
from monitor.core.lint.cluster import PodShape
from monitor.core.lint.remarks import TOPICS
from monitor.errors import SourceError
from tests.commands.called import call
from tests.commands.recorded_api import RecordedApi

UNCOVERED: Final = 1795469290.03
URL: Final = "KUBEARMOR_MONITOR_KUBERNETES__URL"

WITHOUT_BRACKETS: Final = """\
# a comment above
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata:
  name: block-apt
  namespace: shop
spec:
  selector:
    matchLabels:
      kubearmor.io/container.name: nginx
  process:
    matchPaths:
    - path: /usr/bin/apt
  action: Block
"""
SOUND: Final = WITHOUT_BRACKETS.replace("name: nginx", "name: '[nginx]'")
CLUSTER_WIDE: Final = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorClusterPolicy
metadata:
  name: block-apt
spec:
  selector:
    matchExpressions:
    - key: namespace
      operator: NotIn
      values: [kube-system, kubearmor]
  process:
    matchPaths:
    - path: /usr/bin/apt
"""
PRINTED: Final = """\
web.yaml:10: error: selector-mistake (KubeArmorPolicy shop/block-apt, \
spec.selector.matchLabels["kubearmor.io/container.name"])
  KubeArmor drops the first and the last character of a container list and splits the rest at \
commas: it reads `nginx` as the containers `gin` only. Write plain names between brackets.
  instead, in spec.selector.matchLabels:
    kubearmor.io/container.name: '[nginx]'

1 policy read: 1 error
"""
DEPLOYMENT: Final = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lint(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["lint", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def lines_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, int, str]]:
    _, output, _ = lint(*arguments, "--output", "json", capsys=capsys)
    return [(one["file"], one["line"], one["code"]) for one in json.loads(output)["findings"]]


def test_a_remark_is_printed_with_its_place_its_reason_and_a_rewrite(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text(WITHOUT_BRACKETS)
    assert lint("web.yaml", capsys=capsys) == (1, PRINTED, "")


def test_policies_without_a_mistake_are_fine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text(SOUND)
    assert lint("web.yaml", capsys=capsys) == (0, "1 policy read: nothing to remark\n", "")


def test_notes_alone_are_no_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "all.yaml").write_text(CLUSTER_WIDE)
    code, output, _ = lint("all.yaml", capsys=capsys)
    assert code == 0
    assert output.startswith("all.yaml:8: note: namespace-left-out (")
    assert output.endswith("\n1 policy read: 1 note\n")


def test_a_folder_stands_for_every_file_below_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = folder / "policies" / "shop"
    below.mkdir(parents=True)
    (below / "web.yml").write_text(WITHOUT_BRACKETS)
    (folder / "policies" / "all.yaml").write_text(f"{SOUND}---\n{CLUSTER_WIDE}---\n")
    (folder / "policies" / "README.md").write_text("no: [yaml")
    assert lines_of("policies", capsys=capsys) == [
        ("policies/all.yaml", 5, "name-collision"),
        ("policies/all.yaml", 5, "name-collision"),
        ("policies/all.yaml", 19, "name-collision"),
        ("policies/all.yaml", 23, "namespace-left-out"),
        ("policies/shop/web.yml", 5, "name-collision"),
        ("policies/shop/web.yml", 5, "name-collision"),
        ("policies/shop/web.yml", 10, "selector-mistake"),
    ]


def test_standard_input_is_read_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(WITHOUT_BRACKETS.encode())))
    assert lines_of("-", capsys=capsys) == [("-", 10, "selector-mistake")]


def test_the_items_of_a_list_are_policies_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    indented = "".join(f"  {line}\n" for line in WITHOUT_BRACKETS.splitlines()[1:])
    (folder / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n-{indented[1:]}")
    assert lines_of("list.yaml", capsys=capsys) == [("list.yaml", 12, "selector-mistake")]


def test_json_is_read_as_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = {
        "apiVersion": "security.kubearmor.com/v1",
        "kind": "KubeArmorPolicy",
        "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": {"pod-template-hash": "1"}}},
    }
    (folder / "one.json").write_text(json.dumps(policy, indent=2))
    assert lines_of("one.json", capsys=capsys) == [("one.json", 10, "selector-mistake")]


def test_what_is_not_there_is_remarked_where_it_would_stand(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, end = CLUSTER_WIDE.index("  selector"), CLUSTER_WIDE.index("  process")
    (folder / "all.yaml").write_text(CLUSTER_WIDE[:start] + CLUSTER_WIDE[end:])
    assert lines_of("all.yaml", capsys=capsys) == [("all.yaml", 5, "namespace-left-out")]


def test_a_part_taken_from_elsewhere_is_remarked_where_it_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = "a: &labels {matchLabels: {kubearmor.io/container.name: app}}\n"
    merged = WITHOUT_BRACKETS.replace(
        "    matchLabels:\n      kubearmor.io/container.name: nginx\n", "    <<: *labels\n"
    )
    (folder / "web.yaml").write_text(common + merged)
    assert lines_of("web.yaml", capsys=capsys) == [("web.yaml", 1, "selector-mistake")]


def test_keys_that_are_no_strings_are_read_as_kubernetes_reads_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WITHOUT_BRACKETS.replace(
        "kubearmor.io/container.name: nginx", "7: [x]\n      no: 2026-01-01"
    )
    (folder / "web.yaml").write_text(text)
    _, output, _ = lint("web.yaml", "--output", "json", capsys=capsys)
    assert [(one["line"], one["path"]) for one in json.loads(output)["findings"]] == [
        (10, "spec.selector.matchLabels.7")
    ]


def test_a_document_that_holds_itself_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text("kind: A\nspec: &a\n  inner: *a\n")
    assert lint("web.yaml", capsys=capsys)[0] == 2


def test_a_document_that_repeats_itself_many_times_is_no_burden(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (folder / "web.yaml").write_text(f"{SOUND}---\nl0: &l0 x\n{levels}")
    assert lint("web.yaml", capsys=capsys)[0] == 0


@pytest.mark.parametrize("namespace", ["default", "bank"])
def test_a_policy_that_names_no_namespace_is_in_the_one_given(
    namespace: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text(WITHOUT_BRACKETS.replace("  namespace: shop\n", ""))
    given = [] if namespace == "default" else ["--namespace", namespace]
    _, output, _ = lint("web.yaml", *given, capsys=capsys)
    assert f"KubeArmorPolicy {namespace}/block-apt" in output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEPLOYMENT, "1 document is no KubeArmor policy and was skipped\n"),
        (
            f"{DEPLOYMENT}---\napiVersion: security.kubearmor.com/v1\nkind: KubeArmorOther\n",
            "2 documents are no KubeArmor policies and were skipped\n",
        ),
        ("---\n---\n", ""),
    ],
)
def test_what_is_no_policy_is_skipped_and_counted(
    text: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(text)
    assert lint("a.yaml", capsys=capsys) == (0, "0 policies read: nothing to remark\n", said)


def test_every_file_that_cannot_be_read_is_named_with_the_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "helm.yaml").write_text("kind: A\nspec: {{ .Values.spec }\n")
    (folder / "tag.yaml").write_text("kind: A\n---\nspec: !Ref other\n")
    (folder / "control.yaml").write_text("kind: A\nname: \x01\n")
    (folder / "time.yaml").write_text("kind: A\n---\nspec: 2026-99-99\n")
    (folder / "spec.yaml").write_text(SOUND[: SOUND.index("  selector")] + "  - a\n")
    (folder / "latin.yaml").write_bytes(b"a: \xe9\n")
    (folder / "deep.yaml").write_text("[" * 5000)
    (folder / "empty").mkdir()
    names = sorted(path.name for path in folder.iterdir())
    code, output, errors = lint(*names, "missing.yaml", capsys=capsys)
    assert (code, output) == (2, "")
    assert [line.strip().partition(": ")[::2] for line in errors.splitlines()[1:]] == [
        ("control.yaml:2", "not YAML: special characters are not allowed"),
        ("deep.yaml", "nested too deeply"),
        ("empty", "no YAML file in this folder"),
        ("helm.yaml:3", "not YAML: expected ',' or '}', but got '<stream end>'"),
        ("latin.yaml", "no UTF-8 text: invalid continuation byte"),
        ("spec.yaml:7", "spec is no mapping"),
        ("tag.yaml:3", "not YAML: could not determine a constructor for the tag '!Ref'"),
        ("time.yaml:3", "not YAML: month must be in 1..12"),
        ("missing.yaml", "No such file or directory"),
    ]


@pytest.mark.parametrize("arguments", [(), ("a.yaml", "--release", "latest")])
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output, errors = lint(*arguments, capsys=capsys)
    assert (code, output) == (2, "")
    assert errors


def test_a_release_and_an_enforcer_can_be_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(
        CLUSTER_WIDE.replace("key: namespace", "key: label")
        .replace("[kube-system, kubearmor]", '["a=b"]')
        .replace("matchPaths", "matchPatterns")
        .replace("path:", "pattern:")
    )
    given = ["--release", "v1.5.6", "--release", "v1.7.4", "--enforcer", "apparmor"]
    assert [code for _, _, code in lines_of("a.yaml", *given, capsys=capsys)] == [
        "namespace-left-out",
        "version-skew",
    ]


def test_the_json_form_has_everything_that_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text(f"{WITHOUT_BRACKETS}---\n{DEPLOYMENT}")
    code, output, _ = lint("web.yaml", "--output", "json", capsys=capsys)
    assert code == 1
    assert json.loads(output) == {
        "policies": 1,
        "skipped": 1,
        "findings": [
            {
                "code": "selector-mistake",
                "severity": "error",
                "policy": {"kind": "KubeArmorPolicy", "namespace": "shop", "name": "block-apt"},
                "file": "web.yaml",
                "line": 10,
                "path": 'spec.selector.matchLabels["kubearmor.io/container.name"]',
                "reason": "KubeArmor drops the first and the last character of a container list "
                "and splits the rest at commas: it reads `nginx` as the containers `gin` only. "
                "Write plain names between brackets.",
                "rewrite": {
                    "of": "KubeArmorPolicy",
                    "path": 'spec.selector.matchLabels["kubearmor.io/container.name"]',
                    "value": "[nginx]",
                },
            }
        ],
    }


# --- what cannot be a policy as it is -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: List\nitems: all\n", "a.yaml:3: items is no list"),
        ("apiVersion: v1\nkind: List\nitems: {a: b}\n", "a.yaml:3: items is no list"),
        ("apiVersion: v1\nkind: List\n", "a.yaml:1: a list without items"),
        (
            "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicyList\nitem: []\n",
            "a.yaml:1: a list without items",
        ),
        (SOUND.replace("name: block-apt", "name: 7"), "a.yaml:5: metadata.name is no string"),
        (
            SOUND.replace("namespace: shop", "namespace: [shop]"),
            "a.yaml:6: metadata.namespace is no string",
        ),
        (f"{SOUND.partition('metadata')[0]}metadata: web\n", "a.yaml:4: metadata is no mapping"),
    ],
)
def test_what_cannot_be_taken_for_a_policy_is_an_error_with_its_line(
    text: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(text)
    code, output, errors = lint("a.yaml", capsys=capsys)
    assert (code, output) == (2, "")
    assert errors == f"kubearmor-monitor: not everything can be read:\n  {said}\n"


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: List\nitems:\n",
        "apiVersion: v1\nkind: List\nitems: []\n",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: []\n",
    ],
)
def test_a_list_may_be_empty(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(text)
    assert lint("a.yaml", capsys=capsys) == (0, "0 policies read: nothing to remark\n", "")


def test_a_kind_of_another_group_may_end_in_the_word_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text("apiVersion: example.com/v1\nkind: AllowList\nspec: {}\n")
    skipped = "1 document is no KubeArmor policy and was skipped\n"
    assert lint("a.yaml", capsys=capsys) == (
        0,
        "0 policies read: nothing to remark\n",
        skipped,
    )


def test_of_a_key_that_is_written_twice_the_last_one_counts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(SOUND + "spec:\n  action: block\n")
    assert lines_of("a.yaml", capsys=capsys) == [("a.yaml", 16, "policy-rejected")]
    (folder / "b.yaml").write_text("apiVersion: v1\nkind: List\nitems: [a, b]\nitems: []\n")
    assert lint("b.yaml", capsys=capsys)[0] == 0


def test_a_value_of_a_wrong_type_is_remarked_on_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(SOUND.replace("action: Block", "action: 7"))
    code, output, _ = lint("a.yaml", capsys=capsys)
    assert code == 1
    assert output.startswith(
        "a.yaml:14: error: policy-rejected (KubeArmorPolicy shop/block-apt, spec.action)\n"
    )


# --- the same policy twice ----------------------------------------------------------------------


def test_a_policy_that_is_written_twice_is_an_error_that_names_the_other_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(SOUND)
    (folder / "b.yaml").write_text(f"{DEPLOYMENT}---\n{SOUND.replace('apt', 'apk')}---\n")
    (folder / "c.yaml").write_text(SOUND.replace("/apt", "/apk"))
    _, output, _ = lint(".", "--output", "json", capsys=capsys)
    lasting = "what it says is not the same, and only the one that is applied last is in force."
    assert [
        (one["file"], one["line"], one["code"], one["severity"], one["reason"])
        for one in json.loads(output)["findings"]
    ] == [
        ("a.yaml", 5, "name-collision", "error", f"The same policy is also in c.yaml:5: {lasting}"),
        ("c.yaml", 5, "name-collision", "error", f"The same policy is also in a.yaml:5: {lasting}"),
    ]


def test_a_policy_that_is_written_twice_alike_is_worth_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(f"{SOUND}---\n{SOUND}")
    code, output, _ = lint("a.yaml", capsys=capsys)
    assert code == 0
    assert "also in a.yaml:20: it says the same. One of them is enough." in output
    assert output.endswith("\n2 policies read: 2 notes\n")


def test_policies_whose_names_are_made_up_are_never_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(f"{SOUND}---\n{SOUND}".replace("  name:", "  generateName:"))
    assert lint("a.yaml", capsys=capsys) == (0, "2 policies read: nothing to remark\n", "")


def test_a_file_that_is_named_twice_is_read_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(SOUND)
    assert lint(".", "a.yaml", str(folder / "a.yaml"), capsys=capsys) == (
        0,
        "1 policy read: nothing to remark\n",
        "",
    )


# --- SARIF ------------------------------------------------------------------------------------


def log_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    _, output, _ = lint(*arguments, "--output", "sarif", capsys=capsys)
    log: dict[str, Any] = json.loads(output)
    return log


def test_sarif_has_a_rule_with_help_for_every_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yaml").write_text(SOUND)
    log = log_of("web.yaml", capsys=capsys)
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (log["version"], driver["name"], run["results"]) == ("2.1.0", "kubearmor-monitor", [])
    assert {
        rule["id"]: (rule["shortDescription"]["text"], rule["help"]["text"])
        for rule in driver["rules"]
    } == {code: (topic.title, topic.text) for code, topic in TOPICS.items()}


def test_sarif_has_a_result_with_its_place_for_every_remark(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "my policies").mkdir()
    (folder / "my policies" / "web.yaml").write_text(WITHOUT_BRACKETS)
    (run,) = log_of("my policies", capsys=capsys)["runs"]
    (result,) = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (result["ruleId"], result["level"], rule["id"]) == (
        "selector-mistake",
        "error",
        "selector-mistake",
    )
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "my%20policies/web.yaml"},
                "region": {"startLine": 10},
            },
            "logicalLocations": [
                {
                    "fullyQualifiedName": "KubeArmorPolicy/shop/block-apt#"
                    'spec.selector.matchLabels["kubearmor.io/container.name"]',
                    "kind": "resource",
                }
            ],
        }
    ]
    assert result["message"]["text"].endswith(
        "\ninstead, in spec.selector.matchLabels:\nkubearmor.io/container.name: '[nginx]'"
    )


def test_a_remark_without_a_rewrite_is_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SOUND.replace("matchPaths", "matchPatterns").replace("path:", "x:")
    (folder / "web.yaml").write_text(text)
    (run,) = log_of("web.yaml", capsys=capsys)["runs"]
    (result,) = run["results"]
    assert result["message"]["text"] == (
        "KubeArmorPolicy shop/block-apt: With BPF-LSM matchPatterns are ignored: this Block rule "
        "is not enforced."
    )


def test_a_result_keeps_its_fingerprint_when_lines_move(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprints = []
    for text in (WITHOUT_BRACKETS, f"# one\n# two\n{WITHOUT_BRACKETS}"):
        (folder / "web.yaml").write_text(text)
        (run,) = log_of("web.yaml", capsys=capsys)["runs"]
        fingerprints.append([one["partialFingerprints"] for one in run["results"]])
    assert fingerprints[0] == fingerprints[1] != [{}]


def test_results_that_are_alike_have_fingerprints_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "twice.yaml").write_text(f"{WITHOUT_BRACKETS}---\n{WITHOUT_BRACKETS}")
    (run,) = log_of("twice.yaml", capsys=capsys)["runs"]
    found = [str(one["partialFingerprints"]) for one in run["results"]]
    assert len(set(found)) == len(found) == 4


def test_an_absolute_file_is_a_file_uri(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "web.yaml"
    file.write_text(WITHOUT_BRACKETS)
    (run,) = log_of(str(file), capsys=capsys)["runs"]
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": file.as_uri()}


# --- a cluster --------------------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[RecordedApi]:
    async with RecordedApi("seed-v1.5.7", until=UNCOVERED) as api:
        yield api


async def test_the_policies_of_a_cluster_are_read_beside_what_runs_there(api: RecordedApi) -> None:
    ended = await call("lint", "--cluster", "--output", "json", **{URL: api.url})
    assert (ended.code, ended.errors) == (0, "")
    answer = json.loads(ended.output)
    assert [(one["code"], one["policy"]["name"], one["reason"]) for one in answer["findings"]] == [
        (
            "namespace-left-out",
            "block-pkg-mgr",
            (
                "The policy leaves out the namespaces `kube-system`. It has no effect in "
                "`kubearmor`, unless the configuration says otherwise."
            ),
        )
    ]


async def test_files_are_read_beside_a_cluster(api: RecordedApi, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(SOUND.replace("block-apt", "block-pkg-mgr"))
    ended = await call("lint", file, "--cluster", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    assert f"{file}:5: error: name-collision (" in ended.output
    assert ended.output.endswith("1 policy read: 1 error, 1 note\n")


async def test_sarif_of_a_cluster_names_policies_without_files(api: RecordedApi) -> None:
    ended = await call("lint", "--cluster", "--output", "sarif", **{URL: api.url})
    (run,) = json.loads(ended.output)["runs"]
    (location,) = [one["locations"][0] for one in run["results"]]
    assert list(location) == ["logicalLocations"]


async def test_a_cluster_that_cannot_be_read_is_not_finished() -> None:
    ended = await call("lint", "--cluster", "--timeout", "0.3", **{URL: "http://127.0.0.1:1"})
    assert (ended.code, ended.output) == (3, "")
    assert "the cluster could not be read within 0.3 s: kubearmorclusterpolicies: " in ended.errors


async def test_an_inventory_tells_the_releases_and_what_selectors_see(api: RecordedApi) -> None:
    configuration = Configuration(kubernetes=Kubernetes(url=api.url))
    objects = await inventory.read_inventory(configuration, seconds=30)
    cluster = inventory.cluster_of(objects, daemons_in="kubearmor")
    assert cluster.pods is not None
    assert cluster.releases == {"v1.5.7"}
    assert cluster.enforcers == ("bpf",)
    assert cluster.pods["team-b"] == (PodShape(labels={"app": "nginx"}, containers=("nginx",)),)
    assert [one.title for one in inventory.policies_of(objects)] == [
        "KubeArmorClusterPolicy block-pkg-mgr"
    ]


async def test_an_inventory_of_nothing_says_what_is_missing() -> None:
    unreachable = Configuration(kubernetes=Kubernetes(url="http://127.0.0.1:1"))
    with pytest.raises(SourceError, match=r"within 0\.1 s: .*; nodes: .*; pods: "):
        await inventory.read_inventory(unreachable, seconds=0.1)
