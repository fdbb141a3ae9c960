"""The import of contacts: the check first, with the refused rows as a file, then the import of the same file."""

import csv
import io
from pathlib import Path

from playwright.async_api import expect
from tests.browser.sample_run import HOSTILE, SampleRun
from tests.browser.test_screens import check
from tests.browser.visits import Visit

TERMS = {
    "campaign_id": "autumn-offer",
    "name": "Autumn offer",
    "company": "Example Clinic",
    "purpose": "service",
    "script_template": "Hello {{name}}, we have an offer.",
}
ROWS = (
    ("phone_number", "contact_id", "name"),
    ("+12125550170", "ada", "Ada"),
    ("+12125550171", HOSTILE, "Eve"),
    ("+12125550170", "ada-twice", "Ada"),
    ("+442079460123", "uk", "Bob"),
    ("1212", HOSTILE, "=cmd()"),
)


async def test_a_file_is_checked_then_imported_and_its_contacts_are_listed(
    run: SampleRun, visit: Visit, tmp_path: Path
) -> None:
    campaign = await run.draft_campaign(TERMS)
    file = tmp_path / "contacts.csv"
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows(ROWS)
    file.write_text(rows.getvalue())
    page = await visit.open(f"/campaigns/{campaign}/contacts")
    await page.get_by_label("File of contacts").set_input_files(file)

    await page.get_by_role("button", name="Check the file").click()
    result = page.locator("#import-result")
    await expect(result).to_contain_text("2 callable, 3 not: 1 country not allowed, 1 phone number, 1 duplicates")
    await expect(result.get_by_role("row").filter(has_text="New_York")).to_contain_text("2")
    await expect(result.get_by_role("row").filter(has_text="country GB")).to_contain_text("5")
    assert await contacts(run, campaign) == []
    await check(page)

    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Save the refused rows as CSV").click()
    download = await downloading.value
    assert download.suggested_filename == f"{campaign}-refused.csv"
    refused = list(csv.DictReader(io.StringIO(Path(await download.path()).read_text(), newline="")))
    assert [one["phone_number"] for one in refused] == ["+442079460123", "1212"]
    assert refused[1]["contact_id"] == HOSTILE
    assert not refused[1]["name"].startswith("=")

    await page.get_by_role("button", name="Import these contacts").click()
    await expect(result).to_contain_text("2 contacts added")
    assert await contacts(run, campaign) == ["ada", HOSTILE]
    await result.get_by_role("link", name="The contacts that wait").click()
    await expect(page.get_by_role("row").filter(has_text="ada")).to_contain_text("+1••••••••70")
    assert ("campaign.import_contacts", "accepted") in {(act, stage) for act, stage, _ in await run.acts_on(campaign)}


async def contacts(run: SampleRun, campaign_id: str) -> list[str]:
    """Returns the ids of the contacts that wait."""
    answer = await run.rest.get(f"/api/v1/campaigns/{campaign_id}/contacts")
    return [one["contact_id"] for one in answer.json()["contacts"]]
