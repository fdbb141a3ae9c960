"""Hang-ups: of lines, of attempts in progress, of attempts that were not dialled."""

import asyncio
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.events import an_envelope
from tests.integration.voice.conftest import StartCall, dial_events

from chassis.event_log import EventLog
from contracts import (
    CallHangupRequested,
    CallStatusChanged,
    DialClaimed,
    DialPlaced,
    DialRefused,
    DialUnknown,
    HangupReason,
    TelephonyStatus,
    TelephonyStatusReported,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.twilio import Twilio
from voice.application.telephony.attempts import AttemptInProgress, load_attempt
from voice.application.telephony.hangup import HangUp
from voice.ports import DialOrder

ENDED_STATUSES = ("completed", "canceled")


@pytest.fixture
def hangup(calls: EventLog, telephony: Twilio) -> HangUp:
    return HangUp(calls, telephony, telephony)


async def hang_up(hangup: HangUp, event: CallStatusChanged) -> None:
    request = CallHangupRequested(call=event.call, occurred_at=datetime.now(UTC))
    await hangup.hang_up(request, an_envelope("hangup-request"))


async def dial(telephony: Twilio, event: CallStatusChanged) -> str:
    return await telephony.dial(DialOrder(event.call_id, event.attempt, "+12125550123", 30, 600))


async def test_hanging_up_twice_closes_the_line_once(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    sid = await dial(telephony, event)
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    await hang_up(hangup, event)
    await hang_up(hangup, event)
    assert simulators.ledger.calls[0].status in ENDED_STATUSES


async def test_hanging_up_a_placed_attempt_reads_one_message(
    hangup: HangUp,
    telephony: Twilio,
    start_call: StartCall,
    calls: EventLog,
    bus_client: Client,
    simulators: Simulators,
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    sid = await dial(telephony, event)
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    requests: list[str] = []

    async def note(message: Msg) -> None:
        if str(event.call_id).encode() in message.data:
            requests.append(message.subject)

    await bus_client.subscribe("$JS.API.>", cb=note)
    await bus_client.flush()
    await hang_up(hangup, event)
    await bus_client.flush()
    async with asyncio.timeout(60):
        while not requests:  # what has arrived is handled at once
            await asyncio.sleep(0.02)
    assert requests == ["$JS.API.DIRECT.GET.CALLS"]
    assert simulators.ledger.calls[0].status in ENDED_STATUSES


async def test_the_line_of_an_earlier_attempt_is_not_closed_in_place_of_the_present_one(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    first = await start_call()
    await calls.append(DialPlaced(call_id=first.call_id, attempt=1, provider_call_id="CA" + "0" * 32))
    second = await start_call(call_id=first.call_id, attempt=2)
    sid = await dial(telephony, second)
    await calls.append(DialClaimed(call_id=first.call_id, attempt=2))
    reported = TelephonyStatusReported(
        call_id=first.call_id, attempt=2, provider_call_id=sid, status=TelephonyStatus.RINGING
    )
    await calls.append(reported)
    await hang_up(hangup, second)
    assert simulators.ledger.calls[0].status in ENDED_STATUSES


async def test_the_attempt_is_found_after_its_grant(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    first = await start_call()
    await calls.append(DialClaimed(call_id=first.call_id, attempt=1))
    refused = DialRefused(call_id=first.call_id, attempt=1, is_permanent=False, reason="HTTP 500")
    granted_sequence = (await calls.append(refused)).sequence
    second = await start_call(call_id=first.call_id, attempt=2, granted_sequence=granted_sequence)
    sid = await dial(telephony, second)
    await calls.append(DialClaimed(call_id=first.call_id, attempt=2))
    await calls.append(DialPlaced(call_id=first.call_id, attempt=2, provider_call_id=sid))
    attempt = await load_attempt(calls, first.call_id, 2, granted_sequence=granted_sequence)
    assert attempt == await load_attempt(calls, first.call_id, 2)
    assert attempt.provider_call_id == sid
    await hang_up(hangup, second)
    assert simulators.ledger.calls[0].status in ENDED_STATUSES


async def test_the_attempt_of_an_imported_call_is_found_although_its_grant_has_the_position_of_another_log(
    start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call(granted_sequence=1_100_000)
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA1"))
    attempt = await load_attempt(calls, event.call_id, 1, granted_sequence=1_100_000)
    assert (attempt.claim is not None, attempt.provider_call_id) == (True, "CA1")


async def test_a_call_that_the_provider_does_not_know_is_not_hung_up(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA" + "f" * 32))
    await hang_up(hangup, event)
    assert simulators.ledger.calls == []


async def test_a_hang_up_waits_for_a_dial_in_progress(hangup: HangUp, start_call: StartCall, calls: EventLog) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(AttemptInProgress):
        await hang_up(hangup, event)


async def test_a_call_whose_answer_was_lost_is_found_and_hung_up(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await dial(telephony, event)
    await calls.append(DialUnknown(call_id=event.call_id, attempt=1, reason="no answer"))
    await hang_up(hangup, event)
    assert simulators.ledger.calls[0].status in ENDED_STATUSES


async def test_an_undialled_attempt_is_not_hung_up(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=500)]  # any request would raise
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialRefused(call_id=event.call_id, attempt=1, is_permanent=True, reason="no such number"))
    await hang_up(hangup, event)


async def test_an_unclaimed_attempt_is_called_off_and_cannot_be_claimed_any_more(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=500)]  # any request would raise
    event = await start_call(hangup_reason=HangupReason.CANCELED)
    await hang_up(hangup, event)
    await hang_up(hangup, event)
    assert [type(one) for one in await dial_events(calls, event)] == [DialClaimed, DialRefused]


async def test_a_hang_up_that_fails_raises(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    sid = await dial(telephony, event)
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="status", status=500)]
    with pytest.raises(Exception, match="500"):
        await hang_up(hangup, event)
