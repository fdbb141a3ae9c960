"""The REST API of a call's story, under ``/api/v1/calls/{call_id}/story``."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from edge.application.story import Stories
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import ReadRoute, create_router, key_of
from records.masking import mask_numbers
from records.story import Story

router = create_router(ReadRoute, "/calls", "Calls")


@router.get("/{call_id:uuid}/story", response_model=Story, responses=problems(404))
async def call_story(
    request: Request,
    call_id: UUID,
    at: Annotated[
        int | None, Query(ge=1, le=MAX_SEQUENCE, description="as the call was after this sequence; default: now")
    ] = None,
    numbers: Annotated[bool, Query(description="phone numbers are not masked")] = False,
) -> Response:
    """Returns the call as it was at a sequence: state, deadline, prompt, timeline, what was spoken, and decisions.

    The same as `centralita replay show CALL --at SEQUENCE --json`. Reading is audited, as that of the call's events;
    with `numbers`, the act `call.read_number` is, too. A call that did not exist at this sequence is unknown (404).
    """
    stories: Stories = request.app.state.stories
    told = await stories.read(key_of(request), call_id, at, has_numbers=numbers)
    story = told.model_dump_json()
    return Response(story if numbers else mask_numbers(story), media_type="application/json")
