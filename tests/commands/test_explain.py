"""Explanations from a trace and from a running monitor."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from monitor import cli
from monitor.core.causes import CAUSES
from tests.emulator.scenarios import SCENARIOS
from tests.emulator.scenarios.scenario import STAGE, opening
from tests.emulator.steps import Wait
from tests.emulator.virtual import VirtualCluster

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "tests" / "traces"
SEED = TRACES / "seed-v1.5.7" / "trace.jsonl.zst"
UNCOVERED = ["--trace", str(SEED), "--until", "1795469290.03"]
POD = "team-b/nginx-85f7d4dd78-2whmv"
YOUNGER = (
    "its namespace was created at 2026-11-23T21:28:00Z, after the daemon's last look at the policy "
    "of 2026-11-23T21:27:56Z, and v1.5.7 goes by the namespaces that there were then"
)


@asynccontextmanager
async def answering(answers: Mapping[str, object], *, status: int = 200) -> AsyncIterator[str]:
    """A monitor that has these answers, and refuses everything else; give its address."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path not in answers:
            raise web.HTTPServiceUnavailable(text=request.path)
        found = answers[request.path]
        if isinstance(found, str):
            return web.Response(text=found, status=status)
        return web.json_response(found, status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    try:
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def test_a_trace_explains_a_container(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", f"{POD}/nginx", *UNCOVERED]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{POD}/nginx on node-a: gap, namespace-newer-than-policy\n")
    assert "  what to do: Upgrade KubeArmor to v1.6.0 or later" in said
    assert said.rstrip().endswith("runbooks/README.md#namespace-newer-than-policy")


def test_the_trail_is_told_up_to_what_decided(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["explain", POD, *UNCOVERED])
    lines = capsys.readouterr().out.splitlines()
    policy = "KubeArmorClusterPolicy block-pkg-mgr"
    assert [line.strip() for line in lines[5:23]] == [
        "as its manifest reads: selected (meets: namespace NotIn kube-system)",
        "as KubeArmor means it: selected (selects every namespace but kube-system)",
        "as the node's daemon (v1.5.7) takes it: not attached",
        f"2026-11-23T21:27:56.367572Z {policy} was added and stored",
        "2026-11-23T21:28:00.637381Z namespace team-b came",
        "2026-11-23T21:28:01.893458Z the Pod was evaluated: the policy is not attached",
        (
            "2026-11-23T21:28:01.893458Z namespace team-b came after the policy; "
            "this release does not look again"
        ),
        "the policy is not attached",
        "what was asked, in turn:",
        "yes    supported  KubeArmor can protect containers of this kind [kubernetes/pods]",
        "no     exempt     neither an annotation nor its namespace exempts it [kubernetes/pods]",
        "yes    objects    Pods and policies are being read [kubernetes/pods]",
        (
            "yes    daemon     2026-11-23T21:27:46.427210Z kubearmor/kubearmor-q4twg (restart 0) "
            "is ready [text/node-a]"
        ),
        "yes    release    v1.5.7, as its output says [text/node-a]",
        (
            "yes    policy     2026-11-23T21:27:56.367572Z the daemon has met generation 1 "
            "of the policy [text/node-a]"
        ),
        "no     effect     no effect of the policy was reported that proves it [alerts]",
        "yes    enforcer   the daemon enforces by BPFLSM [text/node-a]",
        (
            "yes    rules      its rules have a form that the kernel enforces "
            "[kubernetes/kubearmorclusterpolicies]"
        ),
    ]
    assert lines[23].strip() == (
        f"no     attachment not attached: {YOUNGER} [text/node-a] <- this decides"
    )


def test_a_policy_that_only_seems_to_select_is_told_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trace = TRACES / "collisions-v1.7.4" / "trace.jsonl.zst"
    assert cli.main(["explain", "y/web-66d47686b4-qmwfz", "--trace", str(trace)]) == 1
    lines = capsys.readouterr().out.splitlines()
    begin = next(n for n, line in enumerate(lines) if "y/brackets" in line)
    assert lines[begin : begin + 4] == [
        (
            "  KubeArmorPolicy y/brackets: does not protect it; "
            "its manifest reads as if it should; KubeArmor means it otherwise"
        ),
        (
            "    as its manifest reads: selected "
            "(meets: namespace In y; meets: label In app=web; meets: container In nginx)"
        ),
        "    as KubeArmor means it: not selected (container nginx is not among gin)",
        "    as the node's daemon (v1.7.4) takes it: not attached",
    ]


def test_the_example_of_the_readme_is_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("\n$ kubearmor-monitor explain ")
    call, *example = rest.partition("\n```\n")[0].splitlines()
    arguments = [str(ROOT / one) if "/traces/" in one else one for one in call.split()]
    assert cli.main(["explain", *arguments]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line for line in example if line not in said] == ["  …"]


def test_what_is_covered_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, "--trace", str(SEED)]) == 0
    said = capsys.readouterr().out
    assert "KubeArmorClusterPolicy block-pkg-mgr: covered, proven" in said


def test_the_explanation_as_json_is_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, *UNCOVERED, "--output", "json"]) == 1
    (container,) = json.loads(capsys.readouterr().out)
    assert (container["pod"], container["verdict"]) == (POD.partition("/")[2], "gap")
    (pair,) = container["policies"]
    assert pair["trail"][-1] == {
        "question": "attachment",
        "knowledge": "known-not",
        "text": f"not attached: {YOUNGER}",
        "source": "text/node-a",
        "at": None,
        "decides": True,
    }
    assert pair["meanings"]["predicted"]["story"][1] == {
        "text": "namespace team-b came",
        "at": ["2026-11-23T21:27:59.637381Z", "2026-11-23T21:28:00.637381Z"],
    }


async def test_a_running_monitor_says_the_same_as_its_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["explain", POD, *UNCOVERED, "--output", "json"])
    value = json.loads(capsys.readouterr().out)
    async with answering({f"/api/v1/explain/{POD}": {"containers": value}}) as url:
        for output in ("text", "json"):
            there = ["explain", f"{POD}/nginx", "--url", url, "--output", output]
            assert await asyncio.to_thread(cli.main, there) == 1
            heard = capsys.readouterr().out
            cli.main(["explain", POD, *UNCOVERED, "--output", output])
            assert heard == capsys.readouterr().out
        code = await asyncio.to_thread(cli.main, ["explain", f"{POD}/other", "--url", url])
    assert (code, capsys.readouterr().out) == (
        1,
        f"no running container of {POD}/other is known\n",
    )


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
    async with answering({}) as url:
        code = await asyncio.to_thread(cli.main, ["explain", POD, "--url", url])
    assert code == 3
    assert f"the monitor at {url} answered 503" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:99999", "Port out of range"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("ftp://127.0.0.1:1", "not an address of a monitor, such as http://127.0.0.1:9470"),
        ("http://", "not an address of a monitor, such as http://127.0.0.1:9470"),
    ],
)
def test_what_is_no_address_of_a_monitor_is_refused(
    url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", POD, "--url", url]) == 2
    assert said in capsys.readouterr().err


def test_a_monitor_and_a_trace_are_not_both_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", POD, "--url", "http://127.0.0.1:1", *UNCOVERED]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "answer", "code", "said"),
    [
        (404, {"detail": f"no container of a Pod {POD} is running"}, 1, ""),
        (404, {"title": "Not Found"}, 3, "answered 404: its API has another address"),
        (404, "nothing here", 3, "answered 404: its API has another address"),
        (200, "<html>", 3, "is not the API of a monitor"),
        (200, [], 3, "is not the API of a monitor"),
    ],
)
async def test_what_is_not_there_is_told_from_what_is_no_api(
    status: int, answer: object, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering({f"/api/v1/explain/{POD}": answer}, status=status) as url:
        assert await asyncio.to_thread(cli.main, ["explain", POD, "--url", url]) == code
    assert said in capsys.readouterr().err


# --- nodes --------------------------------------------------------------------------------------

INACTIVE = SCENARIOS["host-policy-inactive: host policies are switched off"]
NO_SUCH_NODE = "no node node-z is known\n"


@pytest.fixture(scope="module")
def host_trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cluster in which a host policy selects the stage, whose daemon does not apply it."""
    trace = tmp_path_factory.mktemp("traces") / "hosts.jsonl"
    cluster = VirtualCluster(INACTIVE.release)
    for step in (*opening(INACTIVE.base), *INACTIVE.before, *INACTIVE.wrong, Wait(25)):
        cluster.perform(step)
    cluster.tape.write(trace)
    return str(trace)


def test_a_node_is_explained_with_its_daemon_and_its_host_policies(
    host_trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", "--node", STAGE, "--trace", host_trace]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"node {STAGE}: gap, host-policy-inactive"
    assert lines[1].startswith("  daemon kubearmor/kubearmor-node-3-")
    assert " (restart 0), v1.7.4, enforces by BPFLSM, ready since " in lines[1]
    assert lines[3].startswith("  KubeArmorHostPolicy no-nc: gap, host-policy-inactive (certain), ")
    assert lines[4:7] == [
        "    as its manifest reads: selected (meets: label In role=edge)",
        "    as KubeArmor means it: selected (requires the labels role=edge)",
        "    as the node's daemon (v1.7.4) takes it: not attached",
    ]
    assert sum("<- this decides" in line for line in lines) == 1
    cause = CAUSES["host-policy-inactive"]
    assert lines[-4:] == [
        "  host-policy-inactive",
        f"  what happened: {cause.what}",
        f"  what to do: {cause.remedy_on('v1.7.4')}",
        f"  more: {cause.runbook}",
    ]


def test_a_node_that_no_policy_selects_is_told_by_its_daemon(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["explain", "--node", "node-a", "--trace", str(SEED)]) == 0
    first, daemon, rest = capsys.readouterr().out.splitlines()
    assert first == "node node-a: covered"
    assert daemon.startswith("  daemon kubearmor/kubearmor-")
    assert rest == "  no host or network policy selects it"


async def test_a_running_monitor_explains_a_node_as_its_trace_does(
    host_trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["explain", "--node", STAGE, "--trace", host_trace]
    cli.main([*here, "--output", "json"])
    value = json.loads(capsys.readouterr().out)
    assert (value["node"], value["verdict"], len(value["policies"])) == (STAGE, "gap", 1)
    async with answering({f"/api/v1/nodes/{STAGE}/explain": value}) as url:
        for output in ("text", "json"):
            there = ["explain", "--node", STAGE, "--url", url, "--output", output]
            assert await asyncio.to_thread(cli.main, there) == 1
            heard = capsys.readouterr().out
            cli.main([*here, "--output", output])
            assert heard == capsys.readouterr().out


@pytest.mark.parametrize(("output", "said"), [("text", NO_SUCH_NODE), ("json", "null\n")])
def test_a_node_that_there_is_not_is_a_finding(
    output: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["explain", "--node", "node-z", "--trace", str(SEED), "--output", output]
    assert cli.main(asked) == 1
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("subject", [[], [POD, "--node", "node-a"]])
def test_a_pod_or_a_node_is_explained_and_not_both(
    subject: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", *subject, *UNCOVERED]) == 2
    assert "--node" in capsys.readouterr().err
