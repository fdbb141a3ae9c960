"""Dead letters: what is published is shown before, and afterwards what became of it, also if that takes a while."""

import json

from playwright.async_api import Page, expect
from tests.browser.sample_run import CAMPAIGN, SampleRun
from tests.browser.visits import Visit
from tests.builders.dead_letters import store_dead_letter
from tests.builders.requests import request

from contracts import CallRequested, call_id_of
from contracts.accounts import ADMIN

ORCHESTRATOR = "call-orchestrator"


async def resend(page: Page, count: int) -> None:
    """Confirms what a page shows."""
    await page.get_by_role("button", name=f"Resend: {count}", exact=True).click()
    await expect(page.get_by_role("heading", name="Resent dead letters")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_text(f"{count} of {count}.")


async def test_one_dead_letter_is_resent_and_its_call_appears_once_there_is_one(run: SampleRun, visit: Visit) -> None:
    wanted = request("resent-1", "+12125550160", campaign_id=CAMPAIGN, contact_id="Grace")
    orchestrator = run.system.services[ORCHESTRATOR]
    orchestrator.pause()
    try:
        async with run.connected(ADMIN) as client:
            number = await store_dead_letter(client, body=wanted.model_dump_json().encode())
        page = await visit.open(f"/dead-letters/{number}")
        await expect(page.get_by_text("Conflict at try 9")).to_be_visible()
        await page.get_by_role("button", name="Resend").click()
        message = page.get_by_role("row")
        await expect(message.filter(has_text="campaign_id")).to_contain_text(CAMPAIGN)
        await expect(message.filter(has_text="phone_number")).not_to_contain_text("5550160")
        assert await run.acts("dead_letter.retry", str(number)) == []
        await resend(page, 1)

        await page.get_by_role("link", name="What became of it").click()
        await expect(page.get_by_text("Nothing yet")).to_be_visible()
    finally:
        orchestrator.resume()
    await page.get_by_role("link", name="Grace").click()
    await expect(page).to_have_url(f"{run.origin}/calls/{call_id_of('resent-1')}")
    assert await run.acts("dead_letter.retry", str(number)) == ["asked", "accepted"]


async def test_all_of_a_group_are_resent_and_those_that_are_still_wrong_are_dead_letters_again(
    run: SampleRun, visit: Visit
) -> None:
    known = {one["sequence"] for one in await run.dead_letters(0)}
    for number in ("212 555 0161", "212 555 0162"):
        wrong = {"phone_number": number, "campaign_id": CAMPAIGN, "contact_id": "c-1", "colour": "blue"}
        await run.bus.jetstream().publish(CallRequested.event_name, json.dumps(wrong).encode())
    found = await run.dead_letters(2, known)
    [group] = {one["group"] for one in found}

    page = await visit.open(f"/dead-letters?group={group}")
    await page.get_by_text("All of this group:").get_by_role("link", name="Resend").click()
    shown = page.get_by_role("row").filter(has_text="colour")
    await expect(shown).to_have_count(len(found))
    await expect(shown.first).to_contain_text("Extra inputs are not permitted")
    await resend(page, len(found))

    await page.get_by_role("link", name="What became of it").first.click()
    await expect(page.get_by_role("alert")).to_contain_text("It could not be processed again")
    await page.get_by_role("alert").get_by_role("link").click()
    await expect(page.get_by_role("row").filter(has_text="colour")).to_contain_text("Extra inputs are not permitted")
    again = await run.dead_letters(2, known | {one["sequence"] for one in found})
    assert [one["group"] for one in again] == [group, group]
