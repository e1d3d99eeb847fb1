"""The board in a real browser, beside an API server that can misbehave."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.board import worlds
from tests.board.fake import FakeApi
from tests.board.worlds import HOSTILE, World
from tests.rig import install

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
OVER_COVERAGE = "Over-coverage: more is in force than is asked for"
INTENT = "Intent: a policy may not do what was meant"
SUSPICION = "Suspicion: something may be wrong and cannot be ruled out"
MISSED = ["team-b", "nginx-85f7d4dd78-2whmv"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    install.install(("chromium",))
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(
        viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-GB"
    )
    yield await context.new_page()
    await context.close()


async def opened(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def texts(page: Page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in await page.locator(selector).all_inner_texts()]


@pytest.mark.parametrize(
    ("world", "headline", "ratio"),
    [
        (worlds.seed(), "3 containers are not protected", "40 %"),
        (worlds.healed(), "Every container with a policy is protected", "100 %"),
        (worlds.busy(), "7 containers are not protected", "93.1 %"),
        (World(containers=worlds.busy().containers[4:5]), "1 container cannot be judged", "0 %"),
        (World(containers=worlds.busy().containers[5:6]), "1 container waiting for proof", "0 %"),
    ],
    ids=["seed", "healed", "busy", "unknown", "pending"],
)
async def test_the_headline_says_the_state_in_one_sentence(
    page: Page, world: World, headline: str, ratio: str
) -> None:
    async with FakeApi(world) as api:
        await opened(page, api)
        await expect(page.locator("#headline")).to_have_text(headline)
        await expect(page.locator("#ratio-value")).to_have_text(ratio)
        assert await page.title() == f"{headline} · KubeArmor coverage"


async def test_an_empty_cluster_is_not_praised(page: Page) -> None:
    async with FakeApi(worlds.empty()) as api:
        await opened(page, api)
        await expect(page.locator("#headline")).to_have_text("No containers have been seen yet")
        await expect(page.locator("#ratio")).to_be_hidden()
        await expect(page.locator("#uncovered-empty")).to_have_text(
            "There is nothing to protect yet."
        )


async def test_an_incident_says_cause_scope_and_what_to_do(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        card = page.locator("#incident-list article")
        await expect(card).to_have_count(1)
        await expect(card.locator("h3")).to_have_text(
            "The cluster policy misses namespaces created after it"
        )
        assert await texts(page, "#incident-list .facts div") == [
            "Affects 3 containers",
            "Where cluster policy block-pkg-mgr",
            "KubeArmor v1.5.7",
            "Cause namespace-newer-than-policy",
        ]
        await expect(card).to_contain_text("Upgrade KubeArmor to v1.6.0 or later")
        await expect(card.locator(".command code")).to_have_text(
            'kubectl annotate kubearmorclusterpolicy NAME kubearmor-monitor/touched="$(date +%s)" '
            "--overwrite"
        )


async def test_the_table_lists_what_is_not_protected(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        rows = page.locator("#uncovered-table tbody tr")
        await expect(rows).to_have_count(3)
        assert await texts(page, "#uncovered-table tbody tr:first-child td") == [
            "Gap",
            "nginx-85f7d4dd78-2whmv team-b · nginx",
            "block-pkg-mgr cluster policy",
            "The cluster policy misses namespaces created after it",
            "node-a",
            "21:28:01 for 8.6 s",
            "7.6 s to 8.6 s",
        ]


async def test_containers_are_paged_and_filtered(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        rows = page.locator("#containers-table tbody tr")
        await expect(rows).to_have_count(25)
        await page.click("#next")
        await expect(page.locator("#page")).to_have_text("Page 2")
        await page.click("#previous")
        await expect(page.locator("#page")).to_have_text("Page 1")
        await page.select_option("#filter-verdict", "unknown")
        await expect(rows).to_have_count(1)
        await page.click("#filter-clear")
        await page.fill("#filter-namespace", "payments")
        await expect(rows).to_have_count(4)
        await page.fill("#filter-namespace", "nowhere")
        await expect(page.locator("#containers-empty")).to_have_text(
            "No container matches this filter."
        )


async def test_the_legend_filters_by_keyboard(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        await page.locator("#legend button").nth(1).press("Enter")
        await expect(page.locator("#containers-table tbody tr")).to_have_count(4)
        await expect(page.locator("#legend button").nth(1)).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(page.locator("#containers-title")).to_be_focused()


async def test_nodes_and_sources_put_trouble_first(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        assert (await texts(page, "#nodes-table tbody td:first-child"))[:3] == [
            "node-e no daemon",
            "node-c kubearmor/kubearmor-cq4tw",
            "node-d kubearmor/kubearmor-dq4tw",
        ]
        await expect(page.locator("#host-policies")).to_have_text(
            "Host and network policies, counted once per node: none of 4 in force, 4 lost."
        )
        assert await texts(page, "#source-list .blind") == [
            "node-d: blind since 21:27:58 (connection refused)",
            "relay: blind since 21:27:58 (connection refused)",
        ]


async def test_a_nodes_policies_that_are_not_in_force_are_named_and_counted(page: Page) -> None:
    async with FakeApi(worlds.unprotected_hosts()) as api:
        await opened(page, api)
        await expect(page.locator("#headline")).to_have_text(
            "Every container with a policy is protected"
        )
        await expect(page.locator("#subline")).to_have_text(
            "5 containers with policies: 5 covered. 2 policies of nodes are not in force."
        )
        await expect(page.locator("#host-policies")).to_have_text(
            "Host and network policies, counted once per node: 2 of 4 in force, 2 gap."
        )
        rows = page.locator("#nodes-table tbody tr")
        await expect(rows).to_have_count(2)
        assert await texts(page, "#nodes-table tbody td:nth-child(3)") == [
            "1 of 3 in force host-block-mount host-block-ptrace",
            "1 of 1 in force",
        ]


async def test_a_node_explains_its_policies_and_gives_the_focus_back(page: Page) -> None:
    async with FakeApi(worlds.unprotected_hosts()) as api:
        await opened(page, api)
        button = page.locator("#nodes-table tbody button").first
        await button.press("Enter")
        detail = page.locator("#detail")
        await expect(detail.locator("h2")).to_have_text("node-b")
        assert await texts(page, "#detail .pair header strong") == [
            "host-audit-ssh",
            "host-block-mount",
            "host-block-ptrace",
        ]
        api.world.nodes = api.world.nodes[:1]
        api.tell("health", {"name": "text/node-b", "state": "down", "reason": "gone"})
        await expect(page.locator("#detail-body")).to_have_text(
            "The monitor knows no such node any more."
        )
        api.world = worlds.unprotected_hosts()
        api.tell("health", {"name": "text/node-b", "state": "up", "reason": ""})
        await expect(page.locator("#detail .pair")).to_have_count(3)
        await page.keyboard.press("Escape")
        await expect(button).to_be_focused()


async def test_findings_are_sorted_by_nature_and_say_what_to_do(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        await expect(page.locator("#findings-count")).to_have_text("17")
        assert [
            (await texts(page, f"#finding-list article:nth-child({place}) > header"))[0]
            for place in range(1, 7)
        ] == [
            f"A deleted policy is still in force {OVER_COVERAGE}",
            f"The policy is on containers that it does not select {OVER_COVERAGE}",
            f"The policy is on containers that it does not select {OVER_COVERAGE}",
            f"The selector does not mean what it seems to say {INTENT}",
            f"A namespaced and a cluster policy bear one name {INTENT}",
            f"One of two policies may have been overwritten {SUSPICION}",
        ]
        first = page.locator("#finding-list article").first
        assert await texts(page, "#finding-list article:first-child .found li") == [
            (
                "KubeArmorPolicy payments/deny-shell since 21:25:40, for 2 min 29 s "
                "It was deleted, and the daemon of node-a never said so."
            )
        ]
        await expect(first.locator(".advice")).to_contain_text("The daemon missed the policy")
        await expect(first.locator(".do .command code")).to_contain_text("kubectl -n kubearmor")


async def test_many_findings_of_a_kind_are_opened_by_keyboard_and_stay_open(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        card = page.locator("#finding-list article").nth(4)
        rows = card.locator(".found li:visible")
        await expect(rows).to_have_count(4)
        button = card.get_by_role("button", name="Show all 12")
        await button.press("Enter")
        await expect(rows).to_have_count(12)
        gone = next(one for one in api.world.findings if one["code"] == "name-collision")
        api.world.findings.remove(gone)
        api.tell("findings", {**gone, "state": "closed"})
        await expect(rows).to_have_count(11)
        await expect(card.get_by_role("button", name="Show only 4")).to_be_focused()


async def test_a_finding_that_ends_is_told_as_ended(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        gone = api.world.findings.pop()
        api.tell("findings", {**gone, "state": "closed"})
        await expect(page.locator("#findings-count")).to_have_text("16")
        assert await texts(page, "#event-list .what") == [
            (
                "No longer found: A deleted policy is still in force (KubeArmorPolicy "
                "payments/deny-shell)"
            )
        ]


async def test_without_findings_the_page_says_what_would_be_there(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        await expect(page.locator("#findings-empty")).to_contain_text("None. Here would be listed")
        await expect(page.locator("#findings-count")).to_be_hidden()


async def test_more_findings_than_are_read_at_once_are_counted(page: Page) -> None:
    world = worlds.seed()
    world.findings = [
        worlds.finding("selects-nothing", f"KubeArmorPolicy apps/{number}", detail="No Pod.")
        for number in range(501)
    ]
    async with FakeApi(world) as api:
        await opened(page, api)
        await expect(page.locator("#findings-count")).to_have_text("500 of 501")
        await expect(page.locator("#findings-cut")).to_have_text(
            "Shown are the first 500. All by kind: 501 selects-nothing."
        )


async def test_a_container_explains_itself_and_gives_the_focus_back(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        button = page.locator("#uncovered-table tbody button").first
        await button.press("Enter")
        detail = page.locator("#detail")
        await expect(detail.locator("h2")).to_have_text("/".join(MISSED))
        await expect(detail).to_contain_text("This release attaches it")
        await expect(detail).to_contain_text("Pods of namespaces created later are not covered")
        await page.keyboard.press("Escape")
        await expect(detail).to_be_hidden()
        await expect(button).to_be_focused()


async def test_a_gap_shows_its_evidence_and_the_other_causes_that_fit(page: Page) -> None:
    async with FakeApi(worlds.puzzling()) as api:
        await opened(page, api)
        await page.locator("#uncovered-table tbody button").press("Enter")
        detail = page.locator("#detail")
        await expect(detail.locator(".pair p").nth(1)).to_have_text(
            "What shows it: the Pod's annotation was changed to enabled at 2026-11-23T21:28:00Z, "
            "and the daemon has not pushed this container's rules since"
        )
        others = detail.locator(".others li")
        await expect(others).to_have_count(1)
        await expect(others).to_have_text(
            "Only one container of the Pod got the change: after the Pod's change the daemon "
            "pushed the rules of app only"
        )
        await expect(others.locator("code")).to_have_text("app")


async def test_a_pod_that_is_gone_is_said_to_be_gone(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        await page.locator("#uncovered-table tbody button").first.press("Enter")
        await expect(page.locator("#detail-body section")).to_have_count(1)
        gone = api.world.containers.pop(4)
        api.tell("gaps", {**gone, "state": "closed"})
        await expect(page.locator("#detail-body")).to_have_text(
            "The monitor knows no running container of this Pod any more."
        )


async def test_an_event_refreshes_the_page_and_is_listed(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        gap = api.world.containers[-1]
        api.world = worlds.healed()
        moment = "2026-11-23T21:28:15.496774Z"
        api.tell("gaps", {**gap, "state": "closed", "until": [moment, moment]})
        await expect(page.locator("#headline")).to_have_text(
            "Every container with a policy is protected"
        )
        assert await texts(page, "#event-list li") == [
            (
                "21:28:15 Protected again: team-b/nginx-85f7d4dd78-kk7wg/nginx "
                "(The cluster policy misses namespaces created after it)"
            )
        ]


async def test_a_refresh_keeps_focus_where_it_was(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        button = page.locator("#containers-table tbody button").last
        await button.focus()
        changed = {**api.world.containers[-1], "exposureSeconds": [99.0, 99.0]}
        api.world.containers[-1] = changed
        api.tell("coverage", changed)
        await expect(page.locator("#containers-table tbody tr").last).to_contain_text("99 s")
        await expect(button).to_be_focused()


async def test_a_lost_connection_is_said_and_healed(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        api.away = True
        api.hang_up()
        connection = page.locator("#connection")
        await expect(connection).to_have_text("Connection lost")
        await expect(page.locator("#trouble")).to_have_text(
            "Connection to the monitor lost: it does not answer. "
            "What you see is what was known at 21:28:09."
        )
        await expect(page.locator("#headline")).to_have_text("3 containers are not protected")
        api.away = False
        await expect(connection).to_have_attribute("data-state", "live", timeout=20_000)
        await expect(page.locator("#trouble")).to_be_hidden()


async def test_one_part_that_cannot_be_read_does_not_hide_the_others(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        api.broken = {"nodes"}
        await opened(page, api)
        await expect(page.locator("#nodes > .failed")).to_contain_text("the monitor answered 503")
        await expect(page.locator("#uncovered-table tbody tr")).to_have_count(3)


async def test_without_the_stream_the_page_says_that_it_polls(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        api.broken = {"stream"}
        await page.goto(api.url)
        await expect(page.locator("#connection")).to_have_text("Without live events · 21:28:09")


async def test_names_from_the_cluster_are_text(page: Page) -> None:
    async with FakeApi(worlds.hostile()) as api:
        await opened(page, api)
        await expect(page.locator("#incident-list h3")).to_have_text(HOSTILE)
        await expect(page.locator("#finding-list h3")).to_have_text(HOSTILE)
        await expect(page.locator("#nodes-table .missing")).to_have_text(HOSTILE)
        await page.locator("#uncovered-table tbody button").press("Enter")
        await expect(page.locator("#detail-title")).to_have_text(f"{HOSTILE}/{HOSTILE}")
        await expect(page.locator("#detail .shown")).to_have_text(HOSTILE)
        assert await page.locator("img").count() == 0
        assert await page.evaluate("window.broken") is None


async def test_the_recording_goes_on_by_the_button(page: Page) -> None:
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        await expect(page.locator("#demo-text")).to_have_text(
            "Held where the new namespace is uncovered."
        )
        await page.click("#demo-continue")
        api.world = worlds.healed()
        await expect(page.locator("#demo-continue")).to_be_hidden()
        await expect(page.locator("#demo-text")).to_have_text("The recording is over.")
        assert api.continued == 1


async def test_a_monitor_of_a_real_cluster_offers_no_recording(page: Page) -> None:
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        await expect(page.locator("#nodes-table tbody tr")).to_have_count(5)
        await expect(page.locator("#demo")).to_be_hidden()


@pytest.mark.parametrize("width", [800, 1280, 1360])
async def test_the_navigation_leads_to_headings_that_the_bar_does_not_cover(
    page: Page, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 700})
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        await expect(page.locator("#finding-list article")).to_have_count(6)
        await page.get_by_role("link", name="Findings").press("Enter")
        bar = await page.locator(".bar").bounding_box()
        heading = await page.locator("#findings-title").bounding_box()
        assert bar is not None
        assert heading is not None
        assert bar["height"] <= heading["y"] < 700


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_runs_over_the_edge(page: Page, width: int, scheme: str) -> None:
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": width, "height": 900})
    async with FakeApi(worlds.busy()) as api:
        await opened(page, api)
        await expect(page.locator("#nodes-table tbody tr")).to_have_count(5)
        assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_the_page_breaks_no_rule_of_its_own_policy(page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    async with FakeApi(worlds.seed()) as api:
        await opened(page, api)
        await expect(page.locator("#uncovered-table tbody tr")).to_have_count(3)
        await page.click("#theme")
        assert complaints == []
