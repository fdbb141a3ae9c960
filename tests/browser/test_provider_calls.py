"""An operator has the id of an attempt at the telephone provider, and types it into the search field."""

from playwright.async_api import expect
from tests.browser.sample_run import SampleRun
from tests.browser.visits import Visit

UNKNOWN = "CA" + "f" * 32


async def test_the_providers_id_of_each_attempt_leads_to_the_call(run: SampleRun, visit: Visit) -> None:
    call_id = str(run.calls["retried"])
    page = await visit.open(f"/calls/{call_id}")
    placed = page.locator(".events li").filter(has=page.get_by_role("link", name="dial.placed", exact=True))
    ids = [text.strip() for text in await placed.locator("bdi").all_inner_texts()]
    assert len(ids) == 2, "the page of the call has the id of each attempt"

    for identity in ids:
        await visit.open("/")
        await page.keyboard.press("/")
        await page.keyboard.type(f" {identity}")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{run.origin}/calls/{call_id}")
        assert call_id in await run.command("why", "--provider-call-id", identity)


async def test_an_unknown_id_leads_to_where_the_id_of_the_call_is(visit: Visit) -> None:
    visit.expected.append("status of 404")
    page = await visit.open(f"/find?q={UNKNOWN}")
    await expect(page.get_by_role("heading", name="Id of the provider")).to_be_visible()
    await expect(page.get_by_text("address of the status callback")).to_be_visible()
    await page.get_by_role("link", name="Find the contact").click()
    await expect(page.get_by_label("Contact")).to_have_value(UNKNOWN)
