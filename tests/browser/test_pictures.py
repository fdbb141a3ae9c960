"""The pictures of README and docs: what the console shows, taken by a test, so they are never older than its templates.

`make pictures` stores them in docs/pictures; otherwise they are taken and forgotten.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import FilePayload, Page, ViewportSize, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import CAMPAIGN, SampleRun

from centralita.demo.campaign import requests

SIZE: ViewportSize = {"width": 1120, "height": 680}
WITH_CHART: ViewportSize = {"width": 1120, "height": 1290}
MAX_BYTES = 200_000
OFFER = {
    "campaign_id": "spring-offer-2027",
    "name": "Spring offer",
    "company": "Example Clinic",
    "purpose": "service",
    "script_template": "Hello {{name}}, we have an offer for you.",
}
CONTACTS = """phone_number,contact_id,name
+12125550181,ada,Ada
+13055550182,grace,Grace
+13125550183,ken,Ken
+13055550182,grace-twice,Grace
+442079460123,barbara,Barbara
212 555 0184,leslie,Leslie
"""
TALKING, SCHEDULED = ("talking-1", "talking-2"), ("scheduled-1", "scheduled-2", "scheduled-3")


async def test_the_pictures_of_now_campaign_and_call_are_taken(
    run: SampleRun, open_visit: OpenVisit, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    visit = await open_visit(viewport=SIZE, color_scheme="light")
    page = await visit.open(f"/calls/{run.calls['retried']}")
    await expect(page.locator(".chat .callee").first).to_be_visible()
    await take(page, folder / "call.png")
    page = await visit.open(f"/campaigns/{CAMPAIGN}")
    await page.set_viewport_size(WITH_CHART)
    await expect(page.locator("#chart[data-drawn]")).to_be_attached()
    await take(page, folder / "campaign.png")
    await page.set_viewport_size(SIZE)
    page = await visit.open("/dead-letters")
    await take(page, folder / "dead-letters.png")
    await check_contacts(run, page)
    await take(page, folder / "import.png")

    page = await visit.open(f"/?campaign_id={CAMPAIGN}")
    wanted = requests("picture", len(TALKING) + len(SCHEDULED))
    tomorrow = datetime.now(UTC) + timedelta(hours=12)
    late = [one.model_copy(update={"scheduled_at": tomorrow}) for one in wanted[len(TALKING) :]]
    scheduled = dict(zip(SCHEDULED, late, strict=True))
    await run.request_calls(scheduled, {name: ["human"] for name in scheduled})
    for name in scheduled:
        await expect(page.locator(f"#card-{run.calls[name]}")).to_be_visible()
    calls = dict(zip(TALKING, wanted[: len(TALKING)], strict=True))
    await run.request_calls(calls, {name: ["long_talker"] for name in calls})
    talking = page.locator("section", has=page.locator("#column-in_progress"))
    await expect(talking.locator(".cards li").first).to_be_visible()
    with suppress(AssertionError):  # the figures are a moment behind, and the calls may end meanwhile
        await expect(page.locator("#figure-live")).to_have_text(f"{len(TALKING)}", timeout=5_000)
    await page.set_viewport_size(WITH_CHART)
    await expect(page.locator("#chart[data-drawn]")).to_be_attached()
    await take(page, folder / "now.png")


async def check_contacts(run: SampleRun, page: Page) -> None:
    """Lets a page show the dry run of an import."""
    campaign = await run.draft_campaign(OFFER)
    await page.goto(f"/campaigns/{campaign}/contacts", wait_until="domcontentloaded")
    file: FilePayload = {"name": "contacts.csv", "mimeType": "text/csv", "buffer": CONTACTS.encode()}
    await page.get_by_label("File of contacts").set_input_files(file)
    await page.get_by_role("button", name="Check the file").click()
    await expect(page.locator("#import-result table").last).to_be_visible()


async def take(page: Page, file: Path) -> None:
    """Stores what a page shows, without the blinking cursor."""
    await page.screenshot(path=file, animations="disabled", caret="hide")
    assert file.stat().st_size <= MAX_BYTES
