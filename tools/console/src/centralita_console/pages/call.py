"""One call: its timeline, its conversation, its decisions and its events, at any sequence."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from centralita_console.authentication import Api
from centralita_console.call_story import conversation_of, groups_of, is_message
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient
from contracts import CallStatus
from records.decisions import name_of, reason_of

router = APIRouter()
MAX_SEQUENCE = 2**53 - 1
At = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]


@router.get("/calls/{call_id:uuid}")
async def show_call(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Shows the call, as it was after the sequence `at` or as it is now."""
    return render(request, "call.html", **await _view(api, call_id, at))


@router.get("/calls/{call_id:uuid}/story")
async def show_story(request: Request, api: Api, call_id: UUID, at: At = None) -> Response:
    """Returns the part of the page that depends on the sequence, for the slider."""
    return render(request, "parts/story.html", **await _view(api, call_id, at))


@router.get("/calls/{call_id:uuid}/raw")
async def show_events(request: Request, api: Api, call_id: UUID) -> Response:
    """Shows each event as JSON, with masked numbers."""
    events = await api.get(f"/calls/{call_id}/events")
    return render(request, "raw.html", call_id=str(call_id), events=events)


async def _view(api: RestClient, call_id: UUID, at: int | None) -> dict[str, Any]:
    """Returns what the templates show. Reading a conversation is audited by the REST API."""
    parameters = {} if at is None else {"at": at}
    story, events = await asyncio.gather(
        api.get(f"/calls/{call_id}/story", parameters), api.get(f"/calls/{call_id}/events")
    )
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
    }
