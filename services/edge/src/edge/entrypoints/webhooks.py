"""The telephone provider's webhooks.

A webhook is answered once its event is in the log. The answer 503 makes the provider repeat the webhook.
"""

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chassis import tracing
from chassis.path_numbers import MAX_PATH_NUMBER
from edge.application.dialogue import DialogueService
from edge.application.errors import UnknownCall
from edge.application.streams import answer_in_time
from edge.application.transfers import Transfers
from edge.domain.occurrences import MessageAwaited, RemainderReported, StreamEnded, UtteranceReceived
from edge.entrypoints.openapi import problems
from edge.entrypoints.problems import problem
from edge.entrypoints.transfer_webhooks import add_transfer_routes
from edge.entrypoints.webhook_requests import FORM_BODY, Attempt, Turn, form_of, instruction_options, rendering
from edge.metrics import WEBHOOK_SECONDS, WEBHOOKS
from edge.ports import Unavailable
from telephony.provider import Form, InvalidProviderData, WebhookProvider
from telephony.routes import (
    AFTER_SEQUENCE,
    AFTER_SPOKEN_TEXT,
    FINISHED,
    FIRST_SENTENCE,
    MAX_SEQUENCE,
    REPETITION,
    Webhook,
)

logger = structlog.get_logger()

MAX_FIELDS = 200
"""The fields of one form; the provider sends about 40."""
MAX_BODY_SECONDS = 5.0
"""How long the body of a webhook may take. The sender is not known before its end."""

AfterSequence = Annotated[
    int,
    Query(
        alias=AFTER_SEQUENCE, ge=0, le=MAX_SEQUENCE, description="the sequence of the turn's `speech.heard`; 0: unknown"
    ),
]


def build_router(provider: WebhookProvider, dialogue: DialogueService, transfers: Transfers) -> APIRouter:
    """Returns the routes of every `telephony.routes.Webhook`, below the provider's prefix."""
    router = APIRouter(
        prefix=provider.prefix,
        tags=["Webhooks"],
        route_class=_Receiver(provider, dialogue).route_class(),
        responses=problems(400, 403, 404, 408, 413, 422, 503),
    )
    _add_report_routes(router, provider, dialogue)
    _add_instruction_routes(router, provider, dialogue)
    _add_continuation_routes(router, provider, dialogue)
    add_transfer_routes(router, provider, dialogue, transfers)
    return router


def _add_report_routes(router: APIRouter, provider: WebhookProvider, dialogue: DialogueService) -> None:
    """Adds the webhooks that are answered without content."""
    options: dict[str, Any] = {"status_code": 204, "response_class": Response, "openapi_extra": FORM_BODY}

    @router.post(Webhook.STATUS.template, name=Webhook.STATUS, **options)
    async def status(request: Request, call_id: UUID, attempt: Attempt) -> Response:
        """The status of the attempt has changed."""
        await dialogue.record(provider.parse_status(call_id, attempt, form_of(request)))
        return Response(status_code=204)

    @router.post(Webhook.CLASSIFICATION.template, name=Webhook.CLASSIFICATION, **options)
    async def classification(request: Request, call_id: UUID, attempt: Attempt) -> Response:
        """Answering-machine detection has finished."""
        await dialogue.record(provider.parse_classification(call_id, attempt, form_of(request)))
        return Response(status_code=204)


def _add_instruction_routes(router: APIRouter, provider: WebhookProvider, dialogue: DialogueService) -> None:
    """Adds the webhooks that report what happened on the line, and are answered with the next instruction."""
    options, render = instruction_options(provider), rendering(provider)

    @router.post(Webhook.ANSWERED.template, name=Webhook.ANSWERED, **options)
    async def answered(request: Request, call_id: UUID, attempt: Attempt) -> Response:
        """The callee has answered: the greeting is played."""
        return render(await dialogue.answer(provider.parse_answer(call_id, attempt, form_of(request))), request)

    @router.post(Webhook.UTTERANCE.template, name=Webhook.UTTERANCE, **options)
    async def utterance(
        request: Request,
        call_id: UUID,
        attempt: Attempt,
        turn: Turn,
        is_after_spoken_text: Annotated[
            bool, Query(alias=AFTER_SPOKEN_TEXT, description="the provider's own voice spoke before the callee did")
        ] = False,
        after: AfterSequence = 0,
    ) -> Response:
        """The callee has spoken or stayed silent: the reply is played while it is synthesized."""
        utterance = provider.parse_utterance(turn, form_of(request))
        received = UtteranceReceived(attempt, turn, utterance, is_after_spoken_text, after)
        return render(await dialogue.respond(call_id, received), request)

    @router.post(Webhook.MESSAGE.template, name=Webhook.MESSAGE, **options)
    async def message(
        request: Request,
        call_id: UUID,
        attempt: Attempt,
        is_finished: Annotated[
            bool, Query(alias=FINISHED, description="the message was played to its end, or to where its audio ended")
        ] = False,
        is_after_spoken_text: Annotated[
            bool, Query(alias=AFTER_SPOKEN_TEXT, description="the provider's own voice spoke the message")
        ] = False,
    ) -> Response:
        """A machine answered: the message to it is played, and the line is closed after it."""
        report = provider.parse_message(call_id, attempt, form_of(request), is_finished=is_finished)
        awaited = MessageAwaited(attempt, is_finished, is_after_spoken_text)
        return render(await dialogue.leave_message(report, awaited), request)


def _add_continuation_routes(router: APIRouter, provider: WebhookProvider, dialogue: DialogueService) -> None:
    """Adds the webhooks by which a call goes on after its audio has ended early."""
    options, render = instruction_options(provider), rendering(provider)

    @router.post(Webhook.STREAM_ENDED.template, name=Webhook.STREAM_ENDED, **options)
    async def stream_ended(
        request: Request,
        call_id: UUID,
        attempt: Attempt,
        generation: Annotated[int, Path(ge=1, le=MAX_PATH_NUMBER, description="streams count from 1 in each attempt")],
        repetition: Annotated[
            int, Query(alias=REPETITION, ge=0, le=MAX_PATH_NUMBER, description="how often this was asked before")
        ] = 0,
    ) -> Response:
        """A media stream has ended: another one is opened, the conversation goes on in turns, or the call ends."""
        ended = StreamEnded(attempt, generation, repetition)
        return render(await answer_in_time(dialogue.respond(call_id, ended), call_id, ended), request)

    @router.post(Webhook.REMAINDER.template, name=Webhook.REMAINDER, **options)
    async def remainder(
        request: Request,
        call_id: UUID,
        attempt: Attempt,
        turn: Annotated[int, Path(ge=0, le=MAX_PATH_NUMBER, description="0: the greeting")],
        sentence: Annotated[
            int, Query(alias=FIRST_SENTENCE, ge=0, le=MAX_PATH_NUMBER, description="the first sentence to speak")
        ] = 0,
        after: AfterSequence = 0,
    ) -> Response:
        """Voice could not synthesize the rest of this turn: the provider's own voice speaks it."""
        reported = RemainderReported(attempt, turn, sentence, after)
        return render(await dialogue.respond(call_id, reported), request)


async def _parse_form(request: Request) -> Form:
    """Returns all signed fields, including empty ones. Providers send no multipart forms, so none is parsed."""
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            text = (await request.body()).decode("latin-1")
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not arrive within {MAX_BODY_SECONDS:g} s") from error
    try:
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(400, f"the form has more than {MAX_FIELDS} fields") from error


class _Receiver:
    """Handles a webhook only if the provider has signed it, and counts the results."""

    def __init__(self, provider: WebhookProvider, dialogue: DialogueService) -> None:
        self._provider = provider
        self._dialogue = dialogue

    def route_class(self) -> type[APIRoute]:
        """Returns the class of the routes. FastAPI documents them; each request is handled here.

        FastAPI would parse nothing of a webhook but its path and its query, in two thirds of the time of the request.
        """
        receiver = self

        class SignedWebhook(APIRoute):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self.app = self._serve

            async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
                response = await receiver.receive(self, Request(scope, receive))
                await response(scope, receive, send)

        return SignedWebhook

    async def receive(self, route: APIRoute, request: Request) -> Response:
        """Returns the answer to a webhook."""
        started_at, result, kind = time.perf_counter(), "error", route.name
        structlog.contextvars.bind_contextvars(call_id=str(request.path_params["call_id"]))
        try:
            if not await self._is_authentic(request):
                result = "forged"
                logger.warning("webhook_forged", kind=kind)
                return problem(403, f"{self._provider.signature_header} is missing or wrong", kind="forged")
            response = await self._handle(route, request)
            result = "answered"
            return response
        except UnknownCall:
            result = "unknown_call"
            logger.warning("webhook_for_unknown_call", kind=kind)
            raise
        except (HTTPException, RequestValidationError):
            result = "invalid"
            raise
        except Unavailable as error:
            result = "unavailable"
            logger.warning("webhook_not_stored", kind=kind, reason=str(error))
            raise
        finally:
            WEBHOOKS.labels(kind=kind, result=result).inc()
            WEBHOOK_SECONDS.labels(kind=kind).observe(time.perf_counter() - started_at)

    async def _handle(self, route: APIRoute, request: Request) -> Response:
        """Handles an authentic webhook. It carries no trace, so the trace of the call's last event continues."""
        call_id: UUID = request.path_params["call_id"]
        parent = await self._dialogue.read_traceparent(call_id) if tracing.is_enabled() else None
        with tracing.span(f"POST {self._provider.prefix}/{route.name}", tracing.SERVE, parent):
            try:
                response: Response = await route.endpoint(request, **_parse_parameters(route, request))
                return response
            except InvalidProviderData as error:
                raise HTTPException(422, str(error)) from error

    async def _is_authentic(self, request: Request) -> bool:
        """Whether the provider has signed the request. Does not read the body of a request without a signature."""
        signature = request.headers.get(self._provider.signature_header)
        if not signature:
            return False
        query = request.scope["query_string"].decode("latin-1")
        target = request.scope["path"] + (f"?{query}" if query else "")
        request.state.form = await _parse_form(request)
        return self._provider.is_authentic(target, request.state.form, signature)


def _parse_parameters(route: APIRoute, request: Request) -> dict[str, Any]:
    """Returns the parameters that the route declares. Raises RequestValidationError."""
    declared, errors, values = route.dependant, [], {}
    places = (
        ("path", declared.path_params, request.path_params),
        ("query", declared.query_params, request.query_params),
    )
    for place, parameters, given in places:
        for parameter in parameters:
            name = parameter.alias
            if name in given:
                values[parameter.name], found = parameter.validate(given[name], loc=(place, name))
                errors += found
            else:  # only a parameter of the query can be absent, and each of them has a default
                values[parameter.name] = parameter.get_default()
    if errors:
        raise RequestValidationError(errors)
    return values
