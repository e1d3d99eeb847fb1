"""The command line: which command, with which arguments, and what it exits with.

Exit codes: 0 fine, 1 findings, 2 usage or configuration, 3 could not finish.
Only the module of the command that is called is imported: `replay` starts without a server's
dependencies.
"""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Protocol, cast

from monitor.errors import MonitorError

PROGRAM = "kubearmor-monitor"
FINE, FINDINGS, USAGE, UNFINISHED = range(4)
INTERRUPTED = 130

COMMANDS = {
    "run": "watch a cluster and publish what is found: the service",
    "check": "look at a cluster once and print which containers are not protected",
    "explain": "say all that is known of one Pod's containers or of a node, and what to do",
    "wait": "wait until every container of a workload is protected: a gate for pipelines",
    "doctor": "say what is wrong, or could go wrong, with KubeArmor on a cluster",
    "simulate": "say who would gain, lose and collide if policies were applied",
    "lint": "say which policies do not do what their manifests say, with a rewrite",
    "demo": "play a bundled recording through the whole pipeline, with the board",
    "replay": "judge a recorded trace",
    "record": "record what a cluster and KubeArmor show, as a trace",
    "schema": "print the JSON Schema of events, report and explanations",
}
EPILOG = """\
exit codes: 0 fine, 1 findings, 2 usage or configuration, 3 could not finish

examples:
  kubearmor-monitor demo
  kubearmor-monitor check --context staging
  kubearmor-monitor doctor --context staging
  kubearmor-monitor run --config monitor.yaml
"""


class Command(Protocol):
    """What a module of `monitor.commands` offers."""

    EXAMPLES: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except SystemExit as stop:
        return int(stop.code or 0)
    except MonitorError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNFINISHED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001  # the last resort: a defect is named, not dumped
        traceback.print_exc()
        sys.stderr.write(f"{PROGRAM}: could not finish; the lines above say where\n")
        return UNFINISHED
    return code


def _run(arguments: Sequence[str]) -> int:
    called = next((word for word in arguments if not word.startswith("-")), "")
    command = _command(called) if called in COMMANDS else None
    parser = _parser(called, command)
    options = parser.parse_args(arguments)
    if command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return command.run(options)


def _command(name: str) -> Command:
    return cast("Command", importlib.import_module(f"monitor.commands.{name}"))


def _parser(called: str, command: Command | None) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Are KubeArmor's policies in force on every container they should protect?",
        epilog=EPILOG,
        formatter_class=raw,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        known = command if name == called else None
        epilog = known.EXAMPLES if known else None
        description = f"{summary[0].upper()}{summary[1:]}."
        one = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
        )
        if known:
            known.configure(one)
    return parser
