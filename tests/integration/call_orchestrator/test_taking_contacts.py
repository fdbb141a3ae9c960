"""Contacts of declared campaigns become calls, on a real nats-server with several replicas."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from zoneinfo import ZoneInfo

import nats
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from tests.builders.events import an_envelope
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import end, outcome_of, running, until

from call_orchestrator.adapters.nats import contact_queue
from call_orchestrator.adapters.nats.contact_queue import NatsContactQueue
from call_orchestrator.adapters.nats.contacts import NatsContacts
from call_orchestrator.application import expired_contacts
from call_orchestrator.application.contacts import MIN_AHEAD
from call_orchestrator.composition import build
from call_orchestrator.settings import Settings
from centralita.embedded.servers import restartable_nats_server
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.provision import provision
from chassis.serve import connect_bus
from contracts import (
    Call,
    CallCreated,
    CallRequested,
    CampaignContactsExpired,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    ContactRefused,
    ContactRequested,
    RequestedTerms,
    Service,
    call_id_of,
)
from contracts.callees import callee_of
from contracts.contacts import group_of, request_id_of_other_number, waiting_contact
from contracts.event import CampaignEvent
from contracts.number_digests import NumberDigests
from contracts.streams import CONTACTS

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}
DIGESTS = NumberDigests(b"k" * 32)
NOW = datetime.now(UTC)
CREATE = CampaignCreateRequested(
    campaign_id="spring",
    terms=RequestedTerms(script_template="Hello {{name}}.", variables={"name": "neighbour"}, language="en"),
)
START = CampaignStartRequested(campaign_id="spring")


def left(outcome: str) -> float:
    """Returns how many contacts the replicas of this process counted with an outcome."""
    return REGISTRY.get_sample_value("centralita_contacts_total", {"outcome": outcome}) or 0


def number(index: int) -> str:
    """Returns one of two hundred numbers of the fictional range, in two time zones."""
    return f"+1{'212' if index % 2 else '310'}5550{100 + index // 2}"


def requested(request_id: str) -> CallRequested:
    """Returns a request of the campaign winter, to the number of the first contact of spring."""
    return CallRequested(
        request_id=request_id,
        campaign_id="winter",
        contact_id="r-1",
        phone_number=number(1),
        script_template="Hello.",
        language="en",
    )


class Contacts:
    """The waiting contacts of the campaign, added as edge and the orchestrator add them."""

    def __init__(self, client: Client, keyring: Keyring | None = None) -> None:
        """Without a `keyring`, they are in clear, as those of older builds."""
        self._client = client
        self._is_sealed = keyring is not None
        self._log = EventLog(client, CONTACTS.name, source="test", keyring=keyring)

    async def add(self, *indexes: int, **fields: object) -> None:
        for index in indexes:
            given = {"campaign_id": "spring", "contact_id": f"c-{index}", "phone_number": number(index), **fields}
            request = ContactRequested.model_validate(given)
            callee = callee_of(request.phone_number, request.time_zone)
            group = group_of(request.campaign_id, callee)
            if await self._log.last(group.subject) is None:
                await self._log.append(group)
            contact = waiting_contact(request, callee, DIGESTS, NOW)
            await self._log.append(contact, person=contact.number_digest if self._is_sealed else None)

    async def waiting(self) -> int:
        """Returns how many contacts are in the stream."""
        info = await self._client.jetstream().stream_info(CONTACTS.name, subjects_filter="contact.added.>")
        return sum((info.state.subjects or {}).values())

    async def is_empty(self) -> bool:
        return not await self.waiting()


@pytest.fixture
def contacts(bus_client: Client) -> Contacts:
    return Contacts(bus_client)


async def created(calls: EventLog) -> list[Call]:
    events = [stored.event for stored in await calls.read([CallCreated.subjects()])]
    return [event.call for event in events if isinstance(event, CallCreated)]


async def accept(client: Client, *commands: CampaignEvent) -> None:
    for command in commands:
        outcome = await outcome_of(client, command)
        assert outcome.accepted, outcome.reasons


async def test_each_contact_becomes_one_call_with_three_replicas_and_verify_decides_the_same(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    async with running(nats_url, 3, **LIMITS):
        await accept(bus_client, CREATE)
        await contacts.add(*range(60), metadata={"branch": "north"})
        await accept(bus_client, START)
        await contacts.add(*range(60, 70), language="es", variables={"name": "Ada"})
        await until(contacts.is_empty)
    found = await created(calls)
    assert sorted(call.contact_id for call in found) == sorted(f"c-{index}" for index in range(70))
    assert {call.request_id for call in found} == {f"spring:c-{index}" for index in range(70)}
    by_id = {call.contact_id: call for call in found}
    assert (by_id["c-1"].phone_number, by_id["c-1"].metadata) == (number(1), {"branch": "north"})
    assert (by_id["c-1"].language, by_id["c-1"].variables) == ("en", {"name": "neighbour"})
    assert (by_id["c-60"].language, by_id["c-60"].variables) == ("es", {"name": "Ada"})
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())
    assert verification.decisions >= len(found)


async def test_contacts_of_a_draft_and_of_a_paused_campaign_wait(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CREATE)
        await contacts.add(1, 2)
        await accept(bus_client, START)
        await until(contacts.is_empty)
        await accept(bus_client, CampaignPauseRequested(campaign_id="spring"))
        await contacts.add(3, 4)
        other = CampaignCreateRequested(campaign_id="other", terms=CREATE.terms)
        await accept(bus_client, other, CampaignStartRequested(campaign_id="other"))
        await contacts.add(5, 6, campaign_id="other")

        async def are_later_ones_called() -> bool:
            return len(await created(calls)) == 4

        await until(are_later_ones_called)
        assert sorted(call.contact_id for call in await created(calls)) == ["c-1", "c-2", "c-5", "c-6"]
        assert await contacts.waiting() == 2
        await accept(bus_client, CampaignResumeRequested(campaign_id="spring"))
        await until(contacts.is_empty)
    assert sorted(call.contact_id for call in await created(calls)) == [f"c-{number}" for number in range(1, 7)]


async def test_contacts_are_taken_only_so_far_ahead_as_calls_may_wait(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    one_at_a_time = RequestedTerms.model_validate({**CREATE.terms.model_dump(), "max_concurrent_calls": 1})
    async with running(nats_url, 1, **LIMITS):
        await accept(bus_client, CampaignCreateRequested(campaign_id="spring", terms=one_at_a_time), START)
        await contacts.add(*range(5 * MIN_AHEAD))

        async def has_enough() -> bool:
            return len(await created(calls)) > MIN_AHEAD - ceil(MIN_AHEAD / 4)  # less than a quarter is not taken

        await until(has_enough)
        await contacts.add(5 * MIN_AHEAD)
        assert await contacts.waiting() > 2 * MIN_AHEAD
        assert len(await created(calls)) < 2 * MIN_AHEAD


async def test_contacts_that_were_called_before_do_not_delay_a_new_one(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    async with running(nats_url, 1, **LIMITS):
        await accept(bus_client, CREATE, START)
        await contacts.add(*range(3 * MIN_AHEAD))
        await until(contacts.is_empty)
        for call in await created(calls):
            await end(calls, call.call_id)
        await contacts.add(*range(3 * MIN_AHEAD), 3 * MIN_AHEAD)
        await until(contacts.is_empty)
    assert len(await created(calls)) == 3 * MIN_AHEAD + 1


async def test_a_contact_that_may_not_be_called_is_a_fact_of_the_log_once(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    terms = RequestedTerms(script_template="Hello {{name}}.", language="en", purpose=None)
    taken, already_refused = left("taken"), left("refused")
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CampaignCreateRequested(campaign_id="spring", terms=terms))
        await contacts.add(1, 2, variables={"name": "Ada"})
        await contacts.add(3)
        await contacts.add(4, 5, contact_id="c-2", variables={"name": "Luz"})
        await accept(bus_client, START)
        await until(contacts.is_empty)
        await contacts.add(4, 5, contact_id="c-2", variables={"name": "Luz"})
        await until(contacts.is_empty)
    refused = [stored.event for stored in await calls.read([ContactRefused.subjects()])]
    reasons = sorted((one.contact_id, one.reason) for one in refused if isinstance(one, ContactRefused))
    assert reasons == [
        ("c-2", "contact_id: another number of the campaign has this id; give each contact an id of its own"),
        ("c-2", "contact_id: another number of the campaign has this id; give each contact an id of its own"),
        ("c-3", "script_template asks for name: give it in variables"),
    ]
    assert sorted(call.contact_id for call in await created(calls)) == ["c-1", "c-2"]
    assert left("refused") == already_refused + 3
    found_by_id = ContactRefused.subject_for(call_id_of(request_id_of_other_number("spring", "c-2")))
    assert len(await calls.read([found_by_id])) == 1
    assert left("taken") >= taken + 2, "one that is delivered again counts again"


async def test_a_contact_whose_call_id_another_campaign_has_taken_is_refused_and_not_lost(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, requested("spring:c-1"))).accepted, "no such campaign exists yet"
        await accept(bus_client, CREATE)
        await contacts.add(1, 2)
        await accept(bus_client, START)
        await until(contacts.is_empty)
    (refused,) = [stored.event for stored in await calls.read([ContactRefused.subjects()])]
    assert isinstance(refused, ContactRefused)
    assert (refused.campaign_id, refused.contact_id) == ("spring", "c-1")
    assert refused.reason.startswith("contact_id: a request of another campaign has taken the id")
    assert refused.call_id == call_id_of(request_id_of_other_number("spring", "c-1"))
    assert sorted((call.campaign_id, call.contact_id) for call in await created(calls)) == [
        ("spring", "c-2"),
        ("winter", "r-1"),
    ]


async def test_a_request_with_the_id_of_another_campaigns_contact_is_refused(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CREATE)
        refused = await outcome_of(bus_client, requested("spring:c-1"))
        assert refused.reasons == ("request_id: ids that begin with spring: belong to that campaign; give another one",)
        for request_id in ("crm:42", "spring", "summer:c-1", "no.such campaign:1", ":", "winter:c-7"):
            assert (await outcome_of(bus_client, requested(request_id))).accepted
        await accept(bus_client, START)
        await contacts.add(1)
        await until(contacts.is_empty)
    assert [call.contact_id for call in await created(calls) if call.campaign_id == "spring"] == ["c-1"]
    assert await calls.read([ContactRefused.subjects()]) == []


async def test_when_the_campaign_is_finished_the_remaining_contacts_are_counted_and_removed(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expired_contacts, "LATE_SECONDS", 0)
    monkeypatch.setattr(expired_contacts, "LOOK_SECONDS", 0.1)
    already_expired = left("expired")
    async with running(nats_url, 3, **LIMITS):
        await accept(bus_client, CREATE)
        await contacts.add(*range(7))
        await accept(bus_client, CampaignFinishRequested(campaign_id="spring"))

        async def is_removed() -> bool:
            return not (await bus_client.jetstream().stream_info(CONTACTS.name)).state.messages

        await until(is_removed)
    expired = [stored.event for stored in await calls.read([CampaignContactsExpired.subjects()])]
    assert [one.count for one in expired if isinstance(one, CampaignContactsExpired)] == [7]
    assert left("expired") == already_expired + 7
    assert await created(calls) == []
    assert (await bus_client.jetstream().stream_info(CONTACTS.name)).state.consumer_count == 0


async def test_contacts_of_an_import_that_dies_after_the_end_of_the_campaign_are_removed(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import adds contacts after the first removal, and does not add their group again."""
    monkeypatch.setattr(expired_contacts, "LOOK_SECONDS", 0.1)

    async def is_counted(count: int) -> bool:
        expired = [stored.event for stored in await calls.read([CampaignContactsExpired.subjects()])]
        counts = [one.count for one in expired if isinstance(one, CampaignContactsExpired)]
        return sum(counts) == count and await contacts.is_empty()

    async def is_removed() -> bool:
        return not (await bus_client.jetstream().stream_info(CONTACTS.name)).state.messages

    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CREATE)
        await contacts.add(*range(3))
        await accept(bus_client, CampaignFinishRequested(campaign_id="spring"))
        await until(partial(is_counted, 3))
        for index in (3, 4):
            request = ContactRequested(campaign_id="spring", contact_id=f"c-{index}", phone_number=number(index))
            late = waiting_contact(request, callee_of(request.phone_number, None), DIGESTS, NOW)
            await EventLog(bus_client, CONTACTS.name, source="test").append(late)
            await until(partial(is_counted, index + 1))
        assert not await is_removed(), "the groups remain while contacts may come"
        monkeypatch.setattr(expired_contacts, "LATE_SECONDS", 0)
        await until(is_removed)


async def test_each_contact_that_is_added_while_its_campaign_ends_is_counted_once_and_removed(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests on the bus may be decided at the same time: contacts are added before and after the removal."""
    monkeypatch.setattr(expired_contacts, "LATE_SECONDS", 0)
    monkeypatch.setattr(expired_contacts, "LOOK_SECONDS", 0.1)
    adapter = NatsContacts(EventLog(bus_client, CONTACTS.name, source="test", keyring=keyring))

    async def add(index: int) -> None:
        request = ContactRequested(campaign_id="spring", contact_id=f"c-{index}", phone_number=number(index))
        callee = callee_of(request.phone_number, None)
        contact = waiting_contact(request, callee, DIGESTS, NOW)
        assert await adapter.add(contact, group_of("spring", callee), an_envelope(f"contact-{index}"))

    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CREATE)
        for index in range(20):
            await add(index)
        finish = asyncio.create_task(accept(bus_client, CampaignFinishRequested(campaign_id="spring")))
        for index in range(20, 200):
            await add(index)
        await finish

        async def counts() -> list[int]:
            expired = [stored.event for stored in await calls.read([CampaignContactsExpired.subjects()])]
            return [one.count for one in expired if isinstance(one, CampaignContactsExpired)]

        async def is_removed() -> bool:
            state = (await bus_client.jetstream().stream_info(CONTACTS.name)).state
            return not state.messages and sum(await counts()) >= 200

        await until(is_removed)
        assert sum(await counts()) == 200


async def test_contacts_that_a_dead_replica_had_taken_are_called_by_another_one(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_queue, "ACK_WAIT_SECONDS", 1.0)
    async with running(nats_url, 1, **LIMITS):
        await accept(bus_client, CREATE)
    await contacts.add(*range(0, 20, 2))
    dead = NatsContactQueue(bus_client)
    lost = await dead.take("spring", callee_of(number(0)).zone_group, 4, 60.0)
    assert len(lost) == 4
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, START)
        await until(contacts.is_empty)
    assert sorted(call.contact_id for call in await created(calls)) == sorted(f"c-{n}" for n in range(0, 20, 2))


async def test_the_contacts_that_wait_are_counted_after_the_server_was_killed(tmp_path: Path) -> None:
    with restartable_nats_server(tmp_path) as server:
        client = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        await provision(client)
        contacts, queue, zone_group = Contacts(client), NatsContactQueue(client), callee_of(number(0)).zone_group
        await contacts.add(*range(0, 12, 2))
        for taken in await queue.take("spring", zone_group, 6, 60.0):
            await taken.acknowledge()
        await until(contacts.is_empty)
        server.kill()
        await asyncio.to_thread(server.start)

        async def is_connected() -> bool:
            return client.is_connected

        await until(is_connected)
        await contacts.add(12, 14, 16)
        end = await queue.last_sequence()
        assert await queue.count("spring", end) == 3
        await queue.take("spring", zone_group, 1, 60.0)
        assert await queue.count("spring", end) == 3
        assert await queue.count("spring", end - 1) == 2
        assert await queue.count("other", end) == 0
        await client.close()


async def test_a_contact_whose_person_was_erased_is_refused_and_the_others_are_called(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    contacts = Contacts(bus_client, keyring)
    async with running(nats_url, 1, **LIMITS):
        await accept(bus_client, CREATE)
        await contacts.add(0, 2, 4)
        await bus_client.jetstream().publish(f"key.{DIGESTS.of(number(2))}", b"")
        await accept(bus_client, START)
        await until(contacts.is_empty)
    assert sorted(call.phone_number for call in await created(calls)) == [number(0), number(4)]
    (refused,) = [one.event for one in await calls.read([ContactRefused.subjects()])]
    assert isinstance(refused, ContactRefused)
    assert (refused.contact_id, refused.reason) == ("c-2", "phone_number: was erased while the contact waited")


async def test_only_groups_whose_hours_are_open_are_taken(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    zones = [f"Etc/GMT{offset:+}" for offset in range(-12, 13)]
    open_zone = next(zone for zone in zones if datetime.now(ZoneInfo(zone)).hour == 12)
    closed_zone = next(zone for zone in zones if datetime.now(ZoneInfo(zone)).hour in (3, 21))
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours = [{"days": days, "opens_at": "08:00", "closes_at": "18:00"}]
    terms = RequestedTerms.model_validate({**CREATE.terms.model_dump(), "weekly_hours": hours})
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, CampaignCreateRequested(campaign_id="spring", terms=terms), START)
        await contacts.add(1, 2, time_zone=closed_zone)
        await contacts.add(*range(3, 30), time_zone=open_zone)

        async def are_called() -> bool:
            return len(await created(calls)) == 27

        await until(are_called)
    assert await contacts.waiting() == 2
    assert {call.time_zone for call in await created(calls)} == {open_zone}


async def test_a_replica_that_stops_takes_no_further_contact(
    nats_url: str, bus_client: Client, calls: EventLog, contacts: Contacts
) -> None:
    bus = await connect_bus(Service.ORCHESTRATOR, nats_url)
    async with build(Settings.model_validate(LIMITS), bus):
        await bus.broker.start()
        await accept(bus_client, CREATE, START)
        await contacts.add(0)
        await until(contacts.is_empty)
        await bus.before_drain.aclose()
        await contacts.add(2)
        await asyncio.sleep(1)  # a pull that waited would have taken it
        assert await contacts.waiting() == 1
        await bus.broker.stop()
    assert len(await created(calls)) == 1
