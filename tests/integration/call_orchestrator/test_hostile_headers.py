"""Headers of requests: none names a subject, and a long one reaches neither later events nor the connection."""

import json
from typing import Any

import pytest
from nats.aio.client import Client
from tests.builders.numbers import number_for
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from chassis.event_log import EventLog
from contracts import CallRequested, call_id_of
from contracts.envelope import MAX_HEADER_LENGTH
from contracts.personal import json_and_sealed
from contracts.streams import DEAD_LETTERS

LONG = "x" * 5_000
FORMER_NAMES = {"centralita-correlation-id": "ce-correlationid", "centralita-causation-id": "ce-causationid"}
CARRIED_ON = ["ce-id", "ce-source", "ce-correlationid", "ce-causationid", "traceparent", *FORMER_NAMES]


def requested(request_id: str) -> CallRequested:
    return CallRequested(
        request_id=request_id,
        campaign_id="reminders",
        contact_id="c-1",
        phone_number=number_for(request_id),
        script_template="Hello.",
        language="en",
    )


async def dead_letters(client: Client) -> list[dict[str, Any]]:
    js = client.jetstream()
    count = (await js.stream_info(DEAD_LETTERS.name)).state.messages
    stored = [(await js.get_msg(DEAD_LETTERS.name, number)).data or b"" for number in range(1, count + 1)]
    return [json.loads(json_and_sealed(data)[0]) for data in stored]


async def test_a_reply_subject_of_5000_characters_in_a_header_is_ignored(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1):
        request = requested("r-1")
        headers = {"reply_to": f"_INBOX.{LONG}"}
        await bus_client.jetstream().publish(request.subject, request.model_dump_json().encode(), headers=headers)
        await until(lambda: call_of(calls, call_id_of("r-1")))
        assert (await outcome_of(bus_client, requested("r-2"))).accepted, "the connection of the service is open"


@pytest.mark.parametrize("name", [*CARRIED_ON, "Nats-Msg-Id"])
@pytest.mark.parametrize("value", [LONG, "x" * (MAX_HEADER_LENGTH + 1), "a\x7fb"], ids=["long", "longer", "control"])
async def test_a_header_that_later_events_would_carry_on_is_limited(
    nats_url: str, bus_client: Client, calls: EventLog, name: str, value: str
) -> None:
    async with running(nats_url, 1):
        request = requested("r-1")
        body = request.model_dump_json().encode()
        await bus_client.jetstream().publish(request.subject, body, headers={name: value})
        await until(lambda: dead_letters(bus_client))
        assert (await outcome_of(bus_client, requested("r-2"))).accepted, "the connection of the service is open"
        (dead_letter,) = await dead_letters(bus_client)
        header = {"Nats-Msg-Id": "ce-id", **FORMER_NAMES}.get(name, name)
        assert dead_letter["reasons"] == [f"header {header}: at most 200 printable characters are accepted"]
        assert await call_of(calls, call_id_of("r-1")) is None


@pytest.mark.parametrize("name", CARRIED_ON)
async def test_a_header_of_the_maximum_length_is_accepted(
    nats_url: str, bus_client: Client, calls: EventLog, name: str
) -> None:
    async with running(nats_url, 1):
        request = requested("r-1")
        headers = {name: "x" * MAX_HEADER_LENGTH}
        await bus_client.jetstream().publish(request.subject, request.model_dump_json().encode(), headers=headers)
        await until(lambda: call_of(calls, call_id_of("r-1")))
