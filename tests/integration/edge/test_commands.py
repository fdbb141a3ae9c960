from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client

from contracts import Call, CallCancelRequested, CallChangeRequested, CallRetryRequested, Envelope, Event, decode
from contracts.streams import REQUESTS
from edge.adapters import bus

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

COMMANDS = [
    ("PUT", "", {"max_retries": 1}),
    ("POST", "/initiate", None),
    ("POST", "/cancel", None),
    ("POST", "/retry", None),
]


async def last_request(bus_client: Client) -> tuple[Event, Envelope]:
    message = await bus_client.jetstream().get_last_msg(REQUESTS.name, ">")
    assert message.subject
    assert message.data
    assert message.headers
    envelope = Envelope.read(message.headers, subject=message.subject, id="", time=datetime.now(UTC))
    return decode(message.subject, message.data), envelope


async def test_a_change_is_seen_at_once(api: httpx.AsyncClient, waiting: Call) -> None:
    path = f"/api/v1/calls/{waiting.call_id}"

    answer = await api.put(path, json={"phone_number": "+12125550177", "max_retries": 1})

    assert answer.status_code == 200
    assert (answer.json()["phone_number"], answer.json()["max_retries"]) == ("+12125550177", 1)
    assert (await api.get(path)).json() == answer.json()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, "body"),
        ({"phone_number": "12"}, "phone_number"),
        ({"status": "completed"}, "status"),
        ({"call_id": str(uuid4()), "max_retries": 1}, "call_id"),
    ],
)
async def test_a_change_that_is_none_or_wrong_names_the_field(
    api: httpx.AsyncClient, waiting: Call, change: dict[str, object], named: str
) -> None:
    answer = await api.put(f"/api/v1/calls/{waiting.call_id}", json=change)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [named]


async def test_initiate_asks_for_the_call_to_be_due_now(
    api: httpx.AsyncClient, waiting: Call, bus_client: Client
) -> None:
    asked_at = datetime.now(UTC)

    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/initiate")

    assert answer.status_code == 202
    command, envelope = await last_request(bus_client)
    assert isinstance(command, CallChangeRequested)
    assert command.scheduled_at is not None
    assert command.scheduled_at >= asked_at
    assert set(command.changes()) == {"scheduled_at"}
    assert envelope.source == "edge"


@pytest.mark.parametrize(("action", "command"), [("cancel", CallCancelRequested), ("retry", CallRetryRequested)])
async def test_cancel_and_retry_are_commands_on_the_bus(
    api: httpx.AsyncClient,
    waiting: Call,
    bus_client: Client,
    action: str,
    command: type[CallCancelRequested | CallRetryRequested],
) -> None:
    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/{action}")

    assert answer.status_code == 202
    assert answer.json()["status"] == "canceled"  # the orchestrator played here knows no other end
    assert (await last_request(bus_client))[0] == command(call_id=waiting.call_id)


@pytest.mark.parametrize(("method", "action", "sent"), COMMANDS)
async def test_a_refused_command_is_a_conflict_with_the_reasons(
    api: httpx.AsyncClient,
    waiting: Call,
    orchestrator: "Orchestrator",
    method: str,
    action: str,
    sent: dict[str, object] | None,
) -> None:
    orchestrator.refusal = ("max_retries: all 3 retries are used up",)

    answer = await api.request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)

    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:centralita:problem:refused"
    assert answer.json()["errors"] == [{"field": "max_retries", "message": "all 3 retries are used up"}]


@pytest.mark.parametrize(("method", "action", "sent"), COMMANDS)
async def test_a_command_on_an_unknown_call_never_reaches_the_orchestrator(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", method: str, action: str, sent: dict[str, object] | None
) -> None:
    answer = await api.request(method, f"/api/v1/calls/{uuid4()}{action}", json=sent)

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:centralita:problem:unknown-call"
    assert orchestrator.asked == []


@pytest.mark.parametrize(("method", "action", "sent"), COMMANDS)
async def test_a_command_that_is_not_yet_decided_is_accepted(
    api: httpx.AsyncClient,
    waiting: Call,
    orchestrator: "Orchestrator",
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    action: str,
    sent: dict[str, object] | None,
) -> None:
    monkeypatch.setattr(bus, "OUTCOME_SECONDS", 0.1)
    orchestrator.silent = True

    answer = await api.request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)

    assert answer.status_code == 202
    assert answer.json()["status"] == "pending"
