"""The keyboard alone: from the login to the reason of a call, with a focus that is seen."""

from playwright.async_api import Locator, Page, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import SampleRun
from tests.browser.visits import Visit
from tests.builders.requests import request

MAX_TABS = 120
HAS_FOCUS = "element => element === document.activeElement"
UNSEEN_FOCUS = """
() => {
  const focused = document.activeElement;
  if (focused === document.body) return "";
  const place = focused.getBoundingClientRect(), style = getComputedStyle(focused);
  const isInside = place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth;
  const isSeen = isInside && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return isSeen ? "" : focused.outerHTML.slice(0, 200);
}
"""
"""Returns the element with the focus if it does not show it. None has the focus after a live page removed it."""


async def tab_to(page: Page, wanted: Locator) -> None:
    """Presses Tab until an element has the focus. Each one on the way shows it."""
    for _ in range(MAX_TABS):
        await page.keyboard.press("Tab")
        assert await page.evaluate(UNSEEN_FOCUS) == ""
        if await wanted.evaluate(HAS_FOCUS):
            return
    raise AssertionError(f"not reached: {wanted}")


async def test_keys_lead_from_the_login_to_the_reason_of_a_failed_call(run: SampleRun, open_visit: OpenVisit) -> None:
    campaign = await run.start_campaign({"campaign_id": "keyboard"})  # no other test changes its board
    wanted = request("keyboard-1", "+12125550150", campaign_id=campaign, contact_id="Joan")
    await run.request_calls({"keyboard": wanted}, {"keyboard": ["invalid"]})
    visit = await open_visit(is_logged_in=False)
    page = await visit.open(f"/?campaign_id={campaign}")
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Now", level=1)).to_be_visible()

    ending = page.locator(f"#ending-{run.calls['keyboard']}")
    await expect(ending.locator(".is-failed")).to_be_visible()
    await tab_to(page, ending.get_by_role("link"))
    await page.keyboard.press("Enter")
    await expect(page.locator(".group.failed .reason")).to_be_visible()
    await page.wait_for_load_state("domcontentloaded")  # its keys work from then on
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
        await page.wait_for_load_state("domcontentloaded")
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
