"""Stored headers, reading events of a period, and publishing near the payload limit, on a real nats-server."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import MaxPayloadError

from chassis.direct_get import MAX_PAGE
from chassis.event_log import GUARD_SEQUENCE, MAX_HEADER_BYTES, EventLog, Guard, publish, size_of
from contracts import DialClaimed, Service, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS

SPEECH = EXAMPLES[SpeechHeard.event_name]
CLAIMS = DialClaimed.subjects()
COUNT = 3 * MAX_PAGE


async def append_claims(calls: EventLog, count: int) -> None:
    await asyncio.gather(*(calls.append(DialClaimed(call_id=UUID(int=number), attempt=1)) for number in range(count)))


async def test_the_events_of_a_period_are_those_that_the_server_stored_in_it(
    calls: EventLog, bus_client: Client
) -> None:
    await append_claims(calls, COUNT)
    await calls.append(SPEECH)
    js = bus_client.jetstream()
    first, last = [
        (await js.get_msg(CALLS.name, sequence, direct=True)).time
        for sequence in (MAX_PAGE // 2, COUNT - MAX_PAGE // 2)
    ]
    assert first
    assert last

    claims = await calls.read_period(CLAIMS, first, last)
    assert [claim.sequence for claim in claims] == list(range(MAX_PAGE // 2, COUNT - MAX_PAGE // 2 + 1))
    assert [claim.sequence for claim in await calls.read_period(CLAIMS, last, last)] == [claims[-1].sequence]
    assert len(await calls.read_period(CLAIMS, first - timedelta(hours=1), last + timedelta(hours=1))) == COUNT
    assert await calls.read_period(CLAIMS, first - timedelta(hours=1), first - timedelta(minutes=59)) == []
    assert await calls.read_period(CLAIMS, last + timedelta(hours=1), last + timedelta(hours=2)) == []


async def test_a_period_is_read_without_the_newest_message_of_a_wildcard(calls: EventLog, bus_client: Client) -> None:
    await append_claims(calls, 3)
    second = await bus_client.jetstream().get_msg(CALLS.name, 2, direct=True)
    assert second.time
    queries: list[bytes] = []

    async def note(message: Msg) -> None:
        queries.append(message.data)

    await bus_client.subscribe(f"$JS.API.STREAM.MSG.GET.{CALLS.name}", cb=note)
    await bus_client.flush()
    assert len(await calls.read_period(CLAIMS, second.time, second.time + timedelta(hours=1))) == 2
    await bus_client.flush()
    assert len(queries) == 1
    assert b"next_by_subj" in queries[0]


async def test_a_period_without_events_of_the_filter_is_empty(calls: EventLog) -> None:
    stored = await calls.append(SPEECH)
    hour = timedelta(hours=1)
    assert await calls.read_period(CLAIMS, stored.envelope.time - hour, stored.envelope.time + hour) == []


@pytest.mark.parametrize(
    ("event_name", "source", "is_written"),
    [
        ("dial.claimed", Service.VOICE, False),
        ("dial.claimed", "another", True),
        ("speech.heard", Service.EDGE, True),
    ],
    ids=["its only owner", "another service", "one of its owners"],
)
async def test_a_stored_event_has_no_header_that_its_message_implies(
    bus_client: Client, event_name: str, source: str, is_written: bool
) -> None:
    event, calls = EXAMPLES[event_name], EventLog(bus_client, CALLS.name, source=source)
    appended = await calls.append(event, guard=Guard(event.subject, 0))
    message = await bus_client.jetstream().get_msg(CALLS.name, appended.sequence)
    own = {"ce-source": source} if is_written else {}
    assert message.headers == {"Nats-Msg-Id": appended.envelope.id, **own, GUARD_SEQUENCE: "0"}
    stored = await calls.last(event.subject)
    assert stored
    assert (stored.envelope.id, stored.envelope.time) == (appended.envelope.id, message.time)
    assert stored.envelope.source == source


async def test_a_stored_request_names_its_source(bus_client: Client) -> None:
    """Upstream systems publish in the stream REQUESTS, too, and an older replica must know a command of the edge."""
    requests, block = EventLog(bus_client, REQUESTS.name, source=Service.EDGE), EXAMPLES["number.unblock_requested"]
    appended = await requests.append(block)
    message = await bus_client.jetstream().get_msg(REQUESTS.name, appended.sequence)
    assert (message.headers or {})["ce-source"] == Service.EDGE


@pytest.mark.parametrize("header_bytes", [0, 300, 60_000])
async def test_a_message_is_published_exactly_up_to_the_payload_limit(bus_client: Client, header_bytes: int) -> None:
    headers = {"note": "x" * header_bytes}
    body = b"x" * (bus_client.max_payload - size_of(b"", headers))
    await publish(bus_client, SPEECH.subject, body, headers)
    with pytest.raises(MaxPayloadError):
        await publish(bus_client, SPEECH.subject, body + b"x", headers)
    assert await stored_messages(bus_client) == 1


async def test_headers_that_no_stream_stores_are_not_sent(bus_client: Client) -> None:
    with pytest.raises(MaxPayloadError):
        await publish(bus_client, SPEECH.subject, b"", {"note": "x" * MAX_HEADER_BYTES})
    assert await stored_messages(bus_client) == 0


async def stored_messages(client: Client) -> int:
    """Returns the number of messages in the log; raises an error if the server has closed the connection."""
    await client.flush()
    return (await client.jetstream().stream_info(CALLS.name)).state.messages
