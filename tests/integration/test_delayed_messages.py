"""Messages that wait for their next delivery leave room for new ones."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.calls import NOW, a_call

from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog, StoredEvent
from chassis.retry_later import RetryLater
from chassis.serve import connect_bus
from chassis.subscriptions import subscribe
from contracts import CallHangupRequested, CallSettlementRequested, CallStatus, Service
from contracts.consumers import VOICE_HANGUPS, VOICE_SETTLEMENTS, Consumer

Request = CallHangupRequested | CallSettlementRequested


def hangup_requested(call_id: UUID) -> Request:
    call = a_call(CallStatus.IN_PROGRESS, call_id=call_id)
    return CallHangupRequested(call=call, occurred_at=NOW)


def settlement_requested(call_id: UUID) -> Request:
    call = a_call(CallStatus.IN_PROGRESS, call_id=call_id)
    return CallSettlementRequested(call=call, occurred_at=NOW)


@pytest.mark.parametrize(
    ("consumer", "request_of"),
    [(VOICE_HANGUPS, hangup_requested), (VOICE_SETTLEMENTS, settlement_requested)],
    ids=["hang-ups", "settlements"],
)
async def test_a_request_is_carried_out_while_very_many_others_are_delayed(
    nats_url: str, bus_client: Client, calls: EventLog, consumer: Consumer, request_of: Callable[[UUID], Request]
) -> None:
    delayed, carried_out = set[UUID](), asyncio.Event()
    new = uuid4()

    async def handle(event: Request, stored: StoredEvent[Any]) -> None:
        if event.call_id == new:
            carried_out.set()
            return
        delayed.add(event.call_id)
        raise RetryLater(delay=3600)

    handle.__annotations__["event"] = consumer.events[0]
    bus = await connect_bus(Service.VOICE, nats_url)
    subscribe(bus.broker, consumer, handle)
    count = 5 * consumer.workers
    for _ in range(count):
        await calls.append(request_of(uuid4()))
    await bus.broker.start()
    try:
        await wait_until_processed(bus.client)
        async with asyncio.timeout(60):
            while len(delayed) < count:
                await asyncio.sleep(0.02)
            await calls.append(request_of(new))
            await carried_out.wait()
    finally:
        await bus.broker.stop()
    js, unacknowledged = bus_client.jetstream(), count + 1
    async with asyncio.timeout(60):  # the acknowledgement of the new one may arrive last
        while unacknowledged > count:
            info = await js.consumer_info(consumer.stream.name, consumer.name)
            unacknowledged = info.num_ack_pending or 0
            await asyncio.sleep(0.02)
    assert unacknowledged == count
