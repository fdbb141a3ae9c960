"""Acts on calls, on one or on the selected ones of a list: confirmed on a page of their own, then reported per call.

The page that asks has an address and changes nothing. The confirmation is a POST, and is answered with the address of
the report, so loading that again does not act again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.act_reports import MAX_REASON_LENGTH, Report, ReportLine, is_report_id
from centralita_console.authentication import Api, PostedForm
from centralita_console.pages.calls import PAGE
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure, Unreachable, within_limit
from centralita_console.sessions import Session
from contracts import RETRYABLE_STATUSES, CallStatus

T = TypeVar("T")

router = APIRouter()
MAX_CALLS = PAGE
"""Calls of one form: those of one page of the list."""
MAX_PARALLEL = 8
"""Requests at a time. The REST API waits up to five seconds for the decision on each."""


class Act(StrEnum):
    """What a person may do to calls. The values are the names in the REST API."""

    CANCEL = "cancel"
    RETRY = "retry"
    INITIATE = "initiate"

    def is_possible(self, status: str) -> bool:
        """Whether calls with this status accept the act, as a rule; the REST API decides."""
        match self:
            case Act.CANCEL:
                return not CallStatus(status).is_final
            case Act.RETRY:
                return status in RETRYABLE_STATUSES
            case Act.INITIATE:
                return status == CallStatus.PENDING


@router.get("/calls/acts/{report_id}")
async def show_report(request: Request, _: Api, report_id: str) -> Response:
    """Shows what became of an act on each of its calls."""
    report = _session(request).reports.find(report_id)
    if report is None:
        raise HTTPException(404)
    return render(request, "act_report.html", report=report)


@router.get("/calls/{act}")
async def ask(request: Request, api: Api, act: Act, call: Annotated[list[str] | None, Query()] = None) -> Response:
    """Asks whether the act on the selected calls is meant, and shows which of them do not permit it."""
    call_ids, problem = _parsed(call or ())
    found = await _each(call_ids, lambda one: _found(api, act, one))
    return render(
        request,
        "act.html",
        422 if problem else 200,
        act=act,
        report_id=secrets.token_urlsafe(24),
        possible=[one for one in found if not one["refusal"]],
        impossible=[one for one in found if one["refusal"]],
        problem=problem,
        max_calls=MAX_CALLS,
    )


@router.post("/calls/{act}")
async def confirm(request: Request, fields: PostedForm, api: Api, act: Act) -> Response:
    """Acts on the calls of a form, once, and continues with the report."""
    call_ids, problem = _parsed(fields.get("calls", "").split())
    report_id = fields.get("report_id", "")
    if problem or not is_report_id(report_id):
        return render(request, "error.html", 422, kind="invalid", detail="calls, report_id", url="", retry_after="")
    report = Report(act, len(call_ids))
    if _session(request).reports.begin(report_id, report):
        try:
            report.lines = await _each(call_ids, lambda one: _line(api, act, one))
        finally:
            report.is_finished = True
    return RedirectResponse(f"/calls/acts/{report_id}", 303)


def _session(request: Request) -> Session:
    session: Session = request.state.session
    return session


def _parsed(texts: Iterable[str]) -> tuple[list[UUID], str]:
    """Returns the ids of calls, each once, and what is wrong with them: `none`, `many` or `invalid`."""
    try:
        call_ids = list(dict.fromkeys(UUID(text) for text in texts))
    except ValueError:
        return [], "invalid"
    if len(call_ids) > MAX_CALLS:
        return [], "many"
    return call_ids, "" if call_ids else "none"


async def _each(call_ids: list[UUID], work: Callable[[UUID], Awaitable[T]]) -> list[T]:
    """Returns the results for all calls, in their order, a few at a time."""
    permits = asyncio.Semaphore(MAX_PARALLEL)

    async def one(call_id: UUID) -> T:
        async with permits:
            return await work(call_id)

    return list(await asyncio.gather(*(one(call_id) for call_id in call_ids)))


async def _found(api: RestClient, act: Act, call_id: UUID) -> dict[str, Any]:
    """Returns a call and why it does not permit the act: `status`, or the reason of the REST API."""
    try:
        call = await within_limit(lambda: api.get(f"/calls/{call_id}"))
    except RestFailure as failure:
        if failure.status == 401:
            raise
        return {"id": str(call_id), "refusal": failure.detail[:MAX_REASON_LENGTH]}
    return {**call, "refusal": "" if act.is_possible(call["status"]) else "status"}


async def _line(api: RestClient, act: Act, call_id: UUID) -> ReportLine:
    """Acts on one call. It raises nothing: the report has the other calls. The REST API audits refused acts, too."""
    try:
        answer: Mapping[str, Any] = await within_limit(lambda: api.post(f"/calls/{call_id}/{act}", {}))
    except RestFailure as failure:
        is_unknown = failure.status >= 500
        return ReportLine(str(call_id), refusal=failure.detail[:MAX_REASON_LENGTH], is_unknown=is_unknown)
    except Unreachable as error:
        return ReportLine(str(call_id), refusal=error.reason, is_unknown=True)
    call = answer.get("call", answer)
    return ReportLine(str(call_id), status=str(call.get("status", "stored")))
