"""The console in Spanish: every screen, and the change of the language."""

from playwright.async_api import Page, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import SampleRun
from tests.browser.screens import SCREENS, WITHOUT_SESSION
from tests.browser.test_screens import PHONE, REFUSED

from centralita_console.translations import catalogue


async def test_a_browser_in_spanish_sees_every_screen_in_spanish(run: SampleRun, open_visit: OpenVisit) -> None:
    visit = await open_visit(is_logged_in=False, locale="es-ES", viewport=PHONE)
    visit.expected.append(REFUSED)
    page = await visit.open("/")
    await expect(page.get_by_label("Clave de API")).to_be_focused()
    await assert_spanish(page)
    await page.keyboard.type(run.api_key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Ahora", exact=True)).to_be_visible()

    for route in SCREENS.keys() - set(WITHOUT_SESSION):
        await visit.open(SCREENS[route][0](run))
        await assert_spanish(page, is_document=route.startswith("/contracts"))


async def assert_spanish(page: Page, *, is_document: bool = False) -> None:
    """Checks the language of a page, that no longer text is English, and that the longer words fit.

    `is_document`: it shows a document of the contracts, whose texts are English and may contain those of other pages.
    """
    await expect(page.locator("html")).to_have_attribute("lang", "es")
    text = await page.locator("body").inner_text()
    english = [str(one.id) for one in catalogue("es") if one.id and one.id != one.string and "%" not in str(one.id)]
    assert is_document or [one for one in english if len(one) > 20 and one in text] == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_a_person_changes_the_language_and_stays_on_the_page(run: SampleRun, open_visit: OpenVisit) -> None:
    visit = await open_visit()
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    for button, language, title in (("Español", "es", "Conversación"), ("English", "en", "Conversation")):
        await page.get_by_role("button", name=button).click()
        await expect(page.locator("html")).to_have_attribute("lang", language)
        await expect(page.get_by_role("heading", name=title)).to_be_visible()
        assert str(run.calls["spoken"]) in page.url
