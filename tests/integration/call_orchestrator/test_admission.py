"""Slots on a real nats-server: shared by replicas, always released, granted to campaigns in turn."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamManager
from nats.js.api import StreamInfo
from tests.builders.calls import NOW, a_call
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    end,
    running,
    until,
    until_dialing,
    until_queued,
    with_status,
)

from call_orchestrator.adapters.nats.queue import NatsQueue
from call_orchestrator.application.admission import Admission
from chassis.event_log import EventLog, Guard
from chassis.provision import provision
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    CallCancelRequested,
    CallChangeRequested,
    CallDecision,
    CallDue,
    CallStatus,
    QueueJoined,
)
from contracts.filters import call_state_filter
from contracts.streams import QUEUE


async def most_live(calls: EventLog) -> int:
    """Returns the largest number of calls that were live at once, computed from the log."""
    live: set[UUID] = set()
    most = 0
    for stored in await calls.read([call_state_filter("*")]):
        if isinstance(stored.event, CallDecision):
            call = stored.event.call
            is_live = call.status.is_live
            live = live | {call.call_id} if is_live else live - {call.call_id}
            most = max(most, len(live))
    return most


@pytest.mark.parametrize("count", [1, 3])
async def test_all_calls_are_dialled_and_the_limit_of_live_calls_is_kept(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, count: int
) -> None:
    async with running(nats_url, count, max_concurrent_calls=3, twilio_calls_per_second=100):
        ids = await ask("reminders", 20)
        ended: set[UUID] = set()
        while len(ended) < len(ids):
            for call_id in await until_dialing(calls, ids, 1):
                ended.add(call_id)
                await end(calls, call_id)
        await until(lambda: _all_busy(calls, ids))
    assert await most_live(calls) == 3
    grants = await calls.read([AdmissionGranted.subjects()])
    assert len(grants) == len(ids), "each call was granted one slot"


async def _all_busy(calls: EventLog, ids: list[UUID]) -> bool:
    return len(await with_status(calls, ids, CallStatus.BUSY)) == len(ids)


async def test_a_campaign_keeps_its_own_limit_and_a_later_one_is_served_too(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    limits = {"max_concurrent_calls": 4, "max_concurrent_calls_per_campaign": 3, "twilio_calls_per_second": 100}
    async with running(nats_url, 2, **limits):
        large = await ask("large", 6)
        await until_dialing(calls, large, 3)
        small = await ask("small", 2)
        served = await until_dialing(calls, small, 1)
        await until_queued(calls, [call_id for call_id in small if call_id not in served])
    assert len(await with_status(calls, large, CallStatus.DIALING)) == 3


async def test_a_replica_that_starts_later_knows_the_occupied_slots(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    limits = {"max_concurrent_calls": 2, "twilio_calls_per_second": 100}
    async with running(nats_url, 1, **limits):
        ids = await ask("reminders", 5)
        first = await until_dialing(calls, ids, 2)
    async with running(nats_url, 2, **limits):
        await until_queued(calls, [call_id for call_id in ids if call_id not in first])
        await end(calls, first[0])
        then = await until_dialing(calls, ids, 2)
        assert first[1] in then
    assert await most_live(calls) == 2


async def test_the_slot_of_a_call_that_was_canceled_meanwhile_is_released(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, max_concurrent_calls=1, twilio_calls_per_second=100):
        ids = await ask("reminders", 3)
        [holder] = await until_dialing(calls, ids, 1)
        [canceled, last] = [call_id for call_id in ids if call_id != holder]
        await until_queued(calls, [canceled, last])
        due = await calls.last(call_state_filter(canceled))
        assert due
        command = CallCancelRequested(call_id=canceled)
        await bus_client.jetstream().publish(command.subject, command.model_dump_json().encode())
        await until(lambda: with_status(calls, [canceled], CallStatus.CANCELED))
        grants = await calls.read([AdmissionGranted.subjects()])
        useless = AdmissionGranted(
            call_id=canceled,
            campaign_id="reminders",
            attempt=1,
            due_sequence=due.sequence,
            replay_from_sequence=grants[0].sequence,
        )
        granted = await calls.append(useless, guard=Guard(AdmissionGranted.subjects(), grants[-1].sequence))

        async def released() -> bool:
            events = [stored.event for stored in await calls.read([AdmissionReleased.subjects()])]
            return AdmissionReleased(call_id=canceled, attempt=1, grant_sequence=granted.sequence) in events

        await until(released)
        await end(calls, holder)
        await until_dialing(calls, [last], 1)


async def test_the_grants_of_an_older_build_count_and_are_carried_out(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    queued = a_call(is_queued=True, due_at=datetime.now(UTC), deadline_at=datetime.now(UTC) + timedelta(days=1))
    due = await calls.append(CallDue(call=queued, occurred_at=NOW))
    old = AdmissionGranted(
        call_id=queued.call_id, campaign_id="a", attempt=1, due_sequence=due.sequence, replay_from_sequence=1
    )
    await bus_client.jetstream().publish(f"{old.subject}.{old.call_id}", old.model_dump_json().encode())
    async with running(nats_url, 2, max_concurrent_calls=1, twilio_calls_per_second=100):
        await until_dialing(calls, [queued.call_id], 1)
        [other] = await ask("reminders", 1)
        await until_queued(calls, [other])
        await end(calls, queued.call_id)
        await until_dialing(calls, [other], 1)
    assert await most_live(calls) == 1
    [grant] = await calls.read([AdmissionGranted.subjects()])
    assert isinstance(grant.event, AdmissionGranted)
    assert grant.event.call_id == other


async def test_the_queue_entry_of_a_call_that_no_longer_waits_is_removed(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    stale = QueueJoined.model_validate(
        {"call_id": uuid4(), "campaign_id": "a", "attempt": 1, "due_at": "2020-01-01T00:00:00Z", "due_sequence": 0}
    )
    async with running(nats_url, 1, twilio_calls_per_second=100):
        [ended] = await ask("reminders", 1)
        await until_dialing(calls, [ended], 1)
        await end(calls, ended)
        await until(lambda: with_status(calls, [ended], CallStatus.BUSY))
        gone = stale.model_copy(update={"call_id": ended})
        await bus_client.jetstream().publish(gone.subject, gone.model_dump_json().encode())
        await until(lambda: queue_is_empty(bus_client))
    assert await most_live(calls) == 1


async def test_the_queue_entry_that_a_killed_replica_left_behind_is_removed_while_the_call_has_its_slot(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    limits = {"max_concurrent_calls": 1, "twilio_calls_per_second": 100}
    async with running(nats_url, 1, **limits):
        [call_id] = await ask("reminders", 1)
        await until_dialing(calls, [call_id], 1)
        await until(lambda: queue_is_empty(bus_client))
    [grant] = [one.event for one in await calls.read([AdmissionGranted.subjects()])]
    assert isinstance(grant, AdmissionGranted)
    fields = grant.model_dump(include={"call_id", "campaign_id", "attempt", "due_sequence"})
    left_behind = QueueJoined.model_validate({**fields, "due_at": "2020-01-01T00:00:00Z"})
    js = bus_client.jetstream()
    await js.publish(left_behind.subject, left_behind.model_dump_json().encode())
    async with running(nats_url, 2, **limits):
        await until(lambda: queue_is_empty(bus_client))
        await js.publish(left_behind.subject, left_behind.model_dump_json().encode())
        await until(lambda: queue_is_empty(bus_client))
    assert len(await calls.read([AdmissionGranted.subjects()])) == 1


async def test_a_queue_that_is_newer_than_the_log_stops_no_replica(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admission.__init__, "__kwdefaults__", {"max_lag_seconds": 0.0})
    missing = QueueJoined.model_validate(
        {"call_id": uuid4(), "campaign_id": "a", "attempt": 1, "due_at": "2020-01-01T00:00:00Z", "due_sequence": 10**6}
    )
    await bus_client.jetstream().publish(missing.subject, missing.model_dump_json().encode())
    async with running(nats_url, 2, twilio_calls_per_second=100):
        await until_dialing(calls, await ask("reminders", 3), 3)
        await until(lambda: queue_is_empty(bus_client))


async def test_calls_of_a_queue_that_was_created_again_are_granted_slots_by_the_running_replica(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    js = bus_client.jetstream()
    async with running(nats_url, 1, twilio_calls_per_second=100):
        await until_dialing(calls, await ask("before", 3), 3)
        await js.delete_stream(QUEUE.name)
        await provision(bus_client)
        await until_dialing(calls, await ask("after", 2), 2)


async def test_a_repeated_queue_entry_is_not_stored(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 1, max_concurrent_calls=1, twilio_calls_per_second=100):
        ids = await ask("reminders", 2)
        [dialling] = await until_dialing(calls, ids, 1)
        [waits] = [call_id for call_id in ids if call_id != dialling]
        await until_queued(calls, [waits])
        due = await calls.last(call_state_filter(waits))
        assert due
        assert isinstance(due.event, CallDecision)
        queue = NatsQueue(bus_client, EventLog(bus_client, QUEUE.name, source="test"))
        await queue.join(due.event.call, due_sequence=due.sequence, cause=due.envelope)
        before = (await bus_client.jetstream().stream_info(QUEUE.name)).state.last_seq
        await queue.join(due.event.call, due_sequence=due.sequence, cause=due.envelope)
        assert (await bus_client.jetstream().stream_info(QUEUE.name)).state.last_seq == before
        await queue.join(due.event.call, due_sequence=due.sequence + 1, cause=due.envelope)
        assert (await bus_client.jetstream().stream_info(QUEUE.name)).state.last_seq == before + 1


async def queue_is_empty(client: Client) -> bool:
    return (await client.jetstream().stream_info(QUEUE.name)).state.messages == 0


async def test_a_lost_queue_is_rebuilt_from_the_log(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    limits = {"max_concurrent_calls": 1, "twilio_calls_per_second": 100}
    async with running(nats_url, 1, **limits):
        ids = await ask("reminders", 3)
        [first] = await until_dialing(calls, ids, 1)
        waiting = [call_id for call_id in ids if call_id != first]
        await until_queued(calls, waiting)
    js = bus_client.jetstream()
    config = (await js.stream_info(QUEUE.name)).config
    await js.delete_stream(QUEUE.name)
    await js.add_stream(config)
    async with running(nats_url, 2, **limits):
        await end(calls, first)
        await until_dialing(calls, waiting, 1)


async def test_a_replica_that_starts_while_the_queue_does_not_answer_asks_again(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the loss of a node, or while the server stands still."""
    stream_info, unanswered = JetStreamManager.stream_info, [QUEUE.name]

    async def without_answer(self: JetStreamManager, name: str, *rest: object) -> StreamInfo:
        if name in unanswered:
            unanswered.remove(name)
            raise NatsTimeout
        return await stream_info(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(JetStreamManager, "stream_info", without_answer)
    async with running(nats_url, 1, twilio_calls_per_second=100):
        await until_dialing(calls, await ask("reminders", 1), 1)
    assert unanswered == []


async def test_a_lost_queue_is_rebuilt_with_calls_whose_metadata_was_changed_while_they_waited(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    js, limits = bus_client.jetstream(), {"max_concurrent_calls": 1, "twilio_calls_per_second": 100}
    async with running(nats_url, 1, **limits):
        ids = await ask("reminders", 2)
        [live] = await until_dialing(calls, ids, 1)
        [waiting] = [call_id for call_id in ids if call_id != live]
        await until_queued(calls, [waiting])
        command = CallChangeRequested(call_id=waiting, metadata={"desk": "7"})
        await js.publish(command.subject, command.model_dump_json().encode())

        async def is_changed() -> bool:
            call = await call_of(calls, waiting)
            return call is not None and call.metadata == {"desk": "7"}

        await until(is_changed)
    config = (await js.stream_info(QUEUE.name)).config
    await js.delete_stream(QUEUE.name)
    await js.add_stream(config)
    async with running(nats_url, 1, **limits):
        await end(calls, live)
        await until_dialing(calls, [waiting], 1)
