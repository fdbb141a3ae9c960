"""Wrapping the keys of persons again under another master key, on a real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.calls import a_call
from tests.builders.events import call_created

from centralita.operations import master_key_rotation
from centralita.operations.master_key_rotation import Rotation, rotate
from chassis.event_log import EventLog, Guard, publish
from chassis.keyring import Keyring
from contracts import CallDecision
from contracts.filters import call_state_filter
from contracts.personal import ERASED
from contracts.streams import CALLS, KEYS
from sealing import MasterKey, PersonKey, WrongMasterKey

FORMER, NEW, OTHER = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
BOTH = MasterKey(NEW, MasterKey(FORMER))
PERSONS = [f"{number:032x}" for number in range(3)]
CALLS_OF = {
    person: a_call(call_id=UUID(person), number_digest=person, phone_number=f"+1212555010{person[-1]}")
    for person in PERSONS
}


@asynccontextmanager
async def log_of(client: Client, master_key: MasterKey) -> AsyncIterator[EventLog]:
    async with Keyring(client, master_key).is_current() as keyring:
        yield EventLog(client, CALLS.name, source="test", keyring=keyring)


async def number_of(log: EventLog, person: str) -> str:
    stored = await log.last(call_state_filter(CALLS_OF[person].call_id))
    assert stored
    assert isinstance(stored.event, CallDecision)
    return stored.event.call.phone_number


async def append_calls(client: Client, master_key: MasterKey, persons: list[str]) -> None:
    async with log_of(client, master_key) as log:
        for person in persons:
            await log.append(call_created(CALLS_OF[person]))


async def under(client: Client, master_key: MasterKey) -> list[str]:
    """Returns whose keys are wrapped under this master key."""
    js = client.jetstream()
    subjects = [f"key.{person}" for person in ("check", *PERSONS)]
    found = []
    for subject in subjects:
        try:
            message = await js.get_last_msg(KEYS.name, subject)
        except NotFoundError:
            continue
        if master_key.has_wrapped(message.data or b""):
            found.append(subject.rpartition(".")[2])
    return found


def no_progress(stage: str, done: int, total: int) -> None:
    assert done <= total + 1, stage


async def test_after_a_rotation_the_new_master_key_alone_opens_everything(bus_client: Client) -> None:
    await append_calls(bus_client, MasterKey(FORMER), PERSONS)
    assert await rotate(bus_client, BOTH, no_progress) == Rotation(rotated=4)
    async with log_of(bus_client, MasterKey(NEW)) as log:
        assert [await number_of(log, person) for person in PERSONS] == [
            CALLS_OF[person].phone_number for person in PERSONS
        ]
    with pytest.raises(WrongMasterKey):
        await append_calls(bus_client, MasterKey(FORMER), [])


async def test_a_process_with_both_keys_follows_the_rotation(bus_client: Client, nats_url: str) -> None:
    """Before it, a new key can be read by processes that know the former master key only; after it, by the new one."""
    await append_calls(bus_client, MasterKey(FORMER), PERSONS[:1])
    service = await nats.connect(nats_url)
    try:
        async with log_of(service, BOTH) as log:
            await log.append(call_created(CALLS_OF[PERSONS[1]]))
            assert await under(bus_client, MasterKey(FORMER)) == ["check", *PERSONS[:2]]
            await rotate(bus_client, BOTH, no_progress)
            await service.flush()
            await log.append(call_created(CALLS_OF[PERSONS[2]]))
            assert await under(bus_client, MasterKey(NEW)) == ["check", *PERSONS]
            assert [await number_of(log, person) for person in PERSONS] == [
                CALLS_OF[person].phone_number for person in PERSONS
            ]
    finally:
        await service.close()


async def test_an_interrupted_rotation_continues(bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await append_calls(bus_client, MasterKey(FORMER), PERSONS)
    published = 0

    async def interrupted(client: Client, subject: str, body: bytes, headers: dict[str, str]) -> object:
        nonlocal published
        published += 1
        if published > 2:
            raise ConnectionResetError
        return await publish(client, subject, body, headers)

    with monkeypatch.context() as patch:
        patch.setattr(master_key_rotation, "publish", interrupted)
        with pytest.raises(ConnectionResetError):
            await rotate(bus_client, BOTH, no_progress)
    assert len(await under(bus_client, MasterKey(NEW))) == 2
    assert await rotate(bus_client, BOTH, no_progress) == Rotation(rotated=2)
    assert await rotate(bus_client, BOTH, no_progress) == Rotation()


async def test_a_key_that_is_destroyed_during_a_rotation_stays_destroyed(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_calls(bus_client, MasterKey(FORMER), PERSONS)
    subject = f"key.{PERSONS[1]}"

    async def after_a_destruction(client: Client, to: str, body: bytes, headers: dict[str, str]) -> object:
        if to == subject:
            sequence = int(headers["Nats-Expected-Last-Subject-Sequence"])
            await publish(client, to, b"", Guard(to, sequence).headers(to))
        return await publish(client, to, body, headers)

    monkeypatch.setattr(master_key_rotation, "publish", after_a_destruction)
    assert await rotate(bus_client, BOTH, no_progress) == Rotation(rotated=3, destroyed=1)
    async with log_of(bus_client, MasterKey(NEW)) as log:
        assert await number_of(log, PERSONS[1]) == ERASED
        assert await number_of(log, PERSONS[2]) == CALLS_OF[PERSONS[2]].phone_number


async def test_keys_under_another_master_key_are_counted_and_stay(bus_client: Client) -> None:
    await append_calls(bus_client, MasterKey(FORMER), PERSONS[:1])
    foreign = MasterKey(OTHER).wrap(PersonKey.generate(), PERSONS[1])
    await bus_client.jetstream().publish(f"key.{PERSONS[1]}", foreign)
    assert await rotate(bus_client, BOTH, no_progress) == Rotation(rotated=2, unknown=1)
    assert await under(bus_client, MasterKey(OTHER)) == [PERSONS[1]]


async def test_two_wrong_master_keys_change_nothing(bus_client: Client) -> None:
    await append_calls(bus_client, MasterKey(FORMER), PERSONS)
    with pytest.raises(WrongMasterKey):
        await rotate(bus_client, MasterKey(NEW, MasterKey(OTHER)), no_progress)
    assert await under(bus_client, MasterKey(FORMER)) == ["check", *PERSONS]


async def test_a_server_without_keys_is_refused(bus_client: Client) -> None:
    with pytest.raises(NotFoundError):
        await rotate(bus_client, BOTH, no_progress)
