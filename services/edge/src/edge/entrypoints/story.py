"""The REST API of a call's story, under ``/api/v1/calls/{call_id}/story``."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import Field

from edge.application.story import Stories, StoryAndEvents
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.openapi import problems
from edge.entrypoints.resources import EventResource
from edge.entrypoints.scopes import ReadRoute, create_router, key_of
from records.masking import mask_numbers
from records.story import Story

router = create_router(ReadRoute, "/calls", "Calls")


class StoryResource(Story):
    """A story, and the events that it is about if they are asked for."""

    events: tuple[EventResource, ...] | None = Field(
        default=None,
        description="with `events=true`: every event as in `/calls/{id}/events`, also later than `at`; else left out",
    )


@router.get("/{call_id:uuid}/story", response_model=StoryResource, responses=problems(404))
async def call_story(
    request: Request,
    call_id: UUID,
    at: Annotated[
        int | None, Query(ge=1, le=MAX_SEQUENCE, description="as the call was after this sequence; default: now")
    ] = None,
    numbers: Annotated[bool, Query(description="phone numbers are not masked, neither in events")] = False,
    events: Annotated[bool, Query(description="with every event of the call, by the same read")] = False,
) -> Response:
    """Returns the call as it was at a sequence: state, deadline, prompt, timeline, what was spoken, and decisions.

    The same as `centralita replay show CALL --at SEQUENCE --json`. Reading is audited, as that of the call's events;
    with `numbers`, the act `call.read_number` is, too. A call that did not exist at this sequence is unknown (404).
    """
    stories: Stories = request.app.state.stories
    read = await stories.read(key_of(request), call_id, at, has_numbers=numbers)
    story = (_with_events(read) if events else read.story).model_dump_json()
    return Response(story if numbers else mask_numbers(story), media_type="application/json")


def _with_events(read: StoryAndEvents) -> StoryResource:
    events = tuple(EventResource.of(stored) for stored in read.events)
    return StoryResource.model_construct(**dict(read.story), events=events)
