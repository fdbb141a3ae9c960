"""Reading a stream on a real nats-server: following it, up to a sequence, and in pages."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError
from nats.js import JetStreamContext

from chassis.direct_get import MAX_PAGE, get_page
from chassis.event_log import EventLog
from chassis.stream_reader import Incomplete, follow, follow_events, last_sequence, read
from chassis.unreadable import UnreadableEvent
from contracts import DialPlaced, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.streams import CALLS

SPEECH = EXAMPLES[SpeechHeard.event_name]
DIALS = [DialPlaced.subjects()]
COUNT = MAX_PAGE + 10


@pytest.fixture
async def dials(bus_client: Client, calls: EventLog) -> list[int]:
    """Appends dials with another event between two of them; returns the sequences of the dials."""
    js, sequences = bus_client.jetstream(), []
    for number in range(3):
        dial = DialPlaced(call_id=UUID(int=number), attempt=1, provider_call_id="CA1")
        sequences.append((await calls.append(dial)).sequence)
        await js.publish(SPEECH.subject, SPEECH.model_dump_json().encode())
    return sequences


async def test_reading_ends_at_its_last_sequence_and_leaves_no_consumer(bus_client: Client, dials: list[int]) -> None:
    consumers = (await bus_client.jetstream().stream_info(CALLS.name)).state.consumer_count
    read_dials = [
        message.metadata.sequence.stream
        async for message in read(bus_client, CALLS.name, DIALS, start_sequence=dials[1], end_sequence=dials[1])
    ]
    assert read_dials == [dials[1]]
    everything = [message async for message in read(bus_client, CALLS.name, end_sequence=dials[-1], headers_only=True)]
    assert [message.metadata.sequence.stream for message in everything] == list(range(1, dials[-1] + 1))
    assert {message.data for message in everything} == {b""}
    assert (await bus_client.jetstream().stream_info(CALLS.name)).state.consumer_count == consumers


async def test_reading_beyond_the_end_of_the_stream_ends_with_the_stream(bus_client: Client, dials: list[int]) -> None:
    messages = [message async for message in read(bus_client, CALLS.name, DIALS, end_sequence=10_000)]
    assert [message.metadata.sequence.stream for message in messages] == dials


async def test_following_ends_at_its_last_sequence(bus_client: Client, dials: list[int]) -> None:
    following = follow(bus_client, CALLS, DIALS, start_sequence=1, end_sequence=dials[1])
    async with aclosing(following) as batches:
        sequences = [message.metadata.sequence.stream async for batch in batches for message in batch]
    assert sequences[:2] == dials[:2]
    nothing = follow(bus_client, CALLS, DIALS, start_sequence=2, end_sequence=1)
    assert [batch async for batch in nothing] == []


@pytest.mark.parametrize("lost", [0, 1, 2], ids=["the first", "one in the middle", "the last"])
async def test_following_reads_a_message_again_that_was_lost_on_the_way(
    bus_client: Client, dials: list[int], lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe, deliveries = bus_client.subscribe, 0

    async def subscribe_with_a_loss(subject: str, cb: Callable[[Msg], Awaitable[None]]) -> Subscription:
        async def pass_on(message: Msg) -> None:
            nonlocal deliveries
            deliveries += 1
            if deliveries != lost + 1:
                await cb(message)

        return await subscribe(subject, cb=pass_on)

    monkeypatch.setattr(bus_client, "subscribe", subscribe_with_a_loss)
    sequences = []
    async with asyncio.timeout(50):
        following = follow(bus_client, CALLS, DIALS, start_sequence=1, end_sequence=dials[-1])
        async with aclosing(following) as batches:
            async for batch in batches:
                sequences += [message.metadata.sequence.stream for message in batch]
    assert sequences == dials


async def test_reading_raises_incomplete_when_a_message_was_lost_on_the_way(
    bus_client: Client, dials: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = JetStreamContext.PullSubscription.fetch

    async def lose_the_second(self: JetStreamContext.PullSubscription, *args: Any, **options: Any) -> list[Msg]:
        messages = await fetch(self, *args, **options)
        return [messages[0], *messages[2:]]

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", lose_the_second)
    with pytest.raises(Incomplete, match="delivery 2 was lost"):
        [message async for message in read(bus_client, CALLS.name, DIALS, end_sequence=dials[-1])]


async def test_followed_events_are_decoded_without_messages_that_are_no_events(
    bus_client: Client, calls: EventLog
) -> None:
    await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
    stored = await calls.append(SPEECH)
    skipped: list[UnreadableEvent] = []
    following = follow_events(
        bus_client, CALLS, [SPEECH.subject], start_sequence=1, end_sequence=stored.sequence, skip=skipped.append
    )
    async with aclosing(following) as batches:
        assert [event async for batch in batches for event in batch] == [stored]
    assert [error.sequence for error in skipped] == [1]


async def test_pages_continue_where_the_page_before_them_ends(bus_client: Client, calls: EventLog) -> None:
    js = bus_client.jetstream()
    body = SPEECH.model_dump_json().encode()
    sequences = [(await js.publish(SPEECH.subject, body)).seq for _ in range(COUNT)]
    first = await get_page(bus_client, CALLS.name, SPEECH.subject)
    assert ([message.seq for message in first.messages], first.has_more) == (sequences[:MAX_PAGE], True)
    rest = await get_page(bus_client, CALLS.name, SPEECH.subject, start_sequence=sequences[MAX_PAGE])
    assert ([message.seq for message in rest.messages], rest.has_more) == (sequences[MAX_PAGE:], False)
    later = await get_page(bus_client, CALLS.name, SPEECH.subject, start_time=first.messages[5].time, limit=2)
    assert [message.seq for message in later.messages] == sequences[5:7]
    assert [stored.sequence for stored in await calls.read([SPEECH.subject])] == sequences


async def test_a_page_without_messages_is_empty_and_a_missing_stream_is_an_error(bus_client: Client) -> None:
    page = await get_page(bus_client, CALLS.name, SPEECH.subject)
    assert (page.messages, page.has_more) == ([], False)
    with pytest.raises(NoRespondersError):
        await get_page(bus_client, "MISSING", SPEECH.subject)


async def test_the_last_sequence_counts_deleted_messages(bus_client: Client, dials: list[int]) -> None:
    newest = await last_sequence(bus_client, CALLS.name)
    await bus_client.jetstream().delete_msg(CALLS.name, newest)
    assert await last_sequence(bus_client, CALLS.name) == newest > dials[-1]
