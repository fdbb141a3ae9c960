"""Campaigns before the real edge: progress, and the acts pause and resume with their audit."""

from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator, secret_of

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
