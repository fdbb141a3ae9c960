"""The contracts: events with their schemas and examples, and the operations of the REST API."""

from fastapi import APIRouter, HTTPException, Request, Response

from centralita_console.authentication import Api
from centralita_console.contract_pages import (
    event_contracts,
    example_requests,
    operations_of,
    type_of,
    whole_operation,
)
from centralita_console.rendering import render

router = APIRouter()


@router.get("/contracts")
async def show_contracts(request: Request, api: Api) -> Response:
    """Lists the events and the operations, with commands that request a call."""
    return render(
        request,
        "contracts.html",
        events=event_contracts().values(),
        operations=operations_of(await api.get_document()),
        commands=example_requests(str(api.http.base_url).rstrip("/")),
    )


@router.get("/contracts/events/{name}")
async def show_event(request: Request, _: Api, name: str) -> Response:
    """Shows an event: who publishes and reads it, its schema and examples."""
    event = event_contracts().get(name)
    if event is None:
        raise HTTPException(404)
    return render(request, "event_contract.html", event=event, type_of=type_of)


@router.get("/contracts/operations/{name}")
async def show_operation(request: Request, api: Api, name: str) -> Response:
    """Shows an operation of the REST API: its parameters, bodies and answers."""
    operation = whole_operation(await api.get_document(), name)
    if operation is None:
        raise HTTPException(404)
    return render(request, "operation.html", operation=operation)
