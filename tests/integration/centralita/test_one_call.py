"""The messages of one call are found among those of many others, with the same number of requests."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.calls import NOW, a_call
from tests.builders.events import call_created, status_changed
from tests.builders.long_call import append_long_call

from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from chassis.direct_get import Page, get_page
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallChangeRequested,
    CallRequested,
    CallStatus,
    DialClaimed,
    DialCleared,
    DialPlaced,
    Event,
    call_id_of,
)
from contracts.streams import CALLS, REQUESTS
from records import one_call
from records.messages import Message
from records.one_call import FIRST_NEAR, messages_of_call

QUEUED_UNTIL: datetime = NOW + timedelta(days=1)
CALL_ID = call_id_of("request-1")


def granted(call: Call, attempt: int = 1) -> AdmissionGranted:
    return AdmissionGranted(
        call_id=call.call_id, campaign_id="c", attempt=attempt, due_sequence=1, replay_from_sequence=1
    )


class Writer:
    """Writes the log of one call, and grants and permits of others around each of its messages."""

    def __init__(self, client: Client, others: int) -> None:
        self.calls = EventLog(client, CALLS.name, source="test")
        self.requests = EventLog(client, REQUESTS.name, source="test")
        self.others = others

    async def append(self, event: Event) -> int:
        for number in range(self.others):
            other = a_call(request_id=f"other-{number}")
            await self.calls.append(granted(other))
            await self.calls.append(DialCleared(call_id=other.call_id, attempt=1, replay_from_sequence=1))
        return (await self.calls.append(event)).sequence

    async def dial(self, attempt: int) -> Call:
        sequence = await self.append(granted(a_call(), attempt))
        dialing = a_call(CallStatus.DIALING, attempt=attempt).model_copy(update={"granted_sequence": sequence})
        await self.append(status_changed(dialing))
        await self.append(DialCleared(call_id=CALL_ID, attempt=attempt, replay_from_sequence=1))
        await self.append(DialClaimed(call_id=CALL_ID, attempt=attempt))
        await self.append(DialPlaced(call_id=CALL_ID, attempt=attempt, provider_call_id="CA1"))
        return dialing

    async def write(self) -> None:
        queued = {"is_queued": True, "deadline_at": QUEUED_UNTIL}
        request = CallRequested(
            request_id="request-1", campaign_id="c", contact_id="1", phone_number="+12125550123", script_template="Hi."
        )
        for _ in range(self.others):
            await self.requests.append(request.model_copy(update={"request_id": f"another-{_}"}))
        position = (await self.requests.append(request)).sequence
        await self.requests.append(CallChangeRequested(call_id=CALL_ID, metadata={"desk": "7"}))
        created = a_call().model_copy(update={**queued, "command_sequence": position})
        await self.append(call_created(created))
        dialing = await self.dial(1)
        again = created.model_copy(update={"attempt": 1, "granted_sequence": dialing.granted_sequence})
        await self.append(status_changed(again, previous=CallStatus.DIALING))
        dialing = await self.dial(2)
        waiting = again.model_copy(update={"attempt": 2, "granted_sequence": dialing.granted_sequence})
        await self.append(status_changed(waiting, previous=CallStatus.DIALING))
        canceled = a_call(CallStatus.CANCELED, attempt=2)
        await self.append(status_changed(canceled.model_copy(update={"granted_sequence": dialing.granted_sequence})))
        sequence = await self.append(granted(a_call(), attempt=3))
        await self.append(AdmissionReleased(call_id=CALL_ID, attempt=3, grant_sequence=sequence))


async def requests_for_record(client: Client) -> int:
    """Returns how many requests the server received for the record of the call, and compares it with the streams."""
    subjects: list[str] = []

    async def on_request(message: Msg) -> None:
        subjects.append(message.subject)

    watching = [await client.subscribe(one, cb=on_request) for one in ("$JS.API.DIRECT.>", "$JS.API.STREAM.MSG.GET.>")]
    await client.flush()
    found = await messages_of_call(client, CALL_ID)
    await client.flush()
    await asyncio.sleep(0)
    for subscription in watching:
        await subscription.unsubscribe()
    assert contents(found) == contents((await from_streams(client, Scope(call_id=CALL_ID))).messages)
    return len(subjects)


def contents(messages: list[Message]) -> list[tuple[str, int, str, bytes]]:
    return [(one.stream, one.sequence, one.subject, one.body) for one in messages]


@pytest.mark.parametrize("others", [0, 20])
async def test_the_record_of_a_call_has_its_grants_permits_and_releases(bus_client: Client, others: int) -> None:
    await Writer(bus_client, others).write()
    assert await requests_for_record(bus_client) == await requests_for_record(bus_client) <= 40
    names = [one.subject.split(".")[1] for one in await messages_of_call(bus_client, CALL_ID)]
    assert [names.count(one) for one in ("requested", "granted", "cleared", "released")] == [1, 3, 2, 1]


async def test_a_permit_is_read_with_few_of_other_calls(bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(bus_client, 0)
    await writer.write()
    writer.others = 150
    await writer.append(status_changed(a_call(CallStatus.CANCELED, attempt=2)))
    read: list[int] = []

    async def counted(*arguments: Any, **options: Any) -> Page:
        page = await get_page(*arguments, **options)
        read.append(len(page.messages))
        return page

    monkeypatch.setattr(one_call, "get_page", counted)
    found = await messages_of_call(bus_client, CALL_ID)
    assert [one.subject for one in found].count("dial.cleared") == 2
    assert max(read) == FIRST_NEAR


async def test_only_decisions_are_decoded_to_find_the_messages(
    bus_client: Client, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(bus_client, CALLS.name, source="test", keyring=keyring)
    await append_long_call(log, a_call(), events=60)
    decoded: list[str] = []
    monkeypatch.setattr(Message, "stored_event", lambda message: _noted(message, decoded))
    assert len(await messages_of_call(bus_client, CALL_ID)) == 60
    assert {subject.split(".")[0] for subject in decoded} == {"call"}
    assert len(decoded) == 5


STORED_EVENT = Message.stored_event


def _noted(message: Message, decoded: list[str]) -> StoredEvent:
    decoded.append(message.subject)
    return STORED_EVENT(message)
