"""A callee asks to be called again: two replicas on a real nats-server, and the replay of their log."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import Ask, call_of, outcome_of, running, until, until_dialing

from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import (
    Call,
    CallbackScheduled,
    CallCancelRequested,
    CallDecision,
    CallStatus,
    CampaignCreateRequested,
    CampaignStartRequested,
    DialClaimed,
    RequestedTerms,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.callback_times import CallbackTime, CallbackTimeQuery
from contracts.filters import call_state_filter

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}


def asked(call_id: UUID, at: datetime, number: int = 1) -> CallbackScheduled:
    return CallbackScheduled(
        call_id=call_id,
        attempt=1,
        turn=number,
        number=number,
        at=at,
        asked_at=at,
        local_time=at.isoformat(),
        reason="At work until three.",
    )


def reported(call_id: UUID, status: TelephonyStatus, attempt: int = 1) -> TelephonyStatusReported:
    return TelephonyStatusReported(
        call_id=call_id, attempt=attempt, provider_call_id="CA1", status=status, duration_seconds=5
    )


async def until_call(calls: EventLog, call_id: UUID, status: CallStatus, *, callbacks: int = 0) -> Call:
    async def reached() -> bool:
        call = await call_of(calls, call_id)
        return bool(call and call.status is status and call.callbacks == callbacks)

    await until(reached)
    call = await call_of(calls, call_id)
    assert call
    return call


async def talking(calls: EventLog, ask: Ask, campaign: str = "reminders") -> UUID:
    [call_id] = await ask(campaign, 1)
    await until_dialing(calls, [call_id], 1)
    await calls.append(DialClaimed(call_id=call_id, attempt=1))
    await calls.append(reported(call_id, TelephonyStatus.IN_PROGRESS))
    await until_call(calls, call_id, CallStatus.IN_PROGRESS)
    return call_id


async def time_of(client: Client, call_id: UUID, at: datetime) -> CallbackTime:
    query = CallbackTimeQuery(call_id=call_id, at=at)
    answer = await client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    return CallbackTime.model_validate_json(answer.data)


async def test_the_call_is_dialled_again_at_the_instant_and_the_replay_decides_the_same(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        call_id = await talking(calls, ask)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert await time_of(bus_client, call_id, tomorrow) == CallbackTime(at=tomorrow)
        await calls.append(asked(call_id, tomorrow))
        soon = datetime.now(UTC) + timedelta(seconds=2)
        await calls.append(asked(call_id, soon, number=2))
        await calls.append(reported(call_id, TelephonyStatus.COMPLETED))
        await until_call(calls, call_id, CallStatus.DIALING, callbacks=1)
        await calls.append(DialClaimed(call_id=call_id, attempt=2))
        await calls.append(reported(call_id, TelephonyStatus.BUSY, attempt=2))
        ended = await until_call(calls, call_id, CallStatus.BUSY, callbacks=1)
    events = [one.event for one in await calls.read([call_state_filter(call_id)])]
    decided = [event.call for event in events if isinstance(event, CallDecision)]
    waiting = [call for call in decided if call.status is CallStatus.PENDING and call.attempt == 1]
    assert {call.reason for call in waiting} == {"the callee asked to be called again"}
    assert {call.callback_reason for call in waiting} == {"At work until three."}
    assert waiting[-1].callback_number == 2, "the last callback of the conversation"
    assert waiting[-1].due_at == soon
    assert (ended.attempt, ended.callback_at, ended.callback_reason) == (2, None, None)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_callback_that_arrives_after_the_end_counts_and_a_cancel_removes_it(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        call_id = await talking(calls, ask)
        await calls.append(reported(call_id, TelephonyStatus.COMPLETED))
        await until_call(calls, call_id, CallStatus.COMPLETED)
        await calls.append(asked(call_id, datetime.now(UTC) + timedelta(days=1)))
        waiting = await until_call(calls, call_id, CallStatus.PENDING, callbacks=1)
        assert waiting.due_at == waiting.callback_at
        assert (await outcome_of(bus_client, CallCancelRequested(call_id=call_id))).accepted
        canceled = await until_call(calls, call_id, CallStatus.CANCELED, callbacks=1)
    assert canceled.callback_at is None
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_the_time_of_a_callback_follows_the_hours_and_the_limits_of_the_campaign(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    in_a_week = datetime.now(UTC) + timedelta(days=7)
    terms = RequestedTerms.model_validate({"max_attempts": 1})
    async with running(nats_url, 2, **LIMITS):
        for command in (
            CampaignCreateRequested(campaign_id="once", terms=terms),
            CampaignStartRequested(campaign_id="once"),
        ):
            assert (await outcome_of(bus_client, command)).accepted
        call_id = await talking(calls, ask, "once")
        refused = await time_of(bus_client, call_id, in_a_week)
        invalid = await bus_client.request(CallbackTimeQuery.subject, b"{}", timeout=60)
    assert refused == CallbackTime(at=None, detail="dialled 1 times; the campaign permits 1 attempts in all")
    assert invalid.headers
    assert invalid.headers["Nats-Service-Error-Code"] == "400"
