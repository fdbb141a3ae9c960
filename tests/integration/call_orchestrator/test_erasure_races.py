"""What another replica stores about a person while the erasure destroys the key does not stay readable."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.requests import request
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until
from tests.integration.call_orchestrator.test_erasure import (
    ERASE,
    NUMBER,
    OTHER_NUMBER,
    PERSON,
    add_contact,
    ask,
    command_for,
    erased,
    erasure_of,
    verified,
)

from call_orchestrator.application.erasure import ErasureUnfinished
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from contracts import CallCancelRequested, CallStatus, ContactRefused, PersonErased
from contracts.personal import ERASED
from contracts.streams import CONTACTS, KEYS, SCHEDULES


@dataclass
class KeysDuring:
    """Destroys a key, and lets another replica append something just after that, once."""

    keyring: Keyring
    append: Callable[[], Awaitable[object]]
    is_first: bool = True

    async def destroy(self, person: str) -> bool:
        had_key = await self.keyring.destroy(person)
        if self.is_first:
            self.is_first = False
            await self.append()
        return had_key


async def has_key(client: Client, person: str = PERSON) -> bool:
    return bool((await client.jetstream().get_last_msg(KEYS.name, f"key.{person}")).data)


def erasure_during(client: Client, calls: EventLog, keyring: Keyring, append: Callable[[], Awaitable[object]]) -> Any:
    """Returns the operation, and the messages of the person."""
    erasure, messages = erasure_of(client, calls, keyring, [0])
    erasure._keys = KeysDuring(keyring, append)
    return erasure, messages


async def test_a_contact_that_is_added_while_the_key_is_destroyed_is_removed(
    bus_client: Client, calls: EventLog, keyring: Keyring
) -> None:
    contacts = EventLog(bus_client, CONTACTS.name, source="test", keyring=keyring)
    erasure, messages = erasure_during(bus_client, calls, keyring, lambda: add_contact(contacts, "c-1", NUMBER))
    command = command_for(PERSON, "erase")
    with pytest.raises(ErasureUnfinished):
        await erasure.handle(command)
    assert await erased(calls) is None, "it is not certified while the contact can be read"
    assert (await erasure.handle(command)).accepted
    assert await messages.contacts(PERSON) == []
    assert not await has_key(bus_client)
    refused = [stored.event for stored in await calls.read([ContactRefused.subjects()])]
    assert [one.contact_id for one in refused if isinstance(one, ContactRefused)] == ["c-1"]


@pytest.mark.parametrize("is_granted", [True, False], ids=["granted", "canceled"])
async def test_a_call_that_is_created_while_the_key_is_destroyed_is_erased_at_its_end(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring, is_granted: bool
) -> None:
    """It has no timer yet, so the erasure does not find it, and is certified while the call has a new key."""
    due_at = datetime.now(UTC) - timedelta(minutes=1)
    created = a_call(
        call_id=UUID(int=77),
        phone_number=NUMBER,
        number_digest=PERSON,
        status=CallStatus.PENDING,
        created_at=due_at,
        due_at=due_at,
        is_queued=is_granted,
        deadline_at=due_at + timedelta(days=1),
    )
    erasure, _ = erasure_during(bus_client, calls, keyring, lambda: calls.append(call_created(created)))
    assert (await erasure.handle(command_for(PERSON, "erase"))).accepted
    assert await has_key(bus_client)
    assert (await bus_client.jetstream().stream_info(SCHEDULES.name)).state.messages == 0
    async with running(nats_url, 1):
        if not is_granted:
            assert (await outcome_of(bus_client, CallCancelRequested(call_id=created.call_id))).accepted

        async def is_erased_again() -> bool:
            return len(await calls.read([PersonErased.subject_for(PERSON)])) == 2

        await until(is_erased_again)
    ended = await call_of(calls, created.call_id)
    assert ended
    assert ended.status is (CallStatus.FAILED if is_granted else CallStatus.CANCELED)
    assert ended.phone_number == ERASED
    assert not await has_key(bus_client)


async def test_the_calls_that_an_erasure_cancels_do_not_erase_the_person_again(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    later = datetime.now(UTC) + timedelta(days=3)
    async with running(nats_url, 1, max_concurrent_calls=1):
        first, second = await ask(
            bus_client, request("first", scheduled_at=later), request("second", scheduled_at=later)
        )
        await until(lambda: call_of(calls, second))
        assert (await outcome_of(bus_client, ERASE)).accepted
        returned, other = await ask(bus_client, request("returned"), request("other", OTHER_NUMBER))
        await until(lambda: call_of(calls, returned))
        await until(lambda: call_of(calls, other))
        await outcome_of(bus_client, CallCancelRequested(call_id=first))  # a repetition of its effects
        assert await has_key(bus_client), "the person came back"
    assert len(await calls.read([PersonErased.subject_for(PERSON)])) == 1
    verification = await verified(bus_client)
    assert (verification.drifts, verification.doubts) == ((), ())
