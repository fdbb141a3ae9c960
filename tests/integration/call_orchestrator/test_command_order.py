"""Commands of one call take effect in stream order, also when they overtake the request (ADR 21)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.consumers import is_settled
from tests.builders.numbers import number_for
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from chassis.event_log import EventLog
from chassis.provision import consumer_config
from chassis.serve import connect_bus
from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallCommandRefused,
    CallDecision,
    CallRequested,
    CallRetryRequested,
    CallStatus,
    CommandOutcome,
    Event,
    Service,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
    outcome_subject,
)
from contracts.consumers import ORCHESTRATOR_COMMANDS, ORCHESTRATOR_REQUESTS
from contracts.filters import call_state_filter
from contracts.streams import DEAD_LETTERS, REQUESTS
from contracts.vocabulary import RefusalCode

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 1000}
LATER = datetime.now(UTC) + timedelta(days=1)


def requested(request_id: str, scheduled_at: datetime | None = None) -> CallRequested:
    return CallRequested(
        request_id=request_id,
        campaign_id="reminders",
        contact_id="c-1",
        phone_number=number_for(request_id),
        script_template="Hello.",
        language="en",
        max_retries=1,
        scheduled_at=scheduled_at,
    )


async def publish(client: Client, events: Sequence[Event]) -> None:
    """Publishes all events in this order and waits until all are stored."""
    js = client.jetstream(publish_async_max_pending=10_000)
    acks = [await js.publish_async(event.subject, event.model_dump_json().encode()) for event in events]
    await asyncio.gather(*acks)


async def until_handled(client: Client) -> None:
    """Waits until every request and command is acknowledged."""
    async with asyncio.timeout(120):
        for consumer in (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS):
            while not await is_settled(client, consumer):
                await asyncio.sleep(0.1)


async def decisions(calls: EventLog, call_id: UUID) -> list[CallDecision]:
    events = await calls.read([call_state_filter(call_id)])
    return [stored.event for stored in events if isinstance(stored.event, CallDecision)]


@asynccontextmanager
async def taking(
    client: Client, nats_url: str, subject: str, queue: str, delays: Sequence[float | None]
) -> AsyncIterator[None]:
    """Receives messages of a consumer, and returns each with its delay, as a replica does that fails."""
    bus = await connect_bus(Service.ORCHESTRATOR, nats_url)
    taken = await bus.client.subscribe(subject, queue=queue)
    await bus.client.flush()
    try:
        for delay in delays:
            await (await taken.next_msg(timeout=60)).nak(delay=delay)
        yield
    finally:
        await bus.client.close()


async def test_a_cancel_that_overtakes_its_request_is_decided_before_any_dial(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    ids = [call_id_of(f"r-{number}") for number in range(300)]
    events = [
        event
        for number, call_id in enumerate(ids)
        for event in (requested(f"r-{number}"), CallCancelRequested(call_id=call_id))
    ]
    await publish(bus_client, events)
    for consumer in (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS):
        async with taking(bus_client, nats_url, consumer.deliver_subject, consumer.name, [None] * 20):
            pass
    async with running(nats_url, 2, **LIMITS):
        await until_handled(bus_client)
        for call_id in ids:
            names = [event.subject.replace(str(call_id), "x") for event in await decisions(calls, call_id)]
            assert names == ["call.created.x.pending", "call.status_changed.x.canceled"]


async def test_the_last_of_two_changes_wins(nats_url: str, bus_client: Client, calls: EventLog) -> None:
    ids = [call_id_of(f"r-{number}") for number in range(200)]
    async with running(nats_url, 2, **LIMITS):
        await publish(bus_client, [requested(f"r-{number}", LATER) for number in range(200)])
        await until_handled(bus_client)
        changes = [
            CallChangeRequested(call_id=call_id, metadata={"number": number})
            for call_id in ids
            for number in ("1", "2")
        ]
        await publish(bus_client, changes)
        await until_handled(bus_client)
    for call_id in ids:
        assert [event.call.metadata.get("number") for event in await decisions(calls, call_id)] == [None, "1", "2"]


async def test_a_cancel_before_its_request_in_stream_order_is_refused(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    call_id = call_id_of("r-1")
    outcomes = await bus_client.subscribe(outcome_subject("cancel-1"))
    cancel = CallCancelRequested(call_id=call_id)
    headers = {"ce-id": "cancel-1"}
    await bus_client.jetstream().publish(cancel.subject, cancel.model_dump_json().encode(), headers=headers)
    await publish(bus_client, [requested("r-1", LATER)])
    async with running(nats_url, 2, **LIMITS):
        outcome = CommandOutcome.model_validate_json((await outcomes.next_msg(timeout=60)).data)
        await until_handled(bus_client)
    assert (outcome.accepted, outcome.code) == (False, RefusalCode.NO_SUCH_CALL)
    assert [event.event_name for event in await decisions(calls, call_id)] == ["call.created"]


async def test_a_cancel_of_no_call_is_refused_only_when_every_earlier_request_is_decided(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    blocking = await connect_bus(Service.ORCHESTRATOR, nats_url)
    await publish(bus_client, [requested("r-1", LATER), requested("r-2", LATER)])
    blocked = await blocking.client.subscribe(ORCHESTRATOR_REQUESTS.deliver_subject, queue=ORCHESTRATOR_REQUESTS.name)
    earlier = [await blocked.next_msg(timeout=60) for _ in range(2)]  # handled by no replica until they are returned
    unknown, known = call_id_of("never"), call_id_of("r-1")
    outcomes = {call_id: await bus_client.subscribe(outcome_subject(str(call_id))) for call_id in (unknown, known)}
    async with running(nats_url, 1, **LIMITS):
        for call_id in outcomes:
            cancel = CallCancelRequested(call_id=call_id)
            headers = {"ce-id": str(call_id)}
            await bus_client.jetstream().publish(cancel.subject, cancel.model_dump_json().encode(), headers=headers)
        js = bus_client.jetstream()

        async def delivered_again() -> bool:
            info = await js.consumer_info(REQUESTS.name, ORCHESTRATOR_COMMANDS.name)
            return (info.delivered.consumer_seq if info.delivered else 0) >= 6

        await until(delivered_again)
        assert [outcome.pending_msgs for outcome in outcomes.values()] == [0, 0]
        await blocked.unsubscribe()
        for message in earlier:
            await message.nak()
        received = [
            CommandOutcome.model_validate_json((await outcome.next_msg(timeout=60)).data)
            for outcome in outcomes.values()
        ]
        assert [(outcome.accepted, outcome.status) for outcome in received] == [
            (False, None),
            (True, CallStatus.CANCELED),
        ]
    await blocking.client.close()


async def test_a_cancel_is_decided_while_thousands_of_requests_and_their_cancels_wait(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1, **LIMITS):
        assert (await outcome_of(bus_client, requested("r-1", LATER))).accepted
    js, names = bus_client.jetstream(), [f"queued-{number}" for number in range(3_000)]
    config = consumer_config(ORCHESTRATOR_REQUESTS)
    config.max_ack_pending, config.ack_wait = 1, 600
    await js.add_consumer(REQUESTS.name, config=config)
    await publish(bus_client, [requested(name) for name in names])
    blocked = await bus_client.subscribe(ORCHESTRATOR_REQUESTS.deliver_subject, queue=ORCHESTRATOR_REQUESTS.name)
    assert await blocked.next_msg(timeout=60)  # the server delivers no other request until this one is acknowledged
    await publish(bus_client, [CallCancelRequested(call_id=call_id_of(name)) for name in names[:500]])
    cancel = CallCancelRequested(call_id=call_id_of("r-1"))
    await publish(bus_client, [cancel])
    async with running(nats_url, 1, **LIMITS), asyncio.timeout(60):
        while (await decisions(calls, cancel.call_id))[-1].call.status is not CallStatus.CANCELED:
            await asyncio.sleep(0.1)
        assert await call_of(calls, call_id_of("queued-0")) is None


async def test_a_refused_retry_is_not_executed_later(nats_url: str, bus_client: Client, calls: EventLog) -> None:
    call_id = call_id_of("r-1")
    async with running(nats_url, 2, **LIMITS):
        await outcome_of(bus_client, requested("r-1"))
        retry = CallRetryRequested(call_id=call_id)
        assert not (await outcome_of(bus_client, retry)).accepted
        await until(lambda: is_dialing(calls, call_id))
        failed = TelephonyStatusReported(
            call_id=call_id, attempt=1, provider_call_id="CA1", status=TelephonyStatus.FAILED, is_permanent=True
        )
        await calls.append(failed)
        await until(lambda: is_failed(calls, call_id))
        metadata = CallChangeRequested(call_id=call_id, metadata={"a": "b"})
        assert not (await outcome_of(bus_client, metadata)).accepted, "it reads the earlier commands of the call"
    events = await decisions(calls, call_id)
    assert [event.command for event in events if isinstance(event, CallCommandRefused)] == [
        "call.retry_requested",
        "call.change_requested",
    ]
    assert events[-1].call.status is CallStatus.FAILED


async def is_dialing(calls: EventLog, call_id: UUID) -> bool:
    call = await call_of(calls, call_id)
    return call is not None and call.status is CallStatus.DIALING


async def is_failed(calls: EventLog, call_id: UUID) -> bool:
    call = await call_of(calls, call_id)
    return call is not None and call.status is CallStatus.FAILED


@pytest.mark.parametrize("count", [30])
async def test_commands_on_one_call_that_arrive_at_once_are_decided_in_order(
    nats_url: str, bus_client: Client, calls: EventLog, count: int
) -> None:
    numbers = [str(number) for number in range(count)]
    call_id = call_id_of("r-1")
    changes = [CallChangeRequested(call_id=call_id, metadata={"number": number}) for number in numbers]
    async with running(nats_url, 2, **LIMITS):
        await publish(bus_client, [requested("r-1", LATER), *changes])
        await until_handled(bus_client)
    assert [event.call.metadata.get("number") for event in await decisions(calls, call_id)] == [None, *numbers]


async def test_an_undecodable_command_does_not_hold_up_later_ones(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    call_id = call_id_of("r-1")
    async with running(nats_url, 2, **LIMITS):
        await outcome_of(bus_client, requested("r-1", LATER))
        await bus_client.jetstream().publish(f"call.change_requested.{call_id}", b'{"surprise": 1}')
        assert (await outcome_of(bus_client, CallCancelRequested(call_id=call_id))).status is CallStatus.CANCELED
        assert not (await outcome_of(bus_client, CallCancelRequested(call_id=uuid4()))).accepted


async def test_an_unacceptable_change_that_overtakes_its_request_changes_nothing(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """The number is a premium-rate number, and the change would take effect before the call is dialled."""
    call_id = call_id_of("r-1")
    await publish(
        bus_client,
        [requested("r-1", LATER), CallChangeRequested(call_id=call_id, phone_number="+19002345678")],
    )
    async with running(nats_url, 1, **LIMITS):
        await until_handled(bus_client)
    assert [event.call.phone_number for event in await decisions(calls, call_id)] == [number_for("r-1")]
    assert await bus_client.jetstream().get_last_msg(DEAD_LETTERS.name, f"dead_letter.call.change_requested.{call_id}")


@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"surprise": 1}'])
async def test_an_undecodable_command_that_overtakes_its_request_does_not_hold_it_up(
    nats_url: str, bus_client: Client, calls: EventLog, body: bytes
) -> None:
    call_id = call_id_of("r-1")
    await publish(bus_client, [requested("r-1", LATER)])
    await bus_client.jetstream().publish(f"call.change_requested.{call_id}", body)
    await publish(bus_client, [CallCancelRequested(call_id=call_id)])
    async with running(nats_url, 1, **LIMITS):
        await until_handled(bus_client)
    assert (await decisions(calls, call_id))[-1].call.status is CallStatus.CANCELED


async def test_a_command_between_a_request_and_its_repetition_takes_effect_whichever_is_decided_first(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    call_id = call_id_of("r-1")
    request = requested("r-1", LATER)
    await publish(bus_client, [request, CallCancelRequested(call_id=call_id), request])
    # The first request is delivered again only after the repetition has created the call.
    consumer = ORCHESTRATOR_REQUESTS
    async with taking(bus_client, nats_url, consumer.deliver_subject, consumer.name, [6, 1]):
        pass
    async with running(nats_url, 1, **LIMITS):
        await until_handled(bus_client)
    events = await decisions(calls, call_id)
    assert events[0].call.command_sequence == 3, "the repetition has created the call"
    assert events[-1].call.status is CallStatus.CANCELED
