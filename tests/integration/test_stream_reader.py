"""Reading a stream on a real nats-server: following it, up to a sequence, and in pages."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.errors import APIError

from chassis import stream_reader, stream_scan
from chassis.background import run_in_background
from chassis.direct_get import MAX_PAGE, Page, StoredMessage, get_page
from chassis.event_log import EventLog
from chassis.provision import provision
from chassis.stream_reader import Reader, StreamRecreated, decoded, follow, last_sequence, read
from chassis.unreadable import UnreadableEvent
from contracts import DialPlaced, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, QUEUE

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


def sequences_of(messages: Iterable[StoredMessage]) -> list[int]:
    return [message.seq for message in messages]


async def read_all(client: Client, *arguments: Any, **options: Any) -> list[int]:
    return [message.seq async for message in read(client, CALLS.name, *arguments, **options)]


async def follow_until(client: Client, filters: Sequence[str], end_sequence: int, start_sequence: int = 1) -> list[int]:
    """Follows until the message with `end_sequence`, and returns the sequences of all messages."""
    sequences: list[int] = []
    async with asyncio.timeout(60), aclosing(follow(client, CALLS, filters, start_sequence=start_sequence)) as batches:
        async for batch in batches:
            sequences += sequences_of(batch)
            if sequences[-1] >= end_sequence:
                break
    return sequences


async def test_reading_ends_at_its_last_sequence_and_makes_no_consumer(bus_client: Client, dials: list[int]) -> None:
    consumers = (await bus_client.jetstream().stream_info(CALLS.name)).state.consumer_count
    assert await read_all(bus_client, DIALS, start_sequence=dials[1], end_sequence=dials[1]) == [dials[1]]
    assert await read_all(bus_client, end_sequence=dials[-1]) == list(range(1, dials[-1] + 1))
    literal = [f"dial.placed.{UUID(int=1)}"]
    assert await read_all(bus_client, literal, end_sequence=dials[-1]) == [dials[1]]
    assert (await bus_client.jetstream().stream_info(CALLS.name)).state.consumer_count == consumers


async def test_reading_beyond_the_end_of_the_stream_ends_with_the_stream(bus_client: Client, dials: list[int]) -> None:
    assert await read_all(bus_client, DIALS, end_sequence=10_000) == dials
    await bus_client.jetstream().delete_msg(CALLS.name, dials[-1] + 1)
    assert await read_all(bus_client, end_sequence=dials[-1] + 1) == list(range(1, dials[-1] + 1))


async def test_several_pages_are_read_without_a_gap(bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_scan, "BATCH", 4)
    js, sequences = bus_client.jetstream(), []
    for number in range(15):
        stored = await js.publish(f"{'dial.placed' if number % 3 else 'speech.heard'}.{number}", b"{}")
        sequences += [stored.seq] if number % 3 else []
    await js.delete_msg(CALLS.name, sequences[4])
    expected = [*sequences[:4], *sequences[5:]]
    assert await read_all(bus_client, DIALS, end_sequence=15) == expected
    assert await follow_until(bus_client, DIALS, expected[-1]) == expected


@pytest.mark.parametrize("behind", [1, 3])
async def test_a_node_that_lags_is_asked_again(
    bus_client: Client, dials: list[int], behind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lags = 5

    async def page_of_a_node_that_lags(*arguments: Any, **options: Any) -> Page:
        nonlocal lags
        page = await get_page(*arguments, **options)
        lags -= 1
        return Page(page.messages[:-behind]) if lags > 0 else page

    monkeypatch.setattr(stream_scan, "get_page", page_of_a_node_that_lags)
    assert await read_all(bus_client, DIALS, end_sequence=dials[-1]) == dials
    lags = 5
    assert await follow_until(bus_client, DIALS, dials[-1]) == dials


async def test_a_follower_that_hears_of_no_new_message_finds_it(
    bus_client: Client, dials: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: Any, message: Msg) -> None:
        pass

    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(stream_reader.Reader, "_receive", lose)
    end_sequence = dials[-1] + 7
    following = asyncio.create_task(follow_until(bus_client, DIALS, end_sequence))
    await asyncio.sleep(0.5)
    js = bus_client.jetstream()
    stored = [(await js.publish(f"dial.placed.{number}", b"{}")).seq for number in range(6)]
    assert stored[-1] == end_sequence
    assert await following == [*dials, *stored]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequence at which each page begins that a reader has requested."""
    begun = list[int]()

    async def note(*arguments: Any, start_sequence: int, **options: Any) -> Page:
        begun.append(start_sequence)
        return await get_page(*arguments, start_sequence=start_sequence, **options)

    monkeypatch.setattr(stream_scan, "get_page", note)
    return begun


async def test_an_idle_follower_reads_no_page_of_what_does_not_match(
    bus_client: Client, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 0.2)
    js, reader = bus_client.jetstream(), Reader(bus_client, CALLS, DIALS, start_sequence=1)
    async with asyncio.timeout(60), reader.is_woken_by_live():
        dial = await js.publish("dial.placed.a", b"{}")
        assert sequences_of((await reader.next()).messages) == [dial.seq]
        begun = list(pages)
        for number in range(60):
            await js.publish(f"speech.heard.{number}", b"{}")
        assert (await reader.next()).messages == []
        monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 3600)
        dial = await js.publish("dial.placed.b", b"{}")
        assert sequences_of((await reader.next()).messages) == [dial.seq]
    assert pages == begun, "the leader was asked once, and the live message follows directly"


async def test_a_live_message_that_follows_directly_is_returned_without_a_request(
    bus_client: Client, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 3600)
    js, reader = bus_client.jetstream(), Reader(bus_client, QUEUE, QUEUE.subjects, start_sequence=1)
    async with asyncio.timeout(60), reader.is_woken_by_live():
        await js.publish("queue.joined.a", b"first")
        assert sequences_of((await reader.next()).messages) == [1]
        begun = list(pages)
        for body in (b"second", b"third"):
            await js.publish("queue.joined.a", body, headers={"ce-id": "an id"})
            [message] = (await reader.next()).messages
            assert (message.subject, message.data, message.headers) == ("queue.joined.a", body, {"ce-id": "an id"})
        assert message == (await get_page(bus_client, QUEUE.name, ">")).messages[-1]
    assert pages == begun


async def test_a_page_is_read_where_a_live_message_is_missing(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    js, reader, receive = bus_client.jetstream(), Reader(bus_client, QUEUE, QUEUE.subjects, start_sequence=1), []

    async def lose_the_second(self: Reader, message: Msg) -> None:
        receive.append(message)
        if len(receive) != 2:
            await original(self, message)

    original = Reader._receive
    monkeypatch.setattr(Reader, "_receive", lose_the_second)
    async with asyncio.timeout(60), reader.is_woken_by_live():
        for number in range(4):
            await js.publish(f"queue.joined.{number}", b"{}")
        read = list[int]()
        while len(read) < 4:
            read += sequences_of((await reader.next()).messages)
        assert read == [1, 2, 3, 4]


async def test_a_message_that_is_deleted_before_it_is_read_does_not_keep_a_reader_busy(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    js, reader = bus_client.jetstream(), Reader(bus_client, CALLS, DIALS, start_sequence=1)

    async def delete_third(*arguments: Any, start_sequence: int, **options: Any) -> Page:
        with suppress(APIError):
            await js.delete_msg(CALLS.name, 3)
        return await get_page(*arguments, start_sequence=start_sequence, **options)

    async with asyncio.timeout(60), reader.is_woken_by_live():
        await js.publish("dial.placed.a", b"{}")
        assert sequences_of((await reader.next()).messages) == [1]
        monkeypatch.setattr(stream_scan, "get_page", delete_third)
        await js.publish("speech.heard.b", b"{}")
        await js.publish("dial.placed.b", b"{}")
        assert sequences_of((await reader.next()).messages) == []
        await js.publish("dial.placed.c", b"{}")
        read = (await reader.next()).messages or (await reader.next()).messages
        assert sequences_of(read) == [4]


@pytest.mark.parametrize("count", [0, 2, 9], ids=["empty", "shorter", "longer"])
async def test_a_follower_notices_that_the_stream_was_created_again(
    bus_client: Client, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 0.2)
    js = bus_client.jetstream()
    for number in range(5):
        await js.publish(f"queue.joined.{number}", b"{}")
    async with aclosing(follow(bus_client, QUEUE, QUEUE.subjects, start_sequence=1)) as batches:
        assert sequences_of(await anext(batches)) == [1, 2, 3, 4, 5]
        await js.delete_stream(QUEUE.name)
        await provision(bus_client)
        for number in range(count):
            await js.publish(f"queue.joined.{number}", b"{}")
        with pytest.raises(StreamRecreated):
            await _consume(batches)


async def test_a_follower_of_a_new_stream_asks_although_messages_wake_it(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 0.5)
    js, reader = bus_client.jetstream(), Reader(bus_client, QUEUE, QUEUE.subjects, start_sequence=1)

    async def publish_without_an_end() -> None:
        while True:
            await js.publish("queue.joined.a", b"{}")
            await asyncio.sleep(0.1)

    async with asyncio.timeout(60), reader.is_woken_by_live():
        for _ in range(1_000):
            await js.publish("queue.joined.a", b"{}")
        while (await reader.next()).messages:
            pass
        await js.delete_stream(QUEUE.name)
        await provision(bus_client)
        async with run_in_background(publish_without_an_end()):
            with pytest.raises(StreamRecreated):
                await reader.next()


async def test_followed_events_are_decoded_without_messages_that_are_no_events(
    bus_client: Client, calls: EventLog
) -> None:
    await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
    stored = await calls.append(SPEECH)
    skipped: list[UnreadableEvent] = []
    following = follow(bus_client, CALLS, [SPEECH.subject], start_sequence=1)
    async with aclosing(decoded(following, CALLS, skip=skipped.append)) as batches:
        assert await anext(batches) == [stored]
    assert [error.sequence for error in skipped] == [1]
    following = follow(bus_client, CALLS, [SPEECH.subject], start_sequence=1)
    async with aclosing(decoded(following, CALLS)) as batches:
        assert await anext(batches) == []
        with pytest.raises(UnreadableEvent):
            await anext(batches)


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


async def _consume(batches: AsyncIterator[list[StoredMessage]]) -> None:
    async for _ in batches:
        pass
