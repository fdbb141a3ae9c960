"""A session that ends while a form is filled in: the form keeps what was typed, and no act happens twice."""

import asyncio
import re

import httpx
from playwright.async_api import expect
from tests.browser.sample_run import WAIT_SECONDS, SampleRun
from tests.browser.test_live import until_shown
from tests.browser.visits import Visit

PAUSE = "campaign.pause"
REASON = 'He asked: "again?" & <b>left</b>'


async def end_session(visit: Visit) -> None:
    """Ends the session at the console. The browser keeps its cookie, as after 12 hours or a restart."""
    token = await visit.page.locator("[name=csrf_token]").first.get_attribute("value") or ""
    cookies = {one["name"]: one["value"] for one in await visit.context.cookies()}
    async with httpx.AsyncClient(base_url=visit.origin, cookies=cookies, timeout=60) as http:
        assert (await http.post("/logout", data={"csrf_token": token})).status_code == 303


async def test_an_ended_session_keeps_the_typed_reason_and_the_act_is_done_once(run: SampleRun, visit: Visit) -> None:
    campaign = await run.start_campaign({"campaign_id": "ended-session"})
    page = await visit.open(f"/campaigns/{campaign}")
    await page.get_by_label("Reason of the pause").fill(REASON)
    await end_session(visit)
    visit.expected.append("status of 401")

    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_text("What you typed is kept")).to_be_visible()
    await page.get_by_label("API key").fill("a-wrong-key")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("does not accept this key")).to_be_visible()
    await page.get_by_label("API key").fill(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("reason")).to_have_value(REASON)
    assert PAUSE not in {act for act, _, _ in await run.acts_on(campaign)}

    await page.get_by_role("button", name="Send", exact=True).click()
    await until_shown(page, REASON)
    await page.reload(wait_until="domcontentloaded")
    async with asyncio.timeout(WAIT_SECONDS):  # a page that is loaded again does not wait for the act
        while "accepted" not in (stages := [one[1] for one in await run.acts_on(campaign) if one[0] == PAUSE]):
            await asyncio.sleep(0.1)
    assert [stage for stage in stages if stage != "undecided"] == ["asked", "accepted"]


async def test_a_part_of_a_page_leads_to_the_login_once_the_session_has_ended(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    await end_session(visit)
    visit.expected.append("status of 401")

    await page.keyboard.press("Home")
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(rf"/calls/{run.calls['spoken']}\?at=\d+$"))
    await expect(page.locator("#state-title")).to_contain_text("pending")


async def test_who_logs_out_sees_nothing_more(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.go_back(wait_until="domcontentloaded")
    await expect(page.get_by_label("API key")).to_be_focused()
