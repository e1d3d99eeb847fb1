"""The gate: what passes it, what it says while it waits, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from monitor import cli
from tests.commands.called import call
from tests.commands.recorded_api import RecordedApi

pytestmark = pytest.mark.thorough


UNCOVERED = 1795469290.03
URL = "KUBEARMOR_MONITOR_KUBERNETES__URL"
CAUSE = "namespace-newer-than-policy"


@pytest.fixture
async def api() -> AsyncIterator[RecordedApi]:
    async with RecordedApi("seed-v1.5.7", until=UNCOVERED) as api:
        yield api


async def test_a_covered_workload_passes(api: RecordedApi) -> None:
    ended = await call("wait", "shop-front/nginx", "--pods", "2", **{URL: api.url})
    assert (ended.code, ended.errors) == (0, "")
    *_, progress, last = ended.output.splitlines()
    assert progress.endswith(" s  2 of 2 let through")
    assert last == "shop-front/nginx: all of 2 let through"


async def test_a_gap_ends_the_wait_with_cause_and_remedy(api: RecordedApi) -> None:
    ended = await call("wait", "team-b/nginx", "--timeout", "6s", **{URL: api.url})
    assert (ended.code, ended.errors) == (1, "")
    assert f"waiting for nginx-85f7d4dd78-2whmv/nginx gap, {CAUSE}" in ended.output
    head, named, what, remedy = ended.output.splitlines()[-4:]
    assert head.startswith("team-b/nginx: not covered after ")
    assert named.startswith(f"gap, {CAUSE}: nginx-85f7d4dd78-2whmv/nginx, nginx-")
    assert what.startswith("  what happened: KubeArmor v1.5.7 keeps the list of namespaces")
    assert remedy.startswith("  what to do: Upgrade KubeArmor to v1.6.0 or later")


async def test_a_pod_can_be_waited_for_by_its_name(api: RecordedApi) -> None:
    pod = next(
        item["metadata"]["name"]
        for item in api.objects["pods"].values()
        if item["metadata"]["namespace"] == "shop-front"
    )
    ended = await call("wait", f"shop-front/{pod}", "--output", "json", **{URL: api.url})
    assert ended.code == 0
    document = json.loads(ended.output)
    assert document.pop("waitedSeconds") > 0
    assert document == {
        "workload": f"shop-front/{pod}",
        "covered": True,
        "containers": 1,
        "missing": [],
    }
    assert ended.errors.endswith("1 of 1 let through\n")


async def test_a_container_that_does_not_run_yet_is_waited_for(api: RecordedApi) -> None:
    for item in api.objects["pods"].values():
        if item["metadata"]["namespace"] == "shop-front":
            item["spec"]["containers"].append({"name": "late"})
    ended = await call("wait", "shop-front/nginx", "--timeout", "6s", **{URL: api.url})
    assert ended.code == 1
    assert "nginx-85f7d4dd78-gk6wm/late does not run yet" in ended.output


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--allow", "exempt"], 0)])
async def test_an_exempt_workload_passes_only_where_that_is_allowed(
    api: RecordedApi, options: list[str], code: int
) -> None:
    asked = ["wait", "kubearmor/kubearmor", "--timeout", "6s", "--output", "json", *options]
    ended = await call(*asked, **{URL: api.url})
    assert ended.code == code
    missing = json.loads(ended.output)["missing"]
    assert {one["standing"] for one in missing} == (
        {"exempt, untracked-namespace"} if code else set()
    )
    assert all(one["remedy"].endswith("To let it pass: --allow exempt.") for one in missing)


async def test_a_cluster_out_of_reach_is_an_error() -> None:
    ended = await call("wait", "a/b", "--timeout", "500ms", **{URL: "http://127.0.0.1:1"})
    assert (ended.code, ended.output) == (3, "")
    assert "the cluster could not be read" in ended.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nginx"], "not NAMESPACE/WORKLOAD: 'nginx'"),
        (["a/b/c"], "not NAMESPACE/WORKLOAD: 'a/b/c'"),
        (["/b"], "not NAMESPACE/WORKLOAD: '/b'"),
        (["a/b", "--timeout", "soon"], "not a duration"),
        (["a/b", "--allow", "gap,exempt"], "cannot be allowed: gap"),
        (["a/b", "--pods", "0"], "not a number of Pods: '0'"),
        (["a/b", "--for", "ready"], "invalid choice: 'ready'"),
    ],
)
def test_wrong_usage_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", *arguments]) == 2
    assert said in capsys.readouterr().err


# --- a running monitor ----------------------------------------------------------------------------


def row(pod: str, verdict: str, *, cause: str | None = None) -> dict[str, Any]:
    return {
        "node": "node-1",
        "namespace": "shop",
        "pod": pod,
        "container": "app",
        "workload": "Deployment/web",
        "verdict": verdict,
        "cause": cause,
    }


SOURCES = [
    {"name": f"kubernetes/{kind}", "state": "up"}
    for kind in ("kubearmorpolicies", "kubearmorclusterpolicies")
]
NODES = [{"node": "node-1", "release": "v1.5.7"}]


@asynccontextmanager
async def monitor(
    *looks: list[dict[str, Any]], sources: list[dict[str, str]] = SOURCES
) -> AsyncIterator[str]:
    """Answer as a running monitor: each time with the next containers, at last with the same."""
    left = list(looks)

    async def rows(request: web.Request) -> web.StreamResponse:
        section = request.match_info["section"]
        if section == "containers":
            assert request.query["namespace"] == "shop"
            found, is_rest = left[0], "continue" in request.query
            if len(found) > 1 and not is_rest:
                return page(found[:1], token="more")
            if len(left) > 1:
                left.pop(0)
            return page(found[1:] if is_rest else found)
        return page({"sources": sources, "nodes": NODES}[section])

    application = web.Application()
    application.router.add_get("/api/v1/{section}", rows)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def page(items: list[Any], *, token: str | None = None) -> web.Response:
    body: Mapping[str, Any] = {"items": items, "continue": token}
    return web.json_response(body)


async def ask(url: str, *options: str) -> int:
    arguments = ["wait", "shop/web", "--url", url, "--output", "json", *options]
    return await asyncio.to_thread(cli.main, arguments)


async def test_a_running_monitor_is_asked_until_it_says_covered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = [[row("web-1", "pending")], [row("web-1", "covered")]]
    async with monitor(*looks) as url:
        assert await ask(url) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["covered"] is True
    first, second = said.err.splitlines()
    assert first.endswith("0 of 1 let through; waiting for web-1/app pending")
    assert second.endswith("1 of 1 let through")


async def test_every_page_of_the_monitors_answer_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with monitor([row("web-1", "covered"), row("web-2", "gap", cause=CAUSE)]) as url:
        assert await ask(url, "--timeout", "200ms") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["containers"] == 2
    (missing,) = document["missing"]
    assert (missing["pod"], missing["cause"]) == ("web-2", CAUSE)


async def test_too_few_pods_do_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    async with monitor([row("web-1", "covered")]) as url:
        assert await ask(url, "--timeout", "200ms", "--pods", "3") == 1
    assert "waiting for 2 more Pods to appear" in capsys.readouterr().err


async def test_a_monitor_that_does_not_see_the_policies_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with monitor([row("web-1", "unpoliced")], sources=SOURCES[:1]) as url:
        assert await ask(url, "--timeout", "200ms", "--allow", "unpoliced") == 3
    assert "cannot read kubernetes/kubearmorclusterpolicies" in capsys.readouterr().err


async def test_a_monitor_out_of_reach_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert await ask("http://127.0.0.1:1", "--timeout", "200ms") == 3
    assert "the monitor at http://127.0.0.1:1 cannot be read" in capsys.readouterr().err
