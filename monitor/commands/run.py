"""The service: watches a cluster until it is told to stop."""

import asyncio
import importlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from monitor import app, config
from monitor.logs import logging_to

# The outbox's thread gives up the interpreter whenever it enters SQLite; by default it would wait
# up to 5 ms to go on, a dozen times for each commit.
THREAD_SWITCH_SECONDS = 0.001

EXAMPLES = """\
examples:
  kubearmor-monitor run --config monitor.yaml
  KUBEARMOR_MONITOR_KAFKA__BROKERS=kafka:9092 kubearmor-monitor run
  KUBEARMOR_MONITOR_JSONL__PATH=- kubearmor-monitor run | jq .

The configuration is a YAML file and variables KUBEARMOR_MONITOR_SECTION__KEY, which win. In a Pod
the cluster is reached through its service account, elsewhere through the usual kubeconfig.
SIGTERM and SIGINT stop it: what is decided is delivered, or waits in the outbox.
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")


def run(options: Namespace) -> int:
    configuration = config.load(options.config, os.environ)
    log = configuration.log
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    with (
        logging_to(sys.stderr, form=log.format, level=log.level),
        asyncio.Runner(loop_factory=fastest_loop()) as runner,
    ):
        runner.run(app.serve(configuration))
    return 0


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return how to make an event loop: uvloop's where it is installed."""
    with suppress(ImportError):
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    return None
