"""Explanations from a trace and from a running monitor."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from monitor import cli

SEED = Path(__file__).parents[1] / "traces" / "seed-v1.5.7" / "trace.jsonl.zst"
UNCOVERED = ["--trace", str(SEED), "--until", "1795469290.03"]
POD = "team-b/nginx-85f7d4dd78-2whmv"


def test_a_trace_explains_a_container(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", f"{POD}/nginx", *UNCOVERED]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{POD}/nginx on node-a: gap, namespace-newer-than-policy\n")
    assert "  what to do: Upgrade KubeArmor to v1.6.0 or later" in said
    assert said.rstrip().endswith("runbooks/README.md#namespace-newer-than-policy")


def test_what_is_covered_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, "--trace", str(SEED)]) == 0
    said = capsys.readouterr().out
    assert "KubeArmorClusterPolicy block-pkg-mgr: covered, proven" in said


def test_the_explanation_as_json_is_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, *UNCOVERED, "--output", "json"]) == 1
    (container,) = json.loads(capsys.readouterr().out)
    assert (container["pod"], container["verdict"]) == (POD.partition("/")[2], "gap")


@pytest.mark.parametrize("pod", ["team-b/other", f"{POD}/other"])
def test_a_container_that_does_not_run_is_a_finding(
    pod: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", pod, *UNCOVERED]) == 1
    assert capsys.readouterr().out == f"no running container of {pod} is known\n"


@pytest.mark.parametrize("pod", ["nginx", "a/b/c/d", "a/", "/b"])
def test_what_names_no_pod_is_refused(pod: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", pod, *UNCOVERED]) == 2
    assert "not NAMESPACE/POD" in capsys.readouterr().err


def test_a_monitor_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, "--url", "http://127.0.0.1:1"]) == 3
    assert "the monitor at http://127.0.0.1:1 cannot be read" in capsys.readouterr().err


async def test_a_monitor_in_trouble_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPServiceUnavailable(text=request.path)

    application = web.Application()
    application.router.add_get("/{path:.*}", refuse)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"127.0.0.1:{runner.addresses[0][1]}"
    code = await asyncio.to_thread(cli.main, ["explain", POD, "--url", url])
    await runner.cleanup()
    assert code == 3
    assert f"the monitor at {url} answered 503" in capsys.readouterr().err
