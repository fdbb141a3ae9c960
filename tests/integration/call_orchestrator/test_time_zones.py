"""Time zones that only a machine has, such as ``localtime``: from any sender, and in what older builds stored."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from nats.aio.client import Client
from tests.builders.consumers import is_settled
from tests.builders.numbers import number_for
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from chassis.dead_letters import read_dead_letters
from chassis.event_log import EventLog
from contracts import (
    CallRequested,
    CampaignCreateRequested,
    CampaignStartRequested,
    ContactRefused,
    ContactRequested,
    RequestedTerms,
    call_id_of,
)
from contracts.callees import Callee
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.contacts import group_of, waiting_contact
from contracts.number_digests import NumberDigests
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import CONTACTS

CREATE = CampaignCreateRequested(
    campaign_id="spring", terms=RequestedTerms(script_template="Hello.", language="en", company="Acme")
)
OF_A_MACHINE = Callee(country="US", regions=("NY",), zones=("localtime",))


async def test_requests_with_such_a_zone_become_dead_letters_at_once_and_delay_no_other_request(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    js, count = bus_client.jetstream(), 50
    async with running(nats_url, 1):
        for index in range(count + 1):
            name = f"r-{index}"
            given = {"campaign_id": "spring", "contact_id": name, "phone_number": number_for(name), "request_id": name}
            zone = {"time_zone": "localtime"} if index < count else {}
            body = {**given, "script_template": "Hello.", "language": "en", **zone}
            await js.publish(CallRequested.subjects(), json.dumps(body).encode())

        async def is_decided() -> bool:
            return await call_of(calls, call_id_of(f"r-{count}")) is not None

        await until(is_decided)

        await until(lambda: is_settled(bus_client, ORCHESTRATOR_REQUESTS))
    letters = [stored.dead_letter async for stored in read_dead_letters(bus_client)]
    assert len(letters) == count
    for letter in letters:
        assert (letter.deliveries, letter.reasons[0].split(":")[0]) == (1, "time_zone")


async def test_a_waiting_contact_with_such_a_zone_is_refused_and_those_of_other_groups_are_called(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """The edge of an older build accepted the first one."""
    contacts, digests = EventLog(bus_client, CONTACTS.name, source="test"), NumberDigests(b"k" * 32)
    for name, callee in (("c-0", OF_A_MACHINE), ("c-1", replace(OF_A_MACHINE, zones=("Etc/UTC",)))):
        given = ContactRequested(campaign_id="spring", contact_id=name, phone_number=number_for(name))
        contact = waiting_contact(given, callee, digests, datetime.now(UTC))
        await contacts.append(group_of("spring", callee))
        await contacts.append(contact.model_copy(update={"time_zone": callee.zones[0]}))
    async with running(nats_url, 1):
        assert (await outcome_of(bus_client, CREATE)).accepted
        assert (await outcome_of(bus_client, CampaignStartRequested(campaign_id="spring"))).accepted

        async def are_taken() -> bool:
            info = await bus_client.jetstream().stream_info(CONTACTS.name, subjects_filter="contact.added.>")
            return not info.state.subjects

        await until(are_taken)
    (refused,) = [one.event for one in await calls.read([ContactRefused.subjects()])]
    assert isinstance(refused, ContactRefused)
    assert refused.contact_id == "c-0"
    assert "time zone" in refused.reason
    assert await call_of(calls, call_id_of("spring:c-1"))


async def test_a_group_with_such_a_zone_may_never_be_called(nats_url: str, bus_client: Client) -> None:
    query = CallingTimesQuery(
        campaign_id="spring", country=OF_A_MACHINE.country, regions=OF_A_MACHINE.regions, zones=OF_A_MACHINE.zones
    )
    async with running(nats_url, 1):
        assert (await outcome_of(bus_client, CREATE)).accepted
        reply = await bus_client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    answer = CallingTimes.model_validate_json(reply.data)
    assert (answer.first_at, answer.rule) == (None, "unknown_zone")
    assert "'localtime'" in answer.detail


async def test_a_query_about_a_campaign_that_cannot_be_read_is_answered_with_an_error(
    nats_url: str, bus_client: Client
) -> None:
    query = CallingTimesQuery(campaign_id="spring", country="US", zones=("America/New_York",))
    async with running(nats_url, 1):
        await bus_client.jetstream().publish("campaign.paused.spring", b'{"of_a_newer_build": true}')
        reply = await bus_client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    assert (reply.headers or {})["Nats-Service-Error-Code"] == "503"
    assert "cannot decode" in (reply.headers or {})["Nats-Service-Error"]
