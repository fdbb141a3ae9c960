"""One call: its timeline, its conversation, its decisions and its events, at any sequence."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from centralita_console.authentication import Api, PostedForm, door_of
from centralita_console.call_story import conversation_of, groups_of, is_message
from centralita_console.event_stream import StreamedEvent, message, streamed_events
from centralita_console.live import LiveBoards, TooManyWatchers
from centralita_console.rendering import render, render_text
from centralita_console.responses import Compressed
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from chassis.background import run_in_background
from contracts import RETRYABLE_STATUSES, CallStatus
from contracts.vocabulary import LIVE_STATUSES
from records.decisions import name_of, reason_of

router = APIRouter()
MAX_SEQUENCE = 2**53 - 1
PING_SECONDS = 15.0
SECONDS_BETWEEN_PARTS = 1.0
At = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]


@router.get("/calls/{call_id:uuid}")
async def show_call(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Shows the call, as it was after the sequence `at` or as it is now."""
    return render(request, "call.html", **await _view(api, call_id, at))


@router.get("/calls/{call_id:uuid}/story")
async def show_story(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Returns the part of the page that depends on the sequence, for the slider."""
    return Compressed(render(request, "parts/story.html", **await _view(api, call_id, at)))


@router.get("/calls/{call_id:uuid}/raw")
async def show_events(request: Request, api: Api, call_id: UUID) -> Response:
    """Shows each event as JSON, with masked numbers."""
    events = await api.get(f"/calls/{call_id}/events")
    return render(request, "raw.html", call_id=str(call_id), events=events)


@router.post("/calls/{call_id:uuid}/number")
async def show_number(request: Request, _: PostedForm, api: Api, call_id: UUID) -> Response:
    """Shows the telephone number of the call. No other page does."""
    story = await api.get(f"/calls/{call_id}/story", {"numbers": "true"})
    return render(request, "number.html", call=story["call"])


@router.get("/calls/{call_id:uuid}/live")
async def stream_story(request: Request, api: Api, call_id: UUID) -> Response:
    """Sends the part of the page that changes, at most once a second, until the call or the session ends."""
    return StreamingResponse(_parts(request, api, call_id), media_type="text/event-stream")


@dataclass(slots=True)
class _Feed:
    """The events of a call so far. `wake` is set at each event, and at the end of the stream."""

    wake: asyncio.Event
    events: list[dict[str, Any]] = field(default_factory=list)
    is_over: bool = False

    async def read(self, streamed: AsyncIterator[StreamedEvent]) -> None:
        """Reads until the stream ends."""
        try:
            async for event in streamed:
                self.events.append(event.resource)
                self.wake.set()
        finally:
            self.is_over = True
            self.wake.set()


async def _parts(request: Request, api: RestClient, call_id: UUID) -> AsyncIterator[str]:
    boards: LiveBoards = request.app.state.live
    try:
        with boards.admitted() as wake:
            async with streamed_events(api, {"call_id": str(call_id)}) as streamed:
                feed = _Feed(wake)
                async with run_in_background(feed.read(streamed)):
                    async for part in _changes(request, boards, api, call_id, feed):
                        yield part
    except (RestFailure, Unreachable, TooManyWatchers):
        yield "retry: 5000\n\n"


async def _changes(
    request: Request, boards: LiveBoards, api: RestClient, call_id: UUID, feed: _Feed
) -> AsyncIterator[str]:
    """Yields the story after each change, and a last message when the call has ended."""
    while not boards.must_stop.is_set() and door_of(request).session_of(request):
        try:
            async with asyncio.timeout(PING_SECONDS):
                await feed.wake.wait()
        except TimeoutError:
            yield ": nothing changed\n\n"
            continue
        feed.wake.clear()
        view = _view_of(await api.get(f"/calls/{call_id}/story"), feed.events, None)
        yield message(render_text(request, "parts/story.html", **view), view["story"]["sequence"])
        if view["is_final"]:
            yield "event: ended\ndata: ended\n\n"
            return
        if feed.is_over:
            return
        await asyncio.sleep(SECONDS_BETWEEN_PARTS)


async def _view(api: RestClient, call_id: UUID, at: int | None) -> dict[str, Any]:
    """Returns what the templates show. Reading a conversation is audited by the REST API."""
    parameters = {} if at is None else {"at": at}
    story, events = await asyncio.gather(
        api.get(f"/calls/{call_id}/story", parameters), api.get(f"/calls/{call_id}/events")
    )
    return _view_of(story, events, at)


def _view_of(story: dict[str, Any], events: list[dict[str, Any]], at: int | None) -> dict[str, Any]:
    sequences = story["sequences"]
    return {
        "story": story,
        "call": story["call"],
        "at": at,
        "position": max((n for n, one in enumerate(sequences) if one <= story["sequence"]), default=0),
        "groups": groups_of(story, events),
        "conversation": conversation_of(story, events),
        "decisions": [{**one, "name": name_of(one), "why": reason_of(one)} for one in story["decisions"]],
        "is_final": CallStatus(story["call"]["status"]).is_final,
        "is_message": is_message,
        "live_statuses": LIVE_STATUSES,
        "retryable_statuses": RETRYABLE_STATUSES,
    }
