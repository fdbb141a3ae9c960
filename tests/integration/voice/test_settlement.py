"""Settlement of attempts whose events are overdue."""

from datetime import UTC, datetime

import pytest
from tests.builders.events import an_envelope
from tests.integration.voice.conftest import StartCall, cause_of

from chassis.event_log import EventLog
from contracts import (
    CallSettlementRequested,
    CallStatusChanged,
    DialClaimed,
    DialLookedUp,
    DialRefused,
    DialUnknown,
    TelephonyStatus,
    TelephonyStatusReported,
)
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import AttemptInProgress
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.lookup import AmbiguousLookup
from voice.application.telephony.settlement import Settlement
from voice.ports import DialOrder


@pytest.fixture
def dialing(calls: EventLog, telephony: Twilio, speech: ElevenLabs, clips: StoredClips) -> Dialing:
    return Dialing(calls, telephony, PreparedClips(SpeechSynthesis([speech], clips, calls)))


@pytest.fixture
def settlement(calls: EventLog, telephony: Twilio) -> Settlement:
    return Settlement(calls, telephony)


async def settle(settlement: Settlement, event: CallStatusChanged) -> None:
    request = CallSettlementRequested(call=event.call, occurred_at=datetime.now(UTC))
    await settlement.settle(request, an_envelope("settlement-request"))


async def lookups(calls: EventLog, event: CallStatusChanged) -> list[DialLookedUp]:
    stored = await calls.read((DialLookedUp.subject_for(event.call_id),))
    return [one.event for one in stored if isinstance(one.event, DialLookedUp)]


async def test_a_dial_whose_answer_was_lost_is_unknown_until_it_is_settled(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="lost_response")]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await dialing.dial(event, cause_of(event))
    assert await calls.last(DialUnknown.subject_for(event.call_id)) is not None
    [dialled] = simulators.ledger.calls
    await settle(settlement, event)
    [lookup] = await lookups(calls, event)
    assert lookup.provider_call_id == dialled.sid
    assert lookup.status is not None


async def test_the_provider_has_no_call_for_a_dial_that_never_arrived(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="reset")]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await settle(settlement, event)
    assert await lookups(calls, event) == [DialLookedUp(call_id=event.call_id, attempt=1)]


async def test_a_known_provider_call_id_is_looked_up(
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
    [lookup] = await lookups(calls, event)
    assert lookup.provider_call_id == dialled.sid
    assert lookup.status in (TelephonyStatus.COMPLETED, TelephonyStatus.CANCELED)


async def test_a_callback_names_the_call_if_the_answer_was_lost(
    settlement: Settlement, telephony: Twilio, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    ours = await telephony.dial(DialOrder(event.call_id, 1, "+12125550123", 30, 600))
    await telephony.dial(DialOrder(event.call_id, 2, "+12125550123", 30, 600))
    await calls.append(
        TelephonyStatusReported(
            call_id=event.call_id, attempt=1, provider_call_id=ours, status=TelephonyStatus.RINGING, sequence_number=1
        )
    )
    await settle(settlement, event)
    [lookup] = await lookups(calls, event)
    assert lookup.provider_call_id == ours


async def test_nothing_is_recorded_if_two_calls_may_be_the_attempt(
    telephony: Twilio, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    for attempt in (1, 2):
        await telephony.dial(DialOrder(event.call_id, attempt, "+12125550123", 30, 600))
    with pytest.raises(AmbiguousLookup):
        await settle(Settlement(calls, telephony, max_pending_seconds=0), event)
    assert await lookups(calls, event) == []


async def test_an_attempt_that_was_not_claimed_in_time_is_refused_and_never_dialled(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await settle(settlement, event)
    refused = await calls.last(DialRefused.subject_for(event.call_id))
    assert refused is not None
    assert isinstance(refused.event, DialRefused)
    assert not refused.event.is_permanent
    await dialing.dial(event, cause_of(event))  # its order arrives late
    assert simulators.ledger.calls == []


async def test_an_attempt_that_may_be_in_progress_is_not_looked_up_yet(
    settlement: Settlement, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(AttemptInProgress):
        await settle(settlement, event)
    assert await lookups(calls, event) == []


async def test_nothing_is_recorded_if_the_provider_cannot_be_reached(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    simulators.faults.rules = [FaultRule(target="twilio", method="GET", kind="status", status=503)]
    with pytest.raises(Exception, match="503"):
        await settle(settlement, event)
    assert await lookups(calls, event) == []


async def test_a_repeated_request_is_recorded_once(
    dialing: Dialing, settlement: Settlement, start_call: StartCall, calls: EventLog
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    await settle(settlement, event)
    await settle(settlement, event)
    assert len(await lookups(calls, event)) == 1
