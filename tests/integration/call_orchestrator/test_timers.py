"""Deadlines on a real nats-server: early timers, the timer of a retried call, and scheduled times out of range."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.events import an_envelope
from tests.integration.call_orchestrator.conftest import Ask, call_of, running, until, until_dialing

from call_orchestrator.adapters.nats.timers import NatsTimers
from chassis.bus_clock import wall_clock
from chassis.event_log import EventLog
from contracts import CallChangeRequested, CallCreated, CallRequested, CallStatus, TimerDue, call_id_of
from contracts.events.timers import schedule_subject
from contracts.examples import CALL
from contracts.streams import CALLS, DEAD_LETTERS

LATER = datetime.now(UTC) + timedelta(hours=9)


@pytest.fixture
async def replicas(nats_url: str, bus_client: Client) -> AsyncIterator[None]:
    """Two replicas of the service."""
    async with running(nats_url, 2, max_concurrent_calls=0, twilio_calls_per_second=1000):
        yield


def requested(scheduled_at: object) -> bytes:
    request = CallRequested(
        request_id="scheduled",
        campaign_id="spring",
        contact_id="c-1",
        phone_number="+12125550123",
        script_template="Hello.",
        language="en",
    )
    body = request.model_dump_json().replace('"scheduled_at":null', f'"scheduled_at":"{scheduled_at}"')
    return body.encode()


async def scheduled(client: Client, call_id: UUID) -> str | None:
    """Returns when the server will publish the timer of a call."""
    try:
        message = await client.jetstream().get_last_msg(CALLS.name, schedule_subject(call_id))
    except NotFoundError:
        return None
    return str((message.headers or {})["Nats-Schedule"]).removeprefix("@at ")


async def test_a_timer_nine_hours_early_is_set_again_and_the_call_keeps_waiting(
    replicas: None, bus_client: Client, calls: EventLog
) -> None:
    call_id, js = call_id_of("scheduled"), bus_client.jetstream()
    await js.publish(CallRequested.event_name, requested(LATER.isoformat()))
    await until(lambda: scheduled(bus_client, call_id))
    await js.purge_stream(CALLS.name, subject=schedule_subject(call_id))  # as when the server has fired it
    for deadline_at in (LATER, LATER + timedelta(hours=1)):
        await calls.append(TimerDue(call_id=call_id, deadline_at=deadline_at))
    await until(lambda: scheduled(bus_client, call_id))
    assert datetime.fromisoformat(await scheduled(bus_client, call_id) or "") == LATER
    call = await call_of(calls, call_id)
    assert call
    assert (call.status, call.is_queued, call.due_at) == (CallStatus.PENDING, False, LATER)


@pytest.mark.parametrize(
    "scheduled_at",
    ["9999-12-31T23:59:59-12:00", "2262-04-12T00:00:00Z", "2300-01-01T00:00:00Z", LATER + timedelta(days=400)],
)
async def test_a_request_for_a_time_out_of_range_is_a_dead_letter_with_field_and_remedy(
    replicas: None, bus_client: Client, calls: EventLog, ask: Ask, scheduled_at: object
) -> None:
    js = bus_client.jetstream()
    [call_id] = await ask("spring", 1)
    await until_dialing(calls, [call_id], 1)
    await js.publish(CallRequested.event_name, requested(scheduled_at))
    change = f'{{"call_id": "{call_id}", "scheduled_at": "{scheduled_at}"}}'
    await js.publish(CallChangeRequested.subject_for(call_id), change.encode())
    await until(lambda: _dead_letters(bus_client, 2))
    for sequence in (1, 2):
        letter = await js.get_msg(DEAD_LETTERS.name, sequence)
        assert b"scheduled_at: more than 400 days ahead; give an earlier instant" in (letter.data or b"")
    assert await call_of(calls, call_id_of("scheduled")) is None


async def _dead_letters(client: Client, count: int) -> bool:
    return (await client.jetstream().stream_info(DEAD_LETTERS.name)).state.messages >= count


async def test_a_time_is_stored_in_utc(replicas: None, bus_client: Client, calls: EventLog) -> None:
    await bus_client.jetstream().publish(CallRequested.event_name, requested("2027-07-01T23:30:00-05:00"))
    await until(lambda: call_of(calls, call_id_of("scheduled")))
    created = await bus_client.jetstream().get_last_msg(CALLS.name, CallCreated.subject_for(call_id_of("scheduled")))
    assert b'"due_at":"2027-07-02T04:30:00Z"' in (created.data or b"")


async def test_a_slow_replica_does_not_clear_the_timer_of_a_call_that_was_retried_meanwhile(
    bus_client: Client, calls: EventLog
) -> None:
    timers, call_id, cause = NatsTimers(bus_client, "test", wall_clock), uuid4(), an_envelope("cause")
    call = CALL.model_copy(update={"call_id": call_id})

    async def decided() -> int:
        return (await calls.append(CallCreated(call=call, occurred_at=LATER))).sequence

    ringing = await decided()
    await timers.set(call_id, LATER, after_sequence=ringing, cause=cause)
    ended = await decided()
    retried = await decided()
    await timers.set(call_id, LATER + timedelta(hours=1), after_sequence=retried, cause=cause)
    await timers.clear(call_id, after_sequence=ended)
    assert datetime.fromisoformat(await scheduled(bus_client, call_id) or "") == LATER + timedelta(hours=1)
    await timers.set(call_id, LATER, after_sequence=ringing, cause=cause)
    assert datetime.fromisoformat(await scheduled(bus_client, call_id) or "") == LATER + timedelta(hours=1)
    ended_again = await decided()
    await timers.clear(call_id, after_sequence=ended_again)
    assert await scheduled(bus_client, call_id) is None


async def test_a_cleared_timer_does_not_fire_and_a_kept_one_does(bus_client: Client, calls: EventLog) -> None:
    """The server keeps its schedules in an index of its own, which a purge must change too."""
    timers, cause = NatsTimers(bus_client, "test", wall_clock), an_envelope("cause")
    due_at, ids = datetime.now(UTC) + timedelta(seconds=1), [uuid4(), uuid4()]
    decided = []
    for call_id in ids:
        call = CALL.model_copy(update={"call_id": call_id})
        decided.append((await calls.append(CallCreated(call=call, occurred_at=LATER))).sequence)
        await timers.set(call_id, due_at, after_sequence=decided[-1], cause=cause)
    cleared, kept = ids
    await timers.clear(cleared, after_sequence=decided[-1])  # stored before this event
    await timers.clear(kept, after_sequence=decided[-1])
    await until(lambda: calls.last(TimerDue.subject_for(kept)))
    assert await calls.last(TimerDue.subject_for(cleared)) is None
