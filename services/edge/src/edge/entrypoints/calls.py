"""The REST API of calls, under ``/api/v1/calls``."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated
from uuid import UUID

import uuid_utils
from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from chassis.slow_readers import ReadInTime
from contracts import CallRequested, CampaignId, call_id_of
from contracts.values import RequestId
from edge.application.acts import Acts
from edge.application.calls import Calls
from edge.application.dialogue import DialogueService
from edge.entrypoints.campaign_resources import CallMetrics
from edge.entrypoints.openapi import problems
from edge.entrypoints.resources import CallAccepted, CallResource, EventResource, Message
from edge.entrypoints.scopes import PREFIX, CallRoute, CreateRoute, ReadRoute, create_router, key_of
from records.decisions import ExplainedDecision

read_router = create_router(ReadRoute, "/calls", "Calls")
create_call_router = create_router(CreateRoute, "/calls", "Calls")
call_router = create_router(CallRoute, "/calls", "Calls")


async def _calls(request: Request) -> Calls:
    calls: Calls = request.app.state.calls
    return calls


CallsDependency = Annotated[Calls, Depends(_calls)]


@create_call_router.post("/", include_in_schema=False, status_code=201, response_model=CallResource)
@create_call_router.post(
    "",
    status_code=201,
    response_model=CallResource,
    response_description="The call; Location is its address",
    responses={202: {"model": CallAccepted, "description": "Stored, not yet decided"}, **problems(409, 413)},
)
async def create_call(
    http_request: Request,
    request: CallRequested,
    response: Response,
    idempotency_key: Annotated[
        RequestId | None,
        Header(alias="Idempotency-Key", description="the request's identity if the body has no request_id"),
    ] = None,
) -> CallResource | JSONResponse:
    """Creates a call. The same request id again returns the same call; with another body it is refused (409).

    A request id is known as long as the log has its call: at least 7 days after its end.

    After a 202, the call is not found (404) until the request is decided, and for good if it is refused then. The same
    request again, with its request id, is answered with the call, or with the reason why it is refused now. The audit
    log has the reason of the first refusal.
    """
    request_id = request.request_id or idempotency_key or str(uuid_utils.uuid7())
    acts: Acts = http_request.app.state.acts
    stored = await acts.create(key_of(http_request), request, request_id)
    location = f"{PREFIX}/calls/{stored.call_id}"
    if stored.details is None:
        accepted = CallAccepted(id=stored.call_id, request_id=request_id)
        return JSONResponse(accepted.model_dump(mode="json"), 202, {"Location": location})
    response.headers["Location"] = location
    return CallResource.of(stored.details)


@read_router.get("/metrics", response_model=CallMetrics, responses=problems(404))
async def call_metrics(
    calls: CallsDependency,
    campaign_id: Annotated[CampaignId | None, Query(description="default: all campaigns")] = None,
) -> CallMetrics:
    """Returns the counters of a campaign's calls, as campaign-stats has projected them."""
    return CallMetrics.of(await calls.statistics(campaign_id))


@read_router.get("/by-request/{request_id:path}", response_model=CallResource, responses=problems(404))
async def call_by_request(calls: CallsDependency, request_id: RequestId) -> CallResource:
    """Returns the call of a request."""
    return CallResource.of(await calls.get(call_id_of(request_id)))


@read_router.get("/{call_id:uuid}", response_model=CallResource, responses=problems(404))
async def get_call(calls: CallsDependency, call_id: UUID) -> CallResource:
    """Returns a call."""
    return CallResource.of(await calls.get(call_id))


@read_router.get("/{call_id:uuid}/decisions", response_model=list[ExplainedDecision], responses=problems(404))
async def call_decisions(calls: CallsDependency, call_id: UUID) -> list[ExplainedDecision]:
    """Returns why the call was dialled, delayed or ended: each decision with its reason, oldest first."""
    return [ExplainedDecision.of(stored) for stored in await calls.decisions(call_id)]


@read_router.get("/{call_id:uuid}/events", response_model=list[EventResource], responses=problems(404))
async def call_events(request: Request, call_id: UUID) -> list[EventResource]:
    """Returns the call's events of all services, oldest first. They contain what was spoken, so reading is audited.

    A contact whose call was refused has one event, with the reason.
    """
    acts: Acts = request.app.state.acts
    return [EventResource.of(stored) for stored in await acts.read_events(key_of(request), call_id)]


async def _reply(request: Request, call_id: UUID, body: Message) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yields the reply's audio; closed when the response is sent or the client disconnects."""
    dialogue: DialogueService = request.app.state.dialogue
    acts: Acts = request.app.state.acts
    async with AsyncExitStack() as stack:
        sending = dialogue.send_text(call_id, body.message)
        yield await acts.send_text(key_of(request).name, call_id, lambda: stack.enter_async_context(sending))


@call_router.post(
    "/{call_id:uuid}/response",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The reply, streamed while it is synthesized", "content": {"audio/mpeg": {}}},
        **problems(404, 409, 502),
    },
)
async def respond(reply: Annotated[AsyncIterator[bytes], Depends(_reply)]) -> Response:
    """Sends text in place of the callee's speech, on a call in progress, and returns the spoken reply."""
    return ReadInTime(StreamingResponse(reply, media_type="audio/mpeg"))
