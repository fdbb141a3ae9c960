"""Every error as a problem document (RFC 9457), without internal details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.application.archived_calls import ArchivedCalls
from edge.application.errors import (
    AmbiguousContact,
    CampaignNotAllowed,
    ContactCapReached,
    DailyCapReached,
    ImportInterrupted,
    KeyReused,
    MissingScope,
    NotForLimitedKeys,
    NotInProgress,
    Refused,
    RetriesExhausted,
    TooManyImports,
    TooManyReads,
    TooManyStreams,
    Unacceptable,
    UnknownCall,
    UnknownCampaign,
    UnknownContact,
    UnknownDeadLetter,
)
from edge.metrics import REFUSED
from edge.ports import BacklogFull, SpeechUnavailable, TooLarge, Unavailable

logger = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"
MAX_ERRORS = 20
"""How many wrong fields an answer names. A body may have tens of thousands of unknown fields."""
INVALID = "the request is not valid; see errors"


class FieldError(BaseModel):
    """One wrong field."""

    field: str = Field(examples=["phone_number"])
    message: str = Field(examples=["not in E.164: write + and digits only, such as +12125550123"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(default="about:blank", description="the kind of problem; about:blank: the status says it")
    title: str
    status: int
    detail: str | None = Field(default=None, description="what happened, and what to do")
    errors: list[FieldError] | None = Field(default=None, description="the wrong fields")


def problem(
    status: int,
    detail: str | None = None,
    *,
    kind: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Returns the document as a response; `kind` is the last part of its ``type``."""
    document = Problem(
        type=f"urn:centralita:problem:{kind}" if kind else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=list(errors) or None,
    )
    return JSONResponse(document.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


def _refusal(error: Refused) -> JSONResponse:
    pairs = (reason.partition(": ") for reason in error.reasons)
    errors = [FieldError(field=name, message=text) for name, colon, text in pairs if colon and name.isidentifier()]
    if isinstance(error, RetriesExhausted):
        return problem(400, str(error), kind="retries-exhausted", errors=errors)
    if isinstance(error, Unacceptable):
        detail = INVALID if len(errors) == len(error.reasons) else str(error)
        return problem(422, detail, kind="invalid", errors=errors)
    return problem(409, str(error), kind="refused", errors=errors)


def _invalid(error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    errors = [
        FieldError(field=_field(one["loc"]), message=one["msg"].removeprefix("Value error, "))
        for one in found[:MAX_ERRORS]
    ]
    detail = INVALID if len(found) <= MAX_ERRORS else f"{INVALID}; the first {MAX_ERRORS} of {len(found)}"
    return problem(422, detail, kind="invalid", errors=errors)


def _field(location: Sequence[str | int]) -> str:
    """Returns the field's name without its part (body, query, header), or the part if all of it is wrong."""
    part, *names = location
    if part == "body" and names and isinstance(names[0], int):  # the offset of the JSON error
        names = []
    return ".".join(str(name) for name in names) or str(part)


def _http(error: HTTPException) -> JSONResponse:
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return problem(error.status_code, detail, headers=error.headers)


def problem_of(error: Exception) -> JSONResponse:
    """Returns the document of an error; for an unexpected error, one without details."""
    match error:
        case UnknownCall():
            return _unknown_call(str(error))
        case UnknownCampaign():
            return problem(404, str(error), kind="unknown-campaign")
        case UnknownContact():
            return problem(404, str(error), kind="unknown-contact")
        case UnknownDeadLetter():
            return problem(404, str(error), kind="unknown-dead-letter")
        case AmbiguousContact():
            errors = [FieldError(field="contact_id", message="names several numbers")]
            return problem(409, str(error), kind="ambiguous-contact", errors=errors)
        case NotForLimitedKeys():
            return problem(403, str(error), kind="limited-key")
        case CampaignNotAllowed():
            errors = [FieldError(field="campaign_id", message="name one of these campaigns")]
            return problem(403, str(error), kind="campaign-not-allowed", errors=errors)
        case DailyCapReached():
            return problem(429, str(error), kind="daily-cap", headers={"Retry-After": str(error.seconds)})
        case ContactCapReached():
            errors = [FieldError(field=error.field, message=str(error.line))]
            headers = {"Retry-After": str(error.seconds)}
            return problem(429, str(error), kind="daily-cap", errors=errors, headers=headers)
        case BacklogFull():
            return _at_limit(error, "backlog-full")
        case TooManyStreams():
            return _at_limit(error, "too-many-streams")
        case TooManyReads(seconds=seconds):
            REFUSED.labels(reason="too_many").inc()
            return problem(429, str(error), kind="too-many-requests", headers={"Retry-After": str(seconds)})
        case TooManyImports():
            return _at_limit(error, "too-many-imports")
        case MissingScope():
            return problem(403, str(error), kind="missing-scope")
        case Refused():
            return _refusal(error)
        case KeyReused():
            errors = [FieldError(field=name, message="differs from the first request") for name in error.fields]
            return problem(409, str(error), kind="key-reused", errors=errors)
        case NotInProgress():
            return problem(409, str(error), kind="not-in-progress")
        case TooLarge():
            return problem(413, "shorten script_template, variables or metadata", kind="too-large")
        case SpeechUnavailable():
            return problem(502, "voice has no audio for this turn", kind="no-speech")
        case ImportInterrupted():
            errors = [FieldError(field="from_line", message=str(error.line))]
            headers = {"Retry-After": RETRY_AFTER_SECONDS}
            return problem(503, str(error), kind="import-interrupted", errors=errors, headers=headers)
        case Unavailable():
            headers = {"Retry-After": RETRY_AFTER_SECONDS}
            return problem(503, f"try again later: {error}", kind="unavailable", headers=headers)
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _http(error)
    return problem(500, "an internal error, which has been logged")


def _at_limit(error: Exception, kind: str) -> JSONResponse:
    """Returns the document of a request that is refused because a limit of the process is reached, and counts it."""
    REFUSED.labels(reason=kind.replace("-", "_")).inc()
    return problem(429, str(error), kind=kind, headers={"Retry-After": RETRY_AFTER_SECONDS})


def _unknown_call(detail: str) -> JSONResponse:
    return problem(404, detail, kind="unknown-call")


async def _handle(request: Request, error: Exception) -> Response:
    if isinstance(error, UnknownCall) and error.reason is None:
        archived: ArchivedCalls = request.app.state.archived_calls
        return _unknown_call(f"{error}{await archived.hint(error.call_id)}")
    if isinstance(error, SpeechUnavailable):  # the reason is for the operator, not for the client
        logger.warning("speech_unavailable", reason=str(error))
    return problem_of(error)


EXPECTED: tuple[type[Exception], ...] = (
    UnknownCall,
    UnknownCampaign,
    UnknownContact,
    UnknownDeadLetter,
    AmbiguousContact,
    CampaignNotAllowed,
    ContactCapReached,
    DailyCapReached,
    BacklogFull,
    TooManyStreams,
    TooManyReads,
    TooManyImports,
    MissingScope,
    Refused,
    KeyReused,
    NotInProgress,
    TooLarge,
    SpeechUnavailable,
    Unavailable,
    RequestValidationError,
    HTTPException,
)


def install(app: FastAPI) -> None:
    """Turns every error of `app` into a problem document. The server also logs unexpected errors."""
    for kind in (*EXPECTED, Exception):
        app.add_exception_handler(kind, _handle)
