"""A form whose session has ended: nothing that was typed is lost, and nothing is done without a second click."""

from uuid import UUID

import httpx
import pytest
from tests.integration.console.conftest import HERE, csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator

pytestmark = pytest.mark.usefixtures("listed", "counted", "orchestrator")
TYPED = 'the "calendar" is <b>wrong</b>\nsee F-17'
PAUSE = "/campaigns/spring/pause"


def form_of(page: str, action: str) -> dict[str, str]:
    """Returns the fields of the form with an action, as a browser sends them."""
    fields: dict[str, str] = {}
    is_in = False
    for tag, one in parsed(page).tags:
        if tag == "form":
            is_in = one.get("action") == action
        if is_in and tag == "input" and one.get("name"):
            fields[one["name"] or ""] = one.get("value") or ""
    if is_in and "<textarea" in page:
        name = page.partition("<textarea")[2].partition('name="')[2].partition('"')[0]
        fields[name] = parsed(page.partition("<textarea")[2].partition(">")[2].partition("</textarea")[0]).words[0][1:]
    return fields


async def enter(browser: httpx.AsyncClient, asked: httpx.Response) -> httpx.Response:
    """Logs in with the form of a page."""
    return await browser.post("/login", data={**form_of(asked.text, "/login"), "api_key": API_KEY})


async def pauses(edge: httpx.AsyncClient) -> list[str]:
    answer = await edge.get("/api/v1/audit?campaign_id=spring", headers={"X-API-Key": API_KEY})
    return [entry["act"] for entry in answer.json()["entries"] if entry["stage"] == "asked"]


async def test_what_was_typed_is_shown_after_the_login_and_done_after_a_click(
    anyone: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    asked = await anyone.post(
        PAUSE, data={"csrf_token": "of an earlier session", "reason": TYPED, "next": "/x", "api_key": "y"}
    )

    assert (asked.status_code, asked.headers.get("location")) == (401, None)
    assert_safe(asked.text)
    refused = await anyone.post("/login", data={**form_of(asked.text, "/login"), "api_key": "wrong"})
    assert refused.status_code == 401
    shown = await enter(anyone, refused)

    assert shown.status_code == 200
    assert await pauses(edge) == []
    fields = form_of(shown.text, PAUSE)
    assert {**fields, "csrf_token": ""} == {"csrf_token": "", "reason": TYPED, "next": "/x", "api_key": "y"}
    assert 'href="/campaigns/spring"' in shown.text
    done = await anyone.post(PAUSE, data=fields)
    assert (done.status_code, done.headers["location"]) == (303, "/campaigns/spring")
    assert await pauses(edge) == ["campaign.pause"]


@pytest.mark.parametrize(
    "path", ["/campaigns/spring/resume", "/find", "/dead-letters/drop?x=1", f"/calls/{UUID(int=1)}/number"]
)
async def test_a_form_without_typed_text_is_asked_again_too(anyone: httpx.AsyncClient, path: str) -> None:
    shown = await enter(anyone, await anyone.post(path, data={"csrf_token": "old"}))
    assert shown.status_code == 200
    assert f'action="{path}"' in shown.text


async def test_a_key_that_edge_forgot_during_the_form_loses_nothing(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = csrf_token((await browser.get("/campaigns/spring")).text)
    monkeypatch.setattr("edge.entrypoints.keys.find_key", lambda *_: None)
    asked = await browser.post(PAUSE, data={"csrf_token": token, "reason": "F-17"})
    monkeypatch.undo()

    assert asked.status_code == 401
    assert form_of((await enter(browser, asked)).text, PAUSE)["reason"] == "F-17"
    assert await pauses(edge) == []


async def test_a_page_of_an_earlier_session_loses_nothing_after_a_login_elsewhere(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    """A person logs in again in another tab, and then sends the form of the first one."""
    token = csrf_token((await browser.get("/campaigns/spring")).text)
    browser.cookies.clear()
    await log_in(browser, API_KEY)
    old = {"csrf_token": token, "reason": "F-17"}

    shown = await browser.post(PAUSE, data=old, headers={"Sec-Fetch-Site": "same-origin"})

    assert (shown.status_code, await pauses(edge)) == (409, [])
    again = form_of(shown.text, PAUSE)
    assert again["reason"] == "F-17"
    assert (await browser.post(PAUSE, data=again)).status_code == 303
    for headers in ({}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post(PAUSE, data=old, headers=headers)).status_code == 403


async def test_a_form_that_a_script_sends_keeps_what_was_typed(anyone: httpx.AsyncClient) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"{HERE}/campaigns/spring"}
    asked = await anyone.post(PAUSE, data={"reason": "F-17"}, headers=headers)
    assert (asked.status_code, asked.headers["hx-retarget"]) == (401, "body")
    assert form_of(asked.text, "/login")["kept-reason"] == "F-17"


async def test_filters_are_in_the_address_and_come_back(anyone: httpx.AsyncClient) -> None:
    asked = await anyone.get("/audit?key_name=desk&since=2026-11-20T10:00")
    shown = await enter(anyone, await anyone.get(asked.headers["location"]))
    assert shown.headers["location"] == "/audit?key_name=desk&since=2026-11-20T10:00"
    long = await anyone.get("/calls?contact_id=" + "x" * 3_000, headers={"Cookie": ""})
    assert (await anyone.get(long.headers["location"], headers={"Cookie": ""})).status_code in (200, 303)


async def test_a_log_out_without_a_session_is_no_form_to_repeat(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post("/logout", data={"csrf_token": "old"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_as_many_fields_as_a_form_may_have_are_kept(anyone: httpx.AsyncClient) -> None:
    typed = {f"field{number}": "x" for number in range(50)}
    shown = await enter(anyone, await anyone.post(PAUSE, data=typed))
    assert shown.status_code == 200
    assert form_of(shown.text, PAUSE).keys() >= typed.keys()


async def test_a_foreign_site_gets_no_form_kept(anyone: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    answer = await anyone.post(PAUSE, data={"reason": "x"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "kept-" not in answer.text
    assert words(answer.text)
