"""Campaigns before the real edge: progress, and the acts pause and resume with their audit."""

from typing import TYPE_CHECKING

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator, secret_of
from tests.integration.edge.test_admission import STATE

from contracts import CampaignStatistics, CampaignStatisticsQuery
from contracts.queries import AdmissionQuery

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed", "counted", "orchestrator")
SPRING = "/campaigns/spring"


async def act(browser: httpx.AsyncClient, name: str, **fields: str) -> httpx.Response:
    """Sends a form of the page of the campaign `spring`."""
    token = csrf_token((await browser.get(SPRING)).text)
    return await browser.post(f"{SPRING}/{name}", data={"csrf_token": token, **fields})


async def audited(edge: httpx.AsyncClient) -> list[tuple[str, str, str]]:
    """Returns the acts on the campaign `spring`: the key, the act and its stage."""
    answer = await edge.get("/api/v1/audit?campaign_id=spring", headers={"X-API-Key": API_KEY})
    return [(entry["key_name"], entry["act"], entry["stage"]) for entry in answer.json()["entries"]]


async def test_campaigns_are_listed_with_their_progress(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/campaigns")).text

    assert_safe(text)
    assert "Spring reminders paused a holiday" in words(text)
    assert 'href="/campaigns/spring"' in text
    bars = [attributes for tag, attributes in parsed(text).tags if tag == "rect"]
    assert [(bar["class"], bar["x"], bar["width"]) for bar in bars] == [
        ("fill-completed", "0", "33.33"),
        ("fill-other", "33.33", "66.67"),
    ]


async def test_a_campaign_links_each_outcome_to_its_calls(browser: httpx.AsyncClient) -> None:
    text = (await browser.get(SPRING)).text

    assert_safe(text)
    assert 'href="/calls?campaign_id=spring&amp;status=failed"' in text
    assert "Outcomes of 4 calls" in words(text)


async def test_a_campaign_shows_its_progress_and_the_estimated_end(
    browser: httpx.AsyncClient, bus_client: Client
) -> None:
    async def counters(message: Msg) -> None:
        counted = CampaignStatistics(campaign_id="spring", total=10, completed=4, voicemail=1, pending=5)
        await message.respond(counted.model_dump_json().encode())

    async def admission(message: Msg) -> None:
        changes = {"campaign_id": "spring", "dials_in_minute": 2, "max_calls_per_minute": 6.0, "waiting": 5}
        await message.respond(STATE.model_copy(update=changes).model_dump_json().encode())

    for subscription in list(bus_client._subs.values()):
        if subscription.subject == CampaignStatisticsQuery.subject:
            await subscription.unsubscribe()
    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=counters)
    await bus_client.subscribe(AdmissionQuery.subject, cb=admission)
    text = (await browser.get(SPRING)).text

    assert_safe(text)
    read = words(text)
    assert "5 of 10 calls have ended ( 50 % )." in read
    assert "the waiting ones are dialled until 2026-11-29 12:02:30Z" in read
    assert "Dials in the last minute 2 / 6" in read
    assert 'href="/calls?campaign_id=spring&amp;status=voicemail"' in text


async def test_without_the_figures_of_admission_a_campaign_is_shown(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(SPRING)

    assert answer.status_code == 200
    assert "4 of 4 calls have ended ( 100 % ). Nothing waits." in words(answer.text)


async def test_a_campaign_is_paused_with_a_reason_and_resumed_and_both_are_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    paused = await act(browser, "pause", reason=" the calendar is wrong ")
    assert (paused.status_code, paused.headers["location"]) == (303, SPRING)
    assert ": the calendar is wrong" in words((await browser.get(SPRING)).text)

    resumed = await act(browser, "resume")
    assert resumed.status_code == 303
    assert "Paused since" not in words((await browser.get(SPRING)).text)
    assert [entry for entry in await audited(edge) if entry[2] == "asked"] == [
        ("good", "campaign.pause", "asked"),
        ("good", "campaign.resume", "asked"),
    ]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
async def test_a_pause_needs_a_reason_and_keeps_what_was_typed(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, reason: str
) -> None:
    answer = await act(browser, "pause", reason=reason)

    assert answer.status_code == 422
    assert "Give a reason of 1 to 500 characters." in words(answer.text)
    [field] = [one for _, one in parsed(answer.text).tags if one.get("id") == "reason"]
    assert field["value"] == reason.strip()
    assert await audited(edge) == []


async def test_a_key_that_may_only_read_is_refused_and_keeps_what_was_typed(open_console: "OpenConsole") -> None:
    reader = await log_in(open_console(), secret_of("reader"))

    answer = await act(reader, "pause", reason="a holiday")

    assert answer.status_code == 422
    assert "scope" in words(answer.text)
    assert 'value="a holiday"' in answer.text


async def test_a_refusal_of_the_orchestrator_is_shown(browser: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    orchestrator.refusal = ("the campaign is finished",)

    answer = await act(browser, "pause", reason="a holiday")

    assert answer.status_code == 422
    assert "the campaign is finished" in words(answer.text)


@pytest.mark.parametrize("name", ["pause", "resume"])
async def test_a_link_cannot_act(browser: httpx.AsyncClient, edge: httpx.AsyncClient, name: str) -> None:
    assert (await browser.get(f"{SPRING}/{name}")).status_code == 405
    assert (await browser.post(f"{SPRING}/{name}", data={"reason": "x"})).status_code == 403
    assert await audited(edge) == []


@pytest.mark.parametrize("text", HOSTILE[:5], ids=["image", "script", "svg", "rtl", "template"])
async def test_hostile_reasons_are_shown_as_text(browser: httpx.AsyncClient, text: str) -> None:
    await act(browser, "pause", reason=text)

    page = (await browser.get(SPRING)).text
    assert_safe(page)
    assert text in "".join(parsed(page).words)


@pytest.mark.parametrize("campaign_id", ["..%2f..%2fcalls", "a%20b", "x%3Fy", "%00", "%2e%2e", "x" * 101])
async def test_an_impossible_id_is_not_found(browser: httpx.AsyncClient, campaign_id: str) -> None:
    assert (await browser.get(f"/campaigns/{campaign_id}")).status_code == 404
