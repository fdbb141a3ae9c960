"""The stream CONTACTS on a real server: one waiting contact per number and campaign, taken by groups."""

import asyncio
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError

from chassis.event_log import EventLog
from contracts import ContactAdded, ContactGroupAdded
from contracts.callees import callee_of
from contracts.streams import CONTACTS

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
MADRID, NEW_YORK = callee_of("+34912345678"), callee_of("+12125550123")
EXCEEDED = 10077
"""The server's error code: maximum messages per subject exceeded."""


@pytest.fixture
def contacts(bus_client: Client) -> EventLog:
    return EventLog(bus_client, CONTACTS.name, source="test")


def contact(number: int, campaign: str = "spring", group: str = MADRID.zone_group) -> ContactAdded:
    return ContactAdded(
        campaign_id=campaign,
        zone_group=group,
        number_digest=f"{number:032x}",
        contact_id=f"c-{number}",
        phone_number=f"+349100000{number:02}",
        created_at=AT,
    )


async def taken(client: Client, campaign: str, group: str, count: int) -> list[str]:
    """Takes contacts of one group as the orchestrator does; returns their ids."""
    js, name = client.jetstream(), f"{campaign}-{group}"
    filter_subject = ContactAdded.subjects(campaign, group)
    await js.add_consumer(CONTACTS.name, ConsumerConfig(durable_name=name, filter_subject=filter_subject))
    subscription = await js.pull_subscribe_bind(durable=name, stream=CONTACTS.name)
    messages = await subscription.fetch(count, timeout=60)
    for message in messages:
        await message.ack_sync()
    await subscription.unsubscribe()
    await js.delete_consumer(CONTACTS.name, name)
    return [ContactAdded.model_validate_json(message.data).contact_id for message in messages]


async def test_a_number_waits_once_in_a_campaign_until_it_is_taken(bus_client: Client, contacts: EventLog) -> None:
    await contacts.append(contact(1))
    with pytest.raises(APIError) as refused:
        await contacts.append(contact(1))
    assert refused.value.err_code == EXCEEDED
    await contacts.append(contact(1, campaign="autumn"))
    assert await taken(bus_client, "spring", MADRID.zone_group, 1) == ["c-1"]
    await contacts.append(contact(1))
    assert await contacts.last(contact(1).subject)


async def test_fifty_publishers_of_the_same_number_add_it_once(bus_client: Client, contacts: EventLog) -> None:
    answers = await asyncio.gather(*(contacts.append(contact(1)) for _ in range(50)), return_exceptions=True)
    assert len([answer for answer in answers if not isinstance(answer, APIError)]) == 1
    assert (await bus_client.jetstream().stream_info(CONTACTS.name)).state.messages == 1


async def test_contacts_are_taken_by_group_in_their_order_and_leave_the_stream(
    bus_client: Client, contacts: EventLog
) -> None:
    for number in range(4):
        await contacts.append(contact(number, group=(MADRID if number % 2 else NEW_YORK).zone_group))
    assert await taken(bus_client, "spring", NEW_YORK.zone_group, 2) == ["c-0", "c-2"]
    assert await taken(bus_client, "spring", MADRID.zone_group, 2) == ["c-1", "c-3"]
    assert (await bus_client.jetstream().stream_info(CONTACTS.name)).state.messages == 0


async def test_a_group_is_announced_once_and_stays_after_its_contacts(bus_client: Client, contacts: EventLog) -> None:
    group = ContactGroupAdded(
        campaign_id="spring",
        zone_group=NEW_YORK.zone_group,
        country=NEW_YORK.country,
        regions=NEW_YORK.regions,
        zones=NEW_YORK.zones,
    )
    await contacts.append(group)
    await contacts.append(contact(1, group=group.zone_group))
    await taken(bus_client, "spring", group.zone_group, 1)
    with pytest.raises(APIError):
        await contacts.append(group)
    found = await contacts.read([ContactGroupAdded.subjects("spring")])
    assert [stored.event for stored in found] == [group]
