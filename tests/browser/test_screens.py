"""Every screen: axe finds nothing in light, dark and at the width of a phone, and hostile text stays text."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import HOSTILE_NUMBER, LONG_WORD, MARKUP, SampleRun
from tests.browser.screens import NO_SCREENS, SCREENS, WITHOUT_SESSION
from tests.browser.visits import Visit

from centralita_console.app import create_app
from centralita_console.settings import Settings

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
REFUSED = r"the server responded with a status of 4\d\d"
TEXT_THAT_TURNS_OTHERS = r"""
() => {
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const open = [];
    let isSafe = true;
    for (const mark of text.data) {
      if (/[\u202a\u202b\u202d\u202e]/.test(mark)) open.push("\u202c");
      else if (/[\u2066-\u2068]/.test(mark)) open.push("\u2069");
      else if (/[\u202c\u2069]/.test(mark)) isSafe = open.pop() === mark && isSafe;
    }
    if (open.length || !isSafe) found.push(text.parentElement.outerHTML.slice(0, 300));
  }
  return found;
}
"""
"""Finds marks of direction that the text does not close: a browser lets them turn what follows (`text_direction`)."""


def pages_of(routes: Iterable[Any]) -> Iterator[str]:
    """Yields the path of each route that answers GET, those of included routers too."""
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from pages_of(included.routes)
        elif "GET" in route.methods:
            yield route.path


def test_every_page_of_the_console_is_a_screen_that_is_tested() -> None:
    pages = set(pages_of(create_app(Settings(), httpx.AsyncClient()).routes))

    assert pages - SCREENS.keys() - NO_SCREENS.keys() == set(), "add it to SCREENS in tests/browser/screens.py"
    assert pages


@pytest.mark.parametrize(
    ("route", "number"), [(route, number) for route, shown in SCREENS.items() for number in range(len(shown))]
)
async def test_a_screen_is_accessible_and_safe_in_light_dark_and_on_a_phone(
    run: SampleRun, open_visit: OpenVisit, route: str, number: int
) -> None:
    visit = await open_visit(is_logged_in=route not in WITHOUT_SESSION)
    visit.expected.append(REFUSED)
    await visit.open(SCREENS[route][number](run))
    await check(visit.page)


async def test_a_number_is_shown_and_found_on_accessible_screens(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['hostile']}")
    await page.get_by_role("button", name="Show the number").click()
    await expect(page.locator("#number")).to_have_text(HOSTILE_NUMBER)
    await check(page)
    await page.get_by_label("Find a call").fill(HOSTILE_NUMBER)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("hostile")
    assert HOSTILE_NUMBER.removeprefix("+") not in page.url
    await check(page)


async def test_an_act_on_a_call_is_confirmed_and_reported_on_accessible_screens(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['unanswered']}")
    await page.get_by_role("link", name="Dial again").click()
    await page.get_by_role("button", name="Dial again").click()
    await expect(page.get_by_role("status").filter(has_text="of 1 calls accepted it")).to_be_visible()
    await expect(page).to_have_url(re.compile("/calls/acts/"))
    await check(page)


async def test_hostile_text_is_shown_as_it_is(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['hostile']}")
    for place in (page.get_by_role("heading", level=1), page.locator(".chat .callee").last, page.locator(".prompt")):
        await expect(place).to_contain_text(MARKUP.partition(" {{")[0])
    shown = await page.locator(".chat .callee [dir]").last.inner_text()
    assert 1_000 < len(shown) < len(LONG_WORD)


async def check(page: Page) -> None:
    """Checks a page in light and dark, wide and narrow. The scheme changes nothing but colours."""
    await page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    await page.emulate_media(color_scheme="dark")
    await check_accessibility(page, runOnly=["color-contrast"])
    await page.emulate_media(color_scheme="light")
    await check_accessibility(page)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await check_accessibility(page)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{page.url} is {width} pixels wide"
    assert await page.locator("img, iframe, object, embed, script:not([src^='/static/'])").count() == 0
    assert await page.evaluate(TEXT_THAT_TURNS_OTHERS) == []


async def check_accessibility(page: Page, **options: object) -> None:
    results: Any = await Axe().run(page, options={"resultTypes": ["violations"], **options})
    assert results.violations_count == 0, results.generate_report()
