"""Deadlines on a real nats-server: early timers, the timer of a retried call, and scheduled times out of range."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.events import an_envelope
from tests.integration.call_orchestrator.conftest import Ask, call_of, running, until, until_dialing

from call_orchestrator.adapters.nats.timers import NatsTimers
from chassis.bus_clock import wall_clock
from chassis.event_log import EventLog
from chassis.provision import provision, stream_config
from contracts import Call, CallChangeRequested, CallCreated, CallRequested, CallStatus, TimerDue, call_id_of
from contracts.events.timers import scheduled_call_id
from contracts.examples import CALL
from contracts.streams import CALLS, DEAD_LETTERS, QUEUE, SCHEDULES

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


async def schedules(client: Client, call_id: UUID) -> list[datetime]:
    """Returns when the server will publish timers of a call."""
    js = client.jetstream()
    subjects = (await js.stream_info(SCHEDULES.name, subjects_filter="timer.>")).state.subjects or ()
    own = [one for one in subjects if one.startswith("timer.set") and scheduled_call_id(one) == str(call_id)]
    messages = [await js.get_last_msg(SCHEDULES.name, subject) for subject in own]
    times = [str((message.headers or {})["Nats-Schedule"]).removeprefix("@at ") for message in messages]
    return sorted(map(datetime.fromisoformat, times))


async def test_a_timer_nine_hours_early_is_set_again_and_the_call_keeps_waiting(
    replicas: None, bus_client: Client, calls: EventLog
) -> None:
    call_id, js = call_id_of("scheduled"), bus_client.jetstream()
    await js.publish(CallRequested.event_name, requested(LATER.isoformat()))
    await until(lambda: schedules(bus_client, call_id))
    await js.purge_stream(SCHEDULES.name, subject=f"timer.set_for.*.{call_id}.*")  # as when the server has fired it
    for deadline_at in (LATER, LATER + timedelta(hours=1)):
        await calls.append(TimerDue(call_id=call_id, deadline_at=deadline_at))
    await until(lambda: schedules(bus_client, call_id))
    assert await schedules(bus_client, call_id) == [LATER]
    call = await call_of(calls, call_id)
    assert call
    assert (call.status, call.is_queued, call.due_at) == (CallStatus.PENDING, False, LATER)


async def test_a_new_call_that_is_granted_its_slot_at_once_has_one_schedule_that_of_its_attempt(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    js = bus_client.jetstream()

    async def published() -> list[int]:
        return [(await js.stream_info(stream.name)).state.last_seq for stream in (SCHEDULES, QUEUE)]

    async with running(nats_url, 1, max_concurrent_calls=0, twilio_calls_per_second=1000):
        first = await ask("first", 1)  # it joins the queue, as the first call of each replica
        await until_dialing(calls, first, 1)
        await until(lambda: _has_left(bus_client))
        before = await published()
        [call_id] = await ask("second", 1)
        await until_dialing(calls, [call_id], 1)
        await until(lambda: schedules(bus_client, call_id))
        after = await published()
        call = await call_of(calls, call_id)
    assert call
    assert await schedules(bus_client, call_id) == [call.deadline_at]
    assert [later - earlier for later, earlier in zip(after, before, strict=True)] == [1, 0]


async def _has_left(client: Client) -> bool:
    """Whether no call waits in the queue."""
    return not (await client.jetstream().stream_info(QUEUE.name)).state.messages


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


CAUSE = an_envelope("cause")


def with_deadline(call_id: UUID, deadline_at: datetime | None, *, command_sequence: int = 1) -> Call:
    update = {"call_id": call_id, "deadline_at": deadline_at, "command_sequence": command_sequence}
    return CALL.model_copy(update=update)


def timers(client: Client) -> NatsTimers:
    return NatsTimers(client, "test", wall_clock)


async def test_a_slow_replica_that_sets_an_older_deadline_does_not_replace_the_newer_one(bus_client: Client) -> None:
    slow, fast, call_id = timers(bus_client), timers(bus_client), uuid4()
    instants = [LATER, LATER + timedelta(hours=9), LATER + timedelta(hours=1)]
    first, second, third = (with_deadline(call_id, instant) for instant in instants)
    await slow.set(first, instants[0], previous=None, cause=CAUSE)
    await fast.set(third, instants[2], previous=second, cause=CAUSE)
    await slow.set(second, instants[1], previous=first, cause=CAUSE)
    assert await schedules(bus_client, call_id) == [instants[2], instants[1]], "the older one fires late and is ignored"


async def test_a_new_deadline_replaces_the_one_before_with_one_message(bus_client: Client) -> None:
    replica, call_id, js = timers(bus_client), uuid4(), bus_client.jetstream()
    first, second = (with_deadline(call_id, LATER + timedelta(hours=hours)) for hours in (0, 1))
    await replica.set(first, LATER, previous=None, cause=CAUSE)
    await replica.set(second, LATER + timedelta(hours=1), previous=first, cause=CAUSE)
    assert await schedules(bus_client, call_id) == [LATER + timedelta(hours=1)]
    assert (await js.stream_info(SCHEDULES.name)).state.last_seq == 2
    await replica.set(second, LATER + timedelta(hours=2), previous=second, cause=CAUSE)
    assert await schedules(bus_client, call_id) == [LATER + timedelta(hours=2)], "a pause sets the same deadline later"


async def test_a_slow_replica_does_not_clear_the_timer_of_a_call_that_was_retried_meanwhile(bus_client: Client) -> None:
    slow, fast, call_id = timers(bus_client), timers(bus_client), uuid4()
    ringing, ended = with_deadline(call_id, LATER), with_deadline(call_id, None)
    retried = with_deadline(call_id, LATER, command_sequence=2)
    await slow.set(ringing, LATER, previous=None, cause=CAUSE)
    await fast.set(retried, LATER, previous=ended, cause=CAUSE)
    await slow.clear(ringing)
    assert await schedules(bus_client, call_id) == [LATER], "the same instant, but after another command"
    await fast.clear(retried)
    assert await schedules(bus_client, call_id) == []


async def test_a_replaced_or_cleared_timer_does_not_fire_and_the_present_one_does(
    bus_client: Client, calls: EventLog
) -> None:
    """The server keeps its schedules in an index of its own, which a purge must change too."""
    replica = timers(bus_client)
    for seconds in (1, 10, 60):  # longer, if the first deadlines have passed before they were replaced
        first_at = datetime.now(UTC) + timedelta(seconds=seconds)
        due_at = first_at + timedelta(milliseconds=500)
        cleared, kept = (with_deadline(uuid4(), due_at) for _ in range(2))
        for call in (cleared, kept):
            before = with_deadline(call.call_id, first_at)
            await replica.set(before, first_at, previous=None, cause=CAUSE)
            await replica.set(call, due_at, previous=before, cause=CAUSE)
        await replica.clear(cleared)
        if datetime.now(UTC) < first_at:
            break
    await until(lambda: calls.last(TimerDue.subject_for(kept.call_id)))
    fired = await calls.last(TimerDue.subject_for(kept.call_id))
    assert fired
    assert fired.event == TimerDue(call_id=kept.call_id, deadline_at=due_at)
    assert fired.envelope.causation_id == CAUSE.id
    [stored] = await calls.read([f"*.*.{call.call_id}" for call in (cleared, kept)])
    assert stored.sequence == fired.sequence
    assert await schedules(bus_client, kept.call_id) == []


async def test_a_fired_message_leaves_the_stream_of_schedules_and_stays_in_the_log(
    bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.events.timers.FIRED_TTL_SECONDS", 1)
    call, js = with_deadline(uuid4(), datetime.now(UTC)), bus_client.jetstream()
    await timers(bus_client).set(call, datetime.now(UTC), previous=None, cause=CAUSE)
    await until(lambda: calls.last(TimerDue.subject_for(call.call_id)))

    async def is_empty() -> bool:
        return (await js.stream_info(SCHEDULES.name)).state.messages == 0

    await until(is_empty)
    stored = await js.get_last_msg(CALLS.name, TimerDue.subject_for(call.call_id))
    assert (stored.headers or {})["Nats-TTL"] == "1s", "CALLS must never apply it"


async def test_a_deadline_that_fires_while_the_log_does_not_copy_it_is_copied_later(
    bus_client: Client, calls: EventLog
) -> None:
    """As after an outage of the stream CALLS."""
    js, call = bus_client.jetstream(), with_deadline(uuid4(), datetime.now(UTC))
    await js.update_stream(replace(stream_config(CALLS), sources=None))
    await timers(bus_client).set(call, datetime.now(UTC), previous=None, cause=CAUSE)

    async def has_fired() -> bool:
        return bool((await js.stream_info(SCHEDULES.name, subjects_filter="timer.fired.*")).state.subjects)

    await until(has_fired)
    await provision(bus_client)
    await until(lambda: calls.last(TimerDue.subject_for(call.call_id)))
