"""The REST API of calls, under ``/api/v1``."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import uuid_utils
from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from contracts import Call, CallRequested, CampaignId, call_id_of
from contracts.values import RequestId
from edge.application.calls import Calls
from edge.application.line import Line
from edge.entrypoints.bodies import CallAccepted, CallMetrics, LoggedEvent, Message
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import PREFIX, Calling, Reading, router

reading = router(Reading, "/calls", "Calls")
calling = router(Calling, "/calls", "Calls")


def _calls(request: Request) -> Calls:
    calls: Calls = request.app.state.calls
    return calls


TheCalls = Annotated[Calls, Depends(_calls)]


@calling.post(
    "",
    status_code=201,
    response_model=Call,
    response_description="The call; Location says where it is",
    responses={202: {"model": CallAccepted, "description": "Stored, not yet decided"}, **problems(409, 413)},
)
async def place_call(
    calls: TheCalls,
    request: CallRequested,
    response: Response,
    idempotency_key: Annotated[
        RequestId | None,
        Header(alias="Idempotency-Key", description="the request's identity if the body has no request_id"),
    ] = None,
) -> Call | JSONResponse:
    """Asks for a call. The same request id again is the same call; with another body it is refused (409)."""
    request_id = request.request_id or idempotency_key or str(uuid_utils.uuid7())
    placed = await calls.place(request, request_id)
    location = f"{PREFIX}/calls/{placed.call_id}"
    if placed.call is None:
        accepted = CallAccepted(call_id=placed.call_id, request_id=request_id)
        return JSONResponse(accepted.model_dump(mode="json"), 202, {"Location": location})
    response.headers["Location"] = location
    return placed.call


@reading.get("/metrics", response_model=CallMetrics)
async def call_metrics(
    calls: TheCalls, campaign_id: Annotated[CampaignId | None, Query(description="none: all campaigns")] = None
) -> CallMetrics:
    """How the calls of a campaign came out, counted by campaign-stats."""
    return CallMetrics.of(await calls.statistics(campaign_id))


@reading.get("/by-request/{request_id:path}", response_model=Call, responses=problems(404))
async def call_by_request(calls: TheCalls, request_id: str) -> Call:
    """The call that a request asked for."""
    return await calls.get(call_id_of(request_id))


@reading.get("/{call_id:uuid}", response_model=Call, responses=problems(404))
async def get_call(calls: TheCalls, call_id: UUID) -> Call:
    """The call as it stands in the log."""
    return await calls.get(call_id)


@reading.get("/{call_id:uuid}/events", response_model=list[LoggedEvent], responses=problems(404))
async def call_events(calls: TheCalls, call_id: UUID) -> list[LoggedEvent]:
    """The call's log, oldest first: every fact that any service has stated about it."""
    return [LoggedEvent.of(recorded) for recorded in await calls.log(call_id)]


async def _reply(request: Request, call_id: UUID, body: Message) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open until the response is sent or the client has gone, whichever comes first."""
    line: Line = request.app.state.line
    async with line.talk(call_id, body.message) as audio:
        yield audio


@calling.post(
    "/{call_id:uuid}/response",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The reply, as it is made", "content": {"audio/mpeg": {}}},
        **problems(404, 409, 502),
    },
)
async def respond(reply: Annotated[AsyncIterator[bytes], Depends(_reply)]) -> StreamingResponse:
    """Says something in the callee's place, on a call that is in progress, and gives the spoken reply."""
    return StreamingResponse(reply, media_type="audio/mpeg")
