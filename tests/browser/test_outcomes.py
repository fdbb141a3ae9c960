"""The chart of outcomes: it is drawn, and its table equals the answer of the REST API."""

import asyncio
import re
from datetime import datetime
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import CAMPAIGN, WAIT_SECONDS, SampleRun
from tests.browser.test_screens import PHONE
from tests.browser.visits import Visit

from centralita_console.outcomes import SERIES

PAINTED = """
canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colors = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) colors.add(data.slice(i, i + 3).join());
  return colors.size;
}
"""
"""Counts the colours of a canvas."""
RELOAD_SECONDS = 3 * WAIT_SECONDS
"""For pages that are loaded until they agree with something else."""


async def table_of(page: Page) -> dict[int, list[int]]:
    """Returns the counts of each interval, by its beginning; nothing if the page was refused the outcomes."""
    rows = page.locator("#outcomes-table tbody tr")
    found: dict[int, list[int]] = await rows.evaluate_all(
        "rows => Object.fromEntries(rows.map("
        "row => [row.dataset.at, [...row.cells].slice(1).map(cell => +cell.textContent)]))"
    )
    return {int(at): counts for at, counts in found.items()}


async def equal_table(run: SampleRun, page: Page, path: str) -> dict[int, list[int]]:
    """Returns the table of a page once it equals the answer of the REST API: calls of other tests may go on."""
    async with asyncio.timeout(RELOAD_SECONDS):
        while not (table := await table_of(page)) or table != await answered(run, path):
            await asyncio.sleep(0.5)
            await page.reload(wait_until="domcontentloaded")
    return table


async def answered(run: SampleRun, path: str) -> dict[int, list[int]]:
    """Returns the same from the REST API."""
    answer = await run.rest.get(f"/api/v1{path}", params={"interval": "1h"})
    assert answer.is_success, answer.text
    points: list[dict[str, Any]] = answer.json()["points"]
    return {seconds(point["at"]): [point[name] for name in SERIES] for point in points}


def seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_chart_is_drawn_and_its_table_equals_the_answer_of_the_rest_api(
    run: SampleRun, open_visit: OpenVisit, scheme: str
) -> None:
    visit = await open_visit(color_scheme=scheme, viewport=PHONE)
    page = await visit.open(f"/campaigns/{CAMPAIGN}?interval=1h")
    table = await equal_table(run, page, f"/campaigns/{CAMPAIGN}/outcomes")
    assert sum(counts[SERIES.index("attempts")] for counts in table.values()) > 0
    await expect(page.locator("#chart[data-drawn]")).to_be_attached()
    assert await page.locator("#chart canvas").evaluate(PAINTED) > 3
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_the_table_is_reached_by_keyboard_and_a_link_of_a_reason_lists_its_calls(
    run: SampleRun, visit: Visit
) -> None:
    page = await visit.open(f"/campaigns/{CAMPAIGN}")
    await page.get_by_text("Table of the outcomes").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#outcomes-table")).to_be_visible()

    async with asyncio.timeout(RELOAD_SECONDS):
        while not await has_as_many_calls_as_its_first_reason(page):  # calls of other tests may end meanwhile
            await asyncio.sleep(0.5)
            await visit.open(f"/campaigns/{CAMPAIGN}")


async def has_as_many_calls_as_its_first_reason(page: Page) -> bool:
    """Follows the link of a reason. Returns whether the list has as many calls as the page of the campaign counts."""
    row = page.locator("#reasons tr", has=page.locator("a")).first
    if not await row.count():  # the page was refused the outcomes
        return False
    count = int(await row.locator("td").inner_text())
    await row.locator("a").click()
    await expect(page).to_have_url(re.compile(r"/calls\?"))
    await page.wait_for_load_state("domcontentloaded")
    return await page.locator("table tbody tr").count() == count


async def test_the_first_page_shows_the_outcomes_of_all_campaigns_in_the_language_of_the_page(
    run: SampleRun, open_visit: OpenVisit
) -> None:
    visit = await open_visit()
    page = await visit.open("/")
    await page.get_by_role("button", name="Español").click()
    await expect(page.locator("html")).to_have_attribute("lang", "es")
    await visit.open("/?interval=1h")
    await equal_table(run, page, "/outcomes")
    await expect(page.locator("#chart[data-drawn]")).to_be_attached()
    plot = page.locator("#chart .u-over")
    box = await plot.bounding_box()
    assert box
    await plot.hover(position={"x": box["width"] - 3, "y": 20})
    await expect(page.locator("#chart-point")).to_contain_text(re.compile("intentos|: 0$"))
