"""The first page and its board, which browsers watch, over real connections to the console and to the edge."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.events import campaign_paused
from tests.builders.turns import an_utterance
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import LIMITED, Orchestrator, secret_of
from tests.integration.edge.test_admission import STATE
from tests.integration.edge.test_lists import CALL

from centralita_console import live, live_views
from centralita_console.board import Board, Card
from centralita_console.rest_client import Unreachable
from chassis.event_log import EventLog
from contracts import Call, CallRequested, CallStatus, call_id_of
from contracts.filters import call_state_filter
from contracts.queries import AdmissionQuery

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed")
Messages = AsyncIterator[tuple[int, str]]


@asynccontextmanager
async def watching(browser: httpx.AsyncClient, path: str = "/now/board") -> AsyncIterator[Messages]:
    """Yields the boards as they are sent: the id of the message, and its text."""
    async with browser.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _messages(answer.aiter_lines())


async def _messages(lines: AsyncIterator[str]) -> Messages:
    sequence, data = 0, list[str]()
    async for line in lines:
        if line.startswith("id: "):
            sequence = int(line.removeprefix("id: "))
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif not line and data:
            yield sequence, "\n".join(data)
            data = []


async def board_with(messages: Messages, text: str) -> str:
    """Returns the first board that contains a text."""
    async for _, board in messages:
        if text in board:
            return board
    raise AssertionError(f"the stream ended before {text!r}")


async def begun(messages: Messages) -> None:
    """Returns when the board follows the log."""
    await board_with(messages, f"card-{CALL.call_id}")


async def test_the_first_page_shows_open_calls_and_connects_to_the_board(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/")).text

    assert_safe(text)
    assert f'href="/calls/{CALL.call_id}"' in text
    [connected] = [one for _, one in parsed(text).tags if "hx-sse:connect" in one]
    assert (connected["hx-sse:connect"] or "").startswith("/now/board?page=")


async def test_a_call_appears_and_ends_on_the_board(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, body: dict[str, object]
) -> None:
    call_id = call_id_of("r-2")
    async with watching(watcher) as messages:
        await begun(messages)
        await orchestrator.decide(CallRequested.model_validate({**body, "request_id": "r-2", "contact_id": "Ada"}))
        board = await board_with(messages, f"card-{call_id}")
        await orchestrator.move(call_id, status=CallStatus.RINGING, attempt=1)
        await orchestrator.move(call_id, status=CallStatus.FAILED, attempt=1, reason="wrong number")
        ended = await board_with(messages, f"ending-{call_id}")

    assert "Ada" in words(board)
    assert f"card-{call_id}" not in ended
    assert "failed wrong number" in words(ended)


async def test_the_id_of_a_board_is_the_last_sequence_that_it_includes(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    async with watching(watcher) as messages:
        await begun(messages)
        await orchestrator.move(waiting.call_id, status=CallStatus.RINGING, attempt=1)
        last = await orchestrator.log.last(call_state_filter(waiting.call_id))
        assert last
        while (message := await anext(messages))[0] < last.sequence:
            pass

    assert message[0] == last.sequence


async def test_the_figures_change_without_a_new_page(
    watcher: httpx.AsyncClient, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FIGURE_SECONDS", 0.05)
    occupied = [3]

    async def answer(message: Msg) -> None:
        state = STATE.model_copy(update={"live": occupied[0], "max_live": 20})
        await message.respond(state.model_dump_json().encode())

    await bus_client.subscribe(AdmissionQuery.subject, cb=answer)
    async with watching(watcher) as messages:
        _, first = await anext(messages)
        assert "Calls in progress 3 / 20" in words(first), "the strip of the page stays"
        occupied[0] = 19
        await board_with(messages, '"figure-live">19 ')


async def test_browsers_with_one_key_share_one_stream_and_others_do_not(
    watcher: httpx.AsyncClient, console: FastAPI
) -> None:
    async with (
        watching(watcher) as first,
        watching(watcher) as second,
        watching(watcher, "/now/board?campaign_id=spring") as other,
    ):
        for messages in (first, second, other):
            await begun(messages)
        watchers = {campaign: one.watchers for (*_, campaign), one in console.state.live._views.items()}

    assert watchers == {"": 2, "spring": 1}


async def test_no_stream_remains_when_no_browser_watches(watcher: httpx.AsyncClient, console: FastAPI) -> None:
    async with watching(watcher) as messages:
        await begun(messages)
        [followed] = console.state.live._views.values()
    async with asyncio.timeout(60):
        while console.state.live._views or not followed.task.done():
            await asyncio.sleep(0.01)


async def test_a_browser_that_does_not_read_delays_no_other(
    watcher: httpx.AsyncClient, console_url: str, orchestrator: Orchestrator, body: dict[str, object]
) -> None:
    address = httpx.URL(console_url)
    _, stuck = await asyncio.open_connection(address.host, address.port, limit=1)
    cookie = "; ".join(f"{name}={value}" for name, value in watcher.cookies.items())
    stuck.write(f"GET /now/board HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
    async with watching(watcher) as messages:
        await begun(messages)
        for number in range(20):
            named = {**body, "request_id": f"r-{number}", "contact_id": f"contact {number} " + "x" * 150}
            await orchestrator.decide(CallRequested.model_validate(named))
            await board_with(messages, f"contact {number} ")
    stuck.close()


async def test_after_the_rest_api_was_away_the_board_continues(
    watcher: httpx.AsyncClient, console: FastAPI, monkeypatch: pytest.MonkeyPatch, calls: EventLog
) -> None:
    async with watching(watcher) as messages:
        await begun(messages)
        [followed] = console.state.live._views.values()
        async with broken(monkeypatch):
            await calls.append(campaign_paused("spring"))  # the next event, which breaks the stream
            assert "Not current" in words(await board_with(messages, "Not current"))
        async for _, board in messages:
            if "Not current" not in board:
                break

    assert followed.problem is None


@asynccontextmanager
async def broken(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Every stream of events ends with its next event, and no other begins."""

    def fail(*_: object) -> None:
        raise Unreachable("http://edge", "gone")

    with monkeypatch.context() as patch:
        patch.setattr(Board, "apply", fail)
        patch.setattr(Board, "include", fail)
        yield


async def test_what_was_stored_just_before_the_stream_began_is_read_again(
    watcher: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PROJECTED_SECONDS", 0.1)
    first = Card(str(CALL.call_id), "c-1", "spring", CallStatus.PENDING, "2026-11-29T12:00:00Z", "", 0)
    late = dataclasses.replace(first, call_id="late")
    reads = iter([[first]])

    async def load(board: Board, *_: object) -> None:
        board.include(next(reads, [first, late]), [])

    monkeypatch.setattr(live, "load", load)
    async with watching(watcher) as messages:
        await board_with(messages, "card-late")


async def test_a_call_in_progress_is_shown_as_it_goes_on_until_it_ends(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call, calls: EventLog
) -> None:
    page = (await watcher.get(f"/calls/{waiting.call_id}")).text
    [connected] = [one for _, one in parsed(page).tags if "hx-sse:connect" in one]

    async with watching(watcher, connected["hx-sse:connect"] or "") as messages:
        _, first = await anext(messages)
        await orchestrator.move(waiting.call_id, status=CallStatus.IN_PROGRESS, attempt=1)
        await calls.append(an_utterance(waiting.call_id, 1, "Who is calling?"))
        spoken = await board_with(messages, "Who is calling?")
        await orchestrator.move(waiting.call_id, status=CallStatus.COMPLETED, attempt=1)
        sent = [text async for _, text in messages]

    assert_safe(first)
    assert "Turn 1" in words(spoken)
    assert "is-completed" in sent[-2]
    assert '"kind": "final"' in sent[-1]
    assert connected["hx-sse:close"] == "stop"
    after = (await watcher.get(f"/calls/{waiting.call_id}")).text
    assert "hx-sse:connect" not in after
    assert "hx-sse:connect" not in (await watcher.get(f"/calls/{waiting.call_id}?at=1")).text


async def test_a_stream_of_an_unknown_call_ends(watcher: httpx.AsyncClient) -> None:
    assert (await watcher.get(f"/calls/{uuid4()}/live")).text == "retry: 5000\n\n"


async def test_streams_of_calls_end_with_the_process_and_count_as_watchers(
    watcher: httpx.AsyncClient, console: FastAPI, waiting: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_views, "MAX_WATCHERS", 1)
    path = f"/calls/{waiting.call_id}/live"
    async with watching(watcher, path) as messages:
        await anext(messages)
        assert '"kind": "busy"' in (await watcher.get(path)).text
        console.state.live.stop()
        async for _ in messages:
            pass


async def test_a_key_of_some_campaigns_watches_only_these(
    watcher: httpx.AsyncClient, open_console: "OpenConsole", console_url: str
) -> None:
    limited = await log_in(open_console(), secret_of(LIMITED))
    page = await limited.get("/")
    assert page.status_code == 422
    assert 'href="/?campaign_id=spring"' in page.text
    assert (await limited.get("/?campaign_id=spring")).status_code == 200
    assert (await limited.get("/?campaign_id=winter")).status_code == 404


async def test_the_stream_ends_with_the_session(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    token = csrf_token((await watcher.get("/calls")).text)
    async with watching(watcher) as messages:
        await begun(messages)
        await watcher.post("/logout", data={"csrf_token": token})
        await orchestrator.move(waiting.call_id, status=CallStatus.RINGING, attempt=1)
        async for _ in messages:
            pass

    assert (await watcher.get("/now/board")).status_code == 303


async def test_a_stream_needs_a_session(console_url: str) -> None:
    async with httpx.AsyncClient(base_url=console_url, trust_env=False, timeout=60) as anyone:
        answer = await anyone.get("/now/board", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


async def test_too_many_watchers_are_told_to_come_back_later(
    watcher: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_views, "MAX_WATCHERS", 1)
    async with watching(watcher) as messages:
        await begun(messages)
        refused = await watcher.get("/now/board")

    assert '"kind": "busy"' in refused.text


async def test_the_process_ends_the_streams_when_it_stops(watcher: httpx.AsyncClient, console: FastAPI) -> None:
    async with watching(watcher) as messages:
        await begun(messages)
        console.state.live.stop()
        async for _ in messages:
            pass


@pytest.mark.parametrize("text", HOSTILE[:5], ids=["image", "script", "svg", "rtl", "template"])
async def test_hostile_names_on_the_board_are_shown_as_text(
    watcher: httpx.AsyncClient, orchestrator: Orchestrator, body: dict[str, object], text: str
) -> None:
    call_id = call_id_of("r-2")
    named = {**body, "request_id": "r-2", "contact_id": text}
    async with watching(watcher) as messages:
        await begun(messages)
        await orchestrator.decide(CallRequested.model_validate(named))
        board = await board_with(messages, f"card-{call_id}")

    assert_safe(board)
    assert text in "".join(parsed(board).words)
