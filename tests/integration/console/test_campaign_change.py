"""Changing a campaign before the real edge: what changes is shown first, and no newer terms are overwritten."""

from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_campaigns import audited
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator, secret_of

from contracts import CampaignChangeRequested, RequestedTerms

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed", "counted")
SPRING, FORM = "/campaigns/spring", "/campaigns/spring/change"
TERMS = {
    "name": "Spring",
    "script_template": "Hello {{name}}.\n\nIs the visit fine?",
    "max_attempts": 4,
    "retry_policy": {"busy": {"max_retries": 2, "delay_seconds": 60}},
    "weekly_hours": [{"days": ["mon"], "opens_at": "09:00", "closes_at": "18:00"}],
}


@pytest.fixture(autouse=True)
async def spring(edge: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    """The campaign that is changed."""
    body = {"campaign_id": "spring", **TERMS}
    created = await edge.post("/api/v1/campaigns", json=body, headers={"X-API-Key": API_KEY})
    assert created.status_code == 201, created.text


async def terms(edge: httpx.AsyncClient) -> dict[str, object]:
    """Returns the present terms."""
    answer = await edge.get("/api/v1/campaigns/spring", headers={"X-API-Key": API_KEY})
    found: dict[str, object] = answer.json()["terms"]
    return found


def typed(page: str) -> dict[str, str]:
    """Returns the fields of the form of a page, as a browser sends them."""
    tags = parsed(page).tags
    fields = {one["name"] or "": one.get("value") or "" for tag, one in tags if tag == "input" and one.get("name")}
    boxes = {one["name"] for _, one in tags if one.get("type") == "checkbox" and "checked" not in one}
    del fields["q"], fields["next"]
    if "<textarea" in page:
        fields["script_template"] = str(TERMS["script_template"]).replace("\n", "\r\n")
    return {name: value for name, value in fields.items() if name not in boxes}


async def review(browser: httpx.AsyncClient, **changes: str) -> httpx.Response:
    """Opens the form and sends it."""
    form = (await browser.get(FORM)).text
    assert_safe(form)
    return await browser.post(FORM, data={**typed(form), "step": "review", **changes})


async def send(browser: httpx.AsyncClient, page: httpx.Response, step: str = "send") -> httpx.Response:
    """Confirms what a page shows."""
    return await browser.post(FORM, data={**typed(page.text), "step": step})


async def test_a_change_is_shown_first_then_made_and_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    before = await terms(edge)
    assert f'href="{FORM}"' in (await browser.get(SPRING)).text

    shown = await review(browser, max_attempts="3", calls_per_minute="30")
    unchanged = await terms(edge)
    done = await send(browser, shown)
    again = await send(browser, shown)

    assert (shown.status_code, unchanged) == (200, before)
    assert_safe(shown.text)
    assert "max attempts 4 3 only calls that are created from now on" in words(shown.text)
    assert "calls per minute not given 30.0 every call that has no slot yet" in words(shown.text)
    assert "script template" not in words(shown.text)
    assert (done.status_code, done.headers["location"]) == (303, SPRING)
    assert (again.status_code, again.headers["location"]) == (303, SPRING)
    assert await terms(edge) == {**before, "max_attempts": 3, "calls_per_minute": 30.0}
    assert [entry for entry in await audited(edge) if entry[1] == "campaign.change"] == [
        ("good", "campaign.change", "asked"),
        ("good", "campaign.change", "accepted"),
    ]


async def test_the_page_of_a_campaign_shows_its_terms_in_words(browser: httpx.AsyncClient) -> None:
    page = (await browser.get(SPRING)).text
    assert_safe(page)
    assert "weekly hours mon 09:00–18:00" in words(page)
    assert "retry policy busy: retries: 2, after 60 s" in words(page)
    assert "max attempts 4" in words(page)
    assert "{" not in words(page).replace("{{name}}", "")


async def test_an_untouched_form_changes_nothing_and_says_so(browser: httpx.AsyncClient) -> None:
    assert "Nothing differs from the present terms." in words((await review(browser)).text)


async def test_what_someone_else_changed_meanwhile_is_shown_and_not_overwritten(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    shown = await review(browser, max_attempts="3", name="Mine")
    theirs = {**TERMS, "name": "Theirs", "max_concurrent_calls": 9}
    await edge.put("/api/v1/campaigns/spring", json=theirs, headers={"X-API-Key": API_KEY})

    refused = await send(browser, shown)
    page = words(refused.text)
    assert (refused.status_code, (await terms(edge))["name"]) == (409, "Theirs")
    assert "Someone changed the campaign meanwhile" in page
    assert "name Theirs changed by someone else meanwhile Mine" in page
    assert "max concurrent calls" not in page

    assert (await send(browser, refused)).status_code == 303
    found = await terms(edge)
    assert (found["name"], found["max_attempts"], found["max_concurrent_calls"]) == ("Mine", 3, 9)


async def test_a_change_between_the_console_and_the_decision_is_refused_by_the_rest_api(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await review(browser, max_attempts="3")
    decided = orchestrator.is_other_version

    async def changed_first(event: object) -> bool:
        other = CampaignChangeRequested(campaign_id="spring", terms=RequestedTerms(name="T"))
        await orchestrator.handle(other)
        return await decided(event)  # type: ignore[arg-type]

    monkeypatch.setattr(orchestrator, "is_other_version", changed_first)
    refused = await send(browser, shown)

    assert (refused.status_code, (await terms(edge))["name"]) == (409, "T")
    assert "Someone changed the campaign meanwhile" in words(refused.text)


async def test_refusals_are_beside_the_fields_and_what_was_typed_stays(browser: httpx.AsyncClient) -> None:
    shown = await review(browser, calls_per_minute="many", further_hours="sat 18-9", name="Autumn")
    refused = await send(browser, shown)

    assert refused.status_code == 422
    assert_safe(refused.text)
    wrong = {one["id"] for _, one in parsed(refused.text).tags if one.get("aria-invalid") == "true"}
    assert wrong == {"calls_per_minute"}
    assert 'id="weekly_hours-wrong"' in refused.text
    assert 'value="Autumn"' in refused.text
    assert "sat 18-9" in words(refused.text)
    back = await send(browser, shown, step="edit")
    assert (back.status_code, 'value="many"' in back.text) == (200, True)


async def test_an_ended_session_keeps_what_was_typed(browser: httpx.AsyncClient, edge: httpx.AsyncClient) -> None:
    fields = {**typed((await browser.get(FORM)).text), "max_attempts": "3"}
    browser.cookies.clear()
    login = await browser.post(FORM, data=fields)
    kept = {one["name"]: one["value"] for _, one in parsed(login.text).tags if one.get("type") == "hidden"}
    resumed = await browser.post("/login", data={**kept, "api_key": API_KEY})  # type: ignore[dict-item]
    again = {**fields, "csrf_token": csrf_token(resumed.text)}

    shown = await browser.post(FORM, data=again)

    assert (login.status_code, resumed.status_code, shown.status_code) == (401, 200, 200)
    assert "max attempts 4 3" in words(shown.text)
    assert (await send(browser, shown)).status_code == 303
    assert (await terms(edge))["max_attempts"] == 3


async def test_a_finished_campaign_and_one_that_was_never_created_are_not_changed(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    shown = await review(browser, name="Mine")
    await edge.post("/api/v1/campaigns/spring/finish", headers={"X-API-Key": API_KEY})
    refused = await send(browser, shown)
    other = await browser.get("/campaigns/other/change")

    assert refused.status_code == 409
    assert "It is finished" in words(refused.text)
    assert 'value="Mine"' in refused.text
    assert "It was never created" in words(other.text)


async def test_keys_that_may_only_read_and_forms_of_others_change_nothing(
    open_console: "OpenConsole", browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    before = await terms(edge)
    reader = await log_in(open_console(), secret_of("reader"))
    refused = await send(reader, await review(reader, name="Mine"))
    foreign = await browser.post(FORM, data={"name": "Mine", "step": "send"})
    garbage = await browser.post(
        FORM, data={"csrf_token": csrf_token((await browser.get(FORM)).text), "step": "send", "version": "-1"}
    )

    assert (refused.status_code, "lacks the scope" in words(refused.text)) == (422, True)
    assert (foreign.status_code, garbage.status_code) == (403, 409)
    assert await terms(edge) == before


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_values_are_shown_as_text(browser: httpx.AsyncClient, text: str) -> None:
    shown = await review(browser, name=text, script_template=text, further_hours=text)
    refused = await send(browser, shown)

    assert_safe(shown.text)
    assert_safe(refused.text)
