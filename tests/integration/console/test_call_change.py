"""Changing a waiting call before the real edge."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator, secret_of

from contracts import Call, CallStatus

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed")


async def change(browser: httpx.AsyncClient, call: Call, **fields: str) -> httpx.Response:
    """Opens the form of a call and sends it."""
    form = (await browser.get(f"/calls/{call.call_id}/change")).text
    assert_safe(form)
    return await browser.post(f"/calls/{call.call_id}/change", data={"csrf_token": csrf_token(form), **fields})


async def test_the_given_fields_of_a_waiting_call_are_changed_and_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    path = f"/calls/{waiting.call_id}/change"
    assert f'href="{path}"' in (await browser.get(f"/calls/{waiting.call_id}")).text

    done = await change(browser, waiting, scheduled_at="2200-01-02T10:30", max_retries=" 5 ", language="")
    refused = await change(browser, waiting, scheduled_at="2026-12-24T10:30", max_retries=" 5 ", language="")

    assert (done.status_code, refused.status_code) == (422, 303)
    assert "more than 400 days ahead" in words(done.text)
    assert 'value="2200-01-02T10:30"' in done.text
    changed = await orchestrator.call(waiting.call_id)
    assert (changed.due_at, changed.max_retries, changed.language) == (
        datetime(2026, 12, 24, 10, 30, tzinfo=UTC),
        5,
        waiting.language,
    )
    entries = (await edge.get("/api/v1/audit?act=call.change", headers={"X-API-Key": API_KEY})).json()["entries"]
    assert [one["stage"] for one in entries] == ["asked", "refused", "asked", "accepted"]
    assert {one["key_name"] for one in entries} == {"good"}


async def test_the_number_the_script_and_the_variables_are_changed_before_the_first_dial(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    form = (await browser.get(f"/calls/{waiting.call_id}/change")).text
    fields = {
        "phone_number": "+12125550177",
        "script_template": "Hello {{name}}.\r\n\r\nOffer {{offer}}.",
        "variables": "name = Ada = Lovelace\r\n\r\noffer=<b>ten</b>",
    }
    wrong = await change(browser, waiting, **{**fields, "phone_number": "12", "variables": "no sign <img onerror>"})
    refused = await change(browser, waiting, **{**fields, "phone_number": "12"})
    done = await change(browser, waiting, **fields)

    assert waiting.phone_number not in form
    assert "Confirma la cita." in words(form)
    assert "name = Ana" in words(form)
    assert_safe(wrong.text)
    assert (wrong.status_code, "write a line such as name = Ada" in words(wrong.text)) == (422, True)
    assert refused.status_code == 422
    named = {one["id"] for _, one in parsed(refused.text).tags if one.get("aria-invalid") == "true"}
    assert named == {"phone_number"}
    assert done.status_code == 303, words(done.text)
    changed = await orchestrator.call(waiting.call_id)
    assert (changed.phone_number, changed.script_template, changed.variables) == (
        "+12125550177",
        "Hello {{name}}.\n\nOffer {{offer}}.",
        {"name": "Ada = Lovelace", "offer": "<b>ten</b>"},
    )


async def test_what_is_wrong_is_named_beside_its_field(browser: httpx.AsyncClient, waiting: Call) -> None:
    answer = await change(browser, waiting, max_retries="many", call_timeout_seconds="1", time_zone="Mars/Base")

    assert answer.status_code == 422
    wrong = {one["id"] for _, one in parsed(answer.text).tags if one.get("aria-invalid") == "true"}
    assert wrong == {"max_retries", "call_timeout_seconds", "time_zone"}
    assert 'value="many"' in answer.text
    assert "Nothing is given" in words((await change(browser, waiting)).text)


async def test_only_the_time_of_a_call_that_was_dialled_can_be_changed_and_nothing_of_one_that_has_ended(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    await orchestrator.move(waiting.call_id, attempt=1)
    again = parsed((await browser.get(f"/calls/{waiting.call_id}/change")).text).tags
    await orchestrator.move(waiting.call_id, status=CallStatus.FAILED)
    ended = (await browser.get(f"/calls/{waiting.call_id}/change")).text

    names = {one["name"] for tag, one in again if tag == "input" and one.get("maxlength") == "100"}
    assert names == {"scheduled_at"}
    assert "It is not waiting to be dialled." in words(ended)
    assert 'name="scheduled_at"' not in ended


async def test_a_key_that_may_only_read_and_a_form_of_another_site_change_nothing(
    open_console: "OpenConsole", browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    reader = await log_in(open_console(), secret_of("reader"))
    refused = await change(reader, waiting, max_retries="5")
    foreign = await browser.post(f"/calls/{waiting.call_id}/change", data={"max_retries": "5"})

    assert (refused.status_code, foreign.status_code) == (422, 403)
    assert "lacks the scope" in words(refused.text)
    assert (await orchestrator.call(waiting.call_id)).max_retries == waiting.max_retries


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_fields_are_shown_as_text(browser: httpx.AsyncClient, waiting: Call, text: str) -> None:
    answer = await change(browser, waiting, max_retries=text, time_zone=text)
    texts = await change(browser, waiting, script_template=text, variables=text)

    assert (answer.status_code, texts.status_code) == (422, 422)
    assert_safe(answer.text)
    assert_safe(texts.text)
