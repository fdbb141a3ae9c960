"""Settlement: what became of an attempt whose news are overdue."""

from datetime import UTC, datetime

import pytest
from tests.integration.voice.conftest import StartCall

from chassis.event_log import EventLog
from contracts import (
    CallSettlementRequested,
    CallStatusChanged,
    DialClaimed,
    DialLookedUp,
    DialRefused,
    DialUnknown,
    Envelope,
    TelephonyStatus,
    TelephonyStatusReported,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio
from voice.application.speech.greetings import Greetings
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import StillDialing
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.lookup import Ambiguous
from voice.application.telephony.settlement import Settlement
from voice.ports import DialOrder


@pytest.fixture
def dialing(calls: EventLog, telephony: Twilio, speech: ElevenLabs, clips: ObjectStoreClips) -> Dialing:
    return Dialing(calls, telephony, Greetings(calls, SpeechSynthesis([speech], clips, calls)))


@pytest.fixture
def settlement(calls: EventLog, telephony: Twilio) -> Settlement:
    return Settlement(calls, telephony)


def cause_of(event: CallStatusChanged) -> Envelope:
    return Envelope.of(event, id=f"cause/{event.call_id}", source="test", time=event.occurred_at)


async def settle(settlement: Settlement, event: CallStatusChanged) -> None:
    asked = CallSettlementRequested(call=event.call, occurred_at=datetime.now(UTC))
    await settlement.settle(asked, Envelope.of(asked, id="question", source="test", time=asked.occurred_at))


async def answers(calls: EventLog, event: CallStatusChanged) -> list[DialLookedUp]:
    recorded = await calls.read((f"{DialLookedUp.event_name}.{event.call_id}",))
    return [entry.event for entry in recorded if isinstance(entry.event, DialLookedUp)]


async def test_a_dial_whose_answer_was_lost_is_unknown_until_the_settlement_finds_it(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="lost_response")]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await dialing.dial(event, cause_of(event))
    assert await calls.last(f"{DialUnknown.event_name}.{event.call_id}") is not None
    [dialled] = simulators.ledger.calls
    await settle(settlement, event)
    [answer] = await answers(calls, event)
    assert answer.provider_call_id == dialled.sid
    assert answer.status is not None


async def test_a_dial_that_never_arrived_is_not_known_to_the_provider(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="reset")]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await settle(settlement, event)
    assert await answers(calls, event) == [DialLookedUp(call_id=event.call_id, attempt=1)]


async def test_a_call_that_is_known_by_its_id_is_looked_up_by_it(
    dialing: Dialing,
    settlement: Settlement,
    telephony: Twilio,
    start_call: StartCall,
    calls: EventLog,
    simulators: Simulators,
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    [dialled] = simulators.ledger.calls
    await telephony.hang_up(dialled.sid)
    await settle(settlement, event)
    [answer] = await answers(calls, event)
    assert answer.provider_call_id == dialled.sid
    assert answer.status in (TelephonyStatus.COMPLETED, TelephonyStatus.CANCELED)


async def test_a_callback_names_the_call_when_our_answer_was_lost(
    settlement: Settlement, telephony: Twilio, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    ours = await telephony.place(DialOrder(event.call_id, 1, "+12125550123", 30, 600))
    await telephony.place(DialOrder(event.call_id, 2, "+12125550123", 30, 600))
    await calls.append(
        TelephonyStatusReported(
            call_id=event.call_id, attempt=1, provider_call_id=ours, status=TelephonyStatus.RINGING, sequence_number=1
        )
    )
    await settle(settlement, event)
    [answer] = await answers(calls, event)
    assert answer.provider_call_id == ours


async def test_nothing_is_said_when_two_calls_could_be_the_attempt(
    telephony: Twilio, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    for attempt in (1, 2):
        await telephony.place(DialOrder(event.call_id, attempt, "+12125550123", 30, 600))
    with pytest.raises(Ambiguous):
        await settle(Settlement(calls, telephony, patience=0), event)
    assert await answers(calls, event) == []


async def test_an_attempt_that_nobody_came_to_dial_is_ruled_out_for_good(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await settle(settlement, event)
    refused = await calls.last(f"{DialRefused.event_name}.{event.call_id}")
    assert refused is not None
    assert isinstance(refused.event, DialRefused)
    assert not refused.event.is_permanent
    await dialing.dial(event, cause_of(event))  # the dialler comes late
    assert simulators.ledger.calls == []


async def test_an_attempt_that_may_be_under_way_is_not_looked_up_yet(
    settlement: Settlement, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(StillDialing):
        await settle(settlement, event)
    assert await answers(calls, event) == []


async def test_a_provider_that_cannot_be_asked_says_nothing(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    simulators.faults.rules = [FaultRule(target="twilio", method="GET", kind="status", status=503)]
    with pytest.raises(Exception, match="503"):
        await settle(settlement, event)
    assert await answers(calls, event) == []


async def test_the_same_question_is_answered_once(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await settle(settlement, event)
    await settle(settlement, event)
    assert len(await answers(calls, event)) == 1
