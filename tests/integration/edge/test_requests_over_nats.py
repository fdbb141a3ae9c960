"""Requests over NATS request/reply: the answer is the call's id, or the reasons of a refusal."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from chassis.barrier import wait_until_processed
from chassis.serve import connect_bus
from contracts import CommandOutcome, Service, call_id_of
from contracts.queries import CALL_REQUEST
from contracts.streams import DEAD_LETTERS
from edge.composition import build
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


@pytest.fixture
async def listening(nats_url: str, bus_client: Client, settings: Settings) -> AsyncIterator[None]:
    bus = await connect_bus(Service.EDGE, nats_url)
    async with build(settings, bus):
        await bus.broker.start()
        await wait_until_processed(bus.client)
        yield
        await bus.broker.stop()


async def ask(client: Client, body: object) -> CommandOutcome:
    answer = await client.request(CALL_REQUEST, json.dumps(body).encode(), timeout=60)
    return CommandOutcome.model_validate_json(answer.data)


async def test_the_reply_contains_the_id_of_the_call(
    listening: None, orchestrator: object, bus_client: Client, body: dict[str, object]
) -> None:
    outcome = await ask(bus_client, {**body, "request_id": "order-77"})
    assert outcome.accepted
    assert outcome.call_id == call_id_of("order-77")
    assert (await ask(bus_client, {**body, "request_id": "order-77"})).call_id == outcome.call_id


async def test_a_request_over_nats_has_no_key(
    listening: None, orchestrator: "Orchestrator", bus_client: Client, body: dict[str, object]
) -> None:
    outcome = await ask(bus_client, {**body, "request_id": "order-79", "key_name": "desk"})

    assert outcome.accepted
    assert (await orchestrator.call(call_id_of("order-79"))).key_name is None


async def test_a_request_that_differs_from_the_first_of_its_id_is_refused_with_the_field(
    listening: None, orchestrator: object, bus_client: Client, body: dict[str, object]
) -> None:
    await ask(bus_client, {**body, "request_id": "order-78"})
    outcome = await ask(bus_client, {**body, "request_id": "order-78", "contact_id": "another-contact"})
    assert not outcome.accepted
    assert outcome.reasons == ("contact_id: differs from the first request of this request_id",)


async def test_an_invalid_request_is_answered_with_one_reason_per_field_and_is_not_stored(
    listening: None, bus_client: Client, body: dict[str, object]
) -> None:
    outcome = await ask(bus_client, {**body, "phone_number": "12", "surprise": 1})
    assert not outcome.accepted
    assert {reason.split(":")[0] for reason in outcome.reasons} == {"phone_number", "surprise"}
    js = bus_client.jetstream()
    assert (await js.stream_info("REQUESTS")).state.messages == 0
    assert (await js.stream_info(DEAD_LETTERS.name)).state.messages == 0
    answer = await bus_client.request(CALL_REQUEST, b"not json", timeout=60)
    assert not CommandOutcome.model_validate_json(answer.data).accepted
