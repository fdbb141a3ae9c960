"""One call: its timeline, its conversation, its decisions and its events, at any sequence."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response

from centralita_console.authentication import Api, PostedForm, door_of
from centralita_console.browser_streams import MAX_NAME, Parts, new_page_name, notice, stream_to
from centralita_console.call_conversation import conversation_of
from centralita_console.call_story import groups_of, is_message, turn_starts
from centralita_console.event_stream import StreamedEvent, message, streamed_events
from centralita_console.live_views import LiveView, LiveViews, TooManyWatchers
from centralita_console.rendering import language_of, render, render_shared
from centralita_console.responses import Compressed
from centralita_console.rest_client import RestClient, RestFailure, Unreachable, within_limit
from centralita_console.turn_timing import scale_of
from contracts import RETRYABLE_STATUSES, CallStatus
from contracts.vocabulary import LIVE_STATUSES
from records.decisions import inputs_of, name_of, reason_of

router = APIRouter()
logger = structlog.get_logger()
MAX_SEQUENCE = 2**53 - 1
_TRACE = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
PING_SECONDS = 15.0
RAW_PAGE = 40
"""Events of a page of JSON: it is not compressed, and is at most 100 kB with ordinary texts."""
At = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]
PageName = Annotated[str, Query(max_length=MAX_NAME)]


@router.get("/calls/{call_id:uuid}")
async def show_call(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Shows the call, as it was after the sequence `at` or as it is now."""
    return render(request, "call.html", page_name=new_page_name(), **await _view(api, call_id, at))


@router.get("/calls/{call_id:uuid}/story")
async def show_story(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Returns the part of the page that depends on the sequence, for the slider."""
    return Compressed(render(request, "parts/story.html", **await _view(api, call_id, at)))


@router.get("/calls/{call_id:uuid}/raw")
async def show_events(request: Request, api: Api, call_id: UUID, after: At = None) -> Response:
    """Shows each event as JSON, with masked numbers: `RAW_PAGE` of them that follow a sequence."""
    events = await api.get(f"/calls/{call_id}/events")
    following = [event for event in events if event["sequence"] > (after or 0)]
    shown = [
        {**event, "trace": trace_address(request.app.state.trace_url, event["traceparent"])}
        for event in following[:RAW_PAGE]
    ]
    return render(
        request,
        "raw.html",
        call_id=str(call_id),
        events=shown,
        causes={event["id"]: event for event in events},
        here={event["sequence"] for event in shown},
        is_first=len(following) == len(events),
        next_after=shown[-1]["sequence"] if len(following) > len(shown) else None,
    )


@router.post("/calls/{call_id:uuid}/number")
async def show_number(request: Request, _: PostedForm, api: Api, call_id: UUID) -> Response:
    """Shows the telephone number of the call. No other page does."""
    story = await api.get(f"/calls/{call_id}/story", {"numbers": "true"})
    return render(request, "number.html", call=story["call"])


@router.get("/calls/{call_id:uuid}/live")
async def stream_story(request: Request, api: Api, call_id: UUID, page: PageName = "") -> Response:
    """Sends the part of the page that changes, at most once a second, until the call or the session ends."""
    return stream_to(request, page, _parts(request, api, call_id))


def trace_address(template: str | None, traceparent: str | None) -> str:
    """Returns the address of the trace of an event; empty without a template or a valid trace."""
    trace_id = _TRACE.fullmatch(traceparent or "")
    return template.replace("{trace_id}", trace_id[1]) if template and trace_id else ""


@dataclass(slots=True)
class LiveCall(LiveView):
    """A call that goes on: what the templates show, for all browsers with the same key that look at it."""

    min_seconds: float = 1.0
    view: dict[str, Any] = field(default_factory=dict)


async def _parts(request: Request, api: RestClient, call_id: UUID) -> Parts:
    views: LiveViews = request.app.state.live
    language, version = language_of(request), 0
    try:
        async with views.watch(("call", api.api_key, str(call_id)), LiveCall, partial(_follow, api, call_id)) as live:
            while door_of(request).session_of(request) and not live.is_stopped:
                if await live.newer_than(version, PING_SECONDS):
                    version = live.published
                    yield live.text(language, partial(_message, live, language))
                elif live.is_followed:
                    yield ": nothing changed\n\n"
                else:
                    break
            if live.view and live.view["is_final"]:
                yield notice("stop", "final")
                return
        if door_of(request).session_of(request) is None:
            yield notice("stop", "ended")
            return
    except TooManyWatchers:
        yield notice("away", "busy")
        return
    yield "retry: 5000\n\n"


def _message(live: LiveCall, language: str) -> str:
    text = render_shared(language, "parts/story.html", **live.view)
    return message(text, live.view["story"]["sequence"])


async def _follow(api: RestClient, call_id: UUID, live: LiveCall) -> None:
    """Reads the call after each event, until it or the stream of its events has ended."""
    has_news = asyncio.Event()
    try:
        async with streamed_events(api, {"call_id": str(call_id)}) as streamed, asyncio.TaskGroup() as group:
            waiting = group.create_task(_wait(streamed, has_news))
            while not (live.view and live.view["is_final"]):
                await has_news.wait()
                has_news.clear()
                live.view = await within_limit(partial(_view, api, call_id, None))
                live.change()
                if waiting.done():
                    break
                await asyncio.sleep(live.min_seconds)
            waiting.cancel()
    except* (RestFailure, Unreachable) as errors:
        logger.warning("call_not_followed", call_id=str(call_id), reason=str(errors.exceptions[0]))


async def _wait(streamed: AsyncIterator[StreamedEvent], has_news: asyncio.Event) -> None:
    """Sets `has_news` at each event, and when the stream ends."""
    try:
        async for _ in streamed:
            has_news.set()
    finally:
        has_news.set()


async def _view(api: RestClient, call_id: UUID, at: int | None) -> dict[str, Any]:
    """Returns what the templates show, by one request. Reading a conversation is audited by the REST API."""
    story = await api.get(f"/calls/{call_id}/story", {"events": "true", **({} if at is None else {"at": at})})
    events = story["events"]
    sequences = story["sequences"]
    groups, conversation = groups_of(story, events), conversation_of(story, events)
    return {
        "story": story,
        "call": story["call"],
        "at": at,
        "position": max((n for n, one in enumerate(sequences) if one <= story["sequence"]), default=0),
        "groups": groups,
        "turn_starts": turn_starts(groups),
        "conversation": conversation,
        "scale": scale_of([line.waterfall for line in conversation]),
        "decisions": [
            {**one, "name": name_of(one), "why": reason_of(one), "inputs": inputs_of(one)} for one in story["decisions"]
        ],
        "is_final": CallStatus(story["call"]["status"]).is_final,
        "is_message": is_message,
        "live_statuses": LIVE_STATUSES,
        "retryable_statuses": RETRYABLE_STATUSES,
    }
