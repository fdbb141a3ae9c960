"""Hanging up."""

from datetime import UTC, datetime

import pytest
from tests.integration.voice.conftest import StartCall

from chassis.event_log import EventLog
from contracts import (
    CallHangupRequested,
    CallStatusChanged,
    DialClaimed,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
    HangupReason,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.twilio import Twilio
from voice.application.telephony.attempts import StillDialing
from voice.application.telephony.hangup import HangUp
from voice.ports import DialOrder

ENDED = ("completed", "canceled")


@pytest.fixture
def hangup(calls: EventLog, telephony: Twilio) -> HangUp:
    return HangUp(calls, telephony, telephony)


async def hang_up(hangup: HangUp, event: CallStatusChanged) -> None:
    asked = CallHangupRequested(call=event.call, occurred_at=datetime.now(UTC))
    await hangup.hang_up(asked, Envelope.of(asked, id="asked", source="test", time=asked.occurred_at))


async def place(telephony: Twilio, event: CallStatusChanged) -> str:
    return await telephony.place(DialOrder(event.call_id, event.attempt, "+12125550123", 30, 600))


async def test_the_line_is_closed_and_closing_it_again_does_no_harm(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    sid = await place(telephony, event)
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    await hang_up(hangup, event)
    await hang_up(hangup, event)
    assert simulators.ledger.calls[0].status in ENDED


async def test_a_call_that_the_provider_does_not_know_needs_no_hanging_up(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id="CA" + "f" * 32))
    await hang_up(hangup, event)
    assert simulators.ledger.calls == []


async def test_a_dial_under_way_is_waited_for(hangup: HangUp, start_call: StartCall, calls: EventLog) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(StillDialing):
        await hang_up(hangup, event)


async def test_a_call_whose_answer_was_lost_is_found_and_closed(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await place(telephony, event)
    await calls.append(DialUnknown(call_id=event.call_id, attempt=1, reason="no answer"))
    await hang_up(hangup, event)
    assert simulators.ledger.calls[0].status in ENDED


async def test_a_phone_that_never_rang_needs_no_hanging_up(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=500)]  # any request would raise
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialRefused(call_id=event.call_id, attempt=1, is_permanent=True, reason="no such number"))
    await hang_up(hangup, event)


async def test_an_attempt_that_nobody_has_claimed_is_called_off_and_can_be_claimed_no_more(
    hangup: HangUp, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=500)]  # any request would raise
    event = await start_call(hangup_reason=HangupReason.CANCELED)
    await hang_up(hangup, event)
    await hang_up(hangup, event)
    facts = [recorded.event for recorded in await calls.read((f"dial.*.{event.call_id}",))]
    assert [type(fact) for fact in facts] == [DialClaimed, DialRefused]


async def test_a_hang_up_that_fails_comes_again(
    hangup: HangUp, telephony: Twilio, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    sid = await place(telephony, event)
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="status", status=500)]
    with pytest.raises(Exception, match="500"):
        await hang_up(hangup, event)
