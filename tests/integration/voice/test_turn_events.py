"""The events of a turn: from one standing listener, or its history in one page and the rest from the listener."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg
from tests.integration.voice.conftest import RequestAudio, StartCall

from chassis.background import run_in_background
from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested, CallStatusChanged, SpeechHeard
from contracts.filters import TURN_FILTERS
from voice.adapters import turn_events as module
from voice.adapters.turn_events import TurnEventReader


async def hear(calls: EventLog, event: CallStatusChanged, turn: int) -> int:
    """Appends an utterance and returns its sequence."""
    heard = SpeechHeard(call_id=event.call_id, attempt=event.attempt, turn=turn, text="Yes.", language="en")
    return (await calls.append(heard)).sequence


async def next_texts(events: AsyncIterator[StoredEvent], count: int) -> list[str]:
    """Returns the texts of the next sentences."""
    texts: list[str] = []
    async with asyncio.timeout(60):
        while len(texts) < count:
            event = (await anext(events)).event
            if isinstance(event, AudioRequested):
                texts.append(event.text)
    return texts


async def test_a_turn_has_the_sentences_after_its_utterance_stored_and_new_ones(
    turn_events: TurnEventReader, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event, other = await start_call(), await start_call()
    await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Of the turn before.")
    heard_sequence = await hear(calls, event, 2)
    await request_audio(event, 2, 0, "Stored.")
    async with turn_events.follow(event.call_id, heard_sequence) as events:
        assert await next_texts(events, 1) == ["Stored."]
        await request_audio(other, 2, 0, "Of another call.")
        await request_audio(event, 2, 1, "New.")
        assert await next_texts(events, 1) == ["New."]


async def test_without_a_position_a_turn_is_read_from_the_beginning_of_its_call(
    turn_events: TurnEventReader, calls: EventLog, start_call: StartCall, request_audio: RequestAudio
) -> None:
    event = await start_call()
    await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Stored.")
    async with turn_events.follow(event.call_id, 0) as events:
        assert await next_texts(events, 1) == ["Stored."]


async def listens(reader: TurnEventReader, event: CallStatusChanged, request_audio: RequestAudio) -> None:
    """Returns when the listener runs. `event` is that of a call without a turn."""
    probes = count()
    while not reader._recent.of(str(event.call_id)):
        await request_audio(event, 1, next(probes), "Probe.")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def requests_about(client: Client, event: CallStatusChanged) -> AsyncIterator[list[str]]:
    """Yields the subjects of the requests to JetStream that name the call."""
    requests: list[str] = []

    async def note(message: Msg) -> None:
        if str(event.call_id).encode() in message.data:
            requests.append(message.subject)

    subscription = await client.subscribe("$JS.API.>", cb=note)
    await client.flush()
    try:
        yield requests
    finally:
        await client.flush()
        await subscription.unsubscribe()


async def test_a_turn_that_began_after_the_listener_reads_nothing(
    turn_events: TurnEventReader,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    bus_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 3600)
    event, other = await start_call(), await start_call()
    await listens(turn_events, other, request_audio)
    heard_sequence = await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Stored.")
    following = turn_events.follow(event.call_id, heard_sequence)
    async with requests_about(bus_client, event) as requests, following as events:
        assert await next_texts(events, 1) == ["Stored."]
        for sentence in range(1, 4):
            await request_audio(event, 1, sentence, f"New {sentence}.")
        assert await next_texts(events, 3) == ["New 1.", "New 2.", "New 3."]
    assert requests == []


async def test_a_turn_that_began_before_the_listener_reads_one_page(
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    bus_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 3600)
    event, other = await start_call(), await start_call()
    heard_sequence = await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Stored.")
    reader = TurnEventReader(bus_client, calls)
    async with run_in_background(reader.run()):
        await listens(reader, other, request_audio)
        following = reader.follow(event.call_id, heard_sequence)
        async with requests_about(bus_client, event) as requests, following as events:
            assert await next_texts(events, 1) == ["Stored."]
            await request_audio(event, 1, 1, "New.")
            assert await next_texts(events, 1) == ["New."]
    assert requests == ["$JS.API.DIRECT.GET.CALLS"]


async def test_a_turn_of_which_the_memory_has_forgotten_something_reads_its_history(
    turn_events: TurnEventReader,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 3600)
    monkeypatch.setattr(module, "MAX_RECENT", 3)
    event, other, third = await start_call(), await start_call(), await start_call()
    await listens(turn_events, other, request_audio)
    heard_sequence = await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Forgotten.")
    for sentence in range(3):
        await request_audio(third, 1, sentence, "Kept.")
    async with asyncio.timeout(60):
        while len(turn_events._recent.of(str(third.call_id))) < 3:
            await asyncio.sleep(0.02)
    async with turn_events.follow(event.call_id, heard_sequence) as events:
        assert await next_texts(events, 1) == ["Forgotten."]


async def test_a_process_without_media_streams_receives_no_utterances(
    calls: EventLog, start_call: StartCall, request_audio: RequestAudio, bus_client: Client
) -> None:
    event, other = await start_call(), await start_call()
    reader = TurnEventReader(bus_client, calls, TURN_FILTERS)
    async with run_in_background(reader.run()):
        await listens(reader, other, request_audio)
        heard_sequence = await hear(calls, event, 1)
        async with reader.follow(event.call_id, heard_sequence) as events:
            await request_audio(event, 1, 0, "New.")
            assert await next_texts(events, 1) == ["New."]
        assert [message.subject for message in reader._recent.of(str(event.call_id))] == [
            f"audio.requested.{event.call_id}"
        ]


async def test_events_of_calls_without_a_turn_here_are_not_decoded(
    turn_events: TurnEventReader,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event, other = await start_call(), await start_call()
    await listens(turn_events, other, request_audio)
    heard_sequence, decoded = await hear(calls, event, 1), list[str]()

    decode = calls.decode

    async def note(message: RawStreamMsg) -> StoredEvent:
        decoded.append(message.subject or "")
        return await decode(message)

    monkeypatch.setattr(calls, "decode", note)
    async with turn_events.follow(event.call_id, heard_sequence) as events:
        await request_audio(other, 2, 0, "Of another call.")
        await request_audio(event, 1, 0, "New.")
        assert await next_texts(events, 1) == ["New."]
    assert decoded == [f"audio.requested.{event.call_id}"]


async def test_a_sentence_that_the_listener_did_not_receive_is_found_at_the_leader(
    calls: EventLog, bus_client: Client, start_call: StartCall, request_audio: RequestAudio
) -> None:
    deaf = TurnEventReader(bus_client, calls)  # it does not run
    event = await start_call()
    heard_sequence = await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Stored.")
    async with deaf.follow(event.call_id, heard_sequence) as events:
        assert await next_texts(events, 1) == ["Stored."]
        await request_audio(event, 1, 1, "Lost.")
        assert await next_texts(events, 1) == ["Lost."]


async def test_after_a_loss_every_waiting_turn_reads_its_history_again(
    calls: EventLog,
    bus_client: Client,
    start_call: StartCall,
    request_audio: RequestAudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 3600)
    reader = TurnEventReader(bus_client, calls)
    event = await start_call()
    heard_sequence = await hear(calls, event, 1)
    await request_audio(event, 1, 0, "Stored.")
    async with reader.follow(event.call_id, heard_sequence) as events:
        assert await next_texts(events, 1) == ["Stored."]
        await request_audio(event, 1, 1, "Lost.")
        async with run_in_background(reader.run()):
            assert await next_texts(events, 1) == ["Lost."]


async def test_a_sentence_that_arrived_before_its_turn_is_kept_for_it(
    calls: EventLog,
    bus_client: Client,
    start_call: StartCall,
    request_audio: RequestAudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 3600)
    lagging = LaggingLog(bus_client, "CALLS", source="test")
    reader = TurnEventReader(bus_client, lagging)
    event = await start_call()
    heard_sequence = await hear(calls, event, 1)
    other = await start_call()
    async with run_in_background(reader.run()):
        await listens(reader, other, request_audio)
        async with reader.follow(event.call_id, heard_sequence) as first:
            await request_audio(event, 1, 0, "Arrived before.")
            assert await next_texts(first, 1) == ["Arrived before."]
        async with reader.follow(event.call_id, heard_sequence) as second:
            assert await next_texts(second, 1) == ["Arrived before."]


class LaggingLog(EventLog):
    """A log whose answering node has nothing after the utterance of the turn."""

    async def read_after(self, *args: Any, known_sequence: int | None = None, **rest: Any) -> list[StoredEvent]:
        read = await super().read_after(*args, known_sequence=known_sequence, **rest)
        return [stored for stored in read if stored.sequence <= (known_sequence or 0)]
