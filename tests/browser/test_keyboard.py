"""The keyboard alone: from the login to the reason of a call, with a focus that is seen."""

from playwright.async_api import Locator, Page, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import SampleRun
from tests.browser.visits import Visit

MAX_TABS = 120
HAS_FOCUS = "element => element === document.activeElement"
SHOWS_FOCUS = """
() => {
  const place = document.activeElement.getBoundingClientRect(), style = getComputedStyle(document.activeElement);
  const isInside = place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth;
  return isInside && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
}
"""


async def tab_to(page: Page, wanted: Locator) -> None:
    """Presses Tab until an element has the focus. Each one on the way shows it."""
    for _ in range(MAX_TABS):
        await page.keyboard.press("Tab")
        focused = await page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        assert await page.evaluate(SHOWS_FOCUS), focused
        if await wanted.evaluate(HAS_FOCUS):
            return
    raise AssertionError(f"not reached: {wanted}")


async def test_keys_lead_from_the_login_to_the_reason_of_a_failed_call(run: SampleRun, open_visit: OpenVisit) -> None:
    visit = await open_visit(is_logged_in=False)
    page = await visit.open("/")
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()

    ending = page.locator(f"#ending-{run.calls['invalid']}")
    if not await ending.count():  # newer endings have replaced it
        await page.keyboard.press("c")
        ending = page.get_by_role("row").filter(has=page.locator(".is-failed")).first
    await tab_to(page, ending.get_by_role("link"))
    await page.keyboard.press("Enter")
    await expect(page.locator(".group.failed .reason")).to_be_visible()
    await page.keyboard.press("Home")
    await expect(page.locator("#state-title")).to_contain_text("pending")


async def test_the_list_of_keys_opens_and_closes_and_each_page_has_a_key(visit: Visit) -> None:
    page = await visit.open("/")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()

    for key in [await one.get_attribute("data-key") for one in await page.locator("nav a[data-key]").all()]:
        await page.keyboard.press(key or "")
        await expect(page.locator(f"nav a[data-key={key}]")).to_have_attribute("aria-current", "page")
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("n?/")
    await expect(page.get_by_role("searchbox")).to_have_value("n?/")


async def test_the_first_tab_skips_to_the_content(visit: Visit) -> None:
    page = await visit.open("/calls")
    skip = page.get_by_role("link", name="Skip to the content")
    await tab_to(page, skip)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")
