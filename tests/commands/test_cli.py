"""The command line: commands, help, exit codes."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from monitor import cli
from monitor.errors import ConfigurationError, MonitorError, SourceError
from tests.commands.called import ROOT, call

SERVER_DEPENDENCIES = ("aiohttp", "aiokafka", "grpc", "kubernetes_asyncio", "prometheus_client")


class Fixed:
    """A command that ends as it is told to."""

    EXAMPLES = "examples:\n  fixed\n"

    def __init__(self, outcome: int | BaseException) -> None:
        self.outcome = outcome

    def configure(self, parser: ArgumentParser) -> None:
        parser.add_argument("--colour")

    def run(self, options: Namespace) -> int:
        assert options.colour == "red"
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (ConfigurationError("no such key"), 2, "kubearmor-monitor: no such key\n"),
        (SourceError("no answer"), 3, "kubearmor-monitor: no answer\n"),
        (MonitorError("odd"), 3, "kubearmor-monitor: odd\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_command_ends_with_its_exit_code_and_one_message(
    outcome: int | BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "_command", lambda _: Fixed(outcome))
    assert cli.main(["check", "--colour", "red"]) == code
    assert capsys.readouterr() == ("", said)


def test_a_failure_that_nobody_thought_of_does_not_read_as_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_command", lambda _: Fixed(ValueError("odd")))
    assert cli.main(["check", "--colour", "red"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.endswith("could not finish; the lines above say where\n")


@pytest.mark.parametrize("arguments", [[], ["chek"], ["check", "--no-such-option"], ["replay"]])
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert "usage: kubearmor-monitor" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"usage: kubearmor-monitor {name}" in said
    assert f"examples:\n  kubearmor-monitor {name}" in said


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if f"\n    {name} " not in said] == []


def test_every_module_of_a_command_is_listed() -> None:
    folder = ROOT / "monitor" / "commands"
    modules = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    shared = {
        "__init__",
        "arguments",
        "cluster",
        "examination",
        "forecast",
        "running",
        "inventory",
        "manifests",
        "remarks",
        "sarif",
        "tape",
        "telling",
        "text",
        "timeline",
    }
    assert modules - shared == set(cli.COMMANDS)


def test_replay_starts_without_what_only_a_service_needs(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from monitor import cli\n"
        "code = cli.main(sys.argv[1:])\n"
        f"found = [name for name in {SERVER_DEPENDENCIES} if name in sys.modules]\n"
        "sys.exit(f'imported: {found}' if found else code)\n"
    )
    trace = ROOT / "tests" / "traces" / "seed-v1.7.4" / "trace.jsonl.zst"
    report = tmp_path / "report.json"
    command = [sys.executable, "-c", script, "replay", str(trace), "--report", str(report)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_simulate_on_a_trace_starts_without_what_only_a_cluster_needs(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: security.kubearmor.com/v1\n"
        "kind: KubeArmorPolicy\n"
        "metadata: {name: nothing, namespace: nowhere}\n"
    )
    script = (
        "import sys\n"
        "from monitor import cli\n"
        "cli.main(sys.argv[1:])\n"
        f"print([name for name in {SERVER_DEPENDENCIES} if name in sys.modules])\n"
    )
    trace = ROOT / "tests" / "traces" / "seed-v1.7.4" / "trace.jsonl.zst"
    command = [sys.executable, "-c", script, "simulate", "-f", str(policy), "--trace", str(trace)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.stdout.splitlines()[-1], ended.stderr) == ("[]", "")


def test_lint_of_files_starts_without_what_only_a_cluster_needs(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text("kind: Other\n")
    script = (
        "import sys\n"
        "from monitor import cli\n"
        "cli.main(sys.argv[1:])\n"
        f"print([name for name in {SERVER_DEPENDENCIES} if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, "lint", str(policies)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout == "0 policies read: nothing to remark\n[]\n"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reader = f"{sys.executable} -m monitor schema | head -c 10"
    ended = subprocess.run(
        ["/bin/sh", "-c", reader], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
async def test_what_is_printed_is_utf_8_whatever_the_locale(encoding: str) -> None:
    trace = ROOT / "tests" / "traces" / "seed-v1.5.7" / "trace.jsonl.zst"
    ended = await call("replay", trace, PYTHONIOENCODING=encoding)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.endswith(": 5 covered · 2 exempt\n")


async def test_the_package_can_be_run() -> None:
    ended = await call("--help")
    assert (ended.code, ended.errors) == (0, "")
