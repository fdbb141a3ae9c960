"""Commands on existing calls over REST."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client

from contracts import Call, CallCancelRequested, CallChangeRequested, CallRetryRequested, Envelope, Event, decode
from contracts.streams import REQUESTS
from contracts.vocabulary import RefusalCode
from edge.adapters import nats as adapter

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
    envelope = Envelope.read(message.headers, id="", time=datetime.now(UTC))
    return decode(message.subject, message.data), envelope


async def test_a_change_is_returned_at_once(api: httpx.AsyncClient, waiting: Call) -> None:
    path = f"/api/v1/calls/{waiting.call_id}"

    message = {"message": "Please call us."}

    answer = await api.put(path, json={"phone_number": "+12125550177", "max_retries": 1, "voicemail": message})

    assert (answer.status_code, answer.json()["voicemail"]) == (200, message)
    assert (answer.json()["phone_number"], answer.json()["max_retries"]) == ("+12125550177", 1)
    assert (await api.get(path)).json() == answer.json()


async def test_a_change_of_the_retry_policy_is_sent_shown_and_recorded(
    api: httpx.AsyncClient, waiting: Call, orchestrator: "Orchestrator"
) -> None:
    path, rule = f"/api/v1/calls/{waiting.call_id}", {"max_retries": 2, "delay_seconds": 60}

    answer = await api.put(path, json={"retry_policy": {"hung_up_early": rule}})

    shown = answer.json()["retry_policy"]["hung_up_early"]
    assert shown == {**rule, "backoff": 1.0, "max_delay_seconds": None, "early_seconds": 10}
    assert answer.json()["retry_policy"]["busy"] is None
    entries = (await api.get("/api/v1/audit", params={"call_id": str(waiting.call_id)})).json()["entries"]
    assert [entry["before"]["retry_policy"] for entry in entries] == [None, None]
    assert entries[-1]["after"]["retry_policy"] == answer.json()["retry_policy"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, "body"),
        ({"phone_number": "12"}, "phone_number"),
        ({"status": "completed"}, "status"),
        ({"voicemail": {"message": ""}}, "voicemail.message"),
        ({"call_id": str(uuid4()), "max_retries": 1}, "call_id"),
    ],
)
async def test_an_empty_or_wrong_change_is_refused_with_the_field(
    api: httpx.AsyncClient, waiting: Call, change: dict[str, object], named: str
) -> None:
    answer = await api.put(f"/api/v1/calls/{waiting.call_id}", json=change)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [named]


async def test_initiate_makes_the_call_due_now(api: httpx.AsyncClient, waiting: Call, bus_client: Client) -> None:
    sent_at = datetime.now(UTC)

    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/initiate")

    assert answer.status_code == 202
    assert answer.json()["message"] == "the call is due now and is dialled when it has a slot"
    assert answer.json()["call"]["id"] == str(waiting.call_id)
    command, envelope = await last_request(bus_client)
    assert isinstance(command, CallChangeRequested)
    assert command.scheduled_at is not None
    assert command.scheduled_at >= sent_at
    assert set(command.changes()) == {"scheduled_at"}
    assert envelope.source == "edge"


@pytest.mark.parametrize(("action", "command"), [("cancel", CallCancelRequested), ("retry", CallRetryRequested)])
async def test_cancel_and_retry_are_published_as_commands(
    api: httpx.AsyncClient,
    waiting: Call,
    bus_client: Client,
    action: str,
    command: type[CallCancelRequested | CallRetryRequested],
) -> None:
    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/{action}")

    assert answer.status_code == 202
    assert answer.json()["status"] == "canceled"  # the test's orchestrator ends every call so
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


@pytest.mark.parametrize(("method", "action", "sent"), [one for one in COMMANDS if one[1] != "/cancel"])
async def test_a_command_on_an_unknown_call_never_reaches_the_orchestrator(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", method: str, action: str, sent: dict[str, object] | None
) -> None:
    answer = await api.request(method, f"/api/v1/calls/{uuid4()}{action}", json=sent)

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:centralita:problem:unknown-call"
    assert orchestrator.asked == []


@pytest.mark.parametrize(("method", "action", "sent"), COMMANDS)
async def test_an_undecided_command_is_answered_with_202(
    api: httpx.AsyncClient,
    waiting: Call,
    orchestrator: "Orchestrator",
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    action: str,
    sent: dict[str, object] | None,
) -> None:
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    orchestrator.silent = True

    answer = await api.request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)

    assert answer.status_code == 202
    assert answer.json().get("call", answer.json())["status"] == "pending"


async def test_a_retry_beyond_the_maximum_is_a_bad_request(
    api: httpx.AsyncClient, waiting: Call, orchestrator: "Orchestrator"
) -> None:
    orchestrator.refusal = ("max_retries: dialled 4 times, max_retries is 3",)
    orchestrator.code = RefusalCode.RETRIES_EXHAUSTED

    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/retry")

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:centralita:problem:retries-exhausted"
    assert [error["field"] for error in answer.json()["errors"]] == ["max_retries"]


async def test_a_cancel_of_an_unknown_call_is_answered_with_404_once_the_orchestrator_has_decided(
    api: httpx.AsyncClient, orchestrator: "Orchestrator"
) -> None:
    call_id = uuid4()
    answer = await api.post(f"/api/v1/calls/{call_id}/cancel")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:centralita:problem:unknown-call"
    assert orchestrator.asked == [f"call.cancel_requested.{call_id}"]


async def test_a_cancel_of_a_request_that_is_not_decided_is_stored(
    api: httpx.AsyncClient,
    orchestrator: "Orchestrator",
    bus_client: Client,
    body: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    orchestrator.silent = True
    accepted = await api.post("/api/v1/calls", json=body)
    call_id = accepted.json()["id"]

    answer = await api.post(f"/api/v1/calls/{call_id}/cancel")

    assert (accepted.status_code, answer.status_code) == (202, 202)
    assert answer.json() == {"id": call_id}
    assert (await last_request(bus_client))[0] == CallCancelRequested(call_id=call_id)
