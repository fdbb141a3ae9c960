"""Messages that no consumer can decode: each becomes one small dead letter and blocks no other message."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from tests.builders.consumers import is_settled

from chassis.barrier import wait_until_processed
from chassis.dead_letters import StoredDeadLetter, read_dead_letters
from chassis.event_log import StoredEvent
from chassis.provision import consumer_config
from chassis.serve import connect_bus
from chassis.subscriptions import subscribe
from contracts import CallCancelRequested, CallDecision, Event, Service
from contracts.consumers import CONSUMERS, ORCHESTRATOR_COMMANDS, ORCHESTRATOR_REQUESTS, Consumer
from contracts.examples import EXAMPLES
from contracts.streams import DEAD_LETTERS

MAX_DEAD_LETTER_BYTES = 4_096
JSON = {"content-type": "application/json"}
UNDECODABLE: dict[str, tuple[bytes, Mapping[str, str] | None]] = {
    "no JSON": (b"no JSON", None),
    "no JSON with the header of JSON": (b"no JSON", JSON),
    "no UTF-8": (b"\xff\xfe", None),
    "no UTF-8 with the header of text": (b"\xff\xfe", {"content-type": "text/plain"}),
    "empty": (b"", None),
    "empty with the header of JSON": (b"", JSON),
    "deeply nested lists": (b"[" * 100_000, JSON),
    "deeply nested objects": (b'{"call_id": ' * 5_000, None),
    "a huge integer": (b'{"turn": ' + b"9" * 100_000 + b"}", JSON),
    "a list": (b"[1, 2]", None),
    "a string": (b'"text"', None),
    "null": (b"null", None),
    "not a number": (b"NaN", None),
    "5,000 unknown fields": (b"{%s}" % b",".join(b'"f%d": 1' % n for n in range(5_000)), None),
    "a name of 100,000 characters": (b'{"%s": 1}' % (b"x" * 100_000), None),
    "control characters in names": (b"{%s}" % b",".join(b'"\\u00%02x": 1' % n for n in range(32)), None),
    "a surrogate in a name": (b'{"\\ud800": 1}', None),
    "an unknown type of content": (b"no JSON", {"content-type": "application/x-unknown; charset=nothing"}),
}


def event_of(consumer: Consumer) -> Event:
    """An event that the consumer delivers and decodes."""
    event = EXAMPLES[consumer.events[0].event_name]
    if consumer.status and isinstance(event, CallDecision):
        return event.model_copy(update={"call": event.call.model_copy(update={"status": consumer.status})})
    return event


@asynccontextmanager
async def subscribed(nats_url: str, consumer: Consumer) -> AsyncIterator[list[Event]]:
    """Runs the consumer's subscriber; yields the list of the events that its handlers receive."""
    received: list[Event] = []
    types = consumer.events[0] if len(consumer.events) == 1 else _union(consumer.events)

    async def handle(event: Any, stored: StoredEvent[Any]) -> None:
        received.append(event)

    handle.__annotations__["event"] = types
    bus = await connect_bus(Service.CONVERSATION, nats_url)
    subscribe(bus.broker, consumer, handle)
    await bus.broker.start()
    await wait_until_processed(bus.client)
    try:
        yield received
        assert bus.client.is_connected
        assert bus.client.stats["reconnects"] == 0
    finally:
        await bus.broker.stop()


def _union(types: tuple[type[Event], ...]) -> Any:
    united: Any = types[0]
    for one in types[1:]:
        united |= one
    return united


async def until_settled(client: Client, consumer: Consumer) -> int:
    """Waits until every message is delivered and acknowledged; returns how many were delivered more than once."""
    async with asyncio.timeout(60):
        while not await is_settled(client, consumer):
            await asyncio.sleep(0.02)
    info = await client.jetstream().consumer_info(consumer.stream.name, consumer.name)
    return info.num_redelivered or 0


async def dead_letters(client: Client) -> list[StoredDeadLetter]:
    found = [stored async for stored in read_dead_letters(client)]
    js = client.jetstream()
    for stored in found:
        message = await js.get_msg(DEAD_LETTERS.name, stored.sequence)
        assert len(message.data or b"") <= MAX_DEAD_LETTER_BYTES
        assert list(message.headers or {}) == ["Nats-Msg-Id"]
    return found


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.name)
async def test_each_undecodable_message_becomes_one_small_dead_letter_and_the_next_is_handled(
    nats_url: str, bus_client: Client, consumer: Consumer
) -> None:
    js, good = bus_client.jetstream(), event_of(consumer)
    body = good.model_dump_json().encode()
    messages = {
        **UNDECODABLE,
        "a body at the payload limit": (b"x" * bus_client.max_payload, None),
        "a time that is none": (body, {"ce-time": "yesterday"}),
    }
    async with subscribed(nats_url, consumer) as received:
        sequences = {
            (await js.publish(good.subject, body, headers=dict(headers) if headers else None)).seq: name
            for name, (body, headers) in messages.items()
        }
        await js.publish(good.subject, body)
        redelivered = await until_settled(bus_client, consumer)

    assert received == [good]
    assert redelivered == 0
    found = [stored.dead_letter for stored in await dead_letters(bus_client)]
    assert sorted(sequences[one.sequence] for one in found) == sorted(messages)
    for one in found:
        assert (one.stream, one.consumer, one.subject) == (consumer.stream.name, consumer.name, good.subject)
        assert one.deliveries == 1
        assert one.reasons
        assert not one.has_copy


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("x" * 4_000, "x" * 100),
        ("a\u2003b\u00a0c", "a_b_c"),
        ('"\\', '"\\'),
    ],
    ids=["a long one", "spaces of Unicode", "characters that JSON escapes"],
)
async def test_a_hostile_subject_becomes_a_dead_letter_on_a_safe_subject(
    nats_url: str, bus_client: Client, token: str, shown: str
) -> None:
    """The server closes the connection of a client that publishes on a subject longer than a protocol line."""
    good = CallCancelRequested(call_id=uuid4())
    name = CallCancelRequested.event_name
    bus_client._skip_subject_validation = True  # as clients in other languages, which do not check for Unicode
    async with subscribed(nats_url, ORCHESTRATOR_COMMANDS) as received:
        await bus_client.publish(f"{name}.{token}", b"{}")
        await bus_client.jetstream().publish(good.subject, good.model_dump_json().encode())
        await until_settled(bus_client, ORCHESTRATOR_COMMANDS)
    assert received == [good]
    (stored,) = await dead_letters(bus_client)
    assert stored.dead_letter.subject == f"{name}.{shown}"
    message = await bus_client.jetstream().get_msg(DEAD_LETTERS.name, stored.sequence)
    assert message.subject == f"dead_letter.{name}.{shown}"


async def test_many_requests_of_a_newer_build_do_not_keep_others_from_being_delivered(
    nats_url: str, bus_client: Client
) -> None:
    """Any upstream system may forge the header ``ce-source``, by which such requests are recognized."""
    consumer = replace(ORCHESTRATOR_REQUESTS, max_ack_pending=20)
    await bus_client.jetstream().add_consumer(consumer.stream.name, config=consumer_config(consumer))
    js, good = bus_client.jetstream(), event_of(consumer)
    newer = b'{"field_of_a_newer_build": 1, ' + good.body()[1:]
    for _ in range(2 * consumer.max_ack_pending):
        await js.publish(good.subject, newer, headers={"ce-source": Service.EDGE})
    await js.publish(good.subject, good.body())
    async with subscribed(nats_url, consumer) as received:
        async with asyncio.timeout(60):
            while not received:
                await asyncio.sleep(0.02)
        info = await js.consumer_info(consumer.stream.name, consumer.name)
        assert (received, info.num_pending) == ([good], 0)
        least = 2 * consumer.max_ack_pending - consumer.max_ack_pending // 10
        async with asyncio.timeout(60):
            while len(found := await dead_letters(bus_client)) < least:
                await asyncio.sleep(0.02)
    assert "field_of_a_newer_build" in found[0].dead_letter.reasons[0]
