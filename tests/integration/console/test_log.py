"""The live log before the real edge: each event once, in order, also after a pause."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.builders.events import campaign_paused, campaign_resumed
from tests.builders.turns import an_utterance
from tests.integration.console.conftest import log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import LIMITED, Orchestrator, secret_of

from chassis.event_log import EventLog
from contracts import Call, CallStatus
from edge.application import event_streams

pytestmark = pytest.mark.usefixtures("listed")
Messages = AsyncIterator[tuple[str, str, Any]]


async def messages_of(lines: AsyncIterator[str]) -> Messages:
    """Yields the event, the id and the decoded data of each message."""
    event = sequence = ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "id":
            sequence = value
        elif name == "data":
            yield event, sequence, json.loads(value)
            event = ""


@asynccontextmanager
async def reading(browser: httpx.AsyncClient, *, after: str = "", **query: str) -> AsyncIterator[Messages]:
    headers = {"Last-Event-ID": after} if after else {}
    async with browser.stream("GET", "/log/events", params=query, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield messages_of(answer.aiter_lines())


async def lines_until(messages: Messages, count: int) -> tuple[list[dict[str, Any]], str]:
    """Returns the next lines, at least so many, and the id of the last message."""
    found: list[dict[str, Any]] = []
    async for event, sequence, data in messages:
        assert event == "", data
        found += data
        if len(found) >= count:
            return found, sequence
    raise AssertionError(f"the stream ended after {found}")


async def begun(messages: Messages) -> str:
    """Returns the position at which the stream begins."""
    _, sequence, data = await anext(messages)
    assert data == []
    return sequence


async def test_events_appear_as_they_are_stored_and_lead_to_their_calls(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    async with reading(watcher) as messages:
        await begun(messages)
        await orchestrator.move(waiting.call_id, status=CallStatus.RINGING, attempt=1)
        await orchestrator.move(waiting.call_id, status=CallStatus.FAILED, attempt=1, reason="wrong number")
        lines, last = await lines_until(messages, 2)

    assert [line["event"] for line in lines] == ["call.status_changed"] * 2
    assert lines[1]["path"] == f"/calls/{waiting.call_id}?at={last}"
    assert "ringing → failed" in lines[1]["text"]


async def test_after_a_break_or_a_pause_no_event_is_missing_or_repeated(
    watcher: httpx.AsyncClient, calls: EventLog
) -> None:
    async with reading(watcher) as messages:
        first = await begun(messages)  # broken before any event
    await calls.append(campaign_paused("spring"))
    async with reading(watcher, after=first) as messages:
        lines, second = await lines_until(messages, 1)
        assert [line["event"] for line in lines] == ["campaign.paused"]
    await calls.append(campaign_resumed("spring"))
    async with watcher.stream("GET", "/log/events", params={"after": second}) as answer:
        lines, _ = await lines_until(messages_of(answer.aiter_lines()), 1)

    assert [line["event"] for line in lines] == ["campaign.resumed"]


async def test_a_filter_leaves_out_lines_and_the_position_goes_on(watcher: httpx.AsyncClient, calls: EventLog) -> None:
    async with reading(watcher, subject="campaign.resumed") as messages:
        begin = await begun(messages)
        await calls.append(campaign_paused("spring"))
        _, position, data = await anext(messages)
        await calls.append(campaign_resumed("spring"))
        lines, _ = await lines_until(messages, 1)

    assert (data, int(position) > int(begin)) == ([], True)
    assert [line["event"] for line in lines] == ["campaign.resumed"]


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_words_are_data_of_bounded_size(
    watcher: httpx.AsyncClient, talking: Call, calls: EventLog, text: str
) -> None:
    await calls.append(an_utterance(talking.call_id, 1, text + "\u2028\r\ndata: []"))
    async with reading(watcher, call_id=str(talking.call_id)) as messages:
        async for _, _, lines in messages:
            if found := [line["text"] for line in lines if line["event"] == "speech.heard"]:
                break

    assert found[0].startswith(f"turn 1: {text}"[:200])
    page = await watcher.get("/log", params={"subject": text[:200], "campaign_id": text[:200], "call_id": text[:200]})
    assert_safe(page.text)


async def test_the_page_connects_with_its_filters_and_says_what_fills_it(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/log?subject=call.created&campaign_id=spring")).text

    assert_safe(page)
    [address] = [one["data-stream"] for _, one in parsed(page).tags if "data-stream" in one]
    assert address
    assert address.startswith("/log/events?campaign_id=spring&subject=call.created&page=")
    assert "centralita call" in words(page)


async def test_a_key_of_some_campaigns_sees_only_these(console_url: str, calls: EventLog, waiting: Call) -> None:
    async with httpx.AsyncClient(base_url=console_url, trust_env=False, timeout=60) as limited:
        await log_in(limited, secret_of(LIMITED))
        async with reading(limited) as messages:
            event, _, told = await anext(messages)
        assert (event, told["kind"]) == ("stop", "refused")
        async with reading(limited, campaign_id="spring") as messages:
            await begun(messages)
            await calls.append(campaign_paused("winter"))
            await calls.append(campaign_paused("spring"))
            lines, _ = await lines_until(messages, 1)
    assert [line["path"] for line in lines] == ["/campaigns/spring"]


async def test_without_a_session_no_event_is_sent(console_url: str) -> None:
    async with httpx.AsyncClient(base_url=console_url, trust_env=False, timeout=60) as stranger:
        for path in ("/log", "/log/events"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


async def test_who_was_away_for_too_long_is_told_to_load_the_page_again(
    watcher: httpx.AsyncClient, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await calls.append(campaign_paused("spring"))
    monkeypatch.setattr(event_streams, "MAX_RESUMED", 1)

    async with reading(watcher, after="1") as messages:
        event, _, told = await anext(messages)

    assert (event, told["kind"]) == ("stop", "gap")
