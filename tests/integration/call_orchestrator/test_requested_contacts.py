"""Contacts that upstream systems request on the bus, and when a group of contacts may first be called."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from tests.integration.call_orchestrator.conftest import outcome_of, running

from call_orchestrator.adapters.nats.contacts import NatsContacts
from call_orchestrator.settings import Settings
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from contracts import (
    CampaignCreateRequested,
    CampaignFinishRequested,
    ContactAdded,
    ContactGroupAdded,
    ContactRequested,
    Envelope,
    NumberBlockRequested,
    RequestedTerms,
)
from contracts.callees import callee_of
from contracts.contacts import group_of, waiting_contact
from contracts.number_digests import NumberDigests
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import CONTACTS
from contracts.vocabulary import RefusalCode

NEW_YORK = "+12125550123"


@pytest.fixture
def waiting(bus_client: Client, keyring: Keyring) -> EventLog:
    return EventLog(bus_client, CONTACTS.name, source="test", keyring=keyring)


def contact(number: str = NEW_YORK, **given: object) -> ContactRequested:
    return ContactRequested.model_validate({"campaign_id": "spring", "phone_number": number, **given})


async def create(client: Client, **terms: object) -> None:
    given = {"script_template": "Hello.", **terms}
    command = CampaignCreateRequested(campaign_id="spring", terms=RequestedTerms.model_validate(given))
    assert (await outcome_of(client, command)).accepted


async def added(waiting: EventLog) -> list[ContactAdded]:
    events = [stored.event for stored in await waiting.read([ContactAdded.subjects("spring")])]
    return [event for event in events if isinstance(event, ContactAdded)]


async def test_a_requested_contact_waits_once_in_its_group(
    nats_url: str, bus_client: Client, waiting: EventLog
) -> None:
    async with running(nats_url, 2):
        await create(bus_client)
        given = contact(contact_id="c-1", variables={"name": "Ada"}, metadata={"branch": "3"}, language="en")
        assert (await outcome_of(bus_client, given)).accepted
        again = await outcome_of(bus_client, contact(contact_id="c-2"))
    assert not again.accepted
    assert again.campaign_id == "spring"
    assert "already waits" in again.reasons[0]
    (found,) = await added(waiting)
    assert (found.contact_id, found.phone_number, found.language) == ("c-1", NEW_YORK, "en")
    assert (found.variables, found.metadata) == ({"name": "Ada"}, {"branch": "3"})
    stored = await bus_client.jetstream().get_last_msg(CONTACTS.name, found.subject)
    assert [text for text in (NEW_YORK[1:], "Ada", "branch") if text.encode() in (stored.data or b"")] == []
    (group,) = [stored.event for stored in await waiting.read([ContactGroupAdded.subjects("spring")])]
    assert isinstance(group, ContactGroupAdded)
    assert (group.zone_group, group.zones) == (found.zone_group, ("America/New_York",))


async def test_the_id_of_a_contact_without_one_does_not_contain_its_number(
    nats_url: str, bus_client: Client, waiting: EventLog
) -> None:
    async with running(nats_url, 1):
        await create(bus_client)
        assert (await outcome_of(bus_client, contact())).accepted
    (found,) = await added(waiting)
    assert found.contact_id == found.number_digest
    assert NEW_YORK[1:] not in found.subject


async def test_a_contact_is_refused_with_its_field_unless_it_can_be_called(
    nats_url: str, bus_client: Client, waiting: EventLog
) -> None:
    async with running(nats_url, 1):
        undeclared = await outcome_of(bus_client, contact())
        await create(bus_client)
        not_allowed = await outcome_of(bus_client, contact("+34912345678"))
        accepted = await outcome_of(bus_client, contact(time_zone="America/Chicago"))
        found = await added(waiting)
        await outcome_of(bus_client, CampaignFinishRequested(campaign_id="spring"))
        finished = await outcome_of(bus_client, contact())
    assert undeclared.reasons == ("campaign_id: no campaign was created with this id; create it first",)
    assert not_allowed.reasons[0].startswith("phone_number: numbers of the country ES are not called")
    assert accepted.accepted
    assert finished.reasons == ("campaign_id: the campaign is finished; create another one",)
    assert [one.time_zone for one in found] == ["America/Chicago"]


async def test_a_listed_number_is_no_contact(nats_url: str, bus_client: Client, waiting: EventLog) -> None:
    async with running(nats_url, 1):
        await create(bus_client)
        digest = NumberDigests(key_bytes(Settings.model_validate({}).number_digest_key)).of(NEW_YORK)
        await outcome_of(bus_client, NumberBlockRequested(number_digest=digest, phone_number=NEW_YORK))
        refused = await outcome_of(bus_client, contact())
    assert refused.code == RefusalCode.DO_NOT_CALL
    assert refused.reasons[0].startswith("phone_number: the number is on the do-not-call list of all campaigns")
    assert await added(waiting) == []


async def test_the_same_request_that_is_delivered_again_is_accepted_and_adds_nothing(
    bus_client: Client, waiting: EventLog
) -> None:
    contacts, callee, now = NatsContacts(waiting), callee_of(NEW_YORK), datetime.now(UTC)
    event = waiting_contact(contact(), callee, NumberDigests(b"secret"), now)
    for message_id, is_added in (("m-1", True), ("m-1", True), ("m-2", False)):
        cause = Envelope.of(id=message_id, source="test", time=now)
        assert await contacts.add(event, group_of("spring", callee), cause) is is_added
    assert len(await added(waiting)) == 1


async def test_a_group_is_first_called_from_the_start_of_the_campaign_at_a_permitted_time(
    nats_url: str, bus_client: Client, tmp_path: Path
) -> None:
    starts_at = datetime.now(UTC) + timedelta(days=30)
    hours = tmp_path / "rules.csv"
    columns = "country,region,purposes,voice,days,opens_at,closes_at,max_calls,within_hours,requires_consent,kind,basis"
    row = "*,*,*,any,mon-sun,10:00,11:00,,,no,house_default,test,test,high"
    hours.write_text(f"{columns},source,confidence\n{row}\n")
    async with running(nats_url, 1, calling_rules=hours):
        await create(bus_client, starts_at=starts_at)
        answers = []
        for query in (
            CallingTimesQuery(campaign_id="spring", country="US", regions=("NY",), zones=("America/New_York",)),
            CallingTimesQuery(campaign_id="spring", country="US", regions=("PR",), zones=("America/Puerto_Rico",)),
            CallingTimesQuery(campaign_id="spring", country="", regions=(), zones=()),
        ):
            reply = await bus_client.request(query.subject, query.model_dump_json().encode(), timeout=60)
            answers.append(CallingTimes.model_validate_json(reply.data))
        invalid = await bus_client.request(CallingTimesQuery.subject, b"{}", timeout=60)
    first, not_allowed, unknown = answers
    assert first.first_at
    assert starts_at <= first.first_at < starts_at + timedelta(days=1, hours=1)
    assert first.first_at.astimezone(UTC).minute == 0 or first.first_at == starts_at
    assert (not_allowed.first_at, not_allowed.rule) == (None, "country_not_allowed")
    assert (unknown.first_at, unknown.rule) == (None, "unknown_country")
    assert (invalid.headers or {})["Nats-Service-Error-Code"] == "400"
