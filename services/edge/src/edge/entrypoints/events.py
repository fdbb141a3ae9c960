"""The REST API of live events, as server-sent events (HTML standard, section 9.2), under ``/api/v1/events``."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import structlog
from anyio import BrokenResourceError
from fastapi import Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from chassis.slow_readers import ReadInTime
from contracts import CampaignId
from edge.application.calls import Calls
from edge.application.errors import CampaignNotAllowed, TooOld, UnknownCall
from edge.application.event_streams import EventSelection, EventStreams, OpenStream
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.openapi import problems
from edge.entrypoints.resources import EventResource
from edge.entrypoints.scopes import ReadRoute, create_router, key_of
from edge.ports import Unavailable

logger = structlog.get_logger()


class StreamRoute(ReadRoute):
    """A route of streams. Its call, or its campaign, is in the query."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the response with the limit of its time to send."""
        handle = super().get_route_handler()

        async def respond(request: Request) -> Response:
            return ReadInTime(await handle(request))

        return respond

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request. FastAPI closes the queue of events before it ends the task that fills it."""
        try:
            await super().handle(scope, receive, send)
        except* BrokenResourceError:
            logger.info("event_stream_closed_while_events_waited")

    async def check_campaign(self, request: Request) -> None:
        """As for any read; the campaign of a call is looked up."""
        key, named = key_of(request), request.query_params.getlist("call_id")
        if key.campaigns is None or not named:
            await super().check_campaign(request)
            return
        calls: Calls = request.app.state.calls
        for text in named:
            try:
                call_id = UUID(text)
            except ValueError:
                raise CampaignNotAllowed(key) from None
            if not key.may_reach(await calls.campaign_of(call_id)):
                raise UnknownCall(call_id)


router = create_router(StreamRoute, "/events", "Events")


async def _events(
    request: Request,
    campaign_id: Annotated[CampaignId | None, Query(description="only the decisions of this campaign")] = None,
    call_id: Annotated[UUID | None, Query(description="all events of this call, from its first one on")] = None,
    last_event_id: Annotated[
        int | None,
        Header(alias="Last-Event-ID", ge=0, le=MAX_SEQUENCE, description="continue after the event with this id"),
    ] = None,
) -> AsyncIterator[OpenStream]:
    """Yields the stream, whose events are closed when the client disconnects."""
    if call_id and campaign_id:
        raise _invalid(("query", "campaign_id"), "give call_id or campaign_id, not both")
    streams: EventStreams = request.app.state.event_streams
    selection = EventSelection(call_id=call_id, campaign_id=campaign_id)
    try:
        async with streams.open(key_of(request), selection, last_event_id) as stream, aclosing(stream.events):
            yield stream
    except TooOld as error:
        raise _invalid(("header", "Last-Event-ID"), str(error)) from error


def _invalid(location: tuple[str, str], message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": location, "msg": message}])


@router.get("", response_class=EventSourceResponse, responses=problems(404))
async def stream_events(
    stream: Annotated[OpenStream, Depends(_events)],
) -> AsyncIterator[ServerSentEvent]:
    """Streams events as they are stored. The `id` is the sequence in the log, the `data` as in `/calls/{id}/events`.

    With `call_id`: all events of the call, from its first one on. They contain what was spoken, so the read is audited.
    Otherwise the decisions `call.*` and `campaign.*` from now on, of one campaign or of all. To continue after a lost
    connection, send the last `id` in `Last-Event-ID`, as browsers do. Without `call_id`, at most 100,000 messages of
    the log may follow it.

    It begins with an `id` alone, so that a client can continue before it has received an event.

    The stream ends after an hour, and when its client reads too slowly. Connect again to continue.
    """
    yield ServerSentEvent(id=str(stream.after_sequence), comment="the events after this one follow")
    try:
        async for event in stream.events:
            resource = EventResource.of(event)
            yield ServerSentEvent(id=str(resource.sequence), event=resource.type, data=resource)
    except Unavailable as error:  # the answer has begun: it ends, and the client connects again
        logger.warning("event_stream_interrupted", reason=str(error))
