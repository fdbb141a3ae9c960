"""Many browsers with one key, before the real edge: one stream, one read and one rendering for all of them."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.builders.events import campaign_paused, campaign_resumed
from tests.builders.turns import an_utterance
from tests.integration.console.test_log import begun, lines_until, reading
from tests.integration.console.test_now import begun as board_begun
from tests.integration.console.test_now import board_with, watching
from tests.integration.edge.conftest import Orchestrator

from centralita_console import live, live_log
from centralita_console.log_lines import Line, line_of
from centralita_console.pages import call as call_page
from centralita_console.pages import now
from centralita_console.rendering import render_shared
from centralita_console.rest_client import RATE_LIMITED, RestFailure
from chassis.event_log import EventLog
from contracts import Call, CallStatus
from edge.application.event_streams import MAX_STREAMS_PER_KEY

pytestmark = pytest.mark.usefixtures("listed")
BROWSERS = MAX_STREAMS_PER_KEY + 5


@pytest.fixture
def requested(console: FastAPI) -> Counter[str]:
    """How often the console has requested each path of the REST API."""
    counts: Counter[str] = Counter()

    async def count(request: httpx.Request) -> None:
        counts[request.url.path] += 1

    console.state.door.http.event_hooks = {"request": [count], "response": []}
    return counts


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was rendered for several browsers at once."""
    texts: list[str] = []

    def render(language: str, template: str, **values: Any) -> str:
        texts.append(render_shared(language, template, **values))
        return texts[-1]

    monkeypatch.setattr(now, "render_shared", render)
    monkeypatch.setattr(call_page, "render_shared", render)
    return texts


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_one_change_is_one_rendering_of_the_board_for_all_browsers(
    watcher: httpx.AsyncClient,
    stack: AsyncExitStack,
    orchestrator: Orchestrator,
    waiting: Call,
    requested: Counter[str],
    rendered: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "FIGURE_SECONDS", 3600)
    monkeypatch.setattr(live, "PROJECTED_SECONDS", 3600)
    browsers = [await stack.enter_async_context(watching(watcher)) for _ in range(BROWSERS)]
    for messages in browsers:
        await board_begun(messages)
    begin = len(rendered)
    await orchestrator.move(waiting.call_id, status=CallStatus.RINGING, attempt=1)
    boards = {await board_with(messages, f"card-{waiting.call_id}") for messages in browsers}

    assert (begin, len(rendered), len(boards)) == (1, 2, 1)
    assert requested["/api/v1/events"] == 1
    assert requested["/api/v1/admission"] == 1


async def test_a_change_of_a_call_is_one_read_and_one_rendering_for_all_browsers(
    watcher: httpx.AsyncClient,
    stack: AsyncExitStack,
    calls: EventLog,
    talking: Call,
    requested: Counter[str],
    rendered: list[str],
) -> None:
    path = f"/calls/{talking.call_id}/live"
    browsers = [await stack.enter_async_context(watching(watcher, path)) for _ in range(BROWSERS)]
    for messages in browsers:
        await anext(messages)
    await calls.append(an_utterance(talking.call_id, 1, "Who is calling?"))
    texts = {await board_with(messages, "Who is calling?") for messages in browsers}

    assert len(texts) == 1
    assert requested["/api/v1/events"] == 1
    assert requested[f"/api/v1/calls/{talking.call_id}/story"] <= 3  # the history may arrive in two parts
    assert len(rendered) <= 3


async def test_all_browsers_are_sent_the_last_story_of_a_call_that_ends(
    watcher: httpx.AsyncClient, stack: AsyncExitStack, orchestrator: Orchestrator, talking: Call
) -> None:
    path = f"/calls/{talking.call_id}/live"
    browsers = [await stack.enter_async_context(watching(watcher, path)) for _ in range(3)]
    for messages in browsers:
        await anext(messages)
    await orchestrator.move(talking.call_id, status=CallStatus.COMPLETED, attempt=1)
    for messages in browsers:
        *_, last, ended = [text async for _, text in messages]
        assert "is-completed" in last
        assert json.loads(ended) == {"kind": "final", "detail": ""}


async def test_browsers_follow_a_call_on_after_the_rate_limit_of_their_key(
    watcher: httpx.AsyncClient, talking: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [RestFailure(429, RATE_LIMITED, "slower", "0"), RestFailure(429, RATE_LIMITED, "slower", "0")]
    view = call_page._view

    async def limited(*parameters: Any) -> dict[str, Any]:
        if limits:
            raise limits.pop()
        return await view(*parameters)

    monkeypatch.setattr(call_page, "_view", limited)
    async with watching(watcher, f"/calls/{talking.call_id}/live") as messages:
        _, text = await anext(messages)

    assert 'id="story"' in text


@pytest.fixture
def made_lines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequences of the events of which a line was made for all browsers."""
    made: list[int] = []

    def count(resource: dict[str, Any]) -> Line:
        made.append(resource["sequence"])
        return line_of(resource)

    monkeypatch.setattr(live_log, "line_of", count)
    return made


async def test_an_event_is_read_and_made_a_line_once_for_all_logs(
    watcher: httpx.AsyncClient,
    stack: AsyncExitStack,
    calls: EventLog,
    requested: Counter[str],
    made_lines: list[int],
) -> None:
    logs = [await stack.enter_async_context(reading(watcher)) for _ in range(BROWSERS)]
    filtered = await stack.enter_async_context(reading(watcher, subject="campaign.resumed"))
    for messages in (*logs, filtered):
        await begun(messages)
    for event in (campaign_paused("spring"), campaign_resumed("spring"), campaign_paused("spring")):
        await calls.append(event)

    for messages in logs:
        lines, _ = await lines_until(messages, 3)
        assert [line["sequence"] for line in lines] == made_lines
    lines, _ = await lines_until(filtered, 1)
    assert [line["event"] for line in lines] == ["campaign.resumed"]
    assert (len(made_lines), requested["/api/v1/events"]) == (3, 1)


async def test_who_comes_back_reads_what_is_not_kept_any_more_and_then_shares_the_log(
    watcher: httpx.AsyncClient,
    stack: AsyncExitStack,
    calls: EventLog,
    requested: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_log, "MAX_KEPT", 2)
    first = await stack.enter_async_context(reading(watcher))
    begin = await begun(first)
    lines: list[dict[str, Any]] = []
    for _ in range(5):
        await calls.append(campaign_paused("spring"))
        lines += (await lines_until(first, 1))[0]
    back = await stack.enter_async_context(reading(watcher, after=begin))
    again, _ = await lines_until(back, 5)
    assert again == lines
    assert requested["/api/v1/events"] == 2

    kept = await stack.enter_async_context(reading(watcher, after=str(lines[3]["sequence"])))
    assert (await lines_until(kept, 1))[0] == lines[4:]
    await calls.append(campaign_resumed("spring"))
    for messages in (first, back, kept):
        lines, _ = await lines_until(messages, 1)
        assert [line["event"] for line in lines] == ["campaign.resumed"]
    assert requested["/api/v1/events"] == 2


@pytest.mark.parametrize("path", ["", "?at=1000", "/story?at=1000"])
async def test_the_page_of_a_call_and_the_slider_cost_one_request(
    watcher: httpx.AsyncClient, talking: Call, requested: Counter[str], path: str
) -> None:
    answer = await watcher.get(f"/calls/{talking.call_id}{path}")

    assert answer.status_code == 200
    assert requested == {f"/api/v1/calls/{talking.call_id}/story": 1}
