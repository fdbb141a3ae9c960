"""Acknowledgement, retry and dead letters on a real nats-server, for every kind of body and of failure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from structlog.testing import capture_logs
from tests.builders.consumers import is_settled

from chassis import broker, delivery, leader_retry
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog, StoredEvent, UnreadableEvent
from chassis.metrics import TERMINATED, UNREADABLE
from chassis.provision import consumer_config, stream_config
from chassis.retry_later import RetryLater
from chassis.serve import connect_bus
from chassis.subscriptions import subscribe
from contracts import ReplyGenerated, Service, SpeechHeard
from contracts.consumers import CONVERSATION_TURNS, Consumer
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, DEAD_LETTERS

CONSUMER = replace(CONVERSATION_TURNS, backoff=(0.01, 0.01, 0.01))
SPEECH = EXAMPLES[SpeechHeard.event_name]
JSON = {"content-type": "application/json"}

Handle = Callable[[StoredEvent[SpeechHeard]], Awaitable[None]]


@asynccontextmanager
async def subscribed(nats_url: str, handle: Handle, consumer: Consumer = CONSUMER) -> AsyncIterator[None]:
    """Runs one subscriber; `handle` is called with each stored event that its handler receives."""

    async def on_speech_heard(event: SpeechHeard, stored: StoredEvent[SpeechHeard]) -> None:
        assert event is stored.event
        await handle(stored)

    bus = await connect_bus(Service.CONVERSATION, nats_url)
    subscribe(bus.broker, consumer, on_speech_heard)
    await bus.broker.start()
    await wait_until_processed(bus.client)
    try:
        yield
    finally:
        await bus.broker.stop()


async def only_dead_letter(client: Client) -> DeadLetter:
    """The first dead letter, once it is stored."""
    async with asyncio.timeout(60):
        while True:
            try:
                message = await client.jetstream().get_msg(DEAD_LETTERS.name, 1)
            except NotFoundError:
                await asyncio.sleep(0.02)
            else:
                return DeadLetter.model_validate_json(message.data or b"")


async def dead_letters(client: Client) -> int:
    return (await client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages


async def until_settled(client: Client) -> None:
    """Waits until the consumer has delivered everything and nothing waits for an acknowledgement."""
    async with asyncio.timeout(60):
        while not await is_settled(client, CONSUMER):
            await asyncio.sleep(0.02)


async def unexpected(stored: StoredEvent[SpeechHeard]) -> None:
    raise AssertionError(f"the handler was called with {stored}")


async def test_a_handler_gets_the_typed_event_with_its_envelope(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    received: list[StoredEvent[SpeechHeard]] = []

    async def handle(stored: StoredEvent[SpeechHeard]) -> None:
        received.append(stored)

    async with subscribed(nats_url, handle):
        appended = await calls.append(SPEECH)
        await until_settled(bus_client)
    [one] = received
    assert (one.event, one.sequence, one.envelope.id) == (SPEECH, appended.sequence, appended.envelope.id)
    assert one.envelope.time == one.stored_at, "the server's time: the message has none of its own"


@pytest.mark.parametrize(("extends", "is_repeated"), [(True, False), (False, True)])
async def test_a_handler_may_take_longer_than_the_ack_wait_if_its_consumer_extends_the_deadline(
    nats_url: str, bus_client: Client, calls: EventLog, extends: bool, is_repeated: bool
) -> None:
    consumer = replace(CONSUMER, ack_wait=1, extends_ack_deadline=extends)
    await bus_client.jetstream().add_consumer(CALLS.name, config=consumer_config(consumer))
    deliveries: list[int] = []

    async def work(stored: StoredEvent[SpeechHeard]) -> None:
        deliveries.append(stored.deliveries)
        if stored.deliveries == 1:
            await asyncio.sleep(2.5)

    async with subscribed(nats_url, work, consumer):
        await calls.append(SPEECH)
        while not deliveries:
            await asyncio.sleep(0.01)
        await until_settled(bus_client)
    assert (len(deliveries) > 1) is is_repeated


@pytest.mark.parametrize("headers", [None, JSON], ids=["without a content type", "with a content type"])
@pytest.mark.parametrize("body", [b"no JSON", b"\xff\xfe", b"", b"[1, 2]", b'{"turn": 1}'])
async def test_a_body_that_is_no_event_becomes_a_dead_letter_with_its_reason(
    nats_url: str, bus_client: Client, body: bytes, headers: dict[str, str] | None
) -> None:
    async with subscribed(nats_url, unexpected):
        ack = await bus_client.jetstream().publish(SPEECH.subject, body, headers=headers)
        dead_letter = await only_dead_letter(bus_client)
        await until_settled(bus_client)
    assert (dead_letter.stream, dead_letter.sequence, dead_letter.deliveries) == (CALLS.name, ack.seq, 1)
    assert (await bus_client.jetstream().get_msg(CALLS.name, dead_letter.sequence)).data == (body or None)
    assert dead_letter.reasons


async def test_a_message_whose_handler_publishes_more_than_the_server_accepts_becomes_a_dead_letter(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async def publish_too_much(stored: StoredEvent[SpeechHeard]) -> None:
        await calls.append(SPEECH.model_copy(update={"text": "x" * bus_client.max_payload}))

    async with subscribed(nats_url, publish_too_much):
        await calls.append(SPEECH)
        dead_letter = await only_dead_letter(bus_client)
        await until_settled(bus_client)
    assert dead_letter.deliveries == 1
    assert bus_client.is_connected


async def test_a_message_that_must_wait_is_delivered_again_and_not_counted_as_a_failure(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    deliveries = 0

    async def wait(stored: StoredEvent[SpeechHeard]) -> None:
        nonlocal deliveries
        deliveries = stored.deliveries
        if deliveries < 3 * len(CONSUMER.backoff):
            raise RetryLater(delay=0.01)

    with capture_logs() as lines:
        async with subscribed(nats_url, wait):
            await calls.append(SPEECH)
            await until_settled(bus_client)
    assert deliveries == 3 * len(CONSUMER.backoff)
    assert not [line for line in lines if line["log_level"] not in ("debug", "info")]
    assert await dead_letters(bus_client) == 0


async def test_waiting_does_not_count_towards_a_dead_letter(nats_url: str, bus_client: Client, calls: EventLog) -> None:
    waits, failures = 2 * len(CONSUMER.backoff), len(CONSUMER.backoff)

    async def wait_then_fail(stored: StoredEvent[SpeechHeard]) -> None:
        if stored.deliveries <= waits:
            raise RetryLater(delay=0.01)
        if stored.deliveries <= waits + failures:
            raise RuntimeError

    async with subscribed(nats_url, wait_then_fail):
        await calls.append(SPEECH)
        await until_settled(bus_client)
    assert await dead_letters(bus_client) == 0


async def test_a_message_is_retried_while_its_handler_cannot_decode_another_stored_event(
    nats_url: str, bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "UNREADABLE_DELAYS", (0.01,))
    monkeypatch.setattr(delivery, "MAX_WAITS", 4)
    met = UNREADABLE.labels(reader=CONSUMER.name)._value.get()
    other = EXAMPLES[ReplyGenerated.event_name]
    unreadable = await bus_client.jetstream().publish(other.subject, b"no JSON")
    deliveries = 0

    async def read_other_event(stored: StoredEvent[SpeechHeard]) -> None:
        nonlocal deliveries
        deliveries = stored.deliveries
        if deliveries == 20:
            await bus_client.jetstream().delete_msg(CALLS.name, unreadable.seq)
        assert await calls.last(other.subject) is None

    with capture_logs() as lines:
        async with subscribed(nats_url, read_other_event):
            await calls.append(SPEECH)
            await until_settled(bus_client)
    assert deliveries == 20
    assert await dead_letters(bus_client) == 0
    assert UNREADABLE.labels(reader=CONSUMER.name)._value.get() == met + 19
    (line,) = [line for line in lines if line["event"] == "event_unreadable"]
    assert (line["log_level"], line["stream"], line["sequence"]) == ("error", CALLS.name, unreadable.seq)


async def test_a_decision_never_skips_an_event_that_cannot_be_decoded(bus_client: Client, calls: EventLog) -> None:
    stored = await calls.append(SPEECH)
    unreadable = await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
    with pytest.raises(UnreadableEvent) as raised:
        await calls.read([SPEECH.subject])
    assert (raised.value.stream, raised.value.sequence) == (CALLS.name, unreadable.seq)
    with pytest.raises(UnreadableEvent):
        await calls.last(SPEECH.subject)
    shown = await calls.read_all([SPEECH.subject])
    assert [one.sequence for one in shown] == [stored.sequence, unreadable.seq]
    assert isinstance(shown[1], UnreadableEvent)


async def test_a_message_that_always_fails_becomes_a_dead_letter_after_its_last_retry(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async def fail(stored: StoredEvent[SpeechHeard]) -> None:
        raise RuntimeError

    async with subscribed(nats_url, fail):
        await calls.append(SPEECH)
        dead_letter = await only_dead_letter(bus_client)
        await until_settled(bus_client)
    tries = len(CONSUMER.backoff) + 1
    assert dead_letter.deliveries == tries
    assert dead_letter.reasons == (f"RuntimeError: failed {tries} times in this process, delivered {tries} times",)


async def test_a_message_that_waits_without_end_becomes_a_dead_letter(
    nats_url: str, bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_WAITS", 4)

    async def wait(stored: StoredEvent[SpeechHeard]) -> None:
        raise RetryLater(delay=0.01)

    async with subscribed(nats_url, wait):
        await calls.append(SPEECH)
        dead_letter = await only_dead_letter(bus_client)
        await until_settled(bus_client)
    assert dead_letter.deliveries == 5


async def test_a_message_whose_dead_letter_the_server_refuses_is_terminated_and_counted(
    nats_url: str, bus_client: Client
) -> None:
    config = replace(stream_config(DEAD_LETTERS), max_msg_size=10)
    await bus_client.jetstream().update_stream(config)
    terminated = TERMINATED.labels(consumer=CONSUMER.name)._value.get()
    with capture_logs() as lines:
        async with subscribed(nats_url, unexpected):
            ack = await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
            await until_settled(bus_client)
    assert TERMINATED.labels(consumer=CONSUMER.name)._value.get() == terminated + 1
    (line,) = [line for line in lines if line["event"] == "message_terminated"]
    assert (line["log_level"], line["stream"], line["sequence"]) == ("critical", CALLS.name, ack.seq)
    assert await dead_letters(bus_client) == 0
    assert (await bus_client.jetstream().get_msg(CALLS.name, ack.seq)).data == b"no JSON"


async def test_a_message_whose_dead_letter_is_never_stored_is_terminated_after_its_last_retry(
    nats_url: str, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_retry, "MAX_ELECTION_SECONDS", 0.0)
    terminated = TERMINATED.labels(consumer=CONSUMER.name)._value.get()
    await bus_client.jetstream().delete_stream(DEAD_LETTERS.name)
    async with subscribed(nats_url, unexpected):
        await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
        await until_settled(bus_client)
    assert TERMINATED.labels(consumer=CONSUMER.name)._value.get() == terminated + 1


async def test_a_dead_letter_that_cannot_be_stored_yet_is_stored_later(
    nats_url: str, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_retry, "MAX_ELECTION_SECONDS", 0.0)
    await bus_client.jetstream().delete_stream(DEAD_LETTERS.name)
    patient = replace(CONSUMER, backoff=(2.0, 10.0, 30.0))  # the stream is created before its last retry
    with capture_logs() as lines:
        async with subscribed(nats_url, unexpected, patient):
            ack = await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
            async with asyncio.timeout(60):
                while not [line for line in lines if line["event"] == "dead_letter_not_stored"]:
                    await asyncio.sleep(0.001)
            await bus_client.jetstream().add_stream(stream_config(DEAD_LETTERS))
            assert (await only_dead_letter(bus_client)).sequence == ack.seq


async def test_no_more_handlers_run_at_a_time_than_the_consumer_has_workers(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    consumer = replace(CONSUMER, workers=3)
    running, most, handled, may_end = 0, 0, 0, asyncio.Event()

    async def work(stored: StoredEvent[SpeechHeard]) -> None:
        nonlocal running, most, handled
        running += 1
        most = max(most, running)
        if running == consumer.workers:
            may_end.set()
        await may_end.wait()
        await asyncio.sleep(0)
        running -= 1
        handled += 1

    for _ in range(10):
        await calls.append(SPEECH)
    async with subscribed(nats_url, work, consumer):
        await until_settled(bus_client)
    assert (most, handled) == (consumer.workers, 10)


async def test_a_handler_that_runs_when_the_service_stops_ends_and_its_message_is_acknowledged(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def work(stored: StoredEvent[SpeechHeard]) -> None:
        has_begun.set()
        await may_end.wait()

    async with subscribed(nats_url, work):
        await calls.append(SPEECH)
        await has_begun.wait()
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    await until_settled(bus_client)  # the server takes note of an acknowledgement some time after it has received it


async def test_a_handler_that_does_not_end_is_canceled_and_its_message_stays_unacknowledged(
    nats_url: str, bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "GRACEFUL_SECONDS", 0.1)
    has_begun, is_canceled = asyncio.Event(), asyncio.Event()

    async def work(stored: StoredEvent[SpeechHeard]) -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_canceled.set()

    async with subscribed(nats_url, work):
        await calls.append(SPEECH)
        await has_begun.wait()
    await is_canceled.wait()
    assert (await bus_client.jetstream().consumer_info(CALLS.name, CONSUMER.name)).num_ack_pending == 1


async def test_messages_that_wait_for_a_worker_are_returned_when_the_service_stops(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """Another replica receives them at once, not after ``ack_wait``, which is far longer than this test."""
    consumer = replace(CONSUMER, workers=1)
    long = consumer_config(replace(CONSUMER, ack_wait=600))
    await bus_client.jetstream().add_consumer(CALLS.name, config=long)
    has_begun, may_end = asyncio.Event(), asyncio.Event()
    received: asyncio.Queue[int] = asyncio.Queue()

    async def work(stored: StoredEvent[SpeechHeard]) -> None:
        has_begun.set()
        await may_end.wait()

    async def note(stored: StoredEvent[SpeechHeard]) -> None:
        received.put_nowait(stored.sequence)

    async with subscribed(nats_url, work, consumer):
        sequences = [(await calls.append(SPEECH)).sequence for _ in range(4)]
        await has_begun.wait()
        await wait_until_processed(bus_client)
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    async with subscribed(nats_url, note), asyncio.timeout(120):
        assert sorted([await received.get() for _ in range(3)]) == sequences[1:]
