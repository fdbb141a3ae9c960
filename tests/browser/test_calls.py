"""From the first page to the reason of a call, and the slider: both show the text of the command line."""

import re

from playwright.async_api import Locator, Page, Route, expect
from tests.browser.conftest import OpenVisit
from tests.browser.sample_run import SampleRun
from tests.browser.visits import Visit


async def test_the_link_and_two_clicks_lead_to_the_reason_of_a_failed_call(
    run: SampleRun, open_visit: OpenVisit
) -> None:
    visit = await open_visit(is_logged_in=False)
    page = await visit.open(run.link)
    await page.get_by_role("link", name="Calls", exact=True).click()
    path = f"/calls/{run.calls['invalid']}"
    failed = page.get_by_role("row").filter(has=page.locator(".is-failed"))
    await failed.locator(f'a[href="{path}"]').click()
    await expect(page).to_have_url(run.origin + path)
    await page.wait_for_load_state("domcontentloaded")

    shown = [" ".join((await one.inner_text()).split()) for one in await page.locator(".decisions li").all()]
    told = _cells(await run.command("why", str(run.calls["invalid"])))
    time, name, _, why = told[-1]
    assert (name, bool(why)) == ("failed", True)
    assert shown[-1] == f"{time} {name} {why}"
    await expect(page.locator(".group.failed .reason")).to_have_text(why)


def _cells(output: str) -> list[list[str]]:
    """Returns the cells of each row of a table."""
    rows = [line.strip().strip("│").split("│") for line in output.splitlines() if line.strip().startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


async def test_the_slider_shows_by_keyboard_what_replay_show_prints(run: SampleRun, visit: Visit) -> None:
    call_id = str(run.calls["retried"])
    page = await visit.open(f"/calls/{call_id}")
    story = page.locator("#story")
    sequences = [int(one) for one in (await story.get_attribute("data-sequences") or "").split(",")]

    for keys, sequence in (
        (["Home"], sequences[0]),
        (["End", "ArrowLeft", "ArrowLeft"], sequences[-3]),
        (["ArrowRight"], sequences[-2]),
    ):
        for key in keys:
            await page.keyboard.press(key)
        await expect(page).to_have_url(f"{run.origin}/calls/{call_id}?at={sequence}")
        await expect(story.locator("#state-title")).to_contain_text(state_after(sequence))
        printed = await run.command("replay", "show", call_id, "--at", str(sequence))
        assert await _state(page) == _printed_state(printed), sequence
        for line in await story.locator(".chat [dir]").all_inner_texts():
            assert line in printed


def state_after(sequence: int | str) -> re.Pattern[str]:
    """Returns the title of the state at a sequence, which may be the begin of another one."""
    return re.compile(rf"State after event {sequence}\b")


async def _state(page: Page) -> list[str]:
    """Returns the lines of the state."""
    names = await page.locator("#story .state dt").all_inner_texts()
    texts = await page.locator("#story .state dd").all_inner_texts()
    return [f"{name} {text}" for name, text in zip(names, texts, strict=True)]


def _printed_state(printed: str) -> list[str]:
    """Returns the lines in the frame ``state``."""
    inner = printed.partition(" state ")[2].partition("╰")[0].splitlines()[1:]
    lines = [" ".join(line.strip("│ ").split()) for line in inner]
    return [line for line in lines if line]


async def test_the_last_of_several_quick_moves_is_shown_in_whatever_order_they_are_answered(
    run: SampleRun, visit: Visit
) -> None:
    page = await visit.open(f"/calls/{run.calls['retried']}")
    sequences = (await page.locator("#story").get_attribute("data-sequences") or "").split(",")
    held: list[Route] = []
    is_held = True

    async def hold(route: Route) -> None:
        if is_held:
            held.append(route)
        else:
            await route.continue_()

    await page.route("**/story?at=*", hold)
    for position, sequence in enumerate(sequences[:4]):
        await page.keyboard.press("ArrowRight" if position else "Home")
        await expect(page).to_have_url(re.compile(f"at={sequence}$"))
    is_held = False
    for route in reversed(held):
        await route.continue_()
    await expect(page.locator("#state-title")).to_contain_text(state_after(sequences[3]))


async def test_the_slider_is_a_field_that_the_keys_move_too(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    position: Locator = page.get_by_label("Event", exact=True)
    await position.focus()
    await page.keyboard.press("Home")
    await expect(page.locator("#state-title")).to_contain_text("pending")
    await expect(position).to_be_focused()


async def test_a_browser_that_does_not_know_the_zone_of_the_person_shows_its_own(run: SampleRun, visit: Visit) -> None:
    page = await visit.open(f"/calls/{run.calls['spoken']}")
    times = page.locator("#story time")
    await expect(times.first).to_have_attribute("title", re.compile("."))
    await page.evaluate(
        """() => {
          const story = document.getElementById("story");
          story.dataset.zone = "Nowhere/City";
          for (const time of story.querySelectorAll("time")) time.removeAttribute("title");
          localize(document);
        }"""
    )
    titles = [await one.get_attribute("title") or "" for one in await times.all()]
    assert titles
    assert all(title.endswith(" · ? Nowhere/City") for title in titles)
