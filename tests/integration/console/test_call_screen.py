"""The page of a call before the real edge: its groups, the waterfalls of its turns, and the headers of its events."""

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from tests.builders.events import an_envelope
from tests.builders.turns import a_reply, an_utterance
from tests.integration.console.conftest import log_in, parsed, words
from tests.integration.console.test_pages import assert_safe
from tests.integration.edge.conftest import API_KEY, Orchestrator
from tests.integration.edge.test_archived_calls import ARCHIVE, archive

from centralita_console.rendering import environment
from chassis.event_log import EventLog
from contracts import Call, CallStatus, DialClaimed, DialPlaced

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed")


async def test_a_call_in_progress_shows_its_turns_the_wait_for_its_reply_and_its_next_deadline(
    browser: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call
) -> None:
    deadline_at = waiting.created_at.replace(year=2200)
    await orchestrator.move(waiting.call_id, status=CallStatus.IN_PROGRESS, attempt=1, deadline_at=deadline_at)
    heard = await calls.append(an_utterance(waiting.call_id, 1, "Who is it?"))
    await calls.append(a_reply(waiting.call_id, 1, "It is us."))

    page = (await browser.get(f"/calls/{waiting.call_id}")).text
    at_once = (await browser.get(f"/calls/{waiting.call_id}?at={heard.sequence}")).text

    assert_safe(page)
    assert "Turn 1" in words(page)
    assert "text complete after" in words(page)
    assert "text complete after" not in words(at_once)
    [story] = [one for _, one in parsed(page).tags if one.get("id") == "story"]
    assert str(heard.sequence) in (story["data-turns"] or "").split(",")
    [clock] = [one["data-until"] for _, one in parsed(page).tags if "data-until" in one]
    assert (clock or "").startswith("2200-")
    assert "data-until" not in at_once
    assert "Copy the command" in words(page)


async def test_a_call_that_waits_for_its_callback_shows_when_and_why(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    at = waiting.created_at.replace(year=2200)
    asked = {"callback_at": at, "callback_number": 1, "callback_reason": "<b>At work</b> until three", "callbacks": 1}
    await orchestrator.move(waiting.call_id, attempt=1, due_at=at, deadline_at=at, **asked)

    page = (await browser.get(f"/calls/{waiting.call_id}")).text

    assert_safe(page)
    assert "asked to be called again at" in words(page)
    assert "<b>At work</b> until three" in words(page), "as text, not as markup"


async def test_the_events_of_a_call_have_their_headers_their_cause_and_a_link_to_the_trace(
    open_console: "OpenConsole", calls: EventLog, waiting: Call
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    cause = replace(an_envelope(), id="the-cause", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    claimed = await calls.append(DialClaimed(call_id=waiting.call_id, attempt=1), cause=cause)
    placed = DialPlaced(call_id=waiting.call_id, attempt=1, provider="twilio", provider_call_id="CA1")
    hostile = replace(claimed.envelope, traceparent='"><img src=x onerror=alert(1)>')
    await calls.append(placed, cause=hostile)
    browser = await log_in(open_console(trace_url="https://traces.example.com/t/{trace_id}?x=1"), API_KEY)

    page = (await browser.get(f"/calls/{waiting.call_id}/raw")).text

    assert_safe(page)
    assert f"subject dial.claimed.{waiting.call_id}" in words(page)
    assert f"id of the message {claimed.envelope.id} caused by the-cause" in words(page)
    links = [one["href"] for tag, one in parsed(page).tags if tag == "a" and one.get("rel")]
    assert links == [f"https://traces.example.com/t/{trace_id}?x=1"]
    assert f'href="#event-{claimed.sequence}"' in page


@pytest.mark.parametrize("suffix", ["", "/story", "/raw", "?at=7"])
async def test_a_call_that_may_be_archived_leads_to_the_command_that_shows_it(
    browser: httpx.AsyncClient, bus_client: Client, suffix: str
) -> None:
    await archive(bus_client)
    call_id = uuid4()

    answer = await browser.get(f"/calls/{call_id}{suffix}")

    assert answer.status_code == 404
    assert_safe(answer.text)
    assert "This call is not in the log" in words(answer.text)
    assert f"it is in the archive {ARCHIVE}" in words(answer.text)
    assert f"<code>centralita replay show {call_id} --archive DIRECTORY</code>" in answer.text


def test_commands_in_a_text_are_code_and_nothing_in_it_is_markup() -> None:
    with_code = environment("en").filters["with_code"]

    assert with_code("`<b>` or `x`") == "<code>&lt;b&gt;</code> or <code>x</code>"
    assert with_code("one ` only <i>") == "one ` only &lt;i&gt;"


async def test_a_response_of_the_network_is_explained(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    await orchestrator.move(waiting.call_id, status=CallStatus.FAILED, attempt=1, reason="SIP 404")

    assert "failed SIP 404 the number does not exist" in words((await browser.get(f"/calls/{waiting.call_id}")).text)
