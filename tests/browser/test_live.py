"""What browsers watch: calls that appear and end, also after nats-server was killed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from nats.js.errors import NotFoundError
from playwright.async_api import Page, expect
from tests.browser.sample_run import WAIT_SECONDS, SampleRun
from tests.browser.visits import Visit
from tests.builders.requests import request

from chassis.stream_api import jetstream_of
from contracts.streams import CALLS

NOTE_IDS = """
window.ids = [];
document.addEventListener("htmx:sse:after:message", (event) => window.ids.push(Number(event.detail.message.id)));
"""


async def pause(page: Page, reason: str) -> None:
    """Pauses the campaign of a page by its form."""
    await page.get_by_label("Reason of the pause").fill(reason)
    await page.get_by_role("button", name="Pause", exact=True).click()
    await until_shown(page, reason)


async def until_shown(page: Page, text: str) -> None:
    """Loads the page until it shows a text: an act is answered once it is stored, perhaps before it is decided."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await page.get_by_text(text).is_visible():
            await asyncio.sleep(0.5)  # a page costs several requests of the key's rate limit
            await page.reload(wait_until="domcontentloaded")


async def test_a_call_appears_waits_and_ends_without_a_reload_and_the_acts_are_audited(
    run: SampleRun, visit: Visit
) -> None:
    campaign = await run.start_campaign({"campaign_id": "evening", "name": "Evening"})
    board, acts = await visit.open("/"), await visit.context.new_page()
    await board.evaluate("window.isFirstLoad = true")
    await acts.goto(f"/campaigns/{campaign}", wait_until="domcontentloaded")

    await pause(acts, "The doctor is ill")
    wanted = request("evening-1", "+12125550130", campaign_id=campaign, contact_id="Ada", call_timeout_seconds=20)
    await run.request_calls({"evening": wanted}, {"evening": ["human"]})
    await expect(board.locator(f"#card-{run.calls['evening']}")).to_contain_text("Ada")
    await acts.get_by_role("button", name="Resume", exact=True).click()
    ending = board.locator(f"#ending-{run.calls['evening']}")
    await expect(ending).to_contain_text("Ada")
    await expect(ending.locator(".is-completed")).to_be_visible()
    await expect(board.locator(f"#card-{run.calls['evening']}")).to_have_count(0)

    assert await board.evaluate("window.isFirstLoad")
    expected = {(f"campaign.{act}", stage) for act in ("start", "pause", "resume") for stage in ("asked", "accepted")}
    async with asyncio.timeout(WAIT_SECONDS):  # a page that is loaded again does not wait for the act
        while not expected <= {(act, stage) for act, stage, _ in await run.acts_on(campaign)}:
            await asyncio.sleep(0.1)
    assert len({key for _, _, key in await run.acts_on(campaign)}) == 1


async def test_after_nats_was_killed_the_streams_go_on_without_a_gap(run: SampleRun, visit: Visit) -> None:
    assert run.system.nats
    campaign = await run.start_campaign({"campaign_id": "night", "name": "Night"})
    first_sequence = await last_sequence(run)
    await visit.context.add_init_script(NOTE_IDS)
    visit.expected.append("status of 50")  # what a page reads while NATS is down
    board, story = await visit.open("/"), await visit.context.new_page()
    async with followed(run, first_sequence) as received:
        await run.pause(campaign, "NATS is killed")
        wanted = request("night-1", "+12125550131", campaign_id=campaign, contact_id="Bob", call_timeout_seconds=20)
        await run.request_calls({"night": wanted}, {"night": ["human"]})
        call_id = run.calls["night"]
        await expect(board.locator(f"#card-{call_id}")).to_be_visible()
        await story.goto(f"/calls/{call_id}", wait_until="domcontentloaded")

        run.system.nats.kill()
        await asyncio.to_thread(run.system.nats.start)
        await resume(run, campaign)
        await run.until_connected()
        await expect(board.locator(f"#ending-{call_id} .is-completed")).to_be_visible()
        await expect(story.locator("#state-title .is-completed")).to_be_visible()
        decisions = await positions(run, first_sequence, "call.", "campaign.")
        async with asyncio.timeout(WAIT_SECONDS):
            while decisions[-1] not in received:
                await asyncio.sleep(0.1)

    assert [one for one in received if one <= decisions[-1]] == decisions
    board_ids = [one for one in await board.evaluate("window.ids") if one]
    assert board_ids == sorted(board_ids)
    # Calls of other tests go on: the board may begin with an earlier decision, and have a later one by now.
    assert {one for one in board_ids if first_sequence < one <= decisions[-1]} <= set(decisions)
    shown = [int(one) for one in (await story.locator("#story").get_attribute("data-sequences") or "").split(",")]
    told = (await run.rest.get(f"/api/v1/calls/{call_id}/story")).json()["sequences"]
    assert shown == [one for one in told if one <= shown[-1]]
    assert {one for one in await positions(run, first_sequence, call_id=str(call_id)) if one <= shown[-1]} <= set(shown)


async def resume(run: SampleRun, campaign_id: str) -> None:
    """Resumes a campaign as soon as the REST API reaches NATS again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (await run.rest.post(f"/api/v1/campaigns/{campaign_id}/resume")).is_success:
            await asyncio.sleep(0.2)


@asynccontextmanager
async def followed(run: SampleRun, after_sequence: int) -> AsyncIterator[list[int]]:
    """Yields the ids of the decisions that the REST API streams. It continues after a break, as a browser does."""
    received: list[int] = []

    async def follow() -> None:
        while True:
            headers = {"Last-Event-ID": str(received[-1] if received else after_sequence)}
            with contextlib.suppress(httpx.HTTPError):
                async with run.rest.stream("GET", "/api/v1/events", headers=headers) as answer:
                    async for name, _, value in (line.partition(": ") async for line in answer.aiter_lines()):
                        if name == "data":  # a stream begins with an id alone
                            received.append(json.loads(value)["sequence"])
            await asyncio.sleep(0.1)

    task = asyncio.create_task(follow())
    try:
        yield received
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def last_sequence(run: SampleRun) -> int:
    return (await jetstream_of(run.bus, CALLS.name).stream_info(CALLS.name)).state.last_seq


async def positions(run: SampleRun, after_sequence: int, *starts: str, call_id: str = "") -> list[int]:
    """Returns where the log has messages after a sequence whose subject begins so, or names the call."""
    js, found = jetstream_of(run.bus, CALLS.name), []
    for one in range(after_sequence + 1, await last_sequence(run) + 1):
        with contextlib.suppress(NotFoundError):
            subject = (await js.get_msg(CALLS.name, one)).subject or ""
            if subject.startswith(starts) or (call_id and call_id in subject):
                found.append(one)
    return found
