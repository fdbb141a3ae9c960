"""Answers requests over NATS: when people may be called, and what admission has granted."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from faststream.nats import NatsResponse, NatsRouter
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from call_orchestrator.application.admission_view import AdmissionView, NotRead
from call_orchestrator.application.callback_times import CallbackTimesService
from call_orchestrator.application.calling_times import CallingTimesService
from chassis.event_log import UnreadableEvent
from chassis.subscriptions import body_of
from contracts import Service, reasons_of
from contracts.callback_times import CallbackTime, CallbackTimeQuery
from contracts.queries import AdmissionQuery, AdmissionState, CallingTimes, CallingTimesQuery

logger = structlog.get_logger()

_Query = TypeVar("_Query", bound=BaseModel)
_Answer = TypeVar("_Answer", bound=BaseModel)


def build_router(
    calling_times: CallingTimesService, callback_times: CallbackTimesService, admission: AdmissionView
) -> NatsRouter:
    """Returns a router with the subscribers in a queue group: any replica answers.

    A repeated request is harmless, because it only reads. An error has an empty body and the headers
    ``Nats-Service-Error-Code`` and ``Nats-Service-Error`` of NATS services (ADR-32 of nats-architecture-and-design).
    """
    router = NatsRouter()

    @router.subscriber(CallingTimesQuery.subject, queue=Service.ORCHESTRATOR.value, max_workers=16, decoder=body_of)
    async def answer_calling_times(body: bytes) -> CallingTimes | NatsResponse:
        return await _answer(calling_times.handle, CallingTimesQuery, body)

    @router.subscriber(CallbackTimeQuery.subject, queue=Service.ORCHESTRATOR.value, max_workers=16, decoder=body_of)
    async def answer_callback_time(body: bytes) -> CallbackTime | NatsResponse:
        return await _answer(callback_times.handle, CallbackTimeQuery, body)

    @router.subscriber(AdmissionQuery.subject, queue=Service.ORCHESTRATOR.value, max_workers=4, decoder=body_of)
    async def answer_admission(body: bytes) -> AdmissionState | NatsResponse:
        try:
            return admission.handle(AdmissionQuery.model_validate_json(body or b"{}"))
        except ValidationError as error:
            return _error("400", "; ".join(reasons_of(error)))
        except NotRead:
            return _error("503", "call-orchestrator has not read the log yet")

    return router


async def _answer(
    handle: Callable[[_Query], Awaitable[_Answer]], query: type[_Query], body: bytes
) -> _Answer | NatsResponse:
    """Returns the answer to a query that reads the log, or the error."""
    try:
        return await handle(query.model_validate_json(body))
    except ValidationError as error:
        return _error("400", "; ".join(reasons_of(error)))
    except UnreadableEvent as error:
        return _error("503", f"this build cannot decode message {error.sequence} of {error.stream}")
    except (NatsError, TimeoutError) as error:
        return _error("503", f"the log could not be read: {type(error).__name__}")
    except Exception:
        logger.exception("query_failed", query=query.__name__)
        return _error("500", "the query failed; see the log of call-orchestrator")


def _error(code: str, reason: str) -> NatsResponse:
    return NatsResponse(b"", headers={"Nats-Service-Error-Code": code, "Nats-Service-Error": reason})
