"""Streams of events that end, and parts that are refused: each says what to do, and the way back is one click."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Page, Route, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import CAMPAIGN, WAIT_SECONDS, SampleRun
from tests.browser.test_screens import check
from tests.browser.test_sessions import end_session
from tests.browser.visits import Visit
from tests.builders.requests import request

from centralita_console.browser_streams import notice
from centralita_console.translations import catalogue

SLOW = "This browser read too slowly, so it was disconnected. What happened since is missing here."
RELOAD = "Load the page again"
STREAMS: Mapping[str, str] = {
    "/": "**/now/board*",
    "/calls/{call_id}": "**/live*",
    "/log?subject=call": "**/log/events*",
}
"""The address of each page with a stream, and what its stream matches."""


async def waiting_call(run: SampleRun) -> UUID:
    """Returns a call that waits until tomorrow: its page follows it."""
    if "tomorrow" not in run.calls:
        later = datetime.now(UTC) + timedelta(hours=12)
        wanted = request("tomorrow", "+12125550180", campaign_id=CAMPAIGN, contact_id="Joan", scheduled_at=later)
        await run.request_calls({"tomorrow": wanted}, {"tomorrow": ["human"]})
    return run.calls["tomorrow"]


async def open_when_known(run: SampleRun, page: Page, path: str) -> None:
    """Opens a page; that of the call once the call is stored."""
    call_id = await waiting_call(run)
    async with asyncio.timeout(WAIT_SECONDS):
        while not (await run.rest.get(f"/api/v1/calls/{call_id}")).is_success:
            await asyncio.sleep(0.1)
    await page.goto(path.format(call_id=call_id), wait_until="domcontentloaded")


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("locale", ["en-GB", "es-ES"])
async def test_a_browser_that_read_too_slowly_is_told_to_load_the_page_again(
    run: SampleRun, open_visit: OpenVisit, path: str, locale: str
) -> None:
    visit = await open_visit(is_logged_in=False, locale=locale)
    await visit.context.request.post(
        "/login", form={"api_key": run.api_key}, max_redirects=0, headers={"Accept-Language": locale}
    )
    sent = 0

    async def answer(route: Route) -> None:
        nonlocal sent
        sent += 1
        await route.fulfill(status=200, content_type="text/event-stream", body=notice("stop", "slow"))

    await visit.page.route(STREAMS[path], answer)
    await open_when_known(run, visit.page, path)
    texts = {str(one.id): str(one.string) for one in catalogue("es")} if locale == "es-ES" else {}
    shown = visit.page.get_by_role("alert").filter(has_text=texts.get(SLOW, SLOW))
    await expect(shown).to_be_visible()
    assert sent == 1
    if locale == "en-GB":
        await check(visit.page)
    await visit.page.unroute(STREAMS[path])
    await shown.get_by_role("link", name=texts.get(RELOAD, RELOAD)).click()
    await expect(visit.page).to_have_url(re.compile(re.escape(path.format(call_id=run.calls["tomorrow"])) + "$"))
    await expect(shown).to_be_hidden()


async def test_a_lost_connection_is_said_and_taken_back(run: SampleRun, visit: Visit) -> None:
    visit.expected.append("Failed to load resource|htmx:sse:error")
    is_lost, sent = True, 0

    async def answer(route: Route) -> None:
        nonlocal sent
        sent += 1
        if not is_lost:
            await route.continue_()
        elif sent == 1:  # a stream that ends
            await route.fulfill(status=200, content_type="text/event-stream", body=": nothing\n\n")
        else:
            await route.abort()

    await visit.page.route("**/now/board*", answer)
    page = await visit.open("/")
    lost = page.get_by_text("The connection to the console is lost")
    await expect(lost).to_be_visible()
    is_lost = False
    await expect(lost).to_be_hidden()


async def test_the_board_says_that_the_session_has_ended_and_leads_back(run: SampleRun, visit: Visit) -> None:
    path = f"/?campaign_id={CAMPAIGN}"
    page = await visit.open(path)
    await end_session(visit)
    visit.expected.append("status of 401")

    await expect(page.get_by_text("The session has ended.")).to_be_visible()
    await page.get_by_role("link", name=RELOAD).click()
    await page.get_by_label("API key").fill(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{run.origin}{path}")
    await expect(page.get_by_role("heading", name="Now")).to_be_visible()


async def test_a_part_that_is_refused_says_why_and_the_page_goes_on(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    visit.expected.append("status of 404")
    unknown = f"{run.origin}/calls/{uuid4()}/story?at=1"
    await page.route("**/story?at=*", lambda route: route.continue_(url=unknown))
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("alert").filter(has_text="This call is not in the log")).to_be_visible()
    await expect(page.locator("#story #state-title")).to_be_visible()
    await expect(page.get_by_role("banner")).to_have_count(1)

    await page.unroute("**/story?at=*")
    await page.keyboard.press("Home")
    await expect(page.locator("#state-title")).to_contain_text("pending")
    await expect(page.get_by_role("alert").filter(has_text="This call is not in the log")).to_have_count(0)
