"""Creating a campaign before the real edge: refusals beside the fields, and what was typed stays."""

from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import secret_of

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed", "counted", "orchestrator")
FORM = "/new-campaign"
SCRIPT = "Hello {{name}}.\n\nIs the visit fine?"


async def create(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    """Sends the form."""
    token = csrf_token((await browser.get(FORM)).text)
    given = {"campaign_id": "autumn", "script_template": SCRIPT, **fields}
    return await browser.post(FORM, data={"csrf_token": token, **given})


def errors(text: str) -> set[str]:
    """Returns the fields that the page marks as wrong."""
    return {one["id"] or "" for _, one in parsed(text).tags if one.get("aria-invalid") == "true"}


async def test_a_campaign_is_created_as_a_draft_and_shown(browser: httpx.AsyncClient) -> None:
    form = await browser.get(FORM)
    created = await create(browser, purpose="service", day_mon="1", opens_at="09:00", closes_at="18:00")

    assert_safe(form.text)
    assert 'href="/new-campaign"' in (await browser.get("/campaigns")).text
    assert (created.status_code, created.headers["location"]) == (303, "/campaigns/autumn")
    page = words((await browser.get("/campaigns/autumn")).text)
    assert "draft" in page
    assert "Is the visit fine?" in page
    assert "name required by the script" in page


async def test_tools_are_declared_as_json_and_a_wrong_one_is_shown_beside_the_field(browser: httpx.AsyncClient) -> None:
    tools = '{"http": [{"name": "free_slots", "description": "Free hours", "url": "https://example.com/slots"}]}'
    refused = await create(browser, tools=tools.replace("https", "http"))
    broken = await create(browser, tools="{")
    created = await create(browser, tools=tools)

    assert (refused.status_code, broken.status_code, created.status_code) == (422, 422, 303)
    assert "tools" in errors(refused.text) & errors(broken.text)
    assert "tools are called over TLS only" in words(refused.text)
    assert_safe(refused.text)
    assert "free_slots: https://example.com/slots" in words((await browser.get("/campaigns/autumn")).text)


async def test_refusals_are_shown_beside_the_fields_and_what_was_typed_stays(browser: httpx.AsyncClient) -> None:
    answer = await create(
        browser,
        campaign_id="two words",
        calls_per_minute="many",
        day_sun="1",
        opens_at="18:00",
        closes_at="09:00",
        ends_at="2001-01-01T00:00",
    )

    assert answer.status_code == 422
    assert_safe(answer.text)
    assert {"campaign_id", "calls_per_minute"} <= errors(answer.text)
    assert "is not after opens_at" in words(answer.text)
    assert 'value="two words"' in answer.text
    assert 'value="many"' in answer.text
    assert "Is the visit fine?" in answer.text
    [box] = [one for _, one in parsed(answer.text).tags if one.get("name") == "day_sun"]
    assert "checked" in box


async def test_a_key_that_may_only_read_creates_nothing(open_console: "OpenConsole") -> None:
    reader = await log_in(open_console(), secret_of("reader"))

    answer = await create(reader)

    assert answer.status_code == 422
    assert "lacks the scope" in words(answer.text)
    assert "Is the visit fine?" in answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_fields_are_shown_as_text(browser: httpx.AsyncClient, text: str) -> None:
    answer = await create(browser, campaign_id=text, name=text, purpose=text)

    assert answer.status_code == 422
    assert_safe(answer.text)


async def test_an_ended_session_keeps_the_script_with_its_paragraphs(browser: httpx.AsyncClient) -> None:
    token = csrf_token((await browser.get(FORM)).text)
    browser.cookies.clear()
    login = await browser.post(FORM, data={"csrf_token": token, "campaign_id": "autumn", "script_template": SCRIPT})
    hidden = [one for _, one in parsed(login.text).tags if one.get("type") == "hidden"]
    kept = {one["name"] or "": one["value"] or "" for one in hidden}

    again = await browser.post("/login", data={**kept, "api_key": secret_of("good")})

    assert (login.status_code, again.status_code) == (401, 200)
    assert SCRIPT in kept.values()
    assert_safe(again.text)
    assert SCRIPT in "".join(parsed(again.text).words)


async def test_a_form_without_the_token_creates_nothing(browser: httpx.AsyncClient) -> None:
    assert (await browser.post(FORM, data={"campaign_id": "autumn"})).status_code == 403
