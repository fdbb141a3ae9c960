"""The orchestrator on a real nats-server: each input is decided once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.numbers import number_for
from tests.integration.call_orchestrator.conftest import outcome_of

from call_orchestrator.adapters.nats.queue import NatsQueue
from call_orchestrator.adapters.nats.requests import NatsRequests
from call_orchestrator.adapters.nats.timers import NatsTimers
from call_orchestrator.application.call_inputs import DecidingEvent, call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.composition import build, policy
from call_orchestrator.settings import Settings
from chassis.bus_clock import wall_clock
from chassis.event_log import EventLog, StoredEvent
from chassis.serve import connect_bus
from contracts import (
    AdmissionGranted,
    AnswerClassified,
    AnsweredBy,
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallDecision,
    CallMessageRequested,
    CallMessageStarted,
    CallRequested,
    CallRetryRequested,
    CallStatus,
    CommandOutcome,
    DialRefused,
    Envelope,
    HangupReason,
    MessageReported,
    Service,
    TelephonyStatus,
    TelephonyStatusReported,
    TimerDue,
    VoicemailDelivery,
    call_id_of,
)
from contracts.filters import call_filters, call_state_filter
from contracts.personal import json_and_sealed
from contracts.streams import CALLS, DEAD_LETTERS, QUEUE, REQUESTS

SCHEDULED_AT = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
async def replicas(nats_url: str, bus_client: Client) -> AsyncIterator[int]:
    """Two replicas of the service: every test runs against both."""
    settings = Settings(max_concurrent_calls=0, twilio_calls_per_second=1000)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            bus = await connect_bus(Service.ORCHESTRATOR, nats_url)
            stack.push_async_callback(bus.broker.stop)
            await stack.enter_async_context(build(settings, bus))
            await bus.broker.start()
        yield 2


def requested(**changes: object) -> CallRequested:
    request_id = f"r-{uuid4()}"
    fields: dict[str, object] = {
        "request_id": request_id,
        "campaign_id": "reminders",
        "contact_id": "c-1",
        "phone_number": number_for(str(changes.get("request_id", request_id))),
        "script_template": "Hello {{name}}.\n\nRemind them of their appointment.",
        "variables": {"name": "Ada"},
        "language": "en",
        "retry_delay_seconds": 0,
    }
    return CallRequested.model_validate({**fields, **changes})


async def until(
    calls: EventLog,
    call_id: UUID,
    status: CallStatus,
    *,
    attempt: int | None = None,
    hangup_reason: HangupReason | None = None,
) -> Call:
    async with asyncio.timeout(60):
        while True:
            stored = await calls.last(call_state_filter(call_id))
            if stored and isinstance(stored.event, CallDecision):
                call = stored.event.call
                if (
                    call.status is status
                    and attempt in (None, call.attempt)
                    and hangup_reason in (None, call.hangup_reason)
                ):
                    return call
            await asyncio.sleep(0.02)


def network(call_id: UUID, attempt: int, status: TelephonyStatus) -> TelephonyStatusReported:
    return TelephonyStatusReported(
        call_id=call_id, attempt=attempt, provider_call_id="CA1", status=status, duration_seconds=5
    )


async def statuses(calls: EventLog, call_id: UUID) -> list[str]:
    return [
        r.event.call.status for r in await calls.read([call_state_filter(call_id)]) if isinstance(r.event, CallDecision)
    ]


async def test_a_request_becomes_a_call_that_is_dialled_at_once(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcome = await outcome_of(bus_client, requested(request_id="r-1"))
    assert outcome.accepted
    assert outcome.call_id == call_id_of("r-1")
    call = await until(calls, outcome.call_id, CallStatus.DIALING)
    assert (call.attempt, call.max_retries, call.call_timeout_seconds) == (1, 3, 30)
    events = [stored.event for stored in await calls.read(call_filters(outcome.call_id))]
    assert "audio.requested" not in {event.event_name for event in events}, "voice derives the greeting from the call"


async def test_the_same_request_sent_ten_times_is_one_call(replicas: int, bus_client: Client, calls: EventLog) -> None:
    request = requested(request_id="r-2", scheduled_at=SCHEDULED_AT)
    outcomes = await asyncio.gather(*(outcome_of(bus_client, request) for _ in range(10)))
    assert {outcome.call_id for outcome in outcomes} == {call_id_of("r-2")}
    assert await statuses(calls, call_id_of("r-2")) == ["pending"]


async def test_a_busy_line_is_dialled_again_until_its_retries_are_used_up(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcome = await outcome_of(bus_client, requested(max_retries=2))
    assert outcome.call_id
    for attempt in (1, 2, 3):
        await until(calls, outcome.call_id, CallStatus.DIALING, attempt=attempt)
        for _ in range(2):  # every callback may come twice
            await calls.append(network(outcome.call_id, attempt, TelephonyStatus.BUSY))
    assert (await until(calls, outcome.call_id, CallStatus.BUSY)).attempt == 3
    attempt_statuses = ["pending", "dialing"]  # a call that is due waits for a slot at once
    assert await statuses(calls, outcome.call_id) == [*(attempt_statuses * 3), "busy"]
    refused = await outcome_of(bus_client, CallRetryRequested(call_id=outcome.call_id))
    assert not refused.accepted
    assert "max_retries is 2" in refused.reasons[0]


async def test_each_outcome_of_a_retry_policy_has_its_own_maximum(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    once, after_a_minute = {"max_retries": 1, "delay_seconds": 0}, {"max_retries": 1, "delay_seconds": 60}
    policy = {"busy": once, "voicemail": once, "hung_up_early": after_a_minute}
    outcome = await outcome_of(bus_client, requested(max_retries=5, retry_policy=policy))
    assert outcome.call_id
    call_id = outcome.call_id
    for attempt, status in ((1, TelephonyStatus.BUSY), (2, TelephonyStatus.IN_PROGRESS)):
        await until(calls, call_id, CallStatus.DIALING, attempt=attempt)
        await calls.append(network(call_id, attempt, status))
    await until(calls, call_id, CallStatus.IN_PROGRESS, attempt=2)
    await calls.append(
        AnswerClassified(call_id=call_id, attempt=2, provider_call_id="CA2", answered_by=AnsweredBy.MACHINE)
    )
    await until(calls, call_id, CallStatus.IN_PROGRESS, hangup_reason=HangupReason.VOICEMAIL)
    for _ in range(2):  # every callback may come twice
        await calls.append(network(call_id, 2, TelephonyStatus.COMPLETED))
    await until(calls, call_id, CallStatus.DIALING, attempt=3)
    await calls.append(network(call_id, 3, TelephonyStatus.COMPLETED))
    waiting = await until(calls, call_id, CallStatus.PENDING, attempt=3)
    assert waiting.due_at == waiting.status_changed_at + timedelta(seconds=60)
    assert waiting.outcome_retries == {"busy": 1, "voicemail": 1, "hung_up_early": 1}
    assert (await outcome_of(bus_client, CallChangeRequested(call_id=call_id, scheduled_at=datetime.now(UTC)))).accepted
    await until(calls, call_id, CallStatus.DIALING, attempt=4)
    await calls.append(network(call_id, 4, TelephonyStatus.BUSY))
    ended = await until(calls, call_id, CallStatus.BUSY)
    assert (ended.attempt, ended.outcome_retries) == (4, waiting.outcome_retries)


async def test_a_refused_dial_is_tried_again_and_uses_up_no_retry(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcome = await outcome_of(bus_client, requested(max_retries=0))
    assert outcome.call_id
    for attempt in (1, 2):
        await until(calls, outcome.call_id, CallStatus.DIALING, attempt=attempt)
        for _ in range(2):
            refused = DialRefused(call_id=outcome.call_id, attempt=attempt, is_permanent=False, reason="HTTP 401")
            await calls.append(refused)
    await until(calls, outcome.call_id, CallStatus.DIALING, attempt=3)
    await calls.append(network(outcome.call_id, 3, TelephonyStatus.BUSY))
    call = await until(calls, outcome.call_id, CallStatus.BUSY)
    assert (call.attempt, call.undialled_attempts) == (3, 2)


async def test_callbacks_in_any_order_lead_to_one_final_status(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcomes = await asyncio.gather(*(outcome_of(bus_client, requested()) for _ in range(20)))
    ids = [outcome.call_id for outcome in outcomes if outcome.call_id]
    await asyncio.gather(*(until(calls, call_id, CallStatus.DIALING) for call_id in ids))
    order = [TelephonyStatus.COMPLETED, TelephonyStatus.IN_PROGRESS, TelephonyStatus.RINGING]
    await asyncio.gather(*(calls.append(network(call_id, 1, status)) for call_id in ids for status in order))
    for call_id in ids:
        call = await until(calls, call_id, CallStatus.COMPLETED)
        assert call.duration_seconds == 5
        assert (await statuses(calls, call_id)).count("completed") == 1


async def test_a_scheduled_call_can_be_changed_initiated_and_canceled(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcome = await outcome_of(bus_client, requested(scheduled_at=SCHEDULED_AT))
    assert outcome.call_id
    change = CallChangeRequested.model_validate({"call_id": outcome.call_id, "variables": {"name": "Grace"}})
    assert (await outcome_of(bus_client, change)).accepted
    lacking = CallChangeRequested.model_validate({"call_id": outcome.call_id, "script_template": "Hi {{surname}}."})
    refused = await outcome_of(bus_client, lacking)
    assert not refused.accepted
    assert "surname" in refused.reasons[0]
    long = CallChangeRequested.model_validate({"call_id": outcome.call_id, "script_template": "{{name}}" * 2_000})
    assert (await outcome_of(bus_client, long)).accepted
    too_long = CallChangeRequested.model_validate({"call_id": outcome.call_id, "variables": {"name": "a" * 200}})
    refused = await outcome_of(bus_client, too_long)
    assert not refused.accepted
    assert refused.reasons[0].startswith("script_template: 400000 bytes with its variables; at most 32768")
    now = CallChangeRequested.model_validate({"call_id": outcome.call_id, "scheduled_at": "2020-01-01T00:00:00Z"})
    assert (await outcome_of(bus_client, now)).accepted
    call = await until(calls, outcome.call_id, CallStatus.DIALING)
    assert call.variables == {"name": "Grace"}
    assert not (await outcome_of(bus_client, change)).accepted
    assert (await outcome_of(bus_client, CallCancelRequested(call_id=outcome.call_id))).accepted
    await calls.append(DialRefused(call_id=outcome.call_id, attempt=1, is_permanent=False, reason="canceled before"))
    assert (await until(calls, outcome.call_id, CallStatus.CANCELED)).reason == "canceled by request"


async def test_a_command_for_an_unknown_call_is_refused(replicas: int, bus_client: Client) -> None:
    outcome = await outcome_of(bus_client, CallCancelRequested(call_id=uuid4()))
    assert not outcome.accepted
    assert outcome.reasons == ("there is no such call",)


async def test_a_message_whose_line_closes_before_its_end_is_cut(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    outcome = await outcome_of(bus_client, requested(voicemail={"message": "Hello {{name}}."}))
    assert outcome.call_id
    call_id = outcome.call_id
    await until(calls, call_id, CallStatus.DIALING)
    await calls.append(network(call_id, 1, TelephonyStatus.IN_PROGRESS))
    await until(calls, call_id, CallStatus.IN_PROGRESS)
    machine = AnswerClassified(call_id=call_id, attempt=1, provider_call_id="CA1", answered_by=AnsweredBy.MACHINE)
    begins = MessageReported(call_id=call_id, attempt=1, provider_call_id="CA1")
    for event, decision in ((machine, CallMessageRequested), (begins, CallMessageStarted)):
        for _ in range(2):  # every callback may come twice
            await calls.append(event)
        async with asyncio.timeout(60):
            while await calls.last(decision.subject_for(call_id)) is None:
                await asyncio.sleep(0.02)
    await calls.append(network(call_id, 1, TelephonyStatus.COMPLETED))
    ended = await until(calls, call_id, CallStatus.VOICEMAIL)
    assert (ended.voicemail_delivery, ended.reason) == (VoicemailDelivery.CUT, "a machine answered")


async def test_an_invalid_request_is_a_dead_letter_with_its_reasons_and_the_next_one_is_served(
    replicas: int, bus_client: Client, calls: EventLog
) -> None:
    js = bus_client.jetstream()
    await js.publish("call.requested", b'{"campaign_id": "c", "phone_number": "12", "surprise": 1}')
    assert (await outcome_of(bus_client, requested())).accepted
    async with asyncio.timeout(60):
        while (await js.stream_info(DEAD_LETTERS.name)).state.messages < 1:
            await asyncio.sleep(0.02)
    dead_letter = await js.get_msg(DEAD_LETTERS.name, 1)
    assert dead_letter.subject == "dead_letter.call.requested"
    body = json_and_sealed(dead_letter.data or b"")[0].decode()
    for field in ("contact_id", "phone_number", "surprise"):
        assert f'"{field}: ' in body


async def test_a_retry_that_is_delivered_again_after_its_decision_does_not_dial_again(
    bus_client: Client, calls: EventLog
) -> None:
    queue = NatsQueue(bus_client, EventLog(bus_client, QUEUE.name, source="test"))
    service = CallService(
        calls,
        NatsRequests(bus_client, EventLog(bus_client, REQUESTS.name, source="test"), calls),
        Effects(NatsTimers(bus_client, "test", wall_clock), queue),
        policy(Settings()),
        now=lambda: datetime.now(UTC),
    )
    call_id = call_id_of("r-3")

    async def handle(cause: str, event: DecidingEvent, *, is_redelivered: bool = False) -> CommandOutcome:
        envelope = Envelope.read({}, id=cause, time=datetime.now(UTC))
        return await service.handle(call_input(event, envelope, is_redelivered=is_redelivered))

    async def dial_and_fail(attempt: int) -> None:
        pending = await until(calls, call_id, CallStatus.PENDING)
        assert pending.due_at
        await handle(f"timer-{attempt}", TimerDue(call_id=call_id, deadline_at=pending.due_at))
        grant = AdmissionGranted(
            call_id=call_id, campaign_id="reminders", attempt=attempt, due_sequence=1, replay_from_sequence=1
        )
        await handle(f"slot-{attempt}", grant)
        failed = network(call_id, attempt, TelephonyStatus.FAILED).model_copy(update={"is_permanent": True})
        await handle(f"failed-{attempt}", failed)

    await handle("request", requested(request_id="r-3"))
    await dial_and_fail(1)
    envelope = Envelope.read({}, id="retry", time=datetime.now(UTC))
    retry = StoredEvent(CallRetryRequested(call_id=call_id), envelope, sequence=1)
    assert (await service.handle_command(retry)).accepted
    await dial_and_fail(2)
    before = await statuses(calls, call_id)
    assert (await service.handle_command(replace(retry, deliveries=2))).status is CallStatus.FAILED
    assert await statuses(calls, call_id) == before


async def test_no_header_of_a_request_names_a_subject(replicas: int, bus_client: Client, calls: EventLog) -> None:
    request, js = requested(request_id="r-log"), bus_client.jetstream()
    created_subject = f"call.created.{call_id_of('r-log')}.pending"
    await js.publish(request.subject, request.model_dump_json().encode(), headers={"reply_to": created_subject})
    await until(calls, call_id_of("r-log"), CallStatus.DIALING)
    created = await js.stream_info(CALLS.name, subjects_filter=created_subject)
    assert created.state.subjects == {created_subject: 1}
