"""Twilio's webhooks. What they say is in the log before they are answered; 503 makes Twilio ask again."""

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException

from chassis import tracing
from edge.application.errors import UnknownCall
from edge.application.line import Line
from edge.entrypoints import twilio_forms
from edge.entrypoints.openapi import problems
from edge.entrypoints.problems import problem
from edge.ports import Prompt, Telephone, Unavailable

WEBHOOKS = Counter("centralita_webhooks_total", "Webhooks of the telephone provider", ["kind", "result"])
SECONDS = Histogram("centralita_webhook_seconds", "Time to answer a webhook", ["kind"])
SIGNATURE = "X-Twilio-Signature"

logger = structlog.get_logger()


class Webhook(APIRoute):
    """A route that answers only what Twilio has signed, and counts what became of it. `name` is the kind."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the endpoint (FastAPI's documented way): the signature is checked before anything is parsed."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            begun, result = time.perf_counter(), "error"
            structlog.contextvars.bind_contextvars(call_id=str(request.path_params["call_id"]))
            try:
                if not await _is_genuine(request):
                    result = "forged"
                    logger.warning("webhook_forged", kind=self.name)
                    return problem(403, f"{SIGNATURE} is missing or wrong", kind="forged")
                with tracing.span(f"POST /twilio/{self.name}", tracing.SERVE, await _trace_of(request)):
                    response = await handle(request)
                result = "answered"
                return response
            except UnknownCall:
                result = "unknown_call"
                logger.warning("webhook_for_unknown_call", kind=self.name)
                raise
            except (HTTPException, RequestValidationError):
                result = "invalid"
                raise
            except Unavailable as error:
                result = "unavailable"
                logger.warning("webhook_not_stored", kind=self.name, reason=str(error))
                raise
            finally:
                WEBHOOKS.labels(kind=self.name, result=result).inc()
                SECONDS.labels(kind=self.name).observe(time.perf_counter() - begun)

        return checked


async def _trace_of(request: Request) -> str | None:
    """Webhooks bring no trace along; that of the call's last event goes on."""
    line: Line = request.app.state.line
    return await line.traceparent(UUID(str(request.path_params["call_id"]))) if tracing.on() else None


async def _is_genuine(request: Request) -> bool:
    query = request.scope["query_string"].decode("latin-1")
    target = request.scope["path"] + (f"?{query}" if query else "")
    telephone: Telephone = request.app.state.telephone
    return telephone.is_genuine(target, await _form(request), request.headers.get(SIGNATURE))


async def _form(request: Request) -> ImmutableMultiDict[str, str]:
    """The fields that Twilio signs, the empty ones too; it sends no multipart form, so none is understood."""
    return ImmutableMultiDict(parse_qsl((await request.body()).decode("latin-1"), keep_blank_values=True))


def _line(request: Request) -> Line:
    line: Line = request.app.state.line
    return line


Form = Annotated[Mapping[str, str], Depends(_form)]
TheLine = Annotated[Line, Depends(_line)]

router = APIRouter(
    prefix="/twilio",
    tags=["Twilio"],
    route_class=Webhook,
    responses=problems(403, 404, 422, 503),
)
FORM = {
    "requestBody": {
        "description": "what Twilio sends with the request",
        "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
    }
}
TWIML: dict[int | str, dict[str, Any]] = {200: {"description": "TwiML", "content": {"application/xml": {}}}}


def _twiml(request: Request, prompt: Prompt | None) -> Response:
    telephone: Telephone = request.app.state.telephone
    document = telephone.prompt(prompt) if prompt else telephone.hang_up()
    return Response(document, media_type="application/xml")


@router.post(
    "/voice/{call_id:uuid}/{attempt:int}", name="voice", response_class=Response, responses=TWIML, openapi_extra=FORM
)
async def voice(request: Request, call_id: UUID, attempt: int, form: Form, line: TheLine) -> Response:
    """The callee has picked up: the greeting is played and the first turn listened for."""
    return _twiml(request, await line.answered(*twilio_forms.answer_reported(call_id, attempt, form)))


@router.post(
    "/gather/{call_id:uuid}/{attempt:int}/{turn:int}",
    name="gather",
    response_class=Response,
    responses=TWIML,
    openapi_extra=FORM,
)
async def gather(
    request: Request,
    call_id: UUID,
    attempt: int,
    turn: int,
    form: Form,
    line: TheLine,
    said: Annotated[bool, Query(description="the reply before this was said in Twilio's voice")] = False,
) -> Response:
    """The callee has spoken, or has been silent: the reply is played as it is made, and the next turn listened for."""
    return _twiml(request, await line.heard(twilio_forms.heard(call_id, attempt, turn, said, form)))


@router.post(
    "/say/{call_id:uuid}/{attempt:int}/{turn:int}",
    name="say",
    response_class=Response,
    responses=TWIML,
    openapi_extra=FORM,
)
async def say(
    request: Request,
    call_id: UUID,
    attempt: int,
    turn: int,
    form: Form,
    line: TheLine,
    sentence: Annotated[int, Query(alias="from", ge=0, description="the first sentence that is said")] = 0,
) -> Response:
    """Voice could not speak this turn, or not all of it, and has sent the call here: it is said in Twilio's voice."""
    return _twiml(request, await line.say(call_id, attempt, turn, sentence))


@router.post("/status/{call_id:uuid}/{attempt:int}", name="status", status_code=204, openapi_extra=FORM)
async def status(call_id: UUID, attempt: int, form: Form, line: TheLine) -> None:
    """What the telephone network reports of the attempt."""
    await line.report(*twilio_forms.status_reported(call_id, attempt, form))


@router.post("/amd/{call_id:uuid}/{attempt:int}", name="amd", status_code=204, openapi_extra=FORM)
async def amd(call_id: UUID, attempt: int, form: Form, line: TheLine) -> None:
    """Answering-machine detection has come to a result."""
    await line.report(*twilio_forms.answer_classified(call_id, attempt, form))
