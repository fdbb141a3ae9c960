"""What the REST API reads from the log for each request; the length of the log does not matter."""

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.edge.test_webhook_reads import counted, requests_of

from chassis.event_log import EventLog
from contracts import Call, DialPlaced, SpeechHeard

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


@pytest.fixture(params=[0, 150])
async def other_calls(request: pytest.FixtureRequest, calls: EventLog) -> int:
    """Appends events of other calls to the log, and returns their number."""
    count: int = request.param
    for _ in range(count):
        await calls.append(SpeechHeard(call_id=uuid4(), attempt=1, turn=1, text="hola", language="es"))
    return count


async def test_reading_a_call_costs_one_read_of_the_leader(
    api: httpx.AsyncClient, other_calls: int, talking: Call, bus_client: Client, calls: EventLog
) -> None:
    await calls.append(DialPlaced(call_id=talking.call_id, attempt=1, provider_call_id="CA7"))

    async with requests_of(bus_client) as requests:
        answer = await api.get(f"/api/v1/calls/{talking.call_id}")

    assert answer.json()["twilio_sid"] == "CA7"
    assert counted(requests) == (1, 2, 0)


async def test_reading_the_events_of_a_call_costs_the_same_in_a_longer_log(
    api: httpx.AsyncClient, other_calls: int, talking: Call, bus_client: Client
) -> None:
    async with requests_of(bus_client) as requests:
        answer = await api.get(f"/api/v1/calls/{talking.call_id}/events")

    assert [event["type"] for event in answer.json()] == ["call.created.v2", "call.status_changed.v2"]
    assert counted(requests) == (2, 3, 0)  # the subjects, and a page of each


async def test_creating_a_call_reads_the_leader_before_and_after_the_outcome(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    async with requests_of(bus_client) as requests:
        created = await api.post("/api/v1/calls", json={**body, "request_id": "r-2"})
    async with requests_of(bus_client) as requests_again:
        again = await api.post("/api/v1/calls", json={**body, "request_id": "r-2"})

    assert (created.status_code, again.status_code) == (201, 201)
    orchestrators = 1  # the simulated orchestrator reads the call, too
    assert counted(requests) == (2 + orchestrators, 1, 0)  # from any node: how many dials the campaign permits
    assert counted(requests_again) == (1, 0, 0)


async def test_a_command_reads_the_leader_before_and_after_the_outcome(
    api: httpx.AsyncClient, waiting: Call, orchestrator: "Orchestrator", bus_client: Client
) -> None:
    orchestrator.refusal = ("too late",)  # so that it reads only whether it knows the call
    async with requests_of(bus_client) as requests:
        await api.post(f"/api/v1/calls/{waiting.call_id}/retry")

    assert counted(requests) == (1 + 1, 0, 0)
